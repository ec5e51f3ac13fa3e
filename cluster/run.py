#!/usr/bin/python3
"""A cluster on this machine, to look at and to try things with: real servers of Debian in one
private folder on free ports, until Ctrl-C.

Called by ./dev cluster, which has installed the servers and built coupon. Not for: starting the
parts (tests/servers/cluster.py does, for the tests too), nor for running coupon anywhere but here
(deploy/compose.yaml).
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from servers.cluster import Cluster, missing  # noqa: E402  it lies in tests/

LOG_LINES = 20
DEMO_QUANTITY = 500

DESCRIPTION = """\
Starts real servers on this machine, in a private folder and on free ports: MariaDB or PostgreSQL
with the record, API nodes (coupon serve), nginx in front of them, and in mode redis also Redis and
workers (coupon worker). Prints every address and a line to try each with. Ctrl-C (or SIGTERM) stops
them in order: proxy, API nodes, workers, Redis, SQL server."""
EPILOG = """\
The record is empty at every start and goes with the folder, unless --folder names one, which
stays. Nothing is installed as a service, nothing listens beyond loopback. Every part can be killed,
stopped and continued by its pid to see what then happens: the list has them.
Exit code 0: stopped as asked; 1: something did not start or did not end well; 2: wrong options."""


def say(*words):
    print("cluster:", *words, file=sys.stderr, flush=True)


def number(low, high):
    def read(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"wants a number from {low} to {high}, not {text}")
        return int(text)
    return read


def read_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev cluster", allow_abbrev=False, description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("sql", "redis"), default="redis",
                        help="redis: Redis takes the rush, workers write to the SQL server; sql: "
                             "the nodes write to it themselves [redis]")
    parser.add_argument("--redis", choices=("1", "cluster"), default="1",
                        help="one Redis, or a Redis Cluster of three masters and three replicas [1]")
    parser.add_argument("--api", type=number(1, 32), default=2, metavar="N",
                        help="API nodes [2]")
    parser.add_argument("--workers", type=number(0, 32), metavar="N",
                        help="workers, in mode redis [3]")
    parser.add_argument("--ledger", choices=("mysql", "postgres"), default="mysql",
                        help="where the record is: MariaDB or PostgreSQL [mysql]")
    parser.add_argument("--port", type=number(1, 65535), default=0, metavar="P",
                        help="the proxy's port [any free one]")
    parser.add_argument("--folder", type=Path, metavar="DIR",
                        help="a new or empty folder for data and logs, which stays; servers that "
                             "do not run as root must reach it [a temporary one]")
    options = parser.parse_args(arguments)
    if options.mode == "sql" and (options.redis != "1" or options.workers):
        parser.error("--redis and --workers go with --mode redis")
    if options.folder and options.folder.is_dir() and any(options.folder.iterdir()):
        parser.error(f"--folder wants a new or empty folder; there is something in {options.folder}")
    options.workers = 3 if options.workers is None else options.workers
    return options


# ---- what is printed --------------------------------------------------------------------------

def demo_coupon(cluster):
    """The id of a coupon of some that anyone may claim."""
    now = datetime.now(timezone.utc)
    body = json.dumps({"title": f"Demo: {DEMO_QUANTITY} coupons", "totalQuantity": DEMO_QUANTITY,
                       "issueStart": (now - timedelta(hours=1)).isoformat(),
                       "issueEnd": (now + timedelta(days=30)).isoformat()}).encode()
    request = urllib.request.Request(
        cluster.proxy.url() + "/v1/coupons", body, method="POST",
        headers={"Content-Type": "application/json", "Authorization": "Bearer " + cluster.token})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)["id"]


def addresses(cluster):
    """[(name, pid, address, /metrics or "")] of every process."""
    lines = [("proxy", cluster.proxy.process.pid, cluster.proxy.url(), "")]
    for part in cluster.programs():
        url = part.url() or ""
        lines.append((part.folder.name, part.pid, url, url and url + "/metrics"))
    for part in getattr(cluster.redis, "nodes", [cluster.redis]):
        if part:
            lines.append((part.folder.name, part.process.pid, part.url(), ""))
    lines.append((cluster.sql.NAME, cluster.sql.process.pid, cluster.urls()["COUPON_LEDGER"], ""))
    return lines


def shown(path):
    """As one calls it in the root of the tree."""
    return os.path.relpath(path, ROOT) if Path(path).is_relative_to(ROOT) else path


def overview(cluster, coupon):
    url, token = cluster.proxy.url(), cluster.token_file
    lines = [f"coupon is ready on {url}", ""]
    lines += [f"  {name:<11} {pid:>7}  {address}{'  ' + metrics if metrics else ''}".rstrip()
              for name, pid, address, metrics in addresses(cluster)]
    if cluster.redis_kind == "cluster" and cluster.redis:
        lines.append(f"  {'all Redis':<19}  {cluster.redis.url()}")
    lines += [f"  {'admin token':<19}  {token}", f"  {'logs':<19}  {cluster.folder}/*/log", "",
              f"Claim one of coupon {coupon}, from another terminal:", "",
              f"  curl -i '{url}/v1/coupons/{coupon}/issues' -H 'Content-Type: application/json' "
              "-d '{\"userId\":\"alice\"}'", "",
              "Let a crowd claim a coupon, and compare what it was told with the record:", "",
              f"  ./dev load-test --target {url} --admin-token-file {token}", "",
              "Check every issue of the record:", "",
              "  " + " ".join(f"{name}='{value}'" for name, value in cluster.urls().items())
              + f" {shown(cluster.binary)} verify", "",
              "Ctrl-C stops all of it."]
    return "\n".join(lines)


def tell_failure(error, folder):
    """Of the error of a server that did not start: the sentence, the end of its log, its place."""
    first, _, log = str(error).partition("\n")
    say(first)
    for line in log.splitlines()[-LOG_LINES:]:
        print("  " + line, file=sys.stderr)
    say(f"logs are in {folder}/*/log")


def why_not_listen(port):
    """Why nobody can listen there, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
            return None
        except OSError as error:
            return f"nobody can listen on port {port}: {error.strerror}; take another with --port"


