"""Runs of load-client (bench/load) against a server of ours, and what the server did meanwhile:
processor time, checkpoints."""

import json
import re

from suite.machine import Others
from suite.processes import Refused, finished, processor_seconds

CONNECTIONS = 256
LATENCIES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
SECONDS_MORE = 60  # before a client that does not end is given up
CHECKPOINTS = "coupon_checkpoint_duration_seconds"


def ask(run, server, mode, path, *options, seconds, connections=CONNECTIONS):
    """load-client's figures, the server's processor time a request, its checkpoints meanwhile, and
    what else the machine did. `seconds`: about how long it takes."""
    checkpoints = checkpoints_of(server)
    before, others = processor_seconds(server.process), Others()
    told = json.loads(finished(
        [run.program("load/load-client"), mode, "--port", server.port, "--path", path,
         "--connections", connections, *options], seconds + SECONDS_MORE))
    used = processor_seconds(server.process) - before
    count, longest_s = checkpoints_between(checkpoints, checkpoints_of(server))
    return {**told, "other_work": others.share(used),
            "requests_per_s": told["requests"] / told["seconds"],
            "cpu_us_per_request": used * 1e6 / told["requests"],
            "checkpoints": count, "checkpoint_max": longest_s * 1e6}


def check_answers(what, told, status):
    """Refuses a run in which anything but `status` was answered, or something was not."""
    if told["failed"] or list(told["status"]) != [str(status)]:
        raise Refused(f"{what}: not everybody was answered with {status}: {told}")


# ---- checkpoints -----------------------------------------------------------------------------

def checkpoints_of(server):
    return histogram(server.metrics(), CHECKPOINTS)


def histogram(text, name):
    """([(upper bound, how many were at most that)], sum) of a histogram of /metrics."""
    pairs = re.findall(rf'^{name}_bucket{{le="([^"]+)"}} (\d+)$', text, re.MULTILINE)
    total = re.search(rf"^{name}_sum (\S+)$", text, re.MULTILINE)
    if not pairs or not total:
        raise Refused(f"/metrics has no {name}")
    return [(float(bound), int(count)) for bound, count in pairs], float(total.group(1))


def checkpoints_between(before, after):
    """(how many there were between the two, how long the longest of them took at most).

    A bucket only tells between which bounds the longest lies; the sum, less the least that all the
    others took, may tell it closer."""
    counts = [(bound, count - earlier) for (bound, count), (_, earlier)
              in zip(after[0], before[0])]
    each = [(bound, count - below, lower) for (bound, count), (lower, below)
            in zip(counts, [(0.0, 0), *counts])]
    seen = [(bound, count, lower) for bound, count, lower in each if count > 0]
    if not seen:
        return 0, 0.0
    bound, _, lower = seen[-1]
    least_of_others = sum(count * lower for _, count, lower in seen) - lower
    total = sum(count for _, count, _ in seen)
    return total, min(bound, after[1] - before[1] - least_of_others)
