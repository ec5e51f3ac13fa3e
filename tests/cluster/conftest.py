"""Several processes of coupon behind a proxy. They run the real binary named by COUPON_BINARY
(default build/coupon); the crowd and its checks are those of tests/e2e/support."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

from servers import cluster  # noqa: E402  they lie in tests/
from support.server import BINARY  # noqa: E402  in tests/e2e/


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no binary at {BINARY}: build it, or name it with COUPON_BINARY", 2)


def need(mode, ledger="mysql"):
    """Skips the test where the program or the servers have no such mode."""
    why = cluster.missing(BINARY, mode, ledger)
    if why:
        pytest.skip(f"NOT TESTED: {why}")


@pytest.fixture
def new_cluster():
    """Makes clusters, started, that end with the test."""
    made = []

    def make(mode, ledger="mysql", **how):
        need(mode, ledger)
        made.append(cluster.Cluster(BINARY, mode=mode, ledger=ledger, **how))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.__exit__()
