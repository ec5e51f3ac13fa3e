"""What no caller should send: refused by an error that begins with COUPON; nothing changes."""

import pytest

from partition import LAST_US, claim_of, claims_of, everything, new_claim_id
from servers.redis import RedisError

NOT_WHOLE = ["", " ", "-", "-1", "-0", "+1", "01", "00", "1.0", "1.5", "1e3", "0x10", "1 ", " 1",
             "9007199254740992", "99999999999999999999", "inf", "nan", "NaN", "a", "1a", "1\n",
             "1\x002", "１"]
NOT_POSITIVE = ["0", *NOT_WHOLE]
NOT_INSTANT = [word for word in NOT_WHOLE if word not in ("-1", "9007199254740992")] + [
    "-01", "--1", "1000000000000000000", "9223372036854775808"]


@pytest.fixture
def refused(partition):
    """Asserts that a call is refused and leaves everything as it is."""
    partition.load(total=100)
    partition.claim(claims_of("a", "b"))
    before = everything(partition.wire)

    def check(function, keys, args):
        with pytest.raises(RedisError, match="^COUPON "):
            partition.call(function, keys, *args)
        assert everything(partition.wire) == before, args
    return check


def bad_ones(args, at, words):
    """The arguments, each time with one of these at a place."""
    for word in words:
        yield [*args[:at], word, *args[at + 1:]]


def claim_keys(partition):
    return [partition.gate, partition.meta(7), partition.holders(7), partition.queue]


def test_claims_with_bad_numbers_are_refused(partition, refused):
    args = [3, 7, 1, *claim_of("late")]
    for at in (0, 1, 2):
        for bad in bad_ones(args, at, NOT_POSITIVE):
            refused("coupon_claim", claim_keys(partition), bad)


def test_claims_of_another_count_than_told_are_refused(partition, refused):
    claim = claim_of("late")
    for count in (2, 3, 2048):
        refused("coupon_claim", claim_keys(partition), [3, 7, count, *claim])
    for words in (0, 1, 2, 4, 5, 6):
        refused("coupon_claim", claim_keys(partition), [3, 7, 1, *(claim + claim)[:words]])
    for args in ([], [3], [3, 7], [3, 7, 0]):
        refused("coupon_claim", claim_keys(partition), args)


def test_more_than_2048_claims_are_refused(partition, refused):
    claims = claims_of(*(f"u{i}" for i in range(2049)))
    refused("coupon_claim", claim_keys(partition),
            [3, 7, 2049, *(word for claim in claims for word in claim)])


def test_words_of_the_wrong_size_are_refused_wherever_they_are(partition, refused):
    good = claim_of("late")
    bad = [claim_of("late", claim_id=claim_id)
           for claim_id in ("x", "0" * 31, "0" * 33)]
    bad += [(new_claim_id(), "", ""), claim_of("u" * 129), claim_of("late", "k" * 129)]
    for claim in bad:
        refused("coupon_claim", claim_keys(partition), [3, 7, 1, *claim])
        refused("coupon_claim", claim_keys(partition), [3, 7, 3, *good, *claim_of("b"), *claim])


def test_calls_with_another_number_of_keys_are_refused(partition, refused):
    claim, load = [3, 7, 1, *claim_of("late")], [3, 2, 5, 0, 1, 0, 0, 0, 1]
    keys = [*claim_keys(partition), partition.key("meta:71")]
    for function, args, right in (("coupon_claim", claim, {4}), ("coupon_load", load, {2}),
                                  ("coupon_close", [3], {1}), ("coupon_open", [4], {1}),
                                  ("coupon_settled", [3, 1, 1, 0], {2}),
                                  ("coupon_status", [], {2})):
        for count in set(range(len(keys) + 1)) - right:
            refused(function, keys[:count], args)


def test_reports_with_bad_numbers_are_refused(partition, refused):
    keys = [partition.gate, partition.queue, partition.meta(7), partition.holders(7)]
    args = [3, 1, 1, 1, 1, 1, 1, "a", new_claim_id()]
    for at, words in ((0, NOT_POSITIVE), (1, NOT_POSITIVE), (2, NOT_POSITIVE), (3, NOT_WHOLE),
                      (4, NOT_WHOLE), (5, NOT_WHOLE), (6, NOT_WHOLE)):
        for bad in bad_ones(args, at, words):
            refused("coupon_settled", keys, bad)


def test_reports_that_end_early_or_late_are_refused(partition, refused):
    keys = [partition.gate, partition.queue, partition.meta(7), partition.holders(7)]
    args = [3, 1, 1, 1, 1, 1, 1, "a", new_claim_id()]
    for size in range(len(args)):
        refused("coupon_settled", keys, args[:size])
    refused("coupon_settled", keys, [*args, "more"])
    for count in (0, 2, 9007199254740991):
        refused("coupon_settled", keys, [*args[:3], count, *args[4:]])
        refused("coupon_settled", keys, [*args[:6], count, *args[7:]])
    refused("coupon_settled", keys, [3, 2, 1, *args[3:]])


def test_a_gate_that_names_no_partition_is_refused(partition, refused):
    for gate in ("gate", "coupon:{p7}:gate", "coupon:{pxx}:gate", "coupon:p07:gate"):
        refused("coupon_settled", [gate, partition.queue], [3, 1, 1, 0])


def test_loads_with_bad_values_are_refused(partition, refused):
    keys = [partition.gate, partition.meta(7)]
    args = [3, 2, 5, 0, LAST_US, 0, 0, 0, 1]
    flags = [word for word in ["2", *NOT_WHOLE]]
    for at, words in ((0, NOT_POSITIVE), (1, NOT_POSITIVE),
                      (2, [word for word in NOT_WHOLE if word != "-1"] + ["-2"]),
                      (3, NOT_INSTANT), (4, NOT_INSTANT), (5, flags), (6, NOT_WHOLE),
                      (7, NOT_WHOLE), (8, flags)):
        for bad in bad_ones(args, at, words):
            refused("coupon_load", keys, bad)
    for size in range(len(args)):
        refused("coupon_load", keys, args[:size])
    refused("coupon_load", keys, [*args, "1"])


def test_gates_of_no_epoch_are_refused(partition, refused):
    for function in ("coupon_open", "coupon_close"):
        for word in NOT_POSITIVE:
            refused(function, [partition.gate], [word])
        refused(function, [partition.gate], [])
        refused(function, [partition.gate], [4, 4])


def test_the_largest_numbers_are_taken(partition):
    largest = 2 ** 53 - 1
    assert partition.open(largest) == ["ok", str(largest)]
    partition.epoch = largest
    assert partition.load(coupon=largest, version=largest, total=largest, start_us=-largest,
                          end_us=LAST_US, issued=largest - 1, clock_us=largest - 1)[0] == "ok"
    assert partition.claim(claims_of("a", "b"), coupon=largest) == ["a:1:0", "f"]
    assert partition.meta_hash(largest)["admitted"] == str(largest)
    assert partition.entries()[0][1:3] == (str(largest), str(largest - 1))
