"""nginx and haproxy in front of an origin, with a log that tells of each request what the client was
answered and how often the origin was asked.

Not for: how coupon is run behind a proxy in earnest (deploy/proxy). Called by compare.py.
"""

import re
import socket

from servers import haproxy, nginx

LOG_TIMEOUT_S = 20
LINE = re.compile(rb"hostile status=(\S+) asked=(.*) target=(.*)", re.DOTALL)

NGINX = """\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr notice;
events {{ worker_connections 1000; }}
http {{
    log_format hostile escape=none 'hostile status=$status asked=$upstream_status target=$request_uri';
    access_log syslog:server=127.0.0.1:{log_port},nohostname hostile;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_ignore_client_abort on;  # who half-closes still waits for the answer
    proxy_request_buffering on;
    proxy_next_upstream off;
    upstream origin {{
        server {address};
        keepalive 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://origin; }}
    }}
}}
"""


class Log:
    """Receives what a proxy sends to syslog; one datagram a request, in their order."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(LOG_TIMEOUT_S)
        self.port = self.socket.getsockname()[1]

    def until(self, target):
        """(status, how often the origin was asked) of each request before the one for `target`."""
        entries = []
        while True:
            match = LINE.search(self.socket.recv(65536))
            if not match:
                continue
            status, asked, seen = match.groups()
            if seen.strip(b"\0\n ") == target:
                return entries
            entries.append((status.decode(), self.asked(asked.decode())))

    @staticmethod
    def asked(text):
        """nginx lists the origin's statuses, or says -; haproxy names it, or says <NOSRV>."""
        return 0 if text in ("-", "", "<NOSRV>") else text.count(",") + 1

    def close(self):
        self.socket.close()


class Nginx(nginx.Nginx):
    def __init__(self, address):
        super().__init__([address])
        self.log_lines = Log()

    def command(self):
        super().command()
        path = self.folder / "nginx.conf"
        path.write_text(NGINX.format(address=self.addresses[0], port=self.port,
                                     log_port=self.log_lines.port))
        return [self.folder / "nginx", "-e", "stderr", "-p", self.folder, "-c", path]

    def __exit__(self, *how):
        super().__exit__(*how)
        self.log_lines.close()


class HAProxy(haproxy.HAProxy):
    def __init__(self, address):
        self.log_lines = Log()
        super().__init__(
            [address],
            global_lines=[f"log 127.0.0.1:{self.log_lines.port} len 65535 format raw local0"],
            default_lines=["log global",
                           "timeout client 1s",  # who waits for ever is told apart sooner
                           'log-format "hostile status=%ST asked=%s target=%HU"'])

    def __exit__(self, *how):
        super().__exit__(*how)
        self.log_lines.close()


PROXIES = {"nginx": Nginx, "haproxy": HAProxy}


def missing():
    """Why there is nothing to compare with, or None."""
    return nginx.Nginx.missing() or haproxy.HAProxy.missing()
