#!/usr/bin/python3
"""CPU microseconds a request costs: src/http with a constant reply (http-bench, one loop)
beside nginx `return 200` (one worker), turn about under the same wrk.

    bench/http_floor.py build/release/bench/http-bench

The cost is the server process's own user and system time over wrk's count of requests,
which says more on a shared machine than requests a second.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
BODY = '{"issueId":"1-1","couponId":1,"rank":1}'
NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    default_type application/json;
    server {{ listen 127.0.0.1:{port}; return 200 '{body}'; }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, port):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{command[0]} does not listen")


def cpu_seconds(pid):
    """User and system time of the process and its children (nginx's worker is one)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for each in [str(pid), *children]:
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def measure(process, port, seconds, connections, post):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}/v1/coupons/1/issues"]
    if post:
        command += ["-s", post]
    before = cpu_seconds(process.pid)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(process.pid) - before
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(output)
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    return spent / requests * 1e6, requests / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--get", action="store_true", help="GET instead of POST with a body")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        post = ""
        if not arguments.get:
            post = f"{folder}/post.lua"
            Path(post).write_text(
                "wrk.method='POST' wrk.body='{\"userId\":\"123456\"}'\n"
                "wrk.headers['Content-Type']='application/json'\n")
        ports = {"coupon": free_port(), "nginx": free_port()}
        config = Path(folder) / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(folder=folder, port=ports["nginx"], body=BODY, user=user))
        servers = {
            "coupon": start([arguments.program, str(ports["coupon"])], ports["coupon"]),
            "nginx": start(["nginx", "-c", str(config), "-p", folder], ports["nginx"]),
        }
        figures = {name: [] for name in servers}
        try:
            for _ in range(arguments.rounds):
                for name, process in servers.items():
                    figures[name].append(
                        measure(process, ports[name], arguments.seconds, arguments.connections, post))
        finally:
            for process in servers.values():
                process.send_signal(signal.SIGTERM)
                process.wait()
    for name, rounds in figures.items():
        cost = sorted(each[0] for each in rounds)
        rate = statistics.median(each[1] for each in rounds)
        print(f"{name}: {statistics.median(cost):.2f} us CPU a request "
              f"({cost[0]:.2f} to {cost[-1]:.2f}), {rate:.0f} requests/s")


if __name__ == "__main__":
    main()
