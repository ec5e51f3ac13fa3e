"""nginx that only returns a fixed reply: what our server is measured against."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

from suite.coupon import answers, exchange
from suite.machine import tool
from suite.processes import Refused, free_port, running, wait_until

CONFIGURATION = """
{user}
worker_processes {workers};
{affinity}
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
SERVER = 'server {{ listen 127.0.0.1:{port} reuseport; return {status} \'{body}\'; }}'


@dataclass
class Nginx:
    process: object
    ports: dict  # case -> port


@contextmanager
def nginx_server(folder, workers, replies, pinned=False):
    """nginx with one port a case. `replies`: case -> (status, body); `pinned`: each worker stays on
    a core."""
    folder.mkdir()
    ports = {case: free_port() for case in replies}
    servers = [SERVER.format(port=ports[case], status=status, body=body)
               for case, (status, body) in replies.items()]
    configuration, log = folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "", workers=workers, folder=folder,
        affinity="worker_cpu_affinity auto;" if pinned else "", servers="\n    ".join(servers)))
    binary = tool("nginx")
    if not binary:
        raise Refused("there is no nginx; ./dev bench installs it")
    command = [binary, "-p", folder, "-c", configuration, "-e", folder / "error.log"]
    with running(command, log) as process:
        for port in ports.values():
            wait_until("nginx", process, log, lambda port=port: answers(port, "/"))
        yield Nginx(process, ports)


def fitting_body(folder, status, size):
    """A body that makes nginx's whole reply `size` bytes long."""
    length = 100
    for attempt in range(3):
        with nginx_server(folder / f"fit-{status}-{size}-{attempt}", 1,
                          {"fit": (status, "x" * length)}) as one:
            total = len(exchange(one.ports["fit"], "/", "someone"))
        if total == size:
            return "x" * length
        length += size - total
        if length < 0:
            break
    raise Refused(f"nginx cannot make a reply of {size} bytes")
