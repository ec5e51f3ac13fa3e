"""The record behind the server's back: the file as `sqlite3` sees it, read from a copy or changed
while no server runs; or what the SQL server says (support/ledgers.py)."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile

from support import ledgers

FILE = "coupon.db"


def fingerprint(data):
    """The bytes of every file of a folder, as digests by name."""
    digests = {}
    for name in sorted(os.listdir(data)):
        with open(os.path.join(data, name), "rb") as file:
            digests[name] = hashlib.sha256(file.read()).hexdigest()
    return digests


@contextlib.contextmanager
def opened_copy(data):
    """A connection to a copy, so that looking recovers and changes nothing in the original."""
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(data):
            if name.startswith(FILE) and not name.endswith("-shm"):
                shutil.copy(os.path.join(data, name), folder)
        database = sqlite3.connect(os.path.join(folder, FILE))
        try:
            yield database
        finally:
            database.close()


@contextlib.contextmanager
def planted(data):
    """A connection that may break every rule of the schema; commits at the end."""
    database = sqlite3.connect(os.path.join(data, FILE))
    try:
        database.execute("PRAGMA ignore_check_constraints=ON")
        database.execute("PRAGMA foreign_keys=OFF")
        yield database
        database.commit()
    finally:
        database.close()


def issues(data):
    """{coupon id: {rank: user}}"""
    ledger = ledgers.of(data)
    if ledger:
        return ledger.record()[0]
    found = {}
    with opened_copy(data) as database:
        rows = database.execute("SELECT coupon_id, rank_no, user_id FROM coupon_issues"
                                " ORDER BY coupon_id, rank_no")
        for coupon, rank, user in rows:
            assert rank not in found.setdefault(coupon, {})
            found[coupon][rank] = user
    return found


def issued_quantities(data):
    ledger = ledgers.of(data)
    if ledger:
        return ledger.record()[1]
    with opened_copy(data) as database:
        return dict(database.execute("SELECT id, issued_quantity FROM coupons"))


def assert_holds_what_was_told(data, answers):
    """Every 201 and every named issue is there, nobody twice, ranks without gaps, counts true.
    Returns the issues."""
    ledger = ledgers.of(data)
    found, quantities = ledger.record() if ledger else (issues(data), issued_quantities(data))
    return assert_is_what_was_told(found, quantities, answers)


def assert_is_what_was_told(found, quantities, answers):
    """The same of a record that was read already: {coupon: {rank: user}}, {coupon: count}."""
    for coupon, rows in found.items():
        assert list(rows) == list(range(1, len(rows) + 1)), "ranks of coupon %d" % coupon
        users = list(rows.values())
        assert len(users) == len(set(users)), "a user twice in coupon %d" % coupon
    assert quantities == {coupon: len(found.get(coupon, {})) for coupon in quantities}
    for one in answers:
        issue = one.body if one.status == 201 else one.body.get("issue")
        if issue:
            assert issue["userId"] == one.user
            rank = issue["rank"]
            assert found.get(one.coupon, {}).get(rank) == one.user, "lost or changed: %r" % (one,)
    return found
