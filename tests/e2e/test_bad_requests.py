"""Requests in good HTTP that ask for nonsense: JSON forms, types, values, fields, queries.
One table a call; each row has its exact status, code and field."""

import json

import pytest

from support import check

MALFORMED = (400, "malformed-request")
INVALID = (422, "invalid-value")


def refused(client, method, path, body, expected, field, fields=()):
    response = client.call(method, path, body=body, fields=fields)
    refusal = check.problem(response, *expected, closes=False)
    assert refusal.get("field") == field, response


@pytest.fixture(scope="module")
def coupon(shared_admin):
    return check.new_coupon(shared_admin)["id"]


NOT_JSON = [
    b"", b" ", b"null", b"true", b"1", b'"userId"', b"[]", b'[{"userId":"a"}]', b"{", b"}",
    b'{"userId":"a"', b'{"userId":"a"}}', b'{"userId":"a"} x', b'{"userId":"a"}{"userId":"a"}',
    b'{"userId":"a",}', b'{,"userId":"a"}', b'{"userId" "a"}', b'{"userId":}', b'{userId:"a"}',
    b"{'userId':'a'}", b'{"userId":"a}', b'{"userId":"a\n"}', b'{"userId":"\\x41"}',
    b'{"userId":"\\ud800"}', b'{"userId":"\\udc00\\ud800"}', b'{"userId":"\\u12"}',
    b'{"userId":"\xff"}', b'{"userId":"\xc3"}', b'{"userId":"\xc0\x80"}',
    b'{"userId":"\xed\xa0\x80"}', b'\xef\xbb\xbf{"userId":"a"}', b'{"userId":"a"}\x00',
    b'{"userId":"\x00"}', b'{"userId":NaN}', b'{"userId":Infinity}', b'{"userId":01}',
    b'{"userId":+1}', b'{"userId":0x1}', b'{"userId":1.}', b'{"userId":.5}', b'{"userId":--1}',
    b'{"userId":tru}', b'{"userId":"a"/**/}', b'userId=a', b"[" * 4000,
    b'{"userId":"a","userId":"a"}', b'{"userId":"a","userId":"b"}',
    b'{"userId":"a","\\u0075serId":"b"}',
    '{"userId":"a"}'.encode("utf-16"),
]


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body)[2:40])
def test_a_body_that_is_not_one_json_object_is_malformed(shared_admin, coupon, body):
    refused(shared_admin, "POST", "/v1/coupons/%d/issues" % coupon, body, MALFORMED, None)
    refused(shared_admin, "POST", "/v1/issue", body, MALFORMED, None)
    refused(shared_admin, "POST", "/v1/coupons", body, MALFORMED, None)
    refused(shared_admin, "PATCH", "/v1/coupons/%d" % coupon, body, MALFORMED, None)


CLAIMS = [
    # body, refusal, field
    ({}, MALFORMED, "userId"),
    ({"userid": "a"}, MALFORMED, None),
    ({"userId ": "a"}, MALFORMED, None),
    ({"userId": None}, MALFORMED, "userId"),
    ({"userId": True}, MALFORMED, "userId"),
    ({"userId": 1.5}, MALFORMED, "userId"),
    ({"userId": 1e3}, MALFORMED, "userId"),
    ({"userId": ["a"]}, MALFORMED, "userId"),
    ({"userId": {"id": "a"}}, MALFORMED, "userId"),
    ({"userId": "a", "x": 1}, MALFORMED, None),
    ({"userId": "a", "couponId": 1}, MALFORMED, None),
    ({"userId": "a", "": 1}, MALFORMED, None),
    ({"userId": "", "x": 1}, MALFORMED, None),
    ({"userId": ""}, INVALID, "userId"),
    ({"userId": " "}, INVALID, "userId"),
    ({"userId": "a b"}, INVALID, "userId"),
    ({"userId": "a\t"}, INVALID, "userId"),
    ({"userId": "a\n"}, INVALID, "userId"),
    ({"userId": "\x7f"}, INVALID, "userId"),
    ({"userId": "é"}, INVALID, "userId"),
    ({"userId": "日本"}, INVALID, "userId"),
    ({"userId": "x" * 129}, INVALID, "userId"),
    ({"userId": "x" * 4000}, INVALID, "userId"),
]


