#!/usr/bin/python3
"""How fast claims are over HTTP, beside nginx that only returns a fixed reply.

`./dev bench http` calls it. wrk sends the same POSTs (bench/claims.lua) to both, turn about,
so that what else the machine does hits both alike; the replies have equal length. Two cases:

  accepted   an unlimited coupon, every user new: 201 after the commit; nginx returns 200
  sold out   a coupon of 1 that is gone: 409 through the writer; nginx returns 409

Prints JSON lines and a table, writes the lines to build/bench/http.jsonl, and at the end
compares what clients were told with the ledger (coupon verify, then its rows).
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "bench" / "claims.lua"
RESULTS = ROOT / "build" / "bench" / "http.jsonl"
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS_MAX = 30
OTHERS_MAX = 0.1  # the share of the machine that the kernel's own threads stay below

NGINX = """
{user}
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/json;
    {servers}
}}
"""
NGINX_SERVER = 'server {{ listen 127.0.0.1:{port} reuseport; return {status} "{body}"; }}'


class Refused(Exception):
    """The measurement cannot be made, or is worth nothing; the text says why."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end and length) and len(body) == int(length.group(1))


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


def answers(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
            return reply.status == 200
    except urllib.error.HTTPError as refusal:
        return refusal.code == 409  # nginx, in the case sold out
    except OSError:
        return False


def processor_seconds(process):
    """User and system time of a process (all its threads) and of its children."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        if process.pid in (int(text.split(" ", 1)[0]), int(fields[1])):
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def machine_seconds():
    """Processor time that anything at all has used, all cores."""
    numbers = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, numbers[:8])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / TICKS


def children_seconds():
    """Processor time of the children that have ended: of wrk."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Server:
    name: str
    process: subprocess.Popen
    ports: dict  # case -> port
    paths: dict  # case -> path
    told: int = 0  # successes that clients saw


@contextmanager
def running(command, log):
    """A process of ours, ended by its pid at the latest when the block ends."""
    with open(log, "wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# ---- our server ------------------------------------------------------------------------------

def admin_post(port, token, path, value):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(value).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def new_coupon(port, token, title, quantity):
    now = time.time()
    at = [time.strftime("%FT%TZ", time.gmtime(now + seconds)) for seconds in (-60, 86400)]
    return admin_post(port, token, "/v1/coupons", {"title": title, "totalQuantity": quantity,
                                                   "issueStart": at[0], "issueEnd": at[1]})["id"]


@contextmanager
def our_server(options, folder):
    port, data, log = free_port(), folder / "data", folder / "coupon.log"
    command = [options.binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", data,
               "--threads", options.threads]
    with running(command, log) as process:
        wait_until("coupon", process, log, lambda: answers(port, "/readyz"))
        token = (data / "admin-token").read_text().strip()
        coupons = {"accepted": new_coupon(port, token, "unlimited", None),
                   "sold out": new_coupon(port, token, "one", 1)}
        paths = {case: f"/v1/coupons/{coupon}/issues" for case, coupon in coupons.items()}
        reply = exchange(port, paths["sold out"], "the-only-winner")
        if not reply.startswith(b"HTTP/1.1 201 "):
            raise Refused(f"the coupon of 1 was not issued: {reply!r}")
        yield Server("coupon", process, dict.fromkeys(paths, port), paths, told=1)


# ---- nginx -----------------------------------------------------------------------------------

@contextmanager
def nginx(options, folder, replies):
    """nginx with one port a case. `replies`: case -> (status, body)."""
    folder.mkdir()
    ports = {case: free_port() for case in replies}
    servers = [NGINX_SERVER.format(port=ports[case], status=status, body=body)
               for case, (status, body) in replies.items()]
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(
        user="user root;" if os.geteuid() == 0 else "", workers=options.threads, folder=folder,
        servers="\n    ".join(servers)))
    log = folder / "nginx.log"
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    if not binary:
        raise Refused("there is no nginx; ./dev bench installs it")
    command = [binary, "-p", folder, "-c", configuration, "-e", folder / "error.log"]
    with running(command, log) as process:
        for port in ports.values():
            wait_until("nginx", process, log, lambda port=port: answers(port, "/"))
        yield Server("nginx", process, ports, dict.fromkeys(replies, "/"))


def fitting_body(options, folder, status, size):
    """A body that makes nginx's whole reply `size` bytes long."""
    length = 100
    for attempt in range(3):
        fit = {"fit": (status, "x" * length)}
        with nginx(options, folder / f"fit-{status}-{attempt}", fit) as one:
            total = len(exchange(one.ports["fit"], "/", "someone"))
        if total == size:
            return "x" * length
        length += size - total
        if length < 0:
            break
    raise Refused(f"nginx cannot make a reply of {size} bytes")


# ---- measuring -------------------------------------------------------------------------------

def load(options, server, case, prefix, seconds):
    """One run of wrk. Returns its figures and the server's processor time a request."""
    before = processor_seconds(server.process)
    others, begin = machine_seconds() - children_seconds(), time.monotonic()
    run = subprocess.run(
        ["wrk", "-t", "2", "-c", str(options.connections), "-d", f"{seconds}s", "-s", str(SCRIPT),
         f"http://127.0.0.1:{server.ports[case]}{server.paths[case]}", "--", prefix],
        capture_output=True, text=True, timeout=seconds + 60)
    used = processor_seconds(server.process) - before
    others = machine_seconds() - children_seconds() - others - used
    found = re.search(r"^figures (\{.*\})$", run.stdout, re.MULTILINE)
    if run.returncode != 0 or not found:
        raise Refused(f"wrk ended with {run.returncode}: {run.stdout}{run.stderr}")
    figures = json.loads(found.group(1))
    requests = figures["requests"]
    server.told += requests - figures["status"]
    if requests == 0:
        raise Refused(f"{server.name} answered nothing in the case {case}")
    others /= (time.monotonic() - begin) * os.cpu_count()
    return {**figures, "others": round(others, 3),
            "requests_per_s": round(requests / (figures["duration_us"] / 1e6), 1),
            "cpu_us_per_request": round(used * 1e6 / requests, 3)}


def sync_times_us(folder, rounds=200):
    """How long 4 KiB pwrite + fdatasync takes on the disk the ledger is on."""
    path, times = folder / "sync-probe", []
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for number in range(rounds):
            begin = time.monotonic()
            os.pwrite(file, b"\1" * 4096, 4096 * number)
            os.fdatasync(file)
            times.append((time.monotonic() - begin) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    return times


def check_replies(server, case, figures):
    """Refuses a run in which something else was answered than the case is about."""
    wrong = sum(figures[kind] for kind in ("connect", "read", "write", "timeout"))
    if case == "accepted":
        wrong += figures["status"]
    else:
        wrong += figures["requests"] - figures["status"]
    if wrong:
        raise Refused(f"{server.name}, {case}: {wrong} replies or connections were not what the "
                      f"case is about: {figures}")


def measure(options, folder, servers, write):
    """All turns. Returns {(case, server name): [figures]}."""
    results, syncs = {}, []
    for case in servers[0].paths:
        for server in servers:
            load(options, server, case, f"warm-{case[0]}", 1)
        for turn in range(options.turns):
            syncs += sync_times_us(folder)
            for server in servers if turn % 2 == 0 else servers[::-1]:
                figures = load(options, server, case, f"turn{turn}-{case[0]}", options.seconds)
                check_replies(server, case, figures)
                results.setdefault((case, server.name), []).append(figures)
                write({"kind": "run", "case": case, "turn": turn, "server": server.name,
                       **figures})
    write({"kind": "disk", "what": "4 KiB pwrite + fdatasync, microseconds", "rounds": len(syncs),
           **percentiles(syncs)})
    return results


def percentiles(values):
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49]), "p99": round(cuts[98])}


