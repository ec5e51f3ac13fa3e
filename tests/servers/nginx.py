"""nginx of Debian as the proxy in front of several nodes: no service, a private folder, and the
settings that deploy/compose.yaml has too (deploy/proxy/coupon.conf)."""

import shutil
import signal
from pathlib import Path

from servers.process import Server

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "deploy" / "proxy" / "coupon.conf"
PATHS = f"/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:{ROOT}/build/tools"

CONFIGURATION = """\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr notice;
worker_rlimit_nofile 16384;
worker_shutdown_timeout 10s;
events {{ worker_connections 8000; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include coupon.conf;
    upstream coupon {{
{nodes}
        keepalive 256;
        keepalive_requests 1000000;
        keepalive_timeout 50s;  # below a node's 60 s, so that nginx is the one who closes
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://coupon; }}
    }}
}}
"""
# A node that refuses connections is left out for a moment only: it may be back at once.
NODE = "        server {address} max_fails=1 fail_timeout=1s;"


def program():
    return shutil.which("nginx", path=PATHS)


class Nginx(Server):
    NAME = "nginx"
    READY = b"start worker processes"
    STOP_SIGNAL = signal.SIGQUIT  # requests under way are answered

    def __init__(self, addresses, folder=None):
        """In front of the nodes at these addresses, HOST:PORT."""
        super().__init__(folder)
        self.addresses = list(addresses)

    @staticmethod
    def missing():
        """Why it cannot run here, or None."""
        return None if program() else "nginx is not installed (package nginx-light)"

    def make(self):
        # the one in build/tools may lie where only we can reach it
        shutil.copy(program(), self.folder / "nginx")
        (self.folder / "nginx").chmod(0o755)
        shutil.copy(SETTINGS, self.folder / "coupon.conf")
        (self.folder / "coupon.conf").chmod(0o644)

    def command(self):
        nodes = "\n".join(NODE.format(address=address) for address in self.addresses)
        path = self.folder / "nginx.conf"
        path.write_text(CONFIGURATION.format(nodes=nodes, port=self.port))
        path.chmod(0o644)
        return [self.folder / "nginx", "-e", "stderr", "-p", self.folder, "-c", path]

    def url(self):
        return f"http://127.0.0.1:{self.port}"
