"""Every row of the table of calls in docs/api.md: exact status, fields, bodies."""

import re

import pytest

from support import check, ledgers
from support.crowd import in_parallel


def test_creating_a_coupon_answers_with_its_place_its_tag_and_all_of_it(shared_admin):
    start, end = "2026-03-01T00:00:00.000000Z", "2126-03-02T00:00:00.000000Z"
    response = shared_admin.post("/v1/coupons", {
        "title": "Spring sale", "totalQuantity": 500, "issueStart": start, "issueEnd": end,
        "discountAmount": 1000, "minAvailableAmount": 10000, "metadata": {"a": [1, {"b": None}]}})
    body = check.coupon(response, 201)
    assert response.field("Location") == "/v1/coupons/%d" % body["id"]
    assert response.field("ETag") == '"1"'
    assert response.field("Idempotent-Replayed") is None
    asked = {"title": "Spring sale", "totalQuantity": 500, "issuedQuantity": 0, "remaining": 500,
             "discountAmount": 1000, "minAvailableAmount": 10000, "issueStart": start,
             "issueEnd": end, "paused": False, "archived": False, "version": 1,
             "metadata": {"a": [1, {"b": None}]}}
    assert {name: body[name] for name in asked} == asked
    assert body["createdAt"] == body["updatedAt"]


def test_what_is_not_given_has_its_default(shared_admin):
    body = check.new_coupon(shared_admin, total=None)
    assert body["discountAmount"] == 0 and body["minAvailableAmount"] == 0
    assert body["metadata"] is None
    assert body["totalQuantity"] is None and body["remaining"] is None
    assert body["state"] == "open"


def test_the_next_free_id_is_given_and_a_wished_one_is_taken(server, admin):
    assert [check.new_coupon(admin)["id"] for _ in range(3)] == [1, 2, 3]
    assert check.new_coupon(admin, id=10)["id"] == 10
    given = check.new_coupon(admin)["id"]
    assert given not in (1, 2, 3, 10)
    check.coupon(admin.get("/v1/coupons/%d" % given))


def test_above_the_greatest_id_there_is_none_to_give(server, admin):
    """Ids are given above the last one; when that is the greatest there is, one must be named."""
    assert check.new_coupon(admin, id=2**53 - 1)["id"] == 2**53 - 1
    response = admin.post("/v1/coupons", {"title": "t", "totalQuantity": 1, "issueStart":
                                          check.moment(), "issueEnd": check.moment(60)})
    check.problem(response, 422, "invalid-value", "id", closes=False)
    check.success(admin.get("/readyz"))
    assert check.issued(admin.claim(check.new_coupon(admin, id=7)["id"], "alice"))["rank"] == 1


@pytest.mark.parametrize("given, kept", [
    ("2126-01-02T03:04:05Z", "2126-01-02T03:04:05.000000Z"),
    ("2126-01-02T12:04:05.5+09:00", "2126-01-02T03:04:05.500000Z"),
    ("2126-01-01T22:34:05.000006-04:30", "2126-01-02T03:04:05.000006Z"),
    ("2126-01-02t03:04:05.1234569z", "2126-01-02T03:04:05.123456Z"),
    ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
])
def test_times_are_taken_with_any_offset_and_told_in_utc(shared_admin, given, kept):
    response = shared_admin.post("/v1/coupons", {
        "title": "t", "totalQuantity": 1, "issueStart": "0001-01-01T00:00:00Z", "issueEnd": given})
    body = check.coupon(response, 201)
    assert body["issueEnd"] == kept
    assert body["issueStart"] == "0001-01-01T00:00:00.000000Z"


@pytest.mark.parametrize("title", ["x", "é" * 128, "a\"b\\c/d", "日本語", "<b>&amp;</b>", "😀",
                                   " spaces ", "x" * 256])
def test_a_title_comes_back_as_it_was_given(shared_admin, title):
    made = check.new_coupon(shared_admin, title=title)
    assert check.coupon(shared_admin.get("/v1/coupons/%d" % made["id"]))["title"] == title


@pytest.mark.parametrize("metadata", [{}, {"a": 1}, {"x": "y" * 2040}, {"é": "\n\t\\\""},
                                      {"deep": {"er": [{}, [], None, True, 1.5, -7]}}])
