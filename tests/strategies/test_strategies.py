"""What every design of bench/strategies answers, that those with a lock or a script keep to the
quantity, and that nothing they told is missing while nothing fails. Not for: whether the others
race, which is up to the machine; ./dev bench strategies shows it."""

import collections
import threading

import pytest

from conftest import DESIGNS, QUEUE, QUEUEING
from support import check

EXACT = ("sql-lock", "redis-lock", "set-lock", "lua")  # and sorted-set, as long as clocks agree
CLIENTS = 32
QUANTITY = 40
USERS = 120


# ---- one claim after the other ---------------------------------------------------------------

def test_the_first_claim_is_issued_and_the_user_is_told_so_when_asking_again(client, admin):
    coupon = check.new_coupon(admin, total=2, title="it's \"one\" \\ of them")
    issue = check.issued(client.claim(coupon["id"], "o'brien\\"))
    assert issue["rank"] == 1 and issue["couponId"] == coupon["id"]
    again = check.problem(client.claim(coupon["id"], "o'brien\\"), 409, "already-issued")
    assert again["issue"]["userId"] == "o'brien\\"
    assert check.issued(client.claim(coupon["id"], "another"))["rank"] == 2


def test_a_coupon_that_is_used_up_is_sold_out(client, admin):
    coupon = check.new_coupon(admin, total=1)
    check.issued(client.claim(coupon["id"], "first"))
    check.problem(client.claim(coupon["id"], "second"), 409, "sold-out")


def test_a_coupon_without_a_limit_is_issued(client, admin):
    coupon = check.new_coupon(admin, total=None)
    assert check.issued(client.claim(coupon["id"], "first"))["rank"] == 1
    assert check.issued(client.claim(coupon["id"], "second"))["rank"] == 2


def test_claims_outside_the_period_and_of_no_coupon_are_refused(client, admin):
    ended = check.new_coupon(admin, start=-20, end=-10)
    check.problem(client.claim(ended["id"], "late"), 409, "ended")
    later = check.new_coupon(admin, start=1000, end=2000)
    check.problem(client.claim(later["id"], "early"), 409, "not-started")
    check.problem(client.claim(999999999, "lost"), 404, "coupon-not-found")


def test_an_id_is_taken_once_and_can_be_read(client, admin, stores):
    coupon = check.new_coupon(admin, total=3)
    taken = admin.post("/v1/coupons", {"id": coupon["id"], "title": "again", "totalQuantity": 1,
                                       "issueStart": check.moment(-1),
                                       "issueEnd": check.moment(1)})
    check.problem(taken, 409, "coupon-exists")
    check.issued(client.claim(coupon["id"], "one"))
    stores.wait_until_drained()
    found = check.coupon(client.get(f"/v1/coupons/{coupon['id']}"))
    assert (found["totalQuantity"], found["issuedQuantity"], found["state"]) == (3, 1, "open")
    check.problem(client.get("/v1/coupons/999999999"), 404, "coupon-not-found")


def test_it_is_ready(client):
    assert client.get("/readyz").status == 200


# ---- a crowd ---------------------------------------------------------------------------------

def crowd_of(design, coupon, users):
    """All of them at once over 32 connections, everyone twice in a row. Returns how often each
    user was told 201, and the codes of the rest."""
    waiting, told, codes = iter(users), collections.Counter(), collections.Counter()
    lock = threading.Lock()

    def ask():
        with design.client() as client:
            while True:
                with lock:
                    user = next(waiting, None)
                if user is None:
                    return
                answer = client.claim(coupon["id"], user)
                with lock:
                    if answer.status == 201:
                        told[user] += 1
                    else:
                        codes[answer.code] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told, codes


def test_what_a_crowd_is_told_is_what_is_written(design, admin, stores):
    coupon = check.new_coupon(admin, total=QUANTITY)
    users = [f"u-{number}" for number in range(USERS) for _ in range(2)]
    told, codes = crowd_of(design, coupon, users)
    assert set(codes) <= {"already-issued", "sold-out"}
    assert told.total() + codes.total() == len(users)
    stores.wait_until_drained()
    assert collections.Counter(stores.rows(coupon)) == told
    assert told.total() >= QUANTITY
    if design.design in EXACT:
        assert told.total() == QUANTITY == stores.count(coupon)
        assert set(told.values()) == {1}


# ---- the queue -------------------------------------------------------------------------------

