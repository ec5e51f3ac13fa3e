"""The proxy in front of several nodes (deploy/proxy/coupon.conf, in a real nginx): what it does
with a call whose node goes away, and that it keeps connections."""

import contextlib
import socketserver
import threading

import pytest

from servers.nginx import Nginx
from servers.process import free_port
from support import check
from support.server import Server
from support.wire import Client

CLAIM = "/v1/coupons/1/issues"
ANSWER = (b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
          b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


class Peer(socketserver.ThreadingTCPServer):
    """Takes calls on a port and keeps count; answers them, or hangs up without an answer."""
    daemon_threads = True

    def __init__(self, answers):
        self.calls, self.connections, self.lock = [], 0, threading.Lock()

        class Handler(socketserver.StreamRequestHandler):
            def handle(handler):
                with self.lock:
                    self.connections += 1
                while self.take(handler.rfile) and answers:
                    handler.wfile.write(ANSWER)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self, stream):
        """Reads a call whole. Whether there was one."""
        first, size = stream.readline(), 0
        for line in iter(stream.readline, b"\r\n"):
            if not line:
                return False
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                size = int(value)
        stream.read(size)
        with self.lock:
            self.calls.append(first.split()[0].decode())
        return True

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server_address[1]

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


@pytest.fixture
def proxy():
    """Starts an nginx in front of these addresses; a client of it."""
    if Nginx.missing():
        pytest.skip(f"NOT TESTED: the proxy; {Nginx.missing()}")
    with contextlib.ExitStack() as stack:
        def start(*addresses):
            server = stack.enter_context(Nginx(addresses))
            server.start()
            return stack.enter_context(Client(("127.0.0.1", server.port)))
        yield start


def nobody():
    """An address that refuses connections."""
    return "127.0.0.1:%d" % free_port()


def status(client, method):
    """nginx's own answers have no form of ours: only their status counts."""
    with Client(client.address) as one:
        value = {"userId": "a"} if method != "GET" else None
        return one.call(method, CLAIM, value).status


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_change_that_was_sent_and_not_answered_is_not_sent_again(proxy, method):
    with Peer(answers=False) as one, Peer(answers=False) as other:
        client = proxy(one.address, other.address)
        assert status(client, method) == 502
        assert one.calls + other.calls == [method]


def test_a_reading_that_was_not_answered_is_asked_of_another_node(proxy):
    with Peer(answers=False) as dead, Peer(answers=True) as alive:
        client = proxy(dead.address, alive.address)
        assert [status(client, "GET") for _ in range(4)] == [200] * 4
        assert "GET" in dead.calls and len(alive.calls) == 4


@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
def test_a_node_that_refuses_connections_is_passed_over(proxy, method):
    with Peer(answers=True) as alive:
        client = proxy(nobody(), nobody(), alive.address)
        assert [status(client, method) for _ in range(20)] == [200] * 20
        assert alive.calls == [method] * 20


def test_connections_to_a_node_are_kept(proxy):
    with Peer(answers=True) as node:
        client = proxy(node.address)
        for _ in range(50):
            assert client.post(CLAIM, {"userId": "a"}).status == 200
        assert len(node.calls) == 50 and node.connections == 1


def test_a_node_gets_a_call_once_it_is_whole(proxy):
    with Peer(answers=True) as node:
        client = proxy(node.address)
        with Client(client.address) as slow:
            slow.connect()
            slow.connection.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
                                 % CLAIM.encode())
            assert client.get(CLAIM).status == 200
            assert node.calls == ["GET"]
            slow.connection.send(b"cd")
            assert slow.connection.read().status == 200
        assert node.calls == ["GET", "POST"]


def test_answers_of_a_node_come_through_as_they_are(proxy, tmp_path):
    server = Server(str(tmp_path / "data")).start()
    try:
        client = proxy("%s:%d" % server.address)
        client.token = server.token
        made = check.new_coupon(client, total=2)
        issue = check.issued(client.claim(made["id"], "alice", "key"))
        assert check.issued(client.claim(made["id"], "alice", "key"), replayed=True) == issue
        check.already_issued(client.claim(made["id"], "alice"), issue)
        check.issued(client.claim(made["id"], "bob"))
        check.problem(client.claim(made["id"], "carol"), 409, "sold-out")
        check.problem(client.claim(made["id"], ""), 422, "invalid-value", "userId")
        users = {"userIds": ["user-%d-%s" % (i, "x" * 100) for i in range(10000)]}
        results = check.success(client.post("/v1/coupons/%d/issues:batch" % made["id"], users))
        assert {one["result"] for one in results["results"]} == {"sold-out"}
        large = b'{"userIds":["a"]' + b" " * (2 << 20) + b"}"
        refused = client.post("/v1/coupons/%d/issues:batch" % made["id"], None, body=large)
        assert refused.status == 413  # in nginx's words
    finally:
        server.end()
