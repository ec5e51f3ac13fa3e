"""The real `coupon serve` on a disk, or with memory, that fails at the N-th call.

io-preload.so stands before its libraries and is armed through a mapped file (fault.h). A scripted
client talks to the server and believes what it is told; whatever comes of the fault, the record
must agree in the end:

  201                       is there, with its rank and time, also after a start
  503 storage-unavailable   is not there
  503 outcome-unknown, or no answer: either; and a server that says so ends with exit code 3

A server that cannot write says so (/readyz 503, event=storage-unavailable) and goes on by itself
when it can. One that must stop says why and exits with 1 (could not start or close) or 3.

Not for: the issuer without HTTP, where every call is struck (io-faults). Called by run.py and by
test_io.py.
"""

import argparse
import contextlib
import ctypes
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))

from support import server as coupon  # noqa: E402
from support import check  # noqa: E402
from support.wire import Client, Closed  # noqa: E402

# As in fault.h.
OPERATIONS = ("open", "read", "write", "truncate", "sync", "delete", "access", "size", "lock",
              "close", "name", "allocate")
IO, FULL, MEMORY, BUSY, PARTIAL, LIE = range(6)
FOR_EVER = 2**63 - 1
DEADLINE_S = 60
VIOLATIONS_MAX = 20  # of one kind: then it is known well enough
USERS = 16


class Fault(ctypes.Structure):
    _fields_ = [("operations", ctypes.c_int64), ("first", ctypes.c_int64),
                ("last", ctypes.c_int64), ("error", ctypes.c_int64), ("half", ctypes.c_int64),
                ("calls", ctypes.c_int64), ("hits", ctypes.c_int64),
                ("hits_of", ctypes.c_int64 * len(OPERATIONS)), ("root", ctypes.c_char * 256)]


@dataclass(frozen=True)
class Kind:
    """What is struck, with what; `at_start`: counted from the process's first call on, else from
    when it is ready."""
    name: str
    operations: tuple
    error: int
    half: bool = False
    at_start: bool = True


FILES = tuple(one for one in OPERATIONS if one != "allocate")
KINDS = [
    Kind("io", FILES, IO),
    Kind("full", ("write", "truncate", "open", "name"), FULL),
    Kind("full-half", ("write",), FULL, half=True),
    Kind("short", ("write",), PARTIAL),
    Kind("sync", ("sync",), IO),
    Kind("memory", ("allocate",), MEMORY, at_start=False),
    Kind("memory-start", ("allocate",), MEMORY),
]
KIND = {kind.name: kind for kind in KINDS}


class Violation(Exception):
    """A promise was not kept."""


@dataclass
class Outcome:
    hit: bool
    calls: int
    counts: dict = field(default_factory=dict)


