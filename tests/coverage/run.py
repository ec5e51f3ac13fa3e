#!/usr/bin/python3
"""./dev coverage: which branches of src/ the tests take, and which they never take.

Runs the parts of ./dev test (tests/run.py) with the build of kind `coverage` (gcc --coverage, -O0),
then reads with gcov what all their processes counted together (gcov.py beside this, which tells
what is no branch here). Not for: judging the tests' own results, though one that fails ends this
run with 1 as well.

A process counts when it exits. What is killed with SIGKILL, as several tests do on purpose, leaves
no counts, so that the figures are too low rather than too high; SIGTERM lets it count."""

import argparse
import dataclasses
import importlib.util
import json
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import gcov
import source

ROOT = Path(__file__).resolve().parents[2]
KIND = "coverage"
BUILD = ROOT / "build" / KIND
QUICK = ("unit", "contract", "e2e")
FULL = (*QUICK, "e2e-postgres", "e2e-mariadb", "e2e-redis", "cluster", "faults")
# What the tests have to reach, in percent of the branches, of a folder of src/ or of all.
GOALS = {"engine": 90, "ledger": 90, "issuer": 90, "http": 90, "all": 80}

SPEC = importlib.util.spec_from_file_location("suite", ROOT / "tests" / "run.py")
suite = sys.modules["suite"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(suite)
suite.SLOWNESS[KIND] = 3


def read_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev coverage", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Branches of src/ that the tests take. Exit code 1: below a goal, or a test "
                    "failed.",
        epilog="goals: " + ", ".join(f"{name} {goal} %" for name, goal in GOALS.items())
               + "\nparts: " + " ".join(FULL))
    parser.add_argument("parts", nargs="*", metavar="PART", help="of ./dev test, only these")
    parser.add_argument("--quick", action="store_true",
                        help="only " + ", ".join(QUICK) + ": no servers but the contract's")
    parser.add_argument("--keep", action="store_true",
                        help="add to what earlier runs counted; without it they are forgotten")
    parser.add_argument("--read", action="store_true",
                        help="run nothing: the figures of what is there")
    parser.add_argument("--missing", metavar="FILE",
                        help="list every branch that was never taken: file:line:number")
    parser.add_argument("--result", metavar="FILE", help="the figures as JSON")
    options = parser.parse_args(arguments)
    known = {part.name for part in suite.PARTS if part.build != "asan"}
    for name in options.parts:
        if name not in known:
            parser.error(f"there is no part {name}")
    return options


# ---- the run ---------------------------------------------------------------------------------

def chosen(options):
    names = options.parts or (QUICK if options.quick else FULL)
    return [dataclasses.replace(part, name=f"coverage-{part.name}", build=KIND,
                                outcome=suite.Outcome())
            for part in suite.PARTS if part.name in names]


def forget():
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()


def told(part):
    """A line every few seconds while it runs: what of its log is new."""
    lines = part.log_path.read_text(errors="replace").splitlines() if part.log_path.exists() else []
    return lines[-1][:100] if lines else ""


def run_until_stopped(part):
    try:
        part.run()
    except suite.Stopped:
        part.outcome.failures.append("it was stopped")


def run_part(part):
    part.log_path.unlink(missing_ok=True)
    worker = threading.Thread(target=run_until_stopped, args=(part,))
    begin = time.monotonic()
    worker.start()
    while worker.is_alive():
        worker.join(5)
        if worker.is_alive():
            print(f"  {part.name} {time.monotonic() - begin:.0f} s: {told(part)}",
                  file=sys.stderr, flush=True)
    print(f"  {part.name:<24} {part.outcome.passed} passed, {len(part.outcome.failures)} failed, "
          f"{len(part.outcome.skips)} skipped, {part.seconds:.0f} s", file=sys.stderr, flush=True)


