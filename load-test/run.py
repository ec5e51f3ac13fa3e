#!/usr/bin/python3
"""The load test: Locust's crowd against a server, and then the question whether what the
clients were told is what the record says.

Called by ./dev load-test, which has installed Locust and built the server. Not for: how fast
the server is (./dev bench does that; here Python is the slow part), nor for the crowd
(locustfile.py) and the judging (compare.py).

Every process it starts has a session of its own, so that Ctrl-C reaches only this one, which
then ends them in order by their ids: the crowd first, the server after it.
"""

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import compare
from target import Api, ApiError, OwnServer, end, first_token

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WEB_PORT = 8089
WORKERS_MAX_WAIT_S = 60
STOP_TIMEOUT_S = 15
# Locust's own settings in the environment would change what is run here.
FOREIGN = ("LOCUST_", "COUPON_", "LOAD_TEST_")


DESCRIPTION = """\
Lets a crowd claim a coupon, made by Locust: a master and some workers, each a process.
Afterwards it compares what the clients were told with the record. Exit code 0: they
agree; 1: they do not; 2: it could not be run."""
EPILOG = """\
Without --target it starts a server of its own, with a data folder of its own. With
--target the record is read through the API, and nobody else may claim meanwhile; without
a token, or of a coupon that was claimed before, only its count can be compared.
Ctrl-C ends the load; the comparison is made all the same. Twice: all of it."""


def say(*words):
    print("load-test:", *words, file=sys.stderr, flush=True)


def seconds_of(text):
    found = re.fullmatch(r"(\d+)(s|m|)", text)
    if not found or int(found.group(1)) == 0:
        raise argparse.ArgumentTypeError(f"wants seconds or minutes, such as 30s or 2m, not {text}")
    return int(found.group(1)) * (60 if found.group(2) == "m" else 1)


def number(low, high):
    def read(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"wants a number from {low} to {high}, not {text}")
        return int(text)
    return read


def read_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev load-test", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--workers", type=number(1, 64), default=2, metavar="N",
                        help="Locust's worker processes [2]")
    parser.add_argument("--users", type=number(1, 100000), default=90, metavar="N",
                        help="clients at once, each claims about ten times a second [90]")
    parser.add_argument("--duration", type=seconds_of, default=30, metavar="30s",
                        help="how long [30s]")
    parser.add_argument("--quantity", type=number(1, 4000000000), default=500, metavar="N",
                        help="the new coupon's quantity [500]")
    parser.add_argument("--target", metavar="URL", help="a server that runs already")
    parser.add_argument("--admin-token-file", metavar="FILE",
                        help="with --target: makes the coupon with this token")
    parser.add_argument("--coupon", type=number(1, 2**53 - 1), metavar="ID",
                        help="with --target: claims this coupon instead of a new one")
    parser.add_argument("--ui", action="store_true",
                        help=f"Locust's own page on http://127.0.0.1:{WEB_PORT} starts and "
                             "stops the load; Ctrl-C ends")
    parser.add_argument("--web-port", type=number(1, 65535), default=WEB_PORT, metavar="N",
                        help="another port for that page")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "load-test", metavar="DIR",
                        help="where reports go [build/load-test]")
    options = parser.parse_args(arguments)
    if bool(options.target) != bool(options.admin_token_file or options.coupon):
        parser.error("--target goes with --admin-token-file FILE (makes a coupon) or --coupon ID")
    if options.users < options.workers:
        parser.error("--users must be at least --workers")
    return options


# ---- the folder ------------------------------------------------------------------------------

