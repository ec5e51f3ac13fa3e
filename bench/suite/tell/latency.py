"""Latency at a steady rate, told."""

from suite.figures import find, told, values_of
from suite.plots import STYLE, TERMINAL
from suite.tables import MISSING, Table, Threshold, number, only, wanted

PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99")
HALF = 50  # percent of the maximum at which the thresholds are
CHECKPOINT_US_MAX = 20_000
COLOURS = {25: "#9ecae1", 50: "#1f5fa8", 75: "#f3a35c", 90: "#b02418"}
TITLES = {"accepted": "accepted: 201 after the commit", "sold out": "sold out: 409"}
ALTERNATIVES = {"latency": "Lines by percentile: ms at 25, 50, 75 and 90 % of the maximum rate"}


def ms(line):
    return only(line, 1e-3)


def row_of(lines, case, percent):
    def line(what):
        return find(lines, what, case=case, **({"percent": percent} if percent else {}))

    rate = line("requests_per_s")
    row = [case, f"{percent} %" if percent else "maximum, closed loop", only(rate),
           *[ms(line(f"latency_{name}")) for name in (*PERCENTILES, "max")],
           only(line("cpu_us_per_request"))]
    if not percent or case == "sold out":
        return [*row, ms(line("late_us_max")) if percent else "", "", ""]
    longest = line("checkpoint_max")
    return [*row, ms(line("late_us_max")), only(line("checkpoints")),
            number(longest["max"] * 1e-3) if longest else MISSING]


def tables(lines):
    connections = values_of(lines, "connections")[0]
    rows = [row_of(lines, case, percent) for case in values_of(lines, "case")
            for percent in (None, *values_of(lines, "percent"))]
    return [Table(f"Latency at a steady rate, {connections} connections, two loops: ms",
                  ["case", "of the maximum", "requests/s", "p50", "p90", "p99", "p99.9", "p99.99",
                   "max", "CPU us a request", "client itself late, at most", "checkpoints a run",
                   "the longest of all turns"], rows,
                  "Latency counts from when a request was meant to leave; of several turns the "
                  "median of each percentile.")]


def thresholds(lines):
    at_half = {"case": "accepted", "percent": HALF}
    name = f"latency, accepted at {HALF} % of the maximum"
    found = []
    for percentile, limit_us in (("p99", 5_000), ("p99.9", 20_000)):
        found += wanted(lines, at_half, f"latency_{percentile}", f"{name}: {percentile}, us",
                        limit_us, False)
    if longest := find(lines, "checkpoint_max", **at_half):
        found.append(Threshold(f"{name}: longest checkpoint of all turns, us", longest["max"],
                               CHECKPOINT_US_MAX, False))
    return found


def panel(lines, case):
    """A line a rate. The percentiles are as far apart as their nines: p90 is 1, p99 is 2."""
    nines = {"p50": 0.301, "p90": 1, "p99": 2, "p99.9": 3, "p99.99": 4}
    blocks, plots = [], []
    for percent in values_of(lines, "percent"):
        cells = {name: find(lines, f"latency_{name}", case=case, percent=percent)
                 for name in PERCENTILES}
        if not all(cells.values()):
            continue
        rows = [f"{nines[name]} {told(cell) / 1e3} {cell['min'] / 1e3} {cell['max'] / 1e3}"
                for name, cell in cells.items()]
        block = f"$at{percent}"
        blocks.append(f"{block} << EOD\n" + "\n".join(rows) + "\nEOD\n")
        rate = number(told(find(lines, "requests_per_s", case=case, percent=percent)))
        plots.append(f"{block} using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 "
                     f"pointsize 0.6 linecolor rgb '{COLOURS.get(percent, '#444444')}' "
                     f"title '{percent} %: {rate}/s'")
    tics = ", ".join(f"'{name}' {at}" for name, at in nines.items())
    return ("".join(blocks) + f"set title '{TITLES[case]}'\nset xtics ({tics})\n"
            f"set xrange [0.2:4.1]\nplot {', '.join(plots)}\n")


def scripts(lines):
    panels = "".join(panel(lines, case) for case in values_of(lines, "case", "latency_p50")
                     if find(lines, "latency_p50", case=case, percent=HALF))
    top_ms = 1.5 * max(line["max"] for line in lines if line["what"] == "latency_p99.99") / 1e3
    return {"latency": TERMINAL.format(width=1100, height=440) + STYLE
            + f"set logscale y\nset yrange [0.05:{top_ms:.0f}]\nset ylabel 'ms (less is better)'\n"
            "set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)\n"
            "set key outside below horizontal maxrows 2\nset multiplot layout 1,2\n" + panels
            + "unset multiplot\n"}
