"""Reads what gcov counted: which branches of which line were taken how often.

Not for: running anything but gcov itself. Called by run.py beside this.

What is no branch here, though gcov lists it:
- what `assert` expands to (all of it has the line on which the assertion begins): the other way
  would be a mistake of the programmer, and ends the process;
- the way out of a switch over an enum for a value that is none of the enum's, where all are
  listed. The compiler makes it; nothing in the language leads there.
The build is -O0, so the compiler makes no other ones."""

import json
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

OBJECTS_AT_ONCE = 100


@dataclass
class File:
    """One source file: count a line, and counts of the ways out of a line."""
    lines: dict = field(default_factory=lambda: defaultdict(int))
    branches: dict = field(default_factory=dict)

    def add(self, line, count, ways):
        """A line as one object counted it; other objects may have the same source."""
        self.lines[line] += count
        old = self.branches.get(line, [])
        longer, shorter = (old, ways) if len(old) >= len(ways) else (ways, old)
        if longer:
            self.branches[line] = [way + (shorter[index] if index < len(shorter) else 0)
                                   for index, way in enumerate(longer)]

    def missing(self):
        """(line, number of the way) of each that was never taken, numbered from 0."""
        return [(line, index) for line, ways in sorted(self.branches.items())
                for index, count in enumerate(ways) if count == 0]


@dataclass
class Figures:
    lines: int = 0
    lines_hit: int = 0
    branches: int = 0
    branches_hit: int = 0

    def add(self, other):
        self.lines += other.lines
        self.lines_hit += other.lines_hit
        self.branches += other.branches
        self.branches_hit += other.branches_hit

    @staticmethod
    def of(file):
        ways = [count for line in file.branches.values() for count in line]
        return Figures(len(file.lines), sum(count > 0 for count in file.lines.values()),
                       len(ways), sum(count > 0 for count in ways))


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def report_of(objects, folder):
    """gcov's own report of these objects, whose paths are relative to the folder."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                           *map(str, objects)], cwd=folder, capture_output=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


def read(folder, root, below):
    """{path from the root: File} of the sources below root/below, from all objects in the folder."""
    objects = sorted(Path(folder).rglob("*.gcno"))
    groups = [objects[index:index + OBJECTS_AT_ONCE]
              for index in range(0, len(objects), OBJECTS_AT_ONCE)]
    files = defaultdict(File)
    with ThreadPoolExecutor(2) as pool:
        for reports in pool.map(lambda group: report_of(group, folder), groups):
            for report in reports:
                take(report, Path(folder), Path(root), below, files)
    return dict(files)


def take(report, folder, root, below, files):
    for entry in report["files"]:
        path = (folder / entry["file"]).resolve()
        if not path.is_relative_to(root / below):
            continue
        file = files[str(path.relative_to(root))]
        for line in entry["lines"]:
            file.add(line["line_number"], line["count"],
                     [way["count"] for way in line["branches"]])


def without_assertions(file, text):
    """Takes the branches of assertions away."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("assert("):
            file.branches.pop(number, None)


def without_no_value(file, switches):
    """Takes the way for no value of the enum away. switches: {line: groups of cases}."""
    for line, groups in switches.items():
        ways = file.branches.get(line, [])
        if len(ways) == groups + 1 and 0 in ways:
            ways.remove(0)
