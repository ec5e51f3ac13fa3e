"""The data folder: held by one, refused when damaged or newer, never repaired silently."""

import os
import re
import shutil
import sqlite3
import stat

import pytest

from support import check, record
from support.crowd import Load
from support.server import Server, logfmt, verify

pytestmark = pytest.mark.embedded("the data folder itself")


def fingerprint(data):
    """Without the lock, which carries no record."""
    digests = record.fingerprint(data)
    digests.pop("coupon.lock", None)
    return digests


def refused_start(server, *words):
    """A start that fails with exit code 1 and one clear sentence with all these words."""
    server.spawn()
    code = server.wait()
    server.assert_healthy_log()
    errors = [event for event in map(logfmt, server.lines) if event["level"] == "error"]
    assert len(errors) == 1, server.log()
    for word in words:
        assert re.search(word, errors[0]["why"]), "%r is not in %r" % (word, errors[0]["why"])
    assert not server.events("ready")
    assert code == 1, server.log()  # 3 would say: start anew


def test_a_second_server_is_refused_and_the_first_is_unharmed(server, new_server, admin):
    coupon = check.new_coupon(admin)["id"]
    for attempt in range(3):
        refused_start(new_server(data=server.data), "holds", re.escape(str(server.data)),
                      str(server.process.pid), "stop it first|--data")
        assert check.issued(admin.claim(coupon, attempt))["rank"] == attempt + 1
    server.stop()
    assert verify(server.data).returncode == 0


def test_a_second_server_is_refused_also_by_another_name_of_the_folder(server, new_server,
                                                                       tmp_path):
    (tmp_path / "link").symlink_to(server.data)
    refused_start(new_server(data=tmp_path / "link"), "holds")
    refused_start(new_server(data=os.path.join(server.data, "..", os.path.basename(server.data))),
                  "holds")


def test_verify_says_that_a_server_holds_the_folder(server, admin):
    coupon = check.new_coupon(admin)["id"]
    done = verify(server.data)
    assert done.returncode == 2
    assert "holds" in done.stderr and str(server.process.pid) in done.stderr
    check.issued(admin.claim(coupon, "unharmed"))


def test_a_killed_server_does_not_hold_the_folder(server, new_server):
    server.kill()
    assert verify(server.data).returncode == 0
    new_server(data=server.data).start().stop()


def test_a_missing_folder_is_made_for_the_owner_only(new_server, tmp_path):
    server = new_server(data=tmp_path / "new").start()
    assert stat.S_IMODE(os.stat(server.data).st_mode) == 0o700
    for name in os.listdir(server.data):
        assert stat.S_IMODE(os.stat(os.path.join(server.data, name)).st_mode) & 0o077 == 0, name


