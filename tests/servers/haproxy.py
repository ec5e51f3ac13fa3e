"""haproxy of Debian as a proxy in front of nodes: no service, a private folder. ./dev unpacks it into
build/tools/haproxy, since installing the package would start it at every boot."""

import os
import shutil
import signal
from pathlib import Path

from servers.process import Server

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "tools" / "haproxy"
PATHS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

CONFIGURATION = """\
global
    nbthread 1
    maxconn 4000
{global_lines}
defaults
    mode http
    option http-buffer-request
    timeout connect 1s
    timeout client 60s
    timeout http-request 10s
    timeout server 40s
{default_lines}
listen coupon
    bind 127.0.0.1:{port}
    http-reuse always
{nodes}
"""


def program():
    unpacked = UNPACKED / "usr" / "sbin" / "haproxy"
    return str(unpacked) if unpacked.exists() else shutil.which("haproxy", path=PATHS)


class HAProxy(Server):
    NAME = "haproxy"
    READY = b"Loading success"  # of the master; the worker listens by then
    STOP_SIGNAL = signal.SIGUSR1  # requests under way are answered

    def __init__(self, addresses, folder=None, global_lines=(), default_lines=()):
        """In front of the nodes at these addresses, HOST:PORT; more lines of configuration."""
        super().__init__(folder)
        self.addresses = list(addresses)
        self.global_lines = list(global_lines)
        self.default_lines = list(default_lines)

    @staticmethod
    def missing():
        """Why it cannot run here, or None."""
        return None if program() else "there is no haproxy in build/tools (packages.txt, haproxy)"

    def make(self):
        # what is in build/tools may lie where only we can reach it
        shutil.copy(program(), self.folder / "haproxy")
        (self.folder / "haproxy").chmod(0o755)
        (self.folder / "lib").mkdir()
        for library in UNPACKED.glob("usr/lib/*/*.so*"):
            shutil.copy(library, self.folder / "lib" / library.name)
            (self.folder / "lib" / library.name).chmod(0o644)
        (self.folder / "lib").chmod(0o755)

    def command(self):
        nodes = "\n".join(f"    server s{number} {address}"
                          for number, address in enumerate(self.addresses))
        path = self.folder / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(
            port=self.port, nodes=nodes,
            global_lines="\n".join("    " + line for line in self.global_lines),
            default_lines="\n".join("    " + line for line in self.default_lines)))
        path.chmod(0o644)
        return [self.folder / "haproxy", "-W", "-db", "-f", path]

    def started_as(self):
        return {**super().started_as(),
                "env": {**os.environ, "LD_LIBRARY_PATH": str(self.folder / "lib")}}

    def url(self):
        return f"http://127.0.0.1:{self.port}"
