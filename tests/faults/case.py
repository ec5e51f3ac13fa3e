"""One case: a cluster of 3 workers and 2 API nodes, a crowd at its nodes, a fault in the midst, and
what came of it.

    with Case("build/coupon", "mysql", scale=1) as case:
        case.run(worker_killed)          # faults.py; a fault is a function of the case
        case.result.violations           # sentences; [] is what is wanted

Not for: which faults there are (faults.py), nor what is right in the end (judge.py).
"""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

from faults import judge
from faults.crowd import Ask, Crowd
from servers.cluster import DATABASE, Cluster
from servers.coupon import environment
from servers.redis import RedisError

QUANTITY = 10_000
CLAIMS = 50_000
TWICE = 50      # every so many users ask twice, at about the same time
ASYNC = 100     # every so many users want no more than a place in the queue
DRAIN_TIMEOUT_S = 90
RECOVERY_TIMEOUT_S = 20
COMMAND_TIMEOUT_S = 120


def moment(seconds):
    now = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Stage(Cluster):
    """The cluster, its Redis chosen by the case."""

    def __init__(self, binary, ledger, make_redis=None, **how):
        self.make_redis = make_redis
        super().__init__(binary, mode="redis", api=2, workers=3, ledger=ledger, proxy=False, **how)

    def _redis(self):
        return self.make_redis(self) if self.make_redis else super()._redis()

    def part(self, kind, name, *arguments, **how):
        return self._part(kind, name, *arguments, **how)

    def command(self, *words):
        """A command of coupon on its ledger and Redis."""
        return subprocess.run([self.binary, *map(str, words)], env=environment(self.urls()),
                              text=True, capture_output=True, check=False, stdin=subprocess.DEVNULL,
                              timeout=COMMAND_TIMEOUT_S)


