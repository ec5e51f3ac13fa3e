"""What only MariaDB has: its settings, its locks, its way to be stopped. MySQL 8 is not in Debian
12, so nothing here has run against it."""

import subprocess

import pytest
from servers import MariaDB, Proxy
from servers.mariadb import PASSWORD, USER, program

COUPON = 1


@pytest.fixture(scope="module", params=["mariadb"])
def shared_server(request):
    if MariaDB.missing():
        pytest.skip(f"NOT TESTED: MariaDB; {MariaDB.missing()}")
    with MariaDB() as server:
        server.start()
        yield server


@pytest.fixture
def session(server, database):
    """A client of the test's own: session(sql) -> its answer, the transaction stays open."""
    process = subprocess.Popen(
        [program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{server.port}", f"-u{USER}",
         f"-p{PASSWORD}", "-BNn", database],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(text):
        process.stdin.write(f"{text};\nSELECT 'done';\n")
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


@pytest.fixture
def settings(server):
    """settings("--log-bin"): restarts the server with it for this test."""
    def restart(*words):
        server.settings = list(words)
        server.restart()
    yield restart
    server.settings = []
    if server.process is not None:
        server.restart()


@pytest.fixture
def variable(server):
    """variable("read_only", "1"): SET GLOBAL for this test."""
    before = {}

    def change(name, value):
        before[name] = server.sql(f"SELECT @@global.{name}")
        server.sql(f"SET GLOBAL {name} = {value}")
    yield change
    for name, value in before.items():
        server.sql(f"SET GLOBAL {name} = {value}")


def begin(driver):
    assert driver("create", 1000) == ("ok", str(COUPON))
    assert driver("append", COUPON, 1, 10) == ("ok", "10")


# ---- what the server promises ----

def assert_weak(new_driver, setting):
    """Refused with the setting's name, taken when told to, and read by those who only read."""
    status, words = new_driver(opened=False)("open")
    assert status == "invalid"
    assert setting in words and "--allow-weak-durability" in words
    begin(new_driver("weak"))
    assert new_driver("existing")("ranks", COUPON) == ("ok", "10")


@pytest.mark.parametrize("value", ["0", "2"])
def test_a_log_that_is_not_flushed_at_commit_is_refused(database, new_driver, variable, value):
    variable("innodb_flush_log_at_trx_commit", value)
    assert_weak(new_driver, f"innodb_flush_log_at_trx_commit = {value}: ")


@pytest.mark.parametrize("words, setting", [
    (["--log-bin=bin", "--sync-binlog=0"], "sync_binlog = 0: "),
    (["--skip-innodb-doublewrite"], "innodb_doublewrite = OFF: "),
    (["--innodb-flush-method=nosync"], "innodb_flush_method = nosync: "),
])
def test_a_server_that_may_lose_what_it_confirmed_is_refused(settings, server, database,
                                                             new_driver, words, setting):
    settings(*words)
    assert_weak(new_driver, setting)


def test_a_binary_log_that_is_durable_is_fine(settings, server, database, new_driver):
    settings("--log-bin=bin", "--sync-binlog=1", "--binlog-format=ROW")
    begin(new_driver())


def test_a_binary_log_of_statements_is_refused(settings, server, database, new_driver):
    settings("--log-bin=bin", "--sync-binlog=1", "--binlog-format=STATEMENT")
    status, words = new_driver(opened=False)("open")
    assert status == "invalid" and "binlog_format = STATEMENT" in words


def test_a_server_that_became_weak_is_not_written_to_after_a_reconnect(server, driver, settings):
    begin(driver)
    settings("--innodb-flush-log-at-trx-commit=0")
    status, words = driver("append", COUPON, 11, 1)
    assert status == "io" and "innodb_flush_log_at_trx_commit" in words
    settings()
    assert driver.again("append", COUPON, 11, 1) == ("ok", "11")


def test_a_replica_is_refused_though_the_user_might_write_to_it(database, new_driver, variable):
    begin(new_driver())
    variable("read_only", "1")
    status, words = new_driver(opened=False)("open")
    assert status == "invalid" and "read_only" in words and "primary" in words
    assert new_driver("existing")("ranks", COUPON) == ("ok", "10")


def test_a_primary_that_became_a_replica_is_left(server, database, new_driver, variable):
    """By one who may not write to it: an administrator's writes would go on."""
    server.sql(f"CREATE USER plain IDENTIFIED BY 'plain'; GRANT ALL ON {database}.* TO plain")
    try:
        driver = new_driver(url=f"mysql://plain:plain@127.0.0.1:{server.port}/{database}")
        begin(driver)
        sessions = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'plain'"
        assert server.sql(sessions) == "1"
        variable("read_only", "1")
        assert driver("append", COUPON, 11, 1)[0] == "io"
        server.wait_for(sessions, "0")
        status, words = driver("append", COUPON, 11, 1)
        assert status == "io" and "primary" in words
        server.sql("SET GLOBAL read_only = 0")
        assert driver.again("append", COUPON, 11, 1) == ("ok", "11")
    finally:
        server.sql("DROP USER plain")


def test_a_small_packet_is_kept_to(database, new_driver, variable):
    variable("max_allowed_packet", "32768")
    driver = new_driver()
    assert driver("create", 100000) == ("ok", str(COUPON))
    assert driver("append", COUPON, 1, 20000) == ("ok", "20000")
    assert driver("ranks", COUPON) == ("ok", "20000")
    variable("max_allowed_packet", "16384")
    status, words = new_driver(opened=False)("open")
    assert status == "invalid" and "max_allowed_packet" in words


# ---- whose tables ----

def test_tables_of_somebody_else_are_left_alone(server, database, new_driver):
    server.sql("CREATE TABLE coupons (id int)", database)
    status, words = new_driver(opened=False)("open")
    assert status == "damaged" and "empty database" in words
    assert server.sql("SHOW TABLES", database) == "coupons"


@pytest.mark.parametrize("made", range(0, 10, 3))
def test_a_migration_that_was_cut_short_is_done_again(server, database, new_driver, made):
    """The server commits every table by itself: any number of them may be there."""
    first = new_driver()
    server.sql("SET foreign_key_checks = 0; UPDATE ledger_version SET version = 0;"
               "DELETE FROM probes; DELETE FROM partitions", database)
    tables = [name for name in server.sql("SHOW TABLES", database).split()
              if name != "ledger_version"]
    for name in tables[made:]:
        server.sql(f"SET foreign_key_checks = 0; DROP TABLE {name}", database)
    second = new_driver()
    begin(second)
    assert second("check") == ("ok", "0")
    assert first("ranks", COUPON) == ("ok", "10")
    assert server.sql("SELECT version FROM ledger_version", database) == "1"
    assert server.sql("SELECT count(*), min(p), max(p) FROM partitions", database) == "64\t0\t63"


def test_users_are_compared_byte_by_byte(server, database, driver):
    begin(driver)
    users = ("x", "X", "x ", "x\\0", "\u00e9", "e\u0301")  # the last two look the same
    for rank, user in enumerate(users, start=1):
        server.sql(f"INSERT INTO coupon_issues VALUES (77, {rank}, '{user}', NULL, NULL, 1)",
                   database)
    assert server.sql("SELECT count(*) FROM coupon_issues WHERE coupon_id = 77", database) == "6"


def test_the_check_of_what_is_issued_must_be_there(server, database, driver):
    assert driver("check") == ("ok", "0")
    server.sql("ALTER TABLE coupons DROP CONSTRAINT coupons_not_over_issued", database)
    status, words = driver("check")
    assert status == "damaged" and "coupons_not_over_issued" in words


def test_an_engine_without_transactions_is_damage(server, database, driver):
    server.sql("ALTER TABLE coupon_issues ENGINE = MyISAM", database)
    status, words = driver("check")
    assert status == "damaged" and "InnoDB" in words


# ---- other sessions ----

def test_a_lock_that_is_held_too_long_is_a_known_failure(driver, new_driver, session):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    impatient = new_driver("lock-ms=1000")
    status, words = impatient("append", COUPON, 11, 1)
    assert status == "io" and "1205" in words
    session("ROLLBACK")
    assert impatient("append", COUPON, 11, 1) == ("ok", "11")


# Not from innodb_trx, whose rows are a copy that is not made anew while somebody reads it more
# often than ten times a second.
WAITING = ("SELECT variable_value FROM information_schema.global_status"
           " WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'")


def test_a_lock_that_is_given_back_in_time_is_waited_for(driver, session, server):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    driver.send("append", COUPON, 11, 1)
    server.wait_for(WAITING, "1")
    session("COMMIT")
    assert driver.answer() == ("ok", "11")


def test_a_deadlock_is_undone_and_done_again(new_driver, session, server, database):
    """The session has what a change wants second and wants what it has; it has written more,
    so that the change is the victim."""
    driver = new_driver("lock-ms=20000")
    begin(driver)
    server.sql("CREATE TABLE weight (id int PRIMARY KEY)", database)
    session("BEGIN; INSERT INTO weight VALUES (1), (2), (3), (4), (5);"
            "SELECT 1 FROM coupons FOR UPDATE")
    before = deadlocks(server)
    driver.send("change", COUPON, 2, 500)
    server.wait_for(WAITING, "1")
    session("SELECT 1 FROM ledger_version FOR UPDATE; COMMIT")
    assert driver.answer() == ("ok", "2")
    assert deadlocks(server) == before + 1
    assert driver("audits") == ("ok", "2")


def deadlocks(server):
    return int(server.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").split()[1])


def test_an_operator_who_ends_the_session_between_calls_is_not_noticed(driver, server, database):
    begin(driver)
    pids = server.sql("SELECT id FROM information_schema.processlist"
                      f" WHERE db = '{database}'").split()
    assert len(pids) == 1
    server.sql(f"KILL {pids[0]}")
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_an_operator_who_ends_the_session_within_a_transaction_is_a_known_failure(
        driver, server, database, session):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    driver.send("append", COUPON, 11, 1)
    server.wait_for(WAITING, "1")
    pid = server.sql("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx"
                     " WHERE trx_state = 'LOCK WAIT'")
    server.sql(f"KILL {pid}")
    assert driver.answer()[0] == "io"
    session("COMMIT")
    assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


def test_a_server_killed_within_a_transaction_is_a_known_failure(driver, server, session):
    begin(driver)
    session("BEGIN; SELECT 1 FROM coupons FOR UPDATE")
    driver.send("append", COUPON, 11, 1)
    server.wait_for(WAITING, "1")
    server.kill()
    assert driver.answer()[0] == "io"
    server.start()
    assert driver.again("ranks", COUPON) == ("ok", "10")
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


# ---- the session before ----

def test_a_lost_session_is_ended_before_the_next_begins(server, database, proxy, behind_proxy):
    """Its client gave it up within a transaction; the server does not know."""
    driver = behind_proxy("statement-ms=1000", "idle-ms=3600000")
    begin(driver)
    proxy.hold_after(b"UPDATE coupons")
    assert driver("append", COUPON, 11, 1)[0] == "io"
    assert proxy.happened.is_set()
    assert driver.again("append", COUPON, 11, 1) == ("ok", "11")
    assert server.sql("SELECT count(*) FROM information_schema.processlist"
                      f" WHERE db = '{database}'") == "1"


def test_a_commit_that_a_backup_holds_up_too_long_is_a_known_failure(driver, new_driver, session):
    begin(driver)
    impatient = new_driver("lock-ms=1000")
    session("BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT")
    status, words = impatient("append", COUPON, 11, 1)
    assert status == "io" and "1205" in words
    session("BACKUP STAGE END")
    assert impatient("append", COUPON, 11, 1) == ("ok", "11")


def test_a_commit_that_was_given_up_is_over_before_the_record_is_read(driver, new_driver, session):
    """It waits at the server still, and would go on as soon as it is let."""
    begin(driver)
    hasty = new_driver("statement-ms=1000", "lock-ms=3600000")
    session("BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT")
    assert hasty("append", COUPON, 11, 1)[0] == "ambiguous"
    assert hasty.again("ranks", COUPON) == ("ok", "10")
    session("BACKUP STAGE END")
    assert driver("ranks", COUPON) == ("ok", "10")
    assert hasty("append", COUPON, 11, 1) == ("ok", "11")


def test_two_ledgers_do_not_end_each_other(new_driver):
    one, other = new_driver(), new_driver()
    begin(one)
    for first in range(11, 20):
        driver = one if first % 2 else other
        assert driver("append", COUPON, first, 1) == ("ok", str(first))


def test_a_transaction_that_its_owner_left_is_ended_by_the_server(server, proxy, behind_proxy,
                                                                  new_driver):
    """Who stops within a transaction holds nobody up for longer than its idle time."""
    silent = behind_proxy("idle-ms=1000")
    begin(silent)
    other = new_driver("lock-ms=20000")
    proxy.hold_after(b"UPDATE coupons")
    silent.send("append", COUPON, 11, 1)
    proxy.happened.wait()
    assert other("append", COUPON, 11, 1) == ("ok", "11")
    proxy.cut_all()
    assert silent.answer()[0] == "io"
    assert silent.again("append", COUPON, 12, 1) == ("ok", "12")


# ---- what the server runs out of ----

@pytest.mark.parametrize("error", ["1021", "1114"])
def test_a_full_disk_is_told_as_such(driver, server, database, error):
    """As a trigger raises it: what the server says when its disk or its table is full."""
    begin(driver)
    server.sql("CREATE TRIGGER full_disk BEFORE INSERT ON coupon_issues FOR EACH ROW"
               f" SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {error}, MESSAGE_TEXT = 'no space'",
               database)
    status, words = driver("append", COUPON, 11, 1)
    assert status == "full" and "make room" in words
    server.sql("DROP TRIGGER full_disk", database)
    assert driver("append", COUPON, 11, 1) == ("ok", "11")


# ---- who may come in ----

def test_who_may_not_use_the_database_is_told_what_to_do(server, database, new_driver):
    server.sql("CREATE OR REPLACE USER stranger IDENTIFIED BY 'sesame'")
    url = f"mysql://stranger:sesame@127.0.0.1:{server.port}/{database}"
    status, words = new_driver(url=url, opened=False)("open")
    assert status == "invalid" and "GRANT" in words and "sesame" not in words


@pytest.mark.parametrize("change, status, word", [
    (("open%2Fsesame", "wrong"), "invalid", "password"),
    (("/test_", "/nowhere_"), "not-found", "CREATE DATABASE"),
    (("127.0.0.1", "nowhere.invalid"), "io", "is this its address"),
])
def test_a_failure_to_connect_says_what_to_do(server, database, new_driver, change, status, word):
    url = server.url(database).replace(*change)
    found, words = new_driver(url=url, opened=False)("open")
    assert (found, "sesame" in words) == (status, False)
    assert word in words


def test_no_server_is_told_as_such(server, database, new_driver):
    with Proxy(server.port) as gone:
        port = gone.port
    url = server.url(database).replace(f":{server.port}/", f":{port}/")
    status, words = new_driver(url=url, opened=False)("open")
    assert status == "io" and "is the server up" in words and "sesame" not in words


def test_the_password_may_be_in_the_file_of_the_library(server, database, new_driver, tmp_path,
                                                        monkeypatch):
    (tmp_path / ".my.cnf").write_text(f"[client]\npassword='{PASSWORD}'\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    begin(new_driver(url=f"mysql://{USER}@127.0.0.1:{server.port}/{database}"))


def test_a_socket_is_used_where_it_is_named(server, database, new_driver):
    url = f"{server.url(database).replace('127.0.0.1', 'localhost')}?socket={server.folder}/socket"
    begin(new_driver(url=url))


def test_a_server_without_encryption_is_refused_where_it_is_required(server, database, new_driver):
    for mode in ("required", "verified"):
        status, words = new_driver(url=f"{server.url(database)}?tls={mode}", opened=False)("open")
        assert status == "invalid" and "encrypt" in words and "sesame" not in words


@pytest.fixture
def certificate(server):
    """A certificate for localhost, in files that the server may read."""
    files = server.folder / "certificate.pem", server.folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    for path in files:
        path.chmod(0o644)
    return files


def test_a_certificate_is_verified_where_that_is_asked_for(server, database, new_driver, settings,
                                                           certificate):
    settings(f"--ssl-cert={certificate[0]}", f"--ssl-key={certificate[1]}")
    named = server.url(database).replace("127.0.0.1", "localhost")
    status, words = new_driver(url=f"{named}?tls=verified", opened=False)("open")
    assert status == "invalid" and "certificate" in words  # nobody the system trusts signed it
    verified = f"{named}?tls=verified&ca={certificate[0]}"
    begin(new_driver(url=verified))
    other = verified.replace("localhost", "127.0.0.1")
    assert new_driver(url=other, opened=False)("open")[0] == "invalid"
    reader = new_driver(url=f"{server.url(database)}?tls=required")
    assert reader("ranks", COUPON) == ("ok", "10")


def test_the_rights_that_the_document_names_are_enough(server, database, new_driver):
    server.sql("CREATE OR REPLACE USER modest IDENTIFIED BY 'sesame';"
               "GRANT CREATE, INDEX, REFERENCES, SELECT, INSERT, UPDATE"
               f" ON {database}.* TO modest")
    url = f"mysql://modest:sesame@127.0.0.1:{server.port}/{database}"
    driver = new_driver(url=url)
    begin(driver)
    assert driver("check") == ("ok", "0")
    assert driver("probe") == ("ok", "0")
    server.restart()
    assert driver("ranks", COUPON) == ("ok", "10")
