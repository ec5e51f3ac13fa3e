"""The table of the last runs in docs/reliability.md: a row a proof, between two marks. What was
not run keeps its row; the words around the table are people's."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"
sys.path.append(str(ROOT / "bench"))
from suite import machine  # noqa: E402  the measurements' own

BEGIN, END = "<!-- proofs: begin -->", "<!-- proofs: end -->"
HEAD = ("| proof | what it came to | kept | took | commit | day |", "|---|---|---|---|---|---|")


def commit():
    """What is proven; the document's own rows are no change of it."""
    return machine.commit(DOCUMENT.relative_to(ROOT)) or "none"


def duration(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@dataclass
class Row:
    name: str
    figures: str
    kept: bool
    seconds: float
    commit: str = field(default_factory=commit)
    day: str = field(default_factory=lambda: time.strftime("%Y-%m-%d", time.gmtime()))
    counts: bool = True  # it tried the promise: it takes the place of the row before it

    def cells(self):
        return (self.name, self.figures, "yes" if self.kept else "NO", duration(self.seconds),
                self.commit, self.day)

    def line(self):
        return f"{self.name}: {'kept' if self.kept else 'BROKEN'}; {self.figures}; " \
               f"{duration(self.seconds)}"

    def markdown(self):
        return "| " + " | ".join(self.cells()) + " |"


def recorded(document, row):
    """The document with this row in place of the proof's older one, or behind the others."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"the document must have {BEGIN} and {END} once each")
    before, _, rest = document.partition(BEGIN)
    inside, _, after = rest.partition(END)
    rows = [line for line in inside.splitlines() if line.startswith("| ") and line != HEAD[0]]
    begin = f"| {row.name} |"
    if any(line.startswith(begin) for line in rows):
        rows = [row.markdown() if line.startswith(begin) else line for line in rows]
    else:
        rows.append(row.markdown())
    return before + BEGIN + "\n\n" + "\n".join([*HEAD, *rows]) + "\n\n" + END + after
