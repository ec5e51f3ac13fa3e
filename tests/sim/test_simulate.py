#!/usr/bin/python3
"""The simulation of the embedded server: that it finds nothing, and that it would.

COUPON_SIMULATE names the program. Each planted bug must be found within 1,000 seeds, a seed must
give one trace whatever runs beside it, and a seed that failed must fail again in the same words.
"""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

SIMULATE = os.environ.get("COUPON_SIMULATE")
SEEDS = 1500
FAULT_KINDS_MIN = 40
BUG_SEEDS_MAX = 1000


def simulate(*arguments, timeout=300):
    return subprocess.run([SIMULATE, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout)


def planted_bugs():
    """Their names, as the program tells them."""
    if not SIMULATE:
        return []
    return simulate("--bug", "?").stderr.split("planted bugs:")[1].split()


def test_the_program_is_there():
    assert SIMULATE and Path(SIMULATE).is_file(), "COUPON_SIMULATE must name the program"
    assert len(planted_bugs()) >= 20


def test_no_promise_is_broken_and_the_faults_are_hit(tmp_path):
    result_path = tmp_path / "result.json"
    run = simulate("--seeds", SEEDS, "--jobs", 2, "--result", result_path)
    assert run.returncode == 0, run.stdout[-4000:]
    result = json.loads(result_path.read_text())
    assert result["part"] == "sim"
    assert (result["seeds"], result["violations"]) == (SEEDS, 0)
    assert result["fault_kinds"] >= FAULT_KINDS_MIN
    assert result["issues"] > 10 * SEEDS


@pytest.mark.parametrize("bug", planted_bugs())
def test_a_planted_bug_is_found(bug):
    run = simulate("--seeds", BUG_SEEDS_MAX, "--bug", bug)
    assert run.returncode == 1, f"not found in {BUG_SEEDS_MAX} seeds"
    assert re.search(r"^seed \d+: VIOLATION: ", run.stdout, re.MULTILINE)


def test_a_seed_gives_one_trace():
    for seed in (3, 44, 1001):
        first, second = simulate("--seed", seed), simulate("--seed", seed)
        assert first.stdout == second.stdout
        assert re.search(r"trace hash [0-9a-f]{16}$", first.stdout.strip())


def test_seeds_do_not_depend_on_what_ran_before_them():
    hashes = {re.search(r"hash of all traces: (\w+)", run.stdout).group(1)
              for run in (simulate("--seeds", 120, "--jobs", jobs) for jobs in (1, 3))}
    assert len(hashes) == 1


def test_a_seed_that_failed_fails_again_in_the_same_words():
    found = simulate("--seeds", BUG_SEEDS_MAX, "--bug", "fsync-skipped").stdout
    seed, violation = re.search(r"^seed (\d+): VIOLATION: (.*)$", found, re.MULTILINE).groups()
    assert f"simulate --seed {seed} --bug fsync-skipped" in found
    again = simulate("--seed", seed, "--bug", "fsync-skipped")
    assert again.returncode == 1
    assert f"VIOLATION: {violation}" in again.stdout
    assert simulate("--seed", seed).returncode == 0


def test_it_ends_with_what_it_has_when_it_is_told_to(tmp_path):
    result_path = tmp_path / "result.json"
    with subprocess.Popen([SIMULATE, "--seconds", "600", "--result", result_path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()  # the first word of progress
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(result_path.read_text())["seeds"] > 0


def test_a_job_that_is_lost_is_no_promise_kept(tmp_path):
    result_path = tmp_path / "result.json"
    with subprocess.Popen([SIMULATE, "--seconds", "600", "--jobs", "2", "--result", result_path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        jobs = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(jobs[0]), signal.SIGKILL)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "VIOLATION: its job was ended, by signal 9" in told
    assert json.loads(result_path.read_text())["violations"] == 1


@pytest.mark.parametrize("arguments", [("--seed", "x"), ("--seeds", "0"), ("--bug", "no-such"),
                                       ("--jobs", "0"), ("more",), ("--no-such-option",)])
def test_wrong_use_is_told(arguments):
    run = simulate(*arguments)
    assert run.returncode == 2
    assert "usage" in run.stderr
