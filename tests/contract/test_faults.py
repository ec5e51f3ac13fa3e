"""What a ledger says, and what its record holds, when the server goes away at a chosen moment or
another session is in the way. For every store that is a server; what only PostgreSQL has is in
test_postgres.py."""

import threading

COUPON = 1


def begin(driver):
    """A coupon of 1,000 with ten issues."""
    assert driver("create", 1000) == ("ok", str(COUPON))
    assert driver("append", COUPON, 1, 10) == ("ok", "10")


def test_a_restart_between_calls_is_not_noticed(server, driver):
    begin(driver)
    server.restart()
    assert driver("append", COUPON, 11, 5) == ("ok", "15")
    server.restart()
    assert driver("read", COUPON) == ("ok", "15")
    server.restart()
    assert driver("ranks", COUPON) == ("ok", "15")
    assert driver("audits") == ("ok", "1")


def test_what_was_confirmed_survives_a_kill(server, driver):
    begin(driver)
    for first in range(11, 200):
        assert driver("append", COUPON, first, 1) == ("ok", str(first))
    server.kill()
    assert driver("append", COUPON, 200, 1)[0] == "io"
    assert driver("read", COUPON)[0] == "io"
    server.start()
    assert driver.again("ranks", COUPON) == ("ok", "199")
    assert driver("append", COUPON, 200, 1) == ("ok", "200")


def test_a_kill_while_batches_are_written_loses_nothing_confirmed(server, driver):
    assert driver("create", 10**6) == ("ok", str(COUPON))
    killer = threading.Thread(target=server.kill)
    confirmed, status = 0, "ok"
    while status == "ok":
        if confirmed == 1000:
            killer.start()
        status, _ = driver("append", COUPON, confirmed + 1, 10)
        confirmed += 10 if status == "ok" else 0
    killer.join()
    assert status in ("io", "ambiguous")
    server.start()
    status, ranks = driver.again("ranks", COUPON)
    assert status == "ok"
    assert int(ranks) in (confirmed, confirmed + 10)


def test_a_server_that_is_away_is_a_known_failure_and_comes_back(server, driver):
    begin(driver)
    server.stop()
    for _ in range(3):
        assert driver("append", COUPON, 11, 1)[0] == "io"
        assert driver("probe")[0] == "io"
    server.start()
    assert driver.again("probe")[0] == "ok"
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_a_connection_that_is_cut_before_commit_is_a_known_failure(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_before(b"u11")
    assert driver("append", COUPON, 11, 1)[0] == "io"
    assert proxy.happened.is_set()
    assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_a_commit_that_never_arrived_is_ambiguous_and_the_record_tells(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_before(b"COMMIT")
    assert driver("append", COUPON, 11, 1)[0] == "ambiguous"
    assert proxy.happened.is_set()
    assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_a_commit_whose_answer_is_lost_is_ambiguous_and_the_record_tells(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    proxy.cut_after(b"COMMIT")
    assert driver("append", COUPON, 11, 1)[0] == "ambiguous"
    assert proxy.happened.is_set()
    assert driver.again("ranks", COUPON) == ("ok", "11")
    assert driver("append", COUPON, 12, 1) == ("ok", "12")


def test_every_kind_of_write_tells_of_a_lost_commit(proxy, behind_proxy):
    driver = behind_proxy()
    begin(driver)
    for words in (("create", 5), ("change", COUPON, 2, 500)):
        proxy.cut_after(b"COMMIT")
        assert driver(*words)[0] == "ambiguous"
        assert driver.again("read", COUPON) == ("ok", "10")
    assert driver("audits") == ("ok", "3")
    assert driver("change", COUPON, 2, 600)[0] == "conflict"


def test_a_probe_commits_by_itself(proxy, behind_proxy):
    """All programs write its row: one that sleeps behind its UPDATE must not have it locked."""
    driver = behind_proxy()
    proxy.cut_before(b"COMMIT")
    assert driver("probe") == ("ok", "0")
    assert not proxy.happened.is_set()


def test_a_commit_without_an_answer_ends_at_the_deadline(proxy, behind_proxy):
    driver = behind_proxy("statement-ms=300")
    begin(driver)
    proxy.hold_after(b"COMMIT")
    assert driver("append", COUPON, 11, 1)[0] == "ambiguous"
    assert driver.again("ranks", COUPON) == ("ok", "11")


def test_no_complaint_tells_the_password(server, new_driver, database):
    wrong = server.url(database).replace("sesame", "sesamum")
    for url in (wrong, server.url("nowhere"), server.url(database).replace("//", "//[")):
        driver = new_driver(url=url, opened=False)
        status, words = driver("open")
        assert status in ("io", "invalid", "not-found"), words
        assert "sesam" not in words and words


def test_many_that_open_an_empty_database_at_once_make_one_ledger(new_driver):
    drivers = [new_driver(opened=False) for _ in range(6)]
    for driver in drivers:
        driver.send("open")
    assert [driver.answer() for driver in drivers] == [("ok", "0")] * 6
    begin(drivers[0])
    assert [driver("ranks", COUPON) for driver in drivers] == [("ok", "10")] * 6


def test_an_empty_database_is_no_ledger_for_who_only_reads(new_driver):
    driver = new_driver("existing", opened=False)
    assert driver("open")[0] == "not-found"
    assert driver("open")[0] == "not-found"


def test_a_newer_ledger_is_refused_and_left(server, database, driver, new_driver):
    begin(driver)
    server.sql("UPDATE ledger_version SET version = 1000", database)
    for options in ((), ("existing",)):
        other = new_driver(*options, opened=False)
        status, words = other("open")
        assert status == "newer", words
        assert "1000" in words
    assert server.sql("SELECT version FROM ledger_version", database) == "1000"


def test_issues_of_no_coupon_are_found(server, database, driver):
    begin(driver)
    server.sql("INSERT INTO coupon_issues VALUES (77, 1, 'u', NULL, NULL, 1)", database)
    assert driver("orphan") == ("ok", "77")


def test_a_key_that_somebody_dropped_is_damage(server, database, driver):
    assert driver("check")[0] == "ok"
    server.drop_user_key(database)
    status, words = driver("check")
    assert status == "damaged" and "coupon_issues_user" in words
