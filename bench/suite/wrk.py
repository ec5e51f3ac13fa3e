"""One run of wrk, with bench/claims.lua: claims by users that nobody has been before."""

import json
import re

from suite.machine import ROOT, Others
from suite.processes import Refused, finished, processor_seconds

SCRIPT = ROOT / "bench" / "claims.lua"
THREADS = 2
TIMEOUT_SECONDS = 10  # a disk's slow moment is a latency, not a failed run
# What claims.lua counts that is no answer.
FAILURES = ("connect", "read", "write", "timeout")


def load(processes, url, prefix, connections, seconds, headers=()):
    """Returns wrk's figures, the servers' processor time a request, and what else the machine
    did meanwhile. `processes` are the servers'; `prefix` begins the users' names; `headers` are
    "Name: value", besides claims.lua's own."""
    before, others = processor_seconds(*processes), Others()
    more = [word for header in headers for word in ("-H", header)]
    output = finished(["wrk", "-t", THREADS, "-c", connections, "-d", f"{seconds}s", "-s", SCRIPT,
                       "--timeout", f"{TIMEOUT_SECONDS}s", *more, url, "--", prefix], seconds + 60)
    used = processor_seconds(*processes) - before
    found = re.search(r"^figures (\{.*\})$", output, re.MULTILINE)
    if not found:
        raise Refused(f"wrk says nothing of use: {output}")
    figures = json.loads(found.group(1))
    if figures["requests"] == 0:
        raise Refused(f"nothing was answered on {url}: {figures}")
    return {**figures, "other_work": others.share(used),
            "requests_per_s": figures["requests"] / (figures["duration_us"] / 1e6),
            "cpu_us_per_request": used * 1e6 / figures["requests"]}


def check_replies(name, case, figures):
    """Refuses a run in which something else was answered than the case is about."""
    wrong = sum(figures[kind] for kind in FAILURES)
    wrong += figures["status"] if case == "accepted" else figures["requests"] - figures["status"]
    if wrong:
        raise Refused(f"{name}, {case}: {wrong} replies or connections were not what the case is "
                      f"about: {figures}")
