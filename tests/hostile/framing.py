"""A case is sent to a coupon server and its answers are held against the row, in three manners: as
it is, byte by byte, and in one piece with the request that follows it and the end of the client.

Not for: other servers (compare.py). Called by run.py and test_framing.py.
"""

from cases.case import COUPON, PLAIN_GET, WINNER
from support import check
from support.wire import Closed

DRIP_MAX = 700  # bytes that come one by one; the rest of a large case comes at once


def prepare(server):
    """The coupon that all claims of the cases are about; its one winner holds it."""
    with server.admin() as admin:
        made = check.new_coupon(admin, total=None)
        assert made["id"] == COUPON
        check.issued(admin.claim(COUPON, WINNER))


def assert_nothing_slipped_through(server):
    """After all cases: nobody but the winner holds a coupon, there is no other, and the server
    serves."""
    with server.admin() as admin:
        body = check.coupon(admin.get("/v1/coupons/%d" % COUPON))
        assert (body["issuedQuantity"], body["version"]) == (1, 1), body
        assert len(check.success(admin.get("/v1/coupons"))["coupons"]) == 1
        assert check.success(admin.get("/readyz")) == {"status": "ready"}


def told_of(response, to_head):
    """The answer as a row writes it. A refusal is checked to its last member."""
    if to_head:
        return "HEAD %d" % response.status
    if response.code is None:
        return "%d" % response.status
    check.problem(response, response.status, response.code)
    return "%d %s" % (response.status, response.code)


def read_one(connection, expected):
    to_head = expected.startswith("HEAD ")
    try:
        response = connection.read(to_head)
    except Closed as closed:
        raise AssertionError("%s instead of %s" % (closed, expected)) from None
    told = told_of(response, to_head)
    assert told == expected, "%s instead of %s: %r" % (told, expected, response)
    return response


def read_end(connection):
    try:
        rest = connection.rest()
    except Closed as closed:
        raise AssertionError("reset, after %r" % closed.received) from None
    assert rest == b"", "more than was expected: %r" % rest


def read_final(connection, expected):
    """The next answer that is no interim one."""
    while True:
        to_head = expected.startswith("HEAD ")
        try:
            response = connection.read(to_head)
        except Closed as closed:
            raise AssertionError("%s instead of %s" % (closed, expected)) from None
        if response.status != 100:
            told = told_of(response, to_head)
            assert told == expected, "%s instead of %s: %r" % (told, expected, response)
            return response


def judge_end(connection, case, last):
    """What becomes of the connection after the last answer."""
    if case.end == "kept":
        assert last is None or not last.closes, "the last answer says close: %r" % last
        connection.send(PLAIN_GET)
        assert not read_one(connection, "200").closes
        connection.finish_sending()
    elif case.end == "closed":
        assert last.closes, "the last answer does not say close: %r" % last
    read_end(connection)


def as_it_is(server, case):
    """Piece by piece, an answer awaited between them."""
    with server.connect() as connection:
        last, answers = None, list(case.answers)
        for piece in case.pieces[:-1]:
            connection.send(piece)
            last = read_one(connection, answers.pop(0))
        connection.send_what_it_takes(case.pieces[-1])
        if case.end == "ended":
            connection.finish_sending()
        for expected in answers:
            last = read_one(connection, expected)
        judge_end(connection, case, last)


def byte_by_byte(server, case):
    """Each in a packet of its own, whatever the server makes of them."""
    with server.connect() as connection:
        for byte in case.data[:DRIP_MAX]:
            connection.send_what_it_takes(bytes([byte]))
        connection.send_what_it_takes(case.data[DRIP_MAX:])
        if case.end == "ended":
            connection.finish_sending()
        last = None
        for expected in case.answers:
            if expected != "100":
                last = read_final(connection, expected)
        judge_end(connection, case, last)


def in_one_piece(server, case):
    """With the request that follows, and with the client's end."""
    with server.connect() as connection:
        follows = PLAIN_GET if case.end != "ended" else b""
        connection.send_what_it_takes(case.data + follows)
        try:
            connection.finish_sending()
        except OSError:
            pass  # the server has closed already
        for expected in case.answers:
            if expected != "100":
                read_final(connection, expected)
        if case.end == "kept":
            read_one(connection, "200")
        read_end(connection)


MANNERS = (as_it_is, byte_by_byte, in_one_piece)


def failures(server, cases):
    """(case, manner, what went wrong) of every case that is not as its row says."""
    for case in cases:
        for manner in MANNERS:
            try:
                manner(server, case)
            except AssertionError as error:
                yield case, manner.__name__, str(error)
