"""The queue in front of the record, as clients and operators see it: the status URL of a 202,
coupon rejects, coupon rebuild, coupon verify --redis, the figures. Without a worker what is admitted
waits, so each state is there for as long as it is looked at. Not for: what happens when parts fail."""

import json
import re
import subprocess
import time

import pytest

from conftest import ROOT
from servers.cluster import DATABASE
from servers.coupon import environment
from support import check
from support.ledgers import Database
from support.metrics import scrape
from support.server import BINARY
from support.wire import Client

DEADLINE_S = 30
ASYNC = [("Prefer", "respond-async")]


class Operator:
    """A cluster with one node, its admin, and the commands."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster.address, cluster.token)
        self.database = Database(cluster.sql, DATABASE)

    def run(self, *arguments, code=0, urls=None):
        """What it printed; on stderr for a code that is none."""
        done = subprocess.run([BINARY, *map(str, arguments)], text=True, capture_output=True,
                              env=environment(self.cluster.urls() if urls is None else urls),
                              check=False, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def coupon(self, **terms):
        return check.new_coupon(self.client, **terms)["id"]

    def admit(self, coupon, *users):
        """Their status URLs."""
        urls = []
        for user in users:
            answer = self.client.post(f"/v1/coupons/{coupon}/issues", {"userId": user},
                                      fields=ASYNC)
            assert answer.status == 202, answer
            assert answer.json()["statusUrl"] == answer.field("Location")
            urls.append(answer.field("Location"))
        return urls

    def standing(self, url):
        return check.success(self.client.get(url))

    def until(self, url, status):
        end = time.monotonic() + DEADLINE_S
        while (told := self.standing(url))["status"] != status:
            assert time.monotonic() < end, (told, status)
        return told

    def work(self):
        """Settles what waits, and is gone."""
        worker = self.cluster.add_worker()
        end = time.monotonic() + DEADLINE_S
        while "0 differences: no violation" not in (told := self.verify()):
            assert time.monotonic() < end, told
        worker.stop()
        assert worker.exit_code == 0

    def verify(self, code=0):
        return self.run("verify", code=code)

    def change_in_the_record(self, coupon, what):
        """Behind everybody's back."""
        self.database.sql(f"UPDATE coupons SET {what} WHERE id = {coupon}")

    def keys(self, coupon, name):
        return f"coupon:{{p{coupon % 64:02d}}}:{name}"


@pytest.fixture(params=["mysql", "postgres"])
def operator(new_cluster, request):
    return Operator(new_cluster("redis", request.param, api=1, workers=0, proxy=False))


@pytest.fixture
def one_operator(new_cluster):
    return Operator(new_cluster("redis", "mysql", api=1, workers=0, proxy=False))


def test_rejects_are_listed_dropped_and_asked_again(operator):
    """The quantity falls in the record itself while four claims wait, so that two are refused;
    both numbers are set back afterwards, and the last is asked again."""
    coupon = operator.coupon(total=4)
    urls = operator.admit(coupon, "a", "b", "c", "d")
    operator.change_in_the_record(coupon, "total_quantity = 2")
    operator.cluster.add_worker()
    assert operator.until(urls[0], "issued")["issue"]["rank"] == 1
    for url in urls[2:]:
        assert operator.until(url, "refused")["code"] == "sold-out"
    place = f"{coupon}/1/{{}}/0"
    listed = [json.loads(line) for line in operator.run("rejects", "--json").splitlines()]
    assert [(one["place"], one["couponId"], one["userId"], one["reason"]) for one in listed] == [
        (place.format(3), coupon, "c", "sold-out"), (place.format(4), coupon, "d", "sold-out")]
    assert re.search(rf"^{place.format(3)} +{coupon} +sold-out +c$", operator.run("rejects"),
                     re.MULTILINE)
    told = operator.run("rejects", "--retry", "all", code=1)
    assert told.count("kept: sold-out") == 2 and told.endswith("2 rejects, 2 kept\n")
    assert operator.run("rejects", "--drop", place.format(3)).startswith(place.format(3))
    assert "no reject at" in operator.run("rejects", "--drop", place.format(3), code=1)
    assert operator.standing(urls[2])["status"] == "lost"
    operator.change_in_the_record(coupon, "total_quantity = 4")
    assert "issued, rank 3" in operator.run("rejects", "--retry", place.format(4))
    assert operator.standing(urls[3])["issue"]["rank"] == 3
    assert "0 rejects" in operator.run("rejects")
    check.problem(operator.client.claim(coupon, "d"), 409, "already-issued")
    assert check.issued(operator.client.claim(coupon, "c"))["rank"] == 4
    check.problem(operator.client.claim(coupon, "e"), 409, "sold-out")
    assert "0 lost admissions" in operator.verify()


