"""One run of redis-benchmark: the original system's script in Redis and nothing in front of it."""

import re

from suite.machine import ROOT, Others
from suite.processes import Refused, finished, processor_seconds

PEER = ROOT / "bench" / "peer.lua"
KEYS = ("issued:benchmark", "queue:benchmark")
QUANTITY = "2147483647"
USERS = 2**31 - 1  # as many as its random numbers are
TWICE_MAX = 0.01   # the share of users that come twice by chance stays below this
SECONDS_MAX = 120


def script_of(lua):
    """The script that the peer has, from its file."""
    found = re.search(r"^local SCRIPT = \[\[\n(.*?)^\]\]", lua, re.MULTILINE | re.DOTALL)
    return found.group(1)


def figures_of(output):
    """The last line that --csv leaves: title, rate; average, least, p50, p95, p99, most in ms."""
    found = re.search(r'((?:,"[\d.]+"){7})\s*$', output)
    if not found:
        raise Refused(f"redis-benchmark says nothing of use: {output}")
    rate, _, _, p50, _, p99, _ = [float(cell.strip('"')) for cell in found.group(1)[1:].split(",")]
    return {"requests_per_s": rate, "p50_us": p50 * 1000, "p99_us": p99 * 1000}


def load(redis, user, password, connections, pipeline, requests):
    """`redis`: of tests/servers. Returns the same as wrk.load; the issues are gone again."""
    name = redis.ask("SCRIPT", "LOAD", script_of(PEER.read_text()))
    used, others = processor_seconds(redis.process), Others()
    output = finished(
        ["redis-benchmark", "-p", redis.port, "--user", user, "-a", password, "--csv",
         "--precision", 3, "-c", connections, "-P", pipeline, "-n", requests, "-r", USERS,
         "EVALSHA", name, len(KEYS), *KEYS, "user-__rand_int__", QUANTITY,
         '{"couponId":1,"userId":"user-__rand_int__"}'], SECONDS_MAX)
    used = processor_seconds(redis.process) - used
    other_work = others.share(used)
    issued = redis.ask("LLEN", KEYS[1])
    if not requests * (1 - TWICE_MAX) <= issued <= requests + connections * pipeline:
        raise Refused(f"the script issued {issued} of {requests}")
    redis.ask("DEL", *KEYS)
    return {**figures_of(output), "requests": issued, "other_work": other_work,
            "cpu_us_per_request": used * 1e6 / issued}
