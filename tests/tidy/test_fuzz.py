"""tests/fuzz/run.py: quiet time adds up over the runs of one program, a finding is told whole."""

import base64
import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("fuzz_run", ROOT / "tests" / "fuzz" / "run.py")
fuzz = sys.modules["fuzz_run"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fuzz)

# A program that says what libFuzzer does: it has read a corpus that reaches so many edges, then
# an input reached so many.
SPEAKER = """#!/bin/sh
echo "$@" >&2
echo '#3	INITED cov: {inited} ft: 9 corp: 2/9b' >&2
echo '#900	NEW    cov: {edges} ft: 9 corp: 3/9b' >&2
timeout 1 sh -c 'while :; do :; done'
echo 'stat::number_of_executed_units: 1000' >&2
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "ROOT", tmp_path)
    monkeypatch.setattr(fuzz, "KEPT", tmp_path)
    return tmp_path


def target_saying(kept, **edges):
    program = kept / "program"
    program.write_text(SPEAKER.format(**edges))
    program.chmod(0o755)
    (kept / "tree").mkdir(exist_ok=True)
    return fuzz.Target("speaker", str(program), [], kept / "tree")


def run(kept, quiet=0, seed=None, **edges):
    """One run; before it, `quiet` seconds are set as what earlier ones came to with 50 edges."""
    target = target_saying(kept, **edges)
    if quiet:
        target.folder.mkdir(exist_ok=True)
        target.progress.write_text(json.dumps({
            "program": target.digest(), "executions": 5, "edges": 50, "quiet_seconds": quiet}))
    options = type("Options", (), {"seconds": None, "until_quiet": None, "seed": seed})
    fuzz.run_target(target, options, str(kept), fuzz.threading.Event())
    assert not target.failed(), target.problem
    return target, json.loads(target.progress.read_text())


def test_quiet_time_of_the_same_program_goes_on(kept):
    target, progress = run(kept, quiet=100, inited=50, edges=50)
    assert target.quiet_seconds >= 100 and progress["quiet_seconds"] >= 100
    assert target.all_executions() == progress["executions"] == 1005


def test_a_new_edge_ends_it(kept):
    target, progress = run(kept, quiet=100, inited=50, edges=51)
    assert target.quiet_seconds < 100 and progress["edges"] == 51


def test_an_edge_that_was_known_does_not_end_it(kept):
    """A corpus that reaches less than before is on its way back there."""
    target, progress = run(kept, quiet=100, inited=40, edges=50)
    assert target.quiet_seconds >= 100 and progress["edges"] == 50


def test_a_run_with_a_seed_knows_the_tree_only_and_leaves_what_is_kept(kept):
    (kept / "speaker" / "corpus").mkdir(parents=True)
    (kept / "speaker" / "seeded").mkdir()
    (kept / "speaker" / "seeded" / "of the last run").write_text("")
    target, progress = run(kept, quiet=100, seed=7, inited=40, edges=60)
    assert target.quiet_seconds < 100 and progress["quiet_seconds"] == 100
    assert progress["edges"] == 50 and not list(target.seeded.iterdir())
    words = target.log.read_text()
    assert "-seed=7" in words and str(target.seeded) in words
    assert str(target.found) not in words


def test_another_program_begins_anew(kept):
    target = target_saying(kept, inited=50, edges=50)
    target.folder.mkdir()
    target.progress.write_text(json.dumps({
        "program": "of another", "executions": 5, "edges": 50, "quiet_seconds": 100}))
    assert fuzz.progress_read(target)["quiet_seconds"] == 0


def test_a_finding_is_told_with_its_input(kept):
    target = target_saying(kept, inited=1, edges=1)
    target.folder.mkdir()
    finding = target.folder / "oom-1234"
    finding.write_bytes(b"*2147483647\r\n")
    target.findings = [finding]
    target.log.write_text("INFO\nSUMMARY: libFuzzer: out-of-memory\nMS: 0\n")
    told = fuzz.result_of([target], 1)["why_speaker"]
    assert told.startswith("oom-1234: SUMMARY: libFuzzer: out-of-memory")
    assert base64.b64encode(finding.read_bytes()).decode() in told


def test_what_was_told_reaches_the_summary_of_the_tests(kept):
    """By way of tests/run.py, whose output may be all that is left of a machine."""
    spec = importlib.util.spec_from_file_location("suite", ROOT / "tests" / "run.py")
    suite = sys.modules["suite"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    result = kept / "fuzz.json"
    result.write_text(json.dumps({"failed_names": "speaker", "executions_speaker": 7,
                                  "why_speaker": "oom-1: SUMMARY: x", "executions_other": 7}))
    outcome = suite.read_fuzz(result, 1)
    assert outcome.failures == ["fuzz-speaker: oom-1: SUMMARY: x"] and outcome.passed == 1
