"""What the function library promises, in Python: the model that the random test compares with.

It follows the page of the protocol, not the Lua: plain values, one step after the other, no thought
of speed. Time is what the coupon's clock is held at. It decides; it talks to nobody.
"""

import copy
from dataclasses import dataclass, field


@dataclass
class Gate:
    epoch: int
    right_replid: bool = True
    n: int = 0
    settled_n: int = 0


@dataclass
class Coupon:
    epoch: int
    version: int
    total: int
    start_us: int
    end_us: int
    paused: int
    admitted: int
    settled: int
    clock_us: int
    complete: int

    def words(self):
        return [str(word) for word in (self.version, self.total, self.start_us, self.end_us,
                                       self.paused, self.admitted, self.settled, self.clock_us,
                                       self.complete)]


@dataclass
class Model:
    gate: Gate = None
    shut: int = 0                                # up to this epoch, while there is no gate
    coupons: dict = field(default_factory=dict)  # id -> Coupon
    holders: dict = field(default_factory=dict)  # (id, epoch) -> {user: (claim id, n, idx)}
    queues: dict = field(default_factory=dict)   # epoch -> {n: (id, time_us, claims)}
    tops: dict = field(default_factory=dict)     # epoch -> the highest n that was ever queued

    def closed(self, epoch):
        if self.gate is None:
            return ["closed", "0", "missing"]
        if self.gate.epoch != epoch:
            return ["closed", str(self.gate.epoch), "epoch"]
        if not self.gate.right_replid:
            return ["closed", str(self.gate.epoch), "replid"]
        return None

    def contradicted(self):
        self.gate, self.shut = None, 0
        return ["closed", "0", "missing"]

    def open(self, epoch):
        if self.gate and self.gate.epoch >= epoch:
            if self.gate.right_replid:
                return ["ok", str(self.gate.epoch)]
            return ["closed", str(self.gate.epoch), "replid"]
        if self.shut >= epoch:
            return ["closed", "0", "missing"]
        self.gate, self.shut = Gate(epoch), 0
        return ["ok", str(epoch)]

    def close(self, epoch):
        if self.gate and self.gate.epoch > epoch:
            return ["ok", str(self.gate.epoch)]
        self.gate, self.shut = None, max(self.shut, epoch)
        return ["ok", "0"]

    def load(self, coupon_id, epoch, version, total, start_us, end_us, paused, issued, clock_us,
             complete):
        if closed := self.closed(epoch):
            return closed
        there = self.coupons.get(coupon_id)
        if there is None or there.epoch != epoch:
            if there is not None:
                self.holders.pop((coupon_id, there.epoch), None)
            there = Coupon(epoch, version, total, start_us, end_us, paused, issued, issued,
                           clock_us, complete)
            self.coupons[coupon_id] = there
        elif there.version < version:
            there.version, there.total, there.paused = version, total, paused
            there.start_us, there.end_us = start_us, end_us
        return ["ok", *there.words()]

    def claim(self, coupon_id, epoch, claims):
        if closed := self.closed(epoch):
            return closed
        coupon = self.coupons.get(coupon_id)
        if coupon is None or coupon.epoch != epoch:
            return ["not-loaded"]
        holders = copy.copy(self.holders.get((coupon_id, epoch), {}))
        n, entry, verdicts = self.gate.n + 1, [], []
        for claim in claims:
            verdict = self.verdict(coupon, holders.get(claim[1]), claim, len(entry))
            if verdict is None:
                holders[claim[1]] = (claim[0], n, len(entry))
                verdict = f"a:{n}:{len(entry)}"
                entry.append(claim)
            verdicts.append(verdict)
        known = len(self.holders.get((coupon_id, epoch), {})) >= coupon.admitted
        reply = ["ok", str(self.gate.settled_n), str(int(coupon.complete and known)),
                 str(coupon.clock_us), *verdicts]
        if not entry:
            return reply
        if n <= self.tops.get(epoch, 0):
            return self.contradicted()
        self.holders[coupon_id, epoch] = holders
        self.queues.setdefault(epoch, {})[n] = (coupon_id, coupon.clock_us, entry)
        self.tops[epoch] = self.gate.n = n
        coupon.admitted += len(entry)
        return reply

    @staticmethod
    def verdict(coupon, held, claim, admitted_now):
        """None: admitted."""
        if held and held[0] == claim[0]:
            return f"a:{held[1]}:{held[2]}"
        if held:
            return f"d:{held[0]}:{held[1]}:{held[2]}"
        if coupon.paused:
            return "p"
        if coupon.clock_us < coupon.start_us:
            return f"s:{coupon.start_us}"
        if coupon.clock_us >= coupon.end_us:
            return "e"
        if coupon.total != -1 and coupon.admitted + admitted_now >= coupon.total:
            return "o" if coupon.settled >= coupon.total else "f"
        return None

    def settled(self, epoch, first, last, reports):
        if closed := self.closed(epoch):
            return closed
        if last <= self.gate.settled_n:
            return ["ok", str(self.gate.settled_n)]
        if first != self.gate.settled_n + 1:
            return ["apart", str(self.gate.settled_n)]
        if last > self.gate.n:
            return self.contradicted()
        self.gate.settled_n = last
        for coupon_id, issued, seats, forget in reports:
            holders = self.holders.get((coupon_id, epoch), {})
            for user, claim_id in forget:
                if user in holders and holders[user][0] == claim_id:
                    del holders[user]
            coupon = self.coupons.get(coupon_id)
            if coupon and coupon.epoch == epoch:
                coupon.settled = max(coupon.settled, issued)
                coupon.admitted = max(coupon.admitted - seats, coupon.settled)
        queue = self.queues.get(epoch, {})
        for n in [n for n in queue if n <= last]:
            del queue[n]
        return ["ok", str(last)]

    def status(self, epoch):
        queue = self.queues.get(epoch, {})
        gate = self.gate or Gate(0, right_replid=False)
        oldest = queue[min(queue)][1] if queue else 0
        return ["ok", *map(str, (gate.epoch, gate.n, gate.settled_n, int(gate.right_replid),
                                 len(queue), oldest))]
