"""coupon_claim: which verdict, in which order, and what stands in the queue afterwards."""

import re
import time

from partition import (FUTURE_US, HOUR_US, claim_of, claims_of, everything, new_claim_id,
                       pairs)

VISIBLE = "".join(map(chr, range(0x21, 0x7f)))


def test_an_admitted_claim_is_an_entry_and_its_user_a_holder(partition):
    partition.load(total=10)
    claim = claim_of("ann", "key-1")
    before_us = time.time_ns() // 1000 - 1_000_000
    reply = partition.claim_reply([claim])
    assert reply[:3] == ["ok", "0", "1"]
    assert before_us <= int(reply[3]) <= time.time_ns() // 1000 + 1_000_000
    assert reply[4:] == ["a:1:0"]
    assert partition.entries() == [("1-0", "7", reply[3], [claim])]
    assert partition.holders_hash() == {"ann": f"{claim[0]}:1:0"}
    assert partition.gate_hash()["n"] == "1"
    assert partition.meta_hash()["admitted"] == "1"
    assert partition.meta_hash()["clock_us"] == reply[3]


def test_the_admitted_of_a_call_are_one_entry_in_their_order(partition):
    partition.load()
    claims = claims_of("c", "a", "b")
    assert partition.claim(claims) == ["a:1:0", "a:1:1", "a:1:2"]
    assert [entry[3] for entry in partition.entries()] == [claims]


def test_n_has_no_gaps_over_the_coupons_of_a_partition(partition):
    for coupon in (7, 71, 135):
        partition.load(coupon, total=20)
    seen = []
    for turn in range(30):
        coupon = (7, 71, 135)[turn % 3]
        verdicts = partition.claim(claims_of(f"u{turn}", f"v{turn}"), coupon)
        if verdicts[0].startswith("a"):
            seen.append(verdicts)
    assert seen == [[f"a:{n}:0", f"a:{n}:1"] for n in range(1, 31)]
    assert [entry[0] for entry in partition.entries()] == [f"{n}-0" for n in range(1, 31)]
    assert [entry[1] for entry in partition.entries()] == ["7", "71", "135"] * 10


def test_a_call_that_admits_nobody_takes_no_n_and_writes_nothing(partition):
    partition.load(paused=1)
    before = everything(partition.wire)
    assert partition.claim(claims_of("a", "b")) == ["p", "p"]
    assert everything(partition.wire) == before


def test_the_same_claims_again_get_the_same_places_and_append_nothing(partition):
    partition.load(total=3)
    claims = claims_of("a", "b", "c")
    verdicts = partition.claim(claims)
    before = everything(partition.wire)
    assert partition.claim(claims) == verdicts
    assert partition.claim(claims[::-1]) == verdicts[::-1]
    assert everything(partition.wire) == before


def test_claims_again_mixed_with_new_ones_keep_their_places(partition):
    partition.load()
    old = claims_of("a", "b", "c")
    partition.claim(old)
    new = claims_of("d", "e")
    mixed = [new[0], old[2], old[0], new[1], claim_of("b")]
    assert partition.claim(mixed) == ["a:2:0", "a:1:2", "a:1:0", "a:2:1", f"d:{old[1][0]}:1:1"]
    assert partition.entries()[1][3] == new
    assert partition.meta_hash()["admitted"] == "5"


def test_another_claim_of_a_holder_is_told_which_claim_holds(partition):
    partition.load()
    first = claim_of("ann")
    partition.claim(claims_of("x") + [first])
    assert partition.claim([claim_of("ann")]) == [f"d:{first[0]}:1:1"]


def test_the_second_claim_of_a_user_within_a_call_is_a_duplicate_of_the_first(partition):
    partition.load()
    one, two = claim_of("ann"), claim_of("ann")
    assert partition.claim([claim_of("bob"), one, two, one]) == \
        ["a:1:0", "a:1:1", f"d:{one[0]}:1:1", "a:1:1"]
    assert partition.meta_hash()["admitted"] == "2"
    assert len(partition.entries()[0][3]) == 2


