"""Some rounds of each crash loop (run.py runs as many as one likes), and proof that they can fail."""

import argparse
import collections
import importlib.util
import json
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from kill import distributed, embedded
from kill.history import judge, record_of_folder
from kill.victim import EMBEDDED, NAMES, STARTING
from servers import cluster

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED_ROUNDS = 15
DISTRIBUTED_ROUNDS = 3


@pytest.fixture
def folder(programs):
    folder = embedded.Folder(programs)
    yield folder
    folder.remove()


@pytest.mark.gate
def test_an_embedded_server_killed_again_and_again_keeps_what_it_told(folder, seeded):
    tally, figures = collections.Counter(), {}
    for _ in range(EMBEDDED_ROUNDS):
        assert embedded.play_round(folder, seeded, tally, figures) == []
    assert embedded.end_folder(folder) == []
    print(tally, figures)
    assert figures["issues"] > 100
    assert len(tally) > 3


@pytest.mark.gate
@pytest.mark.parametrize("name", sorted({**EMBEDDED, **STARTING}))
def test_every_failpoint_of_the_embedded_server_ends_it(folder, seeded, name):
    folder.start()
    operator = folder.operator()
    coupon = operator.create(200)["id"]
    folder.coupons.append(coupon)
    folder.server.bury()
    folder.server.arm(name, 1)
    if name in STARTING:
        assert not folder.server.start_to_die()
    else:
        folder.start()
        operator = folder.operator()
        crowd = folder.crowd([coupon], 1)
        operator.change(coupon, total=300)
        operator.create(10)
        assert folder.server.is_dead(30)
        folder.server.bury()
        folder.logs += crowd.end()
    folder.log.crash()
    assert folder.server.was_hit()
    assert folder.judge().violations == []
    folder.start()  # on what it left


@pytest.mark.gate
def test_the_failpoints_in_the_source_are_those_that_are_killed_at():
    found = set()
    for path in (ROOT / "src").rglob("*.c"):
        found |= set(re.findall(r'FAILPOINT\("([^"]+)"\)', path.read_text()))
    assert found == set(NAMES)


def cases():
    """Each mode with each ledger; those of every run have one of the two."""
    for mode, ledger, every in (("sql", "postgres", True), ("sql", "mysql", False),
                                ("redis", "mysql", True), ("redis", "postgres", False)):
        yield pytest.param(mode, ledger, id=f"{mode}-{ledger}",
                           marks=[pytest.mark.gate] if every else [])


@pytest.mark.parametrize("mode, ledger", cases())
def test_nodes_and_workers_killed_again_and_again_keep_what_they_told(programs, seeded, mode,
                                                                      ledger):
    why = cluster.missing(programs.coupon, mode, ledger, proxy=False)
    if why:
        pytest.skip(f"NOT TESTED: {why}")
    tally, figures = collections.Counter(), {}
    with distributed.Stage(programs, mode, ledger) as stage:
        for _ in range(DISTRIBUTED_ROUNDS):
            assert distributed.play_round(stage, seeded, tally, figures) == []
        assert stage.verify() == []
    print(tally, figures)
    assert figures["issues"] > 10


@pytest.mark.gate
def test_rounds_in_which_nothing_was_issued_have_tried_nothing(programs, tmp_path):
    made_of = importlib.util.spec_from_file_location(  # other folders have a run.py, too
        "crash_run", Path(__file__).with_name("run.py"))
    run = sys.modules["crash_run"] = importlib.util.module_from_spec(made_of)
    made_of.loader.exec_module(run)
    options = argparse.Namespace(build=programs.coupon.parents[2], seed=1,
                                 result=tmp_path / "result")
    made = run.Run(options, "kill-embedded")
    made.did([])
    assert made.conclude() == 1
    assert json.loads(options.result.read_text())["rounds"] == 1
    made.figures["issues"] = 1
    assert made.conclude() == 0
    made.did(["a violation"])
    assert made.conclude() == 1


# ---- that it can fail ------------------------------------------------------------------------

def told_something(folder):
    """A server that has told at least 30 successes, dead; its coupon."""
    folder.start()
    coupon = folder.operator().create(400)["id"]
    crowd = folder.crowd([coupon], 1)
    while count_told(crowd) < 30:
        assert not folder.server.is_dead(0.01)
    folder.server.bury()
    folder.log.crash()
    folder.logs += crowd.end()
    assert folder.judge().violations == []
    return coupon


def count_told(crowd):
    return sum(Path(path).read_text().count(" issued ") for path in crowd.logs
               if Path(path).exists())


def codes(judgement):
    return {sentence.split(":")[0] for sentence in judgement.violations}


@pytest.mark.gate
def test_a_log_of_the_ledger_that_is_lost_is_noticed(folder):
    told_something(folder)
    (folder.data / "coupon.db-wal").unlink()
    assert {"change-lost", "success-lost"} & codes(folder.judge())


@pytest.mark.gate
def test_an_issue_that_is_lost_is_noticed(folder):
    coupon = told_something(folder)
    spoil(folder, "DELETE FROM coupon_issues WHERE rank_no = 30")
    assert {"ranks-gap", "success-lost"} <= codes(folder.judge())
    assert coupon


@pytest.mark.gate
def test_an_issue_that_was_given_to_another_is_noticed(folder):
    told_something(folder)
    spoil(folder, "UPDATE coupon_issues SET user_id = 'mallory' WHERE rank_no = 7")
    assert "nobody-asked" in codes(folder.judge())


@pytest.mark.gate
def test_ranks_in_another_order_are_noticed(folder):
    told_something(folder)
    spoil(folder, "UPDATE coupon_issues SET rank_no = rank_no + 1000",
          "UPDATE coupon_issues SET rank_no = 1 + (SELECT max(rank_no) FROM coupon_issues) - rank_no")
    assert "success-other" in codes(folder.judge())


def spoil(folder, *statements):
    with sqlite3.connect(folder.data / "coupon.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


@pytest.mark.gate
def test_a_record_is_read_without_touching_the_folder(folder, tmp_path):
    told_something(folder)
    before = {path.name: path.read_bytes() for path in folder.data.iterdir() if path.is_file()}
    record_of_folder(folder.data, tmp_path / "record")
    assert before == {path.name: path.read_bytes() for path in folder.data.iterdir()
                      if path.is_file()}
    assert judge(folder.programs, folder.logs, tmp_path / "record", shared=False).violations == []
    shutil.rmtree(tmp_path)
