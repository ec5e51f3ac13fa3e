"""Claims over several processes, beside nginx with Lua and the original system's script in Redis
(suite/peer.py): the peer. All of them on the same cores, turn about, at 256 connections.

  admitted        one API node and Redis, no worker, as the peer has none: 202, once Redis has it
  redis           one API node, Redis, workers, MariaDB: 201, after the ledger's commit
  sql             one API node and MariaDB: 201, after its commit
  sql postgresql  the same with PostgreSQL

What was admitted in a turn is drained behind it by workers that are started for it, into the same
MariaDB that one connection inserts as many rows into, 1,000 a commit (bench/insert_bench.c).

Every user is new, the coupons are unlimited. At the end `coupon verify` reads each record, and what
clients were told is compared with its rows.
"""

import json
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from suite.coupon import metric, metrics_of, new_coupon
from suite.figures import measurement, ratio, rotated
from suite.machine import ROOT, Others, sync_lines, sync_times_us, tool, version_of
from suite.peer import peer_server
from suite.processes import Refused, finished, processor_seconds
from suite.wrk import check_replies, load

sys.path.insert(0, str(ROOT / "tests"))
from servers import mariadb, postgres  # noqa: E402  the servers that the tests start
from servers.cluster import Cluster, missing  # noqa: E402
from servers.redis import PASSWORD, USER, Redis  # noqa: E402

SUMMARY = "Redis mode and SQL mode beside nginx + Lua + Redis (only when asked for)"
CONNECTIONS = 256
WARM_SECONDS = 1
WORKERS = 1  # a coupon's queue is settled by one at a time
ROWS_A_COMMIT = 1000
DRAIN_SECONDS_MAX = 300
ASYNC = ("Prefer: respond-async",)
MODES = {"admitted": {"mode": "redis", "workers": 0},
         "redis": {"mode": "redis", "workers": WORKERS},
         "sql": {"mode": "sql"},
         "sql postgresql": {"mode": "sql", "ledger": "postgres"}}
NODE_FLAGS = ("--threads", 1, "--claim-auth", "none")
# A rewrite of what Redis has logged comes when its size says so, in whose turn that may be; and the
# tests' MariaDB has a cache that these figures would be about.
REDIS_SETTINGS = ["--auto-aof-rewrite-percentage", "0"]
SQL_SETTINGS = {"mariadb": ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"],
                "postgresql": ["-c", "shared_buffers=512MB", "-c", "max_wal_size=2GB"]}

FIGURES = {"requests_per_s": "1/s", "cpu_us_per_request": "us", "p50_us": "us", "p99_us": "us"}
NAMES = {"p50_us": "latency_p50", "p99_us": "latency_p99"}


@dataclass
class Contestant:
    name: str
    url: str
    roles: dict  # "node", "redis", … -> its processes
    headers: tuple = ()
    cluster: object = None
    told: int = 0  # successes that clients saw

    def processes(self):
        return [process for its in self.roles.values() for process in its]


def steps(settings):
    contestants = 1 + len(MODES)
    return [("distributed, starting the servers", 30),
            ("distributed, turns", contestants * WARM_SECONDS
             + settings.turns * (contestants * (settings.seconds + 0.4) + 2 * settings.seconds)),
            ("distributed, reading the records", settings.turns * settings.seconds)]


# ---- what runs -------------------------------------------------------------------------------

@contextmanager
def failures_told():
    """What a server of the tests says when it does not start, as the suite says it."""
    try:
        yield
    except RuntimeError as error:
        raise Refused(str(error)) from None


def check_reachable(folder):
    """The databases refuse to be root and get another user, who must get to their files."""
    if os.geteuid() == 0:
        for above in folder.parents:
            if not above.stat().st_mode & 1:
                raise Refused(f"the SQL servers do not run as root and cannot reach {above}; "
                              "give another --output")
    folder.chmod(0o755)


def roles_of(cluster):
    roles = {"node": cluster.nodes, "worker": cluster.workers,
             "redis": [cluster.redis] if cluster.redis else [], "sql": [cluster.sql]}
    return {role: [one.process for one in its] for role, its in roles.items() if its}


