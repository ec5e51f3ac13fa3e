"""The big event, told."""

from suite.figures import find, values_of
from suite.tables import Table, Threshold, number, only, spread

STAGES_TOLD = {"create": "POST /v1/coupons", "claim": "claims, all accepted"}


def row_of(lines, stage):
    def line(what):
        return find(lines, what, stage=stage)

    return [STAGES_TOLD[stage], spread(line("requests_per_s")),
            only(line("cpu_us_per_request")), only(line("client_cpu_share")),
            *[only(line(f"latency_{name}"), 1e-3) for name in ("p50", "p99", "p99.9", "max")]]


def tables(lines):
    coupons, claims = values_of(lines, "coupons")[0], values_of(lines, "claims")[0]
    return [Table(f"A big event: {number(claims)} claims on {number(coupons)} coupons",
                  ["stage", "requests/s", "CPU us a request", "client's CPU, of a core", "p50 ms",
                   "p99 ms", "p99.9 ms", "max ms"],
                  [row_of(lines, stage) for stage in values_of(lines, "stage")],
                  f"The server's memory at most: {spread(find(lines, 'memory_peak'), 1e-6)} MB, "
                  f"{only(find(lines, 'memory_after_create'), 1e-6)} MB when the coupons were made; "
                  f"the record has {only(find(lines, 'file_bytes'), 1e-6)} MB.")]


def thresholds(lines):
    line = find(lines, "unsold")
    return [Threshold("event: coupons not sold exactly to the last, worst turn", line["max"], 0,
                      False)] if line else []


def scripts(_):
    return {}
