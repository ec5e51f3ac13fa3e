"""Operators change a coupon while a crowd claims it; what comes out is judged by `verify`."""

import itertools
import time

from support import check, record
from support.crowd import Load, assert_order_kept, in_parallel
from support.server import verify

THREADS = 16


def endless(coupon, prefix="user"):
    return ((coupon, "%s-%d" % (prefix, i), None) for i in itertools.count())


def finish(server, load):
    """Ends the load and the server; holds the file against what was told."""
    load.end()
    assert not load.unanswered
    assert_order_kept(load.won())
    server.stop()
    found = record.assert_holds_what_was_told(server.data, load.told)
    told = {(one.coupon, one.body["rank"]): one.user for one in load.won()}
    for coupon, rows in found.items():
        for rank, user in rows.items():
            assert told[(coupon, rank)] == user, "issued, and nobody was told"
    done = verify(server.data)
    assert done.returncode == 0, done.stdout


def test_quantity_pause_and_period_change_while_a_crowd_claims(server, admin, scaled, randomness):
    made = check.new_coupon(admin, total=100)
    path = "/v1/coupons/%d" % made["id"]
    load = Load(server.address, endless(made["id"]), THREADS).start()
    version, lowest_refused = 1, 0
    for step in range(scaled(60)):
        load.wait_answers(len(load.told) + 20)
        issued = check.coupon(admin.get(path))["issuedQuantity"]
        change = [
            {"totalQuantity": issued + randomness.randrange(1, 200)},
            {"totalQuantity": max(1, issued + randomness.randrange(-5, 5))},
            {"paused": True}, {"paused": False},
            {"issueEnd": check.moment(-0.001)}, {"issueEnd": check.moment(3600)},
            {"issueStart": check.moment(3000)}, {"issueStart": check.moment(-3600)},
        ][step % 8]
        if change.get("issueEnd", "") < check.moment():
            change.setdefault("issueStart", check.moment(-3600))
        response = admin.patch(path, change)
        if response.status == 422:
            refusal = check.problem(response, 422, "invalid-value", "totalQuantity")
            assert change["totalQuantity"] < check.coupon(admin.get(path))["issuedQuantity"], refusal
            lowest_refused += 1
            continue
        body = check.coupon(response)
        version += 1
        assert body["version"] == version
        for name, value in change.items():
            assert body[name] == value
    check.coupon(admin.patch(path, {"paused": False, "totalQuantity": None,
                                    "issueStart": check.moment(-60), "issueEnd": check.moment(60)}))
    load.wait_answers(len(load.told) + 200)
    codes = {one.code for one in load.told}
    assert {None, "sold-out", "paused", "ended", "not-started"} >= codes
    assert {None, "sold-out", "paused"} <= codes
    finish(server, load)


def test_a_pause_that_was_told_holds(server, admin):
    """No claim sent after the PATCH's answer is issued, until it is resumed."""
    made = check.new_coupon(admin, total=None)
    path = "/v1/coupons/%d" % made["id"]
    load = Load(server.address, endless(made["id"]), THREADS).start()
    closed = []
    for _ in range(10):
        load.wait_answers(len(load.told) + 50)
        check.coupon(admin.patch(path, {"paused": True}))
        paused_at = time.monotonic_ns()
        load.wait_answers(len(load.told) + 50)
        resumed_at = time.monotonic_ns()
        check.coupon(admin.patch(path, {"paused": False}))
        closed.append((paused_at, resumed_at))
    load.wait_answers(len(load.told) + 50)
    finish(server, load)
    for one in load.won():
        for paused_at, resumed_at in closed:
            assert not (one.sent_at > paused_at and one.answered_at < resumed_at)


def test_a_quantity_lowered_to_what_is_issued_stops_at_once(server, admin):
    made = check.new_coupon(admin, total=None)
    path = "/v1/coupons/%d" % made["id"]
    load = Load(server.address, endless(made["id"]), THREADS).start()
    load.wait_answers(200)
    for _ in range(1000):
        issued = check.coupon(admin.get(path))["issuedQuantity"]
        response = admin.patch(path, {"totalQuantity": issued + 20})
        if response.status == 200:
            break
        check.problem(response, 422, "invalid-value", "totalQuantity")
    total = check.coupon(response)["totalQuantity"]
    load.wait_answers(len(load.told) + 300)
    load.end()
    assert len(load.won()) == total
    assert check.coupon(admin.get(path))["state"] == "soldOut"
    finish(server, load)


def test_of_changes_with_one_tag_exactly_one_is_made(server, admin):
    made = check.new_coupon(admin)
    path = "/v1/coupons/%d" % made["id"]
    for round_no in range(10):
        tag = admin.get(path).field("ETag")

        def change(index):
            with server.admin() as client:
                return client.patch(path, {"discountAmount": 100 * round_no + index},
                                    fields=[("If-Match", tag)])

        answers = in_parallel(12, change)
        made_ones = [answer for answer in answers if answer.status == 200]
        assert len(made_ones) == 1
        for answer in answers:
            if answer.status != 200:
                check.problem(answer, 412, "precondition-failed")
        body = check.coupon(admin.get(path))
        assert body == check.coupon(made_ones[0])
        assert body["version"] == round_no + 2


def test_of_changes_without_a_tag_all_are_made(server, admin):
    made = check.new_coupon(admin)
    path = "/v1/coupons/%d" % made["id"]

    def change(index):
        with server.admin() as client:
            return check.coupon(client.patch(path, {"discountAmount": index}))["version"]

    assert sorted(in_parallel(24, change)) == list(range(2, 26))
    assert check.coupon(admin.get(path))["version"] == 25


def test_archiving_under_load_ends_it_for_good(server, admin):
    made = check.new_coupon(admin, total=None)
    path = "/v1/coupons/%d" % made["id"]
    load = Load(server.address, endless(made["id"]), THREADS).start()
    load.wait_answers(300)
    body = check.coupon(admin.patch(path, {"archived": True}))
    archived_at = time.monotonic_ns()
    load.wait_answers(len(load.told) + 100)
    load.end()
    assert {one.code for one in load.told} == {None, "coupon-not-found"}
    for one in load.told:
        assert one.sent_at < archived_at or one.code == "coupon-not-found"
    assert body["issuedQuantity"] == len(load.won())
    assert check.coupon(admin.get(path)) == body
    finish(server, load)


def test_new_coupons_come_while_others_are_claimed(server, admin, scaled):
    made = check.new_coupon(admin, total=None)
    load = Load(server.address, endless(made["id"]), THREADS).start()
    for index in range(scaled(100)):
        other = check.new_coupon(admin, total=1)["id"]
        assert check.issued(admin.claim(other, "alice"))["rank"] == 1
        check.problem(admin.claim(other, "bob"), 409, "sold-out")
    load.end()
    assert {one.status for one in load.told} == {201}
    server.stop()
    record.assert_holds_what_was_told(server.data, load.told)
    assert verify(server.data).returncode == 0
