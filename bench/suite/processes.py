"""Processes of ours: started in a process group of their own, so that Ctrl-C reaches only the
suite, which ends each of them by its id; and what the system tells about their cost.

Not in a session of their own: Linux shares the cores among sessions first (autogroup), and the
load generator would get as much as all threads of a server."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 30


class Refused(Exception):
    """The measurement cannot be made, or is worth nothing; the text says why."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process, seconds=30):
    """SIGTERM, and SIGKILL when that does not help."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(command, log):
    """A process that runs as long as the block, at most. Its words go to the file `log`."""
    with open(log, "wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, process_group=0)
    try:
        yield process
    finally:
        end(process)


def finished(command, seconds, stdin="", codes=(0,)):
    """Runs a program to its end. Returns its stdout; another exit code is Refused."""
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               process_group=0)
    try:
        stdout, stderr = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Refused(f"{command[0]} did not end within {seconds} s") from None
    finally:
        end(process)
    if process.returncode not in codes:
        raise Refused(f"{command[0]} ended with {process.returncode}:\n{stdout}{stderr}")
    return stdout


def wait_until(what, process, log, condition):
    """Polls until it holds. A process that ended, or 30 s, is the end of it."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Refused(f"{what} ended with {process.returncode}:\n{log.read_text()}")
        if condition():
            return
        time.sleep(0.02)
    raise Refused(f"{what} is not ready after {START_SECONDS_MAX} s:\n{log.read_text()}")


def processor_seconds(*processes):
    """User and system time of these processes (all threads) and of their children, those that
    have ended included."""
    total, pids = 0, {process.pid for process in processes}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        if int(text.split(" ", 1)[0]) in pids:
            total += sum(map(int, fields[11:15]))  # its own, and of those it has waited for
        elif int(fields[1]) in pids:
            total += sum(map(int, fields[11:13]))
    return total / TICKS
