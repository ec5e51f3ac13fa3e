"""How long a claim takes at a steady rate, whether or not the server keeps up (load-client, open
loop: a latency counts from when the request was meant to leave).

First the maximum, in a closed loop of 256 connections with two loops; then 25, 50, 75 and 90 % of
it, accepted (unlimited coupon, every user new) and sold out (a coupon of 1) apart, turn about. Every
turn has a new record, read by `coupon verify` at its end.
"""

import statistics

from suite.coupon import check_record, coupon_server
from suite.figures import measurement, rotated
from suite.load_client import CONNECTIONS, LATENCIES, ask, check_answers
from suite.machine import sync_lines, sync_times_us
from suite.parts import http

SUMMARY = "latency at 25, 50, 75, 90 % of the maximum rate (only when asked for)"
CASES = {"accepted": 201, "sold out": 409}
PERCENTS = (25, 50, 75, 90)
LOOPS = 2
RATE_SECONDS = 8  # so that checkpoints fall into it
QUICK_SECONDS = 2
WARM_SECONDS = 1
FIGURES = {**{name: "us" for name in LATENCIES}, "requests_per_s": "1/s",
           "cpu_us_per_request": "us", "late_us_max": "us", "checkpoints": "checkpoints",
           "checkpoint_max": "us"}
NAMES = {name: f"latency_{name}" for name in LATENCIES}


def rate_seconds(settings):
    return QUICK_SECONDS if settings.quick else RATE_SECONDS


def steps(settings):
    maximum = len(CASES) * (settings.seconds + WARM_SECONDS + 0.5) + 2
    rates = len(CASES) * (len(PERCENTS) * (rate_seconds(settings) + 0.5) + WARM_SECONDS) + 4
    return [("latency, the maximum", settings.turns * maximum),
            *[(f"latency, turn {turn + 1} of {settings.turns}", rates)
              for turn in range(settings.turns)]]


class Claims:
    """A server with a coupon a case, and the successes that its clients were told."""

    def __init__(self, run, server):
        contestant, self.paths = http.our_contestant(server)
        self.run, self.server, self.told = run, server, contestant.told
        for case in CASES:
            self.ask("sustain", case, "warm", WARM_SECONDS)

    def ask(self, mode, case, prefix, seconds, *options):
        told = ask(self.run, self.server, mode, self.paths[case], "--seconds", seconds,
                   "--prefix", f"{prefix}-{case[0]}", *options, seconds=seconds)
        check_answers(f"{mode}, {case}", told, CASES[case])
        self.told += told["status"].get("201", 0)
        return {**told, **told["latency_us"]["all"]}


def with_server(run, ask_all):
    """`ask_all(claims)` on a new server; its record is checked afterwards. Returns what that
    returned, and how long syncs took before."""
    with run.folder() as folder:
        syncs = sync_times_us(folder)
        with coupon_server(run.program("coupon"), folder, LOOPS) as server:
            claims = Claims(run, server)
            seen = ask_all(claims)
            server.stop()
        check_record(run.program("coupon"), server.data, claims.told, 0)
    return seen, syncs


def measure_maximum(run):
    """{case: a turn each}"""
    seen = {case: [] for case in CASES}
    for turn in range(run.settings.turns):
        found, _ = with_server(run, lambda claims, turn=turn: {
            case: claims.ask("sustain", case, "max", run.settings.seconds)
            for case in rotated(list(CASES), turn)})
        for case, told in found.items():
            seen[case].append(told)
    return seen


def rates_of(maximum):
    """{(case, percent): requests a second}"""
    return {(case, percent): round(
        statistics.median(turn["requests_per_s"] for turn in turns) * percent / 100)
        for case, turns in maximum.items() for percent in PERCENTS}


def measure(run):
    run.progress.step()
    maximum = measure_maximum(run)
    rates, syncs = rates_of(maximum), []
    seen = {which: [] for which in rates}
    for turn in range(run.settings.turns):
        run.progress.step()
        found, times = with_server(run, lambda claims, turn=turn: {
            which: claims.ask("rate", which[0], f"at{which[1]}", rate_seconds(run.settings),
                              "--rate", rates[which])
            for which in rotated(list(rates), turn * 3)})
        syncs.append(times)
        for which, told in found.items():
            seen[which].append(told)
    run.write(*lines_of(maximum, seen, rates), *sync_lines(syncs, {}))


def lines_of(maximum, seen, rates):
    """`maximum`: {case: [what was told, a turn each]}; `seen`: the same by (case, percent)."""
    lines = []
    for (case, percent), turns in {**{(case, None): turns for case, turns in maximum.items()},
                                   **seen}.items():
        parameters = {"case": case, "connections": CONNECTIONS, "loops": LOOPS}
        if percent:
            parameters |= {"percent": percent, "rate": rates[case, percent]}
        lines += [measurement(NAMES.get(figure, figure), unit, [turn[figure] for turn in turns],
                              parameters, other_work=[turn["other_work"] for turn in turns])
                  for figure, unit in FIGURES.items() if figure in turns[0]]
    return lines
