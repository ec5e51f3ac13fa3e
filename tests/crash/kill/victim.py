"""A server, or a worker, that is to be killed: at a moment, or at a named failpoint.

NAMES are the failpoints in src/, by the ways to run that reach them; test_kill.py keeps both lists
equal. The count that goes with a name says how many times it may be passed at most.
"""

import os
import select
import signal

from servers.coupon import Node, Worker

# name: the most times it is passed before the kill
EMBEDDED = {
    "step-decided": 60, "sqlite-rows-written": 40, "sqlite-commit": 40, "sqlite-committed": 40,
    "step-committed": 40, "step-answer": 60, "step-answered": 60, "sqlite-checkpoint": 2,
    "sqlite-checkpointed": 2, "change": 3, "change-written": 3, "creation": 2,
    "creation-written": 2,
}
STARTING = {"sqlite-recovered": 1, "sqlite-folded": 1, "load": 1}
SQL_NODE = {"sql-settle": 40, "sql-settled": 40, "sql-commit": 30, "sql-committed": 30}
REDIS_NODE = {"door-ask": 60, "door-asked": 60, "door-answer": 200}
WORKER = {"settle": 20, "settle-committed": 20, "settle-hinted": 20, "settle-told": 20,
          "sql-commit": 20, "sql-committed": 20}
REBUILD = {"rebuild": 1, "rebuild-closed": 1, "rebuild-raised": 1, "rebuild-opened": 1}
NAMES = {**EMBEDDED, **STARTING, **SQL_NODE, **REDIS_NODE, **WORKER, **REBUILD}.keys()
DEATH_TIMEOUT_S = 30
QUANTITIES = (20, 150, 400)  # of coupons, which the crowds of a round can use up


class Victim:
    """Mixed into a Process of tests/servers."""

    failpoint = None
    hit_reader = None

    def arm(self, name, count):
        """For its next start."""
        assert name in NAMES and count >= 1
        self.failpoint = (name, count)

    def started_as(self):
        how = super().started_as()
        if self.hit_reader is not None:
            os.close(self.hit_reader)
            self.hit_reader = None
        if self.failpoint:
            self.hit_reader, self.hit_writer = os.pipe()
            os.set_blocking(self.hit_reader, False)
            name, count = self.failpoint
            how["env"]["COUPON_FAILPOINT"] = f"{name}:{count}:{self.hit_writer}"
            how["pass_fds"] = [self.hit_writer]
        return how

    def _start_once(self):
        armed = self.failpoint is not None
        try:
            return super()._start_once()
        finally:
            if armed:
                os.close(self.hit_writer)
            self.failpoint = None

    def start_to_die(self):
        """One start, which a failpoint is to end. Whether it got ready all the same."""
        assert self.process is None and self.port
        return self._start_once()

    def is_dead(self, seconds):
        """Whether it has ended, within so many seconds."""
        descriptor = os.pidfd_open(self.process.pid)
        try:
            return bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)

    def was_hit(self):
        """Whether the failpoint it was armed with has ended it."""
        try:
            return self.hit_reader is not None and os.read(self.hit_reader, 8) == b"hit"
        except BlockingIOError:
            return False

    def bury(self):
        """SIGKILL, if it lives; its end is over when this returns."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.exit_code = self.process.wait(DEATH_TIMEOUT_S)
        self.process = None


def change_until_dead(victim, operator, coupons, seconds, pauses, random):
    """An operator at work, with a pause between those two before each change, until the victim is
    dead or so many seconds have passed."""
    left = seconds
    while left > 0:
        step = min(left, random.uniform(*pauses))
        if victim.is_dead(step):
            return
        left -= step
        coupon = random.choice(coupons)
        if random.random() < 0.5:
            operator.change(coupon, paused=random.random() < 0.3)
        else:
            operator.change(coupon, total=random.choice((*QUANTITIES, None)))


class VictimNode(Victim, Node):
    pass


class VictimWorker(Victim, Worker):
    pass
