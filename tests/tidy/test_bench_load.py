"""Latency, herd and event of the measuring suite: what is made of what load-client told, and how
it is told to people."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from suite import load_client, machine, pictures, report, tell  # noqa: E402
from suite.figures import find  # noqa: E402
from suite.parts import event, herd, latency  # noqa: E402
from suite.processes import Refused  # noqa: E402
from suite.run import Settings  # noqa: E402
from test_bench import whole  # noqa: E402

SETTINGS = Settings(turns=5, quick=False, seconds=4, connections=(256,), loops=(2,), rows=1,
                    calls=1, build=Path(), output=Path())
TURN = {"p50": 400, "p90": 900, "p99": 3000, "p99.9": 9000, "p99.99": 15000, "max": 18000}


def told(status, seconds=2.0, failed=0):
    requests = sum(status.values()) + failed
    return {"requests": requests, "failed": failed, "status": status, "seconds": seconds,
            "requests_per_s": requests / seconds, "cpu_us_per_request": 8.0, "other_work": 0.01,
            "client_cpu_s": 0.5, "late_us_max": 70, "checkpoints": 3, "checkpoint_max": 10000.0,
            "latency_us": {"all": TURN}}


def latency_lines(checkpoint_us=10000.0):
    turn = told({"201": 80000}) | TURN | {"checkpoint_max": checkpoint_us}
    maximum = {case: [{name: value for name, value in turn.items() if name != "late_us_max"}] * 5
               for case in latency.CASES}
    rates = latency.rates_of(maximum)
    return whole(latency.lines_of(maximum, {which: [turn] * 5 for which in rates}, rates))


def herd_lines(**worst):
    turn = herd.figures_of(told({"201": 500, "409": 9500}), 500) | {
        "memory_peak": 60e6, "syn_retransmits": 0, "listen_drops": 0}
    return whole(herd.lines_of({"500": [turn] * 4 + [turn | worst], "unlimited": [turn] * 5}))


def event_lines(unsold=0):
    stages = {stage: event.figures_of(told({"201": 1000000})) for stage in event.STAGES}
    sizes = {"unsold": unsold, "memory_peak": 150e6, "memory_after_create": 90e6,
             "file_bytes": 60e6}
    return whole(event.lines_of([stages] * 5, [sizes] * 5, 100000))


# ---- checkpoints -----------------------------------------------------------------------------

METRICS = """\
# TYPE coupon_checkpoint_duration_seconds histogram
coupon_checkpoint_duration_seconds_bucket{le="0.005"} 4
coupon_checkpoint_duration_seconds_bucket{le="0.01"} 6
coupon_checkpoint_duration_seconds_bucket{le="0.025"} 7
coupon_checkpoint_duration_seconds_bucket{le="+Inf"} 7
coupon_checkpoint_duration_seconds_sum 0.05
coupon_checkpoint_duration_seconds_count 7
"""
BOUNDS = (0.005, 0.01, 0.025, float("inf"))


def counted(*counts, total):
    return list(zip(BOUNDS, counts)), total


def test_a_histogram_is_read_from_the_metrics():
    assert load_client.histogram(METRICS, load_client.CHECKPOINTS) == counted(4, 6, 7, 7,
                                                                              total=0.05)
    with pytest.raises(Refused):
        load_client.histogram(METRICS, "coupon_nothing")


def test_the_longest_checkpoint_of_a_run_is_not_told_shorter_than_it_can_have_been():
    before = counted(4, 6, 7, 7, total=0.05)
    assert load_client.checkpoints_between(before, before) == (0, 0.0)
    # Two, of at most 5 ms; what was before does not count.
    assert load_client.checkpoints_between(before, counted(6, 8, 9, 9, total=0.058)) == \
        (2, pytest.approx(0.005))
    # Ten of at most 5 ms, and two of at most 10.
    assert load_client.checkpoints_between(before, counted(14, 18, 19, 19, total=0.1)) == \
        (12, pytest.approx(0.01))


def test_the_sum_may_tell_the_longest_closer_than_its_bucket():
    nothing = counted(0, 0, 0, 0, total=0.0)
    assert load_client.checkpoints_between(nothing, counted(0, 0, 1, 1, total=0.012)) == \
        (1, pytest.approx(0.012))
    assert load_client.checkpoints_between(nothing, counted(0, 1, 2, 2, total=0.03)) == \
        (2, pytest.approx(0.025))  # the other took 5 ms or more
    assert load_client.checkpoints_between(nothing, counted(0, 0, 0, 1, total=11.5)) == \
        (1, pytest.approx(11.5))


# ---- answers ---------------------------------------------------------------------------------

def test_a_run_with_another_answer_is_refused():
    load_client.check_answers("it", told({"201": 5}), 201)
    for wrong in (told({"201": 5}, failed=1), told({"201": 5, "503": 1}), told({"409": 5})):
        with pytest.raises(Refused, match="not everybody"):
            load_client.check_answers("it", wrong, 201)


def test_a_herd_counts_what_is_neither_an_issue_nor_sold_out():
    figures = herd.figures_of(told({"201": 500, "409": 9000, "503": 400}, failed=100), 500)
    assert (figures["issued"], figures["other_answers"], figures["unanswered"]) == (500, 400, 100)
    assert herd.figures_of(told({"201": 9000, "409": 1000}), None)["other_answers"] == 1000


def test_rates_are_shares_of_the_median_maximum():
    turns = [{"requests_per_s": rate} for rate in (90000.0, 100000.0, 300000.0)]
    assert latency.rates_of({"accepted": turns}) == {
        ("accepted", 25): 25000, ("accepted", 50): 50000, ("accepted", 75): 75000,
        ("accepted", 90): 90000}


# ---- told ------------------------------------------------------------------------------------

def lines_of_all():
    return {"latency": latency_lines(), "herd": herd_lines(), "event": event_lines()}


def test_the_tables_have_a_row_a_case_and_every_cell():
    for part, rows in (("latency", 10), ("herd", 2), ("event", 2)):
        table, = tell.of(part).tables(lines_of_all()[part])
        assert len(table.rows) == rows
        assert all(len(row) == len(table.head) for row in table.rows)
        assert not any(cell == "-" for row in table.rows for cell in row), table


def test_latency_is_judged_at_half_the_maximum_and_by_the_longest_checkpoint():
    reached = {each.name: each.reached() for each in tell.of("latency").thresholds(latency_lines())}
    assert len(reached) == 3 and all(reached.values())
    longest = [each for each in tell.of("latency").thresholds(latency_lines(25000.0))
               if not each.reached()]
    assert len(longest) == 1 and "checkpoint" in longest[0].name


def test_a_herd_is_judged_by_its_worst_turn():
    assert all(each.reached() for each in tell.of("herd").thresholds(herd_lines()))
    for worst in ({"unanswered": 1}, {"latency_max": 2_100_000}, {"memory_peak": 201e6},
                  {"other_answers": 3}):
        missed = [each for each in tell.of("herd").thresholds(herd_lines(**worst))
                  if not each.reached()]
        assert len(missed) == 1 and missed[0].verdict()


def test_a_coupon_that_was_not_sold_out_is_told():
    assert tell.of("event").thresholds(event_lines())[0].reached()
    missed, = tell.of("event").thresholds(event_lines(unsold=1))
    assert not missed.reached() and "too many" in missed.verdict()


def test_the_picture_has_a_line_a_rate_in_both_panels():
    script = tell.of("latency").scripts(latency_lines())["latency"]
    assert script.count("$at") == 2 * 2 * len(latency.PERCENTS)  # the data, and its plot
    assert "logscale y" in script and "'p99.99' 4" in script


def test_gnuplot_takes_the_script_and_the_report_tells_all(tmp_path):
    if not machine.tool("gnuplot"):
        pytest.fail("there is no gnuplot; ./dev test installs it")
    path, = pictures.draw({"latency": latency_lines()}, tmp_path)["latency"]
    assert path.read_text().rstrip().endswith("</svg>")
    text = report.text(lines_of_all())
    assert "A herd: 10,000 connections" in text and "1,000,000 claims on 100,000" in text


def test_the_steps_are_as_many_as_the_parts_make():
    assert len(latency.steps(SETTINGS)) == 1 + SETTINGS.turns
    assert len(herd.steps(SETTINGS)) == len(event.steps(SETTINGS)) == 1


def test_a_maximum_has_no_rate():
    assert "rate" not in find(latency_lines(), "requests_per_s", case="accepted")["parameters"]
