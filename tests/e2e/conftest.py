"""Servers, folders, seeds for the end-to-end tests. They run the real binary named by
COUPON_BINARY (default build/coupon); COUPON_TEST_SCALE makes loads larger or smaller.

COUPON_TEST_LEDGER=postgres or mariadb runs them in SQL mode: every server on a database of its own.
Tests that are about the data folder are marked `embedded`, and are not part of that run."""

import os
import random
import subprocess

import pytest

from support import ledgers
from support.server import BINARY, Server, run

SCALE = float(os.environ.get("COUPON_TEST_SCALE", "1"))
SEED = int(os.environ.get("COUPON_TEST_SEED") or random.SystemRandom().randrange(2**32))
SMALL_DISK_SIZE = 24 << 20  # more than a -wal may have before it is folded


def pytest_report_header(config):
    return "coupon: %s, COUPON_TEST_SCALE=%g, COUPON_TEST_SEED=%d, COUPON_TEST_LEDGER=%s" % (
        BINARY, SCALE, SEED, ledgers.KIND)


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit("no binary at %s: build it, or name it with COUPON_BINARY" % BINARY, 2)
    if ledgers.missing():
        pytest.exit("NOT TESTED: " + ledgers.missing(), 2)
    if ledgers.KIND and "--ledger" not in run("serve", "--help").stdout:
        pytest.exit("NOT TESTED: %s has no SQL mode (coupon serve --ledger)" % BINARY, 2)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    ledgers.end()  # after the fixtures, whose databases are in it


def pytest_collection_modifyitems(config, items):
    """In SQL mode, leaves out what is about the data folder; each says why."""
    embedded = [item for item in items if item.get_closest_marker("embedded")]
    for item in embedded:
        assert len(item.get_closest_marker("embedded").args) == 1, "%s: why?" % item.nodeid
    if ledgers.KIND and embedded:
        config.hook.pytest_deselected(items=embedded)
        left_out = set(embedded)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def randomness(request):
    """Random numbers of this test: the run's seed and the test's name."""
    return random.Random("%d %s" % (SEED, request.node.name))


@pytest.fixture(scope="session")
def scaled():
    """A load's size on this machine: scaled(1000) under COUPON_TEST_SCALE=0.2 is 200."""
    return lambda count: max(1, int(count * SCALE))


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed_call = outcome.get_result().failed


def _show_logs(request, made):
    """With a test that failed, what its servers said."""
    if getattr(request.node, "failed_call", False):
        for server in made:
            print("--- log of the server on %s" % server.data)
            print(server.log())


def _servers(folder):
    made = []

    def make(*flags, data=None, **rest):
        server = Server(str(data or folder / ("data-%d" % len(made))), *flags, **rest)
        made.append(server)
        return server

    return made, make


def _end_all(made):
    errors = []
    for server in made:
        try:
            server.end()
        except BaseException as error:  # end the others first
            errors.append(error)
    for server in made:
        ledgers.drop(server.data)
    if errors:
        raise errors[0]


@pytest.fixture
def new_server(tmp_path, request):
    """Makes servers (not started) that end with the test."""
    made, make = _servers(tmp_path)
    yield make
    _show_logs(request, made)
    _end_all(made)


@pytest.fixture
def server(new_server):
    """A server of the test's own, ready."""
    return new_server().start()


@pytest.fixture
def admin(server):
    with server.admin() as client:
        yield client


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """One ready server for all tests of a file that only ask and refuse."""
    made, make = _servers(tmp_path_factory.mktemp("shared"))
    yield make().start()
    _end_all(made)


@pytest.fixture(scope="module")
def shared_admin(shared_server):
    with shared_server.admin() as client:
        yield client


@pytest.fixture
def small_disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = "size=%d" % SMALL_DISK_SIZE
    command = ["mount", "-t", "tmpfs", "-o", size, "coupon-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip("NOT TESTED: a full disk; there is no mount (%s)" % error)
    if done.returncode != 0:
        pytest.skip("NOT TESTED: a full disk; mounting a tmpfs needs root (%s)"
                    % done.stderr.strip())
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