def spread(values):
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3),
            "max": round(max(values), 3)}


def compare(results, cases, write):
    """Ratios turn by turn, coupon to nginx."""
    rows = []
    for case in cases:
        ours, theirs = results[case, "coupon"], results[case, "nginx"]
        summary = {"kind": "summary", "case": case}
        for figure in ("requests_per_s", "cpu_us_per_request"):
            summary[figure] = {
                "coupon": spread([run[figure] for run in ours]),
                "nginx": spread([run[figure] for run in theirs]),
                "ratio": spread([a[figure] / b[figure] for a, b in zip(ours, theirs)])}
        write(summary)
        rows.append(summary)
    return rows


def table(rows, syncs, others):
    lines = [f"{'case':<10} {'figure':<22} {'coupon':>10} {'nginx':>10} {'ratio':>7}  (min-max)"]
    for row in rows:
        for figure, digits in (("requests_per_s", 0), ("cpu_us_per_request", 2)):
            value = row[figure]
            lines.append(
                f"{row['case']:<10} {figure:<22} {value['coupon']['median']:>10.{digits}f} "
                f"{value['nginx']['median']:>10.{digits}f} {value['ratio']['median']:>7.2f}  "
                f"({value['ratio']['min']:.2f}-{value['ratio']['max']:.2f})")
    lines.append(f"disk: 4 KiB pwrite + fdatasync p50 {syncs['p50']} us, p99 {syncs['p99']} us")
    lines.append(f"other work took {others:.0%} of the machine at most"
                 + (": measure again when it is quiet" if others > OTHERS_MAX else ""))
    return "\n".join(lines)