def test_a_holder_of_one_coupon_is_none_of_another(partition):
    partition.load(7)
    partition.load(71)
    assert partition.claim(claims_of("ann"), 7) == ["a:1:0"]
    assert partition.claim(claims_of("ann"), 71) == ["a:2:0"]


def test_the_verdicts_are_tried_in_one_order(partition):
    """Held, paused, not started, ended, quantity: what comes first hides what follows."""
    partition.load(total=1, start_us=FUTURE_US, end_us=FUTURE_US + HOUR_US)
    partition.set_clock(FUTURE_US)
    held = claim_of("ann")
    assert partition.claim([held]) == ["a:1:0"]

    def verdicts():
        return partition.claim([held, claim_of("ann"), claim_of("bob")])

    mine = ["a:1:0", f"d:{held[0]}:1:0"]
    assert verdicts() == [*mine, "f"]
    assert partition.settled(1, 1, [(7, 1, 0, [])]) == ["ok", "1"]
    assert verdicts() == [*mine, "o"]
    partition.set_clock(FUTURE_US + HOUR_US)
    assert verdicts() == [*mine, "e"]
    # A period of no moment, begun later than it ends, has both: it has not begun.
    partition.load(version=2, total=1, start_us=FUTURE_US + 2 * HOUR_US, end_us=FUTURE_US)
    assert verdicts() == [*mine, f"s:{FUTURE_US + 2 * HOUR_US}"]
    partition.load(version=3, total=1, start_us=FUTURE_US + 2 * HOUR_US, end_us=FUTURE_US,
                   paused=1)
    assert verdicts() == [*mine, "p"]


def test_the_period_begins_with_its_first_microsecond(partition):
    partition.load(start_us=FUTURE_US, end_us=FUTURE_US + HOUR_US)
    partition.set_clock(FUTURE_US - 1)
    assert partition.claim(claims_of("a")) == [f"s:{FUTURE_US}"]
    partition.set_clock(FUTURE_US)
    assert partition.claim(claims_of("a")) == ["a:1:0"]


def test_the_period_ends_before_its_last_instant(partition):
    partition.load(start_us=FUTURE_US, end_us=FUTURE_US + HOUR_US)
    partition.set_clock(FUTURE_US + HOUR_US - 1)
    assert partition.claim(claims_of("a")) == ["a:1:0"]
    partition.set_clock(FUTURE_US + HOUR_US)
    assert partition.claim(claims_of("b")) == ["e"]


def test_an_end_beyond_what_a_double_can_tell_is_still_after_now(partition):
    partition.load(start_us=-62_135_596_800_000_000, end_us=253_402_300_799_999_999)
    assert partition.claim(claims_of("a")) == ["a:1:0"]
    assert partition.meta_hash()["end_us"] == "253402300799999999"


def test_the_clock_never_steps_back_behind_an_admission(partition):
    partition.load()
    partition.set_clock(FUTURE_US + 1)
    reply = partition.claim_reply(claims_of("a"))
    assert reply[3] == str(FUTURE_US + 1)
    assert partition.meta_hash()["clock_us"] == str(FUTURE_US + 1)
    assert partition.claim_reply(claims_of("b"))[3] == str(FUTURE_US + 1)


def test_the_clock_goes_on_with_the_machine_s(partition):
    partition.load()
    seen = [int(partition.claim_reply(claims_of(f"u{i}"))[3]) for i in range(50)]
    assert seen == sorted(seen) and seen[0] < seen[-1]
    assert [int(entry[2]) for entry in partition.entries()] == seen