class Case:
    def __init__(self, binary, ledger, scale=1, redis="1", make_redis=None):
        self.quantity = max(200, int(QUANTITY * scale))
        self.claim_count = max(1000, int(CLAIMS * scale))
        self.expected = (self.quantity, self.quantity)  # rows in the end: at least, at most
        self.cluster = Stage(binary, ledger, redis=redis, make_redis=make_redis)
        self.failures = []    # of the making of the fault
        self.marks = []       # how many had won when the case went on
        self.notes = []       # what the report says besides
        self.coupon = self.crowd = self.result = None
        self.rows_at_sold_out = None

    # ---- the way ----

    def run(self, fault):
        begin = time.monotonic()
        self.cluster.start()
        if fault.prepare:
            fault.prepare(self)
        self.coupon = self.call("POST", "/v1/coupons", {
            "title": "crowd", "totalQuantity": self.quantity,
            "issueStart": moment(-3600), "issueEnd": moment(3600)})["id"]
        self.crowd = Crowd([node.port for node in self.cluster.nodes], self.asks(),
                           fault.connections)
        counting = threading.Thread(target=self._count_at_sold_out, daemon=True)
        counting.start()
        self.crowd.start()
        fault.make(self)
        self.marks.append(self.crowd.counts[201])
        self.notes.append("wins as it went on: " + ", ".join(map(str, self.marks)))
        self.crowd.join()
        self.crowd_seconds = time.monotonic() - self.crowd.started_at
        self.crowd.first_sold_out.set()
        counting.join(DRAIN_TIMEOUT_S)
        violations = [*self._wait_until_drained(), *self._still_serves()]
        self.result = judge.judge(self)
        self.result.violations += violations + self.failures + self._end_well()
        self.result.seconds = time.monotonic() - begin
        return self.result

    def asks(self):
        for number in range(self.claim_count):
            user = f"user-{number}"
            yield Ask(self.coupon, user, f"{user}/1", number % ASYNC == 1)
            if number % TWICE == 0:
                yield Ask(self.coupon, user, f"{user}/2", False)

    def share(self, part):
        """So many of the quantity: faults are timed by wins, in shares of it."""
        return int(self.quantity * part)

    def wait_wins(self, part):
        self.crowd.wait_wins(self.share(part))
        self.marks.append(self.crowd.counts[201])

    def wait_wins_or_seconds(self, part, seconds):
        """For what may stop all wins."""
        end = time.monotonic() + seconds
        while self.crowd.counts[201] < self.share(part) and time.monotonic() < end:
            time.sleep(0.002)

    def guard(self, work):
        """For a thread of a fault: what goes wrong in it is told in the end."""
        def guarded():
            try:
                work()
            except Exception as error:
                self.failures.append(f"the fault itself failed: {error!r}")
        return guarded

    def _count_at_sold_out(self):
        """What the ledger held right after somebody was told "sold out"."""
        self.crowd.first_sold_out.wait()
        for _ in range(200):
            try:
                self.rows_at_sold_out = int(self.sql(
                    f"SELECT count(*) FROM coupon_issues WHERE coupon_id = {self.coupon}"))
                return
            except RuntimeError:  # the server is away just now
                time.sleep(0.1)

    def _redis_of(self):
        redis = self.cluster.redis
        return redis.master_of("{p%02d}:gate" % (self.coupon % 64)) \
            if hasattr(redis, "master_of") else redis

    def queue_left(self):
        """Whether entries wait behind the ledger's cursor."""
        p = self.coupon % 64
        epoch, n = self.sql(f"SELECT epoch, n FROM partitions WHERE p = {p}").split("\t")
        return self._redis_of().ask("XRANGE", "coupon:{p%02d}:queue:%s" % (p, epoch),
                                    f"({n}-0", "+", "COUNT", 1)

    def _wait_until_drained(self):
        end = time.monotonic() + DRAIN_TIMEOUT_S
        while time.monotonic() < end:
            try:
                if not self.queue_left():
                    return []
            except (OSError, RuntimeError, RedisError, LookupError):
                pass  # a server is coming up still
            time.sleep(0.05)
        return [f"the queue was not drained within {DRAIN_TIMEOUT_S} s"]

    def _still_serves(self):
        """Each node, asked by somebody new, answers as it should, soon."""
        found = []
        for number in range(len(self.cluster.nodes)):
            begin, answer = time.monotonic(), None
            while time.monotonic() - begin < RECOVERY_TIMEOUT_S:
                answer = self.claim(number, f"late-{number}")
                if answer[0] in (201, 409):
                    break
                time.sleep(0.1)
            if answer[0] not in (201, 409):
                found.append(f"node {number + 1} has not recovered within {RECOVERY_TIMEOUT_S} s: "
                             f"{answer}")
        return found

    def _end_well(self):
        """Stops the programs as an operator does: all must be there, and end well."""
        found = []
        for program in self.cluster.programs():
            name = program.folder.name
            if program.process is None:
                continue
            if program.process.poll() is not None:
                found.append(f"{name} ended by itself with {program.process.returncode}")
                continue
            begin = time.monotonic()
            program.stop()
            if program.exit_code != 0:
                found.append(f"{name} ended with {program.exit_code}")
            if time.monotonic() - begin > RECOVERY_TIMEOUT_S:
                found.append(f"{name} took {time.monotonic() - begin:.0f} s to stop")
        return found

    # ---- means ----

    def sql(self, text):
        return self.cluster.sql.sql(text, DATABASE)

    def standing(self, place):
        """What the status URL of a 202 says."""
        with urllib.request.urlopen(self.cluster.nodes[0].url() + place, timeout=30) as answer:
            return json.loads(answer.read())

    def claim(self, number, user):
        """(status, body) of one claim at a node; (0, why) without an answer."""
        try:
            return 201, self.call("POST", f"/v1/coupons/{self.coupon}/issues", {"userId": user},
                                  number)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError as error:
            return 0, {"code": str(error)}

    def call(self, method, path, value, number=0):
        request = urllib.request.Request(
            self.cluster.nodes[number].url() + path, json.dumps(value).encode(), method=method,
            headers={"Content-Type": "application/json",
                     "Authorization": f"Bearer {self.cluster.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()
