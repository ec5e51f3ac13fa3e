"""The claim race: more people than coupons, all at once. Also run under ThreadSanitizer."""

import threading
import time

import pytest

from support import check, record
from support.crowd import (Load, ask, assert_order_kept, assert_sold_out_is_true, in_parallel)
from support.server import verify

pytestmark = pytest.mark.race

TOTAL, USERS, THREADS = 500, 5000, 64


def test_a_crowd_gets_exactly_what_there_is(server, scaled, randomness):
    """64 threads claim 500 coupons with 5,000 users, every fifth of whom asks twice."""
    total, users = scaled(TOTAL), scaled(USERS)
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=total)["id"]
    asks = [(coupon, "user-%d" % i, None) for i in range(users)]
    asks += randomness.sample(asks, users // 5)
    randomness.shuffle(asks)
    load = Load(server.address, asks, THREADS).start().join()

    assert not load.unanswered and len(load.told) == len(asks)
    won = load.won()
    assert sorted(one.body["rank"] for one in won) == list(range(1, total + 1))
    assert len({one.user for one in won}) == total
    assert len({one.body["issueId"] for one in won}) == total
    assert {one.code for one in load.told} <= {None, "already-issued", "sold-out"}
    assert_order_kept(won)
    assert_sold_out_is_true(load.told, total)
    issue_of = {one.user: one.body for one in won}
    for one in load.told:
        if one.code == "already-issued":
            assert one.body["issue"] == issue_of[one.user]
        elif one.code == "sold-out":
            assert one.user not in issue_of, "a winner was refused"

    with server.client() as client:
        body = check.coupon(client.get("/v1/coupons/%d" % coupon))
    assert (body["issuedQuantity"], body["remaining"], body["state"]) == (total, 0, "soldOut")
    server.stop()
    found = record.assert_holds_what_was_told(server.data, load.told)
    assert found[coupon] == {one.body["rank"]: one.user for one in won}
    assert verify(server.data).returncode == 0


def test_one_user_asking_everywhere_at_once_gets_one(server, admin):
    coupon = check.new_coupon(admin, total=10)["id"]

    def claim(_):
        with server.client() as client:
            return ask(client, coupon, "alice")

    answers = in_parallel(32, claim)
    won = [one for one in answers if one.status == 201]
    assert len(won) == 1 and won[0].body["rank"] == 1
    for one in answers:
        if one.status != 201:
            assert one.code == "already-issued" and one.body["issue"] == won[0].body


def test_one_user_retrying_everywhere_with_a_key_is_told_one_issue(server, admin):
    coupon = check.new_coupon(admin, total=10)["id"]

    def claim(_):
        with server.client() as client:
            return client.claim(coupon, "alice", "key")

    answers = in_parallel(32, claim)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum(answer.field("Idempotent-Replayed") is None for answer in answers) == 1


def test_the_last_coupon_goes_to_one_of_many(server, admin):
    for _ in range(10):
        coupon = check.new_coupon(admin, total=1)["id"]

        def claim(index):
            with server.client() as client:
                return ask(client, coupon, "user-%d" % index)

        answers = in_parallel(16, claim)
        assert sorted(one.code or "" for one in answers) == [""] + ["sold-out"] * 15


def test_coupons_do_not_mix(server, admin, scaled):
    coupons = [check.new_coupon(admin, total=scaled(50))["id"] for _ in range(8)]
    asks = [(coupon, "user-%d" % i, None) for i in range(scaled(100)) for coupon in coupons]
    load = Load(server.address, asks, 16).start().join()
    assert not load.unanswered
    for coupon in coupons:
        ranks = sorted(one.body["rank"] for one in load.won() if one.coupon == coupon)
        assert ranks == list(range(1, scaled(50) + 1))
    server.stop()
    record.assert_holds_what_was_told(server.data, load.told)


def test_readers_never_see_more_than_there_is_nor_time_going_back(server, admin, scaled):
    total = scaled(300)
    coupon = check.new_coupon(admin, total=total)["id"]
    done = threading.Event()
    seen = []

    def read():
        with server.client() as client:
            while not done.is_set():
                seen.append(client.get("/v1/coupons/%d" % coupon).json())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        Load(server.address, [(coupon, "u%d" % i, None) for i in range(2 * total)], 16).start().join()
    finally:
        done.set()
        reader.join()
    issued = [body["issuedQuantity"] for body in seen]
    assert issued == sorted(issued) and issued[-1] <= total
    for body in seen:
        assert body["remaining"] == total - body["issuedQuantity"]
        assert (body["state"] == "soldOut") == (body["remaining"] == 0)


def test_what_was_told_is_read_at_once(server, admin):
    """A success that was told is seen by every later read, on whatever connection."""
    coupon = check.new_coupon(admin)["id"]

    def claim_and_read(index):
        user = "user-%d" % index
        with server.client() as one, server.client() as other:
            issue = check.issued(one.claim(coupon, user))
            held = check.success(other.get("/v1/coupons/%d/issues?userId=%s" % (coupon, user)))
            assert held == {"issues": [issue]}
            assert check.success(other.get("/v1/issues/" + issue["issueId"])) == issue
            assert other.get("/v1/coupons/%d" % coupon).json()["issuedQuantity"] >= issue["rank"]
            check.already_issued(other.claim(coupon, user), issue)

    in_parallel(16, claim_and_read)


def test_nothing_is_issued_before_it_starts(server, admin, scaled):
    """A crowd hammers a coupon that opens meanwhile; nobody gets one early, and it opens."""
    opens = check.moment(1)
    body = check.coupon(admin.post("/v1/coupons", {
        "title": "soon", "totalQuantity": 20, "issueStart": opens, "issueEnd": check.moment(3600)}),
        201)
    deadline = time.monotonic() + 30

    def hammer(index):
        answers = []
        with server.client() as client:
            while time.monotonic() < deadline:
                answers.append(ask(client, body["id"], "user-%d" % index))
                if answers[-1].code != "not-started":
                    return answers
        raise AssertionError("it never opened")

    answers = [one for some in in_parallel(8, hammer) for one in some]
    won = [one for one in answers if one.status == 201]
    assert sorted(one.body["rank"] for one in won) == list(range(1, 9))
    assert min(one.body["issuedAt"] for one in won) >= opens
    assert all(one.body["opensAt"] == opens for one in answers if one.code == "not-started")
