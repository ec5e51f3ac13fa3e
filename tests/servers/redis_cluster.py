"""A Redis Cluster: three masters with a replica each, six processes on free ports of loopback.

    with RedisCluster() as cluster:
        cluster.start()                   # -> "redis://…?cluster=1", all slots served
        cluster.master_of("{p07}:gate").kill()
"""

import contextlib
import subprocess

from servers.process import free_port
from servers.redis import PASSWORD, USER, Redis

CLI = "/usr/bin/redis-cli"
MASTERS = 3
SLOT_COUNT = 16384  # of a Redis Cluster, by its specification
NODE_TIMEOUT_MS = 2000  # after which a silent master is given up; long enough for a busy machine
FAILOVER_ATTEMPTS = 5  # soon after another failover the masters do not vote
FAILOVER_TIMEOUT_S = 6  # Redis gives a manual one up after 5 s


class RedisNode(Redis):
    """One server of a cluster."""

    NAME = "redis-node"

    def __init__(self, **how):
        super().__init__(**how)
        self.bus_port = free_port()

    def command(self):
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-port",
                str(self.bus_port), "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
                "--cluster-config-file", "nodes.conf"]

    def id(self):
        return self.ask("CLUSTER", "MYID")

    def is_master(self):
        return self.info("replication")["role"] == "master"


class RedisCluster:
    NAME = "redis-cluster"

    def __init__(self, appendonly=True, appendfsync="everysec"):
        self.nodes = [RedisNode(appendonly=appendonly, appendfsync=appendfsync)
                      for _ in range(2 * MASTERS)]
        self.made = False

    missing = staticmethod(Redis.missing)

    # ---- life ----

    def start(self):
        """Starts the nodes that do not run; returns the URL once every slot is served and every
        replica follows its master."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        if not self.made:
            self._create()
            self.made = True
        self.wait_until_whole()
        return self.url()

    def _create(self):
        done = subprocess.run(
            [CLI, "--user", USER, "--pass", PASSWORD, "--no-auth-warning", "--cluster", "create",
             *(f"127.0.0.1:{node.port}" for node in self.nodes), "--cluster-replicas", "1",
             "--cluster-yes"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        if done.returncode != 0:
            raise RuntimeError(f"redis-cli ended with {done.returncode}:\n{done.stdout}")

    def stop(self):
        for node in self.nodes:
            node.stop()

    def kill(self):
        for node in self.nodes:
            node.kill()

    def url(self, seeds=None):
        """With these nodes as seeds; all of them if not given."""
        first, *others = seeds or self.nodes
        url = first.url().removesuffix("/0")
        return ",".join([url, *(f"127.0.0.1:{node.port}" for node in others)]) + "/0?cluster=1"

    # ---- who is who ----

    def running(self):
        return [node for node in self.nodes if node.process is not None]

    def masters(self):
        """The running masters that serve slots."""
        ports = {port for _, port in self.slots().values()}
        return [node for node in self.running() if node.port in ports]

    def slots(self):
        """{(first slot, last slot): (host, port) of the master}, as one running node has it."""
        return self.slots_of(self.running()[0])

    @staticmethod
    def slots_of(node):
        return {(first, last): (master[0], master[1]) for first, last, master, *_ in
                node.ask("CLUSTER", "SLOTS")}

    def slot_of(self, key):
        return self.running()[0].ask("CLUSTER", "KEYSLOT", key)

    def master_of(self, key):
        """The node that serves the key's slot."""
        slot = self.slot_of(key)
        for (first, last), (_, port) in self.slots().items():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody serves slot {slot}")

    def replicas_of(self, master):
        return [node for node in self.running() if node is not master and not node.is_master()
                and int(node.info("replication")["master_port"]) == master.port]

    # ---- changes and waiting ----

    def wait_until_whole(self):
        """Until every running node sees all slots served, every replica has caught up, and all
        agree on who serves what: of a failover the nodes hear one after the other."""
        for node in self.running():
            node.wait_for(lambda node=node: "cluster_state:ok" in node.ask("CLUSTER", "INFO")
                          and f"cluster_known_nodes:{len(self.nodes)}" in
                          node.ask("CLUSTER", "INFO"))
            node.wait_for(lambda node=node: node.is_master() or
                          node.info("replication")["master_link_status"] == "up")
            node.wait_for(self.agrees)

    def agrees(self):
        """Whether all running nodes name the same masters, and these know it of themselves."""
        views = [self.slots_of(node) for node in self.running()]
        masters = {node.port for node in self.running() if node.is_master()}
        return all(view == views[0] for view in views) and \
            {port for _, port in views[0].values()} <= masters

    def move_slot(self, key, target):
        """Gives the key's slot, with what is in it, to another master."""
        self.begin_move(key, target)
        self.move_keys(key, target)
        self.end_move(key, target)

    def begin_move(self, key, target):
        """From now on the old master answers ASK for keys that it does not have."""
        slot, source = self.slot_of(key), self.master_of(key)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id())
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id())

    def move_keys(self, key, target):
        slot, source = self.slot_of(key), self.master_of(key)
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 10000, "AUTH2", USER, PASSWORD,
                       "KEYS", *keys)

    def end_move(self, key, target):
        slot, source, name = self.slot_of(key), self.master_of(key), target.id()
        for node in [target, source, *(one for one in self.masters() if one not in
                                       (target, source))]:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", name)

    def failover(self, replica):
        """Makes it the master of its slots, with its master's consent."""
        for _ in range(FAILOVER_ATTEMPTS):
            replica.ask("CLUSTER", "FAILOVER")
            with contextlib.suppress(AssertionError):
                replica.wait_for(replica.is_master, seconds=FAILOVER_TIMEOUT_S)
                return
        raise AssertionError(f"no failover took place:\n{replica.log()[-2000:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()
