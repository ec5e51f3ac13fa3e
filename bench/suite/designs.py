"""The designs of ./dev bench strategies, each with the servers it needs: started, killed all at
once, started again, its record read.

  Original  a design of the original's story: bench/strategies, Redis and MariaDB as they are when
            nobody has set anything
  Embedded  ours with a file
  Clustered ours with MariaDB, or with Redis in front of it and a worker, as ./dev cluster has them

Not for: what is asked of them (parts/strategies.py).
"""

import os
import secrets
import signal
import sys
import time

from suite.coupon import new_coupon, record_rows
from suite.machine import ROOT
from suite.processes import Refused, finished

sys.path.insert(0, str(ROOT / "tests"))
from servers.cluster import Cluster, missing  # noqa: E402  the servers that the tests start
from servers.coupon import Node  # noqa: E402
from servers.mariadb import MariaDB  # noqa: E402
from servers.redis import Redis, Wire  # noqa: E402

ORIGINALS = ("race", "sql-lock", "redis-lock", "sorted-set", "set", "set-lock", "lua")
AOF = {"lua-aof": "lua"}  # the same with Redis' append-only file
POOL = 32  # threads of an original, each with its connections
QUEUE = "strategies:queue"  # what bench/strategies calls it in Redis
DATABASE = "coupon"  # the tests' MariaDB is made with it
SETTLE_SECONDS_MAX = 120
VERIFY_SECONDS_MAX = 300
NODE_FLAGS = ("--threads", 1, "--claim-auth", "none")
# What MariaDB has when nobody says otherwise; the tests' one is smaller.
SQL_SETTINGS = ["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M"]


def wait_until_true(what, condition):
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise Refused(f"{what} after {SETTLE_SECONDS_MAX} s")
        time.sleep(0.01)


class Design:
    """One that can be measured. A subclass has parts() and new_coupon(), and says what else there
    is to do."""

    def __init__(self, name):
        self.name = name

    def roles(self):
        """{"server", "worker", "redis", "sql": its parts}; a part is a Server of tests/servers."""
        raise NotImplementedError

    def parts(self):
        """All of it, what others need first."""
        roles = self.roles()
        return [part for role in ("sql", "redis", "server", "worker")
                for part in roles.get(role, [])]

    def processes(self):
        """{role: processes}"""
        return {role: [part.process for part in its] for role, its in self.roles().items()}

    def start(self):
        for part in self.parts():
            part.start()

    def kill(self):
        """SIGKILL for everything in one moment; then each is waited for."""
        for part in reversed(self.parts()):
            os.kill(part.process.pid, signal.SIGKILL)
        for part in self.parts():
            part.kill()

    def settle(self):
        """Waits until everything that was promised has come to rest."""

    def read(self, coupons):
        """Ends it. Returns {coupon: its users, one a row of the record}."""
        raise NotImplementedError

    def check(self):
        """Refuses a record that contradicts itself; it is ended."""

    def end(self):
        """Whatever state it is in."""
        for part in self.parts():
            part.kill()

    @property
    def port(self):
        return self.roles()["server"][0].port


# ---- the original's --------------------------------------------------------------------------

class PlainRedis(Redis):
    """As Redis' own defaults have it, without a user: snapshots now and then, no append-only file
    unless asked for."""

    def config(self):
        return ["bind 127.0.0.1", "daemonize no", f"dir {self.data}",
                f"appendonly {'yes' if self.appendonly else 'no'}"]

    def connect(self, **how):
        return Wire(self.port, **{"user": None, **how})


def plain_mariadb(folder):
    """What the originals share: only one design runs at a time."""
    sql = MariaDB(folder)
    sql.settings = SQL_SETTINGS
    return sql


class StrategiesServer(Node):
    """bench/strategies with one design."""

    def __init__(self, binary, design, token_file, redis, sql, folder):
        super().__init__(binary, {}, design, "--threads", 1, "--pool", POOL,
                         "--admin-token-file", token_file, folder=folder)
        self.redis, self.sql = redis, sql

    def command(self):
        return [self.binary, *self.flags, "--listen", self.address]

    def started_as(self):
        """They have their ports once they run."""
        self.urls = {"COUPON_REDIS": f"redis://127.0.0.1:{self.redis.port}",
                     "COUPON_LEDGER": self.sql.url(DATABASE)}
        return super().started_as()