def test_microseconds_are_told_to_the_last_digit(partition):
    partition.load()
    reply = partition.claim_reply(claims_of("a"))
    assert re.fullmatch("[0-9]{16}", reply[3])
    for offset in (1, 3, 5, 7, 999_999):
        partition.set_clock(FUTURE_US + offset)
        assert partition.claim_reply(claims_of(f"u{offset}"))[3] == str(FUTURE_US + offset)
        assert partition.entries()[-1][2] == str(FUTURE_US + offset)
    last = 2 ** 53 - 1
    partition.set_clock(last)
    assert partition.claim_reply(claims_of("z"))[3] == str(last)
    assert partition.entries()[-1][2] == partition.meta_hash()["clock_us"] == str(last)


def test_positions_are_told_to_the_last_digit(partition):
    partition.load()
    partition.wire.ask("HSET", partition.gate, "n", 2 ** 52, "settled_n", 2 ** 52)
    place = f"{2 ** 52 + 1}:0"
    claim = claim_of("a")
    assert partition.claim([claim]) == [f"a:{place}"]
    assert partition.entries()[0][0] == f"{2 ** 52 + 1}-0"
    assert partition.holders_hash() == {"a": f"{claim[0]}:{place}"}
    assert partition.settled(2 ** 52 + 1, 2 ** 52 + 1) == ["ok", str(2 ** 52 + 1)]
    assert partition.entries() == []


def test_the_last_seat_is_given_and_no_more(partition):
    partition.load(total=3)
    assert partition.claim(claims_of("a", "b")) == ["a:1:0", "a:1:1"]
    assert partition.claim(claims_of("c", "d", "e")) == ["a:2:0", "f", "f"]
    assert partition.claim(claims_of("f")) == ["f"]
    assert partition.meta_hash()["admitted"] == "3"


def test_a_quantity_of_one_admits_one(partition):
    partition.load(total=1)
    assert partition.claim(claims_of("a", "b", "c")) == ["a:1:0", "f", "f"]
    assert partition.settled(1, 1, [(7, 1, 0, [])]) == ["ok", "1"]
    assert partition.claim(claims_of("b")) == ["o"]


def test_a_quantity_of_none_is_sold_out_from_the_start(partition):
    partition.load(total=0)
    assert partition.claim(claims_of("a")) == ["o"]


def test_full_is_sold_out_only_once_all_are_settled(partition):
    partition.load(total=4)
    partition.claim(claims_of("a", "b"))
    partition.claim(claims_of("c", "d"))
    assert partition.claim(claims_of("e")) == ["f"]
    partition.settled(1, 1, [(7, 2, 0, [])])
    assert partition.claim(claims_of("e")) == ["f"]
    partition.settled(2, 2, [(7, 4, 0, [])])
    assert partition.claim(claims_of("e")) == ["o"]


def test_what_was_issued_before_it_was_loaded_takes_seats(partition):
    partition.load(total=10, issued=9)
    assert partition.claim(claims_of("a", "b")) == ["a:1:0", "f"]
    partition.load(coupon=71, total=10, issued=10)
    assert partition.claim(claims_of("a"), 71) == ["o"]


def test_an_unlimited_coupon_is_never_full(partition):
    partition.load(total=-1, issued=4_000_000_000)
    for call in range(5):
        verdicts = partition.claim(claims_of(*(f"u{call}-{i}" for i in range(1000))))
        assert verdicts == [f"a:{call + 1}:{i}" for i in range(1000)]
    assert partition.meta_hash()["admitted"] == "4000005000"


def test_two_thousand_and_forty_eight_claims_are_one_call(partition):
    partition.load(total=2000)
    claims = [claim_of(f"user-{i}", f"key-{i}") for i in range(2048)]
    verdicts = partition.claim(claims)
    assert verdicts == [f"a:1:{i}" for i in range(2000)] + ["f"] * 48
    assert partition.entries()[0][3] == claims[:2000]
    assert partition.holders_hash() == {claim[1]: f"{claim[0]}:1:{i}"
                                        for i, claim in enumerate(claims[:2000])}
    assert partition.claim(claims) == verdicts
    assert len(partition.entries()) == 1


