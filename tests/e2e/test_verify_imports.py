"""`coupon verify` and imports: they are judged by their own rules, and a false row of
coupon_imports, which would excuse claims, is found."""

import shutil

import pytest

from support import check, record
from support.server import Server, run, verify
from support.violation import assert_found

pytestmark = pytest.mark.embedded("damage planted in the file")


def give(data, coupon, users, folder):
    path = folder / "users.csv"
    path.write_text("".join(user + "\n" for user in users))
    done = run("import", "--data", data, "--coupon", coupon, path)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A stopped server's folder. Coupon 1, open: ranks 1 to 3 imported while it was paused,
    4 to 6 claimed, 7 and 8 imported, 9 claimed with a key. Coupon 2, not begun: ranks 1 to 4
    imported. Coupon 3: nothing."""
    folder = tmp_path_factory.mktemp("imports")
    server = Server(str(folder / "data")).start()
    try:
        with server.admin() as admin:
            check.new_coupon(admin, total=20)
            check.new_coupon(admin, total=4, start=3600, end=7200)
            check.new_coupon(admin)
            check.coupon(admin.patch("/v1/coupons/1", {"paused": True}))
        server.stop()
        give(server.data, 1, ["vip-1", "vip-2", "vip-3"], folder)
        give(server.data, 2, ["a", "b", "c", "d"], folder)
        server.start()
        with server.admin() as admin:
            check.coupon(admin.patch("/v1/coupons/1", {"paused": False}))
            for user in range(3):
                check.issued(admin.claim(1, "user-%d" % user))
        server.stop()
        give(server.data, 1, ["vip-4", "vip-5"], folder)
        server.start()
        with server.admin() as admin:
            check.issued(admin.claim(1, "user-3", "key"))
        server.stop()
    finally:
        server.end()
    return server.data


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


def test_imports_are_judged_by_their_own_rules(good):
    before = record.fingerprint(good)
    done = verify(good)
    assert done.returncode == 0 and "13 issues checked: no violation" in done.stdout, done.stdout
    assert record.fingerprint(good) == before


# what is planted; which coupon and rank must be named (rank None: the coupon alone), and which
# invariant
PLANTS = {
    "a lost import of a coupon that has not begun": (
        ["DELETE FROM coupon_imports WHERE coupon_id = 2"], 2, 4, "I5"),
    "a lost import of a paused time": (
        ["DELETE FROM coupon_imports WHERE coupon_id = 1 AND first_rank = 1"], 1, 2, "I5"),
    "an import that ends early": (
        ["UPDATE coupon_imports SET last_rank = 3 WHERE coupon_id = 2"], 2, 4, "I5"),
    "an import that begins late": (
        ["UPDATE coupon_imports SET first_rank = 2 WHERE coupon_id = 2"], 2, 1, "I5"),
    "an import that takes in a claim": (
        ["UPDATE coupon_imports SET last_rank = 4 WHERE coupon_id = 1 AND first_rank = 1"],
        1, 4, "I5"),
    "a made-up import of claims": (
        ["INSERT INTO coupon_imports SELECT 1, 4, 6, date_issued FROM coupon_issues"
         " WHERE coupon_id = 1 AND rank_no = 5"], 1, 6, "I5"),
    "a made-up import of one claim with a key": (
        ["INSERT INTO coupon_imports SELECT 1, 9, 9, date_issued FROM coupon_issues"
         " WHERE coupon_id = 1 AND rank_no = 9"], 1, 9, "I5"),
    "an import of another date": (
        ["UPDATE coupon_imports SET date_imported = date_imported - 1 WHERE coupon_id = 2"],
        2, 1, "I5"),
    "an imported row of another date": (
        ["UPDATE coupon_issues SET date_issued = date_issued + 1 WHERE coupon_id = 2"
         " AND rank_no = 4"], 2, 4, "I5"),
    "an import of more than is issued": (
        ["UPDATE coupon_imports SET last_rank = 5 WHERE coupon_id = 2"], 2, 1, "I5"),
    "an import of a coupon without issues": (
        ["INSERT INTO coupon_imports VALUES (3, 1, 1, 1)"], 3, 1, "I5"),
    "imports that overlap": (
        ["INSERT INTO coupon_imports SELECT 2, 2, 3, date_imported FROM coupon_imports"
         " WHERE coupon_id = 2"], 2, 2, "I5"),
    "an import that ends before it begins": (
        ["UPDATE coupon_imports SET first_rank = 8, last_rank = 7 WHERE coupon_id = 1"
         " AND first_rank = 7"], 1, 8, "I5"),
    "an import of no coupon": (
        ["INSERT INTO coupon_imports VALUES (9, 1, 1, 1)"], 9, None, "I1"),
    "an import after the end": (
        ["UPDATE coupon_revisions SET date_issue_start = 1, date_issue_end = 2"
         " WHERE coupon_id = 2",
         "UPDATE coupons SET date_issue_start = 1, date_issue_end = 2 WHERE id = 2"], 2, 1, "I5"),
    "an import into an archived coupon": (
        ["UPDATE coupon_revisions SET archived = 1 WHERE coupon_id = 2",
         "UPDATE coupons SET date_archived = date_updated WHERE id = 2"], 2, 4, "I5"),
    "an import of more than the quantity": (
        ["UPDATE coupon_revisions SET total_quantity = 3 WHERE coupon_id = 2",
         "UPDATE coupons SET total_quantity = 3 WHERE id = 2"], 2, 4, "I1"),
    "an imported user twice": (
        ["UPDATE coupon_issues SET user_id = 'a' WHERE coupon_id = 2 AND rank_no = 3"],
        2, 3, "I2"),
    "an imported rank lost": (
        ["DELETE FROM coupon_issues WHERE coupon_id = 2 AND rank_no = 2"], 2, 3, "I4"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_found_and_named(folder, plant):
    assert_found(folder, *PLANTS[plant])


def test_imports_that_cannot_be_read_are_damage(folder):
    with record.planted(folder) as database:
        database.execute("UPDATE coupon_imports SET date_imported = %d" % (10 ** 18))
    done = verify(folder)
    assert done.returncode == 1 and "damaged" in done.stdout, done
