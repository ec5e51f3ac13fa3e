"""./dev bench strategies, its pure parts: what is counted of promises and rows, the table in two
languages, the pictures' scripts, the two documents."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
from suite import pictures, record, report  # noqa: E402
from suite.parts import strategies as part  # noqa: E402
from suite.run import Settings  # noqa: E402
from suite.tell import strategies as told  # noqa: E402
from test_bench import whole  # noqa: E402
from test_documents import outline  # noqa: E402

KEPT = {"issued": 500, "users_twice": 0, "told": 500, "told_without_row": 0, "promised": 9000,
        "gone": 0, "given_again": 0}


def load(requests_per_s, **more):
    return {"requests_per_s": requests_per_s, "latency_p50": 2000, "latency_p99": 9000,
            "latency_p99.9": 20000, "other_work": 0.01, **more}


def a_turn(requests_per_s, **counts):
    return {"crowd": load(requests_per_s / 2),
            "sustained": load(requests_per_s, cpu_us_per_request=30, cpu_us_of_server=30,
                              other_answers=0, drained_s=0.1),
            "counts": KEPT | counts}


def lines_of(**designs):
    """Lines of a run. `designs`: what differs from what is right, a turn each."""
    return whole([line for name, turns in designs.items() for line in part.lines_of(
        name, [a_turn(1000 * (1 + number), **counts) for number, counts in enumerate(turns)])])


def some_lines():
    return lines_of(race=[{"issued": 505}, {"issued": 500}, {"issued": 520, "users_twice": 4}],
                    lua=[{"gone": 4000, "given_again": 10}] * 3, embedded=[{}] * 3)


# ---- counting --------------------------------------------------------------------------------

def test_a_promise_is_gone_when_its_user_has_no_row():
    counts = part.counts_of(["a", "b", "b"], ["a", "b", "b", "c"], ["k", "l", "m"], ["l", "n"])
    assert counts == {"issued": 4, "told": 3, "users_twice": 1, "told_without_row": 0,
                      "promised": 3, "gone": 2}


def test_what_the_crowd_was_told_and_has_no_row_for_is_counted():
    assert part.counts_of(["a", "b"], ["a"], [], [])["told_without_row"] == 1


@pytest.mark.parametrize("counts, kind", [
    ({}, told.KEEPS), ({"gone": 1}, told.LOSES), ({"issued": 501}, told.OVERSELLS),
    ({"issued": 499}, told.OVERSELLS), ({"users_twice": 1}, told.OVERSELLS),
    ({"told_without_row": 1}, told.OVERSELLS), ({"issued": 501, "gone": 1}, told.OVERSELLS)])
def test_one_bad_turn_is_what_a_design_is_told_by(counts, kind):
    assert told.kind_of(lines_of(set=[{}, counts, {}]), "set") == kind


def test_a_log_that_is_synced_every_second_is_told_apart_from_what_keeps_its_promises():
    lines = lines_of(**{"lua-aof": [{}] * 3, "sql": [{}] * 3})
    assert [told.kind_of(lines, name) for name in ("lua-aof", "sql")] == [
        told.SYNCS_LATER, told.KEEPS]
    assert "power cut" in told.scripts(lines)["strategies-throughput"]


# ---- the table -------------------------------------------------------------------------------

@pytest.mark.parametrize("words", [told.ENGLISH, told.KOREAN])
def test_the_table_has_a_row_a_design_in_the_story_s_order(words):
    lines = some_lines()
    table = told.table(lines, words)
    assert [row[0] for row in table.rows] == ["race", "lua", "coupon: embedded"]
    assert all(len(row) == len(table.head) for row in table.rows)
    assert all(isinstance(cell, str) and cell != "-" for row in table.rows for cell in row)
    assert [row[1] for row in table.rows] == [words["no"], words["yes"], words["yes"]]
    assert table.rows[0][2] == "505 (500-520)" and table.rows[2][2] == "500"


def test_the_terminal_gets_the_table_and_the_disk_s():
    text = report.text({"strategies": some_lines()})
    assert "The designs" in text and "4,000" in text and "**" not in text


def test_ours_that_lost_a_promise_is_short_of_what_was_set_out():
    good = told.thresholds(some_lines())
    assert good and all(each.reached() for each in good)
    bad = told.thresholds(lines_of(embedded=[{}, {"gone": 1}, {}]))
    assert [each.reached() for each in bad] == [False, True]


def test_the_part_tells_beforehand_what_it_will_do(tmp_path):
    settings = Settings(turns=5, quick=False, seconds=4, connections=(64,), loops=(1,), rows=1,
                        calls=1, build=tmp_path, output=tmp_path)
    said = part.steps(settings)
    assert len([text for text, _ in said if "turn" in text]) == 5 * len(part.DESIGNS)
    assert sum(seconds for _, seconds in said) < 15 * 60


def test_every_design_that_is_measured_is_told_of():
    assert set(part.DESIGNS) == set(told.DESIGNS)


# ---- the pictures ----------------------------------------------------------------------------

def test_the_pictures_show_every_design():
    for name, script in told.scripts(some_lines()).items():
        assert name in told.ALTERNATIVES and name in told.KOREAN["pictures"]
        assert all(f"'{told.name_of(design)}' " in script
                   for design in ("race", "lua", "embedded")), name


def test_gnuplot_takes_the_scripts(tmp_path):
    drawn = pictures.draw({"strategies": some_lines()}, tmp_path)["strategies"]
    assert len(drawn) == 3
    for path in drawn:
        assert path.read_text().rstrip().endswith("</svg>")


# ---- the documents ---------------------------------------------------------------------------

NAMES = ("strategies.md", "strategies.ko.md")


def test_a_recording_fills_both_documents(tmp_path):
    begin, end = record.marks("strategies")
    for name in NAMES:
        (tmp_path / name).write_text(f"words\n{begin}\n{end}\n")
    lines = {"strategies": some_lines()}
    record.record(lines, pictures.draw(lines, tmp_path), tmp_path)
    texts = [(tmp_path / name).read_text() for name in NAMES]
    assert outline(texts[0]) == outline(texts[1])
    assert all("505 (500-520)" in text for text in texts)
    assert len(list((tmp_path / "strategies").glob("*.svg"))) == 3


def test_the_documents_have_their_marks():
    for name in NAMES:
        assert "new" in record.replaced((ROOT / "docs" / name).read_text(), "strategies", "new")


def test_the_two_documents_are_equal():
    english, korean = (outline((ROOT / "docs" / name).read_text()) for name in NAMES)
    for page in (english, korean):  # its own headings are called in its own language
        page["links"] = [link for link in page["links"]
                         if not link.startswith(("#", "strategies."))]
    for what, expected in english.items():
        assert korean[what] == expected, what


@pytest.mark.parametrize("name, other", [NAMES, NAMES[::-1]])
def test_each_document_names_the_other_at_its_top(name, other):
    assert f"]({other})" in "\n".join((ROOT / "docs" / name).read_text().splitlines()[:4])
