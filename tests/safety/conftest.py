"""What keeps a process of coupon harmless when somebody else's code runs in it, and its secrets
secret. The real binary named by COUPON_BINARY (default build/coupon), the optimized one named by
COUPON_RELEASE_BINARY (the same if not given), and COUPON_UNDER_FILTER, which tests/safety/meson.build
makes."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from support.server import BINARY, Server  # noqa: E402  in tests/e2e/
from support.wire import Client  # noqa: E402
from servers import MariaDB, Postgres  # noqa: E402  in tests/
from servers.coupon import Node, Worker  # noqa: E402
from servers.redis import Redis  # noqa: E402

RELEASE = os.path.abspath(os.environ.get("COUPON_RELEASE_BINARY", BINARY))
FILTER = os.environ.get("COUPON_UNDER_FILTER", "")
KINDS = {"postgres": Postgres, "mariadb": MariaDB, "redis": Redis}


def pytest_sessionstart(session):
    for path in (BINARY, RELEASE):
        if not os.access(path, os.X_OK):
            pytest.exit(f"no binary at {path}: build it, or name it with COUPON_BINARY", 2)


@pytest.fixture
def new_server(tmp_path):
    """Makes servers (not started) that end with the test. tests/e2e has more of it."""
    made = []

    def make(*flags, data=None, **rest):
        server = Server(str(data or tmp_path / f"data-{len(made)}"), *flags, **rest)
        made.append(server)
        return server

    yield make
    for server in made:
        server.end()


@pytest.fixture(scope="session")
def running():
    """Starts servers of databases, one of each kind for the whole run."""
    found = {}

    def of(kind):
        if kind not in found:
            why = KINDS[kind].missing()
            if why:
                pytest.skip(f"NOT TESTED: {why}")
            found[kind] = KINDS[kind]()
            found[kind].databases = 0
            if kind == "redis":
                found[kind].settings = ["--databases", "256"]
            found[kind].start()
        return found[kind]

    yield of
    for server in found.values():
        server.__exit__()


@pytest.fixture(params=["mariadb", "postgres"])
def store(request, running):
    """A SQL server of each kind."""
    return running(request.param)


@pytest.fixture
def redis(running):
    return running("redis")


# A node in SQL mode and one with Redis, each on another kind of SQL server: (store, with Redis).
NODES = [("postgres", False), ("mariadb", True)]
nodes = pytest.mark.parametrize("store, with_redis", NODES, indirect=["store"],
                                ids=["postgres", "mariadb-redis"])


def new_database(server):
    """The URL of an empty database of a SQL server, or of Redis. It names the machine, so that the
    address has to be looked up with each connection."""
    server.databases += 1
    if isinstance(server, Redis):
        url = f"{server.url().rsplit('/', 1)[0]}/{server.databases}"
    else:
        name = f"safety_{server.databases}"
        server.sql(f"CREATE DATABASE {name}")
        url = server.url(name)
    return url.replace("127.0.0.1", "localhost")


class ConfinedNode(Node):
    """A node on a database of its own, with a worker when there is Redis; called as a Server is."""

    def __init__(self, urls, token, *flags, with_worker=False):
        self.token = token
        self.worker = Worker(BINARY, urls) if with_worker else None
        super().__init__(BINARY, urls, "--admin-token-file", "admin-token", *flags)
        path = self.folder / "admin-token"
        path.write_text(f"operator {token}\n")
        path.chmod(0o600)

    def started_as(self):
        how = super().started_as()
        how["env"].pop("COUPON_CORE_DUMPS", None)  # that is what is tested
        return how

    def start(self):
        if self.worker:
            self.worker.start()
        return super().start()

    def admin(self):
        return Client(("127.0.0.1", self.port), self.token)

    def client(self):
        return Client(("127.0.0.1", self.port))

    def stop_all(self):
        for one in (self, self.worker):
            if one:
                one.stop()
                assert one.exit_code == 0, one.log()

    def logs(self):
        return self.log() + (self.worker.log() if self.worker else "")

    def __exit__(self, *what):
        try:
            super().__exit__(*what)
        finally:
            if self.worker:
                self.worker.__exit__(*what)


@pytest.fixture
def new_node():
    """Makes nodes, started, that end with the test."""
    made = []

    def make(store, redis=None, *flags, token="the-token-of-the-operators"):
        urls = {"COUPON_LEDGER": new_database(store)}
        if redis:
            urls["COUPON_REDIS"] = new_database(redis)
        made.append(ConfinedNode(urls, token, *flags, with_worker=bool(redis)))
        made[-1].start()
        return made[-1]

    yield make
    for node in made:
        node.__exit__()
