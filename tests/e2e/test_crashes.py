"""kill -9 at any moment: every success that was told is there afterwards, nobody has two."""

import itertools
import threading
import time

import pytest

from support import check, record
from support.crowd import Load
from support.server import verify

pytestmark = pytest.mark.slow

ROUNDS = 30


class Crowd:
    """What all rounds together asked and were told."""

    def __init__(self, coupons, randomness):
        self.coupons = coupons
        self.randomness = randomness
        self.users = itertools.count()
        self.told = []
        self.issue_of = {}  # (coupon, user) -> issue
        self.key_of = {}  # (coupon, user) -> key
        self.open = []  # asked, and the server died before it answered
        self.cut_off = 0  # how many of these in all rounds

    def asks(self):
        """New users, now and then a former one; first of all those who got no answer."""
        again, self.open = self.open, []
        yield from again
        while True:
            coupon = self.randomness.choice(self.coupons)
            known = list(itertools.islice(self.key_of, 500))
            if known and self.randomness.random() < 0.1:
                coupon, user = self.randomness.choice(known)
                key = self.randomness.choice([self.key_of[(coupon, user)], "other"])
            else:
                user = "user-%d" % next(self.users)
                key = self.randomness.choice([None, "key-" + user])
                self.key_of[(coupon, user)] = key
            yield coupon, user, key

    def take(self, load):
        """Adds a round's answers, each held against what was told before."""
        for one in load.told:
            issue = one.body if one.status == 201 else one.body.get("issue")
            assert one.status == 201 or one.code in ("already-issued", "sold-out"), one
            if issue:
                former = self.issue_of.setdefault((one.coupon, one.user), issue)
                assert former == issue, "told %r, then %r" % (former, issue)
            else:
                assert (one.coupon, one.user) not in self.issue_of, "a winner was refused"
        self.told += load.told
        self.open += [(one.coupon, one.user, one.key) for one in load.unanswered]
        self.cut_off += len(load.unanswered)


class Operator(threading.Thread):
    """Raises a coupon's quantity again and again while the server lives."""

    def __init__(self, server, path):
        super().__init__()
        self.client = server.admin()
        self.path = path
        self.told = None  # the last coupon that was told

    def run(self):
        try:
            while True:
                total = self.told["totalQuantity"] if self.told else 100
                response = self.client.patch(self.path, {"totalQuantity": total + 7})
                if response.status != 200:
                    return
                self.told = response.json()
        except Exception:  # the server is gone, as it should be
            self.client.close()


def test_thirty_rounds_of_kill_9_under_load(new_server, randomness, scaled):
    server = new_server().start()
    with server.admin() as admin:
        coupons = [check.new_coupon(admin, total=total)["id"] for total in (None, 100, 100)]
    raised = "/v1/coupons/%d" % coupons[2]
    crowd = Crowd(coupons + coupons[:1] * 3, randomness)
    for round_no in range(ROUNDS):
        if not server.running():
            server.start()
        operator = Operator(server, raised)
        operator.start()
        load = Load(server.address, crowd.asks(), randomness.choice([4, 16, 48])).start()
        load.wait_answers(randomness.randrange(1, scaled(400)))
        server.kill()
        load.join()
        operator.join()
        crowd.take(load)

        before = record.fingerprint(server.data)
        done = verify(server.data)
        assert done.returncode == 0, "round %d:\n%s%s" % (round_no, done.stdout, done.stderr)
        assert record.fingerprint(server.data) == before, "verify changed the folder"
        found = record.assert_holds_what_was_told(server.data, load.told)
        assert len(found.get(coupons[1], {})) <= 100
        server.start()
        with server.admin() as admin:
            assert check.success(admin.get("/readyz")) == {"status": "ready"}
            body = check.coupon(admin.get(raised))
            if operator.told:  # what the operator was told is kept too
                assert body["version"] >= operator.told["version"]
                assert body["totalQuantity"] >= operator.told["totalQuantity"]
    server.stop()
    found = record.assert_holds_what_was_told(server.data, crowd.told)
    assert len(found[coupons[1]]) == 100
    issued = sum(len(rows) for rows in found.values())
    print("%d answers, %d issues, %d winners told, %d requests cut off"
          % (len(crowd.told), issued, len(crowd.issue_of), crowd.cut_off))
    assert crowd.cut_off >= ROUNDS, "the kills did not come under load"
    assert verify(server.data).returncode == 0


def kill_early(server, rounds, randomness):
    for _ in range(rounds):
        server.spawn()
        time.sleep(randomness.random() * 0.03)  # a random moment, not readiness
        server.kill()


def test_killed_while_it_starts_it_starts_again(new_server, randomness):
    """From the first start on an empty folder on: whatever was begun is no obstacle."""
    server = new_server()
    kill_early(server, 25, randomness)
    server.start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
        issue = check.issued(admin.claim(coupon, "alice"))
    server.kill()
    kill_early(server, 10, randomness)
    server.start()
    with server.admin() as admin:
        check.already_issued(admin.claim(coupon, "alice"), issue)
    server.stop()
    assert verify(server.data).returncode == 0


def test_one_coupon_and_one_claim_survive_a_crash(server):
    with server.admin() as admin:
        made = check.new_coupon(admin, total=1, metadata={"a": 1})
        issue = check.issued(admin.claim(made["id"], "alice", "key"))
    server.kill()
    server.start()
    with server.admin() as admin:
        body = check.coupon(admin.get("/v1/coupons/%d" % made["id"]))
        assert body == dict(made, issuedQuantity=1, remaining=0, state="soldOut")
        assert check.issued(admin.claim(made["id"], "alice", "key"), replayed=True) == issue
        check.problem(admin.claim(made["id"], "bob"), 409, "sold-out")
