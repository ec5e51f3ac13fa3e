"""Claims over HTTP beside nginx, told."""

from suite.figures import find, values_of
from suite.plots import STYLE, TERMINAL, value_min_max
from suite.tables import Table, only, spread, wanted

ALTERNATIVES = {"http": "Bars by connections: coupon beside nginx"}
# One colour a case, light for one loop and dark for more; told apart without colours too.
COLOURS = {"accepted": ("#7fb2e5", "#1f5fa8"), "sold out": ("#f3b880", "#c4641b")}


def tables(lines, title="HTTP beside nginx"):
    rows = []
    for case in values_of(lines, "case"):
        for loops in values_of(lines, "loops"):
            for connections in values_of(lines, "connections"):
                rows.append(row_of(lines, {"case": case, "loops": loops,
                                           "connections": connections}))
    return [Table(title,
                  ["case", "loops", "connections", "CPU us a request, coupon", "nginx",
                   "requests a CPU second, of nginx's", "requests/s, coupon", "nginx",
                   "requests/s, of nginx's", "latency p50/p99 ms, coupon", "nginx"],
                  [row for row in rows if row])]


def row_of(lines, parameters):
    def line(what, **more):
        return find(lines, what, **parameters, **more)

    def latency(server):
        return "/".join(only(line(f"latency_{name}", server=server), 1e-3)
                        for name in ("p50", "p99"))

    if not line("requests_per_s_of_nginx"):
        return None
    return [*map(str, parameters.values()),
            *[only(line("cpu_us_per_request", server=name)) for name in ("coupon", "nginx")],
            spread(line("requests_per_cpu_s_of_nginx")),
            *[only(line("requests_per_s", server=name)) for name in ("coupon", "nginx")],
            spread(line("requests_per_s_of_nginx")), latency("coupon"), latency("nginx")]


WHAT = {"requests_per_s_of_nginx": "requests/s",
        "requests_per_cpu_s_of_nginx": "requests a CPU second"}
# An accepted claim within one and a half times of nginx's processor time is two thirds here.
WANTED = {("accepted", "requests_per_s_of_nginx"): 0.85,
          ("accepted", "requests_per_cpu_s_of_nginx"): 0.67,
          ("sold out", "requests_per_s_of_nginx"): 0.95,
          ("sold out", "requests_per_cpu_s_of_nginx"): 0.9}


def thresholds(lines):
    found = []
    for (case, what), value in WANTED.items():
        for loops in values_of(lines, "loops"):
            found += wanted(lines, {"case": case, "loops": loops, "connections": 256}, what,
                            f"{case}, 256 connections, loops {loops}: {WHAT[what]}, of nginx's",
                            value)
    return found


def panel(lines, what, title):
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


def picture(lines):
    panels = [panel(lines, "requests_per_cpu_s_of_nginx",
                    "requests a CPU second, nginx = 1 (more is better)"),
              panel(lines, "requests_per_s_of_nginx", "requests/s, nginx = 1 (more is better)")]
    return (TERMINAL.format(width=1100, height=420) + STYLE + "set multiplot layout 1,2\n"
            + "".join(panels) + "unset multiplot\n")


def scripts(lines):
    return {"http": picture(lines)}