def test_a_folder_that_cannot_be_is_told(new_server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    refused_start(new_server(data=tmp_path / "file"), "file")
    refused_start(new_server(data=tmp_path / "no" / "such" / "parent"), "parent")
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The folder of a server that has stopped, with 2,000 issues of one coupon."""
    server = Server(str(tmp_path_factory.mktemp("good") / "data")).start()
    try:
        with server.admin() as admin:
            coupon = check.new_coupon(admin, total=None)["id"]
        asks = [(coupon, "a-user-with-a-rather-long-name-%d" % i, None) for i in range(2000)]
        assert len(Load(server.address, asks, 16).start().join().won()) == 2000
        server.stop()
    finally:
        server.end()
    return server.data


@pytest.fixture
def folder(good, tmp_path):
    """A copy to spoil."""
    return str(shutil.copytree(good, tmp_path / "copy"))


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def edit(folder, *statements):
    with record.planted(folder) as database:
        for statement in statements:
            database.execute(statement)


def zero_last_page(path):
    size = os.path.getsize(path)
    overwrite(path, size - 4096, b"\0" * 4096)


DAMAGE = {
    "another file": lambda path: open(path, "wb").write(b"hello, this is no database\n" * 100),
    "an empty file": lambda path: os.truncate(path, 0),
    "a short file": lambda path: os.truncate(path, 50),
    "half the file": lambda path: os.truncate(path, os.path.getsize(path) // 8192 * 4096),
    "a broken header": lambda path: overwrite(path, 0, b"\xff" * 16),
    "broken pages": lambda path: overwrite(path, 4096 * 10, os.urandom(4096 * 4)),
    "a page of zeros": lambda path: zero_last_page(path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_and_left_as_it_is(folder, new_server, damage):
    DAMAGE[damage](os.path.join(folder, "coupon.db"))
    before = fingerprint(folder)
    refused_start(new_server(data=folder), r"coupon\.db|record", "backup|--data|damaged|anew")
    assert fingerprint(folder) == before
    done = verify(folder)
    assert done.returncode == 1 and (done.stdout + done.stderr).strip()
    assert fingerprint(folder) == before


ROWS = {
    "a gap": "DELETE FROM coupon_issues WHERE rank_no = 1000",
    "a lost end": "DELETE FROM coupon_issues WHERE rank_no > 1990",
    "a user twice": "UPDATE coupon_issues SET user_id = (SELECT user_id FROM coupon_issues"
                    " WHERE rank_no = 5) WHERE rank_no = 1500",
    "a wrong count": "UPDATE coupons SET issued_quantity = 1999",
    "no coupon": "DELETE FROM coupons",
}


@pytest.mark.parametrize("damage", ROWS)
def test_a_record_that_contradicts_itself_is_refused_and_left_as_it_is(folder, new_server, damage):
    edit(folder, ROWS[damage])
    before = fingerprint(folder)
    refused_start(new_server(data=folder), "coupon|record")
    assert fingerprint(folder) == before


def test_a_newer_file_is_refused_and_left_as_it_is(folder, new_server):
    path = os.path.join(folder, "coupon.db")
    database = sqlite3.connect(path)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute("PRAGMA user_version = %d" % (version + 1))
    database.close()
    before = fingerprint(folder)
    refused_start(new_server(data=folder), "newer", r"coupon\.db")
    assert fingerprint(folder) == before
    done = verify(folder)
    assert done.returncode != 0 and "newer" in done.stdout + done.stderr
    assert fingerprint(folder) == before


def test_another_programs_database_is_refused_and_left_as_it_is(new_server, tmp_path):
    (tmp_path / "data").mkdir()
    database = sqlite3.connect(tmp_path / "data" / "coupon.db")
    database.execute("CREATE TABLE theirs (x)")
    database.commit()
    database.close()
    before = fingerprint(tmp_path / "data")
    refused_start(new_server(data=tmp_path / "data"), "not a ledger")
    assert fingerprint(tmp_path / "data") == before


def test_a_lost_file_beside_its_wal_is_not_made_anew(folder, new_server, tmp_path):
    server = new_server(data=folder).start()
    with server.admin() as admin:
        admin.claim(1, "in-the-wal")
    server.kill()
    assert os.path.getsize(os.path.join(folder, "coupon.db-wal")) > 0
    os.rename(os.path.join(folder, "coupon.db"), tmp_path / "lost")
    refused_start(new_server(data=folder), "-wal")
    os.rename(tmp_path / "lost", os.path.join(folder, "coupon.db"))
    server.start()
    with server.admin() as admin:
        check.problem(admin.claim(1, "in-the-wal"), 409, "already-issued")


def test_while_it_reads_a_long_record_it_says_so(new_server, tmp_path, scaled):
    """A million issues take a moment to read: the port is open, claims get 503 `starting`."""
    count = scaled(1000000)
    server = new_server(data=tmp_path / "long").start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
    server.stop()
    edit(server.data, "WITH RECURSIVE ranks(rank) AS (SELECT 1 UNION ALL SELECT rank + 1 FROM ranks"
         " WHERE rank < %d) INSERT INTO coupon_issues (coupon_id, rank_no, user_id, date_issued)"
         " SELECT id, rank, 'user-' || rank, date_created + rank / 1000 FROM ranks, coupons" % count,
         "UPDATE coupons SET issued_quantity = %d" % count)
    for _ in range(10):  # until we come early enough, on a busy machine
        server.spawn()
        server.address = server.listening_at()
        with server.client() as client:
            early = client.claim(coupon, "user-7")
        if early.status == 503:
            break
        server.stop()
    check.problem(early, 503, "starting", closes=False)
    with server.client() as client:
        check.success(client.get("/healthz"))
        server.wait_event("ready")
        assert check.success(client.get("/readyz")) == {"status": "ready"}
        held = check.problem(client.claim(coupon, "user-7"), 409, "already-issued")["issue"]
        assert held["rank"] == 7
        last = check.problem(client.claim(coupon, "user-%d" % count), 409, "already-issued")
        assert last["issue"]["rank"] == count
        assert check.issued(client.claim(coupon, "new"))["rank"] == count + 1
    server.stop()
    done = verify(server.data)
    assert done.returncode == 0, done.stdout


def test_a_moved_folder_goes_on_where_it_was(folder, new_server, tmp_path):
    shutil.move(folder, tmp_path / "moved")
    server = new_server(data=tmp_path / "moved").start()
    with server.admin() as admin:
        assert check.issued(admin.claim(1, "next"))["rank"] == 2001


def test_a_taken_port_is_told(server, new_server):
    port = server.address[1]
    other = new_server(listen="127.0.0.1:%d" % port)
    refused_start(other, str(port), "taken|in use|listens")
    with server.client() as client:
        assert client.get("/healthz").status == 200


def test_a_file_dated_in_the_future_is_refused(folder, new_server):
    """I5: the clock never steps back, so a ledger far ahead would stop all issues."""
    ahead = 7200 * 10**6
    edit(folder, "UPDATE coupon_issues SET date_issued = date_issued + %d" % ahead,
         "UPDATE coupon_revisions SET date_issue_end = date_issue_end + %d" % ahead,
         "UPDATE coupons SET date_issue_end = date_issue_end + %d" % ahead)
    before = fingerprint(folder)
    refused_start(new_server(data=folder), "clock|ahead")
    assert fingerprint(folder) == before
