"""Whole connections: bodies where none is wanted, requests one after the other with a bad one in
their midst, ends that come early."""

from cases.case import (BODY, BODY_TOO_LARGE, CHUNKED, CHUNKED_CLAIM, CLAIM, HOST, LENGTH,
                        OK, PLAIN_GET, SMUGGLED, WHOLE, chunks, get, head, post, target)

BODIES = [
    ("a GET with a length of 0", get(b"Content-Length: 0"), OK),
    ("a GET with a body", get(b"Content-Length: 1") + b"x", BODY_TOO_LARGE),
    ("a GET with a request for a body", get(b"Content-Length: 34") + PLAIN_GET, BODY_TOO_LARGE),
    ("a GET with no chunk but the last", get(CHUNKED) + b"0\r\n\r\n", OK),
    ("a GET with a chunk", get(CHUNKED) + b"1\r\nx\r\n0\r\n\r\n", BODY_TOO_LARGE),
    ("a GET with a request for a chunk", get(CHUNKED) + b"22\r\n" + PLAIN_GET + b"\r\n0\r\n\r\n",
     BODY_TOO_LARGE),
    ("a GET with a request after its empty chunks", get(CHUNKED) + b"0\r\n\r\n" + PLAIN_GET,
     "200; 200 / kept"),
    ("a HEAD with a body", target(b"/healthz", b"HEAD")[:-2] + b"Content-Length: 1\r\n\r\nx",
     "HEAD 413 / closed"),
    ("a HEAD of what is not there", target(b"/nothing", b"HEAD"), "HEAD 404 / kept"),
    ("a TRACE with a body", target(b"/healthz", b"TRACE")[:-2] + b"Content-Length: 1\r\n\r\nx",
     "405 method-not-allowed / closed"),
    ("a DELETE with a body", target(b"/healthz", b"DELETE")[:-2] + b"Content-Length: 34\r\n\r\n"
     + PLAIN_GET, "405 method-not-allowed / closed"),
    ("an unknown method with chunks", target(b"/healthz", b"BREW")[:-2] + CHUNKED + b"\r\n\r\n"
     + WHOLE, "405 method-not-allowed / closed"),
    ("a claim without a type", head(b"POST /v1/coupons/1/issues HTTP/1.1", HOST, LENGTH) + BODY,
     "415 unsupported-media-type / closed"),
]

