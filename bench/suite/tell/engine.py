"""The engine alone, told."""

from suite.figures import find, values_of
from suite.plots import STYLE, TERMINAL, value_min_max
from suite.tables import Table, only, size_name, spread, wanted

ALTERNATIVES = {"engine": "Lines: ns a claim by issues held"}
COLOURS = {"fresh": "#1f5fa8", "duplicate": "#c4641b", "sold_out": "#3f8f4f"}


def tables(lines):
    sizes = values_of(lines, "issues")
    rows = [[f"{kind.replace('_', ' ')}, ns a claim",
             *[spread(find(lines, "claim_ns", claim=kind, issues=size)) for size in sizes],
             only(find(lines, "claim_ns_large_to_small", claim=kind))]
            for kind in values_of(lines, "claim")]
    rows.append(["memory, bytes an issue",
                 *[only(find(lines, "bytes_an_issue", issues=size)) for size in sizes], ""])
    names = [size_name(size) for size in sizes]
    return [Table("Engine alone", ["issues held", *names, f"{names[-1]} : {names[0]}"], rows)]


def thresholds(lines):
    found = []
    for kind in values_of(lines, "claim"):
        found += wanted(lines, {"claim": kind}, "claim_ns_large_to_small",
                        f"engine, {kind.replace('_', ' ')}: 10 M to 1 k issues", 2, False)
    sizes = values_of(lines, "issues")
    return found + wanted(lines, {"issues": sizes[-1] if sizes else 0}, "bytes_an_issue",
                          "engine: bytes an issue", 40, False)


def picture(lines):
    blocks, plots = [], []
    for kind in values_of(lines, "claim"):
        cells = [find(lines, "claim_ns", claim=kind, issues=issues)
                 for issues in values_of(lines, "issues")]
        rows = [f"{cell['parameters']['issues']} {value_min_max(cell)}" for cell in cells]
        blocks.append(f"${kind} << EOD\n" + "\n".join(rows) + "\nEOD\n")
        plots.append(f"${kind} using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 "
                     f"linecolor rgb '{COLOURS[kind]}' title '{kind.replace('_', ' ')}'")
    tics = ", ".join(f"'{size_name(issues)}' {issues}" for issues in values_of(lines, "issues"))
    return (TERMINAL.format(width=640, height=400) + STYLE + "".join(blocks)
            + "set title 'engine alone: ns a claim (less is better)'\nset logscale x\n"
            f"set xtics ({tics})\nset xlabel 'issues held'\nset ylabel 'ns a claim'\n"
            f"set xrange [500:2e7]\nset yrange [0:*]\nset key left top\nplot {', '.join(plots)}\n")


def scripts(lines):
    return {"engine": picture(lines)}
