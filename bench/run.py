#!/usr/bin/python3
"""Measures how fast coupon is, part by part, and tells it in tables and pictures.

Called by ./dev bench, which has installed what is needed and built the programs. Not for:
whether it is right (./dev test), or a crowd like a real one (./dev load-test). The parts are
suite/parts/; what they share is suite/.
"""

import argparse
import fcntl
import importlib
import os
import resource
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from suite import pictures, record, report  # noqa: E402  they lie beside this file
from suite.processes import Refused  # noqa: E402
from suite.run import Progress, Run, Settings, minutes, read_lines  # noqa: E402

USUAL = ("engine", "http", "batch", "restart", "ledger")
# Measured only when they are named.
ASKED = ("floor", "distributed", "peers", "strategies", "latency", "herd", "event")
PARTS = {name: importlib.import_module(f"suite.parts.{name}") for name in (*USUAL, *ASKED)}
RECORD = "record"
BUILD = HERE.parent / "build"

DESCRIPTION = """\
Measures the parts (the first five when none is given), prints tables, and leaves JSON lines,
tables and pictures in build/bench. Another program that works meanwhile makes the figures
worthless; how much others did is in every line.
"""


def say(*words):
    print("bench:", *words, file=sys.stderr, flush=True)


def numbers(text):
    found = tuple(int(word) for word in text.split(",") if word.isdigit() and int(word) > 0)
    if len(found) != text.count(",") + 1:
        raise argparse.ArgumentTypeError(f"wants numbers such as 64,256, not {text}")
    return found


def one_number(text):
    if len(numbers(text)) != 1:
        raise argparse.ArgumentTypeError(f"wants one number, not {text}")
    return int(text)


def read_arguments(arguments):
    parts = "\n".join(f"  {name:<12}{module.SUMMARY}" for name, module in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="./dev bench", allow_abbrev=False, description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"parts:\n{parts}\n  {RECORD:<12}measures nothing: --record with the lines of "
               "former runs\n")
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--quick", action="store_true",
                        help="one short turn of each: shows that it works, no more")
    parser.add_argument("--turns", type=one_number, metavar="N", help="of each measurement [5]")
    parser.add_argument("--output", type=Path, metavar="DIR",
                        help="where lines and pictures go, and the disk that is measured "
                             "[build/bench; with --quick build/bench/quick]")
    parser.add_argument("--record", action="store_true",
                        help="write the figures into docs/; those of other parts stay")
    parser.add_argument("--connections", type=numbers, default=(64, 256, 1000), metavar="N,N",
                        help="http: of wrk [64,256,1000]")
    parser.add_argument("--loops", type=numbers, default=(1, 2), metavar="N,N",
                        help="http: loops of coupon and workers of nginx [1,2]")
    parser.add_argument("--seconds", type=one_number, metavar="N", help="http: of one run [4]")
    parser.add_argument("--build", type=Path, default=BUILD / "release",
                        metavar="DIR", help="the programs that are measured [build/release]")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in PARTS and part != RECORD:
            parser.error(f"there is no part '{part}'; there are {', '.join([*PARTS, RECORD])}")
    if options.record and options.quick:
        parser.error("a quick run is not recorded")
    return options


def settings_of(options):
    quick = options.quick
    output = options.output or BUILD / "bench" / ("quick" if quick else "")
    return Settings(turns=options.turns or (1 if quick else 5), quick=quick,
                    seconds=options.seconds or (1 if quick else 4),
                    connections=options.connections, loops=options.loops,
                    rows=1_000_000 if quick else 10_000_000, calls=30 if quick else 100,
                    build=options.build.resolve(), output=output.resolve())


def measure(names, settings):
    """The parts, one after the other. One that is refused is told, and the others go on.
    Returns the refused."""
    steps = {name: PARTS[name].steps(settings) for name in names}
    progress = Progress([step for name in names for step in steps[name]])
    say(f"{', '.join(names)}: will take about {minutes(progress.total())} (minutes:seconds)")
    refused, at = [], 0
    for name in names:
        at += len(steps[name])
        try:
            Run(name, settings, progress).perform(PARTS[name].measure)
        except (Refused, OSError) as refusal:
            refused.append(name)
            say(f"{name}: {refusal}")
        progress.skip_to(at)
    return refused


def tell(settings, names):
    """Tables and pictures of these parts. Returns their lines and the pictures' paths."""
    parts = read_lines(settings.output, names)
    if not parts:
        raise Refused(f"there are no figures in {settings.output}")
    text = report.text(parts)
    print(f"\n{text}\n")
    (settings.output / "tables.txt").write_text(text + "\n")
    drawn = pictures.draw(parts, settings.output)
    say(f"lines, tables and pictures are in {settings.output}")
    return parts, drawn


def lock():
    """One run at once: two would measure each other."""
    BUILD.mkdir(exist_ok=True)
    file = os.open(BUILD / ".bench.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused("another run is under way; wait for its end") from None
    return file


def main():
    options = read_arguments(sys.argv[1:])
    settings = settings_of(options)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, signal.default_int_handler)
    recording = options.record or RECORD in options.parts
    names = [name for name in options.parts if name != RECORD] or \
        ([] if RECORD in options.parts else list(USUAL))
    refused = []
    try:
        held = lock()
        settings.output.mkdir(parents=True, exist_ok=True)
        if names:
            refused = measure(names, settings)
        done = [name for name in names if name not in refused]
        parts, drawn = tell(settings, PARTS if RECORD in options.parts else done)
        if recording and not refused:
            documents, left_out = record.record(parts, drawn)
            say(f"recorded in {', '.join(f'docs/{name}' for name in documents)}")
            for part in left_out:
                say(f"not recorded, as it was a quick run: {part}")
        elif recording:
            say(f"not recorded, as these failed: {', '.join(refused)}")
        os.close(held)
    except Refused as refusal:
        sys.exit(f"bench: {refusal}")
    except KeyboardInterrupt:
        say("ended; what a part had measured so far is in its .partial file")
        return 130
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
