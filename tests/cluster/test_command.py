"""./dev cluster as a user starts it: what it prints can be used, Ctrl-C ends all of it."""

import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, need
from support.load_test import judgement, needs_locust
from support.server import BINARY

COMMAND = ["/usr/bin/python3", str(ROOT / "cluster" / "run.py")]
LAST_LINE = "Ctrl-C stops all of it.\n"
END_TIMEOUT_S = 120


def environment():
    return {**os.environ, "COUPON_BINARY": BINARY, "no_proxy": "*"}


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False,
                          env=environment(), timeout=END_TIMEOUT_S, stdin=subprocess.DEVNULL)


class Started:
    """The command, and what it printed."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=environment(), start_new_session=True)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if line == LAST_LINE:
                return
        raise AssertionError(self.process.communicate()[1])

    @property
    def text(self):
        return "".join(self.lines)

    def pids(self):
        return [int(pid) for pid in re.findall(r"^  [a-z]+[-0-9]* +(\d+)  \w+://", self.text,
                                               re.MULTILINE)]

    def folder(self):
        return Path(self.line("admin token")[-1]).parent

    def line(self, beginning):
        """The words of a line to paste."""
        return shlex.split(next(line for line in self.lines if line.strip().startswith(beginning)))

    def end(self, number=signal.SIGINT):
        """Exit code and what it said."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=END_TIMEOUT_S)[1]
        return self.process.returncode, errors

    def kill(self):
        """At the end of a test that failed."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=END_TIMEOUT_S)


@pytest.fixture
def started():
    made = []

    def start(*arguments):
        made.append(Started(*arguments))
        return made[-1]

    yield start
    for one in made:
        one.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_of_it_ends_with_a_signal(started, number):
    need("sql")
    command = started("--mode", "sql", "--api", "3")
    pids = command.pids()
    assert len(pids) == 5  # proxy, three nodes, the SQL server
    pidfds = [os.pidfd_open(pid) for pid in pids]
    folder = command.folder()
    assert (folder / "api-3" / "log").is_file()
    code, errors = command.end(number)
    assert code == 0, errors
    assert re.findall(r"stopping (\S+)", errors) == ["proxy", "api-1", "api-2", "api-3", "mariadb"]
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 0)[0], "still running"
        os.close(pidfd)
    assert not folder.exists()


@needs_locust
def test_the_lines_it_prints_work_as_printed(started, tmp_path):
    need("sql", "postgres")
    command = started("--mode", "sql", "--ledger", "postgres")
    claimed = subprocess.run(command.line("curl"), capture_output=True, text=True, check=True,
                             env=environment())
    assert claimed.stdout.startswith("HTTP/1.1 201 ") and '"rank":1' in claimed.stdout
    words = command.line("./dev load-test")
    done = subprocess.run(["/usr/bin/python3", ROOT / "load-test" / "run.py", *words[2:],
                           "--duration", "3s", "--users", "20", "--quantity", "100", "--output",
                           tmp_path], capture_output=True, text=True, check=False,
                          env=environment(), timeout=END_TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    judged = judgement(tmp_path)
    assert judged["agree"] and judged["answers"]["issued"] == 100
    verified = subprocess.run(["bash", "-c", shlex.join(command.line("COUPON_LEDGER=")).replace(
        "'COUPON_LEDGER=", "COUPON_LEDGER='", 1)], cwd=ROOT, capture_output=True, text=True,
        check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert command.end()[0] == 0


def test_a_named_folder_stays(started, tmp_path_factory):
    need("sql")
    folder = tmp_path_factory.getbasetemp() / "kept"
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)  # the SQL server is not root
    code, errors = started("--mode", "sql", "--folder", str(folder)).end()
    assert code == 0 and str(folder) in errors
    assert (folder / "api-1" / "log").is_file() and (folder / "mariadb" / "data").is_dir()
    again = run("--mode", "sql", "--folder", str(folder))
    assert again.returncode == 2 and "there is something in" in again.stderr


def test_a_process_that_ends_by_itself_is_told(started):
    need("sql")
    command = started("--mode", "sql")
    os.kill(command.pids()[1], signal.SIGKILL)
    line = command.process.stderr.readline()
    while "ended" not in line:
        line = command.process.stderr.readline()
    assert "api-1 ended with -9, not by us" in line
    code, errors = command.end()
    assert code == 1 and "api-1 ended with -9" in errors
    assert (command.folder() / "api-1" / "log").is_file()  # to look at
    shutil.rmtree(command.folder())


def test_a_port_that_is_taken_is_told_before_anything_starts():
    need("sql")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--mode", "sql", "--port", str(port))
    assert done.returncode == 1
    assert f"nobody can listen on port {port}" in done.stderr and "starting" not in done.stderr


def test_a_program_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path):
    """A node whose options are refused: the variable stands for whatever may be wrong."""
    need("sql")
    wrong = tmp_path / "coupon"
    wrong.write_text(f'#!/bin/sh\n[ "$2" = --help ] || export COUPON_QUEUE=wrong\n'
                     f'exec {shlex.quote(BINARY)} "$@"\n')
    wrong.chmod(0o755)
    done = subprocess.run([*COMMAND, "--mode", "sql"], capture_output=True, text=True, check=False,
                          env={**environment(), "COUPON_BINARY": str(wrong)},
                          timeout=END_TIMEOUT_S)
    assert done.returncode == 1
    assert "api-1 did not start" in done.stderr and "--queue must be" in done.stderr
    assert "stopping mariadb" in done.stderr
    folder = re.search(r"logs are in (\S+)/\*/log", done.stderr).group(1)
    assert "--queue must be" in (Path(folder) / "api-1" / "log").read_text()
    shutil.rmtree(folder)


@pytest.mark.parametrize("arguments, word", [
    (["--mode", "embedded"], "sql"), (["--api", "0"], "from 1 to 32"),
    (["--mode", "sql", "--workers", "2"], "--mode redis"),
    (["--mode", "sql", "--redis", "cluster"], "--mode redis"), (["--redis", "2"], "cluster"),
    (["--ledger", "sqlite"], "postgres"), (["--port", "0"], "65535"), (["extra"], "extra")])
def test_wrong_options_are_told(arguments, word):
    done = run(*arguments)
    assert done.returncode == 2 and "usage: ./dev cluster" in done.stderr and word in done.stderr
