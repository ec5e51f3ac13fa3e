"""The short form of run.py: every kind of failure, at calls spread over the whole script; and that
each of the checkers can fail.

COUPON_IO_PROGRAMS is the folder of io-faults, io-images and io-preload.so, COUPON_BINARY the
server. About 25 s of one core.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import process
import pytest

PROGRAMS = Path(os.environ.get("COUPON_IO_PROGRAMS", "build/debug/tests/crash/io")).resolve()
PRELOAD = PROGRAMS / "io-preload.so"
MODES = 3
KINDS = ["vfs-any", "vfs-memory", "vfs-full", "vfs-full-half", "vfs-write-half", "vfs-sync",
         "vfs-read", "vfs-lock", "system-any", "system-full", "system-full-half", "system-short",
         "system-sync", "memory"]


def run(tmp_path, program, *arguments):
    """Exit code, figures, and what it said."""
    result = tmp_path / "result"
    done = subprocess.run([PROGRAMS / program, *map(str, arguments), "--result", result],
                          capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(result.read_text()), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_breaks_no_promise(tmp_path, kind):
    code, figures, said = run(tmp_path, "io-faults", "--kind", kind, "--runs", 1)
    assert code == 0, said
    assert figures["violations"] == 0 and figures["complete"]
    assert figures["faults"] >= MODES, figures


def test_every_sync_that_fails_once_breaks_no_promise(tmp_path):
    code, figures, said = run(tmp_path, "io-faults", "--kind", "vfs-sync", "--mode", "once")
    assert code == 0, said
    assert figures["faults"] > 50 and figures["unknown"] > 10, figures


def test_a_power_cut_loses_nothing_that_was_told(tmp_path):
    code, figures, said = run(tmp_path, "io-images", "--images", 100)
    assert code == 0, said
    assert figures["images"] == 100 and figures["images_of_openings"] > 5, figures


def numbers_of(kind):
    return {"io": (1, 12, 60, 160, 185), "full": (2, 70, 90), "full-half": (3, 20), "short": (4,),
            "sync": (3, 14), "memory": (12, 78, 160, 243, 398), "memory-start": (1200, 5600)}[kind]


@pytest.mark.parametrize("kind,number", [(kind, number) for kind in process.KIND
                                         for number in numbers_of(kind)])
def test_a_server_on_a_failing_disk_says_what_is_true(kind, number):
    of = process.KIND[kind]
    assert process.run_case(PRELOAD, of, number, ever=number % 2 == 0 and of.error != process.MEMORY)


def test_an_answer_that_lacks_what_it_must_have_is_a_violation(monkeypatch):
    monkeypatch.setattr(process.Case, "run", lambda self: {}["issue"])
    with pytest.raises(process.Violation, match="issue"):
        process.run_case(PRELOAD, process.KIND["memory"], 1, ever=False)


# ---- what such runs have found ----------------------------------------------------------------

@pytest.fixture
def case():
    """A server whose fault never comes, with a few issues."""
    made = process.Case(PRELOAD, process.KIND["io"], 10**9, ever=False)
    assert made.spawn()
    made.create("open", None)
    made.claim_all("open", [f"u{i}" for i in range(30)], "key")
    yield made
    made.close()


def every_failure(case, operations, *arguments):
    """What `coupon` says, for each call of these operations that fails once."""
    for number in range(1, 500):
        fault = case.fault
        fault.operations = sum(1 << process.OPERATIONS.index(one) for one in operations)
        fault.calls = fault.hits = 0
        fault.error, fault.half, fault.first, fault.last = process.IO, 0, number, number
        done = process.coupon.run(*arguments, env={"LD_PRELOAD": str(PRELOAD),
                                                   "COUPON_FAULT_FILE": str(case.control)})
        if fault.hits == 0:
            break
        yield done
    assert done.returncode == 0, done.stderr


def test_a_disk_that_cannot_read_is_not_called_a_damaged_record(case):
    case.stop()
    failures = list(every_failure(case, ["read"], "verify", "--data", case.data))
    assert len(failures) > 5
    for done in failures:
        assert done.returncode == 2, done.stdout + done.stderr
        assert "put a backup back" not in done.stdout + done.stderr


def test_a_backup_that_fails_gives_the_reason_that_is_true(case):
    copy = case.folder / "files" / "copy"
    failures = []
    for done in every_failure(case, ["size", "access", "open", "read"], "backup", "--data",
                              case.data, "--to", copy):
        made = done.returncode == 0 or "the copy in" in done.stderr  # and could not be read again
        assert (copy / "coupon.db").exists() == made, done.stderr
        shutil.rmtree(copy, ignore_errors=True)
        failures += [done.stderr] if done.returncode else []
    assert len(failures) > 10
    for said in failures:
        for false in ("lies in it", "is not empty", "there is no", "put a backup back"):
            assert false not in said, said


def test_a_first_page_torn_while_it_was_folded_is_read_from_the_log(case):
    case.claim_batch("open", [f"many{i}" for i in range(500)])  # the file grows: page 1 is written
    case.server.kill()
    assert (case.data / "coupon.db-wal").stat().st_size > 0
    with open(case.data / "coupon.db", "r+b") as file:
        file.write(os.urandom(512))
    case.judge_record()


# ---- a run that did not happen is no success -------------------------------------------------

FULL = Path(__file__).with_name("run.py")


def full_run(tmp_path, part, script):
    """run.py on a build whose programs are this shell script; `$r` is the file for the figures."""
    folder = tmp_path / "tests" / "crash" / "io"
    folder.mkdir(parents=True)
    for name in ("io-faults", "io-images"):
        (folder / name).write_text(f'#!/bin/sh\nfor r in "$@"; do :; done\n{script}\n')
        (folder / name).chmod(0o755)
    result = tmp_path / "result"
    done = subprocess.run([sys.executable, FULL, part, "--build", tmp_path, "--result", result],
                          capture_output=True, text=True, check=False, timeout=60)
    return done, json.loads(result.read_text())


@pytest.mark.parametrize("part", ["images", "faults"])
@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_program_that_tells_nothing_has_not_kept_anything(tmp_path, part, code):
    done, figures = full_run(tmp_path, part, f"exit {code}")
    assert done.returncode == 1 and not figures["complete"], done.stderr
    assert f"ended with {code}" in done.stderr


@pytest.mark.parametrize("struck,code", [(3, 0), (2, 1), (0, 1)])
def test_every_kind_of_failure_must_have_met_a_call(tmp_path, struck, code):
    told = {"kinds_and_modes": 3, "kinds_and_modes_struck": struck, "violations": 0,
            "complete": True}
    done, _ = full_run(tmp_path, "faults", f"echo '{json.dumps(told)}' > $r")
    assert done.returncode == code, done.stderr


def test_there_is_no_mode_that_strikes_nothing(tmp_path):
    done = subprocess.run([PROGRAMS / "io-faults", "--mode", "twice"], capture_output=True,
                          check=False, timeout=60)
    assert done.returncode == 2


# ---- the checkers can fail -------------------------------------------------------------------

def test_a_refusal_taken_for_a_success_is_noticed(tmp_path):
    code, figures, said = run(tmp_path, "io-faults", "--kind", "vfs-full", "--mode", "once",
                              "--runs", 4, "--plant")
    assert code == 1 and figures["violations"] > 0, said
    assert "the record is not what was told" in said or "is published" in said, said


def test_a_sync_that_does_nothing_is_noticed(tmp_path):
    code, figures, said = run(tmp_path, "io-images", "--images", 60, "--lie")
    assert code == 1 and figures["violations"] > 0, said
    assert "it is not what was told" in said or "the record is not there" in said, said


def test_a_disk_that_forgets_what_it_said_it_wrote_is_noticed():
    lying = process.Kind("lie", ("write",), process.LIE, at_start=False)
    with pytest.raises(process.Violation):
        process.run_case(PRELOAD, lying, 3, ever=True)


def test_a_server_whose_refusal_was_a_success_is_noticed():
    full = process.Kind("full", ("write",), process.FULL, at_start=False)
    with pytest.raises(process.Violation):
        process.run_case(PRELOAD, full, 5, ever=True, plant=True)
