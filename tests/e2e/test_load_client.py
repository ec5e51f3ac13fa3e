"""load-client, with which ./dev bench asks: what it counts is what the record says, in every mode,
also when the server goes away in between."""

import json
import os
import subprocess
import time

import pytest

from support import check, record

PROGRAM = os.environ.get("COUPON_LOAD_CLIENT", "build/debug/bench/load/load-client")
TIMEOUT_S = 120

pytestmark = pytest.mark.embedded("what it measures is measured with a data folder")


@pytest.fixture(scope="module", autouse=True)
def program():
    assert os.access(PROGRAM, os.X_OK), (
        "no load-client at %s: ./dev build --debug makes it; or name it with COUPON_LOAD_CLIENT"
        % PROGRAM)


def started(server, mode, coupon, *options):
    command = [PROGRAM, mode, "--port", server.address[1], "--path",
               "/v1/coupons/%s/issues" % coupon, *options]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def finished(process):
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    told = json.loads(output)
    answered = sum(told["status"].values())
    assert told["requests"] == answered + told["failed"]
    latency = told["latency_us"]
    assert latency["all"]["count"] == answered
    assert {status: latency[status]["count"] for status in told["status"]} == told["status"]
    for each in latency.values():
        percentiles = [each[name] for name in ("p50", "p90", "p99", "p99.9", "p99.99", "max")]
        assert percentiles == sorted(percentiles)
    return told


def asked(*arguments):
    return finished(started(*arguments))


def names(path):
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines)), "a user was told 201 twice"
    return set(lines)


def winners(server, coupon):
    return set(record.issues(server.data).get(coupon, {}).values())


def wait_until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("threads", (1, 3))
def test_a_crowd_gets_a_coupon_of_a_hundred_a_hundred_times(server, admin, tmp_path, threads):
    coupon = check.new_coupon(admin, total=100)["id"]
    told = asked(server, "crowd", coupon, "--users", 300, "--again", 10, "--seed", 7,
                 "--connections", 64, "--threads", threads, "--told", tmp_path / "told")
    assert (told["requests"], told["failed"]) == (330, 0)
    assert told["status"] == {"201": 100, "409": 230}
    server.stop()
    won = winners(server, coupon)
    assert names(tmp_path / "told") == won
    assert won <= {"u-7-%d" % number for number in range(300)}


def test_a_seed_gives_the_same_crowd_once_more(server, admin, tmp_path):
    orders = []
    for index, seed in enumerate((1, 1, 2)):
        coupon = check.new_coupon(admin, total=None)["id"]
        path = tmp_path / str(index)
        asked(server, "crowd", coupon, "--users", 50, "--seed", seed, "--connections", 1,
              "--told", path)
        orders.append([line.rpartition("-")[2] for line in path.read_text().splitlines()])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(map(int, orders[0])) == sorted(map(int, orders[2])) == list(range(50))


def test_everybody_who_asks_twice_in_a_crowd_is_told_so(server, admin):
    coupon = check.new_coupon(admin, total=None)["id"]
    told = asked(server, "crowd", coupon, "--users", 1000, "--again", 100, "--seed", 3)
    assert told["status"]["201"] == 1000
    assert sum(told["status"].values()) == told["requests"] == 2000


def test_a_sustained_run_asks_as_new_users_only(server, admin, tmp_path):
    coupon = check.new_coupon(admin, total=None)["id"]
    told = asked(server, "sustain", coupon, "--seconds", 1, "--prefix", "s", "--threads", 2,
                 "--told", tmp_path / "told")
    server.stop()
    assert told["failed"] == 0 and list(told["status"]) == ["201"]
    won = winners(server, coupon)
    assert len(won) == told["requests"] > 0
    assert names(tmp_path / "told") == won


