"""The load test as a user starts it: ./dev load-test, short."""

import importlib.util
import json
import os
import subprocess

import pytest

from support.server import BINARY

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "load-test")

needs_locust = pytest.mark.skipif(not importlib.util.find_spec("locust"),
                                  reason="python3-locust is not installed")


def run(folder, *arguments, binary=BINARY):
    return subprocess.run(
        ["/usr/bin/python3", os.path.join(FOLDER, "run.py"), "--workers", "2", "--users", "20",
         "--duration", "3s", "--quantity", "50", "--output", str(folder), *arguments],
        env={**os.environ, "COUPON_BINARY": str(binary)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=180)


def judgement(folder):
    return json.loads((folder / "comparison.json").read_text())
