"""A violation that is planted in a record, and what `coupon verify` must say of it."""

import re

from support import record
from support.server import verify


def assert_found(folder, statements, coupon, rank, invariant):
    """Plants it by SQL. It is found and named, nobody else is accused, the file stays."""
    with record.planted(folder) as database:
        for statement in statements:
            assert database.execute(statement).rowcount >= 1, statement
    before = record.fingerprint(folder)
    done = verify(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("violation")]
    place = r"coupon %d\b" % coupon + (r" rank %d\b" % rank if rank else "")
    assert any(re.search(place, line) and invariant in line for line in lines), done.stdout
    assert all(re.search(r"coupon %d\b" % coupon, line) for line in lines), "others are accused"
    assert record.fingerprint(folder) == before
