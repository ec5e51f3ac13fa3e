"""Bytes that are no HTTP, or ambiguous: each with its exact answer, then the end of the
connection; and after them all the server still serves."""

import socket
import struct

import pytest

from support import check

HOST = b"Host: x\r\n"
GET = b"GET /healthz HTTP/1.1\r\n"
POST = b"POST /v1/coupons/1/issues HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = (400, "malformed-http")
HEAD_TOO_LARGE = (431, "head-too-large")

FRAMINGS = [
    # the request line
    ("no version", b"GET /healthz\r\n" + HOST + b"\r\n", MALFORMED),
    ("nothing but a method", b"GET\r\n\r\n", MALFORMED),
    ("no method", b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("two spaces", b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("two spaces before the version", b"GET /healthz  HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a tab", b"GET\t/healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("space after the version", b"GET /healthz HTTP/1.1 \r\n" + HOST + b"\r\n", MALFORMED),
    ("lower-case version", b"GET /healthz http/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("version 2.0", b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", MALFORMED),
    ("version 1.2", b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n", MALFORMED),
    ("version 1.10", b"GET /healthz HTTP/1.10\r\n" + HOST + b"\r\n", MALFORMED),
    ("version 0.9", b"GET /healthz HTTP/0.9\r\n\r\n", MALFORMED),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    ("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", MALFORMED),
    ("a bracket in the method", b"G[T /healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a target without a slash", b"GET healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("another scheme", b"GET https://x/healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a URL without a host", b"GET http:///healthz HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a star for a GET", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("an authority", b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a fragment", b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a NUL in the target", b"GET /health\0z HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("beyond ASCII in the target", b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    ("a bare line feed after the request line", b"GET /healthz HTTP/1.1\n" + HOST + b"\r\n",
     MALFORMED),
    ("a bare carriage return", b"GET /healthz HTTP/1.1\r" + HOST + b"\r\n", MALFORMED),
    ("two empty lines first", b"\r\n\r\n" + GET + HOST + b"\r\n", MALFORMED),
    ("a line feed first", b"\n" + GET + HOST + b"\r\n", MALFORMED),
    # Host
    ("no Host", GET + b"\r\n", MALFORMED),
    ("no Host but a URL", b"GET http://x/healthz HTTP/1.1\r\n\r\n", MALFORMED),
    ("two Hosts", GET + HOST + HOST + b"\r\n", MALFORMED),
    ("two different Hosts", GET + HOST + b"host: y\r\n\r\n", MALFORMED),
    ("an empty Host", GET + b"Host:\r\n\r\n", MALFORMED),
    ("a Host with a path", GET + b"Host: x/y\r\n\r\n", MALFORMED),
    ("a Host with a user", GET + b"Host: a@x\r\n\r\n", MALFORMED),
    ("a Host list", GET + b"Host: x, y\r\n\r\n", MALFORMED),
    ("a Host with a wordy port", GET + b"Host: x:http\r\n\r\n", MALFORMED),
    # fields
    ("bare line feeds between fields", GET + b"Host: x\nA: b\r\n\r\n", MALFORMED),
    ("a bare line feed at the end", GET + HOST + b"\n", MALFORMED),
    ("space before the colon", GET + b"Host : x\r\n\r\n", MALFORMED),
    ("a tab before the colon", GET + HOST + b"A\t: b\r\n\r\n", MALFORMED),
    ("a folded line", GET + HOST + b"A: b\r\n c\r\n\r\n", MALFORMED),
    ("a folded line with a tab", GET + HOST + b"A: b\r\n\tc\r\n\r\n", MALFORMED),
    ("a first field with space before it", GET + b" Host: x\r\n\r\n", MALFORMED),
    ("no colon", GET + HOST + b"A\r\n\r\n", MALFORMED),
    ("no name", GET + HOST + b": b\r\n\r\n", MALFORMED),
    ("a space in a name", GET + HOST + b"A B: c\r\n\r\n", MALFORMED),
    ("a parenthesis in a name", GET + HOST + b"A(B: c\r\n\r\n", MALFORMED),
    ("beyond ASCII in a name", GET + HOST + b"\xc3\xa4: c\r\n\r\n", MALFORMED),
    ("a NUL in a value", GET + HOST + b"A: b\0c\r\n\r\n", MALFORMED),
    ("a carriage return in a value", GET + HOST + b"A: b\rc\r\n\r\n", MALFORMED),
    ("an escape in a value", GET + HOST + b"A: \x1b[31m\r\n\r\n", MALFORMED),
    ("a delete in a value", GET + HOST + b"A: \x7f\r\n\r\n", MALFORMED),
    # Content-Length and Transfer-Encoding
    ("two equal lengths", POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", MALFORMED),
    ("two lengths", POST + b"Content-Length: 2\r\ncontent-length: 3\r\n\r\n{}", MALFORMED),
    ("a list of lengths", POST + b"Content-Length: 2, 2\r\n\r\n{}", MALFORMED),
    ("a signed length", POST + b"Content-Length: +2\r\n\r\n{}", MALFORMED),
    ("a negative length", POST + b"Content-Length: -2\r\n\r\n{}", MALFORMED),
    ("a hexadecimal length", POST + b"Content-Length: 0x2\r\n\r\n{}", MALFORMED),
    ("a spaced length", POST + b"Content-Length: 2 2\r\n\r\n{}", MALFORMED),
    ("an empty length", POST + b"Content-Length:\r\n\r\n", MALFORMED),
    ("a fractional length", POST + b"Content-Length: 2.0\r\n\r\n{}", MALFORMED),
    ("a length beyond 64 bits", POST + b"Content-Length: 18446744073709551618\r\n\r\n{}", MALFORMED),
    ("a quoted length", POST + b'Content-Length: "2"\r\n\r\n{}', MALFORMED),
    ("length and chunks", POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     MALFORMED),
    ("chunks and length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
     MALFORMED),
    ("chunked twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     MALFORMED),
    ("chunked, chunked", POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", MALFORMED),
    ("gzip, chunked", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", MALFORMED),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n", MALFORMED),
    ("an empty coding", POST + b"Transfer-Encoding:\r\n\r\n", MALFORMED),
    ("chunked with a parameter", POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n", MALFORMED),
    ("xchunked", POST + b"Transfer-Encoding: xchunked\r\n\r\n", MALFORMED),
    ("chunked with a vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", MALFORMED),
    ("chunked in HTTP/1.0", POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
     MALFORMED),
    # chunks
    ("a chunk without a size", CHUNKED + b"\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a wordy chunk size", CHUNKED + b"two\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a chunk size with 0x", CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a signed chunk size", CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a negative chunk size", CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("space before a chunk size", CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("space after a chunk size", CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a chunk size beyond 64 bits", CHUNKED + b"10000000000000002\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a line feed after a chunk size", CHUNKED + b"2\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a line feed after a chunk", CHUNKED + b"2\r\n{}\n0\r\n\r\n", MALFORMED),
    ("a chunk longer than its size", CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a line feed at the end", CHUNKED + b"2\r\n{}\r\n0\r\n\n", MALFORMED),
    ("a control character in an extension", CHUNKED + b"2;a=\x01\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("an endless extension", CHUNKED + b"2;" + b"a" * 300 + b"\r\n{}\r\n0\r\n\r\n", MALFORMED),
    ("a trailer without a colon", CHUNKED + b"2\r\n{}\r\n0\r\nA\r\n\r\n", MALFORMED),
    ("a folded trailer", CHUNKED + b"2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n", MALFORMED),
    ("an endless trailer", CHUNKED + b"2\r\n{}\r\n0\r\nA: " + b"b" * 9000 + b"\r\n\r\n", MALFORMED),
    ("chunks of more than is taken", CHUNKED + (b"800\r\n" + b" " * 2048 + b"\r\n") * 3,
     (413, "body-too-large")),
    ("a chunk of more than is taken", CHUNKED + b"1001\r\n", (413, "body-too-large")),
    ("a chunk of nearly 64 bits", CHUNKED + b"ffffffffffffffff\r\n", (413, "body-too-large")),
    # size
    ("a long target", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", HEAD_TOO_LARGE),
    ("a long method", b"G" * 9000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n", HEAD_TOO_LARGE),
    ("a long value", GET + HOST + b"A: " + b"b" * 9000 + b"\r\n\r\n", HEAD_TOO_LARGE),
    ("a long name", GET + HOST + b"A" * 9000 + b": b\r\n\r\n", HEAD_TOO_LARGE),
    ("65 fields", GET + HOST + b"A: b\r\n" * 64 + b"\r\n", HEAD_TOO_LARGE),
    ("endless fields", GET + HOST + b"A: b\r\n" * 20000, HEAD_TOO_LARGE),
]


@pytest.mark.parametrize("name, data, expected", FRAMINGS, ids=[row[0] for row in FRAMINGS])
def test_bad_framing_is_refused_and_the_connection_ends(shared_server, name, data, expected):
    with shared_server.connect() as connection:
        connection.send_what_it_takes(data)
        check.problem(connection.read(), *expected, closes=True)
        assert connection.rest() == b""


@pytest.mark.parametrize("name, data, expected", FRAMINGS[::7], ids=[row[0] for row in FRAMINGS[::7]])
def test_bad_framing_is_refused_alike_when_it_comes_byte_by_byte(shared_server, name, data,
                                                                 expected):
    with shared_server.connect() as connection:
        for byte in data[:600]:
            connection.send_what_it_takes(bytes([byte]))
        connection.send_what_it_takes(data[600:])
        check.problem(connection.read(), *expected, closes=True)
        assert connection.rest() == b""


@pytest.mark.parametrize("name, data, expected", [
    ("a head of 8192 bytes", GET + HOST + b"A: " + b"b" * (8192 - 23 - 9 - 3 - 4) + b"\r\n\r\n", 200),
    ("64 fields", GET + HOST + b"A: b\r\n" * 63 + b"\r\n", 200),
    ("one empty line first", b"\r\n" + GET + HOST + b"\r\n", 200),
    ("a URL", b"GET http://x:80/healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    ("an IPv6 Host", GET + b"Host: [::1]:8080\r\n\r\n", 200),
    ("no space after the colon", GET + b"Host:x\r\n\r\n", 200),
    ("space around a value", GET + b"Host: \t x \t \r\n\r\n", 200),
    ("an empty value", GET + HOST + b"A:\r\n\r\n", 200),
    ("beyond ASCII in a value", GET + HOST + b"A: \xc3\xa4\r\n\r\n", 200),
    ("an unknown method", b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    ("a star for OPTIONS", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("a length with leading zeros", POST + b"Content-Length: 0002\r\n\r\n{}", 400),
    ("Chunked in capitals", POST + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    ("no body at all for a GET", GET + HOST + b"Content-Length: 0\r\n\r\n", 200),
])
def test_what_is_only_unusual_is_served_and_the_connection_goes_on(shared_server, name, data,
                                                                   expected):
    with shared_server.connect() as connection:
        connection.send(data)
        response = connection.read()
        assert response.status == expected, response
        assert response.code != "malformed-http"
        connection.send(GET + HOST + b"\r\n")
        assert connection.read().status == 200


def test_what_follows_a_refused_head_is_not_read_as_a_request(shared_server):
    with shared_server.connect() as connection:
        connection.send(GET + b"\r\n" + GET + HOST + b"\r\n")
        check.problem(connection.read(), *MALFORMED, closes=True)
        assert connection.rest() == b""


def test_garbage_after_a_good_request_is_refused_after_its_answer(shared_server):
    with shared_server.connect() as connection:
        connection.send(GET + HOST + b"\r\n" + b"\0garbage")
        assert connection.read().status == 200
        check.problem(connection.read(), *MALFORMED, closes=True)
        assert connection.rest() == b""


@pytest.mark.parametrize("data", [b"", b"GET /hea", GET + HOST, POST + b"Content-Length: 9\r\n\r\n{",
                                  CHUNKED + b"2\r\n{"])
def test_a_client_that_stops_in_the_middle_is_let_go(shared_server, data):
    with shared_server.connect() as connection:
        connection.send(data)
        connection.finish_sending()
        rest = connection.rest()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400 "), rest


def test_a_reset_in_the_middle_harms_nobody(shared_server):
    for data in (b"", b"GET /hea", POST + b"Content-Length: 9\r\n\r\n{", GET + HOST + b"\r\n"):
        connection = shared_server.connect()
        connection.send(data)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    with shared_server.client() as client:
        assert check.success(client.get("/readyz")) == {"status": "ready"}


def test_after_all_this_the_server_still_serves(shared_server):
    with shared_server.client() as client:
        assert check.success(client.get("/healthz")) == {"status": "ok"}
        assert check.success(client.get("/readyz")) == {"status": "ready"}
