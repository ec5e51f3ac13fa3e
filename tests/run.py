#!/usr/bin/python3
"""Runs the tests, all of them or a choice, and counts every single one.

Called by `./dev test`, which has installed what is needed. Not for: building (./dev build
does it) or one test alone (run its executable, or pytest with COUPON_BINARY set).

Two lanes take the parts side by side, so at most two are under way on two cores: one begins
at once with what is built, the other makes the builds first and then joins. No test may rely
on having a core of its own.
"""

import argparse
import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
import sanitizers  # noqa: E402, it lies beside this file, also for those who load it by its path

LOGS = ROOT / "build" / "test-logs"
LOAD_CLIENT = ROOT / "build" / "debug" / "bench" / "load" / "load-client"
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "--durations=15"]
PART_SECONDS_MAX = 1200
FUZZ_SECONDS = 10
FUZZ_SEED = 1  # a gate repeats itself; what is new is for ./dev fuzz and ./dev prove to find
TAIL_LINES = 60
NAMES_MAX = 40  # of failures or skips of one part that are listed

# Where parts put their files whose tests other parts run on a real disk, if there is room.
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 4 << 30
# How much longer than plain code an instrumented one may take.
SLOWNESS = {"debug": 1, "asan": 4, "tsan": 10}


@dataclass
class Outcome:
    """What became of some tests. Every failure and every skip has a line that names it."""
    passed: int = 0
    failures: list = field(default_factory=list)
    skips: list = field(default_factory=list)

    def add(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips

    def count(self):
        return self.passed + len(self.failures) + len(self.skips)


class Stopped(Exception):
    """The run was interrupted."""


class Processes:
    """The processes under way, so that an interrupt can end them and what they started."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def run(self, command, log, environment=None, cwd=ROOT, nice=0, seconds=PART_SECONDS_MAX):
        """Runs it, its output appended to the log. Returns its exit code, or a word."""
        with self.lock:
            if self.stopped:
                raise Stopped
            process = subprocess.Popen(
                ["nice", "-n", str(nice), *map(str, command)], cwd=cwd, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **(environment or {})})
            self.running.add(process)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end(process)
            return f"nothing, stopped after {seconds} s,"
        finally:
            with self.lock:
                self.running.discard(process)

    @staticmethod
    def end(process):
        """Asks the process and its children to end, then makes them."""
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(timeout=15)
                return
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def stop(self):
        with self.lock:
            self.stopped = True
            running = list(self.running)
        for process in running:
            self.end(process)


PROCESSES = Processes()


# ---- what runs tests of one kind -------------------------------------------------------------

TAP_LINE = re.compile(r"^(not )?ok\b\s*\d*(?: - )?\s*(.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)\s*$")


def read_tap(output):
    """(outcome, planned tests or None) of TAP, also as cmocka writes it: a plan a group, and
    skipped ones as `not ok N # SKIP name`."""
    outcome, planned = Outcome(), None
    for line in output.splitlines():
        plan = TAP_PLAN.match(line)
        result = TAP_LINE.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        elif result and "# SKIP" in line:
            outcome.skips.append(line.split("# SKIP", 1)[1].strip() or result.group(2))
        elif result and result.group(1):
            outcome.failures.append(result.group(2))
        elif result:
            outcome.passed += 1
    return outcome, planned


def run_tap(command, log_path, name, **how):
    """A program that writes TAP. One that ends badly or early has failed once more."""
    begin, start = log_path.stat().st_size if log_path.exists() else 0, time.monotonic()
    with open(log_path, "ab") as log:
        log.write(f"==== {name}\n".encode())
        log.flush()
        code = PROCESSES.run(command, log, **how)
        seconds = time.monotonic() - start
        log.write(f"==== {name} ended with {code} after {seconds:.1f} s\n".encode())
    with open(log_path, "rb") as log:
        log.seek(begin)
        outcome, planned = read_tap(log.read().decode(errors="replace"))
    if planned is not None and planned != outcome.count():
        outcome.failures.append(
            f"planned {planned} tests, told of {outcome.count()}, ended with {code}")
    elif code != 0 and not outcome.failures:
        outcome.failures.append(f"ended with {code}")
    if outcome.count() == 0:
        outcome.failures.append("no tests")
    outcome.failures = [f"{name}: {failure}" for failure in outcome.failures]
    outcome.skips = [f"{name}: {skip}" for skip in outcome.skips]
    return outcome


def run_pytest(part, arguments, environment):
    """pytest, counted from the report it writes."""
    report = LOGS / f"{part.name}-pytest.xml"
    report.unlink(missing_ok=True)
    with open(part.log_path, "ab") as log:
        code = PROCESSES.run([*part.prefix(), *PYTEST, f"--junitxml={report}", *arguments], log,
                             environment=environment)
    outcome = Outcome()
    cases = xml.etree.ElementTree.parse(report).iter("testcase") if report.exists() else []
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failures.append(name)
        elif skip is not None:
            outcome.skips.append(f"{name}: {(skip.get('message') or '').partition(chr(10))[0]}")
        else:
            outcome.passed += 1
    if outcome.count() == 0:
        outcome.failures.append(f"no tests (pytest ended with {code})")
    elif code != 0 and not outcome.failures:
        outcome.failures.append(f"pytest ended with {code}")
    return outcome


def introspect(folder, what):
    return json.loads(subprocess.run(["meson", "introspect", folder, what], check=True,
                                     capture_output=True, cwd=ROOT).stdout)


def run_unit(part):
    """The unit tests of one build, one executable after the other."""
    outcome = Outcome()
    folder = ROOT / "build" / part.build
    for test in introspect(folder, "--tests"):
        program = Path(test["cmd"][0]).name  # unit-FOLDER-NAME
        chosen_folder = not part.folders or program.startswith(
            tuple(f"unit-{name}-" for name in part.folders))
        if f"coupon:{part.suite}" in test["suite"] and chosen_folder:
            outcome.add(run_tap([*part.prefix(), *test["cmd"]], part.log_path, program, cwd=folder,
                                environment={**part.environment(), **test["env"]},
                                seconds=test["timeout"] * SLOWNESS[part.build]))
    return outcome


def run_contract(part):
    """What every store of the ledger must do, and what it does when its server goes away."""
    outcome = Outcome()
    folder = ROOT / "build" / part.build
    for store in ("sqlite", "postgresql", "mariadb"):
        outcome.add(run_tap([*part.prefix(), "tests/contract/run.py", folder, store],
                            part.log_path, f"contract {store}", environment=part.environment()))
    driver = folder / "tests" / "contract" / "contract-driver"
    outcome.add(run_pytest(part, ["tests/contract", *part.select, *part.pytest_arguments],
                           {**part.environment(), "COUPON_CONTRACT_DRIVER": str(driver)}))
    return outcome


def run_e2e(part):
    arguments = ["tests/e2e", *part.select, *part.pytest_arguments]
    binary = ROOT / "build" / part.build / "src" / "cli" / "coupon"
    return run_pytest(part, arguments, {**part.environment(), "COUPON_BINARY": str(binary),
                                        "COUPON_LOAD_CLIENT": str(LOAD_CLIENT),
                                        "COUPON_TEST_LEDGER": part.ledger,
                                        "COUPON_TEST_REDIS": "1" if part.redis else ""})


def run_folder(part):
    """The tests of the folder of the part's first word, with the build's programs."""
    build = ROOT / "build" / part.build
    strategies = build / "bench" / "strategies" / "strategies-server"
    return run_pytest(part, [f"tests/{part.words[0]}", *part.pytest_arguments],
                      {**part.environment(), "COUPON_STRATEGIES_SERVER": str(strategies),
                       "COUPON_BINARY": str(build / "src" / "cli" / "coupon")})


def run_faults(part):
    """A cluster whose parts are killed in the midst of a crowd. A tenth of the crowd of ./dev faults,
    unless COUPON_TEST_SCALE says otherwise."""
    binary = ROOT / "build" / part.build / "src" / "cli" / "coupon"
    return run_pytest(part, ["tests/faults", *part.select, *part.pytest_arguments],
                      {**part.environment(), "COUPON_BINARY": str(binary),
                       "COUPON_TEST_SCALE": os.environ.get("COUPON_TEST_SCALE", "0.1")})


def run_tidy(part):
    outcome = run_tap(["./dev", "tidy"], part.log_path, "tidy", nice=10)
    outcome.add(run_pytest(part, ["tests/tidy"], {}))
    return outcome


def run_sim(part):
    """The checker of histories, and the simulations: seeds, planted bugs, one trace a seed."""
    folder = ROOT / "build" / part.build / "tests" / "sim"
    outcome = run_unit(part)
    outcome.add(run_pytest(part, ["tests/sim", *part.pytest_arguments], {
        **part.environment(), "COUPON_SIMULATE": str(folder / "simulate"),
        "COUPON_SIMULATE_DISTRIBUTED": str(folder / "distributed" / "simulate-distributed")}))
    return outcome


def run_crash(part):
    """kill -9 at named places, power cuts; disks and memory that fail, crash images."""
    build = ROOT / "build" / part.build
    return run_pytest(part, ["tests/crash", *part.select, *part.pytest_arguments], {
        **part.environment(), "COUPON_CRASH_BUILD": str(build),
        "COUPON_IO_PROGRAMS": str(build / "tests" / "crash" / "io"),
        "COUPON_BINARY": str(build / "src" / "cli" / "coupon")})


def run_safety(part):
    """What a process gives up, the units, the secrets, how the program is hardened."""
    build, release = ROOT / "build" / part.build, ROOT / "build" / "release"
    return run_pytest(part, ["tests/safety", *part.select, *part.pytest_arguments], {
        **part.environment(), "COUPON_BINARY": str(build / "src" / "cli" / "coupon"),
        "COUPON_RELEASE_BINARY": str(release / "src" / "cli" / "coupon"),
        "COUPON_UNDER_FILTER": str(build / "tests" / "safety" / "under-filter")})


def read_fuzz(path, code):
    """What run.py of tests/fuzz told, a test a target; one that never ran has failed."""
    outcome = Outcome()
    try:
        figures = json.loads(path.read_text())
    except (OSError, ValueError):
        return Outcome(failures=[f"told nothing, ended with {code}"])
    failed = figures["failed_names"].split()
    for key, executions in figures.items():
        name = key.removeprefix("executions_")
        if name == key:
            continue
        if name in failed or not executions:
            why = figures.get(f"why_{name}") or "it never ran"
            outcome.failures.append(f"fuzz-{name}: {why}")
        else:
            outcome.passed += 1
    if code != 0 and not outcome.failures:
        outcome.failures.append(f"ended with {code}")
    return outcome


def run_fuzz(part):
    """Every libFuzzer target for a while, from the tree's corpus and what earlier runs kept."""
    result_path = LOGS / "fuzz.json"
    result_path.unlink(missing_ok=True)
    with open(part.log_path, "ab") as log:
        code = PROCESSES.run(["tests/fuzz/run.py", "--seconds", FUZZ_SECONDS, "--seed", FUZZ_SEED,
                              "--jobs", "1", "--result", result_path], log, nice=10)
    return read_fuzz(result_path, code)


# ---- parts -----------------------------------------------------------------------------------

@dataclass
class Part:
    name: str
    words: tuple           # what chooses it on the command line, besides its name
    run_tests: callable
    build: str = ""        # the build whose programs it runs
    also_builds: tuple = ()
    quick: bool = False    # part of --quick
    suite: str = "unit"    # unit: Meson's suite of the programs …
    folders: tuple = ()    # … and only of these folders of tests/unit
    select: tuple = ()     # pytest's selection
    ledger: str = ""       # e2e: in SQL mode, with the record in such a server
    redis: bool = False    # … and Redis in front of it
    in_memory: bool = False   # its files need no disk
    on_request: bool = False  # only when it is named, not without a word
    pytest_arguments: tuple = ()
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0

    @property
    def log_path(self):
        return LOGS / f"{self.name}.log"

    def builds(self):
        return [kind for kind in (self.build, *self.also_builds) if kind]

    def environment(self):
        """A sanitizer's report is also found by its file (see reports): a server that a test kills
        on purpose must not take its report along."""
        reports = f":log_path={LOGS / self.name}.report"
        place = {"TMPDIR": str(MEMORY)} if self.in_memory and has_memory() else {}
        return {**place, **{name: value + reports
                            for name, value in sanitizers.ENVIRONMENT.items()}}

    def reports(self):
        return sorted(LOGS.glob(f"{self.name}.report.*"))

    def prefix(self):
        return sanitizers.PREFIX if self.build in ("asan", "tsan", "clang") else []

    def run(self):
        begin = time.monotonic()
        self.outcome = self.run_tests(self)
        for report in self.reports():
            text = report.read_text(errors="replace")
            with open(self.log_path, "a") as log:
                log.write(f"==== {report.name}\n{text}")
            self.outcome.failures.append(f"sanitizer report {report.name}")
        if self.outcome.count() == 0:
            self.outcome.failures.append("no tests")
        self.seconds = time.monotonic() - begin


def has_memory():
    try:
        room = os.statvfs(MEMORY)
    except OSError:
        return False
    return os.access(MEMORY, os.W_OK) and room.f_bavail * room.f_frsize >= MEMORY_BYTES_MIN


# What is about the tools that make a load, not about the server: once with each kind of ledger.
NO_LOADS = tuple(f"--ignore=tests/e2e/test_{name}.py"
                 for name in ("load_test", "load_test_target", "load_client"))

PARTS = [  # in the order in which they are begun: what needs few builds first, what is long early
    Part("unit", ("unit",), run_unit, build="debug", quick=True),
    Part("contract", ("contract",), run_contract, build="debug", quick=True),
    Part("e2e", ("e2e",), run_e2e, build="release", also_builds=("debug",), quick=True),
    Part("e2e-redis", ("redis",), run_e2e, build="release", also_builds=("debug",),
         ledger="mariadb", redis=True),
    Part("e2e-asan", ("asan",), run_e2e, build="asan", also_builds=("debug",), select=NO_LOADS,
         in_memory=True),
    Part("fuzz", ("fuzz",), run_fuzz, build="clang"),
    Part("contract-asan", ("contract", "asan"), run_contract, build="asan",
         select=("--ignore", "tests/contract/redis_functions"), in_memory=True),  # Lua, not C
    Part("e2e-postgres", ("sql",), run_e2e, build="release", also_builds=("debug",),
         ledger="postgres"),
    Part("e2e-mariadb", ("sql",), run_e2e, build="release", also_builds=("debug",),
         ledger="mariadb", select=NO_LOADS, in_memory=True),
    Part("unit-asan", ("asan",), run_unit, build="asan", in_memory=True),
    Part("cluster", ("cluster",), run_folder, build="release"),
    Part("sim", ("sim",), run_sim, build="debug", suite="sim"),
    Part("crash", ("crash",), run_crash, build="debug", select=("-m", "gate")),
    Part("hostile", ("hostile",), run_folder, build="release"),
    Part("faults", ("fault",), run_faults, build="release", select=("-m", "gate")),
    Part("unit-tsan", ("tsan",), run_unit, build="tsan", folders=("issuer", "http"),
         in_memory=True),
    Part("safety", ("safety",), run_safety, build="debug", also_builds=("release",),
         select=("-m", "not slow")),
    Part("tidy", ("tidy",), run_tidy, also_builds=("debug", "release", "clang"), quick=True),
    Part("race-tsan", ("tsan",), run_e2e, build="tsan", select=("-m", "race")),
    Part("strategies", ("strategies",), run_folder, build="debug"),
    Part("faults-all", ("fault",), run_faults, build="release", on_request=True),
    Part("faults-asan", ("fault",), run_faults, build="asan", on_request=True),
]


# ---- the run ---------------------------------------------------------------------------------

class Builds:
    """Makes the builds one after the other; whoever needs one waits for it."""

    def __init__(self, kinds):
        self.futures = {kind: Future() for kind in kinds}

    def make(self, kind):
        log_path = LOGS / f"build-{kind}.log"
        begin = time.monotonic()
        with open(log_path, "wb") as log:
            code = PROCESSES.run(["./dev", "build", f"--{kind}"], log, nice=5)
        print(f"  built {kind:<12} {time.monotonic() - begin:7.1f} s", flush=True)
        if not self.futures[kind].cancelled():
            self.futures[kind].set_result(None if code == 0 else log_path)

    def failed_log(self, kinds):
        """Waits for them. The log of the first that failed, or None."""
        return next(filter(None, [self.futures[kind].result() for kind in kinds]), None)

    def give_up(self):
        for future in self.futures.values():
            future.cancel()


def run_part(part, builds):
    log_path = builds.failed_log(part.builds())
    if log_path:
        part.log_path.write_text(log_path.read_text(errors="replace"))
        part.outcome.failures.append(f"its build failed ({log_path.name})")
    else:
        part.run()
    state = f"{len(part.outcome.failures)} FAILED" if part.outcome.failures else "passed"
    if part.outcome.skips:
        state += f", {len(part.outcome.skips)} SKIPPED"
    print(f"  {part.name:<18} {part.seconds:7.1f} s  {state}", flush=True)


class Lanes:
    """Two lanes take the parts in their order, one of them after it has made the builds."""

    def __init__(self, parts, builds):
        self.waiting = queue.SimpleQueue()
        for part in parts:
            self.waiting.put(part)
        self.builds = builds

    def of_parts(self):
        with contextlib.suppress(queue.Empty):
            while True:
                run_part(self.waiting.get_nowait(), self.builds)

    def of_builds(self):
        for kind in self.builds.futures:
            self.builds.make(kind)
        self.of_parts()


def in_lane(lane, builds, errors):
    try:
        lane()
    except BaseException as error:  # told by the main thread
        errors.append(error)
        builds.give_up()


def run_parts(parts):
    """Runs the parts in their lanes. Returns what went wrong in the running itself."""
    order = ("debug", "release", "asan", "tsan", "clang")
    needed = {kind for part in parts for kind in part.builds()}
    builds = Builds([kind for kind in order if kind in needed])
    errors = []
    both = Lanes(parts, builds)
    lanes = [threading.Thread(target=in_lane, args=(lane, builds, errors))
             for lane in (both.of_parts, both.of_builds)]
    for lane in lanes:
        lane.start()
    try:
        for lane in lanes:
            lane.join()
    except KeyboardInterrupt:
        PROCESSES.stop()
        for lane in lanes:
            lane.join()
        raise
    return errors


def tail_of(path):
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[-TAIL_LINES:]


def tell(parts):
    """The ends of failing parts' logs, what was skipped, the table."""
    for part in parts:
        if part.outcome.failures:
            print(f"\n==== the end of {part.log_path.relative_to(ROOT)}")
            print("\n".join(tail_of(part.log_path)))
    for title, lists in (("SKIPPED, so not known to work", "skips"), ("FAILED", "failures")):
        lines = []
        for part in parts:
            names = getattr(part.outcome, lists)
            lines += [f"  {part.name}: {name}" for name in names[:NAMES_MAX]]
            if len(names) > NAMES_MAX:
                lines.append(f"  {part.name}: and {len(names) - NAMES_MAX} more, see its log")
        if lines:
            print(f"\n{title}:", *lines, sep="\n")
    print(f"\n{'part':<12} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    for part in parts:
        print(f"{part.name:<12} {part.outcome.passed:>7} {len(part.outcome.failures):>7} "
              f"{len(part.outcome.skips):>8} {part.seconds:>8.1f}")


def chosen(words, quick):
    known = {word for part in PARTS for word in (part.name, *part.words)}
    for word in words:
        if word not in known:
            sys.exit(f"dev: test does not know '{word}'; it knows {' '.join(sorted(known))}")
    parts = [part for part in PARTS if ({part.name, *part.words} & set(words) if words else
                                        not part.on_request)]
    return [part for part in parts if part.quick] if quick else parts


def read_arguments(arguments):
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="./dev test", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs every test, or those of the given parts; ends in the line\n"
                    "N passed, N failed. Whole logs are in build/test-logs/.",
        epilog="parts, and the words that choose some of them together:\n"
               + "\n".join(f"  {part.name:<14} {' '.join(set(part.words) - {part.name})}".rstrip()
                           for part in PARTS)
               + "\n\nWhat follows -- goes to pytest: ./dev test e2e -- -k sold_out")
    parser.add_argument("--quick", action="store_true",
                        help="style, unit and end-to-end tests without sanitizers, fuzzing and "
                             "rounds of crashes")
    parser.add_argument("parts", nargs="*", metavar="PART")
    return parser.parse_args(arguments[:split]), tuple(arguments[split + 1:])


def main():
    options, pytest_arguments = read_arguments(sys.argv[1:])
    parts = chosen(options.parts, options.quick)
    LOGS.mkdir(parents=True, exist_ok=True)
    for part in parts:
        part.pytest_arguments = ("-m", "not slow", *pytest_arguments) if options.quick else \
            pytest_arguments
        for old in (part.log_path, *part.reports()):
            old.unlink(missing_ok=True)
    begin = time.monotonic()
    errors = run_parts(parts)
    tell(parts)
    for error in errors:
        print(f"the run itself failed: {error!r}")
    passed, failed, skipped = (sum(counts) for counts in zip(
        *[(part.outcome.passed, len(part.outcome.failures), len(part.outcome.skips))
          for part in parts]))
    failed += len(errors)
    print(f"{time.monotonic() - begin:.0f} s in all\n")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