def test_metadata_comes_back_as_it_was_given(shared_admin, metadata):
    made = check.new_coupon(shared_admin, metadata=metadata)
    assert made["metadata"] == metadata
    assert check.coupon(shared_admin.get("/v1/coupons/%d" % made["id"]))["metadata"] == metadata


def test_a_coupon_is_read_by_anyone(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        assert check.coupon(client.get("/v1/coupons/%d" % made["id"])) == made


def test_the_list_has_every_coupon_once(server, admin):
    made = [check.new_coupon(admin, title="n%d" % i) for i in range(3)]
    body = check.success(admin.get("/v1/coupons"))
    assert body == {"coupons": made}


def test_an_empty_list_is_a_list(server, admin):
    assert check.success(admin.get("/v1/coupons")) == {"coupons": []}


def test_a_change_answers_with_the_coupon_and_a_new_tag(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    path = "/v1/coupons/%d" % made["id"]
    wanted = {"title": "Other", "totalQuantity": 7, "issueStart": check.moment(-60),
              "issueEnd": check.moment(60), "discountAmount": 5, "minAvailableAmount": 6,
              "paused": True, "metadata": {"k": "v"}}
    changed = check.coupon(shared_admin.patch(path, wanted))
    assert {name: changed[name] for name in wanted} == wanted
    assert changed["version"] == 2 and changed["state"] == "paused"
    assert changed["createdAt"] == made["createdAt"]
    assert changed["updatedAt"] > made["updatedAt"]
    with shared_server.client() as client:
        assert check.coupon(client.get(path)) == changed


@pytest.mark.parametrize("name, value", [
    ("title", "new"), ("totalQuantity", 2), ("totalQuantity", None), ("discountAmount", 2**53 - 1),
    ("minAvailableAmount", 2**53 - 1), ("paused", True), ("metadata", {"a": 1}),
    ("metadata", None), ("issueStart", "2020-01-01T00:00:00.000000Z"),
    ("issueEnd", "2120-01-01T00:00:00.000000Z"),
])
def test_each_field_is_changed_alone(shared_admin, name, value):
    made = check.new_coupon(shared_admin, metadata={"old": True}, discountAmount=3)
    changed = check.coupon(shared_admin.patch("/v1/coupons/%d" % made["id"], {name: value}))
    expected = dict(made, **{name: value})
    for member in ("version", "updatedAt", "state", "remaining"):
        expected[member] = changed[member]
    assert changed == expected
    assert changed["version"] == made["version"] + 1


def test_a_claim_answers_with_the_issue_and_its_place(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        issue = check.issued(client.claim(made["id"], "alice"))
        assert issue["couponId"] == made["id"] and issue["userId"] == "alice"
        assert issue["rank"] == 1
        second = check.issued(client.claim(made["id"], "bob"))
        assert second["rank"] == 2 and second["issuedAt"] >= issue["issuedAt"]
        after = check.coupon(client.get("/v1/coupons/%d" % made["id"]))
        assert after["issuedQuantity"] == 2 and after["remaining"] == 498
        assert after["version"] == 1 and after["updatedAt"] == made["updatedAt"]


@pytest.mark.parametrize("given, known_as", [
    ("a", "a"), ("~" * 128, "~" * 128), ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",) * 2,
    ("user@example.org", "user@example.org"), ("0", "0"), ("007", "007"),
    (0, "0"), (42, "42"), (-1, "-1"), (2**63 - 1, "9223372036854775807"),
    (-(2**63), "-9223372036854775808"), (123456789012345678, "123456789012345678"),
])
def test_a_user_is_any_visible_text_or_an_integer(shared_server, shared_admin, given, known_as):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        issue = check.issued(client.claim(made["id"], given))
        assert issue["userId"] == known_as
        check.already_issued(client.claim(made["id"], known_as), issue)


@pytest.mark.parametrize("body", [
    b'{"userId":"alice"}', b' {"userId" : "alice"} ', b'\r\n\t{ "userId"\n:\t"alice" }\r\n',
    b'{"userId":"\\u0061lice"}', b'{"\\u0075serId":"alice"}',
])
def test_a_body_may_be_written_in_every_way_json_allows(shared_server, shared_admin, body):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        response = client.call("POST", "/v1/coupons/%d/issues" % made["id"], body=body)
        assert check.issued(response)["userId"] == "alice"


@pytest.mark.parametrize("media_type", [
    "application/json", "application/json; charset=utf-8", "Application/JSON",
    "application/json;charset=\"utf-8\"", "application/json ; x=y",
])
def test_the_media_type_may_have_parameters(shared_server, shared_admin, media_type):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        check.issued(client.post("/v1/coupons/%d/issues" % made["id"], {"userId": "a"},
                                 media_type=media_type))


def test_a_change_is_no_merge_patch(shared_admin):
    """RFC 7396 would merge metadata, which a change replaces as a whole."""
    made = check.new_coupon(shared_admin, metadata={"a": 1, "b": 2})
    path = "/v1/coupons/%d" % made["id"]
    refused = shared_admin.patch(path, {"paused": True}, media_type="application/merge-patch+json")
    check.problem(refused, 415, "unsupported-media-type")
    changed = check.coupon(shared_admin.patch(path, {"metadata": {"a": 3}}))
    assert changed["metadata"] == {"a": 3}
    assert changed["paused"] is False


def test_what_a_user_holds_is_none_or_one(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        path = "/v1/coupons/%d/issues?userId=" % made["id"]
        assert check.success(client.get(path + "alice")) == {"issues": []}
        issue = check.issued(client.claim(made["id"], "alice"))
        assert check.success(client.get(path + "alice")) == {"issues": [issue]}
        assert check.success(client.get(path + "%61lice")) == {"issues": [issue]}
        assert check.success(client.get(path + "bob")) == {"issues": []}
        odd = check.issued(client.claim(made["id"], "a&b=c%+/?"))
        assert check.success(client.get(path + "a%26b%3Dc%25%2B%2F%3F")) == {"issues": [odd]}


def test_an_issue_is_read_by_its_id(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    with shared_server.client() as client:
        for user in ("alice", "bob"):
            response = client.claim(made["id"], user)
            issue = check.issued(response)
            assert check.issue_body(check.success(client.get(response.field("Location")))) == issue


@pytest.mark.parametrize("path", ["/v1/issue", "/v1/issue-async", "/v2/issue-async"])
def test_the_three_original_calls_answer_true(shared_server, shared_admin, path):
    made = check.new_coupon(shared_admin, total=2)
    with shared_server.client() as client:
        first = client.post(path, {"userId": 7, "couponId": made["id"]})
        assert check.success(first) is True and first.body == b"true"
        assert first.field("Location") is None
        issue = ledgers.settled_issue(client, made["id"], "7")
        assert issue["rank"] == 1 and issue["userId"] == "7"
        check.already_issued(client.post(path, {"couponId": made["id"], "userId": "7"}), issue)
        assert check.success(client.post(path, {"userId": "x", "couponId": made["id"]})) is True
        check.problem(client.post(path, {"userId": 8, "couponId": made["id"]}), 409, "sold-out")
        check.problem(client.post(path, {"userId": 8, "couponId": 2**53 - 5}), 404,
                      "coupon-not-found")


@pytest.mark.parametrize("path", ["/v1/issue", "/v1/issue-async", "/v2/issue-async"])
def test_an_original_call_is_replayed_by_its_key(shared_server, shared_admin, path):
    made = check.new_coupon(shared_admin)
    asked = {"userId": 7, "couponId": made["id"]}
    key = [("Idempotency-Key", "k-1")]
    with shared_server.client() as client:
        first = client.post(path, asked, fields=key)
        assert check.success(first) is True
        assert first.field("Idempotent-Replayed") is None
        ledgers.settled_issue(client, made["id"], "7")
        again = client.post(path, asked, fields=key)
        assert check.success(again) is True
        assert again.field("Idempotent-Replayed") == "true"
        check.problem(client.post(path, asked), 409, "already-issued")


@pytest.mark.parametrize("path, body", [("/healthz", {"status": "ok"}),
                                        ("/readyz", {"status": "ready"})])
def test_health_and_readiness_are_told_to_anyone(shared_server, path, body):
    with shared_server.client() as client:
        assert check.success(client.get(path)) == body


def test_head_answers_like_get_without_the_body(shared_server, shared_admin):
    made = check.new_coupon(shared_admin)
    issue = check.issued(shared_admin.claim(made["id"], "alice"))
    for path in ("/healthz", "/readyz", "/v1/coupons", "/v1/coupons/%d" % made["id"],
                 "/v1/coupons/%d/issues?userId=alice" % made["id"],
                 "/v1/issues/" + issue["issueId"]):
        get, head = shared_admin.get(path), shared_admin.call("HEAD", path)
        assert head.status == get.status == 200 and head.body == b""
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.field(name) == get.field(name), (path, name)


def test_head_of_a_refusal_has_no_body_either(shared_server):
    with shared_server.client() as client:
        head = client.call("HEAD", "/v1/coupons/%d" % (2**53 - 1))
        assert head.status == 404 and head.body == b""
        assert head.field("Content-Type") == "application/problem+json"
        assert client.get("/healthz").status == 200  # the connection is in step


def test_answers_name_their_length_and_the_time(shared_server):
    with shared_server.client() as client:
        response = client.get("/healthz")
        assert re.match(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} "
                        r"\d\d:\d\d:\d\d GMT\Z", response.field("Date"))
        assert int(response.field("Content-Length")) == len(response.body)


class TestCreatingWithAKey:
    """Idempotency-Key on POST /v1/coupons."""

    BODY = (b'{"title":"k","totalQuantity":5,"issueStart":"2020-01-01T00:00:00Z",'
            b'"issueEnd":"2120-01-01T00:00:00Z"}')

    def post(self, admin, key, body=BODY):
        return admin.call("POST", "/v1/coupons", body=body, fields=[("Idempotency-Key", key)])

    def test_a_retry_answers_the_same_coupon(self, server, admin):
        first = self.post(admin, "key")
        made = check.coupon(first, 201)
        assert first.field("Idempotent-Replayed") is None
        again = self.post(admin, "key")
        assert check.coupon(again, 201) == made
        assert again.field("Idempotent-Replayed") == "true"
        assert again.field("Location") == first.field("Location")
        assert len(check.success(admin.get("/v1/coupons"))["coupons"]) == 1

    def test_a_retry_tells_the_coupon_as_it_is_now(self, server, admin):
        made = check.coupon(self.post(admin, "key"), 201)
        changed = check.coupon(admin.patch("/v1/coupons/%d" % made["id"], {"title": "new"}))
        again = self.post(admin, "key")
        assert check.coupon(again, 201) == changed
        assert again.field("Idempotent-Replayed") == "true"

    def test_another_request_with_the_key_is_refused(self, server, admin):
        check.coupon(self.post(admin, "key"), 201)
        for body in (self.BODY.replace(b'"k"', b'"l"'), self.BODY + b" "):
            check.problem(self.post(admin, "key", body), 422, "invalid-value", "Idempotency-Key")

    def test_another_key_makes_another_coupon(self, server, admin):
        first, second = self.post(admin, "key"), self.post(admin, "KEY")
        assert check.coupon(first, 201)["id"] != check.coupon(second, 201)["id"]

    def test_a_key_survives_a_restart(self, server):
        with server.admin() as admin:
            made = check.coupon(self.post(admin, "key"), 201)
        server.restart()
        with server.admin() as admin:
            again = self.post(admin, "key")
            assert check.coupon(again, 201) == made
            assert again.field("Idempotent-Replayed") == "true"

    def test_a_refused_creation_does_not_use_up_its_key(self, server, admin):
        bad = self.BODY.replace(b'"totalQuantity":5', b'"totalQuantity":0')
        check.problem(self.post(admin, "key", bad), 422, "invalid-value", "totalQuantity")
        first = self.post(admin, "key")
        check.coupon(first, 201)
        assert first.field("Idempotent-Replayed") is None

    def test_crowds_with_one_key_make_one_coupon(self, server):
        def create(_):
            with server.admin() as admin:
                return self.post(admin, "key")

        answers = in_parallel(8, create)
        assert len({check.coupon(answer, 201)["id"] for answer in answers}) == 1
        assert sum(answer.field("Idempotent-Replayed") is None for answer in answers) == 1
