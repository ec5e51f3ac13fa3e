"""One call for many users: POST /v1/coupons/{id}/issues:batch."""

import json
import threading

import pytest

from support import check, record
from support.crowd import Load, ask, in_parallel
from support.server import verify

MOST = 10000


def path_of(coupon):
    return "/v1/coupons/%d/issues:batch" % coupon


def batch(admin, coupon, users, **rest):
    """Asks for all of them; returns the results, checked for their form."""
    results = check.success(admin.post(path_of(coupon), {"userIds": users}, **rest))["results"]
    assert [one["userId"] for one in results] == [str(user) for user in users]
    for one in results:
        more = set(one) - {"userId", "result"}
        if one["result"] in ("issued", "already-issued"):
            assert more - {"replayed"} == {"issueId", "rank", "issuedAt"}, one
            assert one["issueId"] == "%d-%d" % (coupon, one["rank"])
            assert check.is_time(one["issuedAt"])
        else:
            assert more == ({"opensAt"} if one["result"] == "not-started" else set()), one
    return results


def test_each_user_has_a_verdict_in_order(admin):
    coupon = check.new_coupon(admin, total=4)["id"]
    results = batch(admin, coupon, ["a", "b", 7, "a", "c\u0041", "d", "e"])
    assert [one["result"] for one in results] == [
        "issued", "issued", "issued", "already-issued", "issued", "sold-out", "sold-out"]
    assert [one["rank"] for one in results if one["result"] == "issued"] == [1, 2, 3, 4]
    assert results[3]["rank"] == 1
    again = batch(admin, coupon, ["d", "b"])
    assert [(one["result"], one.get("rank")) for one in again] == [("sold-out", None),
                                                                  ("already-issued", 2)]


def test_a_batch_and_a_single_claim_are_the_same_to_a_user(admin):
    coupon = check.new_coupon(admin)["id"]
    batch(admin, coupon, ["alice"])
    with admin_client(admin) as client:
        check.problem(client.claim(coupon, "alice"), 409, "already-issued")
        issue = check.issued(client.claim(coupon, "bob"))
    assert batch(admin, coupon, ["bob"])[0]["issueId"] == issue["issueId"]


def admin_client(admin):
    return type(admin)(admin.address)


def test_a_retry_with_its_key_is_a_replay(admin):
    coupon = check.new_coupon(admin)["id"]
    key = [("Idempotency-Key", "batch-1")]
    first = batch(admin, coupon, ["a", "b"], fields=key)
    again = batch(admin, coupon, ["a", "b", "c"], fields=key)
    assert all("replayed" not in one for one in first)
    assert [one.get("replayed") for one in again] == [True, True, None]
    assert [one["result"] for one in again] == ["issued"] * 3
    assert [one["result"] for one in batch(admin, coupon, ["a"])] == ["already-issued"]


@pytest.mark.parametrize("state, code", [("scheduled", "not-started"), ("ended", "ended"),
                                         ("paused", "paused")])
def test_a_coupon_that_is_not_open_refuses_each(admin, state, code):
    start, end = {"scheduled": (600, 3600), "ended": (-3600, -60)}.get(state, (-60, 3600))
    coupon = check.new_coupon(admin, start=start, end=end)["id"]
    if state == "paused":
        check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"paused": True}))
    assert [one["result"] for one in batch(admin, coupon, ["a", "b"])] == [code, code]


def test_a_coupon_that_is_not_there_refuses_the_call(admin):
    check.problem(admin.post(path_of(999), {"userIds": ["a"]}), 404, "coupon-not-found")


def test_only_an_admin_may(server, admin):
    coupon = check.new_coupon(admin)["id"]
    with server.client() as client:
        check.problem(client.post(path_of(coupon), {"userIds": ["a"]}), 401, "unauthorized")
        check.problem(client.get(path_of(coupon)), 405, "method-not-allowed")


