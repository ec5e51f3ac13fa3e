"""Logs, records and their judgement: what all crash tests share.

    log = Log(folder / "operator")
    Operator(log, port, token).create(total=100)
    judge(programs, [*logs], record_of_folder(data, scratch), shared=False)

The lines are those of tests/sim/checker/log.h; the judge is history-checker. Not for: how a server
is started and ended (embedded.py, distributed.py, power.py).
"""

import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

ANSWER_TIMEOUT_S = 20
JUDGE_TIMEOUT_S = 120
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# The record's rows as lines, in SQL that all three stores take.
FLAG = "CASE WHEN {0} THEN 1 ELSE 0 END"
ROWS = {
    "coupon": "SELECT id, version, issued_quantity, COALESCE(total_quantity, -1), date_issue_start,"
              f" date_issue_end, {FLAG.format('paused = {true}')},"
              f" {FLAG.format('date_archived IS NOT NULL')} FROM coupons",
    "revision": "SELECT coupon_id, version, changed_at, COALESCE(total_quantity, -1),"
                " date_issue_start, date_issue_end,"
                f" {FLAG.format('paused = {true}')}, {FLAG.format('archived = {true}')},"
                " first_rank FROM coupon_revisions",
    "import": "SELECT coupon_id, first_rank, last_rank, date_imported FROM coupon_imports",
    "issue": "SELECT coupon_id, rank_no, user_id, COALESCE(request_key, '-'), date_issued"
             " FROM coupon_issues",
}


class Programs:
    """What was built with -Dfailpoints=true: a build folder's programs."""

    def __init__(self, build):
        build = Path(build).resolve()
        self.coupon = build / "src/cli/coupon"
        self.client = build / "tests/crash/kill/crash-client"
        self.nosync = build / "tests/crash/kill/libnosync.so"
        self.checker = build / "tests/sim/checker/history-checker"
        missing = [path for path in (self.coupon, self.client, self.nosync, self.checker)
                   if not path.exists()]
        if missing:
            raise SystemExit(f"not built: {', '.join(map(str, missing))}")


