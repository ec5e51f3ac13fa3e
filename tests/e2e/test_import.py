"""coupon import: a file of users into the record, all of it or nothing."""

import csv
import io
import os
import signal
import subprocess
import time

import pytest

from support import check, record
from support.server import BINARY, environment, run, verify

pytestmark = pytest.mark.embedded("coupon import --data")


def made(server, **terms):
    """The folder of a stopped server with one coupon of these terms, and what was asked for
    last: (data, coupon id)."""
    with server.admin() as admin:
        coupon = check.new_coupon(admin, **terms)["id"]
    server.stop()
    return server.data, coupon


def write(tmp_path, text, name="users.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def imports(data, coupon, path, *flags):
    return run("import", "--data", data, "--coupon", coupon, *flags, path)


def assert_refused(done, *words):
    assert done.returncode == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr, done.stderr


def table(data, text):
    with record.opened_copy(data) as database:
        return database.execute(text).fetchall()


# ---- what is imported ---------------------------------------------------------------------


def test_users_become_issues_behind_those_there_are(server, tmp_path):
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=10)["id"]
        won = check.issued(admin.claim(coupon, "alice"))
    server.stop()
    path = write(tmp_path, '\ufeffuserId\r\nbob\r\n"com,ma"\r\n"quo""ted"\r\n7')
    done = imports(server.data, coupon, path)
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout == "imported 4 issues of coupon %d: ranks 2 to 5\n" % coupon
    assert record.issues(server.data) == {
        coupon: {1: "alice", 2: "bob", 3: "com,ma", 4: 'quo"ted', 5: "7"}}
    assert record.issued_quantities(server.data) == {coupon: 5}
    assert table(server.data, "SELECT coupon_id, first_rank, last_rank FROM coupon_imports") == [
        (coupon, 2, 5)]
    assert table(server.data, "SELECT admin, action, coupon_id, request FROM audits"
                 " ORDER BY id DESC LIMIT 1") == [
        ("import", "issues-imported", coupon, '{"firstRank":2,"lastRank":5}')]
    clean = verify(server.data)
    assert clean.returncode == 0, clean.stdout
    server.start()
    with server.client() as client, server.admin() as admin:
        told = client.claim(coupon, "com,ma")
        issue = check.issue_body(check.problem(told, 409, "already-issued")["issue"])
        assert (issue["rank"], issue["userId"]) == (3, "com,ma")
        assert issue["issuedAt"] >= won["issuedAt"]
        check.already_issued(client.claim(coupon, "alice"), won)
        assert check.issued(client.claim(coupon, "carol"))["rank"] == 6
        listed = check.success(admin.get("/v1/coupons/%d/issues" % coupon))["issues"]
        assert [one["userId"] for one in listed] == [
            "alice", "bob", "com,ma", 'quo"ted', "7", "carol"]
        newest = check.success(admin.get("/v1/audit"))["audits"][-1]
        assert newest["action"] == "issues-imported" and newest["admin"] == "import"
        assert newest["request"] == {"firstRank": 2, "lastRank": 5}
    server.stop()
    lines = list(csv.DictReader(io.StringIO(run("export", "--data", server.data).stdout)))
    assert [one["user_id"] for one in lines] == ["alice", "bob", "com,ma", 'quo"ted', "7", "carol"]
    assert verify(server.data).returncode == 0


@pytest.mark.parametrize("terms", [{"start": 3600, "end": 7200}, {"pause": True}],
                         ids=["before the period", "while paused"])
def test_period_and_pause_bind_claims_not_imports(server, tmp_path, terms):
    with server.admin() as admin:
        coupon = check.new_coupon(admin, **{k: v for k, v in terms.items() if k != "pause"})["id"]
        if terms.get("pause"):
            check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"paused": True}))
    server.stop()
    done = imports(server.data, coupon, write(tmp_path, "vip-1\nvip-2\n"))
    assert done.returncode == 0, done.stderr
    clean = verify(server.data)
    assert clean.returncode == 0, clean.stdout
    server.start()
    with server.client() as client:
        told = check.problem(client.claim(coupon, "vip-2"), 409, "already-issued")
        assert told["issue"]["rank"] == 2
        check.problem(client.claim(coupon, "other"), 409,
                      "paused" if terms.get("pause") else "not-started")


