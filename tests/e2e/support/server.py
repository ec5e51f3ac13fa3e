"""A coupon server as a process: started, read by its log, ended by its pid."""

import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time

from support import ledgers
from support.wire import Client, Connection

BINARY = os.path.abspath(os.environ.get("COUPON_BINARY", "build/coupon"))
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
FIELD = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^ "]*)')
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:",
                   "Assertion ")


def logfmt(line):
    """A log line as a dict; {} for a line that is none."""
    fields = {}
    for key, value in FIELD.findall(line):
        fields[key] = json.loads(value) if value.startswith('"') else value
    return fields if "event" in fields else {}


def environment(more=None):
    """Ours, without the server's own variables a developer may have set."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("COUPON_") or key == "COUPON_TEST_SEED"}
    kept.update(more or {})
    return kept


def run(*arguments, env=None, timeout_s=60):
    """A command of the binary that ends by itself: exit code, stdout, stderr as text."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          env=environment(env), timeout=timeout_s, stdin=subprocess.DEVNULL)
    for word in SANITIZER_WORDS:
        assert word not in done.stderr, done.stderr
    return done


def verify(data):
    """Of the record that the servers of this folder have."""
    ledger = ledgers.of(data)
    if ledger:
        return run("verify", env={"COUPON_LEDGER": ledger.url}, timeout_s=120)
    return run("verify", "--data", data, timeout_s=120)


class Server:
    """`coupon serve` on a free port and a data folder of its own. With COUPON_TEST_LEDGER its record
    is in a SQL server instead (support/ledgers.py), and the folder holds the token."""

    def __init__(self, data, *flags, env=None, listen="127.0.0.1:0", under=()):
        self.data = data
        self.ledger = ledgers.make(data)
        self.flags = [str(flag) for flag in flags]
        self.listen = listen
        self.under = list(under)  # a command that runs ours
        self.env = environment(env)
        if self.ledger:
            self.env.update(self.ledger.environment())
        self.process = None
        self.address = None
        self.lines = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = None

    # -- life ------------------------------------------------------------------------

    def spawn(self):
        """Starts the process and waits for nothing."""
        assert not self.running()
        command = self.under + [BINARY, "serve", *self._place()]
        if self.listen:
            command += ["--listen", self.listen]
        self.lines, self._ended = [], False
        self.process = subprocess.Popen(command + self.flags, stderr=subprocess.PIPE, text=True,
                                        errors="replace", env=self.env, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()
        return self

    def _place(self):
        """What tells it where its record and its token are."""
        if not self.ledger:
            return ["--data", str(self.data)]
        path = os.path.join(self.data, "admin-token")
        if not os.path.exists(path):
            os.makedirs(self.data, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        return ["--admin-token-file", path]

    def start(self):
        self.spawn()
        self.address = self.listening_at()
        self.wait_event("ready")
        return self

    def listening_at(self):
        """The address it chose, as soon as it says so."""
        host, port = self.wait_event("listening")["address"].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, timeout_s=STOP_TIMEOUT_S):
        """The exit code, once the process has ended by itself and its log is read."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        self.process.stderr.close()
        return code

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM; a server that does not end well with it fails the test."""
        self.terminate()
        code = self.wait()
        assert code == 0, "exit code %d:\n%s" % (code, self.log())
        self.assert_healthy_log()

    def kill(self):
        self.process.kill()
        self.wait()
        self.assert_healthy_log()

    def end(self):
        """For the end of a test, however it went."""
        if self.running():
            self.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process and not self.process.stderr.closed:
            self.wait()
        self.assert_healthy_log()

    def restart(self):
        self.stop()
        return self.start()

    # -- log -------------------------------------------------------------------------

    def _read(self, stream):
        for line in stream:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def log(self):
        with self._changed:
            return "\n".join(self.lines)

    def events(self, name):
        with self._changed:
            parsed = [logfmt(line) for line in self.lines]
        return [fields for fields in parsed if fields.get("event") == name]

    def wait_event(self, name, timeout_s=READY_TIMEOUT_S):
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    fields = logfmt(line)
                    if fields.get("event") == name:
                        return fields
                seen = len(self.lines)
                assert not self._ended, "ended before %s:\n%s" % (name, "\n".join(self.lines))
                left = deadline - time.monotonic()
                assert left > 0, "no %s in time:\n%s" % (name, "\n".join(self.lines))
                self._changed.wait(left)

    def assert_healthy_log(self):
        log = self.log()
        for word in SANITIZER_WORDS:
            assert word not in log, log

    # -- calls -----------------------------------------------------------------------

    @property
    def token(self):
        with open(os.path.join(self.data, "admin-token"), encoding="ascii") as file:
            return file.read().strip()

    def admin(self):
        return Client(self.address, self.token)

    def client(self):
        return Client(self.address)

    def connect(self, **rest):
        return Connection(self.address, **rest)