@pytest.mark.parametrize("body, status, code, field", [
    (b'{"userIds":[]}', 422, "invalid-value", "userIds"),
    (b'{"userIds":["a",""]}', 422, "invalid-value", "userIds"),
    (b'{"userIds":["a b"]}', 422, "invalid-value", "userIds"),
    (json.dumps({"userIds": ["x" * 129]}).encode(), 422, "invalid-value", "userIds"),
    (json.dumps({"userIds": list(range(MOST + 1))}).encode(), 422, "invalid-value", "userIds"),
    (b'{"userIds":"a"}', 400, "malformed-request", "userIds"),
    (b'{"userIds":["a",1.5]}', 400, "malformed-request", "userIds"),
    (b'{"userIds":["a",null]}', 400, "malformed-request", "userIds"),
    (b'{"userIds":[["a"]]}', 400, "malformed-request", "userIds"),
    (b'{"userIds":["a"],"x":1}', 400, "malformed-request", None),
    (b'{"userIds":["a"],"userIds":["b"]}', 400, "malformed-request", None),
    (b'{"userIds":["a",]}', 400, "malformed-request", None),
    (b'{"userIds":["a"]', 400, "malformed-request", None),
    (b'["a"]', 400, "malformed-request", None),
    (b"{}", 400, "malformed-request", "userIds"),
])
def test_a_batch_that_cannot_be_is_refused_whole(admin, body, status, code, field):
    coupon = check.new_coupon(admin)["id"]
    check.problem(admin.post(path_of(coupon), None, body=body), status, code, field)
    assert check.coupon(admin.get("/v1/coupons/%d" % coupon))["issuedQuantity"] == 0


def test_a_body_over_two_mebibytes_is_too_large(admin):
    coupon = check.new_coupon(admin)["id"]
    body = b'{"userIds":["a"]' + b" " * (2 * 1024 * 1024) + b"}"
    check.problem(admin.post(path_of(coupon), None, body=body), 413, "body-too-large", closes=True)


def test_the_largest_batch_is_issued_in_order_and_kept(server, admin):
    total = MOST - 1000
    coupon = check.new_coupon(admin, total=total)["id"]
    users = ["user-%d-%s" % (i, "x" * 100) for i in range(MOST)]
    results = batch(admin, coupon, users)
    assert [one.get("rank") for one in results] == list(range(1, total + 1)) + [None] * 1000
    assert {one["result"] for one in results[total:]} == {"sold-out"}
    server.stop()
    kept = record.issues(server.data)[coupon]
    assert kept == {rank + 1: user for rank, user in enumerate(users[:total])}
    assert verify(server.data).returncode == 0


def test_batches_and_single_claims_at_once_never_overissue(server, admin, scaled):
    total = scaled(9000)
    coupon = check.new_coupon(admin, total=total)["id"]
    asks = [(coupon, "user-%d" % i, None) for i in range(0, total, 3)]
    load = Load(server.address, asks, 16).start()
    results = []
    lock = threading.Lock()

    def one_batch(index):
        with server.admin() as other:
            users = ["user-%d" % i for i in range(index * 997 % total, total + 500, 2)][:MOST]
            told = batch(other, coupon, users)
        with lock:
            results.extend(told)

    in_parallel(4, one_batch)
    load.join()
    told = {}
    for one in results:
        if one["result"] == "issued":
            assert told.setdefault(one["rank"], one["userId"]) == one["userId"]
    for one in load.won():
        assert told.setdefault(one.body["rank"], one.user) == one.user
    server.stop()
    kept = record.issues(server.data)[coupon]
    assert kept == told and len(set(kept.values())) == len(kept) <= total
    assert verify(server.data).returncode == 0


def test_single_claims_go_on_beside_large_batches(server, admin):
    """A single claim waits for one commit of a batch at most, not for the batch."""
    coupon = check.new_coupon(admin, total=None)["id"]
    done = threading.Event()
    rounds = []

    def batches():
        with server.admin() as other:
            for turn in range(20):
                batch(other, coupon, ["b-%d-%d" % (turn, i) for i in range(MOST)])
        done.set()

    worker = threading.Thread(target=batches)
    worker.start()
    with server.client() as client:
        while not done.is_set():
            answer = ask(client, coupon, "single-%d" % len(rounds))
            rounds.append(answer.body["rank"])
    worker.join()
    # Between two of a batch's slices the singles got through: more than one a batch.
    assert len(rounds) > 20
    assert sorted(rounds) == rounds
