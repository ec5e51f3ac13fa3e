"""What else could issue coupons on this machine, and what nothing can be faster than: turn about,
256 connections, two loops or workers each.

  accepted, sold out   coupon with its own record: 201 after the commit; 409 of a coupon of 1
  peer                 nginx with Lua, and Redis with the original system's script (suite/peer.py)
  postgresql, … 64     PostgreSQL alone, by pgbench: one coupon, and 64 (suite/pgbench.py)
  redis, … pipelined   that script alone, by redis-benchmark (suite/redis_benchmark.py)
  nginx, nginx 409     nginx that returns a fixed reply: what many take for the limit
  nginx pinned         the same 200 with each worker kept on a core, as coupon's loops are
  epoll                a server of one constant reply (bench/epoll_server.c): the limit

What speaks HTTP has the same client, wrk with bench/claims.lua; nginx's and epoll's replies are as
long as ours. At the end what clients were told is compared with what is recorded.
"""

from contextlib import ExitStack
from dataclasses import dataclass

from suite import pgbench, redis_benchmark, wrk
from suite.coupon import answers, check_record, coupon_server, exchange
from suite.figures import measurement, ratio, rotated
from suite.machine import sync_lines, sync_times_us
from suite.nginx import nginx_server
from suite.parts import http
from suite.parts.distributed import (PASSWORD, REDIS_SETTINGS, SQL_SETTINGS, USER, Redis,
                                     check_reachable, check_rows, failures_told, new_folder,
                                     postgres, versions)
from suite.peer import peer_server
from suite.processes import Refused, free_port, running, wait_until

SUMMARY = "beside nginx + Lua + Redis, PostgreSQL alone, and bare servers (only when asked for)"
CONNECTIONS = 256
LOOPS = 2
WARM_SECONDS = 1
PIPELINE = 16
WARM_REQUESTS = 20000
DATABASE = "peers"
COUPONS = {"postgresql": 1, "postgresql 64": 64}
CLIENTS = (1, 4, 16, 64)  # of pgbench: the best is measured
CHOICE_SECONDS = 2
CASES = ("accepted", "sold out", "peer", *COUPONS, "redis", "redis pipelined", "nginx",
         "nginx pinned", "nginx 409", "epoll")
FIGURES = {"requests_per_s": "1/s", "cpu_us_per_request": "us", "p50_us": "us", "p99_us": "us"}
NAMES = {"p50_us": "latency_p50", "p99_us": "latency_p99"}


@dataclass
class Contestant:
    name: str
    load: object     # prefix, seconds -> figures
    clients: int = CONNECTIONS
    told: int = 0    # successes that clients saw
    rate: float = 0  # of its last run


def steps(settings):
    warm = len(CASES) * 1.2 + len(COUPONS) * len(CLIENTS) * CHOICE_SECONDS
    return [("peers, starting the servers", 15), ("peers, warming up", warm),
            ("peers, turns", settings.turns * len(CASES) * (settings.seconds + 0.5)),
            ("peers, reading the records", 1 + settings.turns * settings.seconds * 0.3)]


# ---- contestants -----------------------------------------------------------------------------

def by_wrk(name, processes, url, case="accepted"):
    """`case`: whether what is answered is a success."""
    def load(prefix, seconds):
        figures = wrk.load(processes, url, prefix, CONNECTIONS, seconds)
        wrk.check_replies(name, case, figures)
        return figures
    return Contestant(name, load)


def ours_and_ceilings(run, stack, folder):
    """Our server, and those whose replies are as long as its own."""
    server = stack.enter_context(coupon_server(run.program("coupon"), folder, LOOPS))
    ours, paths = http.our_contestant(server)
    # Ranks get about as many digits as they will have.
    http.one_load(ours, "accepted", {"connections": CONNECTIONS}, "first", WARM_SECONDS)
    replies = http.fitting_replies(folder, server, ours, paths)
    nginx = stack.enter_context(nginx_server(folder / "nginx", LOOPS, replies))
    pinned = stack.enter_context(
        nginx_server(folder / "nginx-pinned", LOOPS, {"accepted": replies["accepted"]}, True))
    size = len(exchange(nginx.ports["accepted"], "/", "someone"))
    urls = {case: f"http://127.0.0.1:{port}/" for case, port in nginx.ports.items()}
    contestants = [
        by_wrk("accepted", [server.process], ours.urls["accepted"]),
        by_wrk("sold out", [server.process], ours.urls["sold out"], "sold out"),
        by_wrk("nginx", [nginx.process], urls["accepted"]),
        by_wrk("nginx pinned", [pinned.process],
               f"http://127.0.0.1:{pinned.ports['accepted']}/"),
        by_wrk("nginx 409", [nginx.process], urls["sold out"], "sold out"),
        by_wrk("epoll", *epoll_server(run, stack, folder, size))]
    contestants[0].told = ours.told
    return server, contestants


def epoll_server(run, stack, folder, size):
    port, log = free_port(), folder / "epoll-server.log"
    process = stack.enter_context(
        running([run.program("epoll-server"), port, LOOPS, size], log))
    wait_until("epoll-server", process, log, lambda: answers(port, "/"))
    return [process], f"http://127.0.0.1:{port}/"


