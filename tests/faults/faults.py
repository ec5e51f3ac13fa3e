"""The faults: what happens to a cluster in the midst of a crowd. Each is a function of its Case and
returns when the fault is over; it waits for counts of answers, never for a time to come. Where a
fault is to last some seconds, it says how many.

FAULTS has them in the order of their importance; what a case needs besides is in Fault."""

import os
import random
import signal
import threading
import time
import urllib.error
from dataclasses import dataclass

from faults.case import moment
from faults.means import (Echo, RedisPair, Session, SmallDisk, ports_of, put_proxy_before_sql,
                          wait_until)
from servers.process import children_of


@dataclass
class Fault:
    name: str
    make: callable
    redis: str = "1"
    make_redis: callable = None       # called with the Stage
    prepare: callable = None          # called with the case when the cluster stands
    missing: callable = lambda: None  # why it cannot be made here, or None
    connections: int = 400            # of the crowd: with few it lasts longer
    loses: bool = False               # whether a 202 may come to nothing (docs/scaling.md)
    in_gate: bool = False             # one of the few that every run of the tests has


# ---- programs of ours --------------------------------------------------------------------------

def none(case):
    """No fault."""
    case.wait_wins(0.9)


def worker_killed(case):
    """kill -9 of a worker, which comes back."""
    case.wait_wins(0.3)
    case.cluster.workers[0].kill()
    case.wait_wins(0.5)
    case.cluster.workers[0].start()


def node_killed(case):
    """kill -9 of an API node, which comes back."""
    case.wait_wins(0.3)
    case.cluster.nodes[0].kill()
    case.wait_wins(0.5)
    case.cluster.nodes[0].start()


def workers_away(case, seconds=10):
    """kill -9 of all workers, for ten seconds."""
    case.wait_wins(0.3)
    for worker in case.cluster.workers:
        worker.kill()
    time.sleep(seconds)
    for worker in case.cluster.workers:
        worker.start()


def worker_held_in_transaction(case):
    """It holds the partition's row, and all others wait, until the server ends its session."""
    session = Session(case.cluster.sql)
    session.ask("BEGIN")
    case.wait_wins(0.3)
    session.ask(f"SELECT id FROM coupons WHERE id = {case.coupon} FOR UPDATE")

    def waiting():
        ports = set(session.waiting_ports())
        return next((one for one in case.cluster.workers if ports & ports_of(one.pid)), None)

    held = wait_until(waiting, "a worker that waits inside its transaction")
    held.hold()
    session.ask("ROLLBACK")
    session.close()
    begin, before = time.monotonic(), case.crowd.counts[201]
    case.crowd.wait_wins(before + case.share(0.1))
    case.notes.append(f"{held.folder.name} was held; others went on after "
                      f"{time.monotonic() - begin:.1f} s")
    held.release()


# ---- the SQL server ----------------------------------------------------------------------------

def sql_killed(case):
    """The SQL server is killed and started."""
    case.wait_wins(0.3)
    case.cluster.sql.kill()
    case.cluster.sql.start()


def sql_away(case, seconds=8):
    """The same, and away for so many seconds."""
    case.wait_wins(0.3)
    case.cluster.sql.kill()
    time.sleep(seconds)
    case.cluster.sql.start()


