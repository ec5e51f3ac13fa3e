"""tests/prove: its table, its shares of time, and that a proof which tells nothing is no proof."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "prove"
sys.path.insert(0, str(FOLDER))
from proofs import PROOFS, Proof  # noqa: E402  they lie in tests/prove
from record import BEGIN, END, Row, recorded  # noqa: E402

SPEC = importlib.util.spec_from_file_location("prove_run", FOLDER / "run.py")
prove = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(prove)

DOCUMENT = f"before\n\n{BEGIN}\n{END}\n\nafter\n"


def row(name, figures="3 cuts", kept=True):
    return Row(name, figures, kept, 60, "abc1234", "2026-01-31")


def test_a_row_is_put_in_and_put_in_again():
    once = recorded(DOCUMENT, row("power"))
    assert "| power | 3 cuts | yes | 60 s | abc1234 | 2026-01-31 |" in once
    both = recorded(once, row("kill"))
    again = recorded(both, row("power", "4 cuts"))
    assert "3 cuts" in both and again.count("| power |") == 1 and "| power | 4 cuts" in again
    assert again.startswith("before") and again.endswith("after\n") and "| kill | 3 cuts" in again


def test_a_document_without_marks_is_refused():
    with pytest.raises(ValueError):
        recorded("no marks", row("power"))


def test_minutes_are_shared_out():
    proofs = [Proof("a", "", 1, None, None, ()), Proof("b", "", 3, None, None, ())]
    assert prove.budgets(proofs, 8) == {"a": 120, "b": 360}
    assert prove.budgets(proofs, None) == {"a": None, "b": None}


def test_what_keeps_one_core_busy_runs_beside_another_and_has_the_time_of_both():
    proofs = [Proof(name, "", 1, None, None, (), cores=1) for name in ("a", "b")]
    assert prove.budgets(proofs, 8) == {"a": 480, "b": 480}


def test_proofs_of_one_core_run_side_by_side(made, tmp_path, monkeypatch):
    """Each waits for the other to have begun."""
    monkeypatch.setattr(prove.os, "cpu_count", lambda: 2)
    script = ('touch {folder}/{me}; until test -e {folder}/{other}; do sleep 0.01; done; '
              'echo "{{\\"n\\": 1}}" > "$2"')
    proofs = []
    for me, other in (("a", "b"), ("b", "a")):
        words = ["sh", "-c", script.format(folder=tmp_path, me=me, other=other), "sh"]
        proofs.append(Proof(me, "", 1, lambda *_, words=words: words, json.dumps, ("n",), cores=1))
    rows = []
    prove.run_all(proofs, 1, rows.append)
    assert sorted(row.name for row in rows) == ["a", "b"] and all(row.kept for row in rows)


def test_names_are_patterns():
    assert prove.read_arguments(["fuzz-*"]).proofs == ["fuzz-*"]
    with pytest.raises(SystemExit):
        prove.read_arguments(["fuzz"])


def test_every_proof_has_a_name_of_its_own_and_a_command():
    names = [proof.name for proof in PROOFS]
    assert len(set(names)) == len(names)
    for proof in PROOFS:
        for seconds in (None, 30):
            assert proof.command(Path("build"), seconds), proof.name


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Runs a proof that is a shell script; `$2` is the file of its result."""
    monkeypatch.setattr(prove, "KEPT", tmp_path)

    def make(script, budget=None):
        proof = Proof("it", "", 1, lambda *_: ["sh", "-c", script, "sh"], json.dumps, ("n",))
        return prove.run_proof(proof, budget, "abc1234")
    return make


def test_a_proof_is_kept_broken_or_tells_nothing(made):
    kept = made('echo "{\\"n\\": 1}" > "$2"')
    assert kept.kept and kept.figures == '{"n": 1}'
    assert not made('echo "{\\"n\\": 1}" > "$2"; exit 1').kept
    for script in ("true", "exit 2", 'echo "{}" > "$2"; exit 2', 'echo no > "$2"'):
        nothing = made(script)
        assert not nothing.kept and nothing.figures.startswith("told nothing")


def test_a_proof_whose_time_is_up_tells_what_it_has(made):
    told = made('trap \'echo "{\\"n\\": 2}" > "$2"; exit 0\' TERM; while :; do sleep 0.05; done', 0.3)
    assert told.kept and told.figures == '{"n": 2}'