class Case:
    """One run of a server with one fault, from an empty folder to the judgement."""

    def __init__(self, preload, kind, number, ever, plant=False):
        self.kind, self.number, self.ever, self.plant = kind, number, ever, plant
        self.folder = Path(tempfile.mkdtemp(prefix="coupon-io-", dir="/dev/shm"))
        self.data = self.folder / "files" / "data"
        self.data.parent.mkdir()
        self.control = self.folder / "fault"
        self.control.write_bytes(bytes(ctypes.sizeof(Fault)))
        with open(self.control, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), ctypes.sizeof(Fault))
        self.fault = Fault.from_buffer(self.map)
        self.server = coupon.Server(self.data, "--threads=1", env={
            "LD_PRELOAD": str(preload), "COUPON_FAULT_FILE": str(self.control)})
        self.told = {}      # (coupon, user) -> the issue as told
        self.refused = set()
        self.unknown = set()
        self.coupons = {}   # name -> id
        self.counts = {"answers": 0, "refused": 0, "unknown": 0, "ends": 0, "recovered": 0}

    def close(self):
        with contextlib.suppress(AssertionError):
            self.server.end()
        del self.fault
        with contextlib.suppress(BufferError):  # a failed test's frames still have it
            self.map.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- the fault ----

    def arm(self):
        fault = self.fault
        fault.root = str(self.data.parent).encode()
        fault.operations = sum(1 << OPERATIONS.index(one) for one in self.kind.operations)
        fault.error, fault.half = self.kind.error, self.kind.half
        fault.calls = fault.hits = 0
        fault.last = FOR_EVER if self.ever else self.number + (1 if self.kind.half else 0)
        fault.first = self.number

    def mend(self):
        self.fault.first = 0

    @property
    def struck(self):
        return self.fault.hits > 0 and self.kind.error != PARTIAL

    # ---- answers ----

    def wrong(self, what):
        hits = {name: n for name, n in zip(OPERATIONS, self.fault.hits_of) if n}
        raise Violation(f"{self.kind.name} {'ever' if self.ever else 'once'} call {self.number}, "
                        f"struck {hits}: {what}\n{self.server.log()[-3000:]}")

    def expect(self, holds, what):
        if not holds:
            self.wrong(what)

    def ask(self, method, target, value=None, admin=False, fields=()):
        """The answer, or None when there is none: the server was struck."""
        self.counts["answers"] += 1
        try:
            with Client(self.server.address, self.token if admin else None) as client:
                answer = client.call(method, target, value, fields=fields)
        except (Closed, ConnectionError, TimeoutError) as why:
            self.expect(self.struck, f"no answer to {method} {target}: {why!r}")
            self.counts["unknown"] += 1
            return None
        if answer.status >= 500:
            self.expect(self.struck, f"{method} {target}: {answer!r}")
            self.expect(answer.status == 503, f"{method} {target}: {answer!r}")
            unknown = answer.code == "outcome-unknown"
            self.counts["unknown" if unknown else "refused"] += 1
        return answer

    def believe(self, coupon_id, user, issue):
        """`issue` may have its rank alone; what was told before it must not contradict."""
        key = (coupon_id, user)
        known = self.told.setdefault(key, {})
        self.expect(all(issue.get(name, value) == value for name, value in known.items()),
                    f"{key} was told {known} and now {issue}")
        known.update(issue)
        self.refused.discard(key)
        self.unknown.discard(key)

    def hear_claim(self, coupon_id, user, answer):
        key = (coupon_id, user)
        if answer is None or (answer.status == 503 and answer.code == "outcome-unknown"):
            if key not in self.told:
                self.unknown.add(key)
        elif answer.status == 503:
            if self.plant and not self.refused:
                self.told[key] = {"rank": 1}  # a false belief, which must be noticed
            if key not in self.told and key not in self.unknown:
                self.refused.add(key)
        elif answer.status in (200, 201):
            self.believe(coupon_id, user, answer.json())
        elif answer.code == "already-issued":
            self.believe(coupon_id, user, answer.json()["issue"])
        else:
            self.wrong(f"claim of {key}: {answer!r}")

    # ---- the client's script ----

    def create(self, name, total):
        body = {"title": name, "totalQuantity": total, "issueStart": check.moment(-60),
                "issueEnd": check.moment(3600)}
        for _ in range(3):
            answer = self.ask("POST", "/v1/coupons", body, admin=True,
                              fields=[("Idempotency-Key", name)])
            if answer is not None and answer.status in (200, 201):
                self.coupons[name] = answer.json()["id"]
                return
            if answer is not None and answer.status < 500:
                self.wrong(f"creation: {answer!r}")
            if not self.follow_up():
                return

    def claim_all(self, name, users, key):
        coupon_id = self.coupons.get(name)
        for user in users if coupon_id else ():
            if not self.server.running():
                return
            fields = [("Idempotency-Key", key)] if key else []
            answer = self.ask("POST", f"/v1/coupons/{coupon_id}/issues", {"userId": user},
                              fields=fields)
            self.hear_claim(coupon_id, user, answer)

    def claim_batch(self, name, users):
        coupon_id = self.coupons.get(name)
        if not coupon_id or not self.server.running():
            return
        answer = self.ask("POST", f"/v1/coupons/{coupon_id}/issues:batch", {"userIds": users},
                          admin=True)
        if answer is None or answer.status == 503:
            self.unknown.update((coupon_id, user) for user in users
                                if (coupon_id, user) not in self.told)
            return
        self.expect(answer.status == 200, f"batch: {answer!r}")
        results = answer.json()["results"]
        self.expect([one["userId"] for one in results] == users, "a batch names other users")
        for one in results:
            self.hear_result(coupon_id, one)

    def hear_result(self, coupon_id, one):
        key = (coupon_id, one["userId"])
        if one["result"] in ("issued", "already-issued"):
            self.believe(*key, {"rank": one["rank"]})
        else:
            self.expect(self.struck and one["result"] in
                        ("storage-unavailable", "outcome-unknown", "overloaded"), f"batch: {one}")
            if one["result"] == "outcome-unknown":
                self.unknown.add(key)
            elif key not in self.unknown and key not in self.told:
                self.refused.add(key)

    def change(self, name, value):
        coupon_id = self.coupons.get(name)
        if coupon_id and self.server.running():
            answer = self.ask("PATCH", f"/v1/coupons/{coupon_id}", value, admin=True)
            self.expect(answer is None or answer.status in (200, 503), f"change: {answer!r}")

    def look(self, name):
        coupon_id = self.coupons.get(name)
        if not coupon_id or not self.server.running():
            return
        answer = self.ask("GET", f"/v1/coupons/{coupon_id}")
        if answer is not None and answer.status == 200:
            told = sum(1 for key in self.told if key[0] == coupon_id)
            issued = answer.json()["issuedQuantity"]
            unknown = sum(1 for key in self.unknown if key[0] == coupon_id)
            self.expect(told <= issued <= told + unknown, f"{issued} are published, {told} told")

    def follow_up(self):
        """What the server has become. False: it ended, or will."""
        if not self.server.running() or self.is_broken():
            return False
        if self.struck and self.unready():
            self.until(lambda: not self.server.running() or self.is_broken() or
                       self.server.events("storage-unavailable"), "not ready, and does not say so")
            if not self.server.running() or self.is_broken():
                return False
            self.mend()
            self.until(lambda: not self.server.running() or self.is_broken() or not self.unready(),
                       "it does not recover by itself")
            self.counts["recovered"] += 1
        return self.server.running()

    def is_broken(self):
        return bool(self.server.events("stopping-broken"))

    def unready(self):
        with contextlib.suppress(Closed, ConnectionError, TimeoutError):
            with Client(self.server.address) as client:
                return client.get("/readyz").status != 200
        return True

    def until(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.expect(time.monotonic() < deadline, what)
            time.sleep(0.005)  # between two looks; nothing is assumed of its length

    def talk(self):
        users = [f"u{i}" for i in range(USERS)]
        self.create("limited", USERS)
        self.create("open", None)
        self.claim_all("limited", users[:8], "key")
        self.follow_up()
        self.claim_batch("open", users)
        self.look("open")
        self.change("limited", {"title": "Another"})
        self.follow_up()
        self.claim_all("limited", users, "key")
        self.claim_all("open", users[:3], None)
        self.look("limited")
        self.follow_up()
        if self.server.running():
            self.claim_all("limited", users, "key")  # and now they have it

    # ---- life ----

    def spawn(self):
        """Whether it came to be ready."""
        if self.kind.at_start:
            self.arm()
        self.server.spawn()
        try:
            self.server.address = self.server.listening_at()
            self.server.wait_event("ready")
        except AssertionError:  # it ended before
            self.judge_end(self.server.wait())
            return False
        with open(self.data / "admin-token", encoding="ascii") as file:
            self.token = file.read().strip()
        if not self.kind.at_start:
            self.arm()
        return True

    def judge_end(self, code):
        """It ended, by itself or when it was asked to: its code and its words."""
        self.counts["ends"] += 1 if code else 0
        told = {1: ("cannot-start", "closing-failed", "out-of-memory"), 3: ("stopping-broken",)}
        if code == 0:
            self.expect(not self.is_broken(), "exit code 0, and it was broken")
            return
        self.expect(self.struck, f"exit code {code}, and nothing failed")
        self.expect(code in told, f"exit code {code}")
        events = [one for name in told[code] for one in self.server.events(name)]
        if self.kind.error != MEMORY or code == 3:
            self.expect(events and events[-1].get("why"), f"exit code {code} without a word")
        for one in events:
            self.expect("put a backup back" not in one["why"], f"a false advice: {one['why']}")

    def stop(self):
        if self.server.running() and not self.is_broken():
            self.server.terminate()
        self.judge_end(self.server.wait())

    def run(self):
        if self.spawn():
            self.talk()
            self.stop()
        outcome = Outcome(self.fault.hits > 0, self.fault.calls, self.counts)
        self.judge_record()
        return outcome

    # ---- the record ----

    def judge_record(self):
        """Without faults: verify, a new start, and everything told is there."""
        self.fault.operations = 0
        if (self.data / "coupon.db").exists():
            done = coupon.verify(self.data)
            self.expect(done.returncode == 0, f"verify: {done.stdout}{done.stderr}")
        again = coupon.Server(self.data, "--threads=1")
        try:
            again.start()
            if self.told or self.coupons:
                self.expect(again.token == self.token, "the admin token is another")
            for coupon_id in self.coupons.values():
                self.judge_coupon(again, coupon_id)
            again.stop()
        except AssertionError as why:
            self.wrong(f"the next start: {why}")
        finally:
            again.end()

    def judge_coupon(self, server, coupon_id):
        with server.admin() as admin:
            answer = admin.get(f"/v1/coupons/{coupon_id}/issues?limit=1000")
        self.expect(answer.status == 200, f"coupon {coupon_id} is lost: {answer!r}")
        found = {one["userId"]: one for one in answer.json()["issues"]}
        ranks = [one["rank"] for one in answer.json()["issues"]]
        self.expect(ranks == list(range(1, len(ranks) + 1)), f"ranks {ranks}")
        for (of, user), issue in self.told.items():
            if of == coupon_id:
                self.expect(user in found and found[user]["rank"] == issue["rank"] and
                            issue.get("issuedAt") in (None, found[user]["issuedAt"]),
                            f"{user} was told {issue}, the record says {found.get(user)}")
        for user in found:
            self.expect((coupon_id, user) in self.told or (coupon_id, user) in self.unknown,
                        f"{user} was refused, and holds {found[user]}")


def run_case(preload, kind, number, ever, plant=False):
    """The outcome of one case; Violation, which an answer without what it must have and a server that
    hangs are too."""
    case = Case(preload, kind, number, ever, plant)
    try:
        return case.run()
    except (AssertionError, KeyError, TypeError, ValueError, OSError,
            subprocess.TimeoutExpired) as error:
        raise Violation(f"{kind.name} {'ever' if ever else 'once'} call {number}: {error!r}") from error
    finally:
        case.close()


def run_kind(preload, kind, ever, first, every, total, stopped):
    """Every N of it until none is hit. Violations are told and counted; it goes on."""
    number, hit, struck, last_told = first, True, False, time.monotonic()
    before = total["violations"]
    while hit and not stopped() and total["violations"] < before + VIOLATIONS_MAX:
        try:
            outcome = run_case(preload, kind, number, ever)
            hit = outcome.hit
            struck = struck or hit
            total["faults"] = total.get("faults", 0) + (1 if hit else 0)
            for name, count in outcome.counts.items():
                total[name] = total.get(name, 0) + count
        except Violation as why:
            total["violations"] += 1
            print(f"violation: {why}", file=sys.stderr)
        total["runs"] = total.get("runs", 0) + 1
        if time.monotonic() - last_told > 5:
            last_told = time.monotonic()
            print(f"{kind.name} {'ever' if ever else 'once'}: call {number}, {json.dumps(total)}",
                  file=sys.stderr)
        number += every
    print(f"{kind.name} {'ever' if ever else 'once'}: up to call {number - every}", file=sys.stderr)
    if not stopped():
        total["kinds_and_modes"] = total.get("kinds_and_modes", 0) + 1
        total["kinds_and_modes_struck"] = total.get("kinds_and_modes_struck", 0) + struck


def run_all(preload, kinds, first, every):
    """The figures of all of these kinds, once and for ever."""
    stop = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.append(True))
    total = {"violations": 0}
    for kind in kinds:
        for ever in (False, True):
            if not (ever and kind.error == MEMORY):  # without any memory there is no server
                run_kind(preload, kind, ever, first, every, total, lambda: bool(stop))
    total["complete"] = not stop
    return total


def main():
    parser = argparse.ArgumentParser(description="see the file's head")
    parser.add_argument("preload", type=os.path.abspath, help="io-preload.so")
    parser.add_argument("--kind", action="append", choices=KIND, default=[])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", action="store_true", help="the first call alone, once")
    parser.add_argument("--result")
    arguments = parser.parse_args()
    kinds = [KIND[name] for name in arguments.kind] or KINDS
    if arguments.only:
        print(run_case(arguments.preload, kinds[0], arguments.first, False))
        return 0
    total = run_all(arguments.preload, kinds, arguments.first, arguments.every)
    if arguments.result:
        Path(arguments.result).write_text(json.dumps(total))
    return 1 if total["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
