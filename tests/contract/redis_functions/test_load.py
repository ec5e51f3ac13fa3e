"""coupon_load: terms come with their versions, counts only once an epoch."""

from partition import FUTURE_US, HOUR_US, claims_of, everything

FIELDS = ("version", "total", "start_us", "end_us", "paused", "admitted", "settled", "clock_us",
          "complete")


def test_the_first_load_sets_everything(partition):
    reply = partition.load(version=4, total=100, start_us=5, end_us=6, paused=1, issued=42,
                           clock_us=9, complete=0)
    assert reply == ["ok", "4", "100", "5", "6", "1", "42", "42", "9", "0"]
    assert partition.meta_hash() == {"epoch": "3", **dict(zip(FIELDS, reply[1:]))}


def test_the_same_or_a_lower_version_changes_nothing_and_tells_what_is_there(partition):
    partition.load(version=10, total=100, issued=1)
    partition.claim(claims_of("a"))
    before = everything(partition.wire)
    for version in (10, 9, 2, 1):  # as texts, 9 and 2 come after 10
        reply = partition.load(version=version, total=5, paused=1, issued=50, complete=0)
        assert reply == ["ok", *(partition.meta_hash()[field] for field in FIELDS)]
    assert everything(partition.wire) == before


def test_a_higher_version_changes_the_terms_and_keeps_the_counts(partition):
    partition.load(version=9, total=100, issued=1)
    partition.claim(claims_of("a", "b"))
    partition.settled(1, 1, [(7, 3, 0, [])])
    partition.claim(claims_of("c"))
    before = partition.meta_hash()
    partition.load(version=10, total=200, start_us=5, end_us=FUTURE_US, paused=1, issued=50,
                   clock_us=FUTURE_US, complete=0)
    assert partition.meta_hash() == {**before, "version": "10", "total": "200", "start_us": "5",
                                     "end_us": str(FUTURE_US), "paused": "1"}


def test_another_epoch_begins_anew_whatever_the_version(partition):
    partition.load(version=9, total=100, issued=1)
    partition.claim(claims_of("a"))
    partition.epoch = 4
    partition.open()
    reply = partition.load(version=2, total=50, issued=2, clock_us=FUTURE_US, complete=0)
    assert reply[1:] == ["2", "50", "0", "253402300799999999", "0", "2", "2", str(FUTURE_US), "0"]
    assert partition.meta_hash()["epoch"] == "4"


def test_a_pause_and_its_end_come_with_versions(partition):
    partition.load(version=1)
    partition.load(version=2, paused=1)
    assert partition.claim(claims_of("a")) == ["p"]
    partition.load(version=1, paused=0)
    assert partition.claim(claims_of("a")) == ["p"]
    partition.load(version=3, paused=0)
    assert partition.claim(claims_of("a")) == ["a:1:0"]


def test_more_seats_open_what_was_sold_out(partition):
    partition.load(version=1, total=1)
    partition.claim(claims_of("a"))
    partition.settled(1, 1, [(7, 1, 0, [])])
    assert partition.claim(claims_of("b")) == ["o"]
    partition.load(version=2, total=2)
    assert partition.claim(claims_of("b", "c")) == ["a:2:0", "f"]


def test_fewer_seats_than_admitted_are_full_until_they_are_settled(partition):
    partition.load(version=1, total=10)
    partition.claim(claims_of("a", "b", "c"))
    partition.load(version=2, total=2)
    assert partition.claim(claims_of("d")) == ["f"]
    partition.settled(1, 1, [(7, 2, 1, [])])
    assert partition.claim(claims_of("d")) == ["o"]


def test_a_quantity_may_become_unlimited_and_limited_again(partition):
    partition.load(version=1, total=1)
    assert partition.claim(claims_of("a", "b")) == ["a:1:0", "f"]
    partition.load(version=2, total=-1)
    assert partition.claim(claims_of("b")) == ["a:2:0"]
    partition.load(version=3, total=3)
    assert partition.claim(claims_of("c", "d")) == ["a:3:0", "f"]


def test_the_ledger_s_clock_holds_from_the_first_claim(partition):
    partition.load(start_us=FUTURE_US, end_us=FUTURE_US + HOUR_US, clock_us=FUTURE_US)
    assert partition.claim_reply(claims_of("a"))[3:] == [str(FUTURE_US), "a:1:0"]


def test_the_first_load_of_an_epoch_forgets_who_held_in_the_one_before(partition):
    partition.load()
    partition.claim(claims_of("a"))
    former = partition.holders(7)
    assert partition.wire.ask("EXISTS", former) == 1
    partition.epoch += 1
    partition.open()
    partition.load()
    assert partition.wire.ask("EXISTS", former) == 0
