"""Redis servers, and a client that uses them: BUILD/tests/contract/contract-redis-driver, which
lies beside the one that COUPON_CONTRACT_DRIVER names."""

import itertools
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

from servers import Redis, RedisCluster  # noqa: E402

DRIVER = Path(os.environ.get("COUPON_CONTRACT_DRIVER",
                             ROOT / "build/debug/tests/contract/contract-driver")
              ).with_name("contract-redis-driver")
ANSWER_TIMEOUT_S = 120


class Client:
    """One program with one client: client("call", 0, "k", "GET", "k") -> ("ok", "nil")."""

    def __init__(self, url, *options, opened=True):
        self.process = subprocess.Popen([DRIVER, url, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.tags = itertools.count(1)
        self.answers = {}
        self.events = []
        self.rest = b""
        if opened:
            assert self("open") == ("ok", "")

    def send(self, *words):
        """Begins it; returns the tag that answer() takes."""
        tag = str(next(self.tags))
        self.process.stdin.write((" ".join(map(str, (tag, *words))) + "\n").encode())
        self.process.stdin.flush()
        return tag

    def answer(self, tag):
        self.read_until(lambda: tag in self.answers)
        return self.answers.pop(tag)

    def __call__(self, *words):
        return self.answer(self.send(*words))

    def call(self, *words, timeout_ms=0):
        """One command, its key the second word."""
        return self("call", timeout_ms, words[1] if len(words) > 1 else "-", *words)

    def many(self, tag):
        """What `many` told: {"ok": 3, …}."""
        status, text = self.answer(tag)
        assert status == "ok"
        return {name: int(value) for name, value in (pair.split("=") for pair in text.split())}

    def wait_for_event(self, begin):
        """The first event that begins like this; it and those before it are forgotten."""
        def found():
            return next((i for i, one in enumerate(self.events) if one.startswith(begin)), None)
        self.read_until(lambda: found() is not None)
        at = found()
        event, self.events = self.events[at], self.events[at + 1:]
        return event

    def call_until(self, condition, *words, timeout_ms=200):
        """The first answer for which the condition holds."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < end:
            answer = self.call(*words, timeout_ms=timeout_ms)
            if condition(answer):
                return answer
        raise AssertionError(answer)

    def read_until(self, condition):
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while not condition():
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            assert ready[0], f"no answer; events: {self.events}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the driver ended with {self.process.wait(ANSWER_TIMEOUT_S)}"
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                first, _, text = line.decode().partition(" ")
                if first == "#":
                    self.events.append(text)
                else:
                    assert first not in self.answers, f"a second answer: {text}"
                    status, _, words = text.partition(" ")
                    self.answers[first] = (status, words)

    def end(self):
        """Ends it as its input ends; a sanitizer's report would be its exit code."""
        self.process.stdin.close()
        try:
            code = self.process.wait(ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.stdout.close()
        assert code == 0


@pytest.fixture
def new_client():
    """Makes clients that end with the test."""
    made = []

    def make(url, *options, **how):
        made.append(Client(url, *options, **how))
        return made[-1]

    yield make
    for client in made:
        client.end()


def skip_without_redis():
    if Redis.missing():
        pytest.skip(f"NOT TESTED: Redis; {Redis.missing()}")


@pytest.fixture(scope="module")
def shared_redis():
    skip_without_redis()
    with Redis() as server:
        server.start()
        yield server


@pytest.fixture
def redis(shared_redis):
    """An empty server that runs."""
    if shared_redis.process is None:
        shared_redis.start()
    shared_redis.release()
    shared_redis.wait_for(lambda: shared_redis.ask("FLUSHALL"))
    shared_redis.ask("FUNCTION", "FLUSH")
    return shared_redis


@pytest.fixture
def client(redis, new_client):
    return new_client(redis.url())


@pytest.fixture(scope="module")
def shared_cluster():
    skip_without_redis()
    with RedisCluster() as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def cluster(shared_cluster):
    """A whole one, and empty."""
    shared_cluster.start()
    for node in shared_cluster.masters():
        node.ask("FLUSHALL")
        node.ask("FUNCTION", "FLUSH")
    return shared_cluster
