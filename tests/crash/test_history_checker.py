"""The program history-checker: its lines, its exit codes. (The judgement itself is tested in
tests/sim/checker.)"""

import subprocess

import pytest

from kill.history import judge

pytestmark = pytest.mark.gate

LOG = """create 1 10 0 2 0 1000
changed 1 20 done 5 1
claim 2 30 5 alice key-1
told 2 40 issued 1 500
claim 3 50 5 bob -
told 3 60 issued 2 501
claim 4 70 5 alice key-1
told 4 80 replayed 1 500
claim 5 90 5 carol -
told 5 95 sold-out 0 0
patch 6 100 5 total=3 paused=1
changed 6 110 done 5 2
claim 7 120 5 carol -
told 7 130 paused 0 0
claim 8 140 5 dave key-9
clock 145 400 600
crash 150
"""
RECORD = """coupon 5 2 2 3 0 1000 1 0
revision 5 1 499 2 0 1000 0 0 1
revision 5 2 502 3 0 1000 1 0 3
issue 5 1 alice key-1 500
issue 5 2 bob - 501
"""


@pytest.fixture
def ask(programs, tmp_path):
    def ask(log=LOG, record=RECORD, flags=()):
        (tmp_path / "log").write_text(log)
        (tmp_path / "record").write_text(record)
        return subprocess.run([programs.checker, *flags, tmp_path / "log", "--record",
                               tmp_path / "record"], text=True, capture_output=True, check=False)
    return ask


def test_a_right_history_is_taken(ask):
    done = ask()
    assert (done.returncode, done.stdout) == \
        (0, "17 events, 6 claims, 2 issues, 0 violations, 0 undecided\n")


@pytest.mark.parametrize("old, new, code", [
    ("issue 5 2 bob - 501", "issue 5 2 eve - 501", "nobody-asked"),
    ("revision 5 2 502 3", "revision 5 2 502 4", "change-other"),
    ("issue 5 1 alice key-1 500", "issue 5 1 alice key-2 500", "key-other"),
    ("coupon 5 2 2", "coupon 5 2 1", "count-wrong"),
])
def test_a_wrong_record_is_told_with_its_code(ask, old, new, code):
    assert old in RECORD
    done = ask(record=RECORD.replace(old, new))
    assert done.returncode == 1
    assert f"{code}: coupon 5: " in done.stdout


def test_a_wrong_answer_is_told_with_its_events(ask):
    done = ask(LOG.replace("told 5 95 sold-out", "told 5 25 sold-out").replace("claim 5 90",
                                                                               "claim 5 22"))
    assert done.returncode == 1
    assert done.stdout.startswith("sold-out-untrue: coupon 5: claim 3 of user carol (asked at 22, "
                                  "told sold-out at 25): ")


def test_a_line_that_was_cut_off_by_a_crash_is_passed_over(ask):
    assert ask(LOG + "claim 9 160 5 er").returncode == 0


@pytest.mark.parametrize("line", [
    "claim 9 160 5 erin", "claim 2 160 5 erin -", "told 99 160 issued 1 500", "nonsense",
    "told 8 160 maybe 0 0", "patch 9 160 5 colour=1", "patch 9 160 5 total=", "crash now",
    "claim 9 160 0 erin -", "changed 1 170 perhaps 5 1", "clock 1 2", "issue 5 x erin - 1", ""])
def test_a_line_that_is_none_is_refused_with_its_place(ask, line):
    done = ask(LOG + line + "\n")
    assert done.returncode == 2
    assert f"log:{LOG.count(chr(10)) + 1}: " in done.stderr


def test_a_block_that_was_never_written_hides_nothing_behind_it(ask, tmp_path):
    """As a cut leaves it: zeros where the file had grown and its bytes were not on the disk."""
    lost = "claim 9 160 5 erin -\ntold 9 170 issued 3 503\n"  # the record has no such issue
    assert ask(LOG + lost).returncode == 1
    done = ask(LOG + "\0" * 40 + "\n" + lost)
    assert done.returncode == 2 and f"log:{LOG.count(chr(10)) + 1}: " in done.stderr
    assert ask(LOG + "\0" * 40).returncode == 0  # at the end nothing can hide


@pytest.mark.parametrize("arguments", [[], ["log"], ["--record", "x"], ["log", "--record"],
                                       ["--no-such", "log", "--record", "x"],
                                       ["/no/such/log", "--record", "/no/such/record"]])
def test_wrong_use_ends_with_2(programs, arguments):
    assert subprocess.run([programs.checker, *arguments], capture_output=True,
                          check=False).returncode == 2


def test_a_cut_off_claim_may_be_issued_later_only_where_nodes_share_a_ledger(ask, programs,
                                                                             tmp_path):
    """dave's claim died with its server at 150; it is issued in what happened after 160."""
    log = LOG + "patch 9 160 5 paused=0\nchanged 9 170 done 5 3\n"
    record = RECORD.replace("coupon 5 2 2 3 0 1000 1 0", "coupon 5 3 3 3 0 1000 0 0") + \
        "revision 5 3 503 3 0 1000 0 0 3\nissue 5 3 dave key-9 504\n"
    assert ask(log, record).returncode == 1
    assert ask(log, record, ["--shared"]).returncode == 0
    assert judge(programs, [tmp_path / "log"], tmp_path / "record", True).figures["issues"] == 3
