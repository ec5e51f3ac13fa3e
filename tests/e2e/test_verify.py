"""`coupon verify`: clean on a good file; every kind of violation planted, each found."""

import os
import re
import shutil

import pytest

from support import check, record
from support.server import run, verify
from support.violation import assert_found

pytestmark = pytest.mark.embedded("damage planted in the file")

HOUR = 3600 * 10**6


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A stopped server's folder: coupon 1 of 20 with 20 issues after changes, coupon 2
    unlimited with 10 and a pause, coupon 3 archived with 1, coupon 4 without."""
    from support.server import Server
    server = Server(str(tmp_path_factory.mktemp("verify") / "data")).start()
    try:
        with server.admin() as admin:
            for total in (5, None, 2, 1):
                check.new_coupon(admin, total=total)
            for user in range(20):
                if user == 5:
                    check.coupon(admin.patch("/v1/coupons/1", {"totalQuantity": 20}))
                if user == 10:
                    check.coupon(admin.patch("/v1/coupons/1", {"issueEnd": check.moment(7200)}))
                check.issued(admin.claim(1, "user-%d" % user))
            for user in range(10):
                if user == 4:
                    check.coupon(admin.patch("/v1/coupons/2", {"paused": True}))
                    check.coupon(admin.patch("/v1/coupons/2", {"paused": False}))
                check.issued(admin.claim(2, "user-%d" % user))
            check.issued(admin.claim(3, "user-0"))
            check.coupon(admin.patch("/v1/coupons/3", {"archived": True}))
        server.stop()
    finally:
        server.end()
    return server.data


@pytest.fixture
def folder(good, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(good, tmp_path / "data")


def test_a_good_file_is_clean_and_the_table_tells_its_coupons(good):
    before = record.fingerprint(good)
    done = verify(good)
    assert done.returncode == 0 and done.stderr == ""
    rows = {int(match[1]): match[0].split() for match in re.finditer(r"(?m)^ *(\d+) .*", done.stdout)
            if len(match[0].split()) >= 5 and match[0].startswith(" ")}
    assert set(rows) == {1, 2, 3, 4}
    assert rows[1][1:5] == ["20", "20", "3", "0"]
    assert rows[2][1:5] == ["10", "unlimited", "3", "0"]
    assert rows[3][1:5] == ["1", "2", "2", "0"]
    assert rows[4][1:5] == ["0", "1", "1", "0"]
    assert "31 issues" in done.stdout
    assert record.fingerprint(good) == before
    assert set(os.listdir(good)) == set(before)


INSERT = ("INSERT INTO coupon_issues (coupon_id, rank_no, user_id, date_issued) SELECT coupon_id,"
          " %d, '%s', date_issued + %d FROM coupon_issues WHERE coupon_id = %d AND rank_no = %d")

# what is planted; which coupon and rank the table must name (rank None: the coupon alone), and
# which invariant
PLANTS = {
    "a user twice": (
        ["UPDATE coupon_issues SET user_id = 'user-2' WHERE coupon_id = 1 AND rank_no = 8"],
        1, 8, "I2"),
    "a gap": (
        ["DELETE FROM coupon_issues WHERE coupon_id = 2 AND rank_no = 4"], 2, 5, "I4"),
    "a lost first": (
        ["DELETE FROM coupon_issues WHERE coupon_id = 2 AND rank_no = 1"], 2, 2, "I4"),
    "a lost last": (
        ["DELETE FROM coupon_issues WHERE coupon_id = 2 AND rank_no = 10"], 2, None, "I4"),
    "all lost": (["DELETE FROM coupon_issues WHERE coupon_id = 2"], 2, None, "I4"),
    "a surplus over the total that is not counted": (
        [INSERT % (21, "surplus", 1, 1, 20)], 1, 21, "I1"),
    "a surplus over the total that is counted": (
        [INSERT % (21, "surplus", 1, 1, 20),
         "UPDATE coupons SET issued_quantity = 21 WHERE id = 1"], 1, 21, "I1"),
    "a surplus over the total of its time": (
        ["UPDATE coupon_revisions SET total_quantity = 4 WHERE coupon_id = 1 AND version = 1"],
        1, 5, "I1"),
    "a row after the period": (
        ["UPDATE coupon_issues SET date_issued = (SELECT date_issue_end FROM coupons WHERE id = 1)"
         " WHERE coupon_id = 1 AND rank_no = 20"], 1, 20, "I5"),
    "a row before the period": (
        ["UPDATE coupon_issues SET date_issued = (SELECT date_issue_start - 1 FROM coupons"
         " WHERE id = 1) WHERE coupon_id = 1 AND rank_no = 1"], 1, 1, "I5"),
    "a row out of the period of its time": (
        ["UPDATE coupon_revisions SET date_issue_start = date_issue_start + %d,"
         " date_issue_end = date_issue_end + %d WHERE coupon_id = 1 AND version = 2"
         % (2 * HOUR, 2 * HOUR)], 1, 6, "I5"),
    "a row of a paused time": (
        ["UPDATE coupon_revisions SET paused = 1 WHERE coupon_id = 2 AND version = 1"], 2, 1, "I5"),
    "a row older than the one before": (
        ["UPDATE coupon_issues SET date_issued = date_issued - 1000000 WHERE coupon_id = 2"
         " AND rank_no = 7"], 2, 7, "I4"),
    "a row after the archiving": (
        [INSERT % (2, "late", HOUR // 3600, 3, 1),
         "UPDATE coupons SET issued_quantity = 2 WHERE id = 3"], 3, 2, "I5"),
    "a count too high": (
        ["UPDATE coupons SET issued_quantity = 11 WHERE id = 2"], 2, None, "I4"),
    "a count too low": (
        ["UPDATE coupons SET issued_quantity = 9 WHERE id = 2"], 2, None, "I4"),
    "a count of none": (
        ["UPDATE coupons SET issued_quantity = 1 WHERE id = 4"], 4, None, "I4"),
    "a total below the issues": (
        ["UPDATE coupons SET total_quantity = 19 WHERE id = 1"], 1, None, "I1"),
    "a change without a revision": (
        ["UPDATE coupons SET paused = 1 WHERE id = 4"], 4, None, "I5"),
    "a pause that a false first rank hides": (
        ["UPDATE coupon_issues SET date_issued = (SELECT changed_at FROM coupon_revisions"
         " WHERE coupon_id = 2 AND version = 2) + rank_no WHERE coupon_id = 2 AND rank_no > 4",
         "UPDATE coupon_revisions SET changed_at = changed_at + %d WHERE coupon_id = 2"
         " AND version = 3" % HOUR,
         "UPDATE coupon_revisions SET first_rank = 11 WHERE coupon_id = 2 AND version > 1"],
        2, 5, "I5"),
    "a first revision that begins late": (
        ["UPDATE coupon_revisions SET first_rank = 3 WHERE coupon_id = 1 AND version = 1"],
        1, None, "I5"),
    "a revision that begins before the one before": (
        ["UPDATE coupon_revisions SET first_rank = 9 WHERE coupon_id = 2 AND version = 2"],
        2, None, "I5"),
    "a revision of ranks that are not issued": (
        ["UPDATE coupon_revisions SET first_rank = 100 WHERE coupon_id = 1 AND version = 3"],
        1, None, "I5"),
    "a revision older than the one before": (
        ["UPDATE coupon_revisions SET changed_at = changed_at - %d WHERE coupon_id = 2"
         " AND version = 3" % HOUR], 2, None, "I5"),
    "a quantity below what was issued": (
        ["UPDATE coupon_revisions SET total_quantity = 3 WHERE coupon_id = 2 AND version = 2"],
        2, None, "I1"),
    "a revision lost": (
        ["DELETE FROM coupon_revisions WHERE coupon_id = 1 AND version = 2"], 1, None, "I5"),
    "all revisions lost": (["DELETE FROM coupon_revisions WHERE coupon_id = 4"], 4, None, "I5"),
    "issues of no coupon": (["DELETE FROM coupons WHERE id = 2"], 2, None, "I"),
    "an issue of no coupon": (
        ["INSERT INTO coupon_issues (coupon_id, rank_no, user_id, date_issued)"
         " VALUES (77, 1, 'orphan', 1)"], 77, None, "I"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_found_and_named(folder, plant):
    assert_found(folder, *PLANTS[plant])


# rows that belong to a coupon which is not there: no reader of coupons meets them
STRAYS = {
    "coupon_revisions": "DELETE FROM coupons WHERE id = 4",
    "coupon_creations": "INSERT INTO coupon_creations VALUES ('key', 77, zeroblob(32), 0)",
    "audits": "UPDATE audits SET coupon_id = 77 WHERE id = 1",
}


@pytest.mark.parametrize("table", STRAYS)
def test_a_row_of_no_coupon_is_found(folder, table):
    with record.planted(folder) as database:
        assert database.execute(STRAYS[table]).rowcount >= 1
    done = verify(folder)
    assert done.returncode == 1
    assert f"a row of {table} is of no coupon" in done.stdout, done


def test_every_violation_of_many_is_counted(folder):
    with record.planted(folder) as database:
        database.execute("UPDATE coupon_issues SET user_id = 'same' WHERE coupon_id = 1")
    done = verify(folder)
    assert done.returncode == 1
    assert len([line for line in done.stdout.splitlines() if "I2" in line]) >= 19
    assert re.search(r"\b19 violations", done.stdout)


def test_what_a_crash_left_in_the_wal_is_judged_too(new_server, tmp_path):
    server = new_server(data=tmp_path / "data").start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
        for user in range(7):
            check.issued(admin.claim(coupon, user))
    server.kill()
    before = record.fingerprint(server.data)
    done = verify(server.data)
    assert done.returncode == 0 and "7 issues" in done.stdout
    assert record.fingerprint(server.data) == before


def test_without_a_record_it_says_so(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        done = verify(folder)
        assert done.returncode == 2
        assert str(folder) in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_user_with_strange_bytes_is_told_without_harm(folder):
    """What somebody put into the file does not reach the terminal as control characters."""
    with record.planted(folder) as database:
        database.execute("UPDATE coupon_issues SET user_id = char(27) || '[31m'"
                         " WHERE coupon_id = 2 AND rank_no < 3")
    done = run("verify", "--data", folder)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
