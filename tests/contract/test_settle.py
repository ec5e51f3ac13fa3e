"""What a settlement says, and what the record holds, when the server goes away at a chosen moment,
or the program that settles does. For every store that is a server."""

import threading

import pytest

COUPON = 1


def begin(driver):
    """A coupon of 1,000 that is open, of which u1 … u10 have one each."""
    assert driver("open-coupon", 1000) == ("ok", str(COUPON))
    assert driver("settle", COUPON, 1, 10) == ("ok", "10")


@pytest.mark.parametrize("settle", ["settle", "settle-fresh"])
def test_a_settlement_whose_answer_is_lost_finds_itself_when_asked_again(proxy, behind_proxy,
                                                                         settle):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_after(b"COMMIT")
    assert driver(settle, COUPON, 11, 5)[0] == "ambiguous"
    assert proxy.happened.is_set()
    assert driver.again(settle, COUPON, 11, 5) == ("ok", "5")
    assert driver("ranks", COUPON) == ("ok", "15")
    assert [driver("holding", COUPON, user)[1] for user in range(11, 16)] == \
        ["11", "12", "13", "14", "15"]


@pytest.mark.parametrize("settle", ["settle", "settle-fresh"])
def test_a_settlement_whose_commit_never_arrived_is_done_when_asked_again(proxy, behind_proxy,
                                                                          settle):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_before(b"COMMIT")
    assert driver(settle, COUPON, 11, 5)[0] == "ambiguous"
    assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver(settle, COUPON, 11, 5) == ("ok", "5")
    assert driver("ranks", COUPON) == ("ok", "15")


def test_an_entry_whose_answer_is_lost_is_behind_the_cursor(proxy, behind_proxy, server, database):
    driver = behind_proxy()
    begin(driver)
    assert driver("consume", COUPON, 1, 12) == ("ok", "2")  # two of them are new
    assert server.sql("SELECT count(*) FROM coupon_rejects WHERE reason = 'already-issued'",
                      database) == "10"
    proxy.cut_after(b"COMMIT")
    assert driver("consume", COUPON, 2, 15)[0] == "ambiguous"
    status, words = driver.again("consume", COUPON, 2, 15)
    assert status == "not-found" and "entry 2 of epoch 0" in words
    assert driver("ranks", COUPON) == ("ok", "16")
    assert driver("look", COUPON, 16, 3) == ("ok", "2")


def test_an_entry_whose_commit_never_arrived_is_before_the_cursor(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_before(b"COMMIT")
    assert driver("consume", COUPON, 1, 15)[0] == "ambiguous"
    assert driver.again("consume", COUPON, 1, 15) == ("ok", "5")
    assert driver("ranks", COUPON) == ("ok", "15")


def test_a_connection_that_is_cut_within_a_settlement_is_a_known_failure(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    for settle in ("settle", "settle-fresh"):  # where it looks; where it writes
        proxy.cut_before(b"u11")
        assert driver(settle, COUPON, 11, 5)[0] == "io"
        assert proxy.happened.is_set()
        assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver("settle", COUPON, 11, 5) == ("ok", "5")


def test_a_look_that_is_cut_looks_again(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    for cut in (proxy.cut_before, proxy.cut_after):
        cut(b"u11")
        assert driver("look", COUPON, 9, 5) == ("ok", "3")
        assert proxy.happened.is_set()


def test_a_look_at_a_server_that_is_away_is_a_known_failure(server, driver):
    begin(driver)
    server.stop()
    assert driver("look", COUPON, 9, 5)[0] == "io"
    server.start()
    assert driver.again("look", COUPON, 9, 5) == ("ok", "3")


def test_a_look_that_has_no_answer_ends_at_the_deadline(proxy, behind_proxy):
    driver = behind_proxy("statement-ms=300")
    begin(driver)
    proxy.hold_after(b"u11")
    assert driver("look", COUPON, 9, 5)[0] in ("io", "ok")
    assert driver.again("look", COUPON, 9, 5) == ("ok", "3")


def test_a_restart_between_settlements_is_not_noticed(server, driver):
    begin(driver)
    for words, answer in ((("settle", COUPON, 11, 5), "5"), (("look", COUPON, 15, 2), "1"),
                          (("holding", COUPON, 15), "15"), (("holdings", 15), "1"),
                          (("consume", COUPON, 1, 16), "1")):
        server.restart()
        assert driver(*words) == ("ok", answer)


def test_a_kill_while_settlements_are_written_loses_nothing_confirmed(server, driver):
    assert driver("open-coupon", 10**6) == ("ok", str(COUPON))
    killer = threading.Thread(target=server.kill)
    entry, status = 0, "ok"
    while status == "ok":  # each entry's users are the next ten
        if entry == 100:
            killer.start()
        entry += 1
        status, words = driver("settle-fresh", COUPON, 10 * entry, 10)
        assert (status, words) == ("ok", "10") or status in ("io", "ambiguous")
    killer.join()
    server.start()
    assert driver.again("settle-fresh", COUPON, 10 * entry, 10) == ("ok", "10")
    assert driver("ranks", COUPON) == ("ok", str(10 * entry))


def test_who_stops_within_a_settlement_is_passed_by_and_then_ended(server, database, behind_proxy,
                                                                   proxy, new_driver):
    """It has the cursor and the coupon. Another is told so at once, and after the idle time, when
    the server has ended it, goes on; what the first had written is undone."""
    silent = behind_proxy("idle-ms=1000")
    begin(silent)
    other = new_driver("lock-ms=20000")
    server.sql("UPDATE partitions SET n = 10", database)
    proxy.hold_after(b"u11")
    silent.send("consume", COUPON, 11, 5)
    proxy.happened.wait()
    assert other("consume", COUPON, 11, 5)[0] == "busy"
    assert other("look", COUPON, 11, 5) == ("ok", "5")
    assert other("settle", COUPON, 11, 5) == ("ok", "5")  # waits for the coupon
    proxy.cut_all()
    assert silent.answer()[0] == "io"
    assert silent.again("consume", COUPON, 11, 6) == ("ok", "1")
    assert other("ranks", COUPON) == ("ok", "16")


def test_a_program_that_is_killed_leaves_no_half_of_a_settlement(server, database, new_driver,
                                                                 driver):
    """While others settle the same coupon: all of its settlement is there, or nothing."""
    begin(driver)
    doomed = new_driver()
    doomed.send("settle-fresh", COUPON, 1001, 900)
    doomed.kill()
    assert driver("settle", COUPON, 2001, 5) == ("ok", "5")
    status, ranks = driver("ranks", COUPON)
    assert status == "ok"
    assert (driver("look", COUPON, 1001, 900)[1], ranks) in (("900", "15"), ("0", "915"))
