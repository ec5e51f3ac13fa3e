"""The fault cases run the real binary named by COUPON_BINARY (default build/coupon), at
COUPON_TEST_SCALE of 10,000 coupons and 50,000 claims."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


@pytest.fixture
def binary():
    path = os.path.abspath(os.environ.get("COUPON_BINARY", ROOT / "build" / "coupon"))
    assert os.access(path, os.X_OK), f"no binary at {path}: build it, or name it with COUPON_BINARY"
    return path


@pytest.fixture
def scale():
    return float(os.environ.get("COUPON_TEST_SCALE", "1"))


@pytest.fixture
def logs():
    return ROOT / "build" / "faults-logs"