def test_a_run_that_tried_nothing_is_not_kept_and_takes_no_row(made):
    for result in ("{}", '{\\"n\\": 0}'):
        nothing = made(f'echo "{result}" > "$2"')
        assert not nothing.kept and not nothing.counts and "tried nothing: n 0" in nothing.figures


def test_violations_are_broken_whatever_the_exit_code_says(made):
    for code in (0, 1):
        broken = made(f'echo "{{\\"n\\": 3, \\"violations\\": 1}}" > "$2"; exit {code}')
        assert not broken.kept and broken.counts


def test_a_run_that_was_cut_short_says_so_and_breaks_nothing_that_it_did_not_find(made):
    told = made('echo "{\\"n\\": 2, \\"complete\\": false}" > "$2"')
    assert told.kept and told.figures.endswith("; cut short")
    cut = made('trap \'echo "{\\"n\\": 2}" > "$2"; exit 1\' TERM; while :; do sleep 0.05; done', 0.3)
    assert not cut.kept and not cut.counts


@pytest.fixture
def document(made, tmp_path, monkeypatch):
    """Runs ./dev prove with one proof, a shell script; returns the document afterwards."""
    path = tmp_path / "reliability.md"
    path.write_text(recorded(DOCUMENT, row("it", "the run before")))
    monkeypatch.setattr(prove, "DOCUMENT", path)
    monkeypatch.setattr(sys, "argv", ["prove"])

    def run(script):
        proof = Proof("it", "", 1, lambda *_: ["sh", "-c", script, "sh"], json.dumps, ("n",))
        monkeypatch.setattr(prove, "PROOFS", [proof])
        code = prove.main()
        return code, path.read_text()
    return run


def test_a_row_names_the_commit_that_all_began_with(document, monkeypatch):
    commits = iter(["before", "after"])
    monkeypatch.setattr(prove, "commit", lambda: next(commits))
    assert "| before |" in document('echo "{\\"n\\": 1}" > "$2"')[1]


def test_a_promise_that_was_broken_stands_in_the_document(document):
    code, text = document('echo "{\\"n\\": 1, \\"violations\\": 2}" > "$2"; exit 1')
    assert code == 1 and "the run before" not in text and "| NO |" in text


@pytest.mark.parametrize("script", ["exit 2", 'echo "{}" > "$2"', 'echo "{}" > "$2"; exit 1'])
def test_a_proof_that_could_not_run_leaves_the_row_of_the_one_before(document, script):
    code, text = document(script)
    assert code == 1 and "the run before" in text and "| NO |" not in text


FIGURES = {  # a result of each proof, as its program writes it; what is not here is 0
    "sim": {"seeds": 1, "claims": 1, "fault_kinds": 1, "issues": 1, "starts": 1, "violations": 0},
    "coverage": {"tests": 1, "branches": 1, "branches_all_percent": 99.0},
    "fuzz": {"executions": 5, "findings": 0, "quiet_cpu_seconds_min": 3620},
    "mutation": {"sample": 5, "killed": 4, "survived": 1, "equivalent": 0, "same_code": 0,
                 "unjudged": 0, "score_percent": 80.0, "score_of_all_percent": 80.0,
                 "judged_seconds": 7200},
    "slow": {"connections": 5000, "worst_times": 1.1, "worst_times_of_quiet": 6.0,
             "violations": 0},
}


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_each_figure_that_a_proof_needs_is_missed(proof):
    result = FIGURES.get(proof.name) or FIGURES.get(proof.name.partition("-")[0], {})
    result = {**{key: 1 for key in proof.checked}, **{key: 0 for key in proof.broken}, **result}
    assert proof.checked
    assert prove.told(proof, result, 0, False)[1:] == (True, True)
    for key in proof.checked:
        assert not prove.told(proof, {**result, key: 0}, 0, False)[1], key
    for key in proof.broken:
        assert not prove.told(proof, {**result, key: 1}, 0, False)[1], key


def test_in_half_the_time_every_second_call_fails_and_every_event_is_cut():
    faults, images = (next(proof for proof in PROOFS if proof.name == name)
                      for name in ("faults", "images"))
    assert faults.command(Path("build"), None)[-2:] == ["--every", "1"]
    assert faults.command(Path("build"), 30 * faults.minutes)[-2:] == ["--every", "2"]
    full, part = (int(images.command(Path("build"), seconds)[-1]) for seconds in (None, 60))
    assert 0 < part < full


def test_a_part_that_did_not_run_is_told_as_none():
    malloc, = (proof for proof in PROOFS if proof.name == "malloc")
    assert "0 runs of its start" in malloc.tell({"in_process_runs": 3})
