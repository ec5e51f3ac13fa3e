"""A database server as a process: made, started, watched by its log, ended by its pid."""

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
ATTEMPTS = 5  # a free port may be taken between looking and using it


def free_port():
    """A port that no connection is given by chance: below those that the system hands out, since
    a server that restarts wants its own back."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        port = random.randrange(max(1024, first // 2), first)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port was found")


def other_user():
    """How to start what refuses to be root: Popen's arguments."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def children_of(pid):
    """The pids of its children, which a server has one of for each session."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(word) for task in Path(f"/proc/{pid}/task").iterdir()
                for word in (task / "children").read_text().split()]
    return []


def wait_for_end(pidfds, seconds):
    """Whether all of them ended within so many seconds."""
    for pidfd in pidfds:
        if not select.select([pidfd], [], [], seconds)[0]:
            return False
    return True


class Server:
    """What PostgreSQL and MariaDB have in common. A subclass has NAME, READY (the bytes of the
    log line that says so), STOP_SIGNAL, FATAL (of the log line of a port that is taken), and
    make(), command(), url()."""

    def __init__(self, folder=None):
        """`folder` must be reachable by everybody; without one it is a new one in TMPDIR."""
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"coupon-{self.NAME}-"))
        self.folder_is_ours = folder is None
        self.port = 0
        self.process = None
        self.settings = []  # more arguments of the next start
        self.prefix = []  # what it is started by: ["env", "NAME=VALUE"]
        self.made = False
        self.own_session = False  # True: the terminal's Ctrl-C does not reach it

    # ---- life ----

    def start(self):
        """Starts it, made at first, and returns its URL once it takes connections. On the
        port that it had before."""
        assert self.process is None
        if not self.made:
            shutil.chown(self.folder, *(("nobody", "nogroup") if os.geteuid() == 0 else
                                        (os.geteuid(), os.getegid())))
            self.make()
            self.made = True
        had_port = self.port
        for _ in range(ATTEMPTS):
            self.port = had_port or free_port()
            if self._start_once():
                return self.url()
        raise RuntimeError(f"{self.NAME} did not start:\n{self.log()}")

    def _start_once(self):
        # Of this start alone: the one before may be at the end of its log still.
        ready, told = threading.Event(), threading.Event()
        self.process = subprocess.Popen(
            [*self.prefix, *self.command(), *self.settings], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=self.own_session, **self.started_as())
        threading.Thread(target=self._watch, args=(self.process.stdout, ready, told),
                         daemon=True).start()
        told.wait(READY_TIMEOUT_S)
        if self.process.poll() is None and ready.is_set():
            return True
        self.kill()
        return False

    def _watch(self, stream, ready, told):
        """Keeps the log; says when the server is ready, or will not be."""
        with stream, open(self.folder / "log", "ab", buffering=0) as log:
            for line in stream:
                log.write(line)
                if self.READY in line:
                    ready.set()
                    told.set()
        told.set()

    def stop(self):
        """Ends it as an operator does; sessions that are open are cut off."""
        self._end(self.STOP_SIGNAL)

    def kill(self):
        """Ends it and all of its sessions at once, by SIGKILL, in the midst of whatever they do."""
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self.process is None:
            return
        pidfds = []
        for pid in [self.process.pid, *children_of(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                pidfds.append(os.pidfd_open(pid))
        try:
            targets = pidfds if number == signal.SIGKILL else pidfds[:1]
            for pidfd in targets:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
            if not wait_for_end(pidfds, STOP_TIMEOUT_S):
                raise RuntimeError(f"{self.NAME} did not end:\n{self.log()}")
            self.process.wait()
        finally:
            for pidfd in pidfds:
                os.close(pidfd)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def pause(self, pid):
        """SIGSTOP for the process of one session, or SIGCONT with resume."""
        assert pid in children_of(self.process.pid)
        os.kill(pid, signal.SIGSTOP)

    def resume(self, pid):
        os.kill(pid, signal.SIGCONT)

    # ---- around it ----

    def started_as(self):
        """As whom, and with what: Popen's arguments."""
        return other_user()

    def run_as(self, *command, **how):
        """Runs a tool as the user that the server runs as; fails loudly."""
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              stdin=subprocess.DEVNULL, **other_user(), **how)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.kill()
        finally:
            if self.folder_is_ours:
                shutil.rmtree(self.folder, ignore_errors=True)
