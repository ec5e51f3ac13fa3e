"""Slow clients: whether honest ones notice. The crowds are slowhttptest's of Debian: heads that drip
(-H), bodies that drip (-B), long lists of ranges (-R), answers that are hardly read (-X); the honest
ones are load-client's at a steady rate, whose latency counts from when a claim was meant to leave.

`measure` is for the whole run: it compares the honest ones' p99 with and without the crowd, which says
something on a quiet machine only. `short` is for the tests: a crowd of our own, and no figure of time but
that everybody slow is let go when the deadlines say so. Called by run.py and test_floods.py.
"""

import json
import select
import shutil
import subprocess
import time
from pathlib import Path

from cases.case import PLAIN_GET
from floods import READ_ALL
from stage import MIB, OPEN, Stage
from support import check
from support.wire import Closed

PROGRAM = "slowhttptest"
# What slowhttptest does with each connection; and the path that it does it to.
MODES = {
    "headers": (["-H", "-i", "1"], "/healthz"),
    "body": (["-B", "-i", "1", "-s", "4096", "-f", "application/json"], "/v1/coupons/%d/issues"),
    "range": (["-R", "-a", "1", "-b", "1500", "-t", "GET"], "/openapi.json"),
    "read": (["-X", "-k", "3", "-n", "2", "-w", "1", "-y", "64", "-z", "5"], "/openapi.json"),
}
TIMES_MAX = 2.0
HALF_CLAIM = (b"POST /v1/coupons/%d/issues HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
              b"Content-Length: 4000\r\n\r\n{")


def missing():
    """Why it cannot be measured here, or None."""
    return None if shutil.which(PROGRAM) else "slowhttptest is not installed (packages.txt)"


# ---- the whole run ---------------------------------------------------------------------------

def honest_p99_us(stage, client, rate, seconds, prefix):
    """p99 of claims that are made so many a second, and how many were not answered 201."""
    done = subprocess.run(
        [client, "rate", "--port", str(stage.server.address[1]), "--path",
         "/v1/coupons/%d/issues" % stage.coupon, "--rate", str(rate), "--seconds", str(seconds),
         "--prefix", prefix, "--connections", "64"],
        capture_output=True, text=True, check=True, timeout=seconds + 60)
    told = json.loads(done.stdout)
    won = told["status"].get("201", 0)
    return told["latency_us"]["all"]["p99"], rate * seconds - won


def crowd_begins(stage, mode, connections, seconds):
    """slowhttptest's process, once half of its connections are there or two seconds have passed."""
    words, path = MODES[mode]
    url = "http://127.0.0.1:%d%s" % (stage.server.address[1],
                                     path % stage.coupon if "%d" in path else path)
    process = subprocess.Popen(
        [PROGRAM, "-c", str(connections), "-r", str(connections), "-l", str(seconds), "-p", "3",
         "-v", "0", "-u", url, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, cwd=stage.folder.name)
    most, deadline = 0, time.monotonic() + 2
    with stage.server.client() as client:
        while most < connections / 2 and time.monotonic() < deadline:
            most = max(most, int(OPEN.search(client.get("/metrics").body).group(1)))
    return process, most


def measure_one(mode, client, connections, rate, seconds):
    """The figures of one mode."""
    with Stage("--connections", 2 * connections) as stage:
        stage.honest.stop()  # load-client takes its place
        before_us, lost_before = honest_p99_us(stage, client, rate, seconds, "before")
        memory = stage.memory()
        process, most = crowd_begins(stage, mode, connections, seconds + 3)
        try:
            beside_us, lost = honest_p99_us(stage, client, rate, seconds, "beside")
            grown = stage.memory() - memory
        finally:
            process.terminate()
            process.wait()
        return {"p99_before_us": before_us, "p99_beside_us": beside_us, "unanswered": lost_before + lost,
                "times": round(beside_us / before_us, 2), "connections_open": most,
                "memory_grown": max(0, grown)}


def measure(client, connections, rate, seconds, tell):
    """mode -> figures. `tell` gets each as it is known."""
    found = {}
    for mode in MODES:
        found[mode] = measure_one(mode, client, connections, rate, seconds)
        tell(mode, found[mode])
    return found


def client_program():
    """load-client, of the build that is there."""
    root = Path(__file__).resolve().parents[2]
    for kind in ("release", "debug"):
        path = root / "build" / kind / "bench" / "load" / "load-client"
        if path.exists():
            return str(path)
    return None


# ---- the short form --------------------------------------------------------------------------

def short(scale):
    """Heads and bodies that drip, ranges, answers that nobody reads, all at once: the slow ones are told
    408 five seconds after their first byte however they drip, the rest is served."""
    each = int(50 * scale)
    with Stage() as stage:
        memory = stage.memory()
        heads = stage.connect_many(each)
        bodies = stage.connect_many(each)
        readers = stage.connect_many(each)
        began = time.monotonic()
        for connection in heads:
            connection.send(PLAIN_GET[:-2] + b"A: ")
        for connection in bodies:
            connection.send(HALF_CLAIM % stage.coupon)
        for connection in readers:
            connection.send(READ_ALL * 3)
        for connection in stage.connect_many(each):
            connection.send(PLAIN_GET[:-2] + b"Range: bytes=0-,%s\r\n\r\n"
                            % b",".join(b"5-%d" % end for end in range(1500)))
            assert connection.read().status in (200, 431)
        dripped = drip(heads + bodies, began)
        grown = stage.memory() - memory
        assert grown < 16 * MIB + 384 * 1024 * len(readers), "%d bytes" % grown
        for connection in readers:  # slow, but they do read in the end
            for _ in range(3):
                assert connection.read().status == 200
        stage.figures.update(connections=len(stage.held), gave_up_after_s=dripped,
                             bytes_kept=max(0, grown))
    return stage.figures


def drip(slow, began):
    """A byte to each now and then, until the first is given up; then all of them must be. Returns the
    seconds until the last was."""
    while not select.select([slow[0].socket], [], [], 0.5)[0]:
        for connection in slow:
            connection.send_what_it_takes(b"b")
        assert time.monotonic() - began < 20, "it is never given up"
    assert time.monotonic() - began >= 4.5, "given up too soon"
    for connection in slow:
        try:
            check.problem(connection.read(), 408, "request-timeout", closes=True)
        except Closed as closed:
            raise AssertionError("let go without a word: %s" % closed) from None
    return round(time.monotonic() - began, 1)
