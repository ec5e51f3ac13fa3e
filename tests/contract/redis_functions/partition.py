"""One partition as the issuer and the workers see it: calls of the function library with named
arguments, and what Redis holds afterwards. Used by the tests here; it decides nothing itself."""

import itertools
import re
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[3] / "src" / "redis" / "coupon.lua"

HOUR_US = 3_600_000_000
FUTURE_US = 4_102_444_800_000_000  # 2100: a clock held there makes `now` the test's own
LAST_US = 253_402_300_799_999_999  # the last microsecond of the year 9999

_numbers = itertools.count(1)


def new_claim_id():
    return f"{next(_numbers):032x}"


def claim_of(user, key="", claim_id=None):
    return (claim_id or new_claim_id(), user, key)


def claims_of(*users):
    return [claim_of(user) for user in users]


def load_library(wire):
    wire.ask("FUNCTION", "LOAD", "REPLACE", LIBRARY.read_text())


def pairs(words):
    return dict(zip(words[::2], words[1::2]))


def unpack_claims(packed):
    """[(claim id, user, key)], as C reads it: sizes first, no look at what is in between."""
    words, at = [], 0
    while at < len(packed):
        colon = packed.index(":", at)
        assert re.fullmatch("[0-9]+", packed[at:colon])
        end = colon + 1 + int(packed[at:colon])
        assert end <= len(packed)
        words.append(packed[colon + 1:end])
        at = end
    assert len(words) % 3 == 0
    return list(zip(words[::3], words[1::3], words[2::3]))


class Partition:
    """Coupon ids are bare; `epoch` is what every call says unless told otherwise."""

    def __init__(self, wire, number=7, epoch=3):
        self.wire = wire
        self.number = f"{number:02d}"
        self.epoch = epoch

    # ---- keys ----

    def key(self, rest):
        return f"coupon:{{p{self.number}}}:{rest}"

    @property
    def gate(self):
        return self.key("gate")

    @property
    def queue(self):
        return self.key(f"queue:{self.epoch}")

    def meta(self, coupon):
        return self.key(f"meta:{coupon}")

    def holders(self, coupon):
        return self.key(f"holders:{coupon}:{self.epoch}")

    # ---- calls ----

    def call(self, function, keys, *args):
        """Every reply is an array of bulk strings."""
        reply = self.wire.ask("FCALL", function, len(keys), *keys, *args)
        assert isinstance(reply, list) and all(isinstance(word, str) for word in reply)
        return reply

    def open(self, epoch=None):
        return self.call("coupon_open", [self.gate], epoch or self.epoch)

    def close(self, epoch=None):
        return self.call("coupon_close", [self.gate], epoch or self.epoch)

    def status(self):
        return self.call("coupon_status", [self.gate, self.queue])

    def load(self, coupon=7, version=1, total=-1, start_us=0, end_us=LAST_US, paused=0, issued=0,
             clock_us=0, complete=1, epoch=None):
        return self.call("coupon_load", [self.gate, self.meta(coupon)], epoch or self.epoch,
                         version, total, start_us, end_us, paused, issued, clock_us, complete)

    def claim_reply(self, claims, coupon=7, epoch=None):
        return self.call("coupon_claim", [self.gate, self.meta(coupon), self.holders(coupon),
                                          self.queue],
                         epoch or self.epoch, coupon, len(claims),
                         *(word for claim in claims for word in claim))

    def claim(self, claims, coupon=7):
        """The verdicts of a call that must be answered."""
        reply = self.claim_reply(claims, coupon)
        assert reply[0] == "ok" and len(reply) == 4 + len(claims), reply[:4]
        return reply[4:]

    def settled(self, first, last, reports=(), epoch=None):
        """`reports`: (coupon, issued, seats, [(user, claim id) to forget])."""
        keys, args = [self.gate, self.queue], []
        for coupon, issued, seats, forget in reports:
            keys += [self.meta(coupon), self.holders(coupon)]
            args += [issued, seats, len(forget), *(word for pair in forget for word in pair)]
        return self.call("coupon_settled", keys, epoch or self.epoch, first, last, len(reports),
                         *args)

    # ---- what Redis holds ----

    def gate_hash(self):
        return pairs(self.wire.ask("HGETALL", self.gate))

    def meta_hash(self, coupon=7):
        return pairs(self.wire.ask("HGETALL", self.meta(coupon)))

    def holders_hash(self, coupon=7):
        return pairs(self.wire.ask("HGETALL", self.holders(coupon)))

    def entries(self):
        """[(id, coupon, time_us, [(claim id, user, key)])]"""
        found = []
        for name, words in self.wire.ask("XRANGE", self.queue, "-", "+"):
            assert words[::2] == ["coupon", "time_us", "claims"]
            found.append((name, words[1], words[3], unpack_claims(words[5])))
        return found

    def set_clock(self, clock_us, coupon=7):
        """Holds the coupon's clock there, which must be ahead of the machine's."""
        self.wire.ask("HSET", self.meta(coupon), "clock_us", clock_us)


def everything(wire):
    """All that Redis holds, for "nothing has changed"."""
    found = {}
    for key in wire.ask("KEYS", "*"):
        kind = wire.ask("TYPE", key)
        if kind == "hash":
            found[key] = pairs(wire.ask("HGETALL", key))
        elif kind == "stream":
            found[key] = (wire.ask("XRANGE", key, "-", "+"),
                          pairs(wire.ask("XINFO", "STREAM", key))["last-generated-id"])
        else:
            found[key] = wire.ask("DUMP", key)
    return found