# ---- the life ---------------------------------------------------------------------------------

def wait(cluster):
    """Until a signal comes (KeyboardInterrupt). Says which processes end before."""
    with contextlib.ExitStack() as stack:
        watched = {}
        for name, part in cluster.running().items():
            pidfd = os.pidfd_open(part.process.pid)
            stack.callback(os.close, pidfd)
            watched[pidfd] = (name, part)
        while True:
            for pidfd in select.select(list(watched), [], [])[0]:
                name, part = watched.pop(pidfd)
                say(f"{name} ended with {part.process.wait()}, not by us; see {part.folder}/log")


def run(options, binary):
    folder = options.folder
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
    cluster = Cluster(binary, mode=options.mode, redis=options.redis, api=options.api,
                      workers=options.workers, ledger=options.ledger, port=options.port,
                      folder=folder, tell=say, own_session=True)
    with cluster:
        try:
            cluster.start()
            print(f"\n{overview(cluster, demo_coupon(cluster))}\n", flush=True)
            wait(cluster)
        except KeyboardInterrupt:
            return stop(cluster)
        except (RuntimeError, OSError, AssertionError) as error:
            cluster.folder_is_ours = False  # its logs tell why
            tell_failure(error, cluster.folder)
            stop(cluster)
            return 1


def stop(cluster):
    """The exit code. A second signal ends all at once."""
    print(file=sys.stderr)
    try:
        complaints = cluster.stop()
    except KeyboardInterrupt:
        say("ending all at once")
        return 130
    except RuntimeError as error:
        complaints = [str(error)]
    for complaint in complaints:
        say(complaint)
    if complaints:
        cluster.folder_is_ours = False
    elif not cluster.folder_is_ours:
        say(f"data and logs stay in {cluster.folder}")
    return 1 if complaints else 0


def main():
    options = read_arguments(sys.argv[1:])
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, signal.default_int_handler)
    binary = Path(os.environ.get("COUPON_BINARY", ROOT / "build" / "coupon"))
    if not os.access(binary, os.X_OK):
        say(f"there is no program at {binary}; ./dev build makes it")
        return 1
    why = missing(binary, options.mode, options.ledger) or why_not_listen(options.port)
    if why:
        say(why)
        return 1
    try:
        return run(options, binary)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
