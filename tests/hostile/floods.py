"""Floods against the real server, each beside an honest client who must not notice: more connections
than it takes, connections that stop halfway, bytes one by one, answers nobody reads, resets at every
moment, requests without an end, no descriptors left.

Function only: what a crowd costs in time is measured by slow.py. `scale` multiplies the crowds; 1 is
what the tests do. A flood returns its figures and raises AssertionError. Called by run.py and
test_floods.py.
"""

import resource
import socket
import threading
import time

from cases.case import PLAIN_GET
from stage import MIB, Stage, claim_of, reset
from support import check
from support.wire import TIMEOUT_S, Closed, Connection, request_bytes

READ_ALL = request_bytes("GET", "/openapi.json")


def beyond_the_limit(scale):
    """Ten times more connections than are allowed: the surplus is told 503 or closed, whoever is inside
    is served, and a free seat is taken."""
    seats = 64
    told, closed = 0, 0
    with Stage("--connections", seats, patient=True) as stage:
        for _ in range(int(10 * seats * scale)):
            stage.connect()
        for connection in stage.held:
            connection.send_what_it_takes(PLAIN_GET)
        for connection in stage.held:
            try:
                response = connection.read()
            except Closed:
                closed += 1
                continue
            if response.status != 200:
                check.problem(response, 503, "overloaded", closes=True)
                told += 1
        served = len(stage.held) - told - closed
        # The honest client may have had a seat, and gives it back between its connections.
        assert seats - 1 <= served <= len(stage.held) - 1, served
        assert told > 0, "nobody was told why"
        stage.figures.update(connections=len(stage.held), served=served, told=told, closed=closed)
    return stage.figures


