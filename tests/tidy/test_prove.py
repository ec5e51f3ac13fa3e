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
    proofs = [Proof("a", "", 1, None, None), Proof("b", "", 3, None, None)]
    assert prove.budgets(proofs, 8) == {"a": 120, "b": 360}
    assert prove.budgets(proofs, None) == {"a": None, "b": None}


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
        proof = Proof("it", "", 1, lambda *_: ["sh", "-c", script, "sh"], json.dumps)
        return prove.run_proof(proof, budget)
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
