"""The figures as pictures: gnuplot's script for each, and its run. The scripts are pure text,
with the data in them."""

from suite.figures import find, told, values_of
from suite.machine import tool
from suite.processes import Refused, finished
from suite.report import size_name

TERMINAL = "set terminal svg size {width},{height} font 'sans-serif,13' background '#ffffff'\n"
STYLE = """\
set style fill solid 0.9 noborder
set border 3 linecolor '#666666'
set tics nomirror
set grid ytics linecolor '#dddddd'
"""
# One colour a case, light for one loop and dark for more; told apart without colours too.
COLOURS = {"accepted": ("#7fb2e5", "#1f5fa8"), "sold out": ("#f3b880", "#c4641b")}
WAY_COLOURS = {"warm": "#1f5fa8", "cold": "#8aa0b5"}
WANTED_SECONDS = 5
CLAIM_COLOURS = {"fresh": "#1f5fa8", "duplicate": "#c4641b", "sold_out": "#3f8f4f"}


def value_min_max(line):
    return f"{told(line)} {line['min']} {line['max']}"


def http_panel(lines, what, title):
    """A group of bars a number of connections; in it a bar a case and number of loops."""
    series = [(case, loops) for case in values_of(lines, "case")
              for loops in values_of(lines, "loops")]
    rows = []
    for connections in values_of(lines, "connections"):
        cells = [find(lines, what, connections=connections, case=case, loops=loops)
                 for case, loops in series]
        if all(cells):
            rows.append(f'"{connections}" ' + " ".join(map(value_min_max, cells)))
    most_loops = max(values_of(lines, "loops"))
    plots = []
    for index, (case, loops) in enumerate(series):
        column, colour = 2 + 3 * index, COLOURS[case][loops == most_loops]
        plots.append(f"$ratios using {column}:{column + 1}:{column + 2}:xtic(1) "
                     f"title '{case}, {loops} loop{'s' if loops > 1 else ''}' "
                     f"linecolor rgb '{colour}'")
    plots.append("1 with lines linecolor rgb '#444444' dashtype 2 title 'nginx'")
    data = "\n".join(rows)
    return (f"$ratios << EOD\n{data}\nEOD\nset title '{title}'\n"
            "set xlabel 'connections' offset 0,0.5\nset ylabel 'coupon : nginx'\n"
            "set yrange [0:*]\nset style data histogram\n"
            "set style histogram errorbars gap 1.5 linewidth 1\n"
            "set errorbars 0.4 linecolor rgb '#222222'\n"
            f"set key outside below horizontal maxrows 2\nplot {', '.join(plots)}\n")


def http_script(lines):
    panels = [http_panel(lines, "requests_per_cpu_s_of_nginx",
                         "requests a CPU second, nginx = 1 (more is better)"),
              http_panel(lines, "requests_per_s_of_nginx",
                         "requests/s, nginx = 1 (more is better)")]
    return (TERMINAL.format(width=1100, height=420) + STYLE + "set multiplot layout 1,2\n"
            + "".join(panels) + "unset multiplot\n")


def engine_script(lines):
    blocks, plots = [], []
    for kind in values_of(lines, "claim"):
        cells = [find(lines, "claim_ns", claim=kind, issues=issues)
                 for issues in values_of(lines, "issues")]
        rows = [f"{cell['parameters']['issues']} {value_min_max(cell)}" for cell in cells]
        blocks.append(f"${kind} << EOD\n" + "\n".join(rows) + "\nEOD\n")
        plots.append(f"${kind} using 1:2:3:4 with yerrorlines linewidth 2 pointtype 7 "
                     f"linecolor rgb '{CLAIM_COLOURS[kind]}' title '{kind.replace('_', ' ')}'")
    tics = ", ".join(f"'{size_name(issues)}' {issues}" for issues in values_of(lines, "issues"))
    return (TERMINAL.format(width=640, height=400) + STYLE + "".join(blocks)
            + "set title 'engine alone: ns a claim (less is better)'\nset logscale x\n"
            f"set xtics ({tics})\nset xlabel 'issues held'\nset ylabel 'ns a claim'\n"
            f"set xrange [500:2e7]\nset yrange [0:*]\nset key left top\nplot {', '.join(plots)}\n")


def restart_script(lines):
    rows, plots = [], []
    for index, way in enumerate(values_of(lines, "way")):
        rows.append(f"{index} {value_min_max(find(lines, 'ready_s', way=way))} \"{way}\"")
        colour = WAY_COLOURS[way]
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


SCRIPTS = {"http": http_script, "engine": engine_script, "restart": restart_script}


def draw(parts, folder):
    """Writes PART.svg for each part that has a picture. Returns the paths."""
    gnuplot = tool("gnuplot")
    if not gnuplot:
        raise Refused("there is no gnuplot; ./dev bench installs it")
    paths = []
    for name, script in SCRIPTS.items():
        if name in parts:
            path = folder / f"{name}.svg"
            finished([gnuplot], 60, stdin=f"set output '{path}'\n{script(parts[name])}")
            paths.append(path)
    return paths
