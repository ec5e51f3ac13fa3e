"""kill -9 of nodes and workers that share a ledger, round after round on one cluster.

Two API nodes on a SQL server, with --redis two workers and Redis in front of it. A round: one
program is started anew with a failpoint, or is to be killed at a random moment; two new coupons; a
crowd of 8 connections over both nodes, which goes on at the other when one is gone; an operator;
the kill; then what is queued is settled, and all that was ever told is judged against the ledger.

In some rounds with Redis a gate is lost, so that the epoch moves, and a rebuild is what is killed.
"""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from kill.history import Crowd, Log, Operator, judge, record_of_sql
from kill.victim import (QUANTITIES, REBUILD, REDIS_NODE, SQL_NODE, WORKER, VictimNode,
                         VictimWorker, change_until_dead)
from servers.cluster import DATABASE, Cluster
from servers.cluster import missing as cluster_missing
from servers.coupon import environment

LOAD_S = (0.1, 0.4)
CUT_S = (0.02, 0.3)
DRAIN_TIMEOUT_S = 60
USERS = 400
OPERATOR_PAUSES_S = (0.01, 0.06)


def missing(programs, options):
    """Why it cannot run here, or None."""
    return cluster_missing(programs.coupon, options.mode, options.ledger, proxy=False)


class Stage(Cluster):
    """The cluster, and what was told of it."""

    def __init__(self, programs, mode, ledger):
        super().__init__(programs.coupon, mode=mode, ledger=ledger, api=2, workers=2, proxy=False,
                         own_session=True)
        self.programs_built = programs
        self.place = Path(tempfile.mkdtemp(prefix="coupon-kill-"))
        self.log = Log(self.place / "operator.log")
        self.logs = [self.log.path]
        self.coupons = []
        self.round = 0
        self.keeps = False

    def _part(self, kind, name, *arguments, **how):
        kinds = {"Node": VictimNode, "Worker": VictimWorker}
        return super()._part(kinds.get(kind.__name__, kind), name, *arguments, **how)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        super().__exit__()
        self.log.close()
        if not self.keeps:
            shutil.rmtree(self.place, ignore_errors=True)

    def keep(self):
        self.keeps = True
        return self.place

    def operator(self, node):
        return Operator(self.log, node.port, self.token, shared=True)

    def crowd(self, coupons, seed):
        self.round += 1
        return Crowd(self.programs_built, [node.port for node in self.nodes], coupons,
                     self.place / f"crowd-{self.round}.log", seed, USERS, stay=True)

    def lose_gate(self, coupon):
        """The partition of this coupon has no gate any more: who comes next rebuilds it."""
        self.redis.ask("DEL", "coupon:{p%02d}:gate" % (coupon % 64))

    def queued(self, coupon):
        """Whether entries of this coupon's partition wait behind the ledger's cursor."""
        p = coupon % 64
        epoch, n = self.sql.sql(f"SELECT epoch, n FROM partitions WHERE p = {p}",
                                DATABASE).split("\t")
        return bool(self.redis.ask("XRANGE", "coupon:{p%02d}:queue:%s" % (p, epoch), f"({n}-0", "+",
                                   "COUNT", 1))

    def drain(self):
        """Until all that was admitted is settled; what did not get there."""
        end = time.monotonic() + DRAIN_TIMEOUT_S
        for coupon in self.coupons[-3:] if self.redis else []:
            while self.queued(coupon):
                if time.monotonic() > end:
                    return [f"coupon {coupon}: its queue was not settled in {DRAIN_TIMEOUT_S} s"]
                time.sleep(0.01)  # between two questions
        return []

    def judge(self):
        record = record_of_sql(self.sql, DATABASE, self.place / "record")
        return judge(self.programs_built, self.logs, record, shared=True)

    def verify(self):
        with_redis = ["--redis", self.redis.url()] if self.redis else []
        done = subprocess.run([self.binary, "verify", *with_redis], text=True, capture_output=True,
                              env=environment(self.urls()), check=False, stdin=subprocess.DEVNULL)
        return [] if done.returncode == 0 else [f"verify: {done.stdout}{done.stderr}"]


def choose_victim(stage, random):
    """Who is killed, and the failpoints that it may come to."""
    if not stage.workers:
        return random.choice(stage.nodes), SQL_NODE
    if random.random() < 0.5:
        return random.choice(stage.workers), WORKER
    return random.choice(stage.nodes), REDIS_NODE


def start_victim(stage, random):
    """Stops it, and starts it with a failpoint, or with none. (victim, name, rebuilds)"""
    victim, points = choose_victim(stage, random)
    rebuilds = bool(stage.workers) and random.random() < 0.25
    points = REBUILD if rebuilds else points
    victim.stop()
    name = random.choice(sorted(points)) if random.random() < 0.8 else None
    if name:
        victim.arm(name, random.randint(1, points[name]))
    victim.start()
    return victim, name, rebuilds


def play_round(stage, random, tally, figures):
    """One round; what was found."""
    victim, name, rebuilds = start_victim(stage, random)
    other = next(node for node in stage.nodes if node is not victim)
    operator = stage.operator(other)
    made = [operator.create(random.choice(QUANTITIES))["id"] for _ in range(2)]
    stage.coupons += made
    coupons = stage.coupons[-3:]
    crowd = stage.crowd(coupons, random.randrange(1 << 40))
    change_until_dead(victim, operator, coupons, random.uniform(*CUT_S), OPERATOR_PAUSES_S, random)
    if rebuilds and not victim.is_dead(0):
        stage.lose_gate(random.choice(coupons))
        victim.is_dead(random.uniform(*LOAD_S))
    elif not victim.is_dead(0):
        victim.is_dead(random.uniform(*LOAD_S))
    victim.bury()
    hit = victim.was_hit()
    tally[name if hit else "at random"] += 1
    victim.start()
    stage.logs += crowd.end()
    operator.close()
    late = stage.drain()
    found = stage.judge()
    found.tell(figures)
    return late + found.violations
