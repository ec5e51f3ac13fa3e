#!/usr/bin/python3
"""Crash loops and power cuts, as long as one likes.

    run.py kill --mode embedded|sql|redis [--ledger mysql|postgres] [--rounds N]
    run.py power [--cuts N]

    --build DIR    a build with -Dfailpoints=true      [build/debug]
    --seed N       the same choices again; what real processes do in between differs
    --result FILE  the figures, as one JSON object
    --keep         the folder of a round that failed stays, and is named

Exit code 0: everything that was promised was kept; 1: a violation; 2: wrong use, or it cannot run
here. Ends with what it has on Ctrl-C or SIGTERM.
"""

import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from kill import distributed, embedded, power  # noqa: E402
from kill.history import Programs  # noqa: E402
from kill.victim import NAMES  # noqa: E402

PROGRESS_S = 5


class Run:
    """Counts, tells how it goes, and knows when to end."""

    def __init__(self, options, part):
        self.options, self.part = options, part
        self.programs = Programs(options.build)
        self.random = random.Random(options.seed)
        self.tally = collections.Counter()   # kills by failpoint
        self.figures = collections.Counter()
        self.violations = []
        self.rounds = 0
        self.begin = self.told_at = time.monotonic()
        self.ended = False

    def end(self, *_):
        self.ended = True

    def going(self, wanted):
        return not self.ended and self.rounds < wanted and not self.violations

    def did(self, violations):
        self.rounds += 1
        self.violations += violations
        now = time.monotonic()
        if now - self.told_at >= PROGRESS_S:
            self.told_at = now
            print(f"{self.part}: {self.rounds} rounds, {now - self.begin:.0f} s", file=sys.stderr,
                  flush=True)

    def conclude(self):
        seconds = time.monotonic() - self.begin
        hits = {name: count for name, count in self.tally.items() if name in NAMES}
        figures = {"part": self.part, "rounds": self.rounds, "violations": len(self.violations),
                   "failpoints_hit": len(hits), "kills_at_failpoints": sum(hits.values()),
                   **self.figures, "seed": self.options.seed, "seconds": round(seconds)}
        for sentence in self.violations:
            print(f"violation: {sentence}")
        print(", ".join(f"{name} {count}" for name, count in sorted(self.tally.items())))
        print(json.dumps(figures))
        if self.options.result:
            Path(self.options.result).write_text(json.dumps(figures) + "\n")
        if not self.figures["issues"]:
            print(f"{self.part}: nothing was issued, so nothing was tried", file=sys.stderr)
        return 1 if self.violations or not self.figures["issues"] else 0


def run_embedded(run):
    folder, figures = None, {}
    try:
        while run.going(run.options.rounds):
            if folder is None:
                folder, figures = embedded.Folder(run.programs), {}
                first = run.rounds
            found = embedded.play_round(folder, run.random, run.tally, figures)
            last = run.rounds + 1 - first == embedded.FOLDER_ROUNDS or \
                run.rounds + 1 == run.options.rounds
            if not found and (last or run.ended):
                found = embedded.end_folder(folder)
                if not found:
                    run.figures.update(figures)
                    folder.remove()
                    folder = None
            run.did(found)
    finally:
        if folder:
            run.figures.update(figures)
        if folder and not (run.violations and run.options.keep):
            folder.remove()
        elif folder:
            folder.server.bury()
            print(f"kept: {folder.place}")


def run_distributed(run):
    why = distributed.missing(run.programs, run.options)
    if why:
        print(f"cannot run here: {why}", file=sys.stderr)
        sys.exit(2)
    with distributed.Stage(run.programs, run.options.mode, run.options.ledger) as stage:
        while run.going(run.options.rounds):
            run.did(distributed.play_round(stage, run.random, run.tally, run.figures))
        if not run.violations:
            run.violations += stage.verify()
        if run.violations and run.options.keep:
            print(f"kept: {stage.keep()}")


def run_power(run):
    why = power.missing()
    if why:
        print(f"cannot run here: {why}", file=sys.stderr)
        sys.exit(2)
    while run.going(run.options.cuts):
        for found in power.play_disk(run.programs, run.random, run.tally, run.figures,
                                     run.options.cuts - run.rounds):
            run.did(found)
            if run.ended:
                break


def read_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    kill = commands.add_parser("kill", help="kill -9 loops")
    kill.add_argument("--mode", choices=("embedded", "sql", "redis"), required=True)
    kill.add_argument("--ledger", choices=("mysql", "postgres"), default="mysql")
    kill.add_argument("--rounds", type=int, default=None)
    cuts = commands.add_parser("power", help="power cuts on a disk of their own")
    cuts.add_argument("--cuts", type=int, default=200)
    for command in (kill, cuts):
        command.add_argument("--build", default=HERE.parents[1] / "build/debug")
        command.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
        command.add_argument("--result")
        command.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.command == "kill" and options.rounds is None:
        options.rounds = 1000 if options.mode == "embedded" else 200
    return options


def main():
    options = read_options()
    part = "power" if options.command == "power" else f"kill-{options.mode}"
    part += f"-{options.ledger}" if part in ("kill-sql", "kill-redis") else ""
    run = Run(options, part)
    print(f"{part}: seed {options.seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, run.end)
    signal.signal(signal.SIGINT, run.end)
    play = run_power if options.command == "power" else \
        run_embedded if options.mode == "embedded" else run_distributed
    try:
        play(run)
    except (RuntimeError, OSError, AssertionError, subprocess.SubprocessError) as error:
        if not run.ended:
            raise
        # The signal that ends us may have ended a tool of this round too, which does not count.
        print(f"{part}: the round under way was given up: {error!r}", file=sys.stderr)
    return run.conclude()


if __name__ == "__main__":
    sys.exit(main())