def sql_held(case, seconds=8):
    """It keeps its connections and answers nothing."""
    case.wait_wins(0.3)
    sql = case.cluster.sql
    pids = [sql.process.pid, *children_of(sql.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def behind_proxies(case):
    workers = case.cluster.workers
    for worker in workers:
        worker.stop()
    case.proxies = put_proxy_before_sql(case, workers)
    for worker in workers:
        worker.start()


def at_commits(case, arm, react, times=5):
    """So many times, or as often as there are COMMITs: arm(proxy) for each of the workers' proxies,
    and react(number) for those that it happened to."""
    happened = 0
    for turn in range(times):
        case.wait_wins(0.2 + 0.1 * turn)
        for proxy in case.proxies:
            arm(proxy)
        wait_until(lambda: any(proxy.happened.is_set() for proxy in case.proxies)
                   or case.crowd.over.is_set(), "a COMMIT")
        for number, proxy in enumerate(case.proxies):
            proxy.disarm()
            if proxy.happened.is_set():
                happened += 1
                react(number)
    assert happened > 0
    case.notes.append(f"it happened {happened} times")


def answer_to_commit_cut(case):
    """The connection ends between COMMIT and its answer, again and again."""
    at_commits(case, lambda proxy: proxy.cut_after(b"COMMIT"), lambda number: None)


def worker_killed_after_commit(case):
    """kill -9 between COMMIT and the word to Redis, again and again."""
    def again(number):
        case.cluster.workers[number].kill()
        case.cluster.workers[number].start()

    at_commits(case, lambda proxy: proxy.hold_after(b"COMMIT"), again)


def delivered_twice(case):
    """Every call that changes something is sent once more, by another connection."""
    echo = Echo(case.cluster.redis, ("coupon_claim", "coupon_settled"))
    case.wait_wins(0.5)
    case.cluster.workers[0].kill()
    case.cluster.workers[0].start()
    case.wait_wins(0.9)
    echo.close()
    assert echo.count > 0, echo.errors
    case.notes.append(f"{echo.count} calls were sent twice")


# ---- Redis -------------------------------------------------------------------------------------

def redis_killed(case):
    """Redis is killed and started, with its append-only file."""
    case.wait_wins(0.3)
    case.cluster.redis.kill()
    case.cluster.redis.start()


def redis_away(case, seconds=8):
    """The same, and away for so many seconds."""
    case.wait_wins(0.3)
    case.cluster.redis.kill()
    time.sleep(seconds)
    case.cluster.redis.start()


def redis_lost_files(case):
    """Redis is killed and started without its files."""
    case.wait_wins(0.3)
    case.cluster.redis.kill()
    case.cluster.redis.lose_files()
    case.cluster.redis.start()


def redis_flushed(case):
    """FLUSHALL."""
    case.wait_wins(0.3)
    case.cluster.redis.ask("FLUSHALL")


def redis_flushed_with_a_queue(case):
    """What an admission can lose at most: all that was not settled yet."""
    case.wait_wins(0.3)
    for worker in case.cluster.workers:
        worker.kill()
    case.crowd.wait_for(lambda: case.crowd.counts[202] >= 300, "300 answers of 202")
    case.cluster.redis.ask("FLUSHALL")
    for worker in case.cluster.workers:
        worker.start()


def flushed_again_and_again(case, times=5):
    """Both nodes find the gate gone at the same time, under load."""
    for turn in range(times):
        case.wait_wins(0.1 + 0.1 * turn)
        case.cluster.redis.ask("FLUSHALL")


def redis_held(case, seconds=5):
    """SIGSTOP of Redis: it keeps its connections and answers nothing."""
    case.wait_wins(0.3)
    case.cluster.redis.hold()
    time.sleep(seconds)
    case.cluster.redis.release()


def undecodable_entry(case):
    """Garbage takes a place in the queue, as the gate counts it. With fields of ours that are
    broken, and with none."""
    redis, p = case.cluster.redis, case.coupon % 64
    for turn, fields in enumerate((("coupon", case.coupon, "time_us", "x", "claims", "9:\xff\x00"),
                                   ("what", "is this"),
                                   ("coupon", case.coupon, "time_us", 1, "claims", "32:short"))):
        case.wait_wins(0.2 + 0.2 * turn)
        epoch = case.sql(f"SELECT epoch FROM partitions WHERE p = {p}")
        gate, queue = "coupon:{p%02d}:gate" % p, "coupon:{p%02d}:queue:%s" % (p, epoch)
        with redis.connect() as wire:
            for _ in range(2000):
                wire.ask("WATCH", gate)
                n = int(wire.ask("HGET", gate, "n")) + 1
                wire.ask("MULTI")
                wire.ask("HSET", gate, "n", n)
                wire.ask("XADD", queue, f"{n}-0", *fields)
                if wire.ask("EXEC") is not None:
                    break
            else:
                raise AssertionError("no place in the queue was got")
    case.notes.append("3 undecodable entries")
    wait_until(lambda: int(case.sql("SELECT count(*) FROM coupon_rejects WHERE reason ="
                                    " 'unreadable'")) == 3, "three rejects")


def stale_replica_promoted(case):
    """A replica that missed writes takes over; then the old master is back."""
    pair = case.cluster.redis
    master, replica = pair.nodes
    case.wait_wins(0.1)
    pair.stop_receiving(replica)
    case.wait_wins(0.4)
    master.kill()
    pair.promote(replica)
    case.wait_wins(0.6)
    # And back: the old master, with its old files, is the master again.
    replica.kill()
    master.start()
    pair.master = master


def two_masters(case, seconds=4):
    """The replica is promoted while its master goes on, for so many seconds, at the same nodes."""
    pair = case.cluster.redis
    master, replica = pair.nodes
    case.wait_wins(0.3)
    pair.promote(replica)
    time.sleep(seconds)
    master.ask("REPLICAOF", "127.0.0.1", replica.port)


def cluster_failover(case):
    """A master of a Redis Cluster is killed, its replica takes over, and gives it back."""
    redis = case.cluster.redis
    key = "{p%02d}:gate" % (case.coupon % 64)
    case.wait_wins(0.3)
    master = redis.master_of(key)
    replica = redis.replicas_of(master)[0]
    master.kill()
    begin = time.monotonic()
    replica.wait_for(replica.is_master)
    case.notes.append(f"the replica took over after {time.monotonic() - begin:.1f} s")
    case.wait_wins(0.6)
    master.start()
    redis.wait_until_whole()
    redis.failover(master)


def disk_full(case):
    """No byte more fits on the disk of Redis, for a while."""
    case.wait_wins(0.3)
    case.cluster.redis.fill()
    case.crowd.wait_code("storage-unavailable", 50)
    case.cluster.redis.empty()


# ---- operators ---------------------------------------------------------------------------------

def patch(case, value, number=0):
    """Until it is taken. A known refusal is asked again, as a person would."""
    for _ in range(20):
        try:
            return case.call("PATCH", f"/v1/coupons/{case.coupon}", value, number)
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.2)
    raise AssertionError(f"{value} was never taken")


def nearly_enough_for_all(case):
    """The crowd has hardly come to its end before the operator does what he does."""
    case.quantity = int(case.claim_count * 0.9)


def quantity_lowered(case):
    """An operator lowers the quantity: by less, when the crowd has had more meanwhile."""
    case.wait_wins(0.05)
    for share in (0.3, 0.5, 0.7, 0.9, 0.99):
        wanted = case.share(share)
        try:
            taken = patch(case, {"totalQuantity": wanted})
        except urllib.error.HTTPError as error:
            if error.code != 422:
                raise
            continue
        assert taken["totalQuantity"] == wanted, taken
        case.expected = (wanted, wanted)
        return
    raise AssertionError("the crowd had nearly all before the quantity could be lowered")


def period_cut(case):
    """An operator ends the period."""
    case.wait_wins(0.3)
    taken = patch(case, {"issueEnd": moment(0.1)}, 1)
    case.expected = (taken["issuedQuantity"], case.quantity)
    case.codes = ("ended",)


def rebuild(case):
    done = case.cluster.command("rebuild", "--partition", case.coupon % 64)
    if done.returncode != 0:
        case.notes.append(f"coupon rebuild: {done.stdout}{done.stderr}")


def rebuilt_by_hand(case):
    """By two at once, while both nodes admit."""
    for turn in range(3):
        case.wait_wins(0.2 + 0.2 * turn)
        threads = [threading.Thread(target=rebuild, args=(case,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def everything(case, rounds=12):
    """One thing after the other, by chance (COUPON_TEST_SEED); two may overlap."""
    seed = int(os.environ.get("COUPON_TEST_SEED", random.randrange(1 << 32)))
    chance, cluster = random.Random(seed), case.cluster
    case.notes.append(f"COUPON_TEST_SEED={seed}")

    def again(part):
        part.kill()
        time.sleep(chance.random() * 2)
        wait_until(lambda: started(part), f"{part.NAME} again")

    def started(part):
        try:
            part.start()
            return True
        except RuntimeError:  # what it leans on is away: who runs it starts it again
            return False

    def held(part):
        part.hold()
        time.sleep(chance.random() * 4)
        part.release()

    def lost_files():
        cluster.redis.kill()
        cluster.redis.lose_files()
        cluster.redis.start()

    things = {
        "worker": lambda: again(chance.choice(cluster.workers)),
        "worker-held": lambda: held(chance.choice(cluster.workers)),
        "node": lambda: again(chance.choice(cluster.nodes)),
        "node-held": lambda: held(chance.choice(cluster.nodes)),
        "sql": lambda: again(cluster.sql),
        "redis": lambda: again(cluster.redis),
        "redis-held": lambda: held(cluster.redis),
        "flush": lambda: cluster.redis.ask("FLUSHALL"),
        "lost-files": lost_files,
        "rebuild": lambda: rebuild(case),
    }
    for turn in range(rounds):
        case.wait_wins_or_seconds((turn + 1) * 0.07, 5)
        names = chance.sample(sorted(things), chance.choice((1, 1, 2)))
        if len({name.split("-")[0] for name in names} & {"redis", "flush", "lost"}) > 1 or \
                len({name.split("-")[0] for name in names}) == 1:
            names = names[:1]
        case.notes.append(" + ".join(names))
        threads = [threading.Thread(target=case.guard(things[name])) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


FAULTS = [
    Fault("none", none, in_gate=True),
    Fault("worker-killed", worker_killed, in_gate=True),
    Fault("node-killed", node_killed, in_gate=True),
    Fault("workers-away", workers_away),
    Fault("sql-killed", sql_killed, in_gate=True),
    Fault("sql-away", sql_away),
    Fault("sql-held", sql_held),
    Fault("redis-killed", redis_killed, loses=True, in_gate=True),
    Fault("redis-away", redis_away, loses=True),
    Fault("redis-flushed", redis_flushed, loses=True, in_gate=True),
    Fault("redis-lost-files", redis_lost_files, loses=True, in_gate=True),
    Fault("redis-held", redis_held),
    Fault("worker-held-in-transaction", worker_held_in_transaction, connections=100),
    Fault("undecodable-entry", undecodable_entry, in_gate=True),
    Fault("delivered-twice", delivered_twice, in_gate=True),
    Fault("worker-killed-after-commit", worker_killed_after_commit, prepare=behind_proxies),
    Fault("answer-to-commit-cut", answer_to_commit_cut, prepare=behind_proxies, in_gate=True),
    Fault("stale-replica-promoted", stale_replica_promoted, loses=True, make_redis=RedisPair,
          in_gate=True),
    Fault("two-masters", two_masters, loses=True, make_redis=RedisPair, connections=20),
    Fault("cluster-failover", cluster_failover, loses=True, redis="cluster", connections=20),
    Fault("disk-full", disk_full, make_redis=lambda stage: stage.part(SmallDisk, "redis"),
          missing=SmallDisk.cannot, connections=100),
    Fault("flushed-again-and-again", flushed_again_and_again, loses=True),
    Fault("rebuilt-by-hand", rebuilt_by_hand),
    Fault("redis-flushed-with-a-queue", redis_flushed_with_a_queue, loses=True),
    Fault("quantity-lowered", quantity_lowered, prepare=nearly_enough_for_all, loses=True,
          connections=40, in_gate=True),
    Fault("period-cut", period_cut, loses=True),
    Fault("everything", everything, loses=True, connections=40),
]
