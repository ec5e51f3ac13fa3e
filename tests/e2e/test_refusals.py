"""Every row of the table of refusals in docs/api.md that can be had by asking, and the order
in which refusals are tried. Bad framing, deadlines, full queues and disks have files of
their own."""

import pytest

from support import check
from support.wire import request_bytes

NO_COUPON = 2**53 - 1
OK = {"userId": "alice"}


@pytest.fixture(scope="module")
def coupon(shared_admin):
    """A coupon whose refusals leave it as it is."""
    return check.new_coupon(shared_admin)["id"]


@pytest.mark.parametrize("method, path, value", [
    ("GET", "/v1/coupons/%d" % NO_COUPON, None),
    ("POST", "/v1/coupons/%d/issues" % NO_COUPON, OK),
    ("GET", "/v1/coupons/%d/issues?userId=a" % NO_COUPON, None),
    ("PATCH", "/v1/coupons/%d" % NO_COUPON, {"paused": True}),
    ("POST", "/v1/issue", {"userId": 1, "couponId": NO_COUPON}),
])
def test_no_such_coupon(shared_admin, method, path, value):
    check.problem(shared_admin.call(method, path, value), 404, "coupon-not-found", closes=False)


@pytest.mark.parametrize("issue_id", ["%d-1" % NO_COUPON, "%d-4000000000" % NO_COUPON])
def test_no_such_issue(shared_admin, issue_id):
    check.problem(shared_admin.get("/v1/issues/" + issue_id), 404, "issue-not-found", closes=False)


def test_no_such_rank_of_a_coupon(shared_admin, coupon):
    check.problem(shared_admin.get("/v1/issues/%d-499" % coupon), 404, "issue-not-found")


@pytest.mark.parametrize("path", [
    "/", "/v1", "/v1/", "/v1/coupon", "/v1/coupons/", "/v1/coupons/1/", "/v1/coupons/1/issue",
    "/v1/coupons/1/issues/", "/v1/issues", "/v1/issues/", "/v1/issues/1-1/x", "/v2/coupons",
    "/v3/issue-async", "/V1/coupons", "//v1/coupons", "/healthz/", "/favicon.ico",
])
def test_no_such_route(shared_admin, path):
    check.problem(shared_admin.get(path), 404, "not-found", closes=False)


@pytest.mark.parametrize("segment", ["0", "01", "-1", "+1", "1.0", "1e1", "abc", "%31", "1%00",
                                     str(2**53), str(2**64), str(2**64 + 1), "9" * 100])
def test_what_is_no_coupon_id_names_no_coupon(shared_admin, segment):
    check.problem(shared_admin.get("/v1/coupons/" + segment), 404, "coupon-not-found")
    check.problem(shared_admin.claim(segment, "alice"), 404, "coupon-not-found")


@pytest.mark.parametrize("segment", ["1", "-", "1-", "-1", "1-0", "0-1", "01-1", "1-01", "1-1-1",
                                     "a-b", "1_1", "1-4294967297", "%s-1" % 2**64, "1-" + "9" * 90])
def test_what_is_no_issue_id_names_no_issue(shared_admin, segment):
    check.problem(shared_admin.get("/v1/issues/" + segment), 404, "issue-not-found")


def test_before_the_period_it_says_when_it_opens(shared_server, shared_admin):
    opens = check.moment(1800)
    made = check.coupon(shared_admin.post("/v1/coupons", {
        "title": "t", "totalQuantity": 5, "issueStart": opens, "issueEnd": check.moment(3600)}), 201)
    assert made["state"] == "scheduled"
    response = shared_admin.claim(made["id"], "alice")
    body = check.problem(response, 409, "not-started", closes=False)
    assert body["opensAt"] == opens
    assert 1700 <= int(response.field("Retry-After")) <= 1801


def test_after_the_period_it_has_ended(shared_admin):
    made = check.new_coupon(shared_admin, start=-20, end=-10)
    assert made["state"] == "ended"
    check.problem(shared_admin.claim(made["id"], "alice"), 409, "ended", closes=False)


