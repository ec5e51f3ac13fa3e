"""What only PostgreSQL has: its settings, its locks, its way to be stopped."""

import os
import signal
import subprocess

import pytest

from servers import Postgres
from servers.postgres import programs

COUPON = 1


@pytest.fixture(scope="module", params=["postgresql"])
def shared_server(request):
    if Postgres.missing():
        pytest.skip(f"NOT TESTED: PostgreSQL; {Postgres.missing()}")
    with Postgres() as server:
        server.start()
        yield server


@pytest.fixture
def session(server, database):
    """A psql of the test's own: session(sql) -> its answer, the transaction stays open."""
    process = subprocess.Popen(
        [programs() / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", server.url(database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(text):
        process.stdin.write(f"{text};\n\\echo done\n")
        process.stdin.flush()
        lines = []
        for line in process.stdout:
            if line == "done\n":
                return "".join(lines)
            lines.append(line)
        raise AssertionError(lines)

    yield ask
    process.stdin.close()
    process.stdout.close()
    process.wait(30)


def begin(driver):
    assert driver("create", 1000) == ("ok", str(COUPON))
    assert driver("append", COUPON, 1, 10) == ("ok", "10")


@pytest.mark.parametrize("setting, value", [
    ("synchronous_commit", "off"), ("fsync", "off"), ("full_page_writes", "off")])
def test_a_server_that_may_lose_what_it_confirmed_is_refused(server, database, new_driver,
                                                             setting, value):
    server.sql(f"ALTER SYSTEM SET {setting} = {value}")
    server.sql("SELECT pg_reload_conf()")
    try:
        server.wait_for_setting(setting, value)
        status, words = new_driver(opened=False)("open")
        assert status == "invalid"
        assert f"{setting} = {value}" in words and "--allow-weak-durability" in words
        begin(new_driver("weak"))
        assert new_driver("existing")("ranks", COUPON) == ("ok", "10")
    finally:
        server.sql(f"ALTER SYSTEM RESET {setting}")
        server.sql("SELECT pg_reload_conf()")
        server.wait_for_setting(setting, "on")


def test_weakness_of_this_database_or_user_counts(server, database, new_driver):
    server.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    assert new_driver(opened=False)("open")[0] == "invalid"
    server.sql(f"ALTER DATABASE {database} SET synchronous_commit = local")
    begin(new_driver())  # no standby: local is all there is


@pytest.fixture
def standby_away(server):
    """standby_away(True): COMMITs wait for a standby that is not there, until standby_away(False)."""
    def change(away):
        value = "gone" if away else ""
        server.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
        server.sql("SELECT pg_reload_conf()")
        server.wait_for_setting("synchronous_standby_names", value)
    yield change
    change(False)


def test_what_no_standby_has_is_not_told_by_reading_it(server, database, new_driver, standby_away):
    assert new_driver()("open-coupon", 5) == ("ok", str(COUPON))
    standby_away(True)
    writer, reader = new_driver(), new_driver("statement-ms=500")
    writer.send("settle", COUPON, 1, 1)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    server.wait_for(waiting, "1")
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE wait_event = 'SyncRep'")
    assert writer.answer()[0] == "ambiguous"
    server.wait_for("SELECT count(*) FROM coupon_issues", "1", database)
    assert reader("look", COUPON, 1, 1)[0] in ("io", "ambiguous")
    standby_away(False)
    assert reader.again("look", COUPON, 1, 1) == ("ok", "0")


def test_a_database_that_is_not_utf8_is_refused(server, database, new_driver):
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    status, words = new_driver(url=server.url("latin"), opened=False)("open")
    server.sql("DROP DATABASE latin")
    assert status == "invalid" and "LATIN1" in words


def test_tables_of_somebody_else_are_left_alone(server, database, new_driver):
    server.sql("CREATE TABLE coupons (id text)", database)
    status, words = new_driver(opened=False)("open")
    assert status == "damaged" and "coupons" in words
    assert server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
                      database) == "1"


def test_a_lock_that_is_held_too_long_is_a_known_failure(driver, new_driver, session):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    impatient = new_driver("lock-ms=50")
    status, words = impatient("append", COUPON, 11, 1)
    assert status == "io" and "55P03" in words
    session("ROLLBACK")
    assert impatient("append", COUPON, 11, 1) == ("ok", "11")


def test_a_lock_that_is_given_back_in_time_is_waited_for(driver, session, server, database):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    driver.send("append", COUPON, 11, 1)
    server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1",
                    database)
    session("COMMIT")
    assert driver.answer() == ("ok", "11")


def test_a_deadlock_is_undone_and_done_again(driver, session, server, database):
    """The session holds what a change needs last, and then wants what the change has. It looks
    for deadlocks later than the change does, which is therefore undone."""
    begin(driver)
    session("BEGIN; SELECT 1 FROM ledger_version FOR UPDATE; SET deadlock_timeout = '1h'")
    driver.send("change", COUPON, 2, 500)
    server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1",
                    database)
    session("SET lock_timeout = '60s'; SELECT 1 FROM coupons FOR UPDATE; COMMIT")
    assert driver.answer() == ("ok", "2")
    assert driver("ranks", COUPON) == ("ok", "10")
    assert driver("audits") == ("ok", "2")