@pytest.mark.parametrize("value, expected, field", CLAIMS, ids=lambda value: repr(value)[:40])
def test_a_claim_that_names_no_user_is_refused(shared_admin, coupon, value, expected, field):
    body = json.dumps(value, ensure_ascii=False).encode()
    refused(shared_admin, "POST", "/v1/coupons/%d/issues" % coupon, body, expected, field)


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**40, "1e999", "-1e999"])
def test_a_number_that_no_64_bits_hold_is_refused(shared_admin, coupon, number):
    body = b'{"userId":%s}' % str(number).encode()
    response = shared_admin.call("POST", "/v1/coupons/%d/issues" % coupon, body=body)
    check.problem(response, *MALFORMED)


ORIGINAL_CLAIMS = [
    ({"userId": 1}, MALFORMED, "couponId"),
    ({"couponId": 1}, MALFORMED, "userId"),
    ({"userId": 1, "couponId": "1"}, MALFORMED, "couponId"),
    ({"userId": 1, "couponId": None}, MALFORMED, "couponId"),
    ({"userId": 1, "couponId": 1.0}, MALFORMED, "couponId"),
    ({"userId": 1, "couponId": [1]}, MALFORMED, "couponId"),
    ({"userId": 1, "couponId": 1, "x": 1}, MALFORMED, None),
    ({"userId": 1, "couponId": 0}, INVALID, "couponId"),
    ({"userId": 1, "couponId": -1}, INVALID, "couponId"),
    ({"userId": 1, "couponId": 2**53}, INVALID, "couponId"),
    ({"userId": 1, "couponId": 2**63 - 1}, INVALID, "couponId"),
    ({"userId": "", "couponId": 1}, INVALID, "userId"),
]


@pytest.mark.parametrize("value, expected, field", ORIGINAL_CLAIMS, ids=lambda v: repr(v)[:40])
def test_an_original_call_that_names_no_user_or_coupon_is_refused(shared_admin, value, expected,
                                                                  field):
    for path in ("/v1/issue", "/v1/issue-async", "/v2/issue-async"):
        refused(shared_admin, "POST", path, json.dumps(value).encode(), expected, field)


GOOD = {"title": "t", "totalQuantity": 5, "issueStart": "2026-01-01T00:00:00Z",
        "issueEnd": "2126-01-01T00:00:00Z"}

# What one member of a coupon may not be; the same in POST and PATCH.
MEMBERS = [
    ("title", None, MALFORMED), ("title", 1, MALFORMED), ("title", True, MALFORMED),
    ("title", ["t"], MALFORMED), ("title", {}, MALFORMED),
    ("title", "", INVALID), ("title", "x" * 257, INVALID), ("title", "é" * 129, INVALID),
    ("title", "a\nb", INVALID), ("title", "\x7f", INVALID), ("title", "\x1f", INVALID),
    ("title", "a\x85b", INVALID), ("title", "\x9f", INVALID),
    ("totalQuantity", "5", MALFORMED), ("totalQuantity", 5.0, MALFORMED),
    ("totalQuantity", 1.5, MALFORMED), ("totalQuantity", True, MALFORMED),
    ("totalQuantity", [], MALFORMED),
    ("totalQuantity", 0, INVALID), ("totalQuantity", -1, INVALID),
    ("totalQuantity", 4000000001, INVALID), ("totalQuantity", 2**32, INVALID),
    ("totalQuantity", 2**32 + 5, INVALID), ("totalQuantity", 2**63 - 1, INVALID),
    ("totalQuantity", -(2**63), INVALID),
    ("issueStart", None, MALFORMED), ("issueStart", 1767225600, MALFORMED),
    ("issueStart", "", INVALID), ("issueStart", "2026-01-01", INVALID),
    ("issueStart", "2026-01-01T00:00:00", INVALID), ("issueStart", "2026-02-30T00:00:00Z", INVALID),
    ("issueStart", "2026-01-01 00:00:00Z", INVALID), ("issueStart", "now", INVALID),
    ("issueStart", "0000-01-01T00:00:00Z", INVALID), ("issueStart", "2026-01-01T24:00:00Z", INVALID),
    ("issueEnd", None, MALFORMED), ("issueEnd", {}, MALFORMED), ("issueEnd", False, MALFORMED),
    ("issueEnd", "x" * 1000, INVALID), ("issueEnd", "2126-13-01T00:00:00Z", INVALID),
    ("issueEnd", "9999-12-31T23:59:59-00:01", INVALID), ("issueEnd", "10000-01-01T00:00:00Z", INVALID),
    ("discountAmount", None, MALFORMED), ("discountAmount", "1", MALFORMED),
    ("discountAmount", 0.5, MALFORMED), ("discountAmount", -1, INVALID),
    ("discountAmount", 2**53, INVALID),
    ("minAvailableAmount", None, MALFORMED), ("minAvailableAmount", [], MALFORMED),
    ("minAvailableAmount", -1, INVALID), ("minAvailableAmount", 2**53, INVALID),
    ("metadata", 1, MALFORMED), ("metadata", "{}", MALFORMED), ("metadata", [], MALFORMED),
    ("metadata", True, MALFORMED), ("metadata", {"a": "x" * 2041}, INVALID),
]


