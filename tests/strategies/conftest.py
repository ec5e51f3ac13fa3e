"""The designs of bench/strategies on a real Redis and MariaDB. They run the program named by
COUPON_STRATEGIES_SERVER; the checks of answers are those of tests/e2e/support."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from servers import MariaDB, Redis  # noqa: E402  they lie in tests/
from servers.coupon import Process, environment  # noqa: E402
from support.wire import Client  # noqa: E402  in tests/e2e/

BINARY = os.environ.get("COUPON_STRATEGIES_SERVER",
                        str(ROOT / "build/debug/bench/strategies/strategies-server"))
SQL_LOCKED = ("sql-lock", "redis-lock")
QUEUEING = ("sorted-set", "set", "set-lock", "lua")
DESIGNS = ("race", *SQL_LOCKED, *QUEUEING)
QUEUE = "strategies:queue"
DATABASE = "coupon"
POOL = 32
RUN_SECONDS_MAX = 60


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no program at {BINARY}: build it, or name it with COUPON_STRATEGIES_SERVER",
                    2)


class Stores:
    """The Redis and the MariaDB that all designs share."""

    def __init__(self, redis, sql):
        self.redis, self.sql = redis, sql

    def urls(self):
        return {"COUPON_REDIS": self.redis.url(), "COUPON_LEDGER": self.sql.url(DATABASE)}

    def run(self, *arguments, urls=None):
        """The program with other arguments than to serve, which ends by itself."""
        return subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=RUN_SECONDS_MAX,
                              env=environment(self.urls() if urls is None else urls))

    def wait_until_drained(self):
        """Until no entry waits: rows are written before their entries go."""
        self.redis.wait_for(lambda: self.redis.ask("LLEN", QUEUE) == 0)

    def rows(self, coupon):
        """The users of its issues, one a row."""
        return self.sql.sql("SELECT user_id FROM strategy_issues "
                            f"WHERE coupon_id = {coupon['id']}", DATABASE).split()

    def count(self, coupon):
        """What the coupon's row says is issued."""
        return int(self.sql.sql(f"SELECT issued FROM strategy_coupons WHERE id = {coupon['id']}",
                                DATABASE))


class Design(Process):
    """One of them, serving."""

    NAME = "strategies"

    def __init__(self, name, stores, *flags):
        super().__init__(BINARY, {}, *flags)
        self.design, self.stores = name, stores
        self.token = secrets.token_urlsafe(32)
        (self.folder / "admin-token").write_text(f"tests {self.token}\n")
        (self.folder / "admin-token").chmod(0o600)

    def started_as(self):
        self.urls = self.stores.urls()
        return super().started_as()

    def command(self):
        return [self.binary, self.design, "--listen", f"127.0.0.1:{self.port}", "--threads", "2",
                "--pool", str(POOL), "--admin-token-file", self.folder / "admin-token",
                *self.flags]

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, admin=False):
        return Client(("127.0.0.1", self.port), self.token if admin else None)


@pytest.fixture(scope="session")
def stores():
    for kind in (Redis, MariaDB):
        if kind.missing():
            pytest.skip(f"NOT TESTED: {kind.missing()}")
    with Redis() as redis, MariaDB() as sql:
        redis.start()
        sql.start()
        yield Stores(redis, sql)


@pytest.fixture
def new_design(stores):
    """Makes designs that serve until the test ends, and then end well."""
    made = []

    def make(name, *flags):
        made.append(Design(name, stores, *flags))
        made[-1].start()
        return made[-1]

    yield make
    for design in made:
        with design:
            running = design.process is not None
            design.stop()
            assert design.exit_code == 0 or not running, design.log()


@pytest.fixture(params=DESIGNS)
def design(request, new_design):
    return new_design(request.param)


@pytest.fixture
def client(design):
    with design.client() as made:
        yield made


@pytest.fixture
def admin(design):
    with design.client(admin=True) as made:
        yield made
