"""A start with many issues, told."""

from suite.figures import find, values_of
from suite.plots import STYLE, TERMINAL, value_min_max
from suite.tables import Table, only, size_name, spread, wanted

ALTERNATIVES = {"restart": "Bars: seconds to ready, warm and cold"}
COLOURS = {"warm": "#1f5fa8", "cold": "#8aa0b5"}
WANTED_SECONDS = 5


def tables(lines):
    rows = []
    for way in values_of(lines, "way"):
        def line(what, way=way):
            return find(lines, what, way=way)
        rows.append([way, spread(line("ready_s")), only(line("cpu_s")),
                     only(line("read_bytes"), 1e-6), only(line("resident_bytes"), 1e-6),
                     only(line("bytes_an_issue"))])
    file_bytes = find(lines, "file_bytes_an_issue")
    return [Table(f"Start with {size_name(file_bytes['parameters']['issues'])} issues",
                  ["file", "s to ready", "CPU s", "read from disk MB", "resident MB",
                   "memory bytes an issue"], rows,
                  f"On disk: {only(file_bytes)} bytes an issue. The cold starts came after "
                  f"{file_bytes['cold_by']}.")]


def thresholds(lines):
    found = []
    for way in values_of(lines, "way"):
        found += wanted(lines, {"way": way}, "ready_s", f"restart, {way}: seconds", WANTED_SECONDS,
                        False)
    return found + wanted(lines, {"way": "warm"}, "bytes_an_issue",
                          "server: memory bytes an issue", 40, False)


def picture(lines):
    rows, plots = [], []
    for index, way in enumerate(values_of(lines, "way")):
        rows.append(f"{index} {value_min_max(find(lines, 'ready_s', way=way))} \"{way}\"")
        colour = COLOURS[way]
        plots.append(f"$starts every ::{index}::{index} using 1:2:(0.5):xtic(5) with boxes "
                     f"linecolor rgb '{colour}' notitle")
    issues = size_name(values_of(lines, "issues")[0])
    top = 1.15 * max(WANTED_SECONDS, *[line["max"] for line in lines if line["what"] == "ready_s"])
    data = "\n".join(rows)
    return (TERMINAL.format(width=480, height=400) + STYLE + f"$starts << EOD\n{data}\nEOD\n"
            f"set title 'start with {issues} issues: seconds to ready (less is better)'\n"
            f"set ylabel 's'\nset yrange [0:{top:.1f}]\nset xrange [-0.6:{len(rows) - 0.4}]\n"
            f"plot {', '.join(plots)}, $starts using 1:3:(0):($4-$3) with vectors nohead "
            f"linecolor rgb '#222222' notitle, {WANTED_SECONDS} with lines "
            "linecolor rgb '#444444' dashtype 2 title 'wanted, warm'\n")


def scripts(lines):
    return {"restart": picture(lines)}
