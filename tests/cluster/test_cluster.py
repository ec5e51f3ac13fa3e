"""A whole cluster of real processes: through its proxy exactly the quantity is issued, and what was
told is in the ledger. Not for: what happens when parts of it fail."""

import itertools
import time

import pytest

from servers.cluster import DATABASE
from support import check, record
from support.crowd import Load, assert_order_kept, assert_sold_out_is_true
from support.ledgers import Database
from support.metrics import scrape
from support.wire import Client

LEDGERS = ("mysql", "postgres")
THREADS = 24
QUANTITY = 1000
DEADLINE_S = 30


def claims_of(node):
    with Client(("127.0.0.1", node.port)) as client:
        return sum(scrape(client).by("coupon_claims_total", "verdict").values())


def assert_ends_well(cluster, answers):
    """Stops its own programs, then holds the record against what was told. Returns the issues."""
    database = Database(cluster.sql, DATABASE)
    for program in cluster.programs():
        program.stop()
        assert program.exit_code == 0, program.log()
    done = cluster.verify()
    assert done.returncode == 0, done.stdout + done.stderr
    return record.assert_is_what_was_told(*database.record(), answers)


@pytest.mark.parametrize("mode, redis, ledger", [
    ("sql", "1", "mysql"), ("sql", "1", "postgres"),
    ("redis", "1", "mysql"), ("redis", "cluster", "postgres")])
def test_several_nodes_issue_exactly_the_quantity(new_cluster, mode, redis, ledger):
    cluster = new_cluster(mode, ledger, redis=redis, api=2, workers=3)
    with Client(cluster.address, cluster.token) as admin:
        coupon = check.new_coupon(admin, total=QUANTITY)["id"]
        asks = [(coupon, f"user-{number}", None) for number in range(2 * QUANTITY)]
        asks = [ask for ask in asks for _ in range(2)]  # each twice, at about the same time
        load = Load(cluster.address, asks, THREADS).start().join()
        assert not load.unanswered
        assert_order_kept(load.won())
        assert_told(mode, load)
        body = issued_in_the_end(admin, coupon)
        assert (body["issuedQuantity"], body["state"]) == (QUANTITY, "soldOut")
    shares = [claims_of(node) for node in cluster.nodes]
    assert sum(shares) == len(asks) and min(shares) > 0, shares
    found = assert_ends_well(cluster, load.told)
    assert len(found[coupon]) == QUANTITY
    if mode == "sql":
        assert found[coupon] == {one.body["rank"]: one.user for one in load.won()}


def assert_told(mode, load):
    """With Redis in front an answer may come too late to be one: 202, or 503 for what waits."""
    codes = {one.code for one in load.told}
    if mode == "sql":
        assert codes == {None, "already-issued", "sold-out"}
        assert {one.status for one in load.told} == {201, 409}
        assert_sold_out_is_true(load.told, QUANTITY)
    else:
        assert codes - {"overloaded"} <= {None, "already-issued", "sold-out"}
        assert {one.status for one in load.told} <= {201, 202, 409, 503}
        assert len(load.won()) >= 0.9 * QUANTITY


def issued_in_the_end(admin, coupon):
    """The coupon, once what was admitted is settled."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        body = check.coupon(admin.get(f"/v1/coupons/{coupon}"))
        if body["issuedQuantity"] == QUANTITY or time.monotonic() > deadline:
            return body


@pytest.mark.parametrize("ledger", LEDGERS)
def test_what_one_node_changes_the_other_knows(new_cluster, ledger):
    cluster = new_cluster("sql", ledger, api=2, proxy=False)
    one, other = (Client(("127.0.0.1", node.port), cluster.token) for node in cluster.nodes)
    with one, other:
        path = "/v1/coupons/%d" % check.new_coupon(one, total=1)["id"]
        coupon = int(path.rsplit("/", 1)[1])
        check.coupon(other.patch(path, {"paused": True}))
        check.problem(one.claim(coupon, "alice"), 409, "paused")
        check.coupon(one.patch(path, {"paused": False}))
        issue = check.issued(other.claim(coupon, "alice", "key"))
        assert check.issued(one.claim(coupon, "alice", "key"), replayed=True) == issue
        check.problem(one.claim(coupon, "bob"), 409, "sold-out")
        check.coupon(other.patch(path, {"totalQuantity": 2}))
        assert check.issued(one.claim(coupon, "bob"))["rank"] == 2
        check.coupon(one.patch(path, {"archived": True}))
        check.problem(other.claim(coupon, "carol"), 404, "coupon-not-found")
    assert_ends_well(cluster, [])


def test_a_node_that_is_away_is_not_missed_and_may_come_back(new_cluster):
    cluster = new_cluster("sql", api=2)
    users = (f"user-{number}" for number in itertools.count())
    with Client(cluster.address, cluster.token) as client:
        coupon = check.new_coupon(client, total=None)["id"]

        def claim(count):
            return [check.issued(client.claim(coupon, next(users)))["rank"] for _ in range(count)]

        assert claim(20) == list(range(1, 21))
        cluster.nodes[0].kill()
        assert claim(50) == list(range(21, 71))
        cluster.nodes[0].start()
        with Client(("127.0.0.1", cluster.nodes[0].port)) as direct:
            assert check.issued(direct.claim(coupon, "direct"))["rank"] == 71
        assert claim(20) == list(range(72, 92))
    assert len(assert_ends_well(cluster, [])[coupon]) == 91


def test_it_stops_in_order_and_says_what_did_not_end_well(new_cluster):
    told = []
    cluster = new_cluster("sql", api=2, tell=told.append)
    cluster.nodes[1].kill()
    cluster.nodes[1].start()
    told.clear()
    assert cluster.stop() == []
    assert told == [f"stopping {name}" for name in ("proxy", "api-1", "api-2", "mariadb")]
    assert cluster.running() == {}
