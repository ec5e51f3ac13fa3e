"""A crowd of many connections that keeps every answer, and goes on whatever happens to the nodes.

For: the fault cases. One thread with a loop; the case that makes the faults waits for counts of
what was answered. Not for: single calls (tests/e2e/support/wire.py).

Each ask is made again only where a client is told to: an answer with Retry-After that is no 202,
after that time; and one without an answer, at the other node, with the same Idempotency-Key.
"""

import asyncio
import collections
import json
import threading
import time

# What was answered; times are monotonic seconds. `status` 0: the connection was lost; -1: no answer
# came for as long as a patient client waits, and it hung up.
Told = collections.namedtuple("Told", "user key sent_at answered_at status code rank place node")

PATIENCE_S = 20
RECONNECT_S = 0.05
RETRIES_END_S = 120  # after which nobody asks again
JOIN_TIMEOUT_S = 300


class Ask:
    __slots__ = ("user", "key", "request")

    def __init__(self, coupon, user, key, respond_async):
        self.user, self.key = user, key
        body = '{"userId":"%s"}' % user
        self.request = (
            "POST /v1/coupons/%d/issues HTTP/1.1\r\nHost: coupon.test\r\n"
            "Content-Type: application/json\r\nIdempotency-Key: %s\r\n%sContent-Length: %d\r\n\r\n%s"
            % (coupon, key, "Prefer: respond-async\r\n" if respond_async else "", len(body), body)
        ).encode()


class Connection(asyncio.Protocol):
    """One request after the other; a new one takes its place when it is lost."""

    def __init__(self, crowd, node):
        self.crowd, self.node = crowd, node
        self.ask = self.transport = None
        self.sent_at = 0
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport
        self.crowd.connections.add(self)
        self.next()

    def next(self):
        self.ask = self.crowd.take()
        if self.ask is None:
            self.crowd.idle.append(self)
            return
        self.sent_at = time.monotonic()
        self.transport.write(self.ask.request)

    def data_received(self, data):
        self.received += data
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.received[:end].decode("latin-1")
        fields = {}
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        size = end + 4 + int(fields["content-length"])
        if len(self.received) < size:
            return
        body, self.received = self.received[end + 4:size], self.received[size:]
        ask, self.ask = self.ask, None
        self.crowd.answered(self, ask, int(head[9:12]), fields, json.loads(body))
        if fields.get("connection", "").lower() == "close":
            self.transport.close()
        else:
            self.next()

    def connection_lost(self, _):
        self.crowd.connections.discard(self)
        if self in self.crowd.idle:
            self.crowd.idle.remove(self)
        if self.ask:
            self.crowd.unanswered(self, self.ask, 0)
            self.ask = None
        self.crowd.reconnect(1 - self.node)


class Crowd:
    def __init__(self, ports, asks, connections):
        """`ports`: of the two nodes. `asks`: all there is to ask, in order."""
        self.ports = ports
        self.asks = collections.deque(asks)
        self.connection_count = connections
        self.told = []
        self.given_up = []          # asks that were told to come again when it was over
        self.counts = collections.Counter()  # by status, and by code
        self.first_sold_out = threading.Event()
        self.over = threading.Event()
        self.ended_by = None        # an exception of the thread
        self.connections, self.idle = set(), []
        self.left = len(self.asks)
        self._changed = threading.Condition()
        self._loop = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    # ---- for the case, any thread ----

    def start(self):
        self.started_at = time.monotonic()
        self._thread.start()

    def wait_for(self, question, what):
        """Until question() is true, or the crowd is over."""
        with self._changed:
            done = self._changed.wait_for(lambda: question() or self.over.is_set(),
                                          JOIN_TIMEOUT_S)
        assert done and question(), f"{what} never came: {dict(self.counts)}"

    def wait_wins(self, count):
        self.wait_for(lambda: self.counts[201] >= count, f"{count} answers of 201")

    def wait_answers(self, count):
        self.wait_for(lambda: len(self.told) >= count, f"{count} answers")

    def wait_code(self, code, more):
        """Until so many more answers have this code."""
        wanted = self.counts[code] + more
        self.wait_for(lambda: self.counts[code] >= wanted, f"{more} answers of {code}")

    def join(self):
        assert self.over.wait(JOIN_TIMEOUT_S), "the crowd never ended"
        if self.ended_by:
            raise self.ended_by

    # ---- its thread ----

    def _run(self):
        try:
            asyncio.run(self._main())
        except BaseException as error:  # told by join()
            self.ended_by = error
        finally:
            self.over.set()
            with self._changed:
                self._changed.notify_all()

    async def _main(self):
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._failed)
        self._end = self._loop.create_future()
        for number in range(self.connection_count):
            self.reconnect(number % len(self.ports), 0)
        while not self._end.done():
            await asyncio.wait([self._end], timeout=0.1)
            self._look()
        for connection in list(self.connections):
            connection.transport.abort()
        self._end.result()

    def _failed(self, _, context):
        if not self._end.done():
            self._end.set_exception(context.get("exception") or RuntimeError(context["message"]))

    def _look(self):
        """Hangs up on those that wait too long; wakes whoever waits for counts."""
        now = time.monotonic()
        for connection in list(self.connections):
            if connection.ask and now - connection.sent_at > PATIENCE_S:
                ask, connection.ask = connection.ask, None
                self.unanswered(connection, ask, -1)
                connection.transport.abort()
        with self._changed:
            self._changed.notify_all()

    def reconnect(self, node, after_s=RECONNECT_S):
        if not self._end.done():
            self._loop.call_later(after_s, lambda: self._loop.create_task(self._connect(node)))

    async def _connect(self, node):
        try:
            await self._loop.create_connection(lambda: Connection(self, node), "127.0.0.1",
                                               self.ports[node])
        except OSError:
            self.reconnect(1 - node)

    def take(self):
        return self.asks.popleft() if self.asks else None

    def _put_back(self, ask):
        self.asks.append(ask)
        if self.idle:
            self.idle.pop().next()

    def _again(self, ask, after_s):
        if time.monotonic() - self.started_at > RETRIES_END_S:
            self.given_up.append(ask)
            self._done()
        else:
            self._loop.call_later(after_s, self._put_back, ask)

    def _done(self):
        self.left -= 1
        if self.left == 0 and not self._end.done():
            self._end.set_result(None)

    def _keep(self, connection, ask, status, code=None, rank=None, place=None):
        self.told.append(Told(ask.user, ask.key, connection.sent_at, time.monotonic(), status,
                              code, rank, place, connection.node))
        self.counts[status] += 1
        if code:
            self.counts[code] += 1
        if status == 201 or status >= 500:  # what cases wait for
            with self._changed:
                self._changed.notify_all()

    def answered(self, connection, ask, status, fields, body):
        code = body.get("code")
        rank = body.get("rank") or body.get("issue", {}).get("rank")
        self._keep(connection, ask, status, code, rank,
                   fields.get("location") if status == 202 else None)
        if code == "sold-out":
            self.first_sold_out.set()
        if status >= 400 and "retry-after" in fields:
            self._again(ask, int(fields["retry-after"]))
        else:
            self._done()

    def unanswered(self, connection, ask, status):
        self._keep(connection, ask, status)
        self._again(ask, 0)
