"""A server that answers 200 to whatever it is asked and keeps every request as it came: what a proxy
makes of a client's bytes. Reads only what a proxy writes; not for clients of doubtful manners.
"""

import contextlib
import socket
import threading

BODY_MAX = 1 << 24
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%s"


class Gone(Exception):
    """The proxy closed the connection, or wants more than an origin would take."""


class Reader:
    def __init__(self, connection):
        self.socket = connection
        self.bytes = b""

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Gone
        self.bytes += data

    def until(self, end):
        while end not in self.bytes:
            self._more()
        part, self.bytes = self.bytes.split(end, 1)
        return part

    def exactly(self, size):
        while len(self.bytes) < size:
            self._more()
        part, self.bytes = self.bytes[:size], self.bytes[size:]
        return part

    def chunked(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.until(b"\r\n"):
                    pass  # a trailer
                return body
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"


class Origin:
    """`requests`: (request line, fields, body) of each that came whole, in order."""

    def __init__(self):
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(Gone, ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = Reader(connection)
            while True:
                line, *fields = reader.until(b"\r\n\r\n").split(b"\r\n")
                named = {name.lower(): value.strip()
                         for name, _, value in (field.partition(b":") for field in fields)}
                self.requests.append((line, fields, self._body(reader, named)))
                connection.sendall(ANSWER % (b"" if line.startswith(b"HEAD ") else b"yes"))

    @staticmethod
    def _body(reader, named):
        if b"transfer-encoding" in named:  # haproxy passes "chunked," on as it is
            return reader.chunked()
        size = int(named.get(b"content-length", b"0"))
        if size > BODY_MAX:  # haproxy passes 2^64 on
            raise Gone
        return reader.exactly(size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
