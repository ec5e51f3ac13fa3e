"""What single faults need besides a kill: Redis with a replica, on a disk that gets full, a second
sender of every call; a session that holds a lock; whose a session of the SQL server is."""

import ast
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

from servers.cluster import DATABASE
from servers.mariadb import PASSWORD, USER, MariaDB, program
from servers.postgres import programs
from servers.process import free_port
from servers.proxy import Proxy
from servers.redis import Redis

WAIT_TIMEOUT_S = 30
DISK_SIZE = 12 << 20  # several times what the largest crowd writes


def wait_until(question, what, seconds=WAIT_TIMEOUT_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.005)
    raise AssertionError(f"it never came: {what}")


# ---- Redis -----------------------------------------------------------------------------------

class RedisPair:
    """A master and its replica, under one URL with both hosts."""

    NAME = "redis-pair"

    def __init__(self, stage):
        self.nodes = [stage.part(Redis, f"redis-{number}") for number in (1, 2)]
        self.master = self.nodes[0]

    def start(self):
        for node in self.nodes:
            node.start()
        self.nodes[1].replicate(self.master)
        return self.url()

    def url(self):
        first, second = self.nodes
        return first.url().replace("/0", f",127.0.0.1:{second.port}/0")

    def kill(self):
        for node in self.nodes:
            node.kill()

    def master_of(self, _key):
        return self.master

    def stop_receiving(self, replica):
        """It stays a replica, of nobody."""
        replica.ask("REPLICAOF", "127.0.0.1", free_port())

    def promote(self, replica):
        replica.promote()
        self.master = replica


class SmallDisk(Redis):
    """A Redis whose files are on a disk of their own."""

    def make(self):
        super().make()
        owner = self.data.stat()
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={DISK_SIZE},uid={owner.st_uid},gid={owner.st_gid},mode=0755",
                        "tmpfs", self.data], check=True)
        self.mounted = True

    def fill(self):
        """Until no byte more fits."""
        with open(self.data / "ballast", "wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    if file.write(bytes(size)) < size:
                        size //= 2
                except OSError:
                    size //= 2

    def empty(self):
        (self.data / "ballast").unlink()

    def kill(self):
        super().kill()
        if getattr(self, "mounted", False):
            subprocess.run(["umount", "-l", self.data], check=True)
            self.mounted = False

    @staticmethod
    def cannot():
        return None if os.geteuid() == 0 and shutil.which("mount") else \
            "a small disk can be mounted by root only"


class Echo:
    """Sends every call of some functions once more, as a network does that delivers twice. It hears
    of them from MONITOR."""

    WORD = re.compile(rb'"(?:[^"\\]|\\.)*"')

    def __init__(self, redis, functions):
        self.functions = [name.encode() for name in functions]
        self.count = 0
        self.errors = []
        self.sender = redis.connect()
        self.monitor = redis.connect()
        self.own = b"%d]" % self.sender.socket.getsockname()[1]
        self.monitor.ask("MONITOR")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while line := self.monitor.stream.readline():
                head, _, call = line.partition(b"] ")
                if (head + b"]").endswith(self.own) or not call.startswith(b'"FCALL" '):
                    continue
                words = [ast.literal_eval("b" + word.decode("latin-1"))
                         for word in self.WORD.findall(call)]
                if words[1] in self.functions:
                    self.sender.send(*words)
                    self.sender.receive()
                    self.count += 1
        except (OSError, ValueError) as error:
            self.errors.append(error)

    def close(self):
        for wire in (self.monitor, self.sender):
            wire.socket.close()


# ---- SQL -------------------------------------------------------------------------------------

class Session:
    """A session of our own in the SQL server, which lasts."""

    def __init__(self, server):
        self.server = server
        self.is_maria = isinstance(server, MariaDB)
        command = [program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{server.port}",
                   f"-u{USER}", f"-p{PASSWORD}", "-BNn", DATABASE] if self.is_maria else \
            [programs() / "psql", "-XqAt", "-d", server.url(DATABASE)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)

    def ask(self, text):
        """Runs it; returns when the server has done so."""
        self.process.stdin.write(f"{text};\nSELECT 'done';\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().rstrip("\n")) != "done":
            assert self.process.poll() is None, lines
            lines.append(line)
        return lines

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    # ---- who waits ----

    WAITING = {
        True: "SELECT p.host FROM information_schema.innodb_trx t"
              " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
              " WHERE t.trx_state = 'LOCK WAIT'",
        False: "SELECT client_port FROM pg_stat_activity WHERE wait_event_type = 'Lock'"}

    def waiting_ports(self):
        """The client's ports of the sessions that wait for a lock."""
        found = self.server.sql(self.WAITING[self.is_maria], DATABASE)
        return [int(line.rsplit(":", 1)[-1]) for line in found.split("\n") if line]


def ports_of(pid):
    """The local ports of a process' TCP connections."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except OSError:
            continue
    ports = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().split("\n")[1:]:
        fields = line.split()
        if len(fields) > 9 and f"socket:[{fields[9]}]" in inodes:
            ports.add(int(fields[1].split(":")[1], 16))
    return ports


def put_proxy_before_sql(case, programs_of_ours):
    """From their next start on these reach the SQL server through a proxy each, which it returns."""
    proxies = []
    for one in programs_of_ours:
        proxy = Proxy(case.cluster.sql.port)
        one.urls["COUPON_LEDGER"] = one.urls["COUPON_LEDGER"].replace(
            f":{case.cluster.sql.port}/", f":{proxy.port}/")
        proxies.append(proxy)
    return proxies
