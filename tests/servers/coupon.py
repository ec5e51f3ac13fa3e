"""The program itself, as a process of a cluster: an API node, a worker.

Not for: the end-to-end tests of one server (tests/e2e/support/server.py), which read its log
line by line.
"""

import os
import signal
import subprocess

from servers.process import Server


def environment(more):
    """Ours, without the server's own variables that a developer may have set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COUPON_")}
    return {**kept, **more}


def takes(binary, subcommand, option):
    """Whether the binary's subcommand knows this option: --redis."""
    done = subprocess.run([binary, subcommand, "--help"], capture_output=True, text=True,
                          check=False, env=environment({}))
    return any(line.split()[:1] == [option] for line in done.stdout.splitlines())


class Process(Server):
    """What a node and a worker have in common. It runs as we do, since the binary may lie where
    nobody else can read; URLs go by the environment, as passwords in arguments show in `ps`."""

    READY = b" event=ready"
    STOP_SIGNAL = signal.SIGTERM

    def __init__(self, binary, urls, *flags, folder=None):
        """`urls`: variable -> value, such as COUPON_LEDGER."""
        super().__init__(folder)
        self.NAME = self.folder.name  # one of several
        self.binary = str(binary)
        self.urls = dict(urls)
        self.flags = [str(flag) for flag in flags]
        self.exit_code = None  # of the process that ended last

    def make(self):
        pass

    def started_as(self):
        # What is told by /proc is otherwise for root alone: tests look there.
        looked_at = {} if os.geteuid() == 0 else {"COUPON_CORE_DUMPS": "on"}
        return {"env": environment({**looked_at, **self.urls})}

    @property
    def pid(self):
        return self.process.pid

    def _end(self, number):
        process = self.process
        super()._end(number)
        if process:
            self.exit_code = process.returncode

    def hold(self):
        """SIGSTOP: it keeps its connections and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def release(self):
        os.kill(self.pid, signal.SIGCONT)


class Node(Process):
    NAME = "api"

    def command(self):
        return [self.binary, "serve", "--listen", self.address, *self.flags]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def url(self):
        return f"http://{self.address}"


class Worker(Process):
    """It listens for /metrics where the binary can."""
    NAME = "worker"

    def __init__(self, binary, urls, *flags, **how):
        super().__init__(binary, urls, *flags, **how)
        self.listens = takes(binary, "worker", "--listen")

    def command(self):
        listen = ["--listen", f"127.0.0.1:{self.port}"] if self.listens else []
        return [self.binary, "worker", *listen, *self.flags]

    def url(self):
        return f"http://127.0.0.1:{self.port}" if self.listens else None
