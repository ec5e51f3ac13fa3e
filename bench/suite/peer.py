"""nginx with Lua in front of Redis, and in Redis the original coupon system's script: what Redis
mode and SQL mode are measured against. bench/peer.lua is what it does with a request."""

import os
from contextlib import contextmanager

from suite.coupon import answers
from suite.machine import ROOT, tool
from suite.processes import Refused, free_port, running, wait_until

# Debian's packages, unpacked by ./dev: the modules, and the Lua libraries that they need.
UNPACKED = ROOT / "build" / "tools" / "lua" / "usr"
MODULES = UNPACKED / "lib" / "nginx" / "modules"
LIBRARIES = UNPACKED / "share" / "lua" / "5.1"
LUAJIT = "libluajit-5.1.so.2"  # OpenResty's: wrk's, which is installed, lacks what the module needs

CONFIGURATION = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
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
    lua_package_path "{libraries}/?.lua;{bench}/?.lua;;";
    init_by_lua_block {{
        require("peer").settings = {{ port = {port_redis}, user = "{user_redis}",
                                      password = "{password}" }}
    }}
    server {{
        listen 127.0.0.1:{port} reuseport;
        location = /ready {{ return 200; }}
        location / {{ content_by_lua_block {{ require("peer").claim() }} }}
    }}
}}
"""


def missing():
    """Why it cannot run here, or None."""
    if not tool("nginx"):
        return "there is no nginx; ./dev bench installs it"
    for name in ("ngx_http_lua_module.so", "ndk_http_module.so", "redis.lua", LUAJIT):
        if not next(UNPACKED.rglob(name), None):
            return f"there is no {name}; ./dev bench distributed unpacks it"
    return None


@contextmanager
def peer_server(folder, redis, user, password, workers=1):
    """nginx in front of this Redis. Gives the process and its URL."""
    if why := missing():
        raise Refused(why)
    folder.mkdir()
    port, configuration, log = free_port(), folder / "nginx.conf", folder / "nginx.log"
    configuration.write_text(CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "", workers=workers, folder=folder,
        modules=MODULES, libraries=LIBRARIES, bench=ROOT / "bench", port=port,
        port_redis=redis.port, user_redis=user, password=password))
    luajit = next((UNPACKED / "lib").glob(f"*/{LUAJIT}")).parent
    command = ["env", f"LD_LIBRARY_PATH={luajit}", tool("nginx"), "-p", folder, "-c", configuration,
               "-e", folder / "error.log"]
    with running(command, log) as process:
        wait_until("nginx with Lua", process, log, lambda: answers(port, "/ready"))
        yield process, f"http://127.0.0.1:{port}/"
