"""Slow clients: whether honest ones notice. The crowds are slowhttptest's of Debian: heads that drip
(-H), bodies that drip (-B), long lists of ranges (-R), answers that are hardly read (-X); the honest
ones are load-client's at a steady rate, whose latency counts from when a claim was meant to leave.

`measure` is for the whole run. The crowd is on the server's own cores, which it would not be in earnest,
and a server whose cores are taken answers late whoever takes them: two busy loops that send nothing did
that too. So the honest ones' p99 is measured three times: without a crowd, beside one that besets another
server on the machine, and beside one that besets theirs. The last two are compared. `short` is for the
tests: a crowd of our own, and no figure of time but that everybody slow is let go when the deadlines say
so. Called by run.py and test_floods.py.
"""

import json
import select
import shutil
import statistics
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
TURNS = 3
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


class Crowd:
    """`with Crowd(stage, ...)`: slowhttptest on that stage's server, once half of its connections are
    there or two seconds have passed. `most`: how many were seen at once."""

    def __init__(self, stage, mode, connections, seconds):
        words, path = MODES[mode]
        url = "http://127.0.0.1:%d%s" % (stage.server.address[1],
                                         path % stage.coupon if "%d" in path else path)
        self.stage = stage
        self.most, self.enough = 0, connections / 2
        self.process = subprocess.Popen(
            [PROGRAM, "-c", str(connections), "-r", str(connections), "-l", str(seconds), "-p", "3",
             "-v", "0", "-u", url, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, cwd=stage.folder.name)

    def __enter__(self):
        deadline = time.monotonic() + 2
        with self.stage.server.client() as client:
            while self.most < self.enough and time.monotonic() < deadline:
                open_now = int(OPEN.search(client.get("/metrics").body).group(1))
                self.most = max(self.most, open_now)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def measure_turn(stage, other, mode, turn, client, connections, rate, seconds):
    """What one turn came to: p99 without a crowd, beside one at the other server, beside one here."""
    quiet_us, lost = honest_p99_us(stage, client, rate, seconds, f"{turn}-quiet")
    with Crowd(other, mode, connections, seconds + 3):
        elsewhere_us, more = honest_p99_us(stage, client, rate, seconds, f"{turn}-elsewhere")
        lost += more
    memory = stage.memory()
    with Crowd(stage, mode, connections, seconds + 3) as crowd:
        here_us, more = honest_p99_us(stage, client, rate, seconds, f"{turn}-here")
        grown = max(0, stage.memory() - memory)
    return {"p99_quiet_us": quiet_us, "p99_elsewhere_us": elsewhere_us, "p99_here_us": here_us,
            "unanswered": lost + more, "connections_open": crowd.most, "memory_grown": grown}


def measure_one(mode, client, connections, rate, seconds):
    """The figures of one mode: medians of the turns, but of what went wrong the most."""
    room = ("--connections", 2 * connections)
    with Stage(*room) as stage, Stage(*room) as other:
        stage.honest.stop()  # load-client takes its place
        other.honest.stop()
        turns = [measure_turn(stage, other, mode, turn, client, connections, rate, seconds)
                 for turn in range(TURNS)]
    figures = {name: round(statistics.median(turn[name] for turn in turns)) for name in turns[0]}
    figures["unanswered"] = max(turn["unanswered"] for turn in turns)
    figures["times"] = round(figures["p99_here_us"] / figures["p99_elsewhere_us"], 2)
    figures["times_of_quiet"] = round(figures["p99_here_us"] / figures["p99_quiet_us"], 2)
    return figures


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
