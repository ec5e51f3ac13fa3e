"""The server under load: one of our own as a process, or any by its API.

For run.py. Not for: claiming (locustfile.py).
"""

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

PAGE = 1000
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60


class ApiError(Exception):
    """A sentence about a call that did not work."""


def first_token(path):
    """Of a file of tokens: lines of TOKEN or NAME TOKEN, # before a note."""
    lines = path.read_text(encoding="utf-8").splitlines()
    words = next((line.split() for line in lines if line.strip() and line[0] != "#"), None)
    if not words:
        raise ApiError(f"there is no token in {path}")
    return words[-1]


class Api:
    """The few calls that the load test itself makes."""

    def __init__(self, url, token=None):
        self.url, self.token = url, token
        # A proxy that the environment names is not meant for a server under test.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")
        except (OSError, ValueError) as error:
            raise ApiError(f"{method} {self.url}{path}: {error}")

    def coupon(self, number):
        return self.call("GET", f"/v1/coupons/{number}")

    def create_coupon(self, quantity):
        now = datetime.now(timezone.utc)
        return self.call("POST", "/v1/coupons", {
            "title": "Load test", "totalQuantity": quantity,
            "issueStart": (now - timedelta(hours=1)).isoformat(),
            "issueEnd": (now + timedelta(days=1)).isoformat()})

    def rows(self, coupon):
        """[(rank, user)] of the coupon, in the record's order, page after page."""
        rows, after = [], 0
        while True:
            page = self.call("GET", f"/v1/coupons/{coupon}/issues?after={after}&limit={PAGE}")
            rows += [(issue["rank"], issue["userId"]) for issue in page["issues"]]
            if not page["issues"]:
                return rows
            after = page["next"]


def end(process, number, timeout_s):
    """Asks the process to end, then makes it, also when this is interrupted. Its exit code."""
    try:
        if process.poll() is None:
            process.send_signal(number)
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
    return process.wait()


class OwnServer:
    """`coupon serve` on a free port, its data folder new, its log in a file."""

    def __init__(self, binary, data, log):
        self.binary, self.data, self.log = binary, data, log
        self.process = None
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("COUPON_")}

    def start(self):
        """Returns its Api once it is ready."""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data)],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        address = self.address()
        return Api("http://" + address, first_token(self.data / "admin-token"))

    def address(self):
        """What it logs with event=listening, once it has also logged event=ready."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            lines = self.log.read_text(errors="replace").splitlines()
            if any(" event=ready" in line for line in lines):
                listening = next(line for line in lines if " event=listening" in line)
                return listening.split(" address=")[1].split()[0].strip('"')
            time.sleep(0.05)
        raise ApiError(f"the server did not get ready; see {self.log}")

    def stop(self):
        return end(self.process, signal.SIGTERM, STOP_TIMEOUT_S) if self.process else None

    def verify(self):
        return subprocess.run([self.binary, "verify", "--data", str(self.data)], text=True,
                              capture_output=True, env=self.environment, timeout=600)

    def rows(self, coupon):
        """[(rank, user)] of the coupon, in the record's order; the server has ended."""
        database = sqlite3.connect(f"file:{self.data}/coupon.db?mode=ro", uri=True)
        try:
            return database.execute("SELECT rank_no, user_id FROM coupon_issues"
                                    " WHERE coupon_id = ? ORDER BY rank_no", (coupon,)).fetchall()
        finally:
            database.close()
