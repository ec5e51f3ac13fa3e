"""What a part of the suite works with: the settings, its lines, how far it is."""

import json
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suite import machine
from suite.processes import Refused


@dataclass(frozen=True)
class Settings:
    turns: int
    quick: bool
    seconds: int        # of one run of wrk
    connections: tuple  # of wrk
    loops: tuple        # event loops of ours, and workers of nginx
    rows: int           # of the record that is started with
    calls: int          # batch calls of 10,000 users a connection
    build: Path         # where the programs are
    output: Path        # where the lines go, and where the servers' records lie meanwhile


class Progress:
    """Says what is being done, for how long, and of about how much. The estimate corrects
    itself by what the steps so far took."""

    def __init__(self, steps, clock=time.monotonic, out=sys.stderr):
        self.steps, self.clock, self.out = list(steps), clock, out
        self.begin, self.at = clock(), 0

    def total(self):
        """Seconds in all, as far as one can tell now."""
        elapsed = self.clock() - self.begin
        done = sum(seconds for _, seconds in self.steps[:self.at])
        left = sum(seconds for _, seconds in self.steps[self.at:])
        slower = elapsed / done if done > 20 else 1
        return elapsed + left * min(max(slower, 0.5), 3)

    def step(self):
        """The next of the steps begins."""
        text, seconds = self.steps[self.at]
        elapsed, total = self.clock() - self.begin, self.total()
        self.at += 1
        print(f"bench: {minutes(elapsed)} of about {minutes(total)}  {text} "
              f"({max(round(seconds), 1)} s)", file=self.out, flush=True)

    def skip_to(self, at):
        self.at = at


def minutes(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Run:
    """One part's run. Its lines are in `lines`, and in the file once the part is complete."""

    def __init__(self, name, settings, progress):
        self.name, self.settings, self.progress = name, settings, progress
        self.lines = []
        self.machine = machine.facts(settings.output)
        self.file = settings.output / f"{name}.jsonl"

    def program(self, name):
        path = self.settings.build / ("src/cli/coupon" if name == "coupon" else f"bench/{name}")
        if not path.exists():
            raise Refused(f"there is no {path}; ./dev bench builds it")
        return path

    def write(self, *lines):
        for line in lines:
            whole = {"part": self.name, **line, "quick": self.settings.quick,
                     "machine": self.machine}
            self.lines.append(whole)
            with open(self.file.with_suffix(".partial"), "a") as file:
                print(json.dumps(whole), file=file)

    @contextmanager
    def folder(self):
        """An empty folder on the disk that is measured, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.settings.output) as folder:
            yield Path(folder)

    def perform(self, measure):
        """The lines of a former run stay until these are complete."""
        partial = self.file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        measure(self)
        partial.replace(self.file)


def read_lines(folder, names):
    """{part: its lines} of the parts that were measured into this folder."""
    found = {}
    for name in names:
        path = folder / f"{name}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        lines = [line for line in map(json.loads, lines) if line.get("part") == name]
        if lines:
            found[name] = lines
    return found
