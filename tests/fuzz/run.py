#!/usr/bin/python3
"""Runs the libFuzzer targets, each from the tree's corpus and what earlier runs have kept.

    run.py [--seconds N | --until-quiet S] [--jobs N] [--seed N] [--result FILE] [TARGET...]
    run.py --merge [TARGET...]

Called by `./dev fuzz`, which has built them (build/clang), and with ten seconds a target and a seed
by tests/run.py, so that a gate that failed was made to fail by a change. Not for: building, or one
input alone: give the file to the target's program. What a target is run with is in meson.build;
what it claims is at the head of its own file.

What a run finds new is kept in build/fuzz/TARGET/corpus, and beside it how long the program has
found nothing new: several runs of the same program may reach --until-quiet together. With --seed a
run knows the tree's corpus only and keeps nothing but findings. An input that a target does not
stand is a finding: its file and how to replay it are told. Exit code 0: none; 1: findings; 2: wrong
use.
"""

import argparse
import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import sanitizers  # noqa: E402, it lies beside the folder of this file

KEPT = ROOT / "build" / "fuzz"
FINDINGS = ("crash-*", "leak-*", "timeout-*", "oom-*")
STATUS_LINE = re.compile(rb"^#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
LOOK_SECONDS = 1      # between looks at a target's log
TELL_SECONDS = 10     # between lines of progress
STOP_SECONDS = 20     # that a target may take to end when asked
MERGED_SIZE_MAX = 4096  # a larger input stays out of the tree
MERGED_MAX = 20         # so many a time, the smallest: a corpus is to be read by people
TOLD_SIZE_MAX = 1500    # an input up to this size is told whole, in base64
NO_PROGRESS = {"executions": 0, "edges": 0, "quiet_seconds": 0}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Target:
    name: str
    program: str
    options: list
    corpus: Path  # in the tree
    executions: int = 0           # of this run
    earlier_executions: int = 0   # of the same program, in earlier runs
    edges: int = 0
    features: int = 0
    inputs: int = 0
    cpu_seconds: float = 0    # of this run
    quiet_seconds: float = 0  # since the program's last new edge, in this run and earlier ones
    seconds: float = 0
    findings: list = dataclasses.field(default_factory=list)
    problem: str = ""  # why it ended, when that is neither a finding nor its time

    @property
    def folder(self):
        return KEPT / self.name

    @property
    def found(self):
        return self.folder / "corpus"

    @property
    def seeded(self):
        """What a run with a seed finds, until the next one."""
        return self.folder / "seeded"

    @property
    def log(self):
        return self.folder / "log"

    @property
    def progress(self):
        return self.folder / "progress.json"

    def digest(self):
        return hashlib.sha256(Path(self.program).read_bytes()).hexdigest()

    def all_executions(self):
        return self.earlier_executions + self.executions

    def command(self, *more):
        return [*sanitizers.PREFIX, self.program, *self.options, *more]

    def failed(self):
        return bool(self.findings or self.problem)


def targets_of(build):
    """What meson.build describes, by name."""
    described = json.loads(subprocess.run(["meson", "introspect", build, "--tests"], check=True,
                                          capture_output=True).stdout)
    targets = {}
    for test in described:
        if "coupon:fuzz" in test["suite"]:
            name = test["name"].removeprefix("fuzz-")
            program, *arguments = test["cmd"]
            options = [word for word in arguments
                       if word.startswith("-") and not word.startswith("-max_total_time=")]
            targets[name] = Target(name, program, options, Path(arguments[-1]))
    return targets


def findings_in(target):
    return {path for pattern in FINDINGS for path in target.folder.glob(pattern)}


# ---- one target ------------------------------------------------------------------------------

def cpu_seconds_of(process):
    """Of all its threads so far; 0 once it has ended."""
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return 0
    words = text.rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def progress_read(target):
    """What earlier runs of the very same program came to; nothing once it was built anew."""
    try:
        progress = json.loads(target.progress.read_text())
    except (OSError, ValueError):
        progress = {}
    same = progress.get("program") == target.digest()
    return progress if same else NO_PROGRESS


def progress_write(target, earlier_edges):
    target.progress.write_text(json.dumps({
        "program": target.digest(), "executions": target.all_executions(),
        "edges": max(target.edges, earlier_edges),
        "quiet_seconds": 0 if target.failed() else target.quiet_seconds}))


class Run:
    """A target under way: its log is read as it grows."""

    def __init__(self, target, options, room, stop):
        self.target = target
        self.options = options
        self.stop = stop
        self.before = findings_in(target)
        self.read = 0
        self.edge_cpu = 0  # CPU seconds when the newest edge was reached, or those inputs were
        #                    read that had reached all before
        seeded = options.seed is not None
        earlier = NO_PROGRESS if seeded else progress_read(target)
        self.earlier_edges = earlier["edges"]
        self.earlier_quiet = earlier["quiet_seconds"]
        target.earlier_executions = earlier["executions"]
        limit = [f"-max_total_time={options.seconds}"] if options.seconds else []
        limit += [f"-seed={options.seed}"] if seeded else []
        found = target.seeded if seeded else target.found
        if seeded:
            shutil.rmtree(found, ignore_errors=True)
        found.mkdir(parents=True, exist_ok=True)
        self.log = open(target.log, "wb")
        self.process = subprocess.Popen(
            target.command(*limit, "-print_final_stats=1", f"-artifact_prefix={target.folder}/",
                           str(found), str(target.corpus)),
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=ROOT,
            env={**os.environ, **sanitizers.ENVIRONMENT, "COUPON_FUZZ_PARENT": room},
            start_new_session=True)

    def look(self):
        target = self.target
        target.cpu_seconds = max(target.cpu_seconds, cpu_seconds_of(self.process))
        with open(target.log, "rb") as log:
            log.seek(self.read)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self.read += whole
        for count, event, edges, features, inputs in STATUS_LINE.findall(text[:whole]):
            target.executions = int(count)
            if int(edges) > max(target.edges, self.earlier_edges):
                self.earlier_quiet = 0
            if int(edges) > target.edges or event == b"INITED":
                self.edge_cpu = target.cpu_seconds
            target.edges, target.features = int(edges), int(features)
            target.inputs = int(inputs)
        target.quiet_seconds = target.cpu_seconds - self.edge_cpu + self.earlier_quiet

    def is_over(self):
        return self.stop.is_set() or (self.options.until_quiet is not None and
                                      self.target.quiet_seconds >= self.options.until_quiet)

    def end(self):
        """Asks it to end where it still runs. Returns whether it had to be asked."""
        asked = self.process.poll() is None
        if asked:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        return asked

    def judge(self, asked):
        target = self.target
        executed = re.search(rb"stat::number_of_executed_units:\s*(\d+)", target.log.read_bytes())
        if executed:
            target.executions = int(executed.group(1))
        target.findings = sorted(findings_in(target) - self.before)
        code = self.process.returncode
        if not target.findings and code != 0 and not asked:
            target.problem = f"ended with {code}, see {target.log.relative_to(ROOT)}"
        elif target.edges == 0 and not self.stop.is_set() and not target.findings:
            target.problem = f"ran nothing, see {target.log.relative_to(ROOT)}"


def run_target(target, options, room, stop):
    begin = time.monotonic()
    run = Run(target, options, room, stop)
    told = begin
    while run.process.poll() is None and not run.is_over():
        time.sleep(LOOK_SECONDS / 4)
        run.look()
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            print(f"fuzz: {target.name}: {target.executions} executions, {target.edges} edges, "
                  f"quiet for {target.quiet_seconds:.0f} CPU s", file=sys.stderr, flush=True)
    asked = run.end()
    run.look()
    run.judge(asked)
    if options.seed is None:
        progress_write(target, run.earlier_edges)
    target.seconds = time.monotonic() - begin
    for path in target.findings:
        tell_finding(target, path)


def summary_of(target):
    """The sanitizer's or libFuzzer's own line of what went wrong."""
    lines = re.findall(rb"^SUMMARY: .*$|^.*: Assertion .*$", target.log.read_bytes(), re.MULTILINE)
    return lines[0].decode(errors="replace") if lines else "without a summary"


def why_failed(target):
    """In a line that is enough to look into it where the finding's file is out of reach."""
    if not target.findings:
        return target.problem
    path = target.findings[0]
    told = ""
    if path.stat().st_size <= TOLD_SIZE_MAX:
        told = f", its input in base64: {base64.b64encode(path.read_bytes()).decode()}"
    return f"{path.name}: {summary_of(target)}{told}"


def tell_finding(target, path):
    print(f"fuzz: FINDING of {target.name}: {path.relative_to(ROOT)}\n"
          f"  replay: {' '.join([*sanitizers.PREFIX, os.path.relpath(target.program, ROOT)])} "
          f"{path.relative_to(ROOT)}\n"
          f"  its words are in {target.log.relative_to(ROOT)}", flush=True)


def run_all(targets, options, stop):
    """As many at a time as there are jobs."""
    waiting = list(targets)
    lock = threading.Lock()
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    room = tempfile.mkdtemp(prefix="coupon-fuzz-", dir=parent)

    def worker():
        while True:
            with lock:
                if not waiting or stop.is_set():
                    return
                target = waiting.pop(0)
            run_target(target, options, room, stop)

    threads = [threading.Thread(target=worker) for _ in range(options.jobs)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a signal is taken between waits
                thread.join(1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        shutil.rmtree(room, ignore_errors=True)


# ---- what is told ----------------------------------------------------------------------------

def tell(targets):
    print(f"\n{'target':<14} {'executions':>11} {'exec/s':>8} {'inputs':>7} {'edges':>6} "
          f"{'features':>9} {'CPU s':>7} {'quiet s':>8} {'findings':>9}")
    for target in targets:
        rate = target.executions / target.seconds if target.seconds else 0
        print(f"{target.name:<14} {target.all_executions():>11} {rate:>8.0f} {target.inputs:>7} "
              f"{target.edges:>6} {target.features:>9} {target.cpu_seconds:>7.0f} "
              f"{target.quiet_seconds:>8.0f} {len(target.findings):>9}"
              + (f"  {target.problem}" if target.problem else ""))


def result_of(targets, seconds):
    ran = [target for target in targets if target.executions]
    figures = {
        "part": "fuzz",
        "targets": len(targets),
        "targets_run": len(ran),
        "executions": sum(target.all_executions() for target in targets),
        "findings": sum(len(target.findings) for target in targets),
        "failed": sum(target.failed() for target in targets),
        "failed_names": " ".join(target.name for target in targets if target.failed()),
        "cpu_seconds": round(sum(target.cpu_seconds for target in targets)),
        "quiet_cpu_seconds_min": round(min((target.quiet_seconds for target in ran), default=0)),
        "seconds": round(seconds),
    }
    for target in targets:
        figures[f"executions_{target.name}"] = target.all_executions()
        figures[f"edges_{target.name}"] = target.edges
        figures[f"quiet_cpu_seconds_{target.name}"] = round(target.quiet_seconds)
        if target.failed():
            figures[f"why_{target.name}"] = why_failed(target)
    return figures


# ---- merging ---------------------------------------------------------------------------------

def merge(target):
    """Adds to the tree's corpus what reaches more than it does: the least that covers it."""
    if not target.found.is_dir():
        print(f"{target.name}: nothing was found yet")
        return True
    with tempfile.TemporaryDirectory() as room:
        small = Path(room) / "small"
        chosen = Path(room) / "chosen"
        small.mkdir()
        chosen.mkdir()
        for path in [*target.found.iterdir(), *target.corpus.iterdir()]:
            if path.stat().st_size <= MERGED_SIZE_MAX:
                shutil.copy(path, small)
        done = subprocess.run(
            target.command("-set_cover_merge=1", str(chosen), str(target.corpus), str(small)),
            stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT,
            env={**os.environ, **sanitizers.ENVIRONMENT, "COUPON_FUZZ_PARENT": room})
        if done.returncode != 0:
            print(f"{target.name}: the merge ended with {done.returncode}")
            return False
        there = {path.read_bytes() for path in target.corpus.iterdir()}
        new = sorted((path for path in chosen.iterdir() if path.read_bytes() not in there),
                     key=lambda path: path.stat().st_size)
        for path in new[:MERGED_MAX]:
            shutil.copy(path, target.corpus / f"found-{path.name[:8]}")
    print(f"{target.name}: {min(len(new), MERGED_MAX)} of {len(new)} inputs were added to "
          f"{target.corpus.relative_to(ROOT)}")
    return True


# ---- the command -----------------------------------------------------------------------------

def whole_number(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def read_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev fuzz", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Fuzzes parsers and whole servers with libFuzzer. One line a target at the end;\n"
                    "exit code 1 when an input was found that a target does not stand.")
    parser.add_argument("--seconds", type=whole_number, help="for each target; 60 if not given")
    parser.add_argument("--until-quiet", type=whole_number, metavar="S",
                        help="each target goes on until it has reached nothing new for S seconds of "
                             "CPU time (or for --seconds, if given)")
    parser.add_argument("--jobs", type=whole_number, default=1, help="targets at the same time")
    parser.add_argument("--seed", type=whole_number, metavar="N",
                        help="the same inputs in every run of the same program, as far as its threads "
                             "and clocks allow, from the tree's corpus alone")
    parser.add_argument("--result", metavar="FILE", help="where the figures go, as JSON")
    parser.add_argument("--merge", action="store_true",
                        help="add what was found to the tree's corpora, as little as covers it")
    parser.add_argument("--build", default="build/clang", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    if options.until_quiet is None and options.seconds is None:
        options.seconds = 60
    known = targets_of(ROOT / options.build)
    for name in options.targets:
        if name not in known:
            parser.error(f"there is no target '{name}'; there are {' '.join(sorted(known))}")
    return options, [known[name] for name in options.targets or sorted(known)]


def main():
    options, targets = read_arguments()
    os.nice(10)
    if options.merge:
        return 0 if all([merge(target) for target in targets]) else 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    begin = time.monotonic()
    run_all(targets, options, stop)
    tell(targets)
    if options.result:
        figures = result_of(targets, time.monotonic() - begin)
        Path(options.result).write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if any(target.failed() for target in targets) else 0


if __name__ == "__main__":
    sys.exit(main())
