"""A winner asks again: after it is sold out, paused, over, restarted, with and without the
key. Asking again gives the same answer (I7)."""

import pytest

from support import check

# what happens between the two requests, by name
HAPPENINGS = {
    "at once": lambda server, admin, path: None,
    "sold out": lambda server, admin, path: check.coupon(
        admin.patch(path, {"totalQuantity": 1})),
    "paused": lambda server, admin, path: check.coupon(admin.patch(path, {"paused": True})),
    "after the end": lambda server, admin, path: check.coupon(
        admin.patch(path, {"issueEnd": check.moment(-1)})),
    "before a later start": lambda server, admin, path: check.coupon(
        admin.patch(path, {"issueStart": check.moment(1800)})),
    "all of these": lambda server, admin, path: check.coupon(
        admin.patch(path, {"totalQuantity": 1, "paused": True, "issueEnd": check.moment(-1)})),
}
LOSERS = {"at once": None, "sold out": "sold-out", "paused": "paused", "after the end": "ended",
          "before a later start": "not-started", "all of these": "paused"}
KEYS = [(None, None), (None, "b"), ("a", None), ("a", "b"), ("a", "A"), ("a", "a")]


def ask_again(client, coupon, user, first, again, issue):
    """The second request of a winner, by both forms of the call."""
    fields = [("Idempotency-Key", again)] if again else []
    original = client.post("/v1/issue", {"userId": user, "couponId": coupon}, fields=fields)
    if first is not None and first == again:
        assert check.issued(client.claim(coupon, user, again), replayed=True) == issue
        assert check.success(original) is True
        assert original.field("Idempotent-Replayed") == "true"
    else:
        check.already_issued(client.claim(coupon, user, again), issue)
        check.already_issued(original, issue)


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_a_winner_is_told_what_they_hold(server, happening):
    issues = {}
    with server.admin() as admin:
        for keys in KEYS:
            coupon = check.new_coupon(admin, total=2)["id"]
            issues[keys] = coupon, check.issued(admin.claim(coupon, "alice", keys[0]))
        for keys, (coupon, issue) in issues.items():
            HAPPENINGS[happening](server, admin, "/v1/coupons/%d" % coupon)
            ask_again(admin, coupon, "alice", *keys, issue)
    server.restart()
    with server.admin() as admin:
        for keys, (coupon, issue) in issues.items():
            ask_again(admin, coupon, "alice", *keys, issue)
            held = admin.get("/v1/coupons/%d/issues?userId=alice" % coupon)
            assert check.success(held) == {"issues": [issue]}
            loser = admin.claim(coupon, "bob")
            if LOSERS[happening]:
                check.problem(loser, 409, LOSERS[happening])
            else:
                assert check.issued(loser)["rank"] == 2


def test_a_key_is_one_users_own(server, admin):
    coupon = check.new_coupon(admin)["id"]
    alice = check.issued(admin.claim(coupon, "alice", "key"))
    bob = check.issued(admin.claim(coupon, "bob", "key"))
    assert (alice["rank"], bob["rank"]) == (1, 2)
    assert check.issued(admin.claim(coupon, "alice", "key"), replayed=True) == alice
    assert check.issued(admin.claim(coupon, "bob", "key"), replayed=True) == bob


def test_a_key_is_one_coupons_own(server, admin):
    first, second = (check.new_coupon(admin)["id"] for _ in range(2))
    one = check.issued(admin.claim(first, "alice", "key"))
    other = check.issued(admin.claim(second, "alice", "key"))
    assert one["issueId"] != other["issueId"]


def test_a_refusal_is_decided_afresh(server, admin):
    """A loser's key holds nothing: when there is one again, the same request wins it."""
    made = check.new_coupon(admin, total=1)
    check.issued(admin.claim(made["id"], "alice"))
    check.problem(admin.claim(made["id"], "bob", "key"), 409, "sold-out")
    check.coupon(admin.patch("/v1/coupons/%d" % made["id"], {"totalQuantity": 2}))
    issue = check.issued(admin.claim(made["id"], "bob", "key"))
    assert issue["rank"] == 2
    assert check.issued(admin.claim(made["id"], "bob", "key"), replayed=True) == issue


def test_a_key_of_the_first_request_stays_the_key(server, admin):
    coupon = check.new_coupon(admin)["id"]
    issue = check.issued(admin.claim(coupon, "alice", "first"))
    check.already_issued(admin.claim(coupon, "alice", "second"), issue)
    check.already_issued(admin.claim(coupon, "alice", "second"), issue)
    assert check.issued(admin.claim(coupon, "alice", "first"), replayed=True) == issue


def test_users_that_look_alike_are_different(server, admin):
    coupon = check.new_coupon(admin)["id"]
    users = ["alice", "Alice", "alice.", "alic", "1", "01", "1.0", "-1", "+1", "0x1", "a" * 127,
             "a" * 128]
    issues = {user: check.issued(admin.claim(coupon, user)) for user in users}
    assert [issues[user]["rank"] for user in users] == list(range(1, len(users) + 1))
    for user in users:
        check.already_issued(admin.claim(coupon, user), issues[user])


def test_an_integer_and_its_text_are_one_user(server, admin):
    coupon = check.new_coupon(admin)["id"]
    issue = check.issued(admin.claim(coupon, 42, "key"))
    check.already_issued(admin.claim(coupon, "42"), issue)
    assert check.issued(admin.claim(coupon, "42", "key"), replayed=True) == issue
