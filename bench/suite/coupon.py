"""Our server: started on a data folder, given coupons, ended, and its record checked."""

import json
import re
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from suite.processes import Refused, finished, free_port, running, wait_until

VERIFY_SECONDS_MAX = 600


@dataclass
class Coupon:
    process: object
    port: int
    data: Path
    log: Path

    @property
    def token(self):
        return (self.data / "admin-token").read_text().strip()

    def metrics(self):
        return metrics_of(f"http://127.0.0.1:{self.port}")

    def new_coupon(self, title, quantity):
        return new_coupon(self.port, self.token, title, quantity)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        if code != 0:
            raise Refused(f"coupon ended with {code}:\n{self.log.read_text()}")


@contextmanager
def coupon_server(binary, folder, loops):
    """A server on a new record in `folder`/data. The block may stop() it."""
    port, data, log = free_port(), folder / "data", folder / "coupon.log"
    command = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", data,
               "--threads", loops]
    with running(command, log) as process:
        wait_until("coupon", process, log, lambda: answers(port, "/readyz"))
        yield Coupon(process, port, data, log)


def body_of_coupon(title, quantity):
    """What is posted for a coupon that is open; quantity None: unlimited."""
    now = time.time()
    at = [time.strftime("%FT%TZ", time.gmtime(now + seconds)) for seconds in (-60, 86400)]
    return json.dumps({"title": title, "totalQuantity": quantity, "issueStart": at[0],
                       "issueEnd": at[1]})


def new_coupon(port, token, title, quantity):
    """The id of a coupon that is open; quantity None: unlimited."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/coupons", body_of_coupon(title, quantity).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)["id"]


def metrics_of(url):
    """All that a server tells of itself, as text."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as reply:
        return reply.read().decode()


def metric(text, name):
    """The value of a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    if not found:
        raise Refused(f"/metrics has no {name}")
    return float(found.group(1))


def answers(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
            return reply.status == 200
    except urllib.error.HTTPError as refusal:
        return refusal.code == 409  # nginx, in the case sold out
    except OSError:
        return False


def exchange(port, path, user):
    """One claim the way wrk sends it. Returns the reply, every byte of it."""
    body = json.dumps({"userId": user}, separators=(",", ":"))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        reply = b""
        while not complete(reply):
            part = connection.recv(65536)
            if not part:
                raise Refused(f"the connection to port {port} ended in a reply: {reply!r}")
            reply += part
    return reply


def complete(reply):
    head, end, body = reply.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end and length) and len(body) == int(length[0].partition(b":")[2])


def record_rows(data, statement, *values):
    """What a query of a record gives that no server has open."""
    with closing(sqlite3.connect(f"file:{data}/coupon.db?mode=ro", uri=True)) as ledger:
        return ledger.execute(statement, values).fetchall()


def check_record(binary, data, told, cut_off_max):
    """Every success that a client was told is in the record; what was cut off may be there too.
    Returns the number of rows."""
    finished([binary, "verify", "--data", data], VERIFY_SECONDS_MAX)
    rows = record_rows(data, "SELECT count(*) FROM coupon_issues")[0][0]
    if not 0 <= rows - told <= cut_off_max:
        raise Refused(f"clients were told of {told} issues, the record has {rows}")
    return rows
