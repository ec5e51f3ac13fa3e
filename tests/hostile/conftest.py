"""The hard cases run against the real binary named by COUPON_BINARY (default build/coupon)."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "e2e")]

import framing  # noqa: E402  in this folder
import stage  # noqa: E402
from support.server import BINARY, Server  # noqa: E402  in tests/e2e/


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no binary at {BINARY}: build it, or name it with COUPON_BINARY", 2)
    stage.raise_descriptor_limit(20000)


@pytest.fixture(scope="module")
def prepared_server(tmp_path_factory):
    """A ready server with the coupon of the cases."""
    server = Server(str(tmp_path_factory.mktemp("hostile") / "data"))
    try:
        framing.prepare(server.start())
        yield server
    finally:
        server.end()
