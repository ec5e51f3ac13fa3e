"""tests/coverage: the runners count what is there, on a program that is small enough to count by
hand."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "coverage"))

import equivalent  # noqa: E402
import gcov  # noqa: E402  they lie in tests/coverage
import judge as judging  # noqa: E402
import mutants  # noqa: E402
import mutate  # noqa: E402
import source  # noqa: E402

PROGRAM = """\
#include <assert.h>
enum colour { RED, GREEN };
enum { LIMIT = 3 };
static int level(enum colour colour, int heat) {
    assert(heat >= 0 &&
           heat < 100);
    switch (colour) {
    case RED:
        return heat > LIMIT ? 2 : 1;
    case GREEN:
        break;
    }
    return 0;
}
int main(int count, char **words) {
    (void)words;
    if (count > 5)
        return level(GREEN, 1);
    return level(RED, 1) - 1;
}
"""


@pytest.fixture
def program(tmp_path):
    """The program below src/engine of a root, built for gcov; run it and look."""
    folder = tmp_path / "build"
    (tmp_path / "src/engine").mkdir(parents=True)
    folder.mkdir()
    (tmp_path / "src/engine/toy.c").write_text(PROGRAM)
    words = ["gcc", "--coverage", "-O0", "-c", "../src/engine/toy.c", "-o", "toy.o"]
    subprocess.run(words, cwd=folder, check=True)
    subprocess.run(["gcc", "--coverage", "toy.o", "-o", "toy"], cwd=folder, check=True)
    (folder / "compile_commands.json").write_text(json.dumps(
        [{"directory": str(folder), "file": "../src/engine/toy.c", "command": " ".join(words)}]))
    source.commands.cache_clear()
    return tmp_path


def counted(root):
    files = gcov.read(root / "build", root, "src")
    assert list(files) == ["src/engine/toy.c"]
    file = files["src/engine/toy.c"]
    gcov.without_assertions(file, PROGRAM)
    gcov.without_no_value(file, source.enum_switches(root / "build", root / "src/engine/toy.c"))
    return file


def test_branches_are_counted_but_those_of_assertions_and_of_no_value(program):
    subprocess.run(["./toy"], cwd=program / "build", check=True)
    file = counted(program)
    assert {line: len(ways) for line, ways in file.branches.items()} == {7: 2, 9: 2, 17: 2}
    assert {line for line, _ in file.missing()} == {7, 9, 17}
    assert (gcov.Figures.of(file).branches, gcov.Figures.of(file).branches_hit) == (6, 3)


def test_what_several_runs_take_adds_up(program):
    for words in ([], ["a"] * 6):
        subprocess.run(["./toy", *words], cwd=program / "build", check=False)
    assert {line for line, _ in counted(program).missing()} == {9}


def test_a_program_that_never_ran_has_taken_nothing(program):
    figures = gcov.Figures.of(counted(program))
    assert (figures.branches, figures.branches_hit, figures.lines_hit) == (6, 0, 0)


def test_objects_of_one_source_are_counted_together():
    file = gcov.File()
    file.add(1, 2, [2, 0])
    file.add(1, 3, [0, 3, 0])
    assert (file.lines[1], file.branches[1], file.missing()) == (5, [2, 3, 0], [(1, 2)])


def test_every_kind_of_mistake_is_made_outside_assertions(program):
    path = "src/engine/toy.c"
    found = mutants.mutants_of(program / "build", program, path)
    texts = {(mutant.line, PROGRAM[mutant.begin:mutant.end], mutant.new.decode())
             for mutant in found}
    assert texts == {
        (9, ">", ">="), (9, "heat > LIMIT", "!(heat > LIMIT)"), (9, "LIMIT", "(LIMIT + 1)"),
        (9, "2", "(2 + 1)"), (9, "2", "(2 - 1)"), (9, "1", "(1 + 1)"), (9, "1", "(1 - 1)"),
        (11, "break", ""), (13, "0", "(0 + 1)"), (17, ">", ">="), (17, "5", "(5 + 1)"),
        (17, "5", "(5 - 1)"), (17, "count > 5", "!(count > 5)"), (18, "GREEN", "RED"),
        (18, "1", "(1 + 1)"), (18, "1", "(1 - 1)"), (19, "RED", "GREEN"), (19, "-", "+"),
        (19, "1", "(1 + 1)"), (19, "1", "(1 - 1)")}
    for mutant in found:
        assert mutant.of(PROGRAM.encode()).count(b"\n") == PROGRAM.count("\n")


def test_a_sample_is_the_same_for_a_seed_and_another_for_another(program, monkeypatch):
    monkeypatch.setattr(mutate, "ROOT", program)
    found = mutants.mutants_of(program / "build", program, "src/engine/toy.c")
    first = mutate.sample_of(found, 5, 1)
    assert first == mutate.sample_of(found, 5, 1) and len(first) == 5
    assert first == mutate.sample_of(found, 9, 1)[:5]
    assert first != mutate.sample_of(found, 5, 2)
    assert len(mutate.sample_of(found, 0, 1)) == len(found)


# ---- mutants that no test can kill ---------------------------------------------------------------

ENTRY = """[[mutant]]
file = "src/engine/toy.c"
function = "level"
old = "return heat > LIMIT ? 2 : 1;"
new = "return heat >=   LIMIT ? 2 : 1;"
why = "nobody asks at the limit"
"""


@pytest.fixture
def listed(program, monkeypatch):
    monkeypatch.setattr(mutate, "ROOT", program)
    path = program / "equivalent.toml"

    def read(text):
        path.write_text(text)
        return equivalent.read(path)
    return read


def toy_mutants(program):
    return mutants.mutants_of(program / "build", program, "src/engine/toy.c")


def test_what_is_listed_and_survives_is_equivalent_and_what_is_killed_is_mislisted(program, listed):
    entries = listed(ENTRY)
    states = Counter()
    for mutant in toy_mutants(program):
        for state in ("survived", "killed"):
            verdict = judging.Verdict(state)
            states[mutate.state_of(mutant, verdict, entries)] += 1
    count = len(toy_mutants(program))
    assert states == {"survived": count - 1, "equivalent": 1, "killed": count - 1, "mislisted": 1}


def test_the_score_is_told_with_and_without_those_that_are_listed():
    figures = mutate.figures_of(Counter(killed=7, timeout=1, survived=2, equivalent=6))
    assert figures["score_percent"] == 80.0 and figures["score_of_all_percent"] == 50.0
    assert figures["killed"] == 8 and figures["survived"] == 2 and figures["equivalent"] == 6


@pytest.mark.parametrize("text", [
    "[[mutant]]\n", "no", ENTRY.replace("nobody asks at the limit", " "),
    ENTRY + "because = 'of this'\n"])
def test_an_entry_without_a_reason_is_refused(listed, text):
    with pytest.raises(equivalent.Wrong):
        listed(text)


def test_an_entry_of_no_mutant_is_stale(program, listed):
    texts = {"src/engine/toy.c": PROGRAM.encode()}
    assert equivalent.stale(listed(ENTRY), toy_mutants(program), texts) == []
    for old, new in (("level", "main"), ("heat > ", "heat < "), (">= ", "<= ")):
        assert len(equivalent.stale(listed(ENTRY.replace(old, new)), toy_mutants(program), texts)) == 1


def test_each_line_that_is_listed_stands_in_its_file():
    for path, _, old, _ in equivalent.read():
        assert old in equivalent.squeezed((ROOT / path).read_text()), old


# ---- judging -----------------------------------------------------------------------------------

TOY = {
    "meson.build": """\