def test_a_paused_coupon_says_so(shared_admin):
    made = check.new_coupon(shared_admin)
    check.coupon(shared_admin.patch("/v1/coupons/%d" % made["id"], {"paused": True}))
    check.problem(shared_admin.claim(made["id"], "alice"), 409, "paused", closes=False)


def test_sold_out(shared_admin):
    made = check.new_coupon(shared_admin, total=1)
    check.issued(shared_admin.claim(made["id"], "alice"))
    check.problem(shared_admin.claim(made["id"], "bob"), 409, "sold-out", closes=False)
    assert check.coupon(shared_admin.get("/v1/coupons/%d" % made["id"]))["state"] == "soldOut"


def test_who_holds_one_is_told_which(shared_admin):
    made = check.new_coupon(shared_admin)
    issue = check.issued(shared_admin.claim(made["id"], "alice"))
    check.already_issued(shared_admin.claim(made["id"], "alice"), issue)


def test_a_taken_id(shared_admin):
    made = check.new_coupon(shared_admin)
    response = shared_admin.post("/v1/coupons", {
        "title": "t", "totalQuantity": 1, "issueStart": check.moment(), "issueEnd": check.moment(9),
        "id": made["id"]})
    check.problem(response, 409, "coupon-exists", closes=False)
    assert check.coupon(shared_admin.get("/v1/coupons/%d" % made["id"])) == made


VERDICTS = [
    # in the order in which they are tried: each coupon deserves its verdict and all after it
    ("paused", {"start": 1000, "end": 2000, "paused": True}),
    ("paused", {"start": -2000, "end": -1000, "paused": True}),
    ("paused", {"sold": True, "paused": True}),
    ("not-started", {"sold": True, "new_start": 1000}),
    ("ended", {"sold": True, "new_end": -1000}),
    ("sold-out", {"sold": True}),
]


@pytest.mark.parametrize("code, case", VERDICTS)
def test_verdicts_are_tried_in_their_order(shared_admin, code, case):
    made = check.new_coupon(shared_admin, total=1, start=case.get("start", -3600),
                            end=case.get("end", 3600))
    path = "/v1/coupons/%d" % made["id"]
    if case.get("sold"):
        check.issued(shared_admin.claim(made["id"], "winner"))
    changes = {}
    if "paused" in case:
        changes["paused"] = True
    if "new_start" in case:
        changes["issueStart"] = check.moment(case["new_start"])
    if "new_end" in case:
        changes["issueEnd"] = check.moment(case["new_end"])
    if changes:
        check.coupon(shared_admin.patch(path, changes))
    check.problem(shared_admin.claim(made["id"], "loser"), 409, code)
    if case.get("sold"):  # who holds one is told so before all of these
        check.problem(shared_admin.claim(made["id"], "winner"), 409, "already-issued")
    states = {"sold-out": "soldOut", "not-started": "scheduled"}
    assert check.success(shared_admin.get(path))["state"] == states.get(code, code)


@pytest.mark.parametrize("condition", ['"2"', '"0"', '"01"', 'W/"1"', "1", '""', '"x"', '"2", "3"',
                                       '"1'])
def test_a_condition_that_does_not_hold(shared_admin, condition):
    made = check.new_coupon(shared_admin)
    path = "/v1/coupons/%d" % made["id"]
    response = shared_admin.patch(path, {"paused": True}, fields=[("If-Match", condition)])
    check.problem(response, 412, "precondition-failed", closes=False)
    assert check.coupon(shared_admin.get(path)) == made


@pytest.mark.parametrize("condition", ['"1"', "*", '"7", "1"', '"1","2"', 'W/"1", "1"'])
def test_a_condition_that_holds(shared_admin, condition):
    made = check.new_coupon(shared_admin)
    response = shared_admin.patch("/v1/coupons/%d" % made["id"], {"paused": True},
                                  fields=[("If-Match", condition)])
    assert check.coupon(response)["version"] == 2


def test_the_tag_does_not_change_with_issues(shared_admin):
    made = check.new_coupon(shared_admin)
    check.issued(shared_admin.claim(made["id"], "alice"))
    response = shared_admin.patch("/v1/coupons/%d" % made["id"], {"paused": True},
                                  fields=[("If-Match", '"1"')])
    assert check.coupon(response)["version"] == 2


