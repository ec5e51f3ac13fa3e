"""SIGTERM: takes no more, finishes what is under way, exits with 0.

What a client may see of it. A request that was sent in full before the signal, on a
connection the server had accepted, gets its whole answer. One sent later may be refused
instead: the connection is not made, or it ends before the first byte of an answer. Half an
answer is never right, and every success that was told is in the file.
"""

import itertools
import os
import resource
import signal
import time

import pytest

from support import check, record
from support.crowd import Load
from support.server import verify
from support.wire import Closed, request_bytes

JSON = ("Content-Type", "application/json")


def assert_only_late_requests_are_unanswered(load, stopped_at):
    for one in load.unanswered:
        assert one.received == b"", "half an answer: %r" % (one,)
        assert one.sent_by is None or one.sent_by > stopped_at, "cut off: %r" % (one,)


def answers_on_every_loop(server):
    """An answer on each of the loops tells that what was sent before is read."""
    for connection in [server.connect() for _ in range(8)]:
        connection.send(request_bytes("GET", "/healthz"))
        assert connection.read().status == 200
        connection.close()


def test_a_drain_under_load_loses_nothing(new_server, randomness, scaled):
    server = new_server()
    answers, users = [], itertools.count()
    for round_no in range(6):
        server.start()
        if round_no == 0:
            with server.admin() as admin:
                coupon = check.new_coupon(admin, total=None)["id"]
        asks = ((coupon, "user-%d" % next(users), None) for _ in itertools.count())
        load = Load(server.address, asks, 32, reconnect=True).start()
        load.wait_answers(randomness.randrange(1, scaled(1500)))
        stopped_at = time.monotonic_ns()
        server.terminate()
        assert server.wait() == 0, server.log()
        load.join()
        server.assert_healthy_log()
        assert server.events("draining") and server.events("stopped")
        assert_only_late_requests_are_unanswered(load, stopped_at)
        assert {one.code for one in load.told} <= {None, "overloaded"}
        for one in load.told:
            assert one.code is None or one.answered_at > stopped_at
        answers += load.told
        record.assert_holds_what_was_told(server.data, answers)
        done = verify(server.data)
        assert done.returncode == 0, done.stdout


def test_a_drain_ends_idle_connections_and_finishes_begun_requests(server, admin):
    coupon = check.new_coupon(admin)["id"]
    body = b'{"userId":"slow"}'
    begun = request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                          [JSON, ("Content-Length", len(body))])
    with server.connect() as idle, server.connect() as fresh, server.connect() as half_body, \
            server.connect() as half_head:
        idle.send(request_bytes("GET", "/healthz"))
        assert idle.read().status == 200
        half_body.send(begun + body[:5])
        half_head.send(b"GET /health")
        answers_on_every_loop(server)
        server.terminate()
        server.wait_event("draining")
        assert idle.rest() == b""
        assert fresh.rest() == b""
        try:
            with server.connect() as late:
                late.send_what_it_takes(request_bytes("GET", "/healthz"))
                response = late.read()
                assert response.closes, "a new connection is kept during the drain"
        except ConnectionRefusedError:
            pass
        except Closed as closed:
            assert closed.received == b""
        half_body.send(body[5:])
        response = half_body.read()
        check.issued(response)
        assert response.closes and half_body.rest() == b""
        half_head.send(b"z HTTP/1.1\r\nHost: x\r\n\r\n")
        response = half_head.read()
        assert response.status == 200 and response.closes
    assert server.wait() == 0
    assert record.issues(server.data) == {coupon: {1: "slow"}}


def test_who_never_finishes_a_request_does_not_hold_up_the_end(server, admin):
    coupon = check.new_coupon(admin)["id"]
    begun = request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                          [JSON, ("Content-Length", 50)])
    with server.connect() as connection:
        connection.send(begun)
        connection.send(b"{")
        started = time.monotonic()
        server.terminate()
        try:
            check.problem(connection.read(), 408, "request-timeout", closes=True)
        except Closed as closed:
            assert closed.received == b""
        assert server.wait() == 0
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_stop_it_also_when_they_come_twice(server, number):
    server.process.send_signal(number)
    server.process.send_signal(number)
    assert server.wait() == 0
    assert verify(server.data).returncode == 0