def test_imports_follow_each_other_and_claims(server, tmp_path):
    data, coupon = made(server, total=6)
    assert imports(data, coupon, write(tmp_path, "a\nb\n")).returncode == 0
    server.start()
    with server.client() as client:
        assert check.issued(client.claim(coupon, "c"))["rank"] == 3
    server.stop()
    done = imports(data, coupon, write(tmp_path, "d\ne\nf"))
    assert done.stdout.endswith("ranks 4 to 6\n")
    assert table(data, "SELECT first_rank, last_rank FROM coupon_imports") == [(1, 2), (4, 6)]
    assert verify(data).returncode == 0
    assert_refused(imports(data, coupon, write(tmp_path, "g")), "there are 0 left")
    server.start()
    with server.client() as client:
        check.problem(client.claim(coupon, "h"), 409, "sold-out")


def test_users_come_from_standard_input_too(server):
    data, coupon = made(server)
    command = [BINARY, "import", "--data", data, "--coupon", str(coupon), "-"]
    done = subprocess.run(command, input="a\nb c\n", capture_output=True, text=True,
                          env=environment())
    assert done.returncode == 1 and "stdin:2: " in done.stderr
    done = subprocess.run(command, input="a\nb", capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and done.stdout.endswith("ranks 1 to 2\n")


# ---- what is refused: nothing is written ----------------------------------------------------


@pytest.fixture
def stocked(server, tmp_path):
    """A stopped server's folder with a coupon of 5 that alice holds rank 1 of, its id, and a
    check that nothing of it changes."""
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=5)["id"]
        check.issued(admin.claim(coupon, "alice"))
    server.stop()
    before = table(server.data, "SELECT * FROM coupon_issues"), table(
        server.data, "SELECT * FROM audits"), record.issued_quantities(server.data)
    yield server.data, coupon
    assert before == (table(server.data, "SELECT * FROM coupon_issues"),
                      table(server.data, "SELECT * FROM audits"),
                      record.issued_quantities(server.data))
    assert table(server.data, "SELECT * FROM coupon_imports") == []
    assert verify(server.data).returncode == 0


def test_every_bad_line_is_told_with_its_number(stocked, tmp_path):
    data, coupon = stocked
    path = write(tmp_path, b"bob\n\nwith space\nalice\nbob\na,b\n\"open\nnul\0\n" + b"x" * 129)
    done = imports(data, coupon, path)
    assert_refused(done, "nothing was imported", "has 8 errors")
    lines = done.stderr.splitlines()
    told = {line.split(":")[1]: line for line in lines if line.startswith(path + ":")}
    assert sorted(told, key=int) == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert "empty" in told["2"]
    assert "0x20" in told["3"]
    assert "alice holds rank 1 of coupon %d" % coupon in told["4"]
    assert "bob is on line 1 too" in told["5"]
    assert "more than one field" in told["6"]
    assert "not closed" in told["7"]
    assert "0x00" in told["8"]
    assert "129 characters" in told["9"]


def test_of_many_bad_lines_twenty_are_told(stocked, tmp_path):
    data, coupon = stocked
    done = imports(data, coupon, write(tmp_path, "a b\n" * 23))
    assert_refused(done, "… and 3 more", "has 23 errors")
    assert len([line for line in done.stderr.splitlines() if "0x20" in line]) == 20
    done = imports(data, coupon, write(tmp_path, "a b\n" * 20))
    assert "more" not in done.stderr and "has 20 errors" in done.stderr


def test_more_users_than_are_left_are_refused(stocked, tmp_path):
    data, coupon = stocked
    path = write(tmp_path, "user_id\na\nb\nc\nd\ne\nf\n")
    done = imports(data, coupon, path)
    assert_refused(done, "%s:6: there are 4 left of coupon %d, and 6 users" % (path, coupon))


@pytest.mark.parametrize("text", ["", "userId\n", "\ufeff"])
def test_a_file_without_users_is_refused(stocked, tmp_path, text):
    data, coupon = stocked
    assert_refused(imports(data, coupon, write(tmp_path, text)), "names no user")


