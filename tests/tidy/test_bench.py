"""The measuring suite's pure parts: arithmetic, order of turns, tables, pictures' scripts, and
what is written into the document. What it measures is in nobody's gate."""

import io
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from suite import figures, machine, pictures, processes, record, report, tables, tell  # noqa: E402
from suite.parts import batch, distributed, engine, http, ledger, restart  # noqa: E402
from suite.run import Progress, Run, Settings, read_lines  # noqa: E402

FACTS = {"cpu": "a processor", "cores": 2, "memory_gib": 4.0, "kernel": "6.1", "disk": "sda ext4",
         "commit": "abc123", "nginx": "1.22.1", "wrk": "4.1.0", "load_average": 0.1,
         "time": "2026-01-01T00:00:00Z"}


def whole(lines, quick=False):
    """Lines as a run writes them."""
    return [{"part": "any", **line, "quick": quick, "machine": FACTS} for line in lines]


def loads(requests_per_s, cpu_us, other_work=0.01):
    """Turns of wrk, five alike but for a little."""
    return [{"requests_per_s": requests_per_s + turn, "cpu_us_per_request": cpu_us,
             "p50_us": 1000, "p99_us": 9000, "other_work": other_work} for turn in range(5)]


def http_lines(other_work=0.01):
    lines = []
    for loops in (1, 2):
        for connections in (64, 256, 1000):
            for case, ours in (("accepted", 85000), ("sold out", 95000)):
                lines += http.lines_of({"coupon": loads(ours, 8, other_work),
                                        "nginx": loads(100000, 6)},
                                       {"case": case, "loops": loops, "connections": connections})
    return whole(lines)


def engine_lines():
    turn = {("bytes_an_issue", None, size): 33.0 for size in (1024, 1024000, 10240000)}
    turn |= {("claim_ns", kind, size): 10.0 * (1 + index)
             for kind in engine.KINDS for index, size in enumerate((1024, 1024000, 10240000))}
    return whole(engine.lines_of([turn] * 5, [0.0] * 5))


def restart_lines():
    start = {"ready_s": 4.0, "cpu_s": 3.9, "read_bytes": 10**6, "resident_bytes": 340 * 10**6,
             "anonymous_bytes": 330 * 10**6, "other_work": 0.0}
    slow = start | {"ready_s": 6.5}
    lines = restart.lines_of({"warm": [start] * 5, "cold": [slow] * 5}, 10**7)
    return whole([*lines, figures.measurement("file_bytes_an_issue", "B", [36.5],
                                              {"issues": 10**7}, cold_by="drop_caches"),
                  *machine.sync_lines([[100.0] * 99 + [900.0]] * 5, {})])


def batch_lines():
    turn = {"claims_per_s": 600000, "cpu_us_per_claim": 1.2, "client_cpu_share": 0.1,
            "peak_bytes": 90 * 10**6, "peak_bytes_besides": 8 * 10**6, "other_work": 0.0}
    return whole(batch.lines_of({way: [turn] * 5 for way in batch.WAYS}, 100))


def ledger_lines():
    turn = [{"bench": "fdatasync", "p50Us": 150, "p99Us": 300}] + [
        {"bench": "append", "rowsPerCommit": rows, "rowsPerSecond": rows * 1000,
         "cpuNsPerRow": 900, "stallMaxUs": 5000} for rows in (16, 256, 2048)]
    return whole(ledger.lines_of([turn] * 5, [0.0] * 5))


def distributed_lines():
    roles = {"peer": ("node", "redis"), "admitted": ("node", "redis", "sql"),
             "redis": tell.of("distributed").ROLES, "sql": ("node", "sql"),
             "sql postgresql": ("node", "sql")}
    rates = {"peer": 40000, "admitted": 70000, "redis": 30000, "sql": 15000, "sql postgresql": 9000}
    seen = {case: [turn | {f"cpu_us_of_{role}": 5.0 for role in roles[case]}
                   for turn in loads(rate, 20)] for case, rate in rates.items()}
    queue = {way: [{"rows_per_s": rate, "cpu_us_per_row": 1.0, "other_work": 0.0}] * 5
             for way, rate in (("drain", 90000), ("insert", 100000))}
    return whole([distributed.check_rows("peer", 105, 100, 5), *distributed.lines_of(seen, queue)])


@pytest.fixture
def parts():
    return {"engine": engine_lines(), "http": http_lines(), "batch": batch_lines(),
            "restart": restart_lines(), "ledger": ledger_lines()}


