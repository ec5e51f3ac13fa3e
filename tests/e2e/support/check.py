"""What an answer must look like, whichever call it answers."""

import datetime
import re

SEEN_REQUEST_IDS = set()
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "requestId"}
CODES_WITH_MEMBERS = {"not-started": {"opensAt"}, "already-issued": {"issue"},
                      "invalid-value": {"field"}}
COUPON_MEMBERS = {"id", "title", "totalQuantity", "issuedQuantity", "remaining",
                  "discountAmount", "minAvailableAmount", "issueStart", "issueEnd", "state",
                  "paused", "archived", "metadata", "version", "createdAt", "updatedAt"}
ISSUE_MEMBERS = {"issueId", "couponId", "userId", "rank", "issuedAt"}


def moment(seconds=0):
    """A time so far from now, as the API writes it."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def is_time(text):
    return isinstance(text, str) and TIME.match(text) is not None


def problem(response, status, code, field=None, closes=None):
    """Asserts a refusal of the contract in every detail; returns its body."""
    assert response.status == status, response
    assert response.field("Content-Type") == "application/problem+json", response
    body = response.json()
    assert body["code"] == code, response
    assert body["status"] == status
    assert body["type"] == "about:blank"
    for member in ("title", "detail", "requestId"):
        assert isinstance(body[member], str) and body[member], member
    assert body["requestId"] not in SEEN_REQUEST_IDS, "requestId given twice"
    SEEN_REQUEST_IDS.add(body["requestId"])
    more = set(body) - PROBLEM_MEMBERS
    if code == "malformed-request":
        assert more <= {"field"}, response
    else:
        assert more == CODES_WITH_MEMBERS.get(code, set()), response
    if field is not None:
        assert body.get("field") == field, response
    if status == 503 or code == "not-started":
        assert int(response.field("Retry-After")) >= 1, response
    if status == 401:
        assert response.field("WWW-Authenticate") == "Bearer", response
    if status == 405:
        assert response.field("Allow"), response
    if closes is not None:
        assert response.closes == closes, response
    return body


def success(response, status=200):
    """Asserts a JSON answer; returns its body."""
    assert response.status == status, response
    assert response.field("Content-Type") == "application/json", response
    return response.json()


def coupon(response, status=200):
    """Asserts a coupon with its ETag; returns it."""
    body = success(response, status)
    assert response.field("ETag") == '"%d"' % body["version"]
    return coupon_body(body)


def coupon_body(body):
    assert set(body) == COUPON_MEMBERS, set(body) ^ COUPON_MEMBERS
    for member in ("issueStart", "issueEnd", "createdAt", "updatedAt"):
        assert is_time(body[member]), member
    if body["totalQuantity"] is None:
        assert body["remaining"] is None
    else:
        assert body["remaining"] == body["totalQuantity"] - body["issuedQuantity"]
    return body


def issue_body(body):
    assert set(body) == ISSUE_MEMBERS, body
    assert isinstance(body["issueId"], str) and isinstance(body["userId"], str)
    assert isinstance(body["rank"], int) and body["rank"] >= 1
    assert is_time(body["issuedAt"])
    return body


def issued(response, replayed=False):
    """Asserts a 201 of a claim; returns the issue."""
    body = issue_body(success(response, 201))
    assert response.field("Location") == "/v1/issues/" + body["issueId"]
    assert response.field("Idempotent-Replayed") == ("true" if replayed else None), response
    return body


def already_issued(response, issue):
    """Asserts a 409 that names this issue."""
    body = problem(response, 409, "already-issued")
    assert issue_body(body["issue"]) == issue, response


def new_coupon(admin, total=500, start=-3600, end=3600, **more):
    """Creates a coupon, open unless told otherwise; returns it."""
    value = {"title": "A coupon", "totalQuantity": total, "issueStart": moment(start),
             "issueEnd": moment(end)}
    value.update(more)
    return coupon(admin.post("/v1/coupons", value), 201)
