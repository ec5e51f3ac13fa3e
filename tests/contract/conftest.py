"""Servers, and ledgers that use them, for the tests that take the server away. They run
BUILD/tests/contract/contract-driver, named by COUPON_CONTRACT_DRIVER."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from servers import STORES, Proxy  # noqa: E402

DRIVER = os.environ.get("COUPON_CONTRACT_DRIVER",
                        str(ROOT / "build/debug/tests/contract/contract-driver"))
ANSWER_TIMEOUT_S = 120
AGAIN_TIMEOUT_S = 60


def pytest_sessionstart(session):
    if not os.access(DRIVER, os.X_OK):
        pytest.exit(f"no driver at {DRIVER}: build it, or name it with COUPON_CONTRACT_DRIVER", 2)


class Driver:
    """One program that has the ledger open: driver("append", 1, 1, 10) -> ("ok", "10")."""

    def __init__(self, url, *options, opened=True):
        self.process = subprocess.Popen([DRIVER, url, *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.killed = False
        if opened:
            assert self("open") == ("ok", "0")

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the driver ended with {self.process.wait(ANSWER_TIMEOUT_S)}"
        status, _, rest = line.rstrip("\n").partition(" ")
        return status, rest

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def again(self, *words):
        """The first answer other than io: after a loss the ledger may pause before it connects."""
        end = time.monotonic() + AGAIN_TIMEOUT_S
        while time.monotonic() < end:
            answer = self(*words)
            if answer[0] != "io":
                return answer
        raise AssertionError(answer)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.killed = True

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
        assert code == 0 or self.killed


@pytest.fixture(scope="module", params=sorted(STORES))
def shared_server(request):
    """A server of each kind for the tests of a file; each test begins with it up."""
    kind = STORES[request.param]
    if kind.missing():
        pytest.skip(f"NOT TESTED: {request.param}; {kind.missing()}")
    with kind() as server:
        server.start()
        yield server


@pytest.fixture
def server(shared_server):
    if shared_server.process is None:
        shared_server.start()
    return shared_server


@pytest.fixture
def database(server, request):
    """A database of the test's own: its name."""
    name = "test_%08x" % zlib.crc32(request.node.name.encode())
    server.sql(f"CREATE DATABASE {name}")
    yield name
    if server.process is None:
        server.start()
    server.drop(name)


@pytest.fixture(scope="session")
def build():
    """Where what these tests run was built."""
    return Path(DRIVER).parent


@pytest.fixture
def new_driver(server, database):
    """Makes drivers that end with the test."""
    made = []

    def make(*options, url=None, **how):
        made.append(Driver(url or server.url(database), *options, **how))
        return made[-1]

    yield make
    for driver in made:
        driver.end()


@pytest.fixture
def driver(new_driver):
    return new_driver()


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as made:
        yield made


@pytest.fixture
def behind_proxy(server, database, proxy, new_driver):
    """Makes drivers whose connection goes through the proxy."""
    def make(*options, **how):
        url = server.url(database).replace(f":{server.port}/", f":{proxy.port}/")
        return new_driver(*options, url=url, **how)
    return make