ADMIN_CALLS = [("POST", "/v1/coupons", {"title": "t"}), ("GET", "/v1/coupons", None),
               ("PATCH", "/v1/coupons/1", {"paused": True})]


@pytest.mark.parametrize("method, path, value", ADMIN_CALLS)
@pytest.mark.parametrize("credential", [
    None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic %s", "%s", "Bearer %sx", "Bearer  x%s",
    "Bearer %s %s", "Bearer, %s", "Digest x",
])
def test_no_or_a_wrong_credential(shared_server, method, path, value, credential):
    fields = []
    if credential is not None:
        fields = [("Authorization", credential.replace("%s", shared_server.token))]
    with shared_server.client() as client:
        check.problem(client.call(method, path, value, fields=fields), 401, "unauthorized")


def test_a_shortened_token_is_wrong(shared_server):
    with shared_server.client() as client:
        response = client.get("/v1/coupons", token=shared_server.token[:-1])
        check.problem(response, 401, "unauthorized", closes=False)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_taken_in_any_case(shared_server, scheme):
    with shared_server.client() as client:
        field = ("Authorization", scheme + " " + shared_server.token)
        check.success(client.get("/v1/coupons", fields=[field]))


def test_two_credentials_are_none(shared_server):
    fields = [("Authorization", "Bearer " + shared_server.token)] * 2
    with shared_server.client() as client:
        check.problem(client.get("/v1/coupons", fields=fields), 401, "unauthorized")


def test_no_refusal_names_the_token(shared_server):
    with shared_server.client() as client:
        response = client.get("/v1/coupons", token="wrong")
        assert shared_server.token.encode() not in response.body


METHODS = [
    ("/v1/coupons", {"GET", "HEAD", "POST"}, ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"]),
    ("/v1/coupons/1", {"GET", "HEAD", "PATCH"}, ["PUT", "POST", "DELETE", "OPTIONS", "PURGE"]),
    ("/v1/coupons/1/issues", {"GET", "HEAD", "POST"}, ["PUT", "PATCH", "DELETE"]),
    ("/v1/issues/1-1", {"GET", "HEAD"}, ["PUT", "PATCH", "POST", "DELETE"]),
    ("/v1/issue", {"POST"}, ["GET", "HEAD", "PUT"]),
    ("/v1/issue-async", {"POST"}, ["GET", "PATCH"]),
    ("/v2/issue-async", {"POST"}, ["GET", "DELETE"]),
    ("/healthz", {"GET", "HEAD"}, ["POST", "PUT", "BREW"]),
    ("/readyz", {"GET", "HEAD"}, ["POST", "DELETE"]),
]


@pytest.mark.parametrize("path, allowed, others", METHODS)
def test_another_method_is_told_which_are_allowed(shared_server, path, allowed, others):
    with shared_server.client() as client:
        for method in others:
            response = client.call(method, path)
            if method == "HEAD":
                assert response.status == 405
            else:
                check.problem(response, 405, "method-not-allowed")
            told = {name.strip() for name in response.field("Allow").split(",")}
            assert told == allowed, (method, path)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded",
                                        "application/jsonx", "application/json/x", "json", "*/*",
                                        "text/json", "application/vnd.api+json",
                                        "application/merge-patch+json", ""])
def test_another_media_type(shared_server, coupon, media_type):
    with shared_server.client() as client:
        response = client.post("/v1/coupons/%d/issues" % coupon, None, body=b'{"userId":"m"}',
                               fields=[("Content-Type", media_type)], media_type=None)
        check.problem(response, 415, "unsupported-media-type")


def test_no_media_type(shared_server, coupon):
    with shared_server.client() as client:
        response = client.post("/v1/coupons/%d/issues" % coupon, None, body=b'{"userId":"m"}',
                               media_type=None)
        check.problem(response, 415, "unsupported-media-type")


