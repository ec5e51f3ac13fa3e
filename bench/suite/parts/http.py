"""Claims over HTTP beside nginx that only returns a fixed reply.

wrk sends the same POSTs (bench/claims.lua) to both, turn about, so that what else the machine
does hits both alike; the replies have equal length, and our loops are as many as nginx's
workers. Two cases:

  accepted   an unlimited coupon, every user new: 201 after the commit; nginx returns 200
  sold out   a coupon of 1 that is gone: 409 through the writer; nginx returns 409

Each pair of loops and connections has a new record. At its end `coupon verify` reads it, and
what clients were told is compared with its rows.
"""

from dataclasses import dataclass

from suite.coupon import check_record, coupon_server, exchange
from suite.figures import measurement, ratio, rotated
from suite.machine import sync_lines, sync_times_us
from suite.nginx import fitting_body, nginx_server
from suite.processes import Refused
from suite.wrk import check_replies, load

SUMMARY = "claims over HTTP beside nginx, by connections and loops"
CASES = {"accepted": 200, "sold out": 409}  # and the status that nginx answers with
WARM_SECONDS = 1
RUN_SECONDS_MORE = 0.4  # what a run takes besides the load
ENDS_SECONDS = 4        # both servers' start, nginx's fitting, verify

FIGURES = {"requests_per_s": "1/s", "cpu_us_per_request": "us", "p50_us": "us", "p99_us": "us"}
NAMES = {"p50_us": "latency_p50", "p99_us": "latency_p99"}


@dataclass
class Contestant:
    name: str
    process: object
    urls: dict  # case -> URL
    told: int = 0  # successes that clients saw


def steps(settings):
    seconds = 2 * (WARM_SECONDS + RUN_SECONDS_MORE) + settings.turns * (
        2 * (settings.seconds + RUN_SECONDS_MORE) + 0.1)
    return [(f"http, {loops} loop{'s' if loops > 1 else ''}, {connections} connections, {case}",
             seconds + ENDS_SECONDS / len(CASES))
            for loops in settings.loops for connections in settings.connections for case in CASES]


def measure(run):
    for loops in run.settings.loops:
        for connections in run.settings.connections:
            with run.folder() as folder:
                compare(run, folder, {"loops": loops, "connections": connections})


def our_contestant(server):
    paths = {"accepted": f"/v1/coupons/{server.new_coupon('unlimited', None)}/issues",
             "sold out": f"/v1/coupons/{server.new_coupon('one', 1)}/issues"}
    reply = exchange(server.port, paths["sold out"], "the-only-winner")
    if not reply.startswith(b"HTTP/1.1 201 "):
        raise Refused(f"the coupon of 1 was not issued: {reply!r}")
    urls = {case: f"http://127.0.0.1:{server.port}{path}" for case, path in paths.items()}
    return Contestant("coupon", server.process, urls, told=1), paths


def fitting_replies(folder, server, ours, paths):
    """{case: (status, body)} for nginx, of the length of our replies."""
    replies = {}
    for case, status in CASES.items():
        user = f"24-characters-{case:->10}".replace(" ", "-")
        size = len(exchange(server.port, paths[case], user))
        ours.told += case == "accepted"
        replies[case] = (status, fitting_body(folder, status, size))
    return replies


def one_load(contestant, case, parameters, prefix, seconds):
    figures = load([contestant.process], contestant.urls[case], prefix, parameters["connections"],
                   seconds)
    contestant.told += figures["requests"] - figures["status"]
    return figures


def compare(run, folder, parameters):
    """Both servers with these loops and connections, all cases and turns."""
    with coupon_server(run.program("coupon"), folder, parameters["loops"]) as server:
        ours, paths = our_contestant(server)
        # Ranks get about as many digits as they will have.
        one_load(ours, "accepted", parameters, "first", WARM_SECONDS)
        replies = fitting_replies(folder, server, ours, paths)
        with nginx_server(folder / "nginx", parameters["loops"], replies) as theirs:
            urls = {case: f"http://127.0.0.1:{port}/" for case, port in theirs.ports.items()}
            contestants = [ours, Contestant("nginx", theirs.process, urls)]
            for case in CASES:
                run.progress.step()
                take_turns(run, folder, contestants, {"case": case, **parameters})
        server.stop()
    cut_off_max = parameters["connections"] * (run.settings.turns + 2)  # and two to warm up
    rows = check_record(run.program("coupon"), server.data, ours.told, cut_off_max)
    run.write(measurement("rows_beside_told", "rows", [rows - ours.told], parameters,
                          told=ours.told, rows=rows, cut_off_max=cut_off_max, verify="clean"))


def take_turns(run, folder, contestants, parameters):
    case, seen, syncs = parameters["case"], {one.name: [] for one in contestants}, []
    for one in contestants:
        one_load(one, case, parameters, f"warm-{case[0]}", WARM_SECONDS)
    for turn in range(run.settings.turns):
        syncs.append(sync_times_us(folder))
        for one in rotated(contestants, turn):
            figures = one_load(one, case, parameters, f"turn{turn}-{case[0]}",
                               run.settings.seconds)
            check_replies(one.name, case, figures)
            seen[one.name].append(figures)
    run.write(*lines_of(seen, parameters), *sync_lines(syncs, parameters))


def lines_of(seen, parameters):
    """`seen`: {server: [what load() gave, a turn each]}. The ratios say how much more ours does
    than nginx does, so 1 is equal and more is better, also of what a CPU second does."""
    lines = {(name, figure): measurement(
        NAMES.get(figure, figure), unit, [turn[figure] for turn in turns],
        {"server": name, **parameters}, other_work=[turn["other_work"] for turn in turns])
        for name, turns in seen.items() for figure, unit in FIGURES.items()}
    return [*lines.values(),
            ratio("requests_per_s_of_nginx", lines["coupon", "requests_per_s"],
                  lines["nginx", "requests_per_s"], parameters),
            ratio("requests_per_cpu_s_of_nginx", lines["nginx", "cpu_us_per_request"],
                  lines["coupon", "cpu_us_per_request"], parameters)]
