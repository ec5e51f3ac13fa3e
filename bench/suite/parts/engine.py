"""The engine alone: ns a claim, and bytes an issue, at three sizes. One run of the program
engine-bench is a turn."""

import json

from suite.figures import measurement, ratio, find
from suite.machine import Others
from suite.processes import finished

SUMMARY = "deciding alone: ns a claim at 1 k, 1 M, 10 M issues; bytes an issue"
KINDS = ("fresh", "duplicate", "sold_out")
TURN_SECONDS = 3


def steps(settings):
    return [("engine", settings.turns * TURN_SECONDS)]


def one_turn(program):
    """{(what, kind, issues): value} of one run."""
    values = {}
    for text in finished([program, "claims"], 120).splitlines():
        line = json.loads(text)
        if line["bench"] == "claim":
            for kind in KINDS:
                values["claim_ns", kind, line["issues"]] = line[f"{kind}_ns"]
        else:
            values["bytes_an_issue", None, line["issues"]] = line["bytes_an_issue"]
    return values


def lines_of(turns, others):
    """`turns`: what one_turn gave, a turn each."""
    lines = []
    for what, kind, issues in turns[0]:
        parameters = {"issues": issues} if kind is None else {"claim": kind, "issues": issues}
        lines.append(measurement(what, "B" if kind is None else "ns",
                                 [turn[what, kind, issues] for turn in turns], parameters,
                                 other_work=others))
    sizes = sorted({issues for _, _, issues in turns[0]})
    for kind in KINDS:
        least, most = (find(lines, "claim_ns", claim=kind, issues=size)
                       for size in (sizes[0], sizes[-1]))
        lines.append(ratio("claim_ns_large_to_small", most, least, {"claim": kind}))
    return lines


def measure(run):
    run.progress.step()
    turns, others = [], []
    for _ in range(run.settings.turns):
        meanwhile = Others()
        turns.append(one_turn(run.program("engine-bench")))
        others.append(meanwhile.share())
    run.write(*lines_of(turns, others))