class Original(Design):
    def __init__(self, name, binary, folder, sql):
        super().__init__(name)
        for part in ("redis", "server"):
            (folder / part).mkdir(mode=0o755)
        self.sql, self.token = sql, secrets.token_urlsafe(32)
        (folder / "admin-token").write_text(f"bench {self.token}\n")
        (folder / "admin-token").chmod(0o600)
        self.redis = PlainRedis(folder / "redis", appendonly=name in AOF)
        self.server = StrategiesServer(binary, AOF.get(name, name), folder / "admin-token",
                                       self.redis, sql, folder / "server")

    def roles(self):
        return {"server": [self.server], "redis": [self.redis], "sql": [self.sql]}

    def new_coupon(self, title, quantity):
        return new_coupon(self.server.port, self.token, title, quantity)

    def rows(self):
        return int(self.sql.sql("SELECT count(*) FROM strategy_issues", DATABASE))

    def settle(self):
        with self.redis.connect() as wire:
            wait_until_true(f"{self.name}: the queue is not drained",
                            lambda: wire.ask("LLEN", QUEUE) == 0)
        seen = -1
        while seen != (seen := self.rows()):  # what was taken from the queue is on its way
            time.sleep(0.1)

    def read(self, coupons):
        self.server.stop()
        found = {coupon: self.sql.sql("SELECT user_id FROM strategy_issues WHERE "
                                      f"coupon_id = {coupon}", DATABASE).split("\n")
                 for coupon in coupons}
        self.redis.stop()
        self.redis.lose_files()
        self.sql.stop()
        return {coupon: [user for user in users if user] for coupon, users in found.items()}


# ---- ours ------------------------------------------------------------------------------------

class Embedded(Design):
    def __init__(self, name, binary, folder):
        super().__init__(name)
        self.binary, self.data = binary, folder / "data"
        (folder / "node").mkdir(mode=0o755)
        self.node = Node(binary, {}, "--data", self.data, *NODE_FLAGS, folder=folder / "node")

    def roles(self):
        return {"server": [self.node]}

    def new_coupon(self, title, quantity):
        return new_coupon(self.node.port, (self.data / "admin-token").read_text().strip(), title,
                          quantity)

    def read(self, coupons):
        self.node.stop()
        return {coupon: [user for user, in record_rows(
            self.data, "SELECT user_id FROM coupon_issues WHERE coupon_id = ?", coupon)]
            for coupon in coupons}

    def check(self):
        finished([self.binary, "verify", "--data", self.data], VERIFY_SECONDS_MAX)


class Clustered(Design):
    def __init__(self, name, binary, folder):
        super().__init__(name)
        if why := missing(binary, name, "mysql", proxy=False):
            raise Refused(why)
        self.cluster = Cluster(binary, mode=name, api=1, workers=1, proxy=False,
                               node_flags=NODE_FLAGS, folder=folder)
        self.cluster.sql.settings = SQL_SETTINGS
        self.made = False

    def roles(self):
        cluster = self.cluster
        return {"server": cluster.nodes, "worker": cluster.workers,
                "redis": [cluster.redis] if cluster.redis else [], "sql": [cluster.sql]}

    def start(self):
        """The cluster is made by its first start, and has its parts from then on."""
        if self.made:
            super().start()
        else:
            self.cluster.start()
            self.made = True

    def new_coupon(self, title, quantity):
        return new_coupon(self.cluster.nodes[0].port, self.cluster.token, title, quantity)

    def rows(self):
        return int(self.cluster.sql.sql("SELECT count(*) FROM coupon_issues", DATABASE))

    def settle(self):
        seen = -1
        while self.cluster.redis and seen != (seen := self.rows()):
            time.sleep(0.3)

    def read(self, coupons):
        for part in (*self.cluster.nodes, *self.cluster.workers):
            part.stop()
        found = {coupon: self.cluster.sql.sql(
            f"SELECT user_id FROM coupon_issues WHERE coupon_id = {coupon}", DATABASE).split("\n")
            for coupon in coupons}
        for part in self.stores():
            part.stop()
        return {coupon: [user for user in users if user] for coupon, users in found.items()}

    def stores(self):
        return [part for part in (self.cluster.redis, self.cluster.sql) if part]

    def check(self):
        for part in self.stores():
            part.start()
        verified = self.cluster.verify()
        for part in self.stores():
            part.stop()
        if verified.returncode != 0:
            raise Refused(f"{self.name}: {verified.stdout}{verified.stderr}")