def test_two_media_types(shared_server, coupon):
    fields = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    with shared_server.client() as client:
        response = client.post("/v1/coupons/%d/issues" % coupon, None, body=b'{"userId":"m"}',
                               media_type=None, fields=fields)
        check.problem(response, 415, "unsupported-media-type")


def padded(size):
    """A claim of exactly so many bytes."""
    return b'{"userId":"padded"' + b" " * (size - 19) + b"}"


def test_a_body_of_the_greatest_size_is_taken(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        path = "/v1/coupons/%d/issues" % made["id"]
        check.issued(client.call("POST", path, body=padded(4096)))
        check.problem(client.call("POST", path, body=padded(4097)), 413, "body-too-large",
                      closes=True)
        check.problem(client.call("POST", path, body=padded(100000)), 413, "body-too-large",
                      closes=True)


@pytest.mark.parametrize("length", ["4097", "100000", "99999999999999999999"[:19]])
def test_what_is_announced_counts(shared_server, coupon, length):
    with shared_server.connect() as connection:
        connection.send(request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None, [
            ("Content-Type", "application/json"), ("Content-Length", length)]))
        check.problem(connection.read(), 413, "body-too-large", closes=True)
        assert connection.rest() == b""


def test_a_call_that_takes_no_body_refuses_one(shared_server):
    with shared_server.client() as client:
        check.problem(client.call("GET", "/healthz", body=b"x"), 413, "body-too-large", closes=True)


def test_another_expectation(shared_server, coupon):
    with shared_server.connect() as connection:
        connection.send(request_bytes("POST", "/v1/coupons/%d/issues" % coupon, b'{"userId":"e"}', [
            ("Content-Type", "application/json"), ("Expect", "200-ok")]))
        check.problem(connection.read(), 417, "expectation-failed", closes=True)
        assert connection.rest() == b""


def test_refusals_are_tried_in_their_order(shared_server, coupon):
    """Each request deserves the refusal named and every one after it."""
    token = shared_server.token
    big, broken = b"[" * 5000, b"[" * 10
    plain, json = ("Content-Type", "text/plain"), ("Content-Type", "application/json")
    good = ("Authorization", "Bearer " + token)
    rows = [
        ("PUT", "/v1/nothing?x=1", [plain], big, 404, "not-found"),
        ("PUT", "/v1/coupons?x=1", [plain], big, 405, "method-not-allowed"),
        ("POST", "/v1/coupons?x=1", [plain], big, 401, "unauthorized"),
        ("POST", "/v1/coupons?x=1", [plain, good], big, 415, "unsupported-media-type"),
        ("POST", "/v1/coupons", [json, good], big, 413, "body-too-large"),
        ("POST", "/v1/coupons?x=1", [json, good], b'{"title":""}', 400, "malformed-request"),
        ("POST", "/v1/coupons", [json, good], broken, 400, "malformed-request"),
        ("POST", "/v1/coupons", [json, good], b'{"title":"","x":1}', 400, "malformed-request"),
        ("POST", "/v1/coupons", [json, good], b'{"title":""}', 400, "malformed-request"),
        ("PATCH", "/v1/coupons/%d" % NO_COUPON, [json, good], b'{"title":""}', 422, "invalid-value"),
        ("POST", "/v1/coupons/%d/issues" % NO_COUPON, [json], b'{"userId":""}', 422,
         "invalid-value"),
        ("POST", "/v1/coupons/%d/issues" % NO_COUPON, [json], b'{"userId":"a"}', 404,
         "coupon-not-found"),
        ("POST", "/v1/coupons/%d/issues" % NO_COUPON, [json], b'{"x":"a"}', 400,
         "malformed-request"),
        ("PATCH", "/v1/coupons/abc", [plain], big, 401, "unauthorized"),
    ]
    for method, path, fields, body, status, code in rows:
        with shared_server.connect() as connection:
            connection.send_what_it_takes(request_bytes(method, path, body, fields))
            response = connection.read()
            assert (response.status, response.code) == (status, code), (method, path, body[:20])
            check.problem(response, status, code)


def test_after_all_these_refusals_claims_go_on(shared_server, coupon):
    with shared_server.client() as client:
        assert check.issued(client.claim(coupon, "at-last"))["rank"] == 1