def our_contestant(run, stack, folder, name):
    how = {"ledger": "mysql", **MODES[name]}
    binary = run.program("coupon")
    if why := missing(binary, how["mode"], how["ledger"], proxy=False):
        raise Refused(why)
    cluster = stack.enter_context(Cluster(
        binary, api=1, proxy=False, node_flags=NODE_FLAGS, folder=folder, **how))
    cluster.sql.settings = SQL_SETTINGS[cluster.sql.NAME]
    if cluster.redis:
        cluster.redis.settings = REDIS_SETTINGS
    cluster.start()
    coupon = new_coupon(cluster.nodes[0].port, cluster.token, "unlimited", None)
    return Contestant(name, f"{cluster.nodes[0].url()}/v1/coupons/{coupon}/issues",
                      roles_of(cluster), ASYNC if name == "admitted" else (), cluster)


def new_folder(folder, name):
    (folder / name).mkdir(mode=0o755)
    return folder / name


def peer_contestant(stack, folder):
    redis = stack.enter_context(Redis(new_folder(folder, "peer-redis")))
    redis.settings = REDIS_SETTINGS
    redis.start()
    nginx, url = stack.enter_context(peer_server(folder / "peer", redis, USER, PASSWORD))
    return Contestant("peer", url, {"node": [nginx], "redis": [redis.process]}), redis


# ---- turns -----------------------------------------------------------------------------------

def one_load(one, prefix, seconds):
    """Returns the figures, with the processor time a request of each role."""
    before = {role: processor_seconds(*its) for role, its in one.roles.items()}
    figures = load(one.processes(), one.url, prefix, CONNECTIONS, seconds, one.headers)
    one.told += figures["requests"] - figures["status"]
    for role, its in one.roles.items():
        used = processor_seconds(*its) - before[role]
        figures[f"cpu_us_of_{role}"] = used * 1e6 / figures["requests"]
    check_replies(one.name, "accepted", figures)
    return figures


def queue_end(wire, gate):
    """The last entry of the queue, and the last that Redis was told to be settled."""
    return [int(number) for number in wire.ask("HMGET", gate, "n", "settled_n")]


def rows_of(cluster):
    return int(cluster.sql.sql("SELECT count(*) FROM coupon_issues", "coupon"))


def start_workers(cluster):
    """Those of the turn before once more, or new ones."""
    for worker in cluster.workers:
        worker.start()
    for _ in range(WORKERS - len(cluster.workers)):
        cluster.add_worker()


def wait_until_settled(wire, gate, last):
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while queue_end(wire, gate)[1] < last:
        if time.monotonic() > deadline:
            raise Refused(f"the queue was not drained in {DRAIN_SECONDS_MAX} s")
        time.sleep(0.005)


def drain(one):
    """Workers settle all that was admitted, the clock running from before their start."""
    cluster, coupon = one.cluster, int(one.url.split("/")[-2])
    gate, before = f"coupon:{{p{coupon % 64:02}}}:gate", rows_of(cluster)
    with cluster.redis.connect() as wire:
        last, settled = queue_end(wire, gate)
        if last == settled:
            raise Refused("nothing waits in the queue")
        others, used, begin = Others(), processor_seconds(*one.processes()), time.monotonic()
        start_workers(cluster)
        wait_until_settled(wire, gate, last)
        seconds = time.monotonic() - begin
        workers = processor_seconds(*[worker.process for worker in cluster.workers])
        used = processor_seconds(*one.processes()) - used + workers
        other_work = others.share(used)
    for worker in cluster.workers:
        worker.stop()
    rows = rows_of(cluster) - before
    return {"rows": rows, "rows_per_s": rows / seconds, "other_work": other_work,
            "cpu_us_per_row": workers * 1e6 / rows}


def insert(run, one, rows, prefix):
    """One connection inserts as many rows into the same server."""
    sql = one.cluster.sql
    command = [run.program("insert-bench"), sql.port, mariadb.USER, "coupon", rows, ROWS_A_COMMIT]
    others, used = Others(), processor_seconds(sql.process)
    told = json.loads(finished([*command, prefix], DRAIN_SECONDS_MAX, stdin=mariadb.PASSWORD))
    other_work = others.share(processor_seconds(sql.process) - used)
    return {"rows": rows, "rows_per_s": rows / told["seconds"], "other_work": other_work,
            "cpu_us_per_row": told["client_cpu_s"] * 1e6 / rows}


def empty_queue(run, one, turn, seen):
    """Who comes first changes; the rows are as many as the turn admitted."""
    if turn % 2 == 1 and seen["insert"]:
        seen["insert"].append(insert(run, one, seen["drain"][-1]["rows"], f"turn{turn}"))
        seen["drain"].append(drain(one))
    else:
        seen["drain"].append(drain(one))
        seen["insert"].append(insert(run, one, seen["drain"][-1]["rows"], f"turn{turn}"))


