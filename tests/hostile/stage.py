"""What every flood and every slow crowd has: a server of its own, an honest client beside them, and the
judgement at the end: the server is there, gives its connections back, and its record holds what the
honest client was told."""

import contextlib
import re
import resource
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

from support import check
from support.server import Server, verify
from support.wire import Client, Closed, Connection

SETTLE_TIMEOUT_S = 30
JOIN_TIMEOUT_S = 60
OPEN = re.compile(rb"^coupon_http_connections_open (\d+)$", re.MULTILINE)
MIB = 1 << 20


class Honest(threading.Thread):
    """Claims one coupon after another for new users, ten on a connection, until it is stopped.
    `patient`: being told to come again, or turned away unheard, is no failure."""

    def __init__(self, server, coupon, patient):
        super().__init__(daemon=True)
        self.server = server
        self.coupon = coupon
        self.patient = patient
        self.stopping = threading.Event()
        self.won = []
        self.turned_away = 0
        self.longest_s = 0.0
        self.error = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self._ten()
        except BaseException as error:  # told by the thread that waits
            self.error = error

    def _ten(self):
        with self.server.client() as client:
            for _ in range(10):
                user = "honest-%d" % len(self.won)
                began = time.monotonic()
                try:
                    response = client.claim(self.coupon, user)
                except (Closed, OSError):
                    assert self.patient, "turned away unheard"
                    self.turned_away += 1
                    return
                if response.status == 503 and self.patient:
                    check.problem(response, 503, "overloaded")
                    self.turned_away += 1
                    return
                assert response.status in (201, 409), response
                if response.status == 201:
                    check.issued(response)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                self.won.append(user)

    def stop(self):
        self.stopping.set()
        self.join(JOIN_TIMEOUT_S)
        assert not self.is_alive(), "the honest client hangs"
        if self.error:
            raise self.error


class Stage:
    """`with Stage("--connections", 64) as stage:` starts all of it and judges it at the end."""

    def __init__(self, *flags, patient=False, **how):
        self.folder = tempfile.TemporaryDirectory(prefix="coupon-hostile-")
        self.server = Server(str(Path(self.folder.name) / "data"), *flags, **how)
        self.patient = patient
        self.held = []
        self.figures = {}
        self.coupon = None
        self.honest = None

    def __enter__(self):
        try:
            self.server.start()
            with self.server.admin() as admin:
                self.coupon = check.new_coupon(admin, total=None)["id"]
            self.honest = Honest(self.server, self.coupon, self.patient)
            self.honest.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self._judge()
        finally:
            self._end()

    def _judge(self):
        self.honest.stop()
        assert self.honest.won or self.patient, "the honest client got nothing"
        self.drop_all()
        self.settles()
        with self.server.client() as client:  # no patience is needed any more
            check.issued(client.claim(self.coupon, "last"))
        self.server.stop()
        assert verify(self.server.data).returncode == 0
        self.figures.update(honest_claims=len(self.honest.won),
                            honest_longest_ms=round(self.honest.longest_s * 1000, 1))
        if self.patient:
            self.figures.update(honest_turned_away=self.honest.turned_away)

    def _end(self):
        self.drop_all()
        if self.honest:
            self.honest.stopping.set()
        self.server.end()
        self.folder.cleanup()

    # ---- the crowd ----

    def connect(self, **how):
        """A connection that is held until it is dropped."""
        self.held.append(Connection(self.server.address, **how))
        return self.held[-1]

    def connect_many(self, count, **how):
        return [self.connect(**how) for _ in range(count)]

    def drop_all(self):
        while self.held:
            self.held.pop().close()

    # ---- the server, looked at ----

    def connections_open(self):
        with self.server.client() as client:
            return int(OPEN.search(client.get("/metrics").body).group(1))

    def settles(self, at_most=1):
        """Waits until no more connections are open than the one that asks."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        count = None
        while time.monotonic() < deadline:
            with contextlib.suppress(Closed, OSError, AttributeError):  # turned away; a 503
                count = self.connections_open()
                if count <= at_most:
                    return
        raise AssertionError("%s connections are still open" % count)

    def memory(self):
        """Bytes that are resident."""
        text = Path("/proc/%d/status" % self.server.process.pid).read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE).group(1)) * 1024

    def unread_most(self):
        """Bytes that the kernel keeps of answers on one connection, on that with the most."""
        port = "%04X" % self.server.address[1]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return max(int(row[4].partition(":")[0], 16) for row in rows if row[1].endswith(":" + port))


def reset(connection):
    """Ends the connection with a reset instead of an end."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def claim_of(stage, user, *fields):
    body = b'{"userId":"%s"}' % user.encode()
    lines = [b"POST /v1/coupons/%d/issues HTTP/1.1" % stage.coupon, b"Host: x",
             b"Content-Type: application/json", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def client_of(stage):
    return Client(stage.server.address)


def raise_descriptor_limit(wanted):
    """For our own sockets. Returns how many may be open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
