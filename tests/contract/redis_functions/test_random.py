"""Thousands of random calls, each answered by Redis and by the model, and compared."""

import os
import random

import pytest

from model import Model
from partition import FUTURE_US, HOUR_US, Partition, claim_of, load_library

CALLS = 4000
COMPARE_EVERY = 20  # calls, all that Redis holds
COUPONS = (7, 71)
FIXED_SEED = 1  # with which every answer comes
WRONG = "0" * 40


def a_seed():
    return int(os.environ.get("COUPON_SEED") or random.randrange(2 ** 32))


class Walk:
    """Calls both and compares. Its users are few, so that they meet."""

    def __init__(self, wire, seed):
        self.random = random.Random(seed)
        self.wire = wire
        self.partition = Partition(wire, number=7, epoch=1)
        self.model = Model()
        self.version = 1
        self.seen = []  # claims that were sent, to be sent again
        self.trail = []

    # ---- one call each ----

    def epoch(self):
        """Mostly that of the gate."""
        gate = self.model.gate
        right = gate.epoch if gate else self.partition.epoch
        self.partition.epoch = max(1, right + self.random.choice([0] * 60 + [-1, 1]))
        return self.partition.epoch

    def a_claim(self):
        if self.seen and self.random.random() < 0.2:
            return self.random.choice(self.seen)
        claim = claim_of(f"u{self.random.randrange(150)}", self.random.choice(["", "k:1", '"']),
                         f"{self.random.getrandbits(128):032x}")
        self.seen = self.seen[-100:] + [claim]
        return claim

    def claim(self):
        count = self.random.choice([1, 1, 2, 3, 8, 30])
        coupon, epoch = self.random.choice(COUPONS), self.epoch()
        claims = [self.a_claim() for _ in range(count)]
        return (self.partition.claim_reply(claims, coupon),
                self.model.claim(coupon, epoch, claims))

    def report(self, coupon, epoch, queue, first, last):
        """What a worker may tell of these entries, some of them rejected; sometimes nonsense."""
        there = self.model.coupons.get(coupon)
        claims = [claim for n in range(first, last + 1) for claim in
                  (queue[n][2] if n in queue and queue[n][0] == coupon else [])]
        rejected = [claim for claim in claims if self.random.random() < 0.2]
        forget = [(claim[1], claim[0]) for claim in rejected if self.random.random() < 0.8]
        if self.random.random() < 0.1:
            claim = self.a_claim()
            forget.append((claim[1], claim[0]))
        issued = (there.settled if there else 0) + len(claims) - len(rejected)
        return coupon, max(0, issued - self.random.choice([0, 0, 0, 1])), len(rejected), forget

    def settled(self):
        epoch, gate = self.epoch(), self.model.gate
        done, n = (gate.settled_n, gate.n) if gate else (0, 3)
        steps = ([1] * 10 if done < n else []) + ([0, -1] if done > 1 else []) + [2]
        first = done + self.random.choice(steps)
        last = max(first, min(n, first + self.random.randrange(6)))
        if self.random.random() < 0.005:
            first, last = done + 1, n + 1
        queue = self.model.queues.get(epoch, {})
        reports = [self.report(coupon, epoch, queue, first, last)
                   for coupon in self.random.sample(COUPONS, self.random.randrange(3))]
        return (self.partition.settled(first, last, reports),
                self.model.settled(epoch, first, last, reports))

    def load(self):
        epoch, coupon = self.epoch(), self.random.choice(COUPONS)
        self.version = max(1, self.version + self.random.choice([-1, 0, 1, 1]))
        there = self.model.coupons.get(coupon)
        terms = {
            "version": self.version, "total": self.random.choice([-1, 0, 20, 20, 60, 60, 120, 120]),
            "start_us": FUTURE_US + self.random.choice([0] * 8 + [HOUR_US // 2]),
            "end_us": FUTURE_US + self.random.choice([1, 2, 4]) * HOUR_US,
            "paused": self.random.choice([0] * 8 + [1]),
            "issued": there.settled if there else self.random.choice([0, 0, 5]),
            "clock_us": FUTURE_US + self.random.randrange(HOUR_US),
            "complete": self.random.randrange(2)}
        return self.partition.load(coupon, **terms), self.model.load(coupon, epoch, **terms)

    def open(self):
        """What a rebuild does, mostly: a later epoch than any."""
        gate = self.model.gate
        last = max([gate.epoch if gate else self.model.shut, *self.model.tops])
        epoch = max(1, last + (self.random.choice([-1, 0, 0, 1]) if self.is_open() else
                               self.random.choice([1] * 10 + [0])))
        return self.partition.open(epoch), self.model.open(epoch)

    def close(self):
        epoch = self.epoch()
        return self.partition.close(epoch), self.model.close(epoch)

    def status(self):
        epoch = self.epoch()
        return self.partition.status(), self.model.status(epoch)

    def spoil(self):
        """What happens to Redis from outside: a restart, an eviction, a clock that is held."""
        kind = self.random.choice(["replid", "gate", "meta", "holders"] + ["clock"] * 9)
        coupon = self.random.choice(COUPONS)
        there = self.model.coupons.get(coupon)
        if kind == "replid" and self.model.gate:
            self.wire.ask("HSET", self.partition.gate, "replid", WRONG)
            self.model.gate.right_replid = False
        elif kind == "gate":
            self.wire.ask("DEL", self.partition.gate)
            self.model.gate, self.model.shut = None, 0
        elif kind == "meta":
            self.wire.ask("DEL", self.partition.meta(coupon))
            self.model.coupons.pop(coupon, None)
        elif kind == "holders" and there:
            self.wire.ask("DEL", f"{self.partition.key('holders')}:{coupon}:{there.epoch}")
            self.model.holders.pop((coupon, there.epoch), None)
        elif kind == "clock" and there:
            there.clock_us += self.random.randrange(HOUR_US)
            self.partition.set_clock(there.clock_us, coupon)
        return [kind], [kind]

    def is_open(self):
        return self.model.gate is not None and self.model.gate.right_replid

    def step(self):
        name = self.random.choices(
            ["claim", "settled", "load", "open", "close", "status", "spoil"],
            [120, 60, 20, 2, 1, 4, 9] if self.is_open() else [5, 5, 2, 10, 1, 1, 0])[0]
        got, expected = getattr(self, name)()
        self.trail.append((name, got))
        assert got == expected, (name, self.trail[-10:])

    # ---- all of it ----

    def compare(self):
        gate, part = self.model.gate, self.partition
        found = part.gate_hash()
        found.pop("replid", None)
        assert found == ({"epoch": str(gate.epoch), "n": str(gate.n),
                          "settled_n": str(gate.settled_n)} if gate else
                         {"shut": str(self.model.shut)} if self.model.shut else {})
        for coupon in COUPONS:
            there = self.model.coupons.get(coupon)
            meta = part.meta_hash(coupon)
            assert meta.pop("epoch", None) == (str(there.epoch) if there else None)
            assert sorted(meta.values()) == (sorted(there.words()) if there else [])
        for epoch in set(self.model.queues) | {epoch for _, epoch in self.model.holders}:
            part.epoch = epoch
            assert part.entries() == [
                (f"{n}-0", str(coupon), str(time_us), claims)
                for n, (coupon, time_us, claims) in sorted(self.model.queues[epoch].items())]
            for coupon in COUPONS:
                assert part.holders_hash(coupon) == {
                    user: ":".join(map(str, place)) for user, place in
                    self.model.holders.get((coupon, epoch), {}).items()}


def assert_everything_was_met(trail):
    answers = {f"{name} {got[0]}" for name, got in trail}
    assert {"claim ok", "claim closed", "claim not-loaded", "settled ok", "settled apart",
            "settled closed", "load ok", "open ok", "close ok"} <= answers
    assert {verdict[0] for name, got in trail if name == "claim" and got[0] == "ok"
            for verdict in got[4:]} == set("adpsefo")


@pytest.mark.parametrize("seed", [FIXED_SEED, a_seed()], ids=["fixed seed", "seed of this run"])
def test_random_calls_are_answered_as_the_model_says(shared_redis, seed):
    print(f"COUPON_SEED={seed}")
    with shared_redis.connect() as wire:
        wire.ask("FLUSHALL")
        load_library(wire)
        walk = Walk(wire, seed)
        for call in range(CALLS):
            walk.step()
            if call % COMPARE_EVERY == 0:
                walk.compare()
        walk.compare()
    if seed == FIXED_SEED:
        assert_everything_was_met(walk.trail)