def prepare(folder):
    """An output folder without what a former run left. The lock's descriptor: one run at once."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"load-test: another run uses {folder}; wait, or give --output DIR")
    for name in ("data", "told", "logs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for old in [*folder.glob("locust*"), *folder.glob("comparison*")]:
        old.unlink()
    for name in ("told", "logs"):
        (folder / name).mkdir()
    return lock


# ---- Locust ----------------------------------------------------------------------------------

class Crowd:
    """Locust's master and workers."""

    def __init__(self, options, url, coupon):
        self.options, self.url, self.coupon = options, url, coupon
        self.run = f"u{int(time.time() * 1000):x}"
        self.processes = []  # the master first
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def spawn(self, name, arguments):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        kept.update(LOAD_TEST_COUPON=str(self.coupon), LOAD_TEST_RUN=self.run,
                    LOAD_TEST_WORKER=name, PYTHONUNBUFFERED="1",
                    LOAD_TEST_TOLD=str(self.options.output / "told" / f"{name}.ndjson"))
        with open(self.options.output / "logs" / f"{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(
                ["/usr/bin/python3", str(HERE / "locust_main.py"), "-f",
                 str(HERE / "locustfile.py"), "--host", self.url, *map(str, arguments)],
                env=kept, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                cwd=self.options.output, start_new_session=True))

    def start(self):
        options = self.options
        master = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", self.port,
                  "--stop-timeout", STOP_TIMEOUT_S, "--csv", "locust", "--html", "locust.html"]
        if options.ui:
            master += ["--web-host", "127.0.0.1", "--web-port", options.web_port,
                       "--users", options.users, "--spawn-rate", options.users]
        else:
            master += ["--headless", "--only-summary", "--users", options.users,
                       "--spawn-rate", options.users, "--run-time", options.duration,
                       "--expect-workers", options.workers,
                       "--expect-workers-max-wait", WORKERS_MAX_WAIT_S]
        self.spawn("master", master)
        for worker in range(1, options.workers + 1):
            self.spawn(f"worker-{worker}", ["--worker", "--master-host", "127.0.0.1",
                                            "--master-port", self.port])

    @property
    def master(self):
        return self.processes[0]

    def lost(self):
        """A worker that ended before the master did."""
        return any(worker.poll() is not None for worker in self.processes[1:])

    def end(self):
        """SIGINT lets the master end its workers and write its report; the rest by its pid."""
        left = list(self.processes)
        try:
            while left:
                end(left[0], signal.SIGINT, STOP_TIMEOUT_S + 15 if left[0] is self.master else 10)
                left.pop(0)
        finally:  # a second Ctrl-C
            for process in left:
                process.kill()
                process.wait()

    def told_paths(self):
        return sorted((self.options.output / "told").glob("worker-*.ndjson"))

    def summary(self):
        """Locust's own tables, without the lines of its log."""
        text = (self.options.output / "logs" / "master.log").read_text(errors="replace")
        return "\n".join(line for line in text.splitlines()
                         if line.strip() and not re.match(r"\[\d{4}-\d\d-\d\d ", line))


class Counter:
    """How many answers the workers have written down so far, without reading any twice."""

    def __init__(self):
        self.answers = self.failures = 0
        self.offsets = {}

    def look(self, paths):
        for path in paths:
            with open(path, "rb") as record:
                record.seek(self.offsets.get(path, 0))
                new = record.read()
            whole = new[:new.rfind(b"\n") + 1]
            self.offsets[path] = self.offsets.get(path, 0) + len(whole)
            self.answers += whole.count(b"\n")
            self.failures += whole.count(b'"answer":"failed"')


def watch(crowd, api):
    """Shows how it goes until the master ends. False: a worker was lost."""
    counter, began, former, live = Counter(), None, 0, sys.stdout.isatty()
    while crowd.master.poll() is None:
        try:
            crowd.master.wait(1)
        except subprocess.TimeoutExpired:
            pass
        counter.look(crowd.told_paths())
        if began is None and counter.answers:
            began = time.monotonic()
        if began is None or crowd.master.poll() is not None:
            continue
        try:
            coupon = api.coupon(crowd.coupon)
            issued = f"{coupon['issuedQuantity']:,} of {coupon['totalQuantity'] or 'unlimited'}"
        except (ApiError, OSError) as error:
            issued = f"unknown ({error})"
        print(f"{time.monotonic() - began:6.0f} s  issued {issued}, answers {counter.answers:,} "
              f"({counter.answers - former:,}/s), failed {counter.failures:,}",
              end="\033[K\r" if live else "\n", flush=True)
        former = counter.answers
        if crowd.lost() and crowd.master.poll() is None:
            try:
                crowd.master.wait(5)  # it may be ending just now, its workers before it
            except subprocess.TimeoutExpired:
                return False
    print(end="\n" if live else "", flush=True)
    return True


# ---- the whole -------------------------------------------------------------------------------

def run_crowd(options, api, coupon):
    """Returns the crowd, ended, and whether all of it lived to the end."""
    crowd = Crowd(options, api.url, coupon)
    whole = True
    try:
        crowd.start()
        say(f"{options.workers} workers, {options.users} users"
            + ("" if options.ui else f", {options.duration} s") + f", against {api.url}")
        if options.ui:
            say(f"open http://127.0.0.1:{options.web_port} and press start; Ctrl-C ends")
        whole = watch(crowd, api)
    except KeyboardInterrupt:
        say("ending the load; the comparison follows")
    finally:
        crowd.end()
    return crowd, whole


