"""coupon export: the record as CSV and NDJSON."""

import csv
import io
import json

import pytest

from support import check, record
from support.server import run, verify

pytestmark = pytest.mark.embedded("coupon export --data")

USERS = ["alice", 'quo"ted', "com,ma", "=sum(1)", "7"]


def filled(server):
    """Two coupons, the second archived; the server is stopped."""
    with server.admin() as admin:
        for count in (len(USERS), 2):
            coupon = check.new_coupon(admin)["id"]
            for user in USERS[:count]:
                check.issued(admin.claim(coupon, user))
        check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"archived": True}))
    server.stop()
    return {(coupon, rank): user for coupon, ranks in record.issues(server.data).items()
            for rank, user in ranks.items()}


def test_csv_has_every_issue_in_order(server):
    kept = filled(server)
    before = record.fingerprint(server.data)
    done = run("export", "--data", server.data)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert {(int(row["coupon_id"]), int(row["rank"])): row["user_id"] for row in rows} == kept
    assert [(int(row["coupon_id"]), int(row["rank"])) for row in rows] == sorted(kept)
    assert all(check.is_time(row["issued_at"]) for row in rows)
    assert record.fingerprint(server.data) == before
    assert verify(server.data).returncode == 0


def test_ndjson_has_a_line_an_issue(server, tmp_path):
    kept = filled(server)
    output = tmp_path / "issues.ndjson"
    done = run("export", "--data", server.data, "--format", "ndjson", "--output", str(output))
    assert done.returncode == 0 and done.stdout == ""
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert {(one["couponId"], one["rank"]): one["userId"] for one in lines} == kept
    again = run("export", "--data", server.data, "--output", str(output))
    assert again.returncode == 1 and "exists" in again.stderr.lower()


def test_one_coupon_alone(server):
    kept = filled(server)
    done = run("export", "--data", server.data, "--coupon", "2")
    assert len(done.stdout.splitlines()) == 1 + len([key for key in kept if key[0] == 2])
    missing = run("export", "--data", server.data, "--coupon", "9")
    assert missing.returncode == 1 and "no coupon 9" in missing.stderr


def test_what_cannot_be_exported_is_told(server, tmp_path):
    held = run("export", "--data", server.data)
    assert held.returncode == 1 and "stop" in held.stderr
    none = run("export", "--data", str(tmp_path / "none"))
    assert none.returncode == 1 and none.stderr
    for flags in (("--format", "xml"), ("--coupon", "0"), ("--coupon", "x"), ("--nonsense", "1")):
        assert run("export", *flags).returncode == 2
    assert "--format" in run("export", "--help").stdout
