"""Edges of quantity and period, archived coupons, pages of the list, restarts."""

import time

import pytest

from support import check
from support.server import verify

DEADLINE_S = 30


def test_one_of_one(server, admin):
    made = check.new_coupon(admin, total=1)
    assert (made["remaining"], made["state"]) == (1, "open")
    assert check.issued(admin.claim(made["id"], "alice"))["rank"] == 1
    body = check.coupon(admin.get("/v1/coupons/%d" % made["id"]))
    assert (body["remaining"], body["issuedQuantity"], body["state"]) == (0, 1, "soldOut")
    check.problem(admin.claim(made["id"], "bob"), 409, "sold-out")


def test_the_greatest_quantity_is_taken(server, admin):
    made = check.new_coupon(admin, total=4000000000)
    check.issued(admin.claim(made["id"], "alice"))
    body = check.coupon(admin.get("/v1/coupons/%d" % made["id"]))
    assert body["remaining"] == 3999999999


def test_an_unlimited_coupon_is_never_sold_out_until_it_is_limited(server, admin):
    made = check.new_coupon(admin, total=None)
    path = "/v1/coupons/%d" % made["id"]
    for rank in range(1, 51):
        assert check.issued(admin.claim(made["id"], rank))["rank"] == rank
    body = check.coupon(admin.get(path))
    assert (body["totalQuantity"], body["remaining"], body["state"]) == (None, None, "open")
    check.problem(admin.patch(path, {"totalQuantity": 49}), 422, "invalid-value", "totalQuantity")
    assert check.coupon(admin.patch(path, {"totalQuantity": 50}))["state"] == "soldOut"
    check.problem(admin.claim(made["id"], "late"), 409, "sold-out")
    assert check.coupon(admin.patch(path, {"totalQuantity": None}))["state"] == "open"
    assert check.issued(admin.claim(made["id"], "late"))["rank"] == 51


def test_a_raised_quantity_opens_it_again(server, admin):
    made = check.new_coupon(admin, total=1)
    check.issued(admin.claim(made["id"], "a"))
    check.problem(admin.claim(made["id"], "b"), 409, "sold-out")
    check.coupon(admin.patch("/v1/coupons/%d" % made["id"], {"totalQuantity": 2}))
    assert check.issued(admin.claim(made["id"], "b"))["rank"] == 2
    check.problem(admin.claim(made["id"], "c"), 409, "sold-out")


def test_a_moved_period_counts_at_once(server, admin):
    made = check.new_coupon(admin, start=1800, end=3600)
    path = "/v1/coupons/%d" % made["id"]
    check.problem(admin.claim(made["id"], "a"), 409, "not-started")
    assert check.coupon(admin.patch(path, {"issueStart": check.moment(-1)}))["state"] == "open"
    check.issued(admin.claim(made["id"], "a"))
    assert check.coupon(admin.patch(path, {"issueEnd": check.moment(-0.5)}))["state"] == "ended"
    check.problem(admin.claim(made["id"], "b"), 409, "ended")
    assert check.coupon(admin.patch(path, {"issueEnd": check.moment(900)}))["state"] == "open"
    assert check.issued(admin.claim(made["id"], "b"))["rank"] == 2
    assert check.coupon(admin.patch(path, {"issueStart": check.moment(600)}))["state"] == "scheduled"
    check.problem(admin.claim(made["id"], "c"), 409, "not-started")
    server.stop()
    assert verify(server.data).returncode == 0


def test_the_end_comes_by_itself(server, admin):
    """The last success lies before the end, the first refusal is `ended`."""
    end = check.moment(0.7)
    made = check.coupon(admin.post("/v1/coupons", {
        "title": "short", "totalQuantity": None, "issueStart": check.moment(-1),
        "issueEnd": end}), 201)
    deadline = time.monotonic() + DEADLINE_S
    user, last = 0, None
    while time.monotonic() < deadline:
        response = admin.claim(made["id"], user)
        if response.status != 201:
            check.problem(response, 409, "ended")
            break
        user, last = user + 1, check.issued(response)
    assert last and last["issuedAt"] < end
    assert check.coupon(admin.get("/v1/coupons/%d" % made["id"]))["state"] == "ended"
    server.stop()
    assert verify(server.data).returncode == 0


def test_times_of_issues_never_go_back(server, admin):
    coupon = check.new_coupon(admin)["id"]
    times = [check.issued(admin.claim(coupon, user))["issuedAt"] for user in range(100)]
    assert times == sorted(times)