# ---- afterwards ------------------------------------------------------------------------------

def check_ledger(options, data, told, write):
    """Every 201 that a client was told is in the ledger; what wrk cut off may be there too."""
    verified = subprocess.run([options.binary, "verify", "--data", data], capture_output=True,
                              text=True)
    with sqlite3.connect(f"file:{data}/coupon.db?mode=ro", uri=True) as ledger:
        rows = ledger.execute("SELECT count(*) FROM coupon_issues").fetchone()[0]
    cut_off_max = options.connections * (options.turns + 2)  # and two runs to warm up
    write({"kind": "ledger", "told": told, "rows": rows, "cut_off_max": cut_off_max,
           "verify": verified.returncode})
    if verified.returncode != 0:
        raise Refused(f"coupon verify found something:\n{verified.stdout}{verified.stderr}")
    if not 0 <= rows - told <= cut_off_max:
        raise Refused(f"clients were told of {told} issues, the ledger has {rows}")


def stop(server, log):
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(timeout=60)
    if code != 0:
        raise Refused(f"coupon ended with {code}:\n{log.read_text()}")


def bench(options, folder, write):
    write({"kind": "setting", "threads": options.threads, "connections": options.connections,
           "seconds": options.seconds, "turns": options.turns, "cores": os.cpu_count(),
           "wrk_threads": 2, "time": time.strftime("%FT%TZ", time.gmtime())})
    with our_server(options, folder) as ours:
        replies = {}
        load(options, ours, "accepted", "first", 1)  # ranks get the digits they will have
        for case, status in (("accepted", 200), ("sold out", 409)):
            size = len(exchange(ours.ports[case], ours.paths[case], f"24-characters-{case:->10}"
                                .replace(" ", "-")))
            ours.told += case == "accepted"
            replies[case] = (status, fitting_body(options, folder, status, size))
            write({"kind": "reply", "case": case, "bytes": size})
        with nginx(options, folder / "nginx", replies) as theirs:
            results = measure(options, folder, [ours, theirs], write)
        stop(ours, folder / "coupon.log")
    check_ledger(options, folder / "data", ours.told, write)
    return compare(results, replies, write)


def read_options():
    parser = argparse.ArgumentParser(prog="./dev bench http", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=ROOT / "build" / "coupon")
    parser.add_argument("--threads", type=int, default=os.cpu_count(),
                        help="loops of coupon and workers of nginx; the number of cores")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=5, help="of one run; 5")
    parser.add_argument("--turns", type=int, default=5, help="runs of each server a case; 5")
    return parser.parse_args()


def main():
    options = read_options()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with open(RESULTS, "w") as file, tempfile.TemporaryDirectory(dir=RESULTS.parent) as folder:
        lines = []

        def write(line):
            lines.append(line)
            text = json.dumps(line)
            print(text, flush=True)
            print(text, file=file, flush=True)

        try:
            rows = bench(options, Path(folder), write)
        except Refused as refusal:
            sys.exit(f"bench: {refusal}")
        disk = next(line for line in lines if line["kind"] == "disk")
        others = max(line["others"] for line in lines if line["kind"] == "run")
        print("\n" + table(rows, disk, others))


if __name__ == "__main__":
    main()
