"""The audit log: who changed which coupon, when and with what, for as long as the file lives."""

import json

import pytest

from support import check
from support.wire import Client

ANN, BOB = "anns-token-of-the-admins", "bobs-token-of-the-admins"


@pytest.fixture
def named(new_server, tmp_path):
    """A server with two admins, and a client of each."""
    tokens = tmp_path / "tokens"
    tokens.write_text("ann %s\nbob %s\n" % (ANN, BOB))
    tokens.chmod(0o600)
    server = new_server("--admin-token-file", tokens).start()
    with Client(server.address, ANN) as ann, Client(server.address, BOB) as bob:
        yield server, ann, bob


def audits(client, **query):
    text = "&".join("%s=%s" % one for one in query.items())
    body = check.success(client.get("/v1/audit" + ("?" + text if text else "")))
    assert set(body) == {"audits", "next"}
    for one in body["audits"]:
        assert list(one) == ["id", "at", "admin", "action", "couponId", "version", "request"]
        assert check.is_time(one["at"])
    return body["audits"], body["next"]


def told(rows):
    return [(one["admin"], one["action"], one["couponId"], one["version"]) for one in rows]


def test_each_change_tells_who_made_it_and_how(named):
    server, ann, bob = named
    coupon = check.new_coupon(ann, total=5)
    path = "/v1/coupons/%d" % coupon["id"]
    changed = check.coupon(bob.patch(path, {"totalQuantity": 7, "title": 'a "new" t\u00eftle'}))
    check.coupon(ann.patch(path, {"paused": True}))
    check.coupon(bob.patch(path, {"archived": True}))
    rows, following = audits(ann)
    assert told(rows) == [("ann", "coupon-created", coupon["id"], 1),
                          ("bob", "coupon-changed", coupon["id"], 2),
                          ("ann", "coupon-changed", coupon["id"], 3),
                          ("bob", "coupon-archived", coupon["id"], 4)]
    assert [one["id"] for one in rows] == [1, 2, 3, 4] and following == 4
    assert rows[0]["at"] == coupon["createdAt"] and rows[1]["at"] == changed["updatedAt"]
    assert rows[0]["request"]["totalQuantity"] == 5
    assert rows[1]["request"] == {"totalQuantity": 7, "title": 'a "new" t\u00eftle'}
    assert rows[3]["request"] == {"archived": True}


def test_it_is_read_in_pages_and_survives_a_kill(named):
    server, ann, bob = named
    coupon = check.new_coupon(ann)["id"]
    for i in range(12):
        check.coupon(bob.patch("/v1/coupons/%d" % coupon, {"discountAmount": i}))
    whole, _ = audits(ann, limit=500)
    assert len(whole) == 13
    server.kill()
    server.start()
    with Client(server.address, ANN) as ann:
        read, after = [], 0
        while True:
            rows, following = audits(ann, after=after, limit=5)
            if not rows:
                assert following == after
                break
            read += rows
            after = following
        assert read == whole
        assert audits(ann, after=2**53 - 1) == ([], 2**53 - 1)


def test_what_changed_nothing_leaves_no_row(named):
    server, ann, bob = named
    body = {"title": "A coupon", "totalQuantity": 5, "issueStart": check.moment(-60),
            "issueEnd": check.moment(60)}
    key = [("Idempotency-Key", "k")]
    first = check.coupon(ann.post("/v1/coupons", body, fields=key), 201)
    again = ann.post("/v1/coupons", body, fields=key)
    assert again.status == 201 and again.field("Idempotent-Replayed") == "true"
    path = "/v1/coupons/%d" % first["id"]
    check.problem(ann.patch(path, {"paused": True}, fields=[("If-Match", '"9"')]), 412,
                  "precondition-failed")
    check.problem(ann.patch(path, {"title": 7}), 400, "malformed-request")
    check.problem(ann.patch("/v1/coupons/99", {"paused": True}), 404, "coupon-not-found")
    check.problem(ann.post("/v1/coupons", dict(body, id=first["id"])), 409, "coupon-exists")
    assert told(audits(ann)[0]) == [("ann", "coupon-created", first["id"], 1)]


def test_a_body_of_the_largest_size_is_kept_whole(named):
    server, ann, bob = named
    coupon = check.new_coupon(ann)["id"]
    sent = json.dumps({"paused": True})
    sent += " " * (4096 - len(sent))
    check.coupon(bob.patch("/v1/coupons/%d" % coupon, body=sent.encode()))
    assert audits(ann)[0][1]["request"] == {"paused": True}


def test_it_is_for_admins_and_takes_only_its_own_parameters(named):
    server, ann, bob = named
    with server.client() as nobody:
        check.problem(nobody.get("/v1/audit"), 401, "unauthorized")
    for query, status, code in (("limit=0", 422, "invalid-value"),
                                ("limit=501", 422, "invalid-value"),
                                ("after=-1", 422, "invalid-value"),
                                ("page=1", 400, "malformed-request")):
        check.problem(ann.get("/v1/audit?" + query), status, code)
    check.problem(ann.post("/v1/audit", {}), 405, "method-not-allowed")