@pytest.mark.parametrize("name, value, expected", MEMBERS, ids=lambda value: repr(value)[:30])
def test_a_coupon_with_an_impossible_member_is_refused(shared_admin, coupon, name, value, expected):
    before = shared_admin.get("/v1/coupons/%d" % coupon).json()
    body = json.dumps(dict(GOOD, **{name: value}), ensure_ascii=False).encode()
    refused(shared_admin, "POST", "/v1/coupons", body, expected, name)
    body = json.dumps({name: value}, ensure_ascii=False).encode()
    refused(shared_admin, "PATCH", "/v1/coupons/%d" % coupon, body, expected, name)
    assert shared_admin.get("/v1/coupons/%d" % coupon).json() == before


CREATIONS = [
    ({}, MALFORMED, "title"),
    ({"title": "t"}, MALFORMED, "totalQuantity"),
    ({name: value for name, value in GOOD.items() if name != "issueStart"}, MALFORMED, "issueStart"),
    ({name: value for name, value in GOOD.items() if name != "issueEnd"}, MALFORMED, "issueEnd"),
    (dict(GOOD, x=1), MALFORMED, None),
    (dict(GOOD, Title="t"), MALFORMED, None),
    (dict(GOOD, paused=True), MALFORMED, None),
    (dict(GOOD, archived=True), MALFORMED, None),
    (dict(GOOD, issuedQuantity=0), MALFORMED, None),
    (dict(GOOD, version=1), MALFORMED, None),
    (dict(GOOD, state="open"), MALFORMED, None),
    (dict(GOOD, id=None), MALFORMED, "id"),
    (dict(GOOD, id="7"), MALFORMED, "id"),
    (dict(GOOD, id=7.0), MALFORMED, "id"),
    (dict(GOOD, id=0), INVALID, "id"),
    (dict(GOOD, id=-1), INVALID, "id"),
    (dict(GOOD, id=2**53), INVALID, "id"),
    (dict(GOOD, issueEnd=GOOD["issueStart"]), INVALID, "issueEnd"),
    (dict(GOOD, issueEnd="2025-12-31T23:59:59.999999Z"), INVALID, "issueEnd"),
    # form comes before values, wherever in the body each stands
    (dict({"title": ""}, **{n: v for n, v in GOOD.items() if n != "title"}, x=1), MALFORMED, None),
    ({"title": ""}, MALFORMED, "totalQuantity"),
    (dict(GOOD, title="", discountAmount="1"), MALFORMED, "discountAmount"),
]


@pytest.mark.parametrize("value, expected, field", CREATIONS, ids=lambda value: repr(value)[:40])
def test_a_coupon_that_cannot_be_is_refused(shared_admin, value, expected, field):
    refused(shared_admin, "POST", "/v1/coupons", json.dumps(value).encode(), expected, field)


