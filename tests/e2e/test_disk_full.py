"""A full disk: a known failure (I8). Claims get 503 `storage-unavailable`, nobody holds what
they were not told, and when there is room again the server goes on by itself."""

import errno
import itertools
import os
import time

import pytest

from support import check, record
from support.crowd import Load
from support.server import verify

pytestmark = [pytest.mark.slow, pytest.mark.embedded("a full disk under the data folder")]

DEADLINE_S = 60
ROUNDS = 3
AGAIN = 20  # refused users of a round who come again when there is room


def fill(folder, leave=0):
    """Takes all room but `leave` bytes."""
    path = folder / "filler"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while os.write(file, b"\0" * 4096) > 0:
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(file)
    if leave:
        os.truncate(path, os.path.getsize(path) - leave)
    return path


def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def readiness(client):
    response = client.get("/readyz")
    if response.status != 200:
        check.problem(response, 503, "storage-unavailable")
    return response.status


def test_a_full_disk_refuses_claims_and_recovers_by_itself(new_server, small_disk):
    data = small_disk / "data"
    server = new_server(data=data).start()
    with server.admin() as admin:
        made = check.new_coupon(admin, total=None)
    coupon, path = made["id"], "/v1/coupons/%d" % made["id"]
    users = itertools.count()
    answers, came_again = [], set()

    def load_until(code):
        """A crowd of new users, until one is answered with `code`."""
        asks = ((coupon, "user-%d" % next(users), "key") for _ in itertools.count())
        load = Load(server.address, asks, 16).start()
        until(lambda: any(one.code == code for one in list(load.told)[-200:]), "never %s" % code)
        load.end()
        assert not load.unanswered
        answers.extend(load.told)
        return load.told

    for round_no in range(ROUNDS):
        load = Load(server.address, [(coupon, "before-%d-%d" % (round_no, i), None)
                                     for i in range(200)], 16).start().join()
        assert {one.status for one in load.told} == {201}
        answers += load.told
        filler = fill(small_disk, leave=4096 * round_no)
        told = load_until("storage-unavailable")
        assert {one.code for one in told} <= {None, "storage-unavailable"}

        assert server.running()
        with server.client() as client, server.admin() as admin:
            assert check.success(client.get("/healthz")) == {"status": "ok"}
            assert readiness(client) == 503
            body = check.coupon(client.get(path))
            won = [one for one in answers if one.status == 201]
            assert body["issuedQuantity"] == len(won) + len(came_again)
            response = admin.post("/v1/coupons", {
                "title": "x", "totalQuantity": 1, "issueStart": check.moment(),
                "issueEnd": check.moment(60)})
            check.problem(response, 503, "storage-unavailable")
            check.problem(admin.patch(path, {"title": "x"}), 503, "storage-unavailable")
            # what is in the record can still be read, and told
            winner = won[-1]
            held = client.get("%s/issues?userId=%s" % (path, winner.user))
            assert check.success(held) == {"issues": [winner.body]}
            refused = [one for one in told if one.code == "storage-unavailable"]
            for one in refused[:100]:
                held = client.get("%s/issues?userId=%s" % (path, one.user))
                assert check.success(held) == {"issues": []}, "refused, and holds one"
        assert server.events("storage-unavailable")

        os.unlink(filler)
        with server.client() as client:
            until(lambda: readiness(client) == 200, "never ready again")
            for one in refused[:AGAIN]:  # the same request, now that there is room
                issue = check.issued(client.claim(coupon, one.user, one.key))
                assert check.issued(client.claim(coupon, one.user, one.key), replayed=True) == issue
                came_again.add(one.user)
        assert server.events("storage-recovered")

    server.stop()
    found = record.assert_holds_what_was_told(server.data, answers)
    won = {one.user for one in answers if one.status == 201}
    assert set(found[coupon].values()) == won | came_again
    done = verify(server.data)
    assert done.returncode == 0, done.stdout


def test_killed_on_a_full_disk_it_holds_what_was_told(new_server, small_disk):
    server = new_server(data=small_disk / "data").start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
    fill(small_disk, leave=40960)
    asks = ((coupon, "user-%d" % i, None) for i in itertools.count())
    load = Load(server.address, asks, 16).start()
    until(lambda: any(one.code == "storage-unavailable" for one in list(load.told)[-200:]), "503")
    server.kill()
    load.join()
    os.unlink(small_disk / "filler")
    record.assert_holds_what_was_told(server.data, load.told)
    done = verify(server.data)
    assert done.returncode == 0, done.stdout + done.stderr
    server.start()
    with server.client() as client:
        for one in load.won()[:20]:
            check.already_issued(client.claim(coupon, one.user), one.body)
    server.stop()


def test_stopped_on_a_full_disk_it_loses_nothing(new_server, small_disk):
    server = new_server(data=small_disk / "data").start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
    load = Load(server.address, [(coupon, "user-%d" % i, None) for i in range(500)], 8)
    load.start().join()
    filler = fill(small_disk)
    server.terminate()
    server.wait()  # its last folding may fail for want of room; what was told is kept anyway
    if os.path.exists(os.path.join(server.data, "coupon.db-wal")):
        server.spawn()
        assert server.wait() == 1
        assert "make room on the disk" in server.events("cannot-start")[0]["why"]
        assert not os.path.exists(os.path.join(server.data, "coupon.db-wal.new"))
    os.unlink(filler)
    record.assert_holds_what_was_told(server.data, load.told)
    assert verify(server.data).returncode == 0
    server.start()
    with server.client() as client:
        check.already_issued(client.claim(coupon, "user-0"),
                             next(one.body for one in load.won() if one.user == "user-0"))
    server.stop()


def test_a_disk_that_is_full_from_the_start_is_told(new_server, small_disk):
    fill(small_disk)
    server = new_server(data=small_disk / "data").spawn()
    assert server.wait() == 1
    why = server.events("cannot-start")[0]["why"]
    assert "space" in why or "full" in why, why
    os.unlink(small_disk / "filler")
    server.start().stop()
