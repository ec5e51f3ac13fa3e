"""Connections: keep-alive, pipelining, chunked bodies, 100-continue, HTTP/1.0, deadlines,
the cap, a full queue."""

import json
import threading
import time

import pytest

from support import check, record
from support.crowd import Load, in_parallel
from support.server import verify
from support.wire import Closed, request_bytes

JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def coupon(shared_admin):
    return check.new_coupon(shared_admin, total=None)["id"]


@pytest.fixture(scope="module")
def user():
    """A new user every time it is called."""
    numbers = iter(range(10**9))
    return lambda: "user-%d" % next(numbers)


def claim_bytes(coupon, user, fields=(), version="HTTP/1.1"):
    body = json.dumps({"userId": user}).encode()
    return request_bytes("POST", "/v1/coupons/%d/issues" % coupon, body, [JSON, *fields],
                         version=version)


def chunked(pieces, last=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + last


def chunked_claim(coupon, body):
    head = request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                         [JSON, ("Transfer-Encoding", "chunked")])
    return head + body


class TestKeepAlive:
    def test_one_connection_serves_many_requests(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            for _ in range(200):
                connection.send(claim_bytes(coupon, user()))
                response = connection.read()
                check.issued(response)
                assert response.field("Connection") is None

    def test_a_refusal_of_the_request_keeps_the_connection(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            for data, status in [(request_bytes("GET", "/nothing"), 404),
                                 (request_bytes("PUT", "/v1/coupons"), 405),
                                 (request_bytes("GET", "/v1/coupons"), 401),
                                 (claim_bytes(2**53 - 1, "x"), 404),
                                 (claim_bytes(coupon, ""), 422)]:
                connection.send(data)
                response = connection.read()
                assert response.status == status and not response.closes
            connection.send(claim_bytes(coupon, user()))
            check.issued(connection.read())

    def test_a_client_may_ask_to_close(self, shared_server, coupon, user):
        for value in ("close", "Close", "keep-alive, close", "close, te"):
            with shared_server.connect() as connection:
                connection.send(claim_bytes(coupon, user(), [("Connection", value)]))
                response = connection.read()
                check.issued(response)
                assert response.closes and connection.rest() == b""

    def test_a_client_that_half_closes_is_still_answered(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            connection.send(claim_bytes(coupon, user()) + claim_bytes(coupon, user()))
            connection.finish_sending()
            check.issued(connection.read())
            check.issued(connection.read())
            assert connection.rest() == b""

    def test_http_1_0_closes_unless_asked_not_to(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
            response = connection.read()
            assert check.success(response) == {"status": "ok"}
            assert connection.rest() == b""
        with shared_server.connect() as connection:
            keep = [("Connection", "keep-alive")]
            connection.send(claim_bytes(coupon, user(), keep, version="HTTP/1.0"))
            response = connection.read()
            check.issued(response)
            assert (response.field("Connection") or "").lower() == "keep-alive"
            connection.send(claim_bytes(coupon, user(), version="HTTP/1.0"))
            check.issued(connection.read())
            assert connection.rest() == b""

    def test_an_absolute_target_is_served(self, shared_server):
        with shared_server.client() as client:
            response = client.get("http://coupon.test:80/healthz")
            assert check.success(response) == {"status": "ok"}


class TestPipelining:
    def test_answers_come_in_order(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        with shared_server.connect() as connection:
            connection.send(b"".join(claim_bytes(made, "user-%d" % i) for i in range(100)))
            for rank in range(1, 101):
                issue = check.issued(connection.read())
                assert issue["rank"] == rank and issue["userId"] == "user-%d" % (rank - 1)

    def test_all_kinds_of_calls_may_follow_each_other(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        path = "/v1/coupons/%d" % made
        admin = ("Authorization", "Bearer " + shared_server.token)
        requests = [
            (request_bytes("GET", path), 200), (claim_bytes(made, "a"), 201),
            (claim_bytes(made, "a"), 409), (request_bytes("GET", "/nothing"), 404),
            (request_bytes("PATCH", path, b'{"paused":true}', [JSON, admin]), 200),
            (claim_bytes(made, "b"), 409), (request_bytes("HEAD", path), 200),
            (request_bytes("PATCH", path, b'{"paused":false}', [JSON, admin]), 200),
            (chunked_claim(made, chunked([b'{"userId"', b':"b"}'])), 201),
            (request_bytes("GET", path + "/issues?userId=b"), 200),
            (request_bytes("GET", "/v1/coupons", None, [admin]), 200),
            (b"\r\n" + claim_bytes(made, "c"), 201),
        ]
        with shared_server.connect() as connection:
            connection.send(b"".join(data for data, _ in requests))
            for data, status in requests:
                response = connection.read(to_head=data.startswith(b"HEAD"))
                assert response.status == status, (data, response)
        body = shared_admin.get(path).json()
        assert (body["issuedQuantity"], body["version"]) == (3, 3)

    def test_a_flood_that_nobody_reads_is_answered_whole_in_the_end(self, shared_server, coupon,
                                                                    user):
        """More answers than sockets buffer: the server waits for the reader, loses nothing."""
        count = 20000
        data = request_bytes("GET", "/v1/coupons/%d" % coupon) * count
        with shared_server.connect() as connection, shared_server.client() as other:
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            check.issued(other.claim(coupon, user()))  # others are served meanwhile
            for _ in range(count):
                assert connection.read().status == 200
            sender.join()
            assert connection.is_quiet(0.05)

    def test_nothing_after_a_closing_request_is_done(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        with shared_server.connect() as connection:
            connection.send(claim_bytes(made, "a", [("Connection", "close")]) +
                            claim_bytes(made, "b"))
            check.issued(connection.read())
            assert connection.rest() == b""
        held = shared_admin.get("/v1/coupons/%d/issues?userId=b" % made)
        assert check.success(held) == {"issues": []}

    def test_a_request_may_come_in_any_two_pieces(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        size = len(claim_bytes(made, "user-000"))
        with shared_server.connect() as connection:
            for cut in range(1, size):
                data = claim_bytes(made, "user-%03d" % cut)
                connection.send(data[:cut])
                connection.send(data[cut:])
                assert check.issued(connection.read())["rank"] == cut


class TestChunkedBodies:
    BODY = b'{"userId":"%s"}'

    def test_pieces_of_every_size_are_taken(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        with shared_server.connect() as connection:
            for size in range(1, 24):
                body = self.BODY % (b"user-%d" % size)
                pieces = [body[at : at + size] for at in range(0, len(body), size)]
                connection.send(chunked_claim(made, chunked(pieces)))
                assert check.issued(connection.read())["rank"] == size

    @pytest.mark.parametrize("body", [
        b"10\r\n%s\r\n0\r\n\r\n", b"0010\r\n%s\r\n0000\r\n\r\n", b"10;a=b\r\n%s\r\n0;c\r\n\r\n",
        b"10\r\n%s\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", b'10;a="b c"\r\n%s\r\n0\r\n\r\n',
    ])
    def test_every_form_of_it_is_taken(self, shared_server, shared_admin, body):
        made = check.new_coupon(shared_admin)["id"]
        with shared_server.connect() as connection:
            for user in (b"ab", b"cd"):
                assert len(self.BODY % user) == 15
                connection.send(chunked_claim(made, body % (self.BODY % user + b" ")))
                check.issued(connection.read())

    def test_it_may_come_byte_by_byte(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        data = chunked_claim(made, chunked([self.BODY % b"slow"]))
        with shared_server.connect() as connection:
            for byte in data:
                connection.send(bytes([byte]))
            check.issued(connection.read())

    def test_the_limit_counts_what_is_decoded(self, shared_server, shared_admin):
        made = check.new_coupon(shared_admin)["id"]
        body = self.BODY % b"padded"
        with shared_server.connect() as connection:
            exact = body + b" " * (4096 - len(body))
            connection.send(chunked_claim(made, chunked([exact[:1], exact[1:4000], exact[4000:]])))
            check.issued(connection.read())
            connection.send(chunked_claim(made, chunked([exact, b" "])))
            check.problem(connection.read(), 413, "body-too-large", closes=True)
            assert connection.rest() == b""


class TestExpectContinue:
    def test_the_body_is_asked_for(self, shared_server, coupon, user):
        data = claim_bytes(coupon, user(), [("Expect", "100-continue")])
        head = data[: data.index(b"\r\n\r\n") + 4]
        with shared_server.connect() as connection:
            for _ in range(2):
                data = claim_bytes(coupon, user(), [("Expect", "100-Continue")])
                head = data[: data.index(b"\r\n\r\n") + 4]
                connection.send(head)
                assert connection.read().status == 100
                connection.send(data[len(head) :])
                check.issued(connection.read())

    def test_a_chunked_body_is_asked_for_too(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            connection.send(request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None, [
                JSON, ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]))
            assert connection.read().status == 100
            connection.send(chunked([json.dumps({"userId": user()}).encode()]))
            check.issued(connection.read())

    def test_a_body_that_came_anyway_is_taken(self, shared_server, coupon, user):
        with shared_server.connect() as connection:
            connection.send(claim_bytes(coupon, user(), [("Expect", "100-continue")]))
            response = connection.read()
            if response.status == 100:  # allowed, though nobody waits for it
                response = connection.read()
            check.issued(response)

    @pytest.mark.parametrize("method, path, fields, length, status, code", [
        ("POST", "/v1/coupons", [JSON], 10, 401, "unauthorized"),
        ("POST", "/nothing", [JSON], 10, 404, "not-found"),
        ("PUT", "/v1/coupons", [JSON], 10, 405, "method-not-allowed"),
        ("POST", "/v1/coupons/1/issues", [], 10, 415, "unsupported-media-type"),
        ("POST", "/v1/coupons/1/issues", [JSON], 5000, 413, "body-too-large"),
    ])
    def test_a_request_that_is_refused_anyway_is_not_asked_for_its_body(
            self, shared_server, method, path, fields, length, status, code):
        with shared_server.connect() as connection:
            connection.send(request_bytes(method, path, None, [
                *fields, ("Content-Length", length), ("Expect", "100-continue")]))
            check.problem(connection.read(), status, code, closes=True)
            assert connection.rest() == b""

    def test_a_request_without_a_body_needs_no_going_on(self, shared_server):
        with shared_server.connect() as connection:
            connection.send(request_bytes("GET", "/healthz", None, [("Expect", "100-continue")]))
            assert connection.read().status == 200


def test_who_is_too_slow_is_told_and_let_go(shared_server, coupon, user):
    """Deadlines of 5 s count from the first byte, however the rest drips; being idle between
    requests has its own, longer one. All at once, so that it costs six seconds."""
    head = request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                         [JSON, ("Content-Length", 100)])
    chunked_head = request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                                 [JSON, ("Transfer-Encoding", "chunked")])
    slow = {
        "one byte": (b"G", b""),
        "half a head": (b"GET /healthz HTTP/1.1\r\nHos", b""),
        "a dripping head": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ", b"b" * 100),
        "no body": (head, b""),
        "half a body": (head + b'{"userId"', b""),
        "a dripping body": (head, b" " * 90),
        "no chunk": (chunked_head, b""),
        "half a chunk": (chunked_head + b"10\r\nabc", b""),
        "dripping chunks": (chunked_head + b"50\r\n", b" " * 70),
        "no end of chunks": (chunked_head + b"1\r\n \r\n", b""),
        "the second head": (claim_bytes(coupon, user()) + b"GET /hea", b""),
    }

    def drip(index):
        name = list(slow)[index]
        data, drops = slow[name]
        with shared_server.connect() as connection:
            started = time.monotonic()
            connection.send(data)
            if name == "the second head":
                check.issued(connection.read())
            stop = threading.Event()

            def dripping():
                for drop in drops:
                    if stop.wait(0.2):
                        return
                    connection.send_what_it_takes(bytes([drop]))

            dripper = threading.Thread(target=dripping)
            dripper.start()
            try:
                check.problem(connection.read(), 408, "request-timeout", closes=True)
            finally:
                stop.set()
                dripper.join()
            took_s = time.monotonic() - started
            assert connection.rest() == b"" or drops
            return name, took_s

    def idle(_):
        """Nothing sent yet, and nothing after a request: both may wait longer than this."""
        with shared_server.connect() as fresh, shared_server.connect() as used:
            used.send(claim_bytes(coupon, user()))
            check.issued(used.read())
            assert fresh.is_quiet(6.5) and used.is_quiet(0.1)
            for connection in (fresh, used):
                connection.send(claim_bytes(coupon, user()))
                check.issued(connection.read())
        return "idle", 5.0

    jobs = [lambda index=index: drip(index) for index in range(len(slow))] + [lambda: idle(0)]
    for name, took_s in in_parallel(len(jobs), lambda index: jobs[index]()):
        assert 4.5 <= took_s <= 8, "%s took %.1f s" % (name, took_s)


class TestTheCap:
    def test_more_connections_than_allowed_are_refused_politely(self, new_server):
        server = new_server("--connections", "4").start()
        with server.admin() as admin:
            coupon = check.new_coupon(admin)["id"]
        held = [server.connect() for _ in range(4)]
        try:
            deadline = time.monotonic() + 30
            for index, connection in enumerate(held):
                # the admin's connection may still count for a moment
                while True:
                    connection.send_what_it_takes(claim_bytes(coupon, "user-%d" % index))
                    response = connection.read()
                    if response.status == 201:
                        break
                    check.problem(response, 503, "overloaded", closes=True)
                    assert time.monotonic() < deadline
                    connection.close()
                    connection = held[index] = server.connect()
            with server.connect() as surplus:
                surplus.send_what_it_takes(claim_bytes(coupon, "surplus"))
                check.problem(surplus.read(), 503, "overloaded", closes=True)
                assert surplus.rest() == b""
            for index, connection in enumerate(held):  # those inside go on
                connection.send(claim_bytes(coupon, "again-%d" % index))
                check.issued(connection.read())
            held.pop().close()
            while True:  # the free seat is taken by whoever comes
                with server.connect() as connection:
                    connection.send_what_it_takes(claim_bytes(coupon, "late"))
                    if connection.read().status == 201:
                        break
                assert time.monotonic() < deadline
        finally:
            for connection in held:
                connection.close()
        server.stop()
        assert verify(server.data).returncode == 0

    def test_a_crowd_larger_than_the_cap_gets_its_coupons_by_coming_again(self, new_server):
        server = new_server("--connections", "8").start()
        with server.admin() as admin:
            coupon = check.new_coupon(admin, total=40)["id"]

        def insist(index):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with server.client() as client:
                    try:
                        response = client.claim(coupon, "user-%d" % index)
                    except Closed as closed:  # of a flood some are turned away unheard
                        assert closed.received == b""
                        continue
                    if response.status != 503:
                        return response
                    check.problem(response, 503, "overloaded")
            raise AssertionError("never served")

        answers = in_parallel(40, insist)
        ranks = sorted(check.issued(answer)["rank"] for answer in answers)
        assert ranks == list(range(1, 41))


def test_a_full_queue_refuses_for_now_and_never_says_sold_out(new_server, scaled):
    """I6: with room for one waiting claim some are told to come again; nobody is told
    `sold-out` while there are coupons, and no success is lost."""
    server = new_server("--queue", "1").start()
    users = scaled(4000)
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=2 * users)["id"]
    load = Load(server.address, [(coupon, "user-%d" % i, None) for i in range(users)], 32)
    load.start().join()
    assert not load.unanswered
    assert {one.code for one in load.told} <= {None, "overloaded"}
    assert {one.code for one in load.told} == {None, "overloaded"}, "the queue was never full"
    won = load.won()
    assert sorted(one.body["rank"] for one in won) == list(range(1, len(won) + 1))
    refused = [one.user for one in load.told if one.code == "overloaded"]
    with server.client() as client:
        for user in refused[:50]:  # who was refused holds none
            held = client.get("/v1/coupons/%d/issues?userId=%s" % (coupon, user))
            assert check.success(held) == {"issues": []}
        check.issued(client.claim(coupon, refused[0]))
    server.stop()
    found = record.assert_holds_what_was_told(server.data, load.told)
    assert set(found[coupon].values()) == {one.user for one in won} | {refused[0]}
    assert verify(server.data).returncode == 0


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_any_number_of_threads_serves(new_server, threads):
    server = new_server("--threads", threads).start()
    assert server.wait_event("listening")["threads"] == str(threads)
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=100)["id"]
    load = Load(server.address, [(coupon, "u%d" % i, None) for i in range(150)], 16).start().join()
    assert sorted(one.body["rank"] for one in load.won()) == list(range(1, 101))
    server.stop()


def test_ipv6_is_served_where_there_is_one(new_server):
    import socket
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip("this machine has no ::1 (%s)" % error)
    server = new_server(listen="[::1]:0").start()
    with server.client() as client:
        assert check.success(client.get("/healthz")) == {"status": "ok"}