def redis_and_peer(stack, folder):
    """Redis, with nginx and Lua in front of it, and without."""
    redis = stack.enter_context(Redis(new_folder(folder, "redis")))
    redis.settings = REDIS_SETTINGS
    redis.start()
    nginx, url = stack.enter_context(peer_server(folder / "peer", redis, USER, PASSWORD, LOOPS))

    def benchmark(name, pipeline):
        """It takes a number of requests: its rate before tells how many a run of so long has."""
        def load(_, seconds):
            requests = int(one.rate * seconds) or WARM_REQUESTS
            return redis_benchmark.load(redis, USER, PASSWORD, CONNECTIONS, pipeline, requests)
        one = Contestant(name, load)
        return one

    return redis, [by_wrk("peer", [nginx, redis.process], url), benchmark("redis", 1),
                   benchmark("redis pipelined", PIPELINE)]


def postgres_alone(stack, folder):
    """PostgreSQL, and a claim by pgbench."""
    server = stack.enter_context(postgres.Postgres(new_folder(folder, "postgresql")))
    server.settings = [*SQL_SETTINGS[server.NAME], "-c", "synchronous_commit=on"]
    server.start()
    server.sql(f"CREATE DATABASE {DATABASE}")
    server.sql(pgbench.SCHEMA.format(coupons=max(COUPONS.values())), DATABASE)
    own = new_folder(folder, "pgbench")

    def on(name, coupons):
        def load(_, seconds):
            return pgbench.load(postgres.programs() / "pgbench", server, DATABASE, own,
                                one.clients, coupons, seconds)
        one = Contestant(name, load)
        return one

    return server, [on(name, coupons) for name, coupons in COUPONS.items()]


# ---- turns -----------------------------------------------------------------------------------

def one_load(one, prefix, seconds):
    figures = one.load(prefix, seconds)
    one.told += figures["requests"]
    one.rate = figures["requests_per_s"]
    return figures


def choose_clients(one):
    """The number of pgbench's clients that gets the most done."""
    rates = {}
    for clients in CLIENTS:
        one.clients = clients
        rates[clients] = one_load(one, "warm", CHOICE_SECONDS)["requests_per_s"]
    one.clients = max(rates, key=rates.get)


def warm_up(contestants):
    for one in contestants:
        if one.name in COUPONS:
            choose_clients(one)
        else:
            one_load(one, f"warm-{one.name[0]}", WARM_SECONDS)


def take_turns(run, folder, contestants):
    seen, syncs = {one.name: [] for one in contestants}, []
    for turn in range(run.settings.turns):
        syncs.append(sync_times_us(folder))
        for one in rotated(contestants, turn):
            prefix = f"turn{turn}-{one.name[0]}"
            seen[one.name].append(one_load(one, prefix, run.settings.seconds))
    return seen, syncs


# ---- what is told ----------------------------------------------------------------------------

def lines_of(seen, clients):
    """`seen`: {case: [what a load gave, a turn each]}; `clients`: {case: their number}."""
    lines = {(case, figure): measurement(
        NAMES.get(figure, figure), unit, [turn[figure] for turn in seen[case]],
        {"case": case, "connections": clients[case], "loops": LOOPS},
        other_work=[turn["other_work"] for turn in seen[case]])
        for case in CASES for figure, unit in FIGURES.items()}
    rate, ours = "requests_per_s", ("accepted", "sold out")
    return [*lines.values(),
            *[ratio("accepted_of", lines["accepted", rate], lines[case, rate], {"case": case})
              for case in CASES if case not in ours],
            ratio("sold_out_of_nginx", lines["sold out", rate], lines["nginx 409", rate]),
            ratio("accepted_cpu_of_nginx", lines["accepted", "cpu_us_per_request"],
                  lines["nginx", "cpu_us_per_request"])]


def check_postgres(server, told):
    """What pgbench was told is what there is, in the coupons and in the issues."""
    counted, issued = (int(server.sql(f"SELECT {what}", DATABASE)) for what in (
        "sum(issued) FROM coupons", "count(*) FROM issues"))
    if not counted == issued == told:
        raise Refused(f"PostgreSQL counted {counted} and has {issued} issues of {told}")


def measure(run):
    progress, cut_off_max = run.progress, CONNECTIONS * (run.settings.turns + 2)
    with ExitStack() as stack:
        folder = stack.enter_context(run.folder())
        check_reachable(folder)
        progress.step()
        server, contestants = ours_and_ceilings(run, stack, folder)
        with failures_told():
            redis, more = redis_and_peer(stack, folder)
            sql, most = postgres_alone(stack, folder)
        contestants = {one.name: one for one in [*contestants, *more, *most]}
        run.machine["servers"] = versions("Redis", "PostgreSQL")
        progress.step()
        warm_up(contestants.values())
        progress.step()
        seen, syncs = take_turns(run, folder, [contestants[case] for case in CASES])
        progress.step()
        queued = redis.ask("LLEN", "queue")
        run.write(*lines_of(seen, {name: one.clients for name, one in contestants.items()}),
                  *sync_lines(syncs, {}),
                  check_rows("peer", queued, contestants["peer"].told, cut_off_max))
        check_postgres(sql, sum(contestants[name].told for name in COUPONS))
        server.stop()
        check_record(run.program("coupon"), server.data, contestants["accepted"].told, cut_off_max)