# ---- the record ------------------------------------------------------------------------------

def check_late(one):
    """A 202 where a 201 was measured would be a success that was none."""
    late = metric(metrics_of(one.cluster.nodes[0].url()), "coupon_redis_late_total")
    if late:
        raise Refused(f"{one.name}: {late:.0f} claims were answered with 202")


def check_rows(name, rows, told, cut_off_max):
    if not 0 <= rows - told <= cut_off_max:
        raise Refused(f"{name}: clients were told of {told}, and there are {rows}")
    return measurement("rows_beside_told", "rows", [rows - told], {"case": name}, told=told,
                       rows=rows, cut_off_max=cut_off_max)


def check_ours(one, cut_off_max):
    if one.name == "redis":
        check_late(one)
    verified = one.cluster.verify()
    if verified.returncode != 0:
        raise Refused(f"{one.name}: {verified.stdout}{verified.stderr}")
    return check_rows(one.name, rows_of(one.cluster), one.told, cut_off_max)


def lines_of(seen, queue):
    """`seen`: {case: [what one_load gave, a turn each]}; `queue`: the same of "drain" and
    "insert"."""
    def line(what, unit, turns, figure, **parameters):
        return measurement(what, unit, [turn[figure] for turn in turns], parameters,
                           other_work=[turn["other_work"] for turn in turns])

    lines = []
    for case, turns in seen.items():
        roles = [figure for figure in turns[0] if figure.startswith("cpu_us_of_")]
        lines += [line(NAMES.get(figure, figure), FIGURES.get(figure, "us"), turns, figure,
                       case=case, connections=CONNECTIONS) for figure in (*FIGURES, *roles)]
    rates = {each["parameters"]["case"]: each for each in lines
             if each["what"] == "requests_per_s"}
    lines += [ratio("requests_per_s_of_peer", rate, rates["peer"],
                    {"case": case, "connections": CONNECTIONS})
              for case, rate in rates.items() if case != "peer"]
    both = {way: line("rows_per_s", "1/s", turns, "rows_per_s", way=way)
            for way, turns in queue.items()}
    lines += [*both.values(), ratio("drained_of_inserted", both["drain"], both["insert"])]
    return lines + [line("cpu_us_per_row", "us", turns, "cpu_us_per_row", way=way)
                    for way, turns in queue.items()]


# ---- the whole -------------------------------------------------------------------------------

def start_all(run, stack, folder):
    check_reachable(folder)
    with failures_told():
        peer, redis = peer_contestant(stack, folder)
        ours = [our_contestant(run, stack, new_folder(folder, f"mode-{number}"), name)
                for number, name in enumerate(MODES)]
    return [peer, *ours], redis


def versions(*names):
    """Of these servers, or of all, as they say it themselves."""
    said = {"Redis": ("redis-cli", "--version"), "MariaDB": (tool("mariadbd"), "--version"),
            "PostgreSQL": (postgres.programs() / "postgres", "--version")}
    return ", ".join(f"{name} {version_of(*said[name])}" for name in names or said)


def measure(run):
    turns = run.settings.turns
    with ExitStack() as stack:
        folder = stack.enter_context(run.folder())
        run.progress.step()
        contestants, peer_redis = start_all(run, stack, folder)
        run.machine["servers"] = versions()
        run.progress.step()
        seen, queue, syncs = take_turns(run, folder, contestants)
        run.progress.step()
        cut_off_max = CONNECTIONS * (turns + 1)
        peer, ours = contestants[0], contestants[1:]
        rows = peer_redis.ask("LLEN", "queue")
        run.write(check_rows("peer", rows, peer.told, cut_off_max),
                  *[check_ours(one, cut_off_max) for one in ours],
                  *lines_of(seen, queue), *sync_lines(syncs, {}))
        for one in ours:
            if complaints := one.cluster.stop():
                raise Refused("; ".join(complaints))


def take_turns(run, folder, contestants):
    seen, syncs = {one.name: [] for one in contestants}, []
    queue = {"drain": [], "insert": []}
    admitted = next(one for one in contestants if one.name == "admitted")
    for one in contestants:
        one_load(one, "warm", WARM_SECONDS)
    for turn in range(run.settings.turns):
        syncs.append(sync_times_us(folder))
        for one in rotated(contestants, turn):
            seen[one.name].append(one_load(one, f"turn{turn}", run.settings.seconds))
        empty_queue(run, admitted, turn, queue)
    return seen, queue, syncs