@pytest.mark.parametrize("name", QUEUEING)
def test_success_is_told_before_there_is_a_row_and_the_worker_writes_it_later(name, new_design,
                                                                              stores):
    design = new_design(name, "--drain", "off")
    with design.client(admin=True) as admin, design.client() as client:
        coupon = check.new_coupon(admin, total=None)
        users = [f"u-{number}" for number in range(120)]  # more than the worker takes at once
        for user in users:
            check.issued(client.claim(coupon["id"], user))
    assert stores.rows(coupon) == [] and stores.redis.ask("LLEN", QUEUE) == len(users)
    design.stop()
    done = stores.run(name, "--drain", "only")
    assert done.returncode == 0 and "event=drained rows=120" in done.stderr, done.stderr
    assert sorted(stores.rows(coupon)) == sorted(users)
    assert stores.count(coupon) == len(users) and stores.redis.ask("LLEN", QUEUE) == 0


def test_what_is_no_entry_of_ours_does_not_stop_the_worker(new_design, stores):
    design = new_design("lua")
    stores.redis.ask("RPUSH", QUEUE, "nonsense", "7 8", "1 2 " + "x" * 200, "")
    with design.client(admin=True) as admin, design.client() as client:
        coupon = check.new_coupon(admin)
        check.issued(client.claim(coupon["id"], "one"))
    stores.wait_until_drained()
    assert stores.rows(coupon) == ["one"]


# ---- servers that go away --------------------------------------------------------------------

def claim_until_issued(client, coupon, user):
    """The threads find their connections dead one after the other."""
    for _ in range(200):
        answer = client.claim(coupon["id"], user)
        if answer.status == 201:
            return
        check.problem(answer, 503, "storage-unavailable")
    raise AssertionError(answer)


@pytest.mark.parametrize("name, server", [
    ("race", "sql"), ("sql-lock", "sql"), ("redis-lock", "redis"), ("sorted-set", "redis"),
    ("set", "redis"), ("set-lock", "redis"), ("lua", "redis")])
def test_claims_fail_without_the_server_and_work_again_with_it(name, server, new_design, stores):
    design, server = new_design(name), getattr(stores, server)
    with design.client(admin=True) as admin, design.client() as client:
        coupon = check.new_coupon(admin)
        check.issued(client.claim(coupon["id"], "before"))
        server.kill()
        try:
            check.problem(client.claim(coupon["id"], "during"), 503, "storage-unavailable")
        finally:
            server.start()
        claim_until_issued(client, coupon, "after")
    stores.wait_until_drained()


# ---- the command line ------------------------------------------------------------------------

def test_it_ends_well_in_the_midst_of_a_crowd(design, admin):
    coupon = check.new_coupon(admin, total=None)
    answered = threading.Semaphore(0)

    def ask(name):
        with design.client() as client:
            for number in range(1000):
                try:
                    assert client.claim(coupon["id"], f"{name}-{number}").status in (201, 503)
                except (OSError, EOFError):
                    return
                except Exception as error:  # the connection, as wire.py tells it
                    assert type(error).__name__ == "Closed"
                    return
                answered.release()

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        answered.acquire()
    design.stop()
    for thread in threads:
        thread.join()
    assert design.exit_code == 0, design.log()


def test_help_names_every_design(stores):
    done = stores.run("--help", urls={})
    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in DESIGNS)


@pytest.mark.parametrize("arguments, urls, sentence", [
    (["zset"], {}, "there is no design zset"),
    ([], {}, "wants the name of one design"),
    (["race", "lua"], {}, "wants the name of one design"),
    (["race"], {}, "wants --sql URL"),
    (["lua", "--sql", "mysql://u:secret@127.0.0.1:1/x"], {}, "wants --redis URL"),
    (["race", "--sql", "mysql://u:secret@127.0.0.1/x"], {}, "the URL must be mysql://"),
    (["race", "--sql", "mysql://u:secret@127.0.0.1:1/x"], {}, "wants --admin-token-file"),
    (["race", "--pool", "0"], {}, "not a number in its bounds: 0"),
    (["race", "--listen", "8080"], {}, "--listen wants an address"),
    (["race", "--drain", "maybe"], {}, "--drain can be on, off or only"),
])
def test_a_wrong_command_line_is_told_and_shows_no_password(arguments, urls, sentence, stores):
    done = stores.run(*arguments, urls=urls)
    assert done.returncode == 2
    assert sentence in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize("name, url", [("race", "COUPON_LEDGER"), ("lua", "COUPON_REDIS")])
def test_a_server_that_cannot_be_reached_is_told_at_the_start(name, url, stores, tmp_path):
    nowhere = {"COUPON_LEDGER": "mysql://coupon:secret@127.0.0.1:1/coupon",
               "COUPON_REDIS": "redis://127.0.0.1:1"}
    done = stores.run(name, "--admin-token-file", str(tmp_path / "none"),
                      urls={**stores.urls(), url: nowhere[url]})
    assert done.returncode == 1
    assert "event=cannot-start" in done.stderr and "port 1" in done.stderr
    assert "secret" not in done.stderr