def test_entries_that_redis_forgot_do_not_hold_their_seats_for_ever(one_operator):
    """All seats are admitted, then the queue is gone, as when Redis evicts a key: no entry comes
    any more that would show the gap."""
    operator = one_operator
    coupon = operator.coupon(total=2)
    url, _ = operator.admit(coupon, "a", "b")
    with operator.cluster.redis.connect() as wire:
        assert wire.ask("DEL", operator.keys(coupon, "queue:1")) == 1
    operator.cluster.add_worker()
    operator.until(url, "lost")
    assert check.issued(operator.client.claim(coupon, "c"))["rank"] == 1


def test_a_reject_whose_user_holds_one_by_now_is_forgotten(one_operator):
    operator = one_operator
    coupon = operator.coupon()
    url, = operator.admit(coupon, "ann")
    operator.change_in_the_record(coupon, "paused = 1")
    operator.cluster.add_worker()
    operator.until(url, "refused")
    operator.change_in_the_record(coupon, "paused = 0")
    issue = check.issued(operator.client.claim(coupon, "ann"))
    assert operator.standing(url)["issue"] == issue
    assert f"already-issued, rank {issue['rank']}" in operator.run("rejects", "--retry", "all")
    assert "0 rejects" in operator.run("rejects")


def test_an_entry_that_cannot_be_read_is_listed_and_kept(one_operator):
    operator = one_operator
    coupon = operator.coupon()
    operator.admit(coupon, "ann")
    queue = operator.keys(coupon, "queue:1")
    with operator.cluster.redis.connect() as wire:
        wire.ask("HSET", operator.keys(coupon, "gate"), "n", "2")
        wire.ask("XADD", queue, "2-0", "claims", "no claim")
    operator.work()
    listed = json.loads(operator.run("rejects", "--json"))
    assert (listed["reason"], listed["rawBytes"], listed["userId"]) == ("unreadable", 8, None)
    assert "8 bytes that are no claim" in operator.run("rejects")
    assert "kept: it is no claim" in operator.run("rejects", "--retry", "all", code=1)
    assert "dropped" in operator.run("rejects", "--drop", "all")
    assert "0 rejects" in operator.run("rejects")


def test_a_rebuild_by_hand_settles_what_waits_and_begins_an_epoch(operator):
    coupon = operator.coupon()
    urls = operator.admit(coupon, "a", "b", "c")
    told = operator.run("rebuild")
    assert told == (f"partition {coupon}: epoch 1 -> 2, entries settled on the way: 3, missing: 0\n"
                    "63 partitions were never used\n")
    assert [operator.standing(url)["issue"]["rank"] for url in urls] == [1, 2, 3]
    operator.admit(coupon, "d")
    operator.cluster.redis.ask("XDEL", operator.keys(coupon, "queue:2"), "1-0")
    told = operator.run("rebuild", "--partition", coupon)
    assert "epoch 2 -> 3, entries settled on the way: 0, missing: 1" in told
    assert "epoch 0 -> 1" in operator.run("rebuild", "--partition", "40")
    assert check.success(operator.client.get(f"/v1/coupons/{coupon}"))["issuedQuantity"] == 3
    url, = operator.admit(coupon, "d")
    operator.work()
    assert operator.standing(url)["issue"]["rank"] == 4


def test_verify_tells_what_waits_and_what_is_lost_apart(one_operator):
    """Each step makes a difference, which is told by what it is, and is no violation."""
    operator = one_operator
    coupon, redis = operator.coupon(), operator.cluster.redis
    assert "0 partitions in use" in operator.verify()
    operator.admit(coupon, "a", "b", "c")
    told = operator.verify()
    assert f"partition {coupon}: 3 entries with 3 claims are in flight" in told
    assert "1 coupons loaded, 3 claims in flight, 0 lost admissions, 1 differences" in told
    redis.ask("XDEL", operator.keys(coupon, "queue:1"), "2-0")
    told = operator.verify()
    assert "entry 2 is missing" in told and "2 lost admissions" in told
    operator.work()  # which begins an epoch for it
    operator.admit(coupon, "d")
    operator.work()
    redis.ask("HSET", operator.keys(coupon, f"holders:{coupon}:2"), "nobody", "f" * 32 + ":1:0")
    redis.ask("HINCRBY", operator.keys(coupon, f"meta:{coupon}"), "admitted", "1")
    told = operator.verify()
    assert "1 seats are held by no claim" in told and "1 lost admissions" in told
    redis.ask("DEL", operator.keys(coupon, "gate"))
    assert "its gate is" in operator.verify()  # shut, or opened by then
    operator.run("rebuild")
    assert "0 differences: no violation" in operator.verify()