@pytest.mark.embedded("a write to the file fails")
def test_a_write_of_unknown_outcome_in_the_drain_is_not_a_good_end(new_server):
    """Exit code 3 whenever the outcome of a write is unknown, also after SIGTERM. The write is
    made to fail by the process's limit on file sizes."""
    server = new_server(under=["env", "--ignore-signal=XFSZ"]).start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
    body = b'{"userId":"slow"}'
    with server.connect() as begun:
        begun.send(request_bytes("POST", "/v1/coupons/%d/issues" % coupon, None,
                                 [JSON, ("Content-Length", len(body))]) + body[:5])
        answers_on_every_loop(server)
        server.terminate()
        server.wait_event("draining")
        size = os.path.getsize(os.path.join(server.data, "coupon.db-wal"))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
        begun.send(body[5:])
        check.problem(begun.read(), 503, "outcome-unknown", closes=True)
    assert server.wait() == 3
    assert server.events("stopping-broken")
    again = new_server(data=server.data).start()
    with again.client() as client:
        assert client.claim(coupon, "slow").status in (201, 409)
    again.stop()
    assert verify(server.data).returncode == 0


@pytest.mark.embedded("half a million rows planted in the file")
def test_long_reads_do_not_hold_up_the_end(new_server):
    """What users hold of a large archived coupon takes the server long to look up; it gives
    that up when it is to stop."""
    rows, readers = 500_000, 200
    server = new_server().start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
    server.stop()
    with record.planted(server.data) as database:
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO coupon_issues (coupon_id, rank_no, user_id, date_issued)"
            " SELECT id, i, 'user-' || i, date_created FROM n, coupons", [rows])
        database.execute("UPDATE coupons SET issued_quantity = ?", [rows])
    server.start()
    with server.admin() as admin:
        check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"archived": True}))
    target = "/v1/coupons/%d/issues?userId=nobody" % coupon
    connections = [server.connect() for _ in range(readers)]
    for connection in connections:
        connection.send(request_bytes("GET", target))
    answers_on_every_loop(server)
    started = time.monotonic()
    server.terminate()
    for connection in connections:
        response = connection.read()
        if response.status != 200:
            # given up before or after its loop began to drain: only then it says "close"
            check.problem(response, 503, "overloaded")
        connection.close()
    assert server.wait() == 0
    assert time.monotonic() - started < 8
    assert verify(server.data).returncode == 0


def test_a_hangup_of_all_clients_at_once_harms_nobody(server, admin, scaled):
    """Clients go away with their answers under way; the issues are in the file all the same."""
    coupon = check.new_coupon(admin, total=None)["id"]
    claims = scaled(500)
    for index in range(claims):
        with server.connect() as connection:
            body = b'{"userId":"gone-%d"}' % index
            connection.send(request_bytes("POST", "/v1/coupons/%d/issues" % coupon, body, [JSON]))
    # the last of all, asked for and answered, comes after them on one of the loops
    check.issued(admin.claim(coupon, "last"))
    server.stop()
    rows = record.assert_holds_what_was_told(server.data, [])[coupon]
    assert set(rows.values()) <= {"gone-%d" % i for i in range(claims)} | {"last"}
    assert verify(server.data).returncode == 0


@pytest.mark.embedded("the file")
def test_a_stopped_server_leaves_one_plain_file(server, admin):
    """When the server is stopped, sqlite3 opens the file: nothing waits in a -wal."""
    import os
    import sqlite3
    coupon = check.new_coupon(admin)["id"]
    for user in range(10):
        check.issued(admin.claim(coupon, user))
    server.stop()
    names = set(os.listdir(server.data))
    assert "coupon.db" in names and not names & {"coupon.db-wal", "coupon.db-shm",
                                                 "coupon.db-journal", "coupon.db.new"}
    database = sqlite3.connect("file:%s/coupon.db?mode=ro" % server.data, uri=True)
    try:
        assert database.execute("SELECT count(*) FROM coupon_issues").fetchone() == (10,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        database.close()
