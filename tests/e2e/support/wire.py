"""HTTP/1.1 over a plain socket, told exactly as it came.

Not a general client: it sends what it is given, byte by byte if need be, reads answers
strictly (a server of ours has no excuse), and says how a connection ended.
"""

import json
import re
import socket
import time

TIMEOUT_S = 30
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\x20-\x7e]*)\Z")
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e]*)\Z")


class Closed(Exception):
    """The connection ended before a whole answer; `received` are the bytes that did come."""

    def __init__(self, received, reset):
        super().__init__("%s after %r" % ("reset" if reset else "closed", received))
        self.received = received
        self.reset = reset


class Response:
    """An answer as it came: status, fields in order, body."""

    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def field(self, name):
        """The value of a field that occurs at most once; None when it does not."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, "%s occurs %d times" % (name, len(values))
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code, or None for an answer that is no problem."""
        if self.field("Content-Type") != "application/problem+json":
            return None
        return self.json()["code"]

    @property
    def closes(self):
        return (self.field("Connection") or "").lower() == "close"

    def __repr__(self):
        return "<%d %r %r>" % (self.status, self.fields, self.body)


def parse_head(block):
    lines = block.split(b"\r\n")
    first = STATUS_LINE.match(lines[0])
    assert first, "status line %r" % lines[0]
    fields = []
    for line in lines[1:]:
        match = FIELD_LINE.match(line)
        assert match, "field line %r" % line
        fields.append((match.group(1).decode(), match.group(2).decode()))
    return int(first.group(1)), fields


class Connection:
    """One TCP connection; `address` is (host, port)."""

    def __init__(self, address, timeout_s=TIMEOUT_S):
        self.socket = socket.create_connection(address, timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_what_it_takes(self, data):
        """Sends to a peer that may have refused and closed already; its answer counts."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            raise Closed(bytes(self.received), True) from None
        if not data:
            raise Closed(bytes(self.received), False)
        self.received += data

    def read(self, to_head=False):
        """The next answer, interim ones included; `to_head` when it answers a HEAD."""
        end = self.received.find(b"\r\n\r\n")
        while end < 0:
            assert len(self.received) < 65536, "endless head"
            self._more()
            end = self.received.find(b"\r\n\r\n")
        status, fields = parse_head(bytes(self.received[:end]))
        response = Response(status, fields, b"")
        if status < 200:
            del self.received[: end + 4]
            return response
        assert response.field("Transfer-Encoding") is None
        assert response.field("Date"), "no Date"
        length = response.field("Content-Length")
        assert length is not None and length.isdigit(), "Content-Length %r" % length
        size = 0 if to_head else int(length)
        while len(self.received) < end + 4 + size:
            self._more()
        response.body = bytes(self.received[end + 4 : end + 4 + size])
        del self.received[: end + 4 + size]
        return response

    def rest(self):
        """All bytes until the peer closes; Closed when it resets instead."""
        while True:
            try:
                self._more()
            except Closed as closed:
                if closed.reset:
                    raise
                rest = bytes(self.received)
                self.received.clear()
                return rest

    def is_quiet(self, for_s):
        """Whether nothing comes, and no end either, for this long."""
        assert not self.received
        self.socket.settimeout(for_s)
        try:
            self._more()
        except socket.timeout:
            return True
        except Closed:
            return False
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return False


def request_bytes(method, target, body=None, fields=(), host="coupon.test", version="HTTP/1.1"):
    lines = ["%s %s %s" % (method, target, version), "Host: %s" % host]
    lines += ["%s: %s" % field for field in fields]
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Client:
    """Keep-alive calls on one connection, opened when needed and when the server closed it."""

    def __init__(self, address, token=None):
        self.address = address
        self.token = token
        self.connection = None
        self.sent_by = None  # monotonic nanoseconds: when the last request was all sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self):
        if not self.connection:
            self.connection = Connection(self.address)

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def send(self, method, target, value=None, body=None, fields=(), token=None,
             media_type="application/json"):
        """Sends without reading; `value` is sent as JSON, `body` as it is."""
        fields = list(fields)
        if value is not None:
            body = json.dumps(value, separators=(",", ":")).encode()
        if body is not None and media_type:
            fields.append(("Content-Type", media_type))
        token = self.token if token is None else token
        if token:
            fields.append(("Authorization", "Bearer " + token))
        self.connect()
        self.connection.send(request_bytes(method, target, body, fields))

    def call(self, method, target, value=None, **rest):
        """One request and its whole answer; raises Closed when there is none."""
        self.sent_by = None
        self.connect()
        try:
            self.send(method, target, value, **rest)
            self.sent_by = time.monotonic_ns()
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent: the answer tells
        try:
            response = self.connection.read(to_head=method == "HEAD")
        except Closed:
            self.close()
            raise
        if response.closes:
            try:
                assert self.connection.rest() == b"", "bytes after the last answer"
            except Closed as closed:
                raise AssertionError("reset after the answer %r" % response) from closed
            self.close()
        return response

    def get(self, target, **rest):
        return self.call("GET", target, **rest)

    def post(self, target, value=None, **rest):
        return self.call("POST", target, value, **rest)

    def patch(self, target, value=None, **rest):
        return self.call("PATCH", target, value, **rest)

    def claim(self, coupon, user, key=None):
        fields = [("Idempotency-Key", key)] if key is not None else []
        return self.post("/v1/coupons/%s/issues" % coupon, {"userId": user}, fields=fields)