CHANGES = [
    ({}, MALFORMED, None),
    ({"x": 1}, MALFORMED, None),
    ({"id": 5}, MALFORMED, None),
    ({"version": 5}, MALFORMED, None),
    ({"issuedQuantity": 0}, MALFORMED, None),
    ({"remaining": 0}, MALFORMED, None),
    ({"state": "open"}, MALFORMED, None),
    ({"createdAt": "2026-01-01T00:00:00Z"}, MALFORMED, None),
    ({"paused": None}, MALFORMED, "paused"),
    ({"paused": 1}, MALFORMED, "paused"),
    ({"paused": "true"}, MALFORMED, "paused"),
    ({"archived": None}, MALFORMED, "archived"),
    ({"archived": 1}, MALFORMED, "archived"),
    ({"archived": False}, INVALID, "archived"),
    ({"issueStart": "2126-01-01T00:00:00Z", "issueEnd": "2126-01-01T00:00:00Z"}, INVALID,
     "issueEnd"),
    ({"issueEnd": "0001-01-01T00:00:00Z"}, INVALID, "issueEnd"),
    ({"issueStart": "9999-01-01T00:00:00Z"}, INVALID, "issueStart"),
    ({"title": "", "x": 1}, MALFORMED, None),
    ({"title": "", "paused": 1}, MALFORMED, "paused"),
    ({"paused": True, "title": ""}, INVALID, "title"),
]


@pytest.mark.parametrize("value, expected, field", CHANGES, ids=lambda value: repr(value)[:40])
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(shared_admin, coupon, value,
                                                                expected, field):
    path = "/v1/coupons/%d" % coupon
    before = shared_admin.get(path).json()
    refused(shared_admin, "PATCH", path, json.dumps(value).encode(), expected, field)
    assert shared_admin.get(path).json() == before


def test_the_quantity_never_goes_below_what_is_issued(shared_admin):
    made = check.new_coupon(shared_admin, total=10)
    path = "/v1/coupons/%d" % made["id"]
    for user in "abc":
        check.issued(shared_admin.claim(made["id"], user))
    for total in (1, 2):
        refused(shared_admin, "PATCH", path, b'{"totalQuantity":%d}' % total, INVALID,
                "totalQuantity")
    changed = check.coupon(shared_admin.patch(path, {"totalQuantity": 3}))
    assert changed["state"] == "soldOut" and changed["remaining"] == 0


KEYS = [
    ("", INVALID), ("x" * 129, INVALID), ("a b", INVALID), ("é", INVALID), ("a\tb", INVALID),
]


@pytest.mark.parametrize("key, expected", KEYS, ids=lambda value: repr(value)[:20])
def test_an_impossible_idempotency_key_is_refused(shared_admin, coupon, key, expected):
    fields = [("Idempotency-Key", key)]
    refused(shared_admin, "POST", "/v1/coupons/%d/issues" % coupon, b'{"userId":"k"}', expected,
            "Idempotency-Key", fields)
    refused(shared_admin, "POST", "/v1/issue", b'{"userId":"k","couponId":%d}' % coupon, expected,
            "Idempotency-Key", fields)
    refused(shared_admin, "POST", "/v1/coupons", json.dumps(GOOD).encode(), expected,
            "Idempotency-Key", fields)