@pytest.mark.parametrize("key, member, value, told", [
    ("meta:1", "settled", "2", "violation of I6: coupon 1: Redis has 2 issued, and the ledger 1"),
    ("meta:1", "total", "7", "violation of I5: coupon 1: Redis goes by other terms"),
    ("meta:1", "version", "9", "violation of I5: coupon 1: Redis goes by version 9"),
    ("gate", "settled_n", "2", "violation of I6: partition 1: Redis has 2 entries settled"),
    ("gate", "epoch", "9", "violation of I3: partition 1: Redis admits for epoch 9"),
    ("holders:1:1", "a", None, "violation of I7: coupon 1: Redis takes itself to know all 1 holders"),
])
def test_verify_finds_a_redis_that_says_more_than_is_true(violated, key, member, value, told):
    operator = violated
    with operator.cluster.redis.connect() as wire:
        name = operator.keys(1, key)
        before = wire.ask("HGET", name, member)
        wire.ask(*(["HSET", name, member, value] if value else ["HDEL", name, member]))
        found = operator.verify(code=1)
        wire.ask("HSET", name, member, before)
    assert told in found and found.endswith(" violations\n")
    assert "0 differences: no violation" in operator.verify()


@pytest.fixture(scope="module")
def violated():
    """One cluster for all of them: what each does it undoes."""
    from conftest import need
    from servers.cluster import Cluster
    need("redis")
    with Cluster(BINARY, api=1, workers=0, proxy=False) as cluster:
        cluster.start()
        operator = Operator(cluster)
        assert operator.coupon() == 1
        operator.admit(1, "a")
        operator.work()
        yield operator


def test_a_redis_that_is_away_is_not_compared(one_operator):
    operator = one_operator
    operator.cluster.redis.stop()
    told = operator.verify(code=2)
    assert "no violation of I1" in told and "Redis was not compared" in told


def test_every_figure_of_the_queue_is_told(one_operator):
    operator = one_operator
    operator.admit(operator.coupon(), "a")
    end = time.monotonic() + DEADLINE_S
    while (figures := scrape(operator.client)).value("coupon_redis_waiting_entries") != 1:
        assert time.monotonic() < end
    assert figures.value("coupon_redis_gates_open") == 1
    assert figures.value("coupon_redis_admitted_total") == 1
    assert figures.value("coupon_rejects") == 0
    document = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in figures.types if f"`{name}" not in document] == []


@pytest.mark.parametrize("arguments, word", [
    (["rejects", "--drop", "all"], "--ledger must be given"),
    (["rejects", "--ledger", "mysql://h/d", "--drop", "1/2/3"], "a place is"),
    (["rejects", "--ledger", "mysql://h/d", "--drop", "64/1/1/0"], "a place is"),
    (["rejects", "--ledger", "mysql://h/d", "--drop", "all", "--retry", "all"], "not both"),
    (["rejects", "--ledger", "mysql://h/d", "--retry", "all"], "--retry needs --redis"),
    (["rebuild", "--ledger", "mysql://h/d"], "--redis and --ledger"),
    (["rebuild", "--ledger", "mysql://h/d", "--redis", "redis://h", "--partition", "64"],
     "from 0 to 63"),
    (["verify", "--redis", "redis://h"], "--redis goes with --ledger"),
])
def test_wrong_options_are_told(arguments, word):
    done = subprocess.run([BINARY, *arguments], capture_output=True,
                          text=True, check=False, env=environment({}))
    assert done.returncode == 2 and word in done.stderr


def test_a_ledger_in_a_file_has_no_queue(tmp_path):
    for arguments in (["rejects"], ["rebuild", "--redis", "redis://127.0.0.1:1"]):
        done = subprocess.run([BINARY, *arguments, "--ledger", f"sqlite:{tmp_path}"], check=False,
                              capture_output=True, text=True, env=environment({}))
        assert done.returncode == 1 and done.stderr.startswith(f"coupon {arguments[0]}: ")


def test_the_help_names_both_commands():
    for command in ("rejects", "rebuild"):
        done = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True,
                              check=True)
        assert done.stdout.startswith(f"coupon {command}: ")