@pytest.mark.parametrize("threads", (1, 2))
def test_a_rate_makes_as_many_requests_as_rate_times_seconds(server, admin, threads):
    coupon = check.new_coupon(admin, total=None)["id"]
    told = asked(server, "rate", coupon, "--rate", 500, "--seconds", 2, "--prefix", "r",
                 "--connections", 16, "--threads", threads)
    assert (told["requests"], told["failed"]) == (1000, 0)
    assert told["status"] == {"201": 1000}
    assert told["rate"] == 500 and told["late_us_max"] >= 0
    assert told["seconds"] >= 1.9  # the last is not due before


def test_what_waits_for_a_connection_waits_in_the_latency(server, admin):
    """One connection for more than it can take: all wait, and all are told so."""
    coupon = check.new_coupon(admin, total=None)["id"]
    told = asked(server, "rate", coupon, "--rate", 200000, "--seconds", 1, "--prefix", "r",
                 "--connections", 1, "--patience", 1)
    assert told["requests"] == 200000
    assert told["latency_us"]["all"]["max"] > 500000


def test_a_herd_is_answered_to_the_last(server, admin, tmp_path):
    coupon = check.new_coupon(admin, total=500)["id"]
    told = asked(server, "herd", coupon, "--users", 2000, "--prefix", "h", "--within-ms", 200,
                 "--told", tmp_path / "told")
    assert (told["requests"], told["failed"]) == (2000, 0)
    assert told["status"] == {"201": 500, "409": 1500}
    server.stop()
    assert names(tmp_path / "told") == winners(server, coupon)


def test_an_event_sells_every_coupon_exactly(server, admin):
    coupons = [check.new_coupon(admin, total=10)["id"] for _ in range(50)]
    assert coupons == list(range(coupons[0], coupons[0] + 50))
    told = asked(server, "event", "{}", "--users", 500, "--coupons", "%d:50" % coupons[0],
                 "--prefix", "e", "--seed", 5)
    assert told["status"] == {"201": 500} and told["failed"] == 0
    server.stop()
    assert {coupon: len(rows) for coupon, rows in record.issues(server.data).items()} == {
        coupon: 10 for coupon in coupons}


def test_a_server_that_is_killed_leaves_failures_and_no_lies(server, admin, tmp_path):
    coupon, path = check.new_coupon(admin, total=None)["id"], tmp_path / "told"
    process = started(server, "crowd", coupon, "--users", 10**7, "--patience", 1, "--told", path)
    wait_until(lambda: path.exists() and path.stat().st_size > 0)
    server.kill()
    told = finished(process)
    assert told["requests"] == 10**7 and told["failed"] > 0
    assert len(names(path)) == told["status"]["201"]
    server.start()
    server.stop()
    assert names(path) <= winners(server, coupon)


def test_it_goes_on_when_the_server_is_back(server, admin, tmp_path):
    coupon, path = check.new_coupon(admin, total=None)["id"], tmp_path / "told"
    process = started(server, "crowd", coupon, "--users", 10**7, "--patience", 60, "--told", path)
    wait_until(lambda: path.exists() and path.stat().st_size > 0)
    server.kill()
    size = path.stat().st_size
    server.listen = "127.0.0.1:%d" % server.address[1]
    server.start()
    wait_until(lambda: path.stat().st_size > size + 200000)
    process.terminate()
    told = finished(process)
    assert told["failed"] > 0
    server.stop()
    assert len(names(path)) == told["status"]["201"]
    assert names(path) <= winners(server, coupon)


@pytest.mark.parametrize("arguments", (
    [], ["crowd"], ["march", "--port", "1"], ["crowd", "--port", "x"],
    ["crowd", "--port", "1", "--path", "/", "--users", "0"],
    ["rate", "--port", "1", "--path", "/", "--seconds", "1", "--prefix", "p"],
    ["event", "--port", "1", "--path", "/", "--users", "1", "--prefix", "p", "--coupons", "1"]))
def test_what_it_does_not_understand_is_refused_with_its_use(arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False,
                          timeout=TIMEOUT_S)
    assert done.returncode == 2 and "use: load-client MODE" in done.stderr and not done.stdout
