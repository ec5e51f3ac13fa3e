"""Writes what was measured into docs/performance.md, between the marks; the words around them
are people's. The pictures go beside it."""

import shutil

from suite import report
from suite.machine import ROOT
from suite.processes import Refused

DOCUMENT = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ALTERNATIVES = {"http": "Bars by connections: coupon beside nginx",
                "engine": "Lines: ns a claim by issues held",
                "restart": "Bars: seconds to ready, warm and cold"}


def markdown(parts):
    """What stands between the marks."""
    blocks = ["Written by `./dev bench --record`; medians, and in brackets the least and the most "
              "of the turns.", "\n".join(f"- {line}" for line in report.machine_lines(parts))]
    blocks += [f"**{warning}**" for warning in report.warnings(parts)]
    blocks.append(report.as_markdown(report.threshold_table(parts)))
    for name, make in report.TABLES.items():
        if name in parts:
            blocks += [report.as_markdown(table) for table in make(parts[name])]
            if name in ALTERNATIVES:
                blocks.append(f"![{ALTERNATIVES[name]}](performance/{name}.svg)")
    disk = report.disk_table(parts)
    return "\n\n".join([*blocks, *([report.as_markdown(disk)] if disk.rows else [])])


def replaced(document, figures):
    """The document with other figures between its marks."""
    if document.count(BEGIN) != 1 or document.count(END) != 1 or \
            document.index(END) < document.index(BEGIN):
        raise Refused(f"the document must have {BEGIN} once, and {END} once after it")
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{rest.partition(END)[2]}"


def record(parts, pictures, document=DOCUMENT, folder=PICTURES):
    """Leaves quick runs out: figures that are told must be worth it. Returns those parts."""
    kept = {name: lines for name, lines in parts.items() if not lines[0]["quick"]}
    if not kept:
        raise Refused("nothing to record: nothing was measured, or only by quick runs")
    text = replaced(document.read_text(), markdown(kept))
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        if picture.stem in kept:
            shutil.copyfile(picture, folder / picture.name)
    document.write_text(text)
    return [name for name in parts if name not in kept]
