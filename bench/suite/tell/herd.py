"""The thundering herd, told."""

from suite.figures import find, values_of
from suite.tables import Table, Threshold, number, only, spread

CASES_TOLD = {"500": "a coupon of 500", "unlimited": "unlimited: all accepted"}


def row_of(lines, case):
    def line(what):
        return find(lines, what, case=case)

    return [CASES_TOLD[case], only(line("issued")), number(line("unanswered")["max"]),
            *[only(line(f"latency_{name}"), 1e-3) for name in ("p50", "p99", "p99.9")],
            spread(line("latency_max"), 1e-3), spread(line("memory_peak"), 1e-6),
            number(line("syn_retransmits")["max"])]


def tables(lines):
    users = values_of(lines, "users")[0]
    return [Table(f"A herd: {number(users)} connections within one second, a claim each",
                  ["coupon", "issued", "unanswered", "p50 ms", "p99 ms", "p99.9 ms",
                   "longest, ms", "server's memory at most, MB", "SYNs sent again"],
                  [row_of(lines, case) for case in values_of(lines, "case")],
                  "Latency from connect() to the answer. Unanswered and SYNs: the most of all "
                  "turns.")]


def thresholds(lines):
    """What holds for every turn is judged by the worst one."""
    found = []
    for case in values_of(lines, "case"):
        for what, name, scale, limit in (
                ("unanswered", "claims without an answer", 1, 0),
                ("other_answers", "claims refused for another reason than sold out", 1, 0),
                ("latency_max", "longest latency, ms", 1e-3, 2000),
                ("memory_peak", "server's memory, MB", 1e-6, 200)):
            if line := find(lines, what, case=case):
                found.append(Threshold(f"herd, {CASES_TOLD[case]}: {name}, worst turn",
                                       line["max"] * scale, limit, False))
    return found


def scripts(_):
    return {}
