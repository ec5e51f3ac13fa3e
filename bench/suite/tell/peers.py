"""What else could issue coupons, told."""

from suite.figures import find, told, values_of
from suite.plots import STYLE, TERMINAL
from suite.tables import Table, number, only, spread, wanted

# A case, what it is, and whether what it told lasts.
DURABLE, FAST, REFUSAL, CEILING = "durable", "not durable", "refusal", "ceiling"
CASES = {"accepted": ("coupon, accepted: 201", DURABLE),
         "postgresql": ("PostgreSQL alone, one coupon", DURABLE),
         "postgresql 64": ("PostgreSQL alone, 64 coupons", DURABLE),
         "peer": ("nginx, Lua, Redis, the original's script", FAST),
         "redis": ("the script in Redis alone", FAST),
         "redis pipelined": ("the same, 16 claims a message", FAST),
         "sold out": ("coupon, sold out: 409", REFUSAL),
         "nginx 409": ("nginx, return 409", CEILING),
         "nginx": ("nginx, return 200", CEILING),
         "nginx pinned": ("the same, its workers pinned", CEILING),
         "epoll": ("bare epoll, 200", CEILING)}
COLOURS = {DURABLE: "#1f5fa8", FAST: "#c4641b", REFUSAL: "#7fb2e5", CEILING: "#b4b4b4"}
TITLES = {DURABLE: "durable", FAST: "not durable", REFUSAL: "refused", CEILING: "constant reply"}
ALTERNATIVES = {"peers": "Bars: requests/s of coupon, its rivals and bare servers"}


def measured(lines):
    """The cases that there are lines of, as they are told."""
    there = values_of(lines, "case", "requests_per_s")
    return [case for case in CASES if case in there]


def row_of(lines, case):
    def line(what):
        return find(lines, what, case=case)

    name, kind = CASES[case]
    ratio = line("accepted_of")
    latency = "/".join(only(line(f"latency_{percent}"), 1e-3) for percent in ("p50", "p99"))
    return [name, kind, str(line("requests_per_s")["parameters"]["connections"]),
            spread(line("requests_per_s")), spread(ratio) if ratio else "",
            only(line("cpu_us_per_request")), latency]


def tables(lines):
    return [Table("Peers and ceilings, two loops or workers each",
                  ["what", "what it told", "clients", "requests/s", "coupon accepted, of that",
                   "CPU us a request", "latency p50/p99 ms"],
                  [row_of(lines, case) for case in measured(lines)],
                  f"Sold out is {spread(find(lines, 'sold_out_of_nginx'))} of nginx's 409; an "
                  f"accepted claim takes {spread(find(lines, 'accepted_cpu_of_nginx'))} of the "
                  "processor time of nginx's 200.")]


def thresholds(lines):
    return [*wanted(lines, {"case": "nginx"}, "accepted_of",
                    "peers, accepted: requests/s, of nginx's", 0.85),
            *wanted(lines, {}, "sold_out_of_nginx", "peers, sold out: requests/s, of nginx's",
                    0.95),
            *wanted(lines, {"case": "peer"}, "accepted_of",
                    "peers, accepted: requests/s, of nginx + Lua + Redis's", 2.5),
            *wanted(lines, {}, "accepted_cpu_of_nginx",
                    "peers, accepted: CPU us a request, of nginx's", 1.5, False)]


def scripts(lines):
    """Bars from left to right, the first case on top; the number stands at the end of its bar."""
    cases, blocks, plots = measured(lines), [], []
    for kind, colour in COLOURS.items():
        rows = []
        for index, case in enumerate(cases):
            if CASES[case][1] == kind:
                line = find(lines, "requests_per_s", case=case)
                rows.append(f'{len(cases) - index} {told(line)} {line["min"]} {line["max"]} '
                            f'"{CASES[case][0]}" "{number(told(line))}"')
        name = f"$kind{len(blocks)}"
        blocks.append(f"{name} << EOD\n" + "\n".join(rows) + "\nEOD\n")
        plots += [f"{name} using 2:1:(0):2:($1-0.36):($1+0.36):ytic(5) with boxxyerror "
                  f"linecolor rgb '{colour}' title '{TITLES[kind]}'",
                  f"{name} using 2:1:3:4 with xerrorbars pointtype -1 linecolor rgb '#222222' "
                  "notitle",
                  f"{name} using 4:1:6 with labels left offset 0.8,0 notitle"]
    top = 1.2 * max(find(lines, "requests_per_s", case=case)["max"] for case in cases)
    return {"peers": TERMINAL.format(width=900, height=460) + STYLE + "".join(blocks)
            + "set title 'claims a second, all on the same cores (more is better)'\n"
            "unset grid\nset grid xtics linecolor '#dddddd'\nset format x '%.0s%c'\n"
            f"set xrange [0:{top:.0f}]\nset yrange [0.3:{len(cases) + 0.7}]\n"
            "set xtics 40000\nset key outside below vertical maxrows 2 samplen 1.5\n"
            f"plot {', '.join(plots)}\n"}
