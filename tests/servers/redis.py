"""Redis of Debian: the server itself, without its service.

Debian's redis-tools has the server's program, under the name of the tool that checks dumps; it
serves when it is called redis-server. The package redis-server is a link to it and a service.
"""

import contextlib
import os
import shutil
import signal
import socket
import time

from servers.process import Server

USER = "coupon"
PASSWORD = "open/sesame&?"  # needs quoting in a URL, on purpose
QUOTED = "open%2Fsesame%26%3F"
PROGRAM = "/usr/bin/redis-check-rdb"
WAIT_TIMEOUT_S = 60


class RedisError(Exception):
    """What Redis answered with "-": its sentence."""


class Wire:
    """One connection for a test's own commands: words go in, str, int, list or None come out."""

    def __init__(self, port, user=USER, password=PASSWORD, timeout_s=WAIT_TIMEOUT_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.stream = self.socket.makefile("rb")
        if user:
            self.ask("AUTH", user, password)

    def send(self, *words):
        raw = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(raw) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word) for word in raw))

    def ask(self, *words):
        self.send(*words)
        answer = self.receive()
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def receive(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if int(rest) < 0:
            return None
        if kind == b"*":
            return [self.receive() for _ in range(int(rest))]
        return self.stream.read(int(rest) + 2)[:-2].decode(errors="surrogateescape")

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Redis(Server):
    """Its `default` user is off; USER may do everything. `settings` are arguments of the next
    start, as everywhere: ["--maxmemory", "10mb"]."""

    NAME = "redis"
    READY = b"Ready to accept connections"
    STOP_SIGNAL = signal.SIGTERM

    def __init__(self, folder=None, appendonly=True, appendfsync="everysec"):
        super().__init__(folder)
        self.appendonly = appendonly
        self.appendfsync = appendfsync

    @staticmethod
    def missing():
        """Why it cannot run here, or None."""
        return None if os.access(PROGRAM, os.X_OK) else "Redis is not installed (redis-tools)"

    @property
    def data(self):
        return self.folder / "data"

    def make(self):
        (self.folder / "redis-server").symlink_to(PROGRAM)
        self.run_as("mkdir", self.data)
        config = self.folder / "redis.conf"
        config.write_text("\n".join(self.config()) + "\n")
        config.chmod(0o644)

    def config(self):
        return ["bind 127.0.0.1", "daemonize no", 'save ""', f"dir {self.data}",
                f"appendonly {'yes' if self.appendonly else 'no'}",
                f"appendfsync {self.appendfsync}", f"masteruser {USER}",
                f'masterauth "{PASSWORD}"', "repl-diskless-sync-delay 0",
                "enable-debug-command local",
                "user default off ~* &* +@all", f'user {USER} on ">{PASSWORD}" ~* &* +@all']

    def command(self):
        return [self.folder / "redis-server", self.folder / "redis.conf", "--port",
                str(self.port)]

    def url(self, database=0):
        return f"redis://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    # ---- faults ----

    def hold(self):
        """SIGSTOP: it keeps its port and connections and answers nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def release(self):
        """SIGCONT after hold()."""
        os.kill(self.process.pid, signal.SIGCONT)

    def lose_files(self):
        """Everything it has written is gone; it must not run."""
        assert self.process is None
        shutil.rmtree(self.data)
        self.run_as("mkdir", self.data)

    def replicate(self, master):
        """Makes it a replica of another one, and waits until it has caught up once."""
        self.ask("REPLICAOF", "127.0.0.1", master.port)
        self.wait_for(lambda: self.info("replication").get("master_link_status") == "up")

    def promote(self):
        self.ask("REPLICAOF", "NO", "ONE")

    # ---- questions ----

    def connect(self, **how):
        return Wire(self.port, **how)

    def ask(self, *words):
        """One command on a connection of its own."""
        with self.connect() as wire:
            return wire.ask(*words)

    def info(self, section):
        lines = self.ask("INFO", section).split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def wait_for(self, question, seconds=WAIT_TIMEOUT_S):
        """Asks until it is true; a server that does not take the question yet is asked again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError, RedisError):
                if answer := question():
                    return answer
        raise AssertionError(f"{self.NAME}: it did not become true:\n{self.log()[-2000:]}")