class Log:
    """Lines on the disk before the call returns."""

    def __init__(self, path):
        self.path = Path(path)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.count = 0

    def note(self, *words):
        os.write(self.descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.fsync(self.descriptor)

    def begin(self, kind, *words):
        self.count += 1
        self.note(kind, self.count, time.monotonic_ns(), *words)
        return self.count

    def crash(self):
        self.note("crash", time.monotonic_ns())

    def close(self):
        os.close(self.descriptor)


def moment(seconds):
    """So many seconds from now: microseconds, and the same as the API takes it."""
    time_us = time.time_ns() // 1000 + int(seconds * 1_000_000)
    return time_us, (EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Operator:
    """Creates and changes coupons, and keeps a log. What was not answered stays open in it."""

    FIELDS = {"total": "totalQuantity", "paused": "paused", "archived": "archived",
              "start": "issueStart", "end": "issueEnd"}

    def __init__(self, log, port, token, shared=False):
        self.log, self.port, self.token, self.shared = log, port, token, shared
        self.connection = None

    def _call(self, method, path, body):
        """(status, body), or None when there was no answer."""
        try:
            self.connection.request(method, path, json.dumps(body), {
                "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            return None

    def _connected(self):
        """A connection is made before the log tells of the call: so it dies with its server."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=ANSWER_TIMEOUT_S)
            try:
                self.connection.connect()
            except OSError:
                self.connection = None
        return self.connection is not None

    def _told(self, number, answer):
        if answer is None:
            return None
        status, body = answer
        known = status < 500 or (body["code"] in ("storage-unavailable", "overloaded", "starting")
                                 and not self.shared)
        outcome = "done" if status in (200, 201) else "refused" if known else "unknown"
        self.log.note("changed", number, time.monotonic_ns(), outcome, body.get("id", 0),
                      body.get("version", 0))
        return body if outcome == "done" else None

    def create(self, total, start_s=-3600, end_s=3600):
        """The coupon as told, or None."""
        if not self._connected():
            return None
        start_us, start = moment(start_s)
        end_us, end = moment(end_s)
        number = self.log.begin("create", 0, -1 if total is None else total, start_us, end_us)
        return self._told(number, self._call("POST", "/v1/coupons", {
            "title": "crash", "totalQuantity": total, "issueStart": start, "issueEnd": end}))

    def change(self, coupon, **fields):
        if not self._connected():
            return None
        words = [f"{name}={-1 if value is None else int(value)}" for name, value in fields.items()]
        number = self.log.begin("patch", coupon, *words)
        return self._told(number, self._call("PATCH", f"/v1/coupons/{coupon}", {
            self.FIELDS[name]: value for name, value in fields.items()}))

    def close(self):
        if self.connection:
            self.connection.close()


# ---- records ---------------------------------------------------------------------------------

def write_record(path, rows_of, true):
    with open(path, "w", encoding="ascii") as file:
        for kind, question in ROWS.items():
            for row in rows_of(question.format(true=true)):
                file.write(" ".join([kind, *map(str, row)]) + "\n")
    return path


def record_of_folder(data, path):
    """The record of a server that is dead, from a copy: what recovery will find is left as it is.
    The WAL is recovered by SQLite's own code, not by the server's."""
    scratch = Path(tempfile.mkdtemp(prefix="coupon-record-"))
    try:
        for name in ("coupon.db", "coupon.db-wal"):
            if (Path(data) / name).exists():
                shutil.copyfile(Path(data) / name, scratch / name)
        if not (scratch / "coupon.db").exists():  # it died before it had made one
            return write_record(path, lambda question: [], 1)
        with sqlite3.connect(scratch / "coupon.db") as db:
            write_record(path, db.execute, 1)
        db.close()
        return path
    finally:
        shutil.rmtree(scratch)


def record_of_sql(server, database, path):
    """The same from a SQL server that runs (tests/servers)."""
    true = "true" if server.NAME.startswith("postgres") else "1"

    def rows_of(question):
        found = server.sql(question, database)
        return [line.split("\t") for line in found.split("\n")] if found else []

    return write_record(path, rows_of, true)


# ---- judgement -------------------------------------------------------------------------------

class Judgement:
    """What history-checker found: its sentences, and its figures."""

    TELLING = ("events", "claims", "issues", "undecided")

    def __init__(self, output):
        *self.violations, last = output.strip().split("\n")
        self.figures = {word: int(number) for number, word in
                        (part.split() for part in last.split(", "))}

    def tell(self, figures):
        """What was judged, into the figures of a run; in place of what was judged before."""
        for name in self.TELLING:
            figures[name] = self.figures[name]


def judge(programs, logs, record, shared):
    flags = ["--shared"] if shared else []
    done = subprocess.run([programs.checker, *flags, *logs, "--record", record], text=True,
                          capture_output=True, timeout=JUDGE_TIMEOUT_S, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"history-checker: {done.stderr}")
    found = Judgement(done.stdout)
    assert bool(found.violations) == (done.returncode == 1), done.stdout
    return found


class Crowd:
    """crash-client as a process."""

    def __init__(self, programs, ports, coupons, log, seed, users, connections=8, stay=False):
        words = [programs.client, "--log", log, "--seed", str(seed), "--users",
                 f"1:{users}", "--connections", str(connections), "--seconds", "60"]
        words += [word for port in ports for word in ("--port", str(port))]
        words += [word for coupon in coupons for word in ("--coupon", str(coupon))]
        self.process = subprocess.Popen([*words, *(["--stay"] if stay else [])],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)
        self.logs = [f"{log}.{number}" for number in range(connections)]

    def end(self):
        """Asks it to end, as far as it has not, and waits for it."""
        if self.process.poll() is None:
            self.process.terminate()
        _, errors = self.process.communicate(timeout=60)
        if self.process.returncode not in (0, -signal.SIGTERM):  # the latter: before it had begun
            raise RuntimeError(f"crash-client ended with {self.process.returncode}: {errors}")
        return [path for path in self.logs if os.path.exists(path)]
