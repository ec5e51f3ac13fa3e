"""A whole cluster of real processes: the SQL server with the record, Redis in front of it (mode
"redis"), API nodes, workers, and nginx in front of the nodes.

    with Cluster("build/coupon", mode="sql") as cluster:
        cluster.start()
        cluster.proxy.url(); cluster.nodes[0].kill(); cluster.workers[1].hold(); cluster.sql.stop()

For: ./dev cluster (cluster/run.py) and tests. Every part is a Server (process.py) with a folder
of its own below `folder`, so each can be killed, stopped, held and started again by itself.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from servers.coupon import Node, Worker, environment, takes
from servers.mariadb import MariaDB
from servers.nginx import Nginx
from servers.postgres import Postgres

LEDGERS = {"mysql": MariaDB, "mariadb": MariaDB, "postgres": Postgres, "postgresql": Postgres}
DATABASE = "coupon"
VERIFY_TIMEOUT_S = 600


def missing(binary, mode="redis", ledger="mysql", proxy=True):
    """Why such a cluster cannot run here, or None."""
    wanted = [("serve", "--ledger")]
    if mode == "redis":
        wanted += [("serve", "--redis"), ("worker", "--ledger"), ("worker", "--redis")]
    for subcommand, option in wanted:
        if not takes(binary, subcommand, option):
            return f"mode {mode} is not in this program: coupon {subcommand} has no {option}"
    kinds = [LEDGERS[ledger], *([Nginx] if proxy else [])]
    if mode == "redis":
        from servers.redis import Redis
        kinds.append(Redis)
    return next(filter(None, [kind.missing() for kind in kinds]), None)


def silent(text):
    """For `tell`: nobody listens."""


class Cluster:
    """Made, not started. Its parts are there once start() returned, those of a start that failed
    as far as it came."""

    def __init__(self, binary, mode="redis", redis="1", api=2, workers=3, ledger="mysql", port=0,
                 proxy=True, node_flags=(), worker_flags=(), folder=None, tell=silent,
                 own_session=False):
        """`port`: the proxy's, 0 for a free one. `folder` is new or empty, reachable by everybody,
        and stays; without one there is a new one that goes. `tell` gets a sentence as it starts
        and stops each part."""
        assert mode in ("sql", "redis") and redis in ("1", "cluster") and api >= 1
        self.binary = os.path.abspath(binary)
        self.mode, self.redis_kind = mode, redis
        self.api_count, self.worker_count = api, workers if mode == "redis" else 0
        self.port, self.with_proxy = port, proxy
        self.node_flags, self.worker_flags = list(node_flags), list(worker_flags)
        self.tell, self.own_session = tell, own_session
        self.folder_is_ours = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="coupon-cluster-"))
        self.folder.chmod(0o755)  # the servers do not run as root
        self.sql = self._part(LEDGERS[ledger], LEDGERS[ledger].NAME)
        self.redis = self._redis() if mode == "redis" else None
        self.nodes, self.workers, self.proxy = [], [], None
        self.token_file = self.folder / "admin-token"

    # ---- parts ----

    def _folder(self, name):
        folder = self.folder / name
        folder.mkdir(mode=0o755)
        return folder

    def _part(self, kind, name, *arguments, **how):
        part = kind(*arguments, folder=self._folder(name), **how)
        part.own_session = self.own_session
        return part

    def _redis(self):
        from servers.redis import Redis
        from servers.redis_cluster import RedisCluster
        if self.redis_kind == "1":
            return self._part(Redis, "redis")
        cluster = RedisCluster()
        for number, node in enumerate(cluster.nodes, 1):
            shutil.rmtree(node.folder)
            node.folder, node.own_session = self._folder(f"redis-{number}"), self.own_session
            node.folder_is_ours = False
        return cluster

    def urls(self):
        """What a node and a worker have in their environment."""
        urls = {"COUPON_LEDGER": self.sql.url(DATABASE)}
        if self.redis:
            urls["COUPON_REDIS"] = self.redis.url()
        return urls

    def _make_token(self):
        descriptor = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")

    @property
    def token(self):
        return self.token_file.read_text(encoding="ascii").strip()

    def _make_database(self):
        """MariaDB is made with it."""
        if isinstance(self.sql, Postgres):
            self.sql.sql(f"CREATE DATABASE {DATABASE}")

    # ---- life ----

    def start(self):
        """Starts all of it, what others need first. Returns the address to talk to."""
        self._make_token()
        self.tell(f"starting {self.sql.NAME}, with an empty database")
        self.sql.start()
        self._make_database()
        if self.redis:
            self.tell(f"starting {self.redis.NAME}")
            self.redis.start()
        for _ in range(self.api_count):
            self.add_node()
        for _ in range(self.worker_count):
            self.add_worker()
        if self.with_proxy:
            self.tell("starting nginx")
            self.proxy = self._part(Nginx, "proxy", [node.address for node in self.nodes])
            self.proxy.port = self.port
            self.proxy.start()
        return self.address

    def add_node(self):
        """One API node more, ready. The proxy knows of those that were there when it started."""
        name = f"api-{len(self.nodes) + 1}"
        self.tell(f"starting {name}")
        node = self._part(Node, name, self.binary, self.urls(), "--admin-token-file",
                          self.token_file, *self.node_flags)
        self.nodes.append(node)
        node.start()
        return node

    def add_worker(self):
        name = f"worker-{len(self.workers) + 1}"
        self.tell(f"starting {name}")
        worker = self._part(Worker, name, self.binary, self.urls(), *self.worker_flags)
        self.workers.append(worker)
        worker.start()
        return worker

    @property
    def address(self):
        """(host, port) of the proxy, or of the first node without one."""
        return "127.0.0.1", (self.proxy or self.nodes[0]).port

    def programs(self):
        """The processes of coupon itself."""
        return [*self.nodes, *self.workers]

    def parts(self):
        """All that was started, in the order in which it is to stop: first nothing new comes, then
        what came is finished, then what it was written to goes."""
        parts = [self.proxy, *self.nodes, *self.workers,
                 *getattr(self.redis, "nodes", [self.redis]), self.sql]
        return [part for part in parts if part is not None]

    def running(self):
        """{name: part} of all that was started and not ended by us."""
        return {part.folder.name: part for part in self.parts() if part.process is not None}

    def stop(self):
        """As an operator stops it. Returns a sentence for each program that did not end well."""
        complaints = []
        for name, part in self.running().items():
            self.tell(f"stopping {name}")
            part.stop()
            if getattr(part, "exit_code", 0) != 0:
                complaints.append(f"{name} ended with {part.exit_code}; see {part.folder}/log")
        return complaints

    def kill(self):
        for part in self.parts():
            part.kill()

    def verify(self):
        """`coupon verify` of its record: what subprocess.run returns."""
        return subprocess.run([self.binary, "verify"], env=environment(self.urls()), text=True,
                              capture_output=True, check=False, timeout=VERIFY_TIMEOUT_S,
                              stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.kill()
        finally:
            if self.folder_is_ours:
                shutil.rmtree(self.folder, ignore_errors=True)