class TestAnArchivedCoupon:
    """Archiving is final: it can be read, and nothing else."""

    def archive(self, admin, **more):
        made = check.new_coupon(admin, total=2, **more)
        issue = check.issued(admin.claim(made["id"], "alice", "key"))
        path = "/v1/coupons/%d" % made["id"]
        body = check.coupon(admin.patch(path, {"archived": True}))
        assert body["archived"] is True and body["state"] == "ended" and body["version"] == 2
        return path, body, issue

    def assert_final(self, admin, path, body, issue):
        coupon = body["id"]
        assert check.coupon(admin.get(path)) == body
        for user, key in (("alice", None), ("alice", "key"), ("bob", None)):
            check.problem(admin.claim(coupon, user, key), 404, "coupon-not-found")
        check.problem(admin.post("/v1/issue", {"userId": 1, "couponId": coupon}), 404,
                      "coupon-not-found")
        for change in ({"archived": True}, {"title": "x"}, {"paused": True, "totalQuantity": 9}):
            check.problem(admin.patch(path, change), 422, "invalid-value", "archived")
        assert check.success(admin.get("/v1/issues/" + issue["issueId"])) == issue
        listed = check.success(admin.get("/v1/coupons"))["coupons"]
        assert [one for one in listed if one["id"] == coupon] == [body]
        response = admin.post("/v1/coupons", {"title": "t", "totalQuantity": 1, "id": coupon,
                                              "issueStart": check.moment(), "issueEnd":
                                              check.moment(60)})
        check.problem(response, 409, "coupon-exists")

    def test_it_is_final_and_can_be_read(self, server):
        with server.admin() as admin:
            archived = self.archive(admin, metadata={"kept": True})
            self.assert_final(admin, *archived)
        server.restart()
        with server.admin() as admin:
            self.assert_final(admin, *archived)
        server.stop()
        assert verify(server.data).returncode == 0

    def test_what_its_users_hold_can_be_read(self, server, admin):
        path, _, issue = self.archive(admin)
        assert check.success(admin.get(path + "/issues?userId=alice")) == {"issues": [issue]}
        assert check.success(admin.get(path + "/issues?userId=bob")) == {"issues": []}

    def test_its_number_is_not_given_again(self, server, admin):
        _, body, _ = self.archive(admin)
        assert check.new_coupon(admin)["id"] != body["id"]

    def test_it_can_be_changed_and_archived_in_one(self, server, admin):
        made = check.new_coupon(admin)
        body = check.coupon(admin.patch("/v1/coupons/%d" % made["id"],
                                        {"archived": True, "title": "was"}))
        assert body["archived"] is True and body["title"] == "was"


class TestPages:
    """GET /v1/coupons?limit&after"""

    def pages(self, admin, limit):
        pages, target = [], "/v1/coupons?limit=%d" % limit
        while True:
            body = check.success(admin.get(target))
            pages.append([check.coupon_body(one)["id"] for one in body["coupons"]])
            if "next" not in body:
                return pages
            assert isinstance(body["next"], str)
            target = "/v1/coupons?limit=%d&after=%s" % (limit, body["next"])

    def test_every_coupon_is_on_one_page_and_no_page_is_empty(self, server, admin):
        ids = [check.new_coupon(admin, title="n%d" % i)["id"] for i in range(10)]
        ids.append(check.new_coupon(admin, id=2**53 - 1)["id"])
        check.coupon(admin.patch("/v1/coupons/%d" % ids[3], {"archived": True}))
        for limit in (1, 2, 5, 10, 11, 12, 500):
            pages = self.pages(admin, limit)
            assert [one for page in pages for one in page] == ids
            assert all(len(page) == limit for page in pages[:-1])
            assert 1 <= len(pages[-1]) <= limit

    def test_after_the_last_there_is_nothing(self, server, admin):
        check.new_coupon(admin)
        target = "/v1/coupons?limit=1&after="
        assert check.success(admin.get("/v1/coupons?limit=1")).get("next") is None
        check.new_coupon(admin)
        cursor = check.success(admin.get("/v1/coupons?limit=1"))["next"]
        second = check.success(admin.get(target + cursor))
        assert len(second["coupons"]) == 1 and "next" not in second

    def test_a_page_without_a_limit_is_bounded(self, server, admin):
        for i in range(130):
            check.new_coupon(admin, title="n%d" % i)
        body = check.success(admin.get("/v1/coupons"))
        assert 1 <= len(body["coupons"]) <= 500
        assert len(body["coupons"]) == 130 or "next" in body
        seen = [one["id"] for one in body["coupons"]]
        while "next" in body:
            body = check.success(admin.get("/v1/coupons?after=" + body["next"]))
            seen += [one["id"] for one in body["coupons"]]
        assert seen == list(range(1, 131))

    def test_the_largest_page_has_five_hundred(self, server, admin):
        for i in range(503):
            admin.post("/v1/coupons", {"title": "é" * 128, "totalQuantity": 1,
                                       "issueStart": "2020-01-01T00:00:00Z",
                                       "issueEnd": "2120-01-01T00:00:00Z"})
        assert [len(page) for page in self.pages(admin, 500)] == [500, 3]


def test_everything_is_the_same_after_a_restart(server):
    with server.admin() as admin:
        for i in range(5):
            made = check.new_coupon(admin, total=[1, 5, None, 7, 9][i], metadata={"i": i},
                                    title="Coupon %d ö" % i)
            path = "/v1/coupons/%d" % made["id"]
            for user in range(i):
                admin.claim(made["id"], user)
            for _ in range(i):
                check.coupon(admin.patch(path, {"discountAmount": i}))
        before = check.success(admin.get("/v1/coupons"))
        issues = {(coupon, user): admin.get("/v1/coupons/%d/issues?userId=%d" % (coupon, user)).json()
                  for coupon in range(1, 6) for user in range(6)}
        token = server.token
    for _ in range(3):
        server.restart()
        assert server.token == token
        with server.admin() as admin:
            assert check.success(admin.get("/v1/coupons")) == before
            for (coupon, user), held in issues.items():
                target = "/v1/coupons/%d/issues?userId=%d" % (coupon, user)
                assert check.success(admin.get(target)) == held
            for one in before["coupons"]:
                path = "/v1/coupons/%d" % one["id"]
                assert check.coupon(admin.get(path)) == one
                stale = admin.patch(path, {"paused": True}, fields=[("If-Match", '"999"')])
                check.problem(stale, 412, "precondition-failed")
    with server.admin() as admin:
        assert check.new_coupon(admin)["id"] == 6
        issue = check.issued(admin.claim(3, "after"))
        assert issue["rank"] == len([1 for (c, _), held in issues.items()
                                     if c == 3 and held["issues"]]) + 1


@pytest.mark.parametrize("stop", ["stop", "kill"])
def test_a_server_without_coupons_restarts(server, stop):
    getattr(server, stop)()
    server.start()
    with server.admin() as admin:
        assert check.success(admin.get("/v1/coupons")) == {"coupons": []}