def test_two_idempotency_keys_are_refused(shared_admin, coupon):
    response = shared_admin.call("POST", "/v1/coupons/%d/issues" % coupon, body=b'{"userId":"k"}',
                                 fields=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")])
    check.problem(response, *MALFORMED)


@pytest.mark.parametrize("key", ["k", "~" * 128, "\"quoted\"", "a,b", "8e03978e-40d5-43e8"])
def test_a_key_of_any_visible_text_is_taken(shared_admin, key):
    made = check.new_coupon(shared_admin)
    issue = check.issued(shared_admin.claim(made["id"], "alice", key))
    assert check.issued(shared_admin.claim(made["id"], "alice", key), replayed=True) == issue


QUERIES = [
    # a missing, double or unknown parameter
    ("GET", "/v1/coupons?Limit=1", MALFORMED, None),
    ("GET", "/v1/coupons?limit=1&x=1", MALFORMED, None),
    ("GET", "/v1/coupons?limit=1&limit=1", MALFORMED, "limit"),
    ("GET", "/v1/coupons?after=1&after=1", MALFORMED, "after"),
    ("GET", "/v1/coupons/%d?x=1", MALFORMED, None),
    ("GET", "/v1/coupons/%d/issues?after=1&x=1", MALFORMED, None),
    ("GET", "/v1/coupons/%d/issues?after=1&after=2", MALFORMED, "after"),
    ("GET", "/v1/coupons/%d/issues?userId=a&after=1", MALFORMED, None),
    ("GET", "/v1/users/a/issues?x=1", MALFORMED, None),
    ("GET", "/v1/users/%zz/issues", MALFORMED, "userId"),
    ("GET", "/v1/coupons/%d/issues?userid=a", MALFORMED, None),
    ("GET", "/v1/coupons/%d/issues?userId=a&userId=a", MALFORMED, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=a&x=1", MALFORMED, None),
    ("GET", "/v1/coupons/%d/issues?userId=%%zz", MALFORMED, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=%%4", MALFORMED, "userId"),
    ("GET", "/v1/issues/1-1?x=1", MALFORMED, None),
    # a value that cannot be
    ("GET", "/v1/coupons?limit=0", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=501", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=-1", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=01", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=x", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=", INVALID, "limit"),
    ("GET", "/v1/coupons?limit=99999999999999999999", INVALID, "limit"),
    ("GET", "/v1/coupons?after=x", INVALID, "after"),
    ("GET", "/v1/coupons?after=", INVALID, "after"),
    ("GET", "/v1/coupons/%d/issues?limit=0", INVALID, "limit"),
    ("GET", "/v1/coupons/%d/issues?limit=1001", INVALID, "limit"),
    ("GET", "/v1/coupons/%d/issues?after=-1", INVALID, "after"),
    ("GET", "/v1/coupons/%d/issues?after=4294967296", INVALID, "after"),
    ("GET", "/v1/users/a%20b/issues", INVALID, "userId"),
    ("GET", "/v1/users/" + "x" * 129 + "/issues", INVALID, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=", INVALID, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=a%%20b", INVALID, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=%%00", INVALID, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=" + "x" * 129, INVALID, "userId"),
    ("GET", "/v1/coupons/%d/issues?userId=" + "x" * 3000, INVALID, "userId"),
]


@pytest.mark.parametrize("method, path, expected, field", QUERIES, ids=lambda value: str(value)[:50])
def test_a_query_that_cannot_be_is_refused(shared_admin, coupon, method, path, expected, field):
    path = path % coupon if "%d" in path else path
    refused(shared_admin, method, path, None, expected, field)


@pytest.mark.parametrize("path", ["/v1/coupons?x=1", "/v1/coupons/%d/issues?x=1", "/v1/issue?x=1",
                                  "/v1/coupons/%d/issues?userId=a"])
def test_a_post_takes_no_query(shared_admin, coupon, path):
    path = path % coupon if "%d" in path else path
    body = {"userId": "q", "couponId": coupon} if path.startswith("/v1/issue?") else (
        GOOD if path.startswith("/v1/coupons?") else {"userId": "q"})
    check.problem(shared_admin.post(path, body), *MALFORMED)


def test_a_change_takes_no_query(shared_admin, coupon):
    response = shared_admin.patch("/v1/coupons/%d?force=1" % coupon, {"paused": True})
    check.problem(response, *MALFORMED)


@pytest.mark.parametrize("path", ["/healthz?x=1", "/readyz?x", "/healthz?"])
def test_probes_may_carry_any_query(shared_admin, path):
    assert shared_admin.get(path).status == 200


def test_after_all_these_requests_nothing_is_issued_or_made(shared_admin, coupon):
    body = check.coupon(shared_admin.get("/v1/coupons/%d" % coupon))
    assert body["issuedQuantity"] == 0 and body["version"] == 1
