"""coupon_settled: exactly once, in the order of n; what is given back; what leaves the queue."""

from partition import claim_of, claims_of, everything, load_library, new_claim_id


def admit(partition, count, coupon=7):
    """So many entries of one claim each; returns the claims."""
    claims = [claim_of(f"user-{i}") for i in range(count)]
    for claim in claims:
        assert partition.claim([claim], coupon)[0].startswith("a:")
    return claims


def test_what_is_settled_leaves_the_queue_and_is_counted(partition):
    partition.load(total=10)
    admit(partition, 3)
    assert partition.settled(1, 2, [(7, 2, 0, [])]) == ["ok", "2"]
    assert [entry[0] for entry in partition.entries()] == ["3-0"]
    assert partition.gate_hash()["settled_n"] == "2"
    meta = partition.meta_hash()
    assert (meta["admitted"], meta["settled"]) == ("3", "2")
    assert len(partition.holders_hash()) == 3


def test_it_goes_on_from_where_it_was(partition):
    partition.load()
    admit(partition, 5)
    for first, last in ((1, 1), (2, 4), (5, 5)):
        assert partition.settled(first, last) == ["ok", str(last)]
    assert partition.entries() == []
    assert partition.claim(claims_of("late")) == ["a:6:0"]


def test_the_same_again_changes_nothing(partition):
    partition.load(total=3)
    claims = admit(partition, 3)
    report = [(7, 1, 1, [(claims[1][1], claims[1][0])])]
    assert partition.settled(1, 2, report) == ["ok", "2"]
    before = everything(partition.wire)
    assert partition.settled(1, 2, report) == ["ok", "2"]
    assert partition.settled(1, 1, report) == ["ok", "2"]
    assert partition.settled(2, 2, report) == ["ok", "2"]
    assert everything(partition.wire) == before


def test_what_is_apart_from_what_was_settled_changes_nothing(partition):
    partition.load()
    admit(partition, 5)
    partition.settled(1, 2, [(7, 2, 0, [])])
    before = everything(partition.wire)
    for first, last in ((4, 5), (5, 5), (1, 3), (2, 5)):  # a gap; an overlap
        assert partition.settled(first, last, [(7, 5, 1, [("user-0", "x")])]) == ["apart", "2"]
    assert everything(partition.wire) == before
    assert partition.settled(3, 5, [(7, 5, 0, [])]) == ["ok", "5"]


def test_seats_of_rejects_are_given_to_others(partition):
    partition.load(total=2)
    claims = admit(partition, 2)
    assert partition.claim(claims_of("late")) == ["f"]
    forget = [(claims[0][1], claims[0][0])]
    assert partition.settled(1, 2, [(7, 1, 1, forget)]) == ["ok", "2"]
    assert partition.claim(claims_of("late", "later")) == ["a:3:0", "f"]


def test_who_was_forgotten_may_claim_again(partition):
    partition.load(total=2)
    claims = admit(partition, 2)
    forget = [(claims[0][1], claims[0][0])]
    partition.settled(1, 1, [(7, 0, 1, forget)])
    assert list(partition.holders_hash()) == ["user-1"]
    assert partition.claim(claims_of("user-0", "user-1")) == ["a:3:0", f"d:{claims[1][0]}:2:0"]


def test_nobody_is_forgotten_for_another_claim(partition):
    partition.load()
    claims = admit(partition, 1)
    user, claim_id = claims[0][1], claims[0][0]
    others = [new_claim_id(), claim_id[:-1], claim_id + ":1", "", f"{claim_id}:1:0"]
    partition.settled(1, 1, [(7, 1, 0, [(user, other) for other in others])])
    assert partition.holders_hash() == {user: f"{claim_id}:1:0"}


def test_a_claim_that_came_after_the_forgotten_one_stays(partition):
    partition.load()
    first, second = claim_of("ann"), claim_of("ann")
    partition.claim([first])
    partition.settled(1, 1, [(7, 0, 1, [("ann", first[0])])])
    partition.claim([second])
    partition.settled(2, 2, [(7, 1, 0, [("ann", first[0])])])
    assert partition.holders_hash() == {"ann": f"{second[0]}:2:0"}


def test_thousands_are_forgotten_in_one_call(partition):
    partition.load(total=2048)
    claims = claims_of(*(f"u{i}" for i in range(2048)))
    partition.claim(claims)
    kept = claims[5]
    forget = [(claim[1], claim[0]) for claim in claims if claim is not kept]
    assert partition.settled(1, 1, [(7, 1, 2047, forget)]) == ["ok", "1"]
    assert partition.holders_hash() == {kept[1]: f"{kept[0]}:1:5"}
    assert partition.meta_hash()["admitted"] == "1"