def conclude(options, crowd, told, findings, notes):
    """Prints both tables and keeps them. True: they agree."""
    agree = all(finding.agrees for finding in findings)
    tables = "\n".join([compare.answers_table(told), "", compare.findings_table(findings), "",
                        *notes, "",
                        "clients and record agree" if agree else "clients and record DISAGREE"])
    print(f"\n{crowd.summary()}\n\n{tables}")
    (options.output / "comparison.txt").write_text(tables + "\n")
    (options.output / "comparison.json").write_text(json.dumps({
        "answers": dict(told.counts), "failures": {str(why): count for why, count
                                                   in told.failures.items()},
        "findings": [finding.__dict__ | {"agrees": finding.agrees} for finding in findings],
        "agree": agree}, indent=1) + "\n")
    say(f"Locust's report: {options.output}/locust.html, locust_*.csv; all answers: told/")
    return agree


def finish(options, crowd, whole, told, findings, notes):
    agree = conclude(options, crowd, told, findings, notes)
    if not whole:
        say(f"a worker ended early; see {options.output}/logs/")
        return 2 if agree else 1
    if not told.total():
        say(f"no claim was made; see {options.output}/logs/")
        return 2
    return 0 if agree else 1


def against_own(options):
    server = OwnServer(os.environ.get("COUPON_BINARY", str(ROOT / "build" / "coupon")),
                       options.output / "data", options.output / "logs" / "server.log")
    try:
        api = server.start()
        coupon = api.create_coupon(options.quantity)["id"]
        crowd, whole = run_crowd(options, api, coupon)
    finally:
        stopped = server.stop()
    verdict = server.verify()
    told = compare.read_told(crowd.told_paths())
    findings = compare.compare_with_record(told, server.rows(coupon), options.quantity)
    findings.append(compare.Finding("the server ended well", "", f"exit {stopped}",
                                    [] if stopped == 0 else ["see logs/server.log"]))
    findings.append(compare.Finding("coupon verify", "", f"exit {verdict.returncode}",
                                    [] if verdict.returncode == 0 else
                                    (verdict.stdout + verdict.stderr).splitlines()))
    last_line = (verdict.stdout.strip().splitlines() or ["nothing"])[-1]
    return finish(options, crowd, whole, told, findings, ["coupon verify says: " + last_line])


def against_target(options):
    token = first_token(Path(options.admin_token_file)) if options.admin_token_file else None
    api = Api(options.target.rstrip("/"), token)
    before = api.coupon(options.coupon) if options.coupon else api.create_coupon(options.quantity)
    if before["totalQuantity"] is None:
        sys.exit("load-test: an unlimited coupon cannot be judged; take another")
    crowd, whole = run_crowd(options, api, before["id"])
    told = compare.read_told(crowd.told_paths())
    findings, notes = judge_target(api, told, before)
    return finish(options, crowd, whole, told, findings, notes)


def judge_target(api, told, before):
    """With an admin's token, of a coupon that nobody had claimed: against the record that the
    server tells. Else only against the coupon's count."""
    quantity, issued = before["totalQuantity"], before["issuedQuantity"]
    if not api.token or issued:
        after = api.coupon(before["id"])["issuedQuantity"]
        return compare.compare_with_count(told, issued, after, quantity), [
            "Compared with the count that the server tells of its coupon (GET), not with",
            "its record: ranks and users are compared between clients only."]
    rows = api.rows(before["id"])
    after = api.coupon(before["id"])["issuedQuantity"]
    findings = compare.compare_with_record(told, rows, quantity)
    findings.append(compare.Finding("the coupon's own count", str(after), str(len(rows)),
                                    [] if after == len(rows) else ["they should be one number"]))
    return findings, ["Compared with the record as the server tells it (GET .../issues)."]


def main():
    options = read_arguments(sys.argv[1:])
    options.output = options.output.resolve()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, signal.default_int_handler)
    lock = prepare(options.output)
    try:
        return against_target(options) if options.target else against_own(options)
    except (ApiError, OSError, subprocess.SubprocessError) as error:
        say(error)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(lock)


if __name__ == "__main__":
    sys.exit(main())
