"""The load test: that it runs, and that its comparison would notice what it is there for."""

import json
import sys

import pytest

from support.load_test import FOLDER, judgement, needs_locust, run
from support.server import BINARY

sys.path.insert(0, FOLDER)

import compare  # noqa: E402  it lies in load-test/

pytestmark = pytest.mark.embedded("the comparison, and a server of its own")

QUANTITY = 3
HONEST = [{"user": "a", "answer": "issued", "rank": 1},
          {"user": "b", "answer": "issued", "rank": 2},
          {"user": "a", "answer": "already-issued", "rank": 1},
          {"user": "c", "answer": "issued", "rank": 3},
          {"user": "d", "answer": "sold-out"}]
ROWS = [(1, "a"), (2, "b"), (3, "c")]


def told_of(*answers):
    told = compare.Told()
    for answer in answers:
        told.add(json.dumps(answer))
    return told


def disagreements(findings):
    return [finding.what for finding in findings if not finding.agrees]


def with_record(answers, rows=ROWS, quantity=QUANTITY):
    return disagreements(compare.compare_with_record(told_of(*answers), rows, quantity))


def test_an_honest_story_agrees_with_its_record():
    assert with_record(HONEST) == []
    assert disagreements(compare.compare_with_count(told_of(*HONEST), 0, 3, QUANTITY)) == []


def test_a_crowd_smaller_than_the_quantity_gets_one_each():
    assert with_record(HONEST[:4], quantity=9) == []


@pytest.mark.parametrize("lost", ["failed", "cut-off", "admitted"])
def test_a_lost_answer_may_have_been_an_issue_or_not(lost):
    answers = HONEST[:3] + [{"user": "e", "answer": lost}]
    assert with_record(answers, ROWS[:2], quantity=9) == []
    assert with_record(answers, [*ROWS[:2], (3, "e")], quantity=9) == []


@pytest.mark.parametrize("rows, quantity, what", [
    (ROWS, 2, "issued, of what there was to issue"),
    (ROWS, 4, "issued, of what there was to issue"),
    (ROWS[:2], 3, "issued, of what there was to issue"),
    ([(1, "a"), (2, "b"), (4, "c")], 3, "ranks 1, 2, 3 … without gaps"),
    ([(1, "a"), (2, "b"), (3, "a")], 3, "users who hold two"),
    ([(1, "b"), (2, "a"), (3, "c")], 3, "told as issued, and recorded so"),
    ([(1, "a"), (2, "b"), (3, "x")], 3, "told as issued, and recorded so"),
    ([(1, "a"), (2, "b"), (3, "x")], 3, "recorded, though nobody was told"),
    ([(1, "a"), (2, "b"), (3, "d")], 3, "told sold out, and yet recorded"),
])
def test_a_record_that_is_not_what_was_told_is_noticed(rows, quantity, what):
    assert what in with_record(HONEST, rows, quantity)


@pytest.mark.parametrize("answer, what", [
    ({"user": "a", "answer": "issued", "rank": 1}, "users told of a first issue twice"),
    ({"user": "e", "answer": "issued", "rank": 2}, "ranks told to two users"),
    ({"user": "a", "answer": "already-issued", "rank": 2}, "other answers on asking again"),
    ({"user": "a", "answer": "sold-out"}, "other answers on asking again"),
    ({"user": "a", "answer": "already-issued", "rank": 1, "told_user": "b"},
     "answers about somebody else"),
])
def test_a_story_that_contradicts_itself_is_noticed(answer, what):
    assert what in with_record([*HONEST, answer])
    told = told_of(*HONEST, answer)
    assert what in disagreements(compare.compare_with_count(told, 0, 3, QUANTITY))


@pytest.mark.parametrize("before, after, quantity", [(0, 4, 4), (0, 2, 3), (0, 3, 4), (1, 3, 4)])
def test_a_count_that_is_not_what_was_told_is_noticed(before, after, quantity):
    findings = compare.compare_with_count(told_of(*HONEST), before, after, quantity)
    assert disagreements(findings) != []


def test_a_table_shows_what_disagrees():
    findings = compare.compare_with_record(told_of(*HONEST), ROWS[:2], QUANTITY)
    table = compare.findings_table(findings)
    assert "NO" in table and "c was told rank 3, the record says nothing" in table


@needs_locust
def test_a_short_run_agrees_with_the_record(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clients and record agree" in done.stdout and "claim: sold-out" in done.stdout
    judged = judgement(tmp_path)
    assert judged["answers"]["issued"] == 50 and "failed" not in judged["answers"]
    assert judged["answers"]["already-issued"] > 0
    for name in ("locust.html", "locust_stats.csv", "told/worker-1.ndjson", "told/worker-2.ndjson"):
        assert (tmp_path / name).stat().st_size > 0


@needs_locust
def test_a_record_changed_behind_the_servers_back_ends_the_run_with_1(tmp_path):
    forger = tmp_path / "forger"
    forger.write_text("""#!/bin/sh
if [ "$1" = verify ]; then
    sqlite3 "$3/coupon.db" "UPDATE coupon_issues SET user_id = 'mallory' WHERE rank_no = 7"
fi
exec %s "$@"
""" % BINARY)
    forger.chmod(0o755)
    done = run(tmp_path, binary=forger)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "was told rank 7, the record says nothing" in done.stdout
    assert "rank 7 of mallory: nobody was told" in done.stdout


@pytest.mark.parametrize("arguments", [
    ["--target", "http://127.0.0.1:1"], ["--coupon", "1"], ["--duration", "0s"],
    ["--quantity", "0"], ["--users", "1"]])
def test_arguments_that_do_not_go_together_are_refused(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 2 and "usage: ./dev load-test" in done.stderr
