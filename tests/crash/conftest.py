"""The crash tests run what was built with -Dfailpoints=true in COUPON_CRASH_BUILD (default
build/debug)."""

import os
import random
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]


@pytest.fixture(scope="session")
def programs():
    from kill.history import Programs
    return Programs(os.environ.get("COUPON_CRASH_BUILD", HERE.parents[1] / "build" / "debug"))


@pytest.fixture
def seeded(request):
    """Its seed is printed when the test fails; COUPON_TEST_SEED gives it again."""
    seed = int(os.environ.get("COUPON_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    return random.Random(f"{seed} {request.node.name}")