def idle_keep_alives(scale):
    """Many connections that asked once and stay: each costs the server little memory."""
    with Stage() as stage:
        before = stage.memory()
        for connection in stage.connect_many(int(500 * scale)):
            connection.send(PLAIN_GET)
            assert connection.read().status == 200
        grown = stage.memory() - before
        assert grown < 4 * MIB + 8192 * len(stage.held), "%d bytes" % grown
        for connection in stage.held[::7]:
            connection.send(claim_of(stage, "idle"))
            assert connection.read().status in (201, 409)
        stage.figures.update(connections=len(stage.held),
                             bytes_a_connection=max(0, grown) // len(stage.held))
    return stage.figures


def half_closed(scale):
    """Clients that say no more but would still listen: at once, within a head, within a body, after a
    request. Each is answered as far as there is an answer, and ended."""
    with Stage() as stage:
        claim = claim_of(stage, "half")
        kinds = [(b"", None), (b"GET /hea", None), (claim[:-1], 400), (PLAIN_GET, 200),
                 (claim, (201, 409)), (claim * 3, (201, 409))]
        for _ in range(int(40 * scale)):
            for data, _ in kinds:
                connection = stage.connect()
                connection.send(data)
                connection.finish_sending()
        for index, connection in enumerate(stage.held):
            data, expected = kinds[index % len(kinds)]
            for _ in range(3 if data == claim * 3 else 1 if expected else 0):
                status = connection.read().status
                assert status in expected if isinstance(expected, tuple) else status == expected
            assert connection.rest() == b""
        stage.figures.update(connections=len(stage.held))
    return stage.figures


def bytes_one_by_one(scale):
    """Claims that come a byte a packet over many connections at once, and an answer of 68 KB that is
    read a byte at a time through the smallest window."""
    with Stage() as stage:
        crowd = stage.connect_many(int(100 * scale))
        claims = [claim_of(stage, "slow-%05d" % index) for index in range(len(crowd))]
        for at in range(len(claims[0])):
            for connection, claim in zip(crowd, claims):
                connection.send(claim[at : at + 1])
        for connection in crowd:
            check.issued(connection.read())
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            reader.settimeout(TIMEOUT_S)
            reader.connect(stage.server.address)
            reader.sendall(request_bytes("GET", "/openapi.json", fields=[("Connection", "close")]))
            received = bytearray()
            while byte := reader.recv(1):
                received += byte
        body = bytes(received).partition(b"\r\n\r\n")[2]
        with stage.server.client() as client:
            assert client.get("/openapi.json").body == body
        stage.figures.update(connections=len(crowd), bytes_read_one_by_one=len(received))
    return stage.figures


def deep_pipeline(scale):
    """Thousands of claims and questions on one connection, all sent before the first answer is read:
    answered in order, and none twice."""
    count = int(1000 * scale)
    with Stage() as stage:
        connection = stage.connect()
        data = b"".join(claim_of(stage, "deep-%d" % index) + PLAIN_GET for index in range(count))
        sender = threading.Thread(target=connection.send, args=(data,))
        sender.start()
        last = 0
        for index in range(count):
            issue = check.issued(connection.read())
            assert issue["userId"] == "deep-%d" % index and issue["rank"] > last
            last = issue["rank"]
            assert connection.read().status == 200
        sender.join()
        assert connection.is_quiet(0.01)
        stage.figures.update(requests=2 * count)
    return stage.figures


def fill(connection, data):
    """Sends the data again and again until the server takes no more. Returns the bytes it took."""
    connection.socket.settimeout(0.02)
    taken, patience = 0, 2
    while patience:
        try:
            taken += connection.socket.send(data)
        except TimeoutError:
            patience -= 1
        except (BrokenPipeError, ConnectionResetError):
            break
    connection.socket.settimeout(TIMEOUT_S)
    return taken


def reader_that_never_reads(scale):
    """Connections that ask for 68 KB again and again and read nothing: the server stops reading them,
    and what it and the kernel keep for each is bounded. A kernel that keeps megabytes of thousands
    runs out of memory for TCP, and then everybody on the machine waits."""
    with Stage() as stage:
        before = stage.memory()
        crowd = stage.connect_many(int(20 * scale))
        for connection in crowd:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taken = [fill(connection, READ_ALL * 50) for connection in crowd]
        grown = stage.memory() - before
        unread = stage.unread_most()
        assert unread < 256 * 1024, "the kernel keeps %d bytes of one connection" % unread
        # A reply, the replies that leave with it, and the pipelined input; and the loops' own buffers.
        assert grown < 8 * MIB + 384 * 1024 * len(crowd), "%d bytes" % grown
        for connection in crowd[::2]:
            reset(connection)
        stage.figures.update(connections=len(crowd), bytes_asked=max(taken), bytes_kept=max(0, grown),
                             kernel_keeps_at_most=unread)
    return stage.figures


def resets(scale):
    """A reset after every byte of a claim, and after the whole of it, before its answer is read: no
    connection is left behind, and nobody else notices."""
    with Stage() as stage:
        claim = claim_of(stage, "reset", b"Transfer-Encoding-Not: x")
        count = 0
        for _ in range(max(1, int(scale))):
            for cut in range(len(claim) + 1):
                for data in (claim[:cut], PLAIN_GET + claim[:cut]):
                    connection = Connection(stage.server.address)
                    connection.send(data)
                    reset(connection)
                    count += 1
            for _ in range(50):
                connection = Connection(stage.server.address)
                connection.send(READ_ALL * 20)
                connection.socket.recv(100)
                reset(connection)
                count += 1
        stage.figures.update(resets=count)
    return stage.figures


ENDLESS = {
    # what begins it, what goes on for ever, the answer
    "a method": (b"", b"G", 431),
    "a target": (b"GET /", b"x", 431),
    "a value": (PLAIN_GET[:-2] + b"A: ", b"b", 431),
    "fields": (PLAIN_GET[:-2], b"A: b\r\n", 431),
    "empty lines": (b"", b"\r\n", 400),
    "an extension": (b"POST /v1/issue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n1;", b"a", 400),
    "trailers": (b"POST /v1/issue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n", 400),
    "chunks": (b"POST /v1/issue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 413),
    "zeros of a length": (b"POST /v1/issue HTTP/1.1\r\nHost: x\r\nContent-Length: ", b"0", 431),
    "a body": (b"POST /v1/issue HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               b"Content-Length: 9999999999\r\n\r\n", b" ", 413),
}
TAKEN_MAX = 16 * MIB  # mostly what the kernels of both ends keep


def without_an_end(scale):
    """Heads, chunks, trailers and bodies that never end: refused once they are too large, and cut off
    when they go on."""
    most = 0
    with Stage() as stage:
        for _ in range(max(1, int(scale))):
            for name, (begin, more, status) in ENDLESS.items():
                connection = stage.connect()
                connection.send(begin)
                piece = more * (65536 // len(more))
                taken = 0
                try:
                    while taken < TAKEN_MAX:
                        taken += connection.socket.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                assert taken < TAKEN_MAX, "%s: %d bytes were taken" % (name, taken)
                most = max(most, taken)
                try:  # the answer is read where the reset did not overtake it
                    assert connection.read().status == status, name
                except Closed as closed:
                    assert closed.reset, name
        stage.figures.update(connections=len(stage.held), bytes_taken_at_most=most)
    return stage.figures


def lingering(scale):
    """Clients that are refused and never close: they are let go after two seconds."""
    with Stage() as stage:
        for connection in stage.connect_many(int(100 * scale)):
            connection.send(b"\0")
            check.problem(connection.read(), 400, "malformed-http", closes=True)
        began = time.monotonic()
        stage.honest.stop()
        stage.settles()
        took_s = time.monotonic() - began
        assert took_s < 5, "%.1f s" % took_s
        stage.figures.update(connections=len(stage.held), seconds=round(took_s, 1))
    return stage.figures


def few_descriptors(scale):
    """Started with a low limit of open files: it says so, takes fewer connections and refuses the rest
    politely."""
    room = 40
    with Stage(under=["prlimit", "--nofile=%d:%d" % (128 + room, 128 + room)],
               patient=True) as stage:
        said = stage.server.events("connections-limited")
        assert said and said[0]["connections"] == str(room), stage.server.log()
        answers = crowd_that_asks(stage, int(200 * scale))
        assert answers[200] >= room - 1 and answers[503] > 0, answers
        stage.figures.update(connections=len(stage.held), served=answers[200], told=answers[503])
    return stage.figures


def no_descriptors(scale):
    """The limit falls while it serves, so that not one more can be opened: who is there is served, who
    comes waits, and when there are descriptors again everybody is served."""
    with Stage("--threads", 2) as stage:
        inside = [stage.connect() for _ in range(8)]  # on both loops, as good as certainly
        pid = stage.server.process.pid
        former = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        for connection in inside:
            connection.send(PLAIN_GET)
            assert connection.read().status == 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (8, former[1]))
        try:
            waiting = stage.connect_many(int(200 * scale))
            for connection in waiting:
                connection.send(PLAIN_GET)
            for connection in inside * 5:
                connection.send(PLAIN_GET)
                assert connection.read().status == 200
            assert waiting[0].is_quiet(0.05) and waiting[-1].is_quiet(0.05)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, former)
        for connection in waiting:
            assert connection.read().status == 200
        stage.figures.update(connections=len(stage.held))
    return stage.figures


def crowd_that_asks(stage, count):
    """So many connections, each with a request: how many got which status."""
    crowd = stage.connect_many(count)
    answers = {200: 0, 503: 0, None: 0}  # None: closed unheard
    for connection in crowd:
        connection.send_what_it_takes(PLAIN_GET)
    for connection in crowd:
        try:
            answers[connection.read().status] += 1
        except Closed:
            answers[None] += 1
    return answers


FLOODS = {flood.__name__.replace("_", "-"): flood for flood in (
    beyond_the_limit, idle_keep_alives, half_closed, bytes_one_by_one, deep_pipeline,
    reader_that_never_reads, resets, without_an_end, lingering, few_descriptors, no_descriptors)}
LONG = {"lingering"}  # waits for a deadline; not in the tests
