"""Reads of many issues: a coupon's record in order, all that one user holds."""

import pytest

from support import check
from support.crowd import Load


def page(admin, coupon, **query):
    text = "&".join("%s=%s" % one for one in query.items())
    body = check.success(admin.get("/v1/coupons/%d/issues%s" % (coupon, "?" + text if text else "")))
    assert set(body) == {"issues", "next"}
    return [check.issue_body(one) for one in body["issues"]], body["next"]


def fill(admin, coupon, count, prefix="u"):
    users = ["%s%d" % (prefix, i) for i in range(count)]
    check.success(admin.post("/v1/coupons/%d/issues:batch" % coupon, {"userIds": users}))
    return users


def test_the_record_comes_in_pages_by_rank(admin):
    coupon = check.new_coupon(admin, total=None)["id"]
    users = fill(admin, coupon, 2500)
    first, after = page(admin, coupon)
    assert [one["rank"] for one in first] == list(range(1, 101)) and after == 100
    read, after = [], 0
    while True:
        issues, following = page(admin, coupon, after=after, limit=1000)
        if not issues:
            assert following == after
            break
        read += issues
        after = following
    assert [one["userId"] for one in read] == users
    assert [one["rank"] for one in read] == list(range(1, 2501))


def test_a_reader_can_follow_while_claims_go_on(server, admin, scaled):
    total = scaled(3000)
    coupon = check.new_coupon(admin, total=total)["id"]
    load = Load(server.address, [(coupon, "c%d" % i, None) for i in range(total)], 16).start()
    read, after = [], 0
    while len(read) < total:
        issues, after = page(admin, coupon, after=after, limit=200)
        read += issues
    load.join()
    assert [one["rank"] for one in read] == list(range(1, total + 1))
    assert {one.body["issueId"]: one.body for one in load.won()} == {
        one["issueId"]: one for one in read}


def test_the_record_of_an_empty_an_archived_and_no_coupon(admin):
    coupon = check.new_coupon(admin)["id"]
    assert page(admin, coupon) == ([], 0)
    assert page(admin, coupon, after=7) == ([], 7)
    fill(admin, coupon, 3)
    check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"archived": True}))
    assert len(page(admin, coupon)[0]) == 3
    check.problem(admin.get("/v1/coupons/999/issues"), 404, "coupon-not-found")


def test_the_record_is_for_operators(server, admin):
    coupon = check.new_coupon(admin)["id"]
    with server.client() as client:
        check.problem(client.get("/v1/coupons/%d/issues" % coupon), 401, "unauthorized")
        check.problem(client.get("/v1/coupons/%d/issues?after=0" % coupon), 401, "unauthorized")


@pytest.mark.parametrize("user", ["alice", "a/b?c", "100%", "~"])
def test_a_user_is_told_all_they_hold(server, admin, user):
    from urllib.parse import quote
    path = "/v1/users/%s/issues" % quote(user, safe="")
    with server.client() as client:
        assert check.success(client.get(path)) == {"issues": []}
        held = []
        for _ in range(30):
            coupon = check.new_coupon(admin)["id"]
            fill(admin, coupon, 2, prefix="other")
            held.append(check.issued(client.claim(coupon, user)))
            check.new_coupon(admin)
        assert check.success(client.get(path)) == {"issues": held}
        check.coupon(admin.patch("/v1/coupons/%d" % held[0]["couponId"], {"archived": True}))
        assert check.success(client.get(path)) == {"issues": held[1:]}
    server.restart()
    with server.client() as client:
        assert check.success(client.get(path)) == {"issues": held[1:]}