project('coupon', 'c')
library = static_library('toy', 'src/engine/toy.c')
test('toy', executable('unit-engine-toy', 'tests/unit.c', link_with: library), suite: 'unit')
subdir('src/cli')
""",
    "src/cli/meson.build": "executable('coupon', 'coupon.c', link_with: library)\n",
    "src/cli/coupon.c": """\
int more(int count);
int main(void) {
    return more(10) - 12;
}
""",
    "src/engine/toy.c": """\
int more(int count);
int more(int count) {
    int next = count + 1;
    int unused = 7;
    while (next < 3)
        next++;
    if (next > 5)
        next = next + 1;
    if (count > 1000)
        next = 4;
    return next;
}
""",
    "tests/unit.c": """\
int more(int count);
int main(void) {
    return more(1) == 3 && more(2) == 3 ? 0 : 1;
}
""",
    "tests/e2e/test_toy.py": """\
import os, subprocess
def test_it():
    assert subprocess.run([os.environ["COUPON_BINARY"]]).returncode == 0
""",
}


@pytest.fixture
def judge(tmp_path, monkeypatch):
    if subprocess.run(judging.sandbox(["true"]), capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: judging mutants; namespaces cannot be made here")
    for name, text in TOY.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(judging, "ROOT", tmp_path)
    monkeypatch.setattr(judging, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(judging, "COPIED", ("src", "tests", "meson.build"))
    monkeypatch.setattr(judging, "E2E", ("tests/e2e/test_toy.py",))
    (tmp_path / "scratch").mkdir()
    made = judging.Judge(judging.Tree(0, tmp_path / "log"), judging.Baseline())
    made.prepare(["src/engine/toy.c"])
    yield made
    shutil.rmtree(tmp_path / "scratch")


def test_a_mutant_is_killed_by_the_first_test_that_fails_or_hangs_or_it_survives(judge):
    def state_of(old, new, line):
        text = TOY["src/engine/toy.c"]
        begin = text.index(old)
        mutant = mutants.Mutant("src/engine/toy.c", begin, begin + len(old), new.encode(), "toy",
                                line, "more")
        verdict = judge.judge(mutant)
        assert (judge.tree.folder / "src/engine/toy.c").read_text() == text  # as it was
        return verdict.state, verdict.by

    assert state_of("count + 1", "count + 2", 3) == ("killed", "unit-engine-toy")
    assert state_of("next + 1", "next + 2", 8) == ("killed", "e2e")
    assert state_of("> 1000", "> 1001", 9) == ("survived", "")
    assert state_of("= 7", "= 8", 4) == ("same", "")
    assert state_of("return next", "return net", 11) == ("uncompilable", "")
    judge.checks["unit-engine-toy"].seconds = -1.8  # it may take a second
    assert state_of("next++", "", 6) == ("timeout", "unit-engine-toy")


def test_a_test_that_fails_without_a_mutant_is_told(judge, tmp_path):
    (tmp_path / "tests/unit.c").write_text("int main(void) { return 1; }\n")
    with pytest.raises(judging.Broken, match="unit-engine-toy fails without a mutant"):
        judge.prepare(["src/engine/toy.c"])