def test_a_dry_run_checks_all_and_writes_nothing(stocked, tmp_path):
    data, coupon = stocked
    before = record.fingerprint(data)
    done = imports(data, coupon, write(tmp_path, "a\nb\nc\nd"), "--dry-run")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "would import 4 issues of coupon %d: ranks 2 to 5\n" % coupon
    assert_refused(imports(data, coupon, write(tmp_path, "a\na"), "--dry-run"), "is on line 1 too")
    assert record.fingerprint(data) == before


def test_what_cannot_be_imported_into_is_told(stocked, tmp_path):
    data, coupon = stocked
    path = write(tmp_path, "a")
    assert_refused(imports(data, 9, path), "there is no coupon 9")
    assert_refused(imports(data, coupon, str(tmp_path / "none")), "none: No such file")
    assert_refused(imports(data, coupon, str(tmp_path)), "Is a directory")
    missing = tmp_path / "missing"
    for flags in ((), ("--dry-run",)):
        assert_refused(imports(str(missing), coupon, path, *flags), "missing")
        assert_refused(imports(str(tmp_path), coupon, path, *flags), "no coupon.db")
    assert not missing.exists()
    for arguments in (("--coupon", coupon), (path,), ("--coupon", "x", path), ("--coupon", 0, path),
                      ("--coupon", coupon, path, path), ("--coupon", coupon, "--dry", path),
                      ("--coupon", coupon, "-x")):
        assert run("import", "--data", data, *arguments).returncode == 2, arguments
    assert "--dry-run" in run("import", "--help").stdout


def test_an_ended_and_an_archived_coupon_take_no_import(server, tmp_path):
    path = write(tmp_path, "a")
    with server.admin() as admin:
        ended = check.new_coupon(admin, start=-7200, end=-3600)["id"]
        archived = check.new_coupon(admin)["id"]
        check.coupon(admin.patch("/v1/coupons/%d" % archived, {"archived": True}))
    held = imports(server.data, ended, path)
    assert_refused(held, "stop it first")
    server.stop()
    assert_refused(imports(server.data, ended, path), "coupon %d ended at " % ended)
    assert_refused(imports(server.data, archived, path), "coupon %d is archived" % archived)
    assert record.issues(server.data) == {}


def test_a_file_has_at_most_ten_million_lines(stocked, tmp_path):
    data, coupon = stocked
    path = tmp_path / "long.csv"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(b"\n" * 100000)
    done = imports(data, coupon, str(path))
    assert_refused(done, "has 10000000 errors")
    with open(path, "ab") as file:
        file.write(b"one more")
    done = imports(data, coupon, str(path))
    assert_refused(done, "more than 10000000 lines")


# ---- a crash --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_all_or_nothing(server, tmp_path, randomness, scaled):
    """Each round imports a new file and is killed after a random part of the time that a whole
    import takes."""
    data, coupon = made(server, total=None)
    count = scaled(60000)
    issued, cut, whole_s = 0, 0, None
    for round_ in range(15):
        path = write(tmp_path, "".join("r%d-%d\n" % (round_, i) for i in range(count)))
        began = time.monotonic()
        process = subprocess.Popen([BINARY, "import", "--data", data, "--coupon", str(coupon), path],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=environment())
        if whole_s is not None:
            try:
                process.wait(whole_s * randomness.uniform(0.2, 1.1))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        told = process.communicate()[0]
        if whole_s is None:
            whole_s = time.monotonic() - began
            assert process.returncode == 0
        done = verify(data)
        assert done.returncode == 0, done.stdout
        now = record.issued_quantities(data)[coupon]
        assert now in (issued, issued + count), "a part of a file"
        assert now == issued + count or not told, "told, and lost"
        ranges = table(data, "SELECT first_rank, last_rank FROM coupon_imports ORDER BY 1")
        assert sum(last - first + 1 for first, last in ranges) == now
        assert len(table(data, "SELECT * FROM audits WHERE action = 'issues-imported'")) == len(
            ranges)
        cut += now == issued
        issued = now
    assert cut >= 1, "no import was cut off"
    server.start()
    with server.admin() as admin:
        told = check.success(admin.get("/v1/coupons/%d" % coupon))
        assert told["issuedQuantity"] == issued
    assert os.path.getsize(os.path.join(data, "coupon.db")) > 0
