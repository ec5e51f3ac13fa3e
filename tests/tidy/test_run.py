"""tests/run.py counts what happened: nothing that went wrong, or did not happen, is green."""

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("run", Path(__file__).parents[1] / "run.py")
run = sys.modules["run"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)


@pytest.fixture
def told(tmp_path):
    """Runs a shell script as a test program: told(script) -> passed, failures, skips."""
    def tell(script, **how):
        outcome = run.run_tap(["sh", "-c", script], tmp_path / "log", "it", **how)
        return outcome.passed, outcome.failures, outcome.skips
    return tell


def test_passed_failed_and_skipped_ones_are_counted(told):
    script = "printf '%s\\n' 1..3 'ok 1 - a' 'not ok 2 - b' 'ok 3 - c # SKIP why'; exit 1"
    assert told(script) == (1, ["it: b"], ["it: why"])


def test_a_skipped_one_as_cmocka_tells_it_is_skipped(told):
    assert told('echo 1..1; echo "not ok 1 # SKIP a"') == (0, [], ["it: a"])


def test_plans_of_several_groups_add_up(told):
    script = "for i in 1 2; do echo 1..1; echo ok 1 - a; echo '# ok - group'; done"
    assert told(script) == (2, [], [])


def test_a_crash_is_a_failure(told):
    assert told("echo 1..2; echo ok 1 - a; kill -SEGV $$") == (
        1, ["it: planned 2 tests, told of 1, ended with -11"], [])


def test_an_exit_code_after_passed_tests_is_a_failure(told):
    assert told("echo 1..1; echo ok 1 - a; exit 99") == (1, ["it: ended with 99"], [])


def test_no_test_at_all_is_a_failure(told):
    assert told("echo 1..0") == (0, ["it: no tests"], [])
    assert told("true") == (0, ["it: no tests"], [])


def test_a_hanging_program_is_a_failure(told):
    passed, failures, _ = told("echo 1..1; echo ok 1 - a; exec sleep 60", seconds=0.2)
    assert passed == 1 and len(failures) == 1 and "stopped after 0.2 s" in failures[0]


def test_a_part_with_a_sanitizer_report_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOGS", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)

    def one_passes(part):
        assert f"log_path={tmp_path}/x.report" in part.environment()["ASAN_OPTIONS"]
        (tmp_path / "x.report.77").write_text("ERROR: LeakSanitizer")
        return run.Outcome(passed=1)

    part = run.Part("x", (), one_passes)
    part.run()
    assert part.outcome.failures == ["sanitizer report x.report.77"]
    assert "LeakSanitizer" in part.log_path.read_text()


def test_a_part_without_tests_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LOGS", tmp_path)
    part = run.Part("x", (), lambda part: run.Outcome())
    part.run()
    assert part.outcome.failures == ["no tests"]


@pytest.mark.parametrize("body, expected", [
    ("def test_a(): pass\ndef test_b(): assert 0", (1, 1, 0)),
    ("import pytest\n@pytest.mark.skip(reason='no root')\ndef test_a(): pass", (0, 0, 1)),
    ("import pytest\n@pytest.fixture\ndef f():\n    yield\n    assert 0\ndef test_a(f): pass",
     (0, 1, 0)),
    ("import os\ndef test_a(): pass\ndef test_b(): os._exit(0)", (0, 1, 0)),
    ("import no_such_module", (0, 1, 0)),
    ("", (0, 1, 0)),
])
def test_pytest_is_counted_from_its_report(tmp_path, monkeypatch, body, expected):
    monkeypatch.setattr(run, "LOGS", tmp_path)
    (tmp_path / "test_it.py").write_text(body + "\n")
    outcome = run.run_pytest(run.Part("x", (), None), [str(tmp_path / "test_it.py")], {})
    assert (outcome.passed, len(outcome.failures), len(outcome.skips)) == expected


def test_fuzz_targets_are_counted_one_by_one(tmp_path):
    path = tmp_path / "fuzz.json"
    path.write_text('{"failed_names": "b", "executions_a": 5, "executions_b": 7, "executions_c": 0}')
    assert run.read_fuzz(path, 1).passed == 1
    assert [name.partition(":")[0] for name in run.read_fuzz(path, 1).failures] == \
        ["fuzz-b", "fuzz-c"]
    path.write_text('{"failed_names": "", "executions_a": 5}')
    assert run.read_fuzz(path, 0).failures == []
    assert run.read_fuzz(path, 2).failures == ["ended with 2"]
    assert run.read_fuzz(tmp_path / "none", 0).failures == ["told nothing, ended with 0"]