def run_parts(parts):
    """Runs them one after the other. Whether it came to the end."""
    suite.LOGS.mkdir(parents=True, exist_ok=True)
    try:
        for part in parts:
            run_part(part)
    except KeyboardInterrupt:
        print("coverage: stopped; the figures are of what ran until now", file=sys.stderr)
        suite.PROCESSES.stop()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        return False
    return True


# ---- the figures -----------------------------------------------------------------------------

def files_of_src():
    files = gcov.read(BUILD, ROOT, "src")
    for path, file in files.items():
        text = (ROOT / path).read_text()
        gcov.without_assertions(file, text)
        if "switch (" in text and path.endswith(".c"):
            gcov.without_no_value(file, source.enum_switches(BUILD, ROOT / path))
    return files


def sums_of(files):
    """{folder of src/, and "all": figures}."""
    sums = defaultdict(gcov.Figures)
    for path, file in files.items():
        for name in (Path(path).parts[1], "all"):
            sums[name].add(gcov.Figures.of(file))
    return sums


def line_of(name, figures, goal=None):
    branches = gcov.percent(figures.branches_hit, figures.branches)
    lines = gcov.percent(figures.lines_hit, figures.lines)
    verdict = "" if goal is None else "  kept" if branches >= goal else f"  BELOW {goal}"
    return (f"{name:<34}{lines:7.1f} %{branches:8.1f} %{figures.branches_hit:8}"
            f" of {figures.branches:<6}{figures.branches - figures.branches_hit:6}{verdict}")


def table_of(files, sums):
    lines = [f"{'':<34}{'lines':>9}{'branches':>10}{'taken':>8}{'':10}{'never':>6}"]
    for folder in sorted(name for name in sums if name != "all"):
        lines.append(line_of(f"src/{folder}", sums[folder], GOALS.get(folder)))
        for path in sorted(files):
            if Path(path).parts[1] == folder:
                lines.append(line_of("  " + Path(path).name, gcov.Figures.of(files[path])))
    return [*lines, line_of("src", sums["all"], GOALS["all"])]


def below(sums):
    return [name for name, goal in GOALS.items()
            if gcov.percent(sums[name].branches_hit, sums[name].branches) < goal]


def result_of(sums, parts, seconds):
    result = {"part": "coverage", "seconds": round(seconds), "below_goal": len(below(sums)),
              "tests": sum(part.outcome.count() for part in parts),
              "failed": sum(len(part.outcome.failures) for part in parts)}
    for name, figures in sorted(sums.items()):
        result[f"branches_{name}_percent"] = round(
            gcov.percent(figures.branches_hit, figures.branches), 1)
    result["branches"] = sums["all"].branches
    result["lines_percent"] = round(gcov.percent(sums["all"].lines_hit, sums["all"].lines), 1)
    return result


def write_missing(files, path):
    with open(path, "w", encoding="utf-8") as out:
        for name in sorted(files):
            text = dict(enumerate((ROOT / name).read_text().splitlines(), start=1))
            for line, number in files[name].missing():
                print(f"{name}:{line}:{number}: {text.get(line, '').strip()}", file=out)


def main():
    options = read_arguments(sys.argv[1:])
    begin = time.monotonic()
    if not (BUILD / "build.ninja").exists():
        sys.exit(f"coverage: there is no {BUILD}; ./dev coverage makes it")
    parts = [] if options.read else chosen(options)
    if parts and not options.keep:
        forget()
    whole = run_parts(parts)
    files = files_of_src()
    sums = sums_of(files)
    print("\n".join(table_of(files, sums)))
    for part in parts:
        for failure in part.outcome.failures:
            print(f"FAILED {part.name}: {failure}")
    if options.missing:
        write_missing(files, options.missing)
    result = result_of(sums, parts, time.monotonic() - begin)
    if options.result:
        Path(options.result).write_text(json.dumps(result) + "\n")
    return 1 if result["failed"] or result["below_goal"] or not whole else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