# In the midst of good ones: what it must come to there.
MIDDLES = [
    ("no Host", head(b"GET /healthz HTTP/1.1"), "400 malformed-http"),
    ("a bare line feed", b"GET /healthz HTTP/1.1\nHost: x\r\n\r\n", "400 malformed-http"),
    ("a folded line", get(b"A: b\r\n c"), "400 malformed-http"),
    ("a NUL", get(b"A: \0"), "400 malformed-http"),
    ("a space before a colon", get(b"A : b"), "400 malformed-http"),
    ("HTTP/2.0", get(line=b"GET /healthz HTTP/2.0"), "400 malformed-http"),
    ("HTTP/1.0", get(line=b"GET /healthz HTTP/1.0"), "200"),
    ("close", get(b"Connection: close"), "200"),
    ("both lengths", post(LENGTH, CHUNKED, body=WHOLE), "400 malformed-http"),
    ("two lengths", post(LENGTH, LENGTH, body=BODY), "400 malformed-http"),
    ("a signed length", post(b"Content-Length: +14", body=BODY), "400 malformed-http"),
    ("xchunked", post(b"Transfer-Encoding: xchunked", body=WHOLE), "400 malformed-http"),
    ("a bad chunk", chunks(b"0xe\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 malformed-http"),
    ("a bad trailer", chunks(WHOLE[:-2] + b"A\r\n\r\n"), "400 malformed-http"),
    ("a body too large", post(b"Content-Length: 4097", body=b" " * 4097), "413 body-too-large"),
    ("a head too large", get(b"A: " + b"b" * 8192), "431 head-too-large"),
    ("65 fields", get(*[b"A: b"] * 64), "431 head-too-large"),
    ("another expectation", get(b"Expect: x"), "417 expectation-failed"),
    ("a body where nothing is", head(b"POST /nothing HTTP/1.1", HOST, LENGTH) + BODY,
     "404 not-found"),
    ("a CONNECT", target(b"x:80", b"CONNECT"), "400 malformed-http"),
    ("two empty lines", b"\r\n\r\n" + PLAIN_GET, "400 malformed-http"),
]

PIPELINES = [
    ("three requests", PLAIN_GET * 3, "200; 200; 200 / kept"),
    ("two claims", CLAIM * 2, "409 already-issued; 409 already-issued / kept"),
    ("claims of both kinds and a GET", CLAIM + CHUNKED_CLAIM + PLAIN_GET + CLAIM,
     "409 already-issued; 409 already-issued; 200; 409 already-issued / kept"),
    ("a HEAD between GETs", PLAIN_GET + target(b"/healthz", b"HEAD") + PLAIN_GET,
     "200; HEAD 200; 200 / kept"),
    ("empty lines between requests", (PLAIN_GET + b"\r\n") * 3, "200; 200; 200 / kept"),
    ("what is not there between claims", CLAIM + target(b"/nothing") + CLAIM,
     "409 already-issued; 404 not-found; 409 already-issued / kept"),
    ("an unknown method between claims", CLAIM + target(b"/healthz", b"BREW") + CLAIM,
     "409 already-issued; 405 method-not-allowed; 409 already-issued / kept"),
    ("an unknown path with empty chunks between claims",
     CLAIM + head(b"POST /nothing HTTP/1.1", HOST, CHUNKED) + b"0\r\n\r\n" + SMUGGLED,
     "409 already-issued; 404 not-found / closed"),
    ("a hundred claims", CLAIM * 100, "; ".join(["409 already-issued"] * 100) + " / kept"),
] + [
    ("in the midst: " + name, PLAIN_GET + CLAIM + data + SMUGGLED,
     "200; 409 already-issued; %s / closed" % answer) for name, data, answer in MIDDLES
]

ENDS = [
    ("an end and nothing before it", b"", "/ ended"),
    ("an end after an empty line", b"\r\n", "/ ended"),
    ("an end within the method", b"GE", "/ ended"),
    ("an end within the request line", b"GET /hea", "/ ended"),
    ("an end within the fields", b"GET /healthz HTTP/1.1\r\nHos", "/ ended"),
    ("an end before the empty line", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", "/ ended"),
    ("an end within the empty line", PLAIN_GET[:-1], "/ ended"),
    ("an end after the head", post(LENGTH), "400 malformed-http / ended"),
    ("an end within the body", CLAIM[:-1], "400 malformed-http / ended"),
    ("an end before the chunks", chunks(b""), "400 malformed-http / ended"),
    ("an end within a chunk's size", chunks(b"e"), "400 malformed-http / ended"),
    ("an end within a chunk", chunks(b"e\r\n{"), "400 malformed-http / ended"),
    ("an end between chunks", chunks(b"1\r\n{\r\n"), "400 malformed-http / ended"),
    ("an end before the last chunk", chunks(WHOLE[:-5]), "400 malformed-http / ended"),
    ("an end within the last chunk", chunks(WHOLE[:-2]), "400 malformed-http / ended"),
    ("an end within the trailers", chunks(WHOLE[:-2] + b"A: b"), "400 malformed-http / ended"),
    ("an end after a request", PLAIN_GET, "200 / ended"),
    ("an end after a claim", CLAIM, "409 already-issued / ended"),
    ("an end after a chunked claim", CHUNKED_CLAIM, "409 already-issued / ended"),
    ("an end after many claims", CLAIM * 50, "; ".join(["409 already-issued"] * 50) + " / ended"),
    ("an end after a claim and half of another", CLAIM + CLAIM[:-1],
     "409 already-issued; 400 malformed-http / ended"),
    ("an end after a claim and half of a head", CLAIM + PLAIN_GET[:-2], "409 already-issued / ended"),
    ("an end where a body is asked for", post(LENGTH, b"Expect: 100-continue"),
     "100; 400 malformed-http / ended"),
    ("an end after garbage", b"\0", "400 malformed-http / ended"),
    ("an end of HTTP/1.0 without a length",
     head(b"POST /v1/coupons/1/issues HTTP/1.0", HOST, b"Content-Type: application/json") + BODY,
     "400 malformed-request / ended"),
]

GROUPS = {"a body where none is wanted": BODIES, "one after the other": PIPELINES,
          "early end": ENDS}
