"""coupon backup: copies of the record, taken while a crowd claims, restored and compared with
what the crowd was told."""

import errno
import fcntl
import itertools
import os
import pwd
import shutil
import signal
import sqlite3
import stat
import subprocess
import time

import pytest

from support import check, record
from support.crowd import Load
from support.server import BINARY, SANITIZER_WORDS, environment, run, verify

pytestmark = pytest.mark.embedded("coupon backup copies a data folder")

THREADS = 8
BACKUPS = 5
DEADLINE_S = 60
CATCHES_MAX = 50
LARGE = 200000  # issues, so that copying takes a moment


def backup(data, to, **rest):
    return run("backup", "--data", data, "--to", to, timeout_s=300, **rest)


def taken(data, to):
    """A backup that works; the last line it says."""
    done = backup(data, to)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(to)) == ["coupon.db"]
    assert stat.S_IMODE(os.stat(to).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(os.path.join(to, "coupon.db")).st_mode) == 0o600
    return done.stdout.splitlines()[-1]


def assert_sound(to):
    done = verify(to)
    assert done.returncode == 0, done.stdout + done.stderr
    database = sqlite3.connect("file:%s/coupon.db?immutable=1" % to, uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()


def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def crowd(server, coupon, prefix="user"):
    """An endless crowd, from several connections."""
    asks = ((coupon, "%s-%d" % (prefix, index), None) for index in itertools.count())
    return Load(server.address, asks, THREADS).start()


def large(server, count=LARGE):
    """A coupon with so many issues."""
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
        for first in range(0, count, 10000):
            users = ["filler-%d-%s" % (index, "x" * 80) for index in
                     range(first, min(count, first + 10000))]
            check.success(admin.post("/v1/coupons/%d/issues:batch" % coupon, {"userIds": users}))
    return coupon


def assert_has_what_was_told(to, before, after):
    """Everything told before the backup began, nothing that nobody was told by the end."""
    record.assert_holds_what_was_told(to, before)
    told = {one.body["rank"]: one.user for one in after}
    for rank, user in record.issues(to).get(before[0].coupon, {}).items():
        assert told.get(rank) == user, "rank %d of %s was told to nobody" % (rank, user)


def test_backups_under_load_have_everything_that_was_told(server, new_server, tmp_path, scaled):
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
    load = crowd(server, coupon)
    taken_at = []
    for number in range(BACKUPS):
        load.wait_answers((number + 1) * scaled(6000))
        before = load.won()
        assert before
        line = taken(server.data, tmp_path / ("backup-%d" % number))
        taken_at.append((tmp_path / ("backup-%d" % number), before, line))
    load.end()
    assert not load.unanswered
    assert len(load.won()) == len(load.told)  # nobody was refused for a backup's sake
    for to, before, line in taken_at:
        assert_sound(to)
        assert_has_what_was_told(to, before, load.won())
        count = sum(record.issued_quantities(to).values())
        size = os.path.getsize(to / "coupon.db")
        assert line.startswith("backup of %s in %s: 1 coupons, %d issues, %d bytes, "
                               % (server.data, to, count, size)), line
    # A server on a restored one answers its winners as they were answered.
    restored = new_server(data=shutil.copytree(taken_at[-1][0], tmp_path / "restored")).start()
    with restored.client() as client:
        for one in taken_at[-1][1][:: max(1, len(taken_at[-1][1]) // 200)]:
            check.already_issued(client.claim(coupon, one.user), one.body)
    assert restored.token != server.token
    restored.stop()
    assert verify(restored.data).returncode == 0
    server.stop()
    record.assert_holds_what_was_told(server.data, load.told)
    assert verify(server.data).returncode == 0


def is_held(data):
    """Whether a backup holds the folder now."""
    with open(os.path.join(data, "coupon.hold"), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Caught:
    """A backup that was sent SIGSTOP as soon as it had begun to copy."""

    def __init__(self, data, to):
        self.to = str(to)
        self.process = subprocess.Popen([BINARY, "backup", "--data", str(data), "--to", str(to)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=environment())
        part = os.path.join(to, "coupon.new", "coupon.db")
        while self.process.poll() is None:  # without a pause: it is fast
            if os.path.exists(part) and os.path.getsize(part) > 0:
                self.process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                break

    def end(self, number):
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)
        stdout, stderr = self.process.communicate(timeout=DEADLINE_S)
        for word in SANITIZER_WORDS:
            assert word not in stderr, stderr
        return self.process.returncode, stdout, stderr


@pytest.fixture
def caught(tmp_path):
    """Makes backups that stand still in the middle; ends those that the test did not."""
    made = []

    def catch(data):
        for number in range(CATCHES_MAX):  # until one is caught before it has copied all
            one = Caught(data, tmp_path / ("caught-%d" % number))
            made.append(one)
            if one.process.poll() is None and is_held(data):
                return one
            one.end(signal.SIGKILL)
        pytest.fail("no backup was caught in the middle")

    yield catch
    for one in made:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def held_log(server, coupon, name):
    """Claims until the server says that it keeps its log."""
    users = itertools.count()
    with server.client() as client:
        until(lambda: check.issued(client.claim(coupon, "%s-%d" % (name, next(users))))
              and server.events("backup-under-way"), "the log is not kept")
    return next(users)


def test_a_log_at_its_limit_is_folded_and_the_backup_starts_over(new_server, caught):
    """The limit is 1 MiB here, and the backup stands still until it is reached."""
    server = new_server("--backup-log-max", "1").start()
    coupon = large(server)
    one = caught(server.data)
    users = itertools.count()
    told = []
    with server.client() as client:
        while not server.events("backup-broken"):
            told.append(check.issued(client.claim(coupon, "over-%d" % next(users))))
            assert len(told) < 100000
    assert server.events("backup-under-way")
    code, stdout, stderr = one.end(signal.SIGCONT)
    assert code == 0, stderr
    assert "copying-again" in stderr and stdout
    assert_sound(one.to)
    ranks = record.issues(one.to)[coupon]
    assert all(ranks[issue["rank"]] == issue["userId"] for issue in told)
    assert len(ranks) == LARGE + len(told)


def test_a_killed_backup_holds_up_nothing_and_the_next_one_works(server, caught):
    coupon = large(server)
    one = caught(server.data)
    held_log(server, coupon, "held")
    assert one.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert os.listdir(one.to) == ["coupon.new"]
    assert verify(one.to).returncode != 0  # it is no ledger
    taken(server.data, one.to)
    assert_sound(one.to)
    load = crowd(server, coupon, "later")
    log = os.path.join(server.data, "coupon.db-wal")
    load.wait_answers(4000)
    load.end()
    assert os.path.getsize(log) < 8 << 20  # it is folded again
    assert not server.events("backup-broken")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_leaves_nothing(server, caught, number):
    large(server)
    one = caught(server.data)
    code, stdout, stderr = one.end(number)
    assert code == 1 and not stdout and "interrupted" in stderr
    assert not os.path.exists(one.to)


def test_a_server_killed_during_a_backup_starts_at_once_and_the_copy_is_right(
        server, caught):
    coupon = large(server)
    with server.client() as client:
        told = [check.issued(client.claim(coupon, "before-%d" % index)) for index in range(20)]
    one = caught(server.data)
    held_log(server, coupon, "held")
    server.kill()
    server.start()  # does not wait for the backup that stands still
    assert server.events("backup-broken")
    with server.client() as client:
        later = check.issued(client.claim(coupon, "later"))
    code, stdout, stderr = one.end(signal.SIGCONT)
    assert code == 0, stderr
    assert "copying-again" in stderr and stdout
    assert_sound(one.to)
    ranks = record.issues(one.to)[coupon]
    for issue in told + [later]:  # the copy that counts began after all of them
        assert ranks[issue["rank"]] == issue["userId"]


def test_a_server_killed_and_not_started_again_leaves_the_backup_to_finish(server, caught):
    coupon = large(server)
    with server.client() as client:
        told = [check.issued(client.claim(coupon, "before-%d" % index)) for index in range(20)]
    one = caught(server.data)
    held_log(server, coupon, "held")
    server.kill()
    code, _, stderr = one.end(signal.SIGCONT)
    assert code == 0 and "copying-again" not in stderr
    assert_sound(one.to)
    ranks = record.issues(one.to)[coupon]
    assert all(ranks[issue["rank"]] == issue["userId"] for issue in told)


def test_a_server_stops_in_order_during_a_backup_and_the_copy_is_right(server, caught):
    coupon = large(server)
    one = caught(server.data)
    count = held_log(server, coupon, "held")
    server.stop()
    assert os.path.getsize(os.path.join(server.data, "coupon.db-wal")) > 0  # kept for the backup
    assert verify(server.data).returncode == 0
    assert one.end(signal.SIGCONT)[0] == 0
    assert_sound(one.to)
    assert len(record.issues(one.to)[coupon]) == LARGE + count
    server.start()
    assert not server.events("backup-broken")
    with server.client() as client:
        check.problem(client.claim(coupon, "held-0"), 409, "already-issued")


def test_a_stopped_folder_is_copied_too(server, admin, tmp_path):
    coupon = check.new_coupon(admin)["id"]
    told = [check.issued(admin.claim(coupon, user)) for user in range(50)]
    server.stop()
    before = record.fingerprint(server.data)
    line = taken(server.data, tmp_path / "backup")
    assert record.fingerprint(server.data) == before
    assert "1 coupons, 50 issues" in line
    assert_sound(tmp_path / "backup")
    # A copy of the copy, in which there is no lock and no hold yet.
    taken(tmp_path / "backup", tmp_path / "again")
    assert record.issues(tmp_path / "again")[coupon] == {
        issue["rank"]: issue["userId"] for issue in told}


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: root's backup of another's folder")
def test_root_leaves_the_folder_to_its_owner(server, admin, tmp_path):
    check.new_coupon(admin)
    server.stop()
    os.remove(os.path.join(server.data, "coupon.hold"))
    owner = pwd.getpwnam("nobody")
    for name in [".", *os.listdir(server.data)]:
        os.chown(os.path.join(server.data, name), owner.pw_uid, owner.pw_gid)
    taken(server.data, tmp_path / "backup")
    hold = os.stat(os.path.join(server.data, "coupon.hold"))
    assert hold.st_uid == owner.pw_uid and stat.S_IMODE(hold.st_mode) == 0o600
    assert os.stat(tmp_path / "backup" / "coupon.db").st_uid == 0


def test_a_server_starts_while_a_stopped_folder_is_copied(server, caught):
    coupon = large(server)
    server.stop()
    one = caught(server.data)
    server.start()
    with server.client() as client:
        check.issued(client.claim(coupon, "meanwhile"))
    assert one.end(signal.SIGCONT)[0] == 0
    assert_sound(one.to)


def test_places_that_cannot_take_a_backup_are_refused(server, admin, tmp_path):
    check.new_coupon(admin)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("precious")
    data = os.path.abspath(server.data)
    (tmp_path / "link").symlink_to(data)
    for to, words in ((full, "not empty"), (data, "data folder"), (data + "/inner", "data folder"),
                      (tmp_path / "link", "data folder"),
                      (str(tmp_path / "link") + "/inner", "data folder"),
                      (tmp_path / "no" / "such", "No such file"),
                      (full / "mine", "exists|Not a directory")):
        done = backup(data, to)
        assert done.returncode == 1 and not done.stdout
        assert any(word in done.stderr for word in words.split("|")), done.stderr
    assert os.listdir(full) == ["mine"] and (full / "mine").read_text() == "precious"
    assert not os.path.exists(data + "/inner")
    assert backup(tmp_path / "none", tmp_path / "new").returncode == 1
    assert backup(full, tmp_path / "new").returncode == 1
    assert not os.path.exists(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    os.chmod(tmp_path / "empty", 0o700)
    taken(data, tmp_path / "empty")


def test_wrong_options_are_told(tmp_path):
    assert run("backup", "--data", tmp_path).returncode == 2
    assert run("backup", "--nonsense", "1").returncode == 2
    assert "--to" in run("backup", "--help").stdout
    assert run("serve", "--backup-log-max", "0").returncode == 2


def test_a_full_disk_is_told_and_leaves_nothing(server, small_disk):
    coupon = large(server, 2 * LARGE)
    done = backup(server.data, small_disk / "backup")
    assert done.returncode == 1
    assert os.strerror(errno.ENOSPC) in done.stderr
    assert not os.listdir(small_disk)
    with server.client() as client:
        check.issued(client.claim(coupon, "unharmed"))