def test_a_program_that_stops_in_its_transaction_holds_nobody_up(driver, server, database,
                                                                 new_driver, session):
    """It has the coupon's row and waits for a rank that the session has; then it is stopped, so
    that it never hears that it got the rank, and the server ends its transaction."""
    begin(driver)
    frozen = new_driver("idle-ms=200")
    session("BEGIN; INSERT INTO coupon_issues VALUES (1, 11, 'somebody', NULL, NULL, 1)")
    frozen.send("append", COUPON, 11, 1)
    server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "1",
                    database)
    os.kill(frozen.process.pid, signal.SIGSTOP)
    try:
        session("ROLLBACK")
        assert driver("append", COUPON, 11, 1) == ("ok", "11")
    finally:
        os.kill(frozen.process.pid, signal.SIGCONT)
    assert frozen.answer()[0] == "io"
    assert frozen("append", COUPON, 12, 1) == ("ok", "12")
    assert driver("ranks", COUPON) == ("ok", "12")


def test_an_operator_who_ends_the_session_is_a_known_failure(driver, server, database):
    begin(driver)
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
               f"'{database}' AND pid <> pg_backend_pid()", database)
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_a_full_disk_is_told_as_such(driver, server, database):
    """53100 as a trigger raises it: what the server says when its disk is full."""
    begin(driver)
    server.sql("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
               "$$BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'no space left'; END$$;"
               "CREATE TRIGGER full_disk BEFORE INSERT ON coupon_issues "
               "EXECUTE FUNCTION full_disk()", database)
    status, words = driver("append", COUPON, 11, 1)
    assert status == "full" and "make room" in words
    server.sql("DROP TRIGGER full_disk ON coupon_issues", database)
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_unlogged_tables_are_damage(driver, server, database):
    begin(driver)
    server.sql("ALTER TABLE coupon_issues SET UNLOGGED", database)
    status, words = driver("check")
    assert status == "damaged" and "coupon_issues" in words


@pytest.fixture
def absent_standby(server):
    """Commits wait for a standby that is not there."""
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.sql("SELECT pg_reload_conf()")
    server.wait_for_setting("synchronous_standby_names", "nobody")
    yield
    server.sql("ALTER SYSTEM RESET synchronous_standby_names")
    server.sql("SELECT pg_reload_conf()")
    server.wait_for_setting("synchronous_standby_names", "")


WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def test_a_commit_that_waits_for_its_standby_in_vain_is_ambiguous(server, database, new_driver,
                                                                  driver, request):
    """Given up by us, or committed by the server alone, which is told to wait no longer and only
    warns of it."""
    begin(driver)
    impatient = new_driver("statement-ms=100")
    request.getfixturevalue("absent_standby")
    rank, answer = 10, ("ok", "")
    while answer[0] == "ok" and rank < 900:  # it takes effect a moment later
        rank += 1
        answer = impatient("append", COUPON, rank, 1)
    assert answer[0] == "ambiguous" and "in time" in answer[1]
    driver.send("create", 5)  # which needs none of the locks that the other still has
    server.wait_for(f"SELECT count(*) >= 2 {WAITING}", "t", database)
    server.sql(f"SELECT pg_cancel_backend(pid) {WAITING}", database)
    status, words = driver.answer()
    assert status == "ambiguous" and "synchronous replication" in words
    # the other session heeds its cancelling when it comes to it
    server.wait_for(f"SELECT count(*) FROM coupon_issues WHERE rank_no = {rank}", "1", database)
    assert driver("ranks", COUPON) == ("ok", str(rank))
    assert driver("audits") == ("ok", "2")


def test_local_commits_are_weak_where_there_are_standbys(server, database, new_driver, request):
    begin(new_driver())
    server.sql(f"ALTER DATABASE {database} SET synchronous_commit = local")
    request.getfixturevalue("absent_standby")
    status, words = new_driver(opened=False)("open")
    assert status == "invalid" and "synchronous_commit = local" in words


def test_a_plan_that_was_made_on_an_empty_table_does_not_read_all_of_a_full_one(
        driver, server, database):
    """The server keeps plans: one that reads the whole table, good while it is empty, would read
    it all for each user of a settlement once it is not."""
    assert driver("open-coupon", 10**6) == ("ok", str(COUPON))
    server.sql("ALTER TABLE coupon_issues SET (autovacuum_enabled = off); ANALYZE", database)
    for _ in range(10):  # it plans five times, and may keep the next plan
        assert driver("look", COUPON, 10**6, 1) == ("ok", "1")
        assert driver("holdings", 10**6) == ("ok", "0")
    server.sql("INSERT INTO coupon_issues SELECT 1, i, 'u' || i, NULL, NULL, 1"
               " FROM generate_series(1, 20000) AS i", database)
    assert driver("look", COUPON, 1, 100) == ("ok", "0")
    assert driver("holdings", 7) == ("ok", "1")
    driver.end()  # which tells the statistics what it read
    server.wait_for("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coupon'", "0")
    assert int(server.sql("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
                          " WHERE relname = 'coupon_issues'", database)) < 1000