def test_more_are_forgotten_than_lua_can_unpack(partition):
    partition.load()
    claims = claims_of(*(f"u{i}" for i in range(10_000)))
    for at in range(0, 10_000, 2000):
        partition.claim(claims[at:at + 2000])
    forget = [(claim[1], claim[0]) for claim in claims[:-1]]
    assert partition.settled(1, 5, [(7, 1, 9999, forget)]) == ["ok", "5"]
    assert list(partition.holders_hash()) == ["u9999"]


def test_settled_never_falls_and_admitted_is_never_below_it(partition):
    partition.load(total=10, issued=5)
    admit(partition, 3)
    partition.settled(1, 1, [(7, 4, 0, [])])
    assert partition.meta_hash()["settled"] == "5"
    partition.settled(2, 2, [(7, 6, 100, [])])
    meta = partition.meta_hash()
    assert (meta["admitted"], meta["settled"]) == ("6", "6")
    # More issued than was admitted here: others issue in the same ledger.
    partition.settled(3, 3, [(7, 9, 0, [])])
    meta = partition.meta_hash()
    assert (meta["admitted"], meta["settled"]) == ("9", "9")


def test_several_coupons_are_told_of_in_one_call(partition):
    for coupon in (7, 71):
        partition.load(coupon, total=5)
    one = admit(partition, 2, 7)
    two = admit(partition, 2, 71)
    assert partition.settled(1, 4, [(7, 1, 1, [(one[0][1], one[0][0])]),
                                    (71, 1, 1, [(two[1][1], two[1][0])])]) == ["ok", "4"]
    assert list(partition.holders_hash(7)) == ["user-1"]
    assert list(partition.holders_hash(71)) == ["user-0"]
    assert partition.meta_hash(7)["admitted"] == partition.meta_hash(71)["admitted"] == "1"


def test_a_coupon_that_is_not_loaded_is_left_alone(partition):
    partition.load(7)
    claims = admit(partition, 1)
    partition.wire.ask("DEL", partition.meta(7))
    assert partition.settled(1, 1, [(7, 0, 1, [(claims[0][1], claims[0][0])])]) == ["ok", "1"]
    assert partition.meta_hash(7) == {}
    assert partition.holders_hash(7) == {}


def test_a_coupon_of_another_epoch_keeps_its_counts(partition):
    partition.load(7, total=5)
    admit(partition, 1)
    partition.wire.ask("HSET", partition.meta(7), "epoch", "2")
    before = partition.meta_hash(7)
    assert partition.settled(1, 1, [(7, 1, 0, [])]) == ["ok", "1"]
    assert partition.meta_hash(7) == before


def test_it_is_published_once_what_was_settled(partition, shared_redis):
    partition.load()
    admit(partition, 3)
    with shared_redis.connect() as ears:
        assert ears.ask("SUBSCRIBE", "coupon:settled")[0] == "subscribe"
        partition.settled(1, 2)
        partition.settled(1, 2)
        partition.settled(9, 9)
        partition.settled(3, 3)
        assert ears.receive() == ["message", "coupon:settled", "07 3 2"]
        assert ears.receive() == ["message", "coupon:settled", "07 3 3"]
        partition.wire.ask("PUBLISH", "coupon:settled", "end")
        assert ears.receive() == ["message", "coupon:settled", "end"]


def test_more_settled_than_was_queued_closes_the_gate(partition):
    """The ledger knows positions that this Redis never gave: going on would give them twice."""
    partition.load()
    admit(partition, 2)
    assert partition.settled(1, 3) == ["closed", "0", "missing"]
    assert partition.claim_reply(claims_of("a")) == ["closed", "0", "missing"]
    assert len(partition.entries()) == 2


def test_a_queue_that_is_ahead_of_the_gate_closes_the_gate(partition):
    partition.load()
    admit(partition, 2)
    partition.wire.ask("HSET", partition.gate, "n", "1")
    before = everything(partition.wire)
    assert partition.claim_reply(claims_of("late")) == ["closed", "0", "missing"]
    del before[partition.gate]
    assert everything(partition.wire) == before


def test_the_library_loaded_again_goes_on_with_what_is_there(partition):
    partition.load()
    admit(partition, 2)
    load_library(partition.wire)
    assert partition.claim(claims_of("late")) == ["a:3:0"]
    assert partition.settled(1, 3) == ["ok", "3"]
