"""Redis full, its disk broken, keys of another kind: a call is done whole or not at all."""

import pytest

from partition import Partition, claim_of, claims_of, everything
from servers.redis import RedisError


@pytest.fixture
def partition(new_redis):
    """On a server whose settings may be spoilt."""
    redis = new_redis(appendonly=False)
    with redis.connect() as wire:
        made = Partition(wire)
        made.redis = redis
        made.open()
        made.load(total=5000)
        yield made


def assert_refused(partition, error, call):
    before = everything(partition.wire)
    with pytest.raises(RedisError, match=error):
        call()
    assert everything(partition.wire) == before


def test_a_full_memory_refuses_claims_whole_and_still_lets_them_settle(partition):
    """What gives memory back must work when there is none."""
    claims = claims_of(*(f"u{i}" for i in range(2000)))
    partition.claim(claims)
    partition.wire.ask("CONFIG", "SET", "maxmemory", "1")
    assert_refused(partition, "^OOM", lambda: partition.claim(claims_of("late")))
    assert_refused(partition, "^OOM", lambda: partition.load(version=2))
    assert_refused(partition, "^OOM", lambda: partition.open(4))
    forget = [(claim[1], claim[0]) for claim in claims]
    assert partition.settled(1, 1, [(7, 0, 2000, forget)]) == ["ok", "1"]
    assert partition.entries() == [] and partition.holders_hash() == {}
    assert partition.status()[:4] == ["ok", "3", "1", "1"]
    partition.wire.ask("CONFIG", "SET", "maxmemory", "0")
    assert partition.claim(claims_of("late")) == ["a:2:0"]


def test_memory_that_fills_up_never_leaves_half_a_call(partition):
    """Claims until memory is full, of sizes that cross the limit at every command of a call."""
    used = int(partition.redis.info("memory")["used_memory"])
    partition.wire.ask("CONFIG", "SET", "maxmemory", used + 300_000)
    admitted = []
    for call in range(10_000):
        claims = [claim_of(f"{call}-{i}", "k" * 100) for i in range(1 + call * 37 % 200)]
        try:
            assert partition.claim(claims)[0] == f"a:{len(admitted) + 1}:0"
        except RedisError as error:
            assert str(error).startswith("OOM")
            break
        admitted.append(claims)
    partition.wire.ask("CONFIG", "SET", "maxmemory", "0")
    assert len(admitted) > 1
    assert [entry[3] for entry in partition.entries()] == admitted
    assert len(partition.holders_hash()) == sum(map(len, admitted))
    assert partition.meta_hash()["admitted"] == str(sum(map(len, admitted)))
    assert partition.gate_hash()["n"] == str(len(admitted))


def test_a_memory_that_is_full_can_be_closed(partition):
    partition.wire.ask("CONFIG", "SET", "maxmemory", "1")
    assert partition.close() == ["ok", "0"]


def test_a_dump_that_failed_refuses_whole_calls(partition):
    partition.claim(claims_of("a"))
    partition.wire.ask("CONFIG", "SET", "save", "3600 1")
    partition.redis.data.chmod(0o555)
    partition.wire.ask("BGSAVE")
    partition.redis.wait_for(lambda: partition.redis.info("persistence")
                             ["rdb_last_bgsave_status"] == "err")
    for call in (lambda: partition.claim(claims_of("late")), lambda: partition.settled(1, 1),
                 lambda: partition.load(version=2), partition.close):
        assert_refused(partition, "^MISCONF", call)
    assert partition.status()[:4] == ["ok", "3", "1", "0"]


def test_replicas_that_must_be_there_and_are_not_refuse_whole_calls(partition):
    partition.wire.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert_refused(partition, "^NOREPLICAS", lambda: partition.claim(claims_of("late")))
    assert_refused(partition, "^NOREPLICAS", partition.close)


@pytest.mark.parametrize("which", ["gate", "meta", "holders", "queue"])
def test_a_key_of_another_kind_refuses_the_whole_call(partition, which):
    partition.claim(claims_of("a"))
    key = {"gate": partition.gate, "meta": partition.meta(7), "holders": partition.holders(7),
           "queue": partition.queue}[which]
    partition.wire.ask("SET", key, "text")
    assert_refused(partition, "WRONGTYPE", lambda: partition.claim(claims_of("late", "later")))
    assert_refused(partition, "WRONGTYPE",
                   lambda: partition.settled(1, 1, [(7, 1, 1, [("a", "x")])]))


def test_a_user_who_may_not_append_gets_nothing_done(partition):
    partition.wire.ask("ACL", "SETUSER", "little", "on", "nopass", "~*", "&*", "+@all", "-xadd")
    with partition.redis.connect(user="little", password="") as wire:
        little = Partition(wire)
        assert_refused(partition, "can't run this command", lambda: little.claim(claims_of("late")))


def test_a_function_that_was_not_loaded_is_not_found(partition):
    partition.wire.ask("FUNCTION", "FLUSH")
    assert_refused(partition, "^ERR Function not found", lambda: partition.claim(claims_of("a")))


def test_flushall_keeps_the_library(partition):
    partition.wire.ask("FLUSHALL")
    assert partition.claim_reply(claims_of("a")) == ["closed", "0", "missing"]
