"""The gate: what closes it, who may open it, and that a closed one lets nothing through."""

import pytest

from partition import Partition, claim_of, claims_of, everything, load_library
from servers.redis import RedisError
from servers.redis_cluster import SLOT_COUNT, RedisNode

WRONG = "0" * 40


def assert_closed(partition, epoch, why):
    """All that write say so, and nothing changes."""
    before = everything(partition.wire)
    expected = ["closed", epoch, why]
    assert partition.claim_reply(claims_of("late")) == expected
    assert partition.settled(1, 1, [(7, 1, 0, [("a", "b")])]) == expected
    assert partition.load(version=9) == expected
    assert everything(partition.wire) == before


def test_an_opened_gate_counts_from_zero(partition, shared_redis):
    replid = shared_redis.info("replication")["master_replid"]
    assert partition.gate_hash() == {"epoch": "3", "replid": replid, "n": "0", "settled_n": "0"}


def test_without_a_gate_it_is_closed(wire):
    assert_closed(Partition(wire), "0", "missing")


def test_emptied_it_is_closed(partition):
    partition.load()
    partition.claim(claims_of("a"))
    partition.wire.ask("FLUSHALL")
    assert_closed(partition, "0", "missing")


@pytest.mark.parametrize("epoch", [2, 4, 30])
def test_of_another_epoch_it_is_closed(partition, epoch):
    partition.load()
    partition.claim(claims_of("a"))
    partition.epoch = epoch
    assert_closed(partition, "3", "epoch")


def test_with_another_replid_it_is_closed(partition):
    partition.load()
    partition.claim(claims_of("a"))
    partition.wire.ask("HSET", partition.gate, "replid", WRONG)
    assert_closed(partition, "3", "replid")


def test_another_epoch_is_told_before_another_replid(partition):
    partition.wire.ask("HSET", partition.gate, "replid", WRONG)
    partition.epoch = 4
    assert_closed(partition, "3", "epoch")


def test_a_restarted_server_is_closed_until_a_later_epoch_opens_it(new_redis):
    """Its append-only file brings the gate back, with everything or without the last second."""
    redis = new_redis(appendonly=True)
    with redis.connect() as wire:
        partition = Partition(wire)
        partition.open()
        partition.load()
        partition.claim(claims_of("a"))
    redis.restart()
    with redis.connect() as wire:
        partition = Partition(wire)
        assert_closed(partition, "3", "replid")
        assert partition.status()[1:5] == ["3", "1", "0", "0"]
        assert partition.open(2) == partition.open(3) == ["closed", "3", "replid"]
        assert len(partition.entries()) == 1
        partition.epoch = 4
        assert partition.open() == ["ok", "4"]
        partition.load(issued=1)
        assert partition.claim(claims_of("b")) == ["a:1:0"]


def test_a_killed_server_that_starts_again_is_closed(new_redis):
    redis = new_redis(appendonly=True, appendfsync="always")
    with redis.connect() as wire:
        partition = Partition(wire)
        partition.open()
        partition.load()
        partition.claim(claims_of("a"))
    redis.kill()
    redis.start()
    with redis.connect() as wire:
        assert_closed(Partition(wire), "3", "replid")


def test_a_promoted_replica_is_closed_and_its_old_master_is_not(new_redis):
    """Who still reaches the old master is fenced by the ledger's epoch, not here."""
    master, replica = new_redis(), new_redis()
    replica.replicate(master)
    with master.connect() as wire, replica.connect() as other:
        partition, copy = Partition(wire), Partition(other)
        partition.open()
        partition.load()
        partition.claim(claims_of("a"))
        wire.ask("WAIT", 1, 60_000)
        assert copy.status() == partition.status()
        assert copy.status()[4] == "1"
        replica.promote()
        assert copy.status()[4] == "0"
        assert_closed(copy, "3", "replid")
        assert copy.open(3) == ["closed", "3", "replid"]
        copy.epoch = 4
        assert copy.open() == ["ok", "4"]
        copy.load()
        assert copy.claim(claims_of("b")) == ["a:1:0"]
        assert partition.claim(claims_of("b")) == ["a:2:0"]


def test_a_master_that_comes_back_as_a_replica_is_closed_when_promoted_again(new_redis):
    one, two = new_redis(), new_redis()
    two.replicate(one)
    with one.connect() as wire:
        Partition(wire).open()
        wire.ask("WAIT", 1, 60_000)
    two.promote()
    with two.connect() as wire:
        assert Partition(wire, epoch=4).open() == ["ok", "4"]
    one.replicate(two)
    one.promote()
    with one.connect() as wire:
        assert_closed(Partition(wire, epoch=4), "4", "replid")


def test_the_first_replica_of_a_server_closes_its_gate(new_redis):
    """Redis takes a new replid then; it costs an epoch, and promises nothing wrong."""
    master, replica = new_redis(), new_redis()
    with master.connect() as wire:
        partition = Partition(wire)
        partition.open()
        replica.replicate(master)
        assert_closed(partition, "3", "replid")
        partition.epoch = 4
        assert partition.open() == ["ok", "4"]


def test_a_replica_takes_no_claims_and_answers_questions(new_redis):
    master, replica = new_redis(), new_redis()
    replica.replicate(master)
    with master.connect() as wire, replica.connect() as other:
        partition, copy = Partition(wire), Partition(other)
        partition.open()
        partition.load()
        wire.ask("WAIT", 1, 60_000)
        with pytest.raises(RedisError, match="^READONLY"):
            copy.claim_reply(claims_of("a"))
        assert copy.call("coupon_version", []) == ["3"]
        assert other.ask("FCALL_RO", "coupon_status", 2, copy.gate, copy.queue)[:2] == ["ok", "3"]


