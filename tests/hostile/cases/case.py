"""One hard case: bytes, and all that may come back. How a row of the tables reads:

    ("two equal lengths", post(b"Content-Length: 14", b"Content-Length: 14", body=BODY), BAD)

Its name, what the client sends, and the answers in order, then what becomes of the connection:

    200 / kept              the next request on it is answered 200, and nothing else ever comes
    400 malformed-http / closed   nothing that follows is read; an end, not a reset
    409 already-issued / ended    the client half-closes after its bytes; so does the server
    HEAD 200 / kept               the answer of a HEAD: it has no body

Bytes in several pieces (a tuple): before each further piece the client waits for one answer.

The claims are of user `a`, who holds a coupon already: 409 already-issued is the answer of a claim
that came through whole. The user `smuggled` asks only where nobody may listen.
"""

import dataclasses

# What the rows expect; the problems' codes are those of docs/api.md.
OK = "200 / kept"
OK_CLOSED = "200 / closed"
CLAIMED = "409 already-issued / kept"
CLAIMED_CLOSED = "409 already-issued / closed"
NOTHING = "/ kept"
BAD = "400 malformed-http / closed"
HEAD_TOO_LARGE = "431 head-too-large / closed"
BODY_TOO_LARGE = "413 body-too-large / closed"
NO_EXPECTATION = "417 expectation-failed / closed"
NOT_FOUND = "404 not-found / kept"
NO_METHOD = "405 method-not-allowed / kept"
NO_BODY = "400 malformed-request / kept"  # a claim of no bytes at all

# Refusals of the bytes themselves; any other answer means that the request was understood.
REFUSALS_OF_BYTES = {"malformed-http", "head-too-large", "body-too-large", "expectation-failed",
                     "request-timeout", "overloaded"}

COUPON = 1
WINNER = "a"
BODY = b'{"userId":"a"}'
assert len(BODY) == 14
CLAIM_LINE = b"POST /v1/coupons/%d/issues HTTP/1.1" % COUPON
JSON = b"Content-Type: application/json"
HOST = b"Host: x"
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 14"
GET_LINE = b"GET /healthz HTTP/1.1"


def head(line, *fields):
    """A head of these lines."""
    return b"".join(one + b"\r\n" for one in (line, *fields)) + b"\r\n"


def get(*fields, line=GET_LINE):
    return head(line, HOST, *fields)


def target(text, method=b"GET"):
    """A request of this target."""
    return get(line=method + b" " + text + b" HTTP/1.1")


def post(*fields, body=b""):
    """A claim with these fields that say how long its body is."""
    return head(CLAIM_LINE, HOST, JSON, *fields) + body


def chunks(raw):
    """A claim whose body is these bytes, chunks or whatever else."""
    return post(CHUNKED, body=raw)


WHOLE = b"e\r\n" + BODY + b"\r\n0\r\n\r\n"  # the body as one chunk
PLAIN_GET = get()
CLAIM = post(LENGTH, body=BODY)
CHUNKED_CLAIM = chunks(WHOLE)
SMUGGLED = head(CLAIM_LINE, HOST, JSON, b"Content-Length: 21") + b'{"userId":"smuggled"}'


@dataclasses.dataclass(frozen=True)
class Case:
    group: str
    name: str
    pieces: tuple
    answers: tuple  # "200", "409 already-issued", "HEAD 200"
    end: str        # kept, closed, ended

    @property
    def data(self):
        return b"".join(self.pieces)

    def told(self):
        return "; ".join(self.answers) + " / " + self.end


def case_of(group, row):
    name, data, expected = row
    answers, _, end = expected.rpartition("/")
    end = end.strip()
    assert end in ("kept", "closed", "ended"), name
    return Case(group, name, data if isinstance(data, tuple) else (data,),
                tuple(one.strip() for one in answers.split(";") if one.strip()), end)