# ---- arithmetic ------------------------------------------------------------------------------

def test_a_measurement_keeps_its_turns_and_tells_the_median():
    line = figures.measurement("it", "us", [3, 1, 2, 9, 4])
    assert (line["median"], line["min"], line["max"]) == (3, 1, 9)
    assert line["turns"] == [3, 1, 2, 9, 4] and figures.told(line) == 3


def test_a_ratio_is_that_of_the_medians_and_not_the_median_of_ratios():
    over, under = (figures.measurement("it", "1/s", turns) for turns in ([1, 10, 3], [1, 2, 30]))
    line = figures.ratio("share", over, under)
    assert figures.told(line) == 1.5  # 3 : 2
    assert line["turns"] == [1, 5, 0.1] and (line["min"], line["max"]) == (0.1, 5)


@pytest.mark.parametrize("percent, expected", [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_a_value_that_was_seen(percent, expected):
    assert figures.percentile(list(range(100, 0, -1)), percent) == expected


def test_the_percentile_of_one_value_is_this_value():
    assert figures.percentile([7], 50) == figures.percentile([7], 99) == 7


@pytest.mark.parametrize("value, expected", [
    (0, 0), (0.123456, 0.1235), (12.3456, 12.35), (123456.7, 123457), (-2.00001, -2.0)])
def test_values_are_rounded_to_what_means_something(value, expected):
    assert figures.rounded(value) == expected


@pytest.mark.parametrize("contestants", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_each_contestant_is_at_each_place_equally_often(contestants):
    count = len(contestants)
    orders = [figures.rotated(contestants, turn) for turn in range(2 * count)]
    for place in range(count):
        assert sorted(order[place] for order in orders) == sorted(contestants * 2)


def test_a_line_is_found_by_its_parameters():
    lines = http_lines()
    line = figures.find(lines, "requests_per_s", server="nginx", case="accepted", loops=2,
                        connections=256)
    assert line["median"] == 100002
    assert figures.find(lines, "requests_per_s", server="nobody") is None
    assert figures.values_of(lines, "connections") == [64, 256, 1000]


# ---- machine and processes -------------------------------------------------------------------

def test_the_machine_is_described(tmp_path):
    facts = machine.facts(tmp_path)
    assert facts.keys() == FACTS.keys()
    assert facts["cores"] >= 1 and facts["memory_gib"] > 0
    assert " " in facts["disk"] or facts["disk"] == "unknown"  # as in a chroot


def test_a_block_that_is_interrupted_ends_its_process(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with processes.running(["sleep", "60"], tmp_path / "log") as process:
            raise KeyboardInterrupt
    assert process.returncode is not None


def test_a_program_that_fails_is_refused_with_its_words():
    with pytest.raises(processes.Refused, match="(?s)ended with 3.*why not"):
        processes.finished(["sh", "-c", "echo why not >&2; exit 3"], 10)


def test_a_program_that_hangs_is_refused_and_ended():
    with pytest.raises(processes.Refused, match="did not end"):
        processes.finished(["sleep", "60"], 0.2)


# ---- a run -----------------------------------------------------------------------------------

def settings_for(folder):
    return Settings(turns=1, quick=True, seconds=1, connections=(64,), loops=(1,), rows=1000,
                    calls=1, build=folder, output=folder)


def test_the_estimate_corrects_itself_by_what_was_slow():
    now, said = [0.0], io.StringIO()
    progress = Progress([("a", 100), ("b", 50)], clock=lambda: now[0], out=said)
    progress.step()
    now[0] = 200.0
    progress.step()
    assert progress.total() == 200  # nothing is left that has not begun
    assert "0:00 of about 2:30  a (100 s)" in said.getvalue()
    assert "3:20 of about 5:00  b (50 s)" in said.getvalue()


@pytest.mark.parametrize("part", [engine, http, batch, restart, ledger, distributed])
def test_every_part_tells_beforehand_what_it_will_do(part, tmp_path):
    steps = part.steps(settings_for(tmp_path))
    assert steps and all(text and seconds > 0 for text, seconds in steps) and part.SUMMARY


def test_lines_of_a_former_run_stay_until_a_run_is_complete(tmp_path):
    def run(measure):
        Run("engine", settings_for(tmp_path), None).perform(measure)

    def broken(its):
        its.write(figures.measurement("new", "ns", [2]))
        raise processes.Refused("no")

    run(lambda its: its.write(figures.measurement("old", "ns", [1])))
    with pytest.raises(processes.Refused):
        run(broken)
    assert [line["what"] for line in read_lines(tmp_path, ["engine", "http"])["engine"]] == ["old"]


def test_what_cannot_be_built_upon_is_refused(tmp_path):
    with pytest.raises(processes.Refused, match="./dev bench builds it"):
        Run("engine", settings_for(tmp_path), None).program("engine-bench")


# ---- tables ----------------------------------------------------------------------------------

def test_every_part_has_a_table_of_equal_rows(parts):
    found = report.tables(parts)
    assert len(found) == len(parts)
    for table in [*found, report.threshold_table(parts)]:
        assert table.rows and all(len(row) == len(table.head) for row in table.rows), table.title
        assert all(isinstance(cell, str) for row in table.rows for cell in row)
        assert all(tables.MISSING != cell for row in table.rows for cell in row), table


def test_several_processes_have_a_table_and_so_has_the_queue():
    lines = {"distributed": distributed_lines()}
    several, queue = report.tables(lines)
    assert [row[0] for row in several.rows] == list(tell.of("distributed").CASES_TOLD.values())
    assert [row[0] for row in queue.rows] == list(tell.of("distributed").WAYS_TOLD.values())
    for table in (several, queue):
        assert all(len(row) == len(table.head) and tables.MISSING not in row for row in table.rows)
    assert [each.verdict() for each in report.thresholds(lines)] == [
        "reached", "reached", "short by 25%", "reached"]  # 1.75, 0.75, 0.375; 0.9


@pytest.mark.parametrize("rows", [99, 106])
def test_rows_that_nobody_was_told_of_and_told_ones_that_are_missing_are_refused(rows):
    with pytest.raises(processes.Refused, match="told of 100"):
        distributed.check_rows("sql", rows, 100, 5)


def test_a_part_that_was_measured_in_part_has_a_table_too(parts):
    some = [line for line in parts["http"] if line["parameters"].get("loops") == 2
            and line["parameters"]["connections"] == 256]
    assert [row[:3] for row in tell.of("http").tables(some)[0].rows] == [
        ["accepted", "2", "256"], ["sold out", "2", "256"]]


def test_thresholds_are_reached_or_short_by_so_much(parts):
    verdicts = {each.name: each.verdict() for each in report.thresholds(parts)}
    for case in ("accepted", "sold out"):  # just there
        assert verdicts[f"{case}, 256 connections, loops 2: requests/s, of nginx's"] == "reached"
    assert verdicts["batch, 1,000 users a call, connections 1: durable claims/s"] == "reached"
    assert verdicts["engine, fresh: 10 M to 1 k issues"] == "short by 50%"  # 3 and not 2
    assert verdicts["restart, warm: seconds"] == "reached"
    assert verdicts["restart, cold: seconds"] == "short by 30%"
    # nginx 6 us, coupon 8 us
    name = "accepted, 256 connections, loops 1: requests a CPU second, of nginx's"
    assert verdicts[name] == "reached"


def test_other_work_and_quick_runs_are_warned_of(parts):
    assert report.warnings(parts) == []
    busy = {"http": http_lines(other_work=0.4)}
    assert "40% of the machine" in report.warnings(busy)[0]
    quick = {"engine": [line | {"quick": True} for line in engine_lines()]}
    assert "quick run" in report.warnings(quick)[0]


@pytest.mark.parametrize("value, expected", [
    (1234567, "1,234,567"), (12.34, "12.3"), (0.666, "0.67"), (None, "-")])
def test_numbers_read_well(value, expected):
    assert tables.number(value) == expected


def test_a_table_as_text_stands_in_columns():
    table = tables.Table("title", ["a", "b, c"], [["x", "1"], ["yyy", "22"]], "note")
    assert tables.as_text(table).splitlines() == [
        "title", "     b,", "a     c", "---  --", "x     1", "yyy  22", "note"]


# ---- document and pictures -------------------------------------------------------------------

BEGIN, END = record.marks("http")


def test_only_what_is_between_the_marks_of_the_part_changes():
    before = f"words\n{BEGIN}\nold\n{END}\nmore words\n{record.MORE}\n"
    after = record.replaced(before, "http", "new")
    assert after == f"words\n{BEGIN}\n\nnew\n\n{END}\nmore words\n{record.MORE}\n"
    assert record.replaced(after, "http", "new") == after


def test_a_part_without_marks_gets_them_before_those_of_other_parts():
    after = record.replaced(f"words\n{record.MORE}\n", "http", "new")
    assert after == f"words\n{BEGIN}\n\nnew\n\n{END}\n\n{record.MORE}\n"


@pytest.mark.parametrize("text", ["no marks", BEGIN, END + BEGIN, BEGIN + END + BEGIN,
                                  BEGIN + record.MORE, record.MORE + record.MORE])
def test_a_document_without_its_marks_is_left_alone(text):
    with pytest.raises(processes.Refused):
        record.replaced(text, "http", "new")


@pytest.mark.parametrize("part", ["engine", "http", "batch", "restart", "ledger", "distributed",
                                  "floor"])
def test_the_document_has_a_place_for_every_part(part):
    assert "new" in record.replaced((record.DOCUMENTS / record.USUAL).read_text(), part, "new")


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / record.USUAL).write_text(f"words\n{record.MORE}\n")
    return folder


def recorded(parts, documents, drawn=None):
    record.record(parts, drawn or {}, documents)
    return (documents / record.USUAL).read_text()


def test_a_recording_is_the_same_each_time_and_brings_its_pictures(parts, documents, tmp_path):
    picture = tmp_path / "http.svg"
    picture.write_text("<svg/>")
    first = recorded(parts, documents, {"http": [picture]})
    assert recorded(parts, documents, {"http": [picture]}) == first
    assert (documents / "performance" / "http.svg").exists()
    for expected in ("words\n", "a processor", "abc123", "#### HTTP beside nginx",
                     "![", "(performance/http.svg)", "| reached |", "short by 50%"):
        assert expected in first, expected


def test_a_part_that_is_recorded_alone_leaves_the_others_as_they_were(parts, documents):
    first = recorded(parts, documents)
    again = {"engine": [line | {"machine": FACTS | {"commit": "def456"}}
                        for line in parts["engine"]]}
    after = recorded(again, documents)
    before, begin, rest = first.partition(record.marks("engine")[0])
    assert after.startswith(before + begin) and "def456" in after
    assert after.endswith(rest.partition(record.marks("engine")[1])[2])


def test_a_part_may_have_documents_of_its_own(parts, documents, monkeypatch):
    monkeypatch.setattr(tell.of("engine"), "DOCUMENTS",
                        {"story.md": lambda lines: f"{len(lines)} lines",
                         "story.ko.md": lambda lines: "words"}, raising=False)
    for name in ("story.md", "story.ko.md"):
        (documents / name).write_text(record.MORE)
    picture = documents / "engine.svg"
    picture.write_text("<svg/>")
    written, _ = record.record({"engine": parts["engine"]}, {"engine": [picture]}, documents)
    assert written == ["story.md", "story.ko.md"]
    assert f"{len(parts['engine'])} lines" in (documents / "story.md").read_text()
    assert (documents / "story" / "engine.svg").exists()


def test_a_quick_run_is_not_recorded(parts, documents):
    quick = {"engine": [line | {"quick": True} for line in parts["engine"]]}
    assert record.record({**parts, **quick}, {}, documents)[1] == ["engine"]
    text = (documents / record.USUAL).read_text()
    assert "Engine alone" not in text and "HTTP beside nginx" in text
    with pytest.raises(processes.Refused, match="nothing"):
        record.record(quick, {}, documents)


def test_pictures_show_every_bar_and_line(parts):
    script = tell.of("http").scripts(parts["http"])["http"]
    assert script.count("$ratios << EOD") == 2  # throughput, and what a CPU second does
    assert all(f'"{connections}" ' in script for connections in (64, 256, 1000))
    assert all(f"title '{case}, {loops}" in script for case in ("accepted", "sold out")
               for loops in ("1 loop", "2 loops"))
    script = tell.of("engine").scripts(parts["engine"])["engine"]
    assert "logscale x" in script and all(f"title '{kind}'" in script
                                          for kind in ("fresh", "duplicate", "sold out"))
    script = tell.of("restart").scripts(parts["restart"])["restart"]
    assert '"warm"' in script and '"cold"' in script and "10 M issues" in script


def test_gnuplot_takes_the_scripts(parts, tmp_path):
    for path in sum(pictures.draw(parts, tmp_path).values(), []):
        assert path.read_text().rstrip().endswith("</svg>")