def test_what_a_claim_did_is_on_the_replica_as_it_is_on_the_master(new_redis):
    master, replica = new_redis(), new_redis()
    replica.replicate(master)
    with master.connect() as wire, replica.connect() as other:
        partition = Partition(wire)
        partition.open()
        partition.load(total=5)
        claims = [claim_of(f"u{i}") for i in range(7)]
        partition.claim(claims)
        partition.settled(1, 1, [(7, 4, 1, [(claims[0][1], claims[0][0])])])
        partition.claim(claims_of("late"))
        wire.ask("WAIT", 1, 60_000)
        assert everything(other) == everything(wire)


def test_a_cluster_takes_every_call():
    """All keys of a call are in one slot; one node that serves all slots would tell otherwise."""
    with RedisNode(appendonly=False) as node:
        node.start()
        node.ask("CLUSTER", "ADDSLOTSRANGE", 0, SLOT_COUNT - 1)
        node.wait_for(lambda: "cluster_state:ok" in node.ask("CLUSTER", "INFO"))
        with node.connect() as wire:
            load_library(wire)
            for number in (0, 7, 63):
                partition = Partition(wire, number)
                assert partition.open() == ["ok", "3"]
                partition.load(total=2)
                partition.load(71)
                claims = claims_of("a", "b", "c")
                assert partition.claim(claims) == ["a:1:0", "a:1:1", "f"]
                assert partition.settled(1, 1, [(7, 1, 1, [("a", claims[0][0])]),
                                                (71, 0, 0, [])]) == ["ok", "1"]
                assert partition.status()[:4] == ["ok", "3", "1", "1"]
                assert partition.close() == ["ok", "0"]
            other = Partition(wire, 8)
            with pytest.raises(RedisError, match="CROSSSLOT"):
                partition.call("coupon_status", [partition.gate, other.queue])


def test_open_again_is_no_change(partition):
    partition.load()
    partition.claim(claims_of("a"))
    before = everything(partition.wire)
    assert partition.open(3) == ["ok", "3"]
    assert partition.open(2) == ["ok", "3"]
    assert everything(partition.wire) == before


def test_a_later_epoch_takes_an_open_gate_over(partition):
    partition.load()
    partition.claim(claims_of("a"))
    partition.epoch = 10  # as a number after 3, as a text before it
    assert partition.open() == ["ok", "10"]
    assert partition.gate_hash()["n"] == "0"
    partition.epoch = 3
    assert_closed(partition, "10", "epoch")


def test_close_takes_its_own_epoch_and_those_before_it(partition):
    assert partition.close(2) == ["ok", "3"]
    assert partition.gate_hash()["epoch"] == "3"
    assert partition.close(3) == ["ok", "0"]
    assert_closed(partition, "0", "missing")
    assert partition.close(3) == ["ok", "0"]
    partition.open(4)
    assert partition.close(10) == ["ok", "0"]


def test_an_epoch_that_was_closed_is_never_opened_again(partition):
    """Its beginner comes late, when another settles the rest already and begins the next."""
    for late in (3, 2):
        partition.close(3)
        assert partition.open(late) == ["closed", "0", "missing"]
        assert partition.close(2) == ["ok", "0"]
        assert partition.open(late) == ["closed", "0", "missing"]
    assert partition.status()[1] == "0"
    assert_closed(partition, "0", "missing")
    assert partition.open(4) == ["ok", "4"]
    assert partition.open(3) == ["ok", "4"]
    assert sorted(partition.gate_hash()) == ["epoch", "n", "replid", "settled_n"]


def test_an_epoch_is_closed_before_it_is_opened(partition):
    assert partition.close(4) == ["ok", "0"]
    assert partition.open(4) == ["closed", "0", "missing"]
    assert partition.open(10) == ["ok", "10"]


def test_a_late_close_does_not_shut_what_was_opened_since(partition):
    partition.close(3)
    partition.open(4)
    assert partition.close(3) == ["ok", "4"]
    partition.epoch = 4
    partition.load()
    assert partition.claim(claims_of("a")) == ["a:1:0"]


def test_close_shuts_a_gate_whose_replid_is_wrong(partition):
    partition.wire.ask("HSET", partition.gate, "replid", WRONG)
    assert partition.close(3) == ["ok", "0"]


def test_of_two_that_rebuild_the_second_changes_nothing(partition):
    """Both close 3 and open 4, in every order that keeps each one's own."""
    for order in ("AaBb", "ABab", "ABba", "BAab"):
        partition.wire.ask("FLUSHALL")
        load_library(partition.wire)
        partition.epoch = 3
        partition.open()
        for step in order:
            if step in "AB":
                partition.close(3)
            else:
                assert partition.open(4) == ["ok", "4"]
                partition.epoch = 4
                partition.load()
                partition.claim(claims_of("ann"))
        assert partition.gate_hash()["n"] == "1"


def test_status_tells_how_a_partition_stands(partition):
    assert partition.status() == ["ok", "3", "0", "0", "1", "0", "0"]
    partition.load()
    times = [partition.claim_reply(claims_of(f"u{i}"))[3] for i in range(4)]
    assert partition.status() == ["ok", "3", "4", "0", "1", "4", times[0]]
    partition.settled(1, 2)
    assert partition.status() == ["ok", "3", "4", "2", "1", "2", times[2]]
    partition.wire.ask("HSET", partition.gate, "replid", WRONG)
    assert partition.status() == ["ok", "3", "4", "2", "0", "2", times[2]]
    partition.close()
    assert partition.status() == ["ok", "0", "0", "0", "0", "2", times[2]]


def test_the_version_is_told(wire):
    assert wire.ask("FCALL", "coupon_version", 0) == ["3"]
    assert wire.ask("FCALL_RO", "coupon_version", 0) == ["3"]