def test_every_count_around_a_slice_is_read_and_written_whole(partition):
    for coupon, count in enumerate((1, 2, 999, 1000, 1001, 1999, 2000, 2001, 2047, 2048), 100):
        partition.load(coupon)
        claims = claims_of(*(f"u{i}" for i in range(count)))
        expected = [verdict.split(":")[2] for verdict in partition.claim(claims, coupon)]
        assert expected == [str(i) for i in range(count)]
        assert len(partition.holders_hash(coupon)) == count
        again = partition.claim([claim_of(claim[1]) for claim in claims], coupon)
        assert [word.split(":")[1] for word in again] == [claim[0] for claim in claims]


def test_users_and_keys_of_any_visible_characters_come_back_as_they_were(partition):
    partition.load()
    hostile = [VISIBLE, VISIBLE[::-1], "1:a", "3:abc", "32:", ":", "::", '"', "\\", "0", "1:1:1",
               "{p07}", "-1", "%s", "%0", "nil", "__index", "epoch", "a" * 128, "9" * 128,
               f"{new_claim_id()}:1:0", *VISIBLE]
    claims = [claim_of(user, hostile[-i]) for i, user in enumerate(hostile)]
    claims += [claim_of("no-key", "")]
    assert len({claim[1] for claim in claims}) < len(claims)  # ':' and '"' and '0' come twice
    verdicts = partition.claim(claims)
    admitted = [claim for claim, verdict in zip(claims, verdicts) if verdict.startswith("a:")]
    assert len({claim[1] for claim in claims}) == len(admitted)
    assert partition.entries()[0][3] == admitted
    assert partition.holders_hash() == {claim[1]: f"{claim[0]}:1:{i}"
                                        for i, claim in enumerate(admitted)}
    assert partition.claim(admitted) == [f"a:1:{i}" for i in range(len(admitted))]


def test_a_coupon_that_is_not_loaded_is_told_so(partition):
    before = everything(partition.wire)
    assert partition.claim_reply(claims_of("a")) == ["not-loaded"]
    assert everything(partition.wire) == before


def test_a_coupon_of_the_epoch_before_is_not_loaded(partition):
    partition.load(total=5)
    partition.claim(claims_of("a"))
    partition.epoch = 4
    assert partition.open() == ["ok", "4"]
    assert partition.claim_reply(claims_of("a")) == ["not-loaded"]
    partition.load(total=5, issued=1)
    assert partition.claim(claims_of("a")) == ["a:1:0"]


def test_whether_holders_is_complete_is_told_with_each_call(partition):
    partition.load(7, complete=1)
    partition.load(71, complete=0)
    assert partition.claim_reply(claims_of("a"), 7)[2] == "1"
    assert partition.claim_reply(claims_of("a"), 71)[2] == "0"


def test_holders_that_were_evicted_are_not_called_complete_again(partition):
    partition.load(total=4)
    partition.claim(claims_of("a", "b"))
    partition.settled(1, 1, [(7, 2, 0, [])])
    assert partition.claim_reply(claims_of("a"))[2] == "1"
    partition.wire.ask("DEL", partition.holders(7))
    assert partition.claim_reply(claims_of("c", "d"))[2] == "0"
    reply = partition.claim_reply(claims_of("a"))
    assert (reply[2], reply[4]) == ("0", "f")


def test_how_far_it_is_settled_is_told_with_each_call(partition):
    partition.load()
    for n in range(1, 4):
        assert partition.claim_reply(claims_of(f"u{n}"))[1] == str(n - 1)
        partition.settled(n, n, [(7, n, 0, [])])


def test_partitions_do_not_know_of_each_other(partition):
    other = type(partition)(partition.wire, number=8, epoch=5)
    assert other.open() == ["ok", "5"]
    partition.load(7)
    other.load(8)
    assert partition.claim(claims_of("a"), 7) == other.claim(claims_of("a"), 8) == ["a:1:0"]
    assert pairs(partition.wire.ask("HGETALL", other.gate))["epoch"] == "5"
