"""Many clients at once: what each asked, when, and what it was told."""

import collections
import threading
import time

from support.wire import Client, Closed

Told = collections.namedtuple("Told", "coupon user key sent_at answered_at status code body")
Unanswered = collections.namedtuple("Unanswered", "coupon user key sent_at sent_by received error")

JOIN_TIMEOUT_S = 240


def in_parallel(count, work):
    """Calls work(0) … work(count - 1) in threads that begin together; their results."""
    barrier = threading.Barrier(count)
    results, errors = [None] * count, []

    def body(index):
        try:
            barrier.wait(JOIN_TIMEOUT_S)
            results[index] = work(index)
        except BaseException as error:  # told to the test below
            errors.append(error)

    threads = [threading.Thread(target=body, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_TIMEOUT_S)
        assert not thread.is_alive(), "a client hangs"
    if errors:
        raise errors[0]
    return results


def ask(client, coupon, user, key=None):
    """A claim as a Told. Raises what Client.claim raises."""
    sent_at = time.monotonic_ns()
    response = client.claim(coupon, user, key)
    return told(coupon, user, key, sent_at, response)


def told(coupon, user, key, sent_at, response):
    answered_at = time.monotonic_ns()
    body = response.json()
    code = body["code"] if response.status >= 400 else None
    return Told(coupon, user, key, sent_at, answered_at, response.status, code, body)


class Load:
    """Threads that claim, one request after another, until there is nothing left to ask, the
    load is ended, or the server is gone.

    `asks` yields (coupon, user, key); each is asked once. A request without a whole answer
    becomes an Unanswered; its thread then goes on with a new connection while `reconnect`
    holds, and ends when the server cannot be reached.
    """

    def __init__(self, address, asks, threads, reconnect=False):
        self.address = address
        self.told = []
        self.unanswered = []
        self.reconnect = reconnect
        self._asks = iter(asks)
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._ending = False
        self._errors = []
        self._threads = [threading.Thread(target=self._guarded) for _ in range(threads)]
        self._left = threads

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def wait_answers(self, count):
        """Until so many answers came, or every thread has ended."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: len(self.told) >= count or self._left == 0, JOIN_TIMEOUT_S)
        assert done, "only %d answers" % len(self.told)

    def end(self):
        """No new requests; waits for the answers that are out."""
        self._ending = True
        return self.join()

    def join(self):
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)
            assert not thread.is_alive(), "a client hangs"
        if self._errors:
            raise self._errors[0]
        return self

    def won(self):
        return [one for one in self.told if one.status == 201]

    def _next(self):
        with self._lock:
            return None if self._ending else next(self._asks, None)

    def _guarded(self):
        try:
            self._work()
        except BaseException as error:  # told to the test by join()
            self._errors.append(error)
        finally:
            with self._changed:
                self._left -= 1
                self._changed.notify_all()

    def _work(self):
        client = Client(self.address)
        while True:
            asked = self._next()
            if asked is None:
                break
            sent_at = time.monotonic_ns()
            try:
                one = ask(client, *asked)
            except (Closed, OSError) as error:
                received = error.received if isinstance(error, Closed) else b""
                self.unanswered.append(Unanswered(*asked, sent_at, client.sent_by, received, error))
                client.close()
                if not self.reconnect or isinstance(error, ConnectionRefusedError):
                    break
                continue
            with self._changed:
                self.told.append(one)
                self._changed.notify_all()
        client.close()


def assert_order_kept(won):
    """I4: who was told before another asked has the lower rank."""
    earliest = None  # the first answer among the higher ranks
    for one in sorted(won, key=lambda one: one.body["rank"], reverse=True):
        if earliest is not None:
            assert earliest.answered_at >= one.sent_at, (
                "rank %d was told before rank %d was asked for"
                % (earliest.body["rank"], one.body["rank"]))
        if earliest is None or one.answered_at < earliest.answered_at:
            earliest = one


def assert_sold_out_is_true(answers, total):
    """I6: nobody wins a request that was sent after a "sold out" was told."""
    sold_out = [one.answered_at for one in answers if one.code == "sold-out"]
    won = [one for one in answers if one.status == 201]
    if sold_out:
        assert len(won) == total
        assert max(one.sent_at for one in won) <= min(sold_out)
