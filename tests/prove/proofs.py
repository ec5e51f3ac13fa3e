"""The long proofs: how each is run in full, the sentence that tells of its figures, and which of
these must not be 0 for anything to have been proven.

Every command here takes --result FILE, ends with what it has when it is asked to (SIGTERM), and
ends with 0 when all was kept, 1 when something was broken. Not for: the proofs themselves."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

PYTHON = "/usr/bin/python3"
CORES = 2
IMAGES_IN_FULL, IMAGES_A_SECOND = 24000, 20
FUZZ_TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in
                      (Path(__file__).resolve().parents[1] / "fuzz").glob("fuzz_*.c"))
QUIET_SECONDS = 3600


@dataclass
class Proof:
    name: str
    about: str
    minutes: float       # in full
    command: Callable    # (build folder, seconds or None) -> words, without --result
    tell: Callable       # result -> what it came to
    checked: tuple       # keys of the result: 0 of these, and nothing was tried
    broken: tuple = ("violations",)  # keys: more than 0 is a promise broken, also in half a run
    cores: int = CORES   # that it keeps busy; proofs of one core run side by side

    def untried(self, result):
        """The first figure without which nothing was proven, or None."""
        return next((key for key in self.checked if not result.get(key)), None)

    def is_broken(self, result):
        return any(result.get(key) for key in self.broken)


def of(word, count):
    """"1 seed", "2 seeds", "200,000 seeds"; of more than one word the first is counted."""
    first, _, rest = word.partition(" ")
    many = first if count == 1 else first[:-1] + "ies" if first.endswith("ty") else first + "s"
    return " ".join(filter(None, [f"{count:,}", many, rest]))


def simulation(program, seeds):
    def command(build, seconds):
        limit = ["--seconds", f"{seconds:.0f}"] if seconds else ["--seeds", str(seeds)]
        return [build / "debug" / "tests" / "sim" / program, *limit, "--jobs", "2"]
    return command


def tell_simulation(result):
    return (f"{of('seed', result['seeds'])}, {of('claim', result['claims'])}, "
            f"{of('violation', result['violations'])}, "
            f"{of('kind', result['fault_kinds'])} of faults hit")


def script(path, *words):
    """A script that takes no --seconds: it is asked to end when its time is up."""
    def command(_build, _seconds):
        return [PYTHON, path, *words]
    return command


def kill(mode, ledger, rounds):
    more = ["--ledger", ledger] if ledger else []
    return script("tests/crash/run.py", "kill", "--mode", mode, *more, "--rounds", str(rounds))


def tell_sums(*pairs):
    """A teller that reads (word, key) pairs: "3 cuts, 0 violations". What a run did not come to is
    told as 0."""
    def tell(result):
        return ", ".join(of(word, result.get(key, 0)) for word, key in pairs)
    return tell


TELL_KILLS = tell_sums(("round", "rounds"), ("claim", "claims"), ("issue", "issues"),
                       ("violation", "violations"), ("kill at named places", "kills_at_failpoints"))
KILLS = ("rounds", "claims", "issues", "kills_at_failpoints")
SEEDS = ("seeds", "claims", "fault_kinds")


def tell_coverage(result):
    shares = ", ".join(f"{key.removeprefix('branches_').removesuffix('_percent')} {value} %"
                       for key, value in sorted(result.items())
                       if key.startswith("branches_") and key.endswith("_percent"))
    return f"branches taken: {shares}"


def tell_fuzz(result):
    quiet = result["quiet_cpu_seconds_min"] / 60
    return (f"{of('execution', result['executions'])}, {of('finding', result['findings'])}; ended "
            f"{quiet:.0f} CPU minutes after its last new coverage")


def tell_slow(result):
    """A run that could not begin has no crowd."""
    if "worst_times" not in result:
        return f"no crowd, {of('violation', result['violations'])}"
    return (f"{of('connection', result['connections'])}, p99 of the honest at most "
            f"{result['worst_times']} times what it is while they beset another server "
            f"({result['worst_times_of_quiet']} times what it is without any), "
            f"{of('violation', result['violations'])}")


def tell_mutation(result):
    unjudged = f"{result['unjudged']:,} not judged, " if result["unjudged"] else ""
    return (f"{of('mutant', result['sample'])}: {unjudged}{result['killed']:,} killed, "
            f"{result['survived']:,} survived, {result['equivalent']:,} more that no test can kill, "
            f"{result['same_code']:,} compile to the same code; {result['score_percent']} %, "
            f"and {result['score_of_all_percent']} % of all that differ; they were judged in "
            f"{result['judged_seconds'] / 3600:.1f} h of tests")


def fuzz(target):
    def command(_build, seconds):
        limit = ["--seconds", f"{max(1, seconds):.0f}"] if seconds else []
        return [PYTHON, "tests/fuzz/run.py", "--until-quiet", str(QUIET_SECONDS), *limit, target]
    return command


def disk(part, minutes):
    """In a part of the time only every so-many-th call fails: of all kinds, from beginning to end."""
    def command(_build, seconds):
        stride = math.ceil(60 * minutes / seconds) if seconds else 1
        return [PYTHON, "tests/crash/io/run.py", part, "--jobs", "2", "--every", str(stride)]
    return command


def images(_build, seconds):
    """In a part of the time fewer images, of events from beginning to end."""
    many = IMAGES_IN_FULL if seconds is None else max(1, int(seconds * IMAGES_A_SECOND))
    return [PYTHON, "tests/crash/io/run.py", "images", "--jobs", "2", "--images", str(many)]


IMAGES = tell_sums(("image", "images"), ("event", "events_cut"), ("violation", "violations"))
FAULTS = tell_sums(("run", "runs"), ("fault", "faults"), ("violation", "violations"))
MALLOC = tell_sums(("run in process", "in_process_runs"), ("run of the server", "memory_runs"),
                   ("run of its start", "memory_start_runs"), ("violation", "violations"))
FRAMING = tell_sums(("case", "cases"), ("request", "sent"), ("case behind a proxy", "behind_proxies"),
                    ("laxity", "laxer"), ("violation", "violations"))
FLOODS = tell_sums(("flood", "floods"), ("violation", "violations"))

PROOFS = [
    Proof("sim", "the embedded server on a simulated disk, clock and crowd", 15,
          simulation("simulate", 200000), tell_simulation, (*SEEDS, "issues", "starts")),
    Proof("sim-distributed", "nodes, workers, Redis and the ledger, simulated", 20,
          simulation("distributed/simulate-distributed", 200000), tell_simulation,
          (*SEEDS, "events")),
    Proof("images", "what a power cut may leave, at every event of a run", 20, images,
          IMAGES, ("images", "events_cut")),
    Proof("faults", "every call on the disk fails in its turn, in process", 30, disk("faults", 30),
          FAULTS, ("runs", "faults", "asks")),
    Proof("process", "the same of the real server, over HTTP", 15, disk("process", 15), FAULTS,
          ("runs", "faults", "answers")),
    Proof("malloc", "every allocation fails in its turn", 20, disk("malloc", 20), MALLOC,
          ("in_process_runs", "in_process_faults", "memory_runs", "memory_start_runs")),
    Proof("power", "real power cuts of an ext4 under load", 6,
          script("tests/crash/run.py", "power", "--cuts", "200"),
          tell_sums(("cut", "rounds"), ("claim", "claims"), ("issue", "issues"),
                    ("violation", "violations")), ("rounds", "claims", "issues")),
    Proof("kill", "kill -9 of the embedded server", 10, kill("embedded", "", 1000), TELL_KILLS,
          KILLS),
    *(Proof(f"kill-{mode}-{ledger}", f"kill -9 in mode {mode} on {server}", 6,
            kill(mode, ledger, 200), TELL_KILLS, KILLS)
      for mode in ("sql", "redis")
      for ledger, server in (("mysql", "MariaDB"), ("postgres", "PostgreSQL"))),
    Proof("framing", "requests that smuggle, beside nginx and haproxy", 1,
          script("tests/hostile/run.py", "framing"), FRAMING,
          ("cases", "sent", "behind_proxies")),
    Proof("slow", "5,000 slow clients beside honest ones", 7,
          script("tests/hostile/run.py", "slow", "--connections", "5000"), tell_slow,
          ("connections", "worst_times")),
    Proof("floods", "clients that flood", 2, script("tests/hostile/run.py", "floods"), FLOODS,
          ("floods", "connections")),
    *(Proof(f"fuzz-{target}", "libFuzzer, until it found nothing new for a CPU hour", 65,
            fuzz(target), tell_fuzz, ("executions",), ("findings", "failed"), cores=1)
      for target in FUZZ_TARGETS),
    Proof("coverage", "which branches the tests take", 30, script("tests/coverage/run.py"),
          tell_coverage, ("tests", "branches"), ()),
    Proof("mutation", "500 faults put into the code: how many the tests notice", 240,
          script("tests/coverage/mutate.py", "--sample", "500"), tell_mutation, ("killed",),
          ()),
]
