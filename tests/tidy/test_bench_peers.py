"""The pure parts of `./dev bench peers`: what other programs print, read; its lines, tables, what
was set out to reach, its picture. And what a batch's run says of memory."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from suite import figures, machine, pgbench, processes, redis_benchmark, tables, tell  # noqa: E402
from suite.parts import batch, peers  # noqa: E402
from suite.run import Settings  # noqa: E402

told = tell.of("peers")
RATES = {"accepted": 90000, "sold out": 98000, "peer": 40000, "postgresql": 3000,
         "postgresql 64": 9000, "redis": 60000, "redis pipelined": 200000, "nginx": 100000,
         "nginx pinned": 105000, "nginx 409": 100000, "epoll": 120000}

PGBENCH = """\
pgbench (15.18)
transaction type: claim.sql
number of clients: 16
number of transactions actually processed: 4880
number of failed transactions: 0 (0.000%)
latency average = 6.551 ms
initial connection time = 63.4 ms
tps = 2441.25 (without initial connection time)
"""
REDIS = ('"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms",'
         '"p99_latency_ms","max_latency_ms"\n'
         '"EVALSHA abc 2 k q user-__rand_int__ 2147483647 {"couponId":1,"userId":"x"}",'
         '"65568.00","3.5","0.4","3.247","5.1","7.06","12.5"\n')


def lines():
    turns = {case: [{"requests_per_s": rate + turn, "cpu_us_per_request": 10 ** 6 / rate,
                     "p50_us": 1000, "p99_us": 5000, "other_work": 0.01} for turn in range(5)]
             for case, rate in RATES.items()}
    clients = {case: 16 if case.startswith("postgresql") else 256 for case in RATES}
    return peers.lines_of(turns, clients)


# ---- what others print -----------------------------------------------------------------------

def test_the_words_of_pgbench_are_read():
    assert pgbench.figures_of(PGBENCH, [100, 200, 300]) == {
        "requests": 4880, "requests_per_s": 2441.25, "p50_us": 200, "p99_us": 300}


@pytest.mark.parametrize("output", ["", PGBENCH.replace("4880", "0"), PGBENCH.replace("tps", "t")])
def test_a_pgbench_that_did_nothing_is_refused(output):
    with pytest.raises(processes.Refused, match="nothing of use"):
        pgbench.figures_of(output, [1])


def test_the_times_of_pgbench_are_those_of_all_its_threads(tmp_path):
    (tmp_path / "transactions.17").write_text("0 1 1500 0 1700000000 1\n0 2 2500 0 1700000000 2\n")
    (tmp_path / "transactions.17.1").write_text("1 1 900 0 1700000000 3\n")
    assert sorted(pgbench.times_of(tmp_path)) == [900, 1500, 2500]
    assert not list(tmp_path.iterdir())


def test_the_words_of_redis_benchmark_are_read():
    assert redis_benchmark.figures_of(REDIS) == {
        "requests_per_s": 65568.0, "p50_us": 3247.0, "p99_us": 7060.0}
    with pytest.raises(processes.Refused, match="nothing of use"):
        redis_benchmark.figures_of("ERR no\n")


def test_redis_benchmark_has_the_script_of_the_peer():
    script = redis_benchmark.script_of(redis_benchmark.PEER.read_text())
    assert all(command in script for command in ("SISMEMBER", "SCARD", "SADD", "RPUSH"))
    assert "[[" not in script and "]]" not in script


def test_processor_time_of_children_that_have_ended_counts():
    work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    with subprocess.Popen(["bash", "-c", f"bash -c '{work}; :'; echo ended; read"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"ended\n"
        stat = Path(f"/proc/{parent.pid}/stat").read_text().rpartition(")")[2].split()
        own = sum(map(int, stat[11:13])) / processes.TICKS
        assert processes.processor_seconds(parent) > own


# ---- lines, tables, the picture --------------------------------------------------------------

def test_every_case_is_measured_and_told():
    assert set(peers.CASES) == set(told.CASES) == set(RATES)
    assert figures.told(figures.find(lines(), "accepted_of", case="peer")) == pytest.approx(
        2.25, abs=0.01)
    assert not figures.find(lines(), "accepted_of", case="accepted")


def test_the_table_has_a_full_row_a_case():
    table, = told.tables(lines())
    assert [row[0] for row in table.rows] == [name for name, _ in told.CASES.values()]
    assert all(len(row) == len(table.head) and tables.MISSING not in row for row in table.rows)
    assert {row[0]: row[2] for row in table.rows}["PostgreSQL alone, one coupon"] == "16"
    assert "0.98" in table.note and "1.11" in table.note


def test_what_was_set_out_to_reach_is_judged():
    assert [each.verdict() for each in told.thresholds(lines())] == [
        "reached", "reached", "short by 10%", "reached"]  # 0.9, 0.98, 2.25, 1.11


def test_the_picture_has_a_bar_a_case_in_the_colour_of_what_it_promises():
    script = told.scripts(lines())["peers"]
    for name, kind in told.CASES.values():
        assert f'"{name}"' in script and told.COLOURS[kind] in script
    assert set(told.ALTERNATIVES) == {"peers"} and '"90,002"' in script


def test_gnuplot_takes_the_script(tmp_path):
    gnuplot = machine.tool("gnuplot")
    if not gnuplot:
        pytest.skip("there is no gnuplot")
    path = tmp_path / "peers.svg"
    processes.finished([gnuplot], 60,
                       stdin=f"set output '{path}'\n{told.scripts(lines())['peers']}")
    text = path.read_text()
    assert all(name in text for name, _ in told.CASES.values()) and "constant reply" in text


def test_it_is_told_beforehand_what_will_be_done(tmp_path):
    settings = Settings(turns=5, quick=False, seconds=4, connections=(), loops=(), rows=1, calls=1,
                        build=tmp_path, output=tmp_path)
    assert 200 < sum(seconds for _, seconds in peers.steps(settings)) < 330 and peers.SUMMARY


# ---- batches ---------------------------------------------------------------------------------

def test_a_batch_tells_its_memory_by_users_and_connections():
    turn = {"claims_per_s": 600000, "cpu_us_per_claim": 1.2, "client_cpu_share": 0.1,
            "peak_bytes": 90 * 10**6, "peak_bytes_besides": 8 * 10**6, "other_work": 0.0}
    found = batch.lines_of({way: [turn] for way in batch.WAYS}, 100)
    table, = tell.of("batch").tables(found)
    assert [row[:2] for row in table.rows] == [["1,000", "1"], ["1,000", "2"], ["10,000", "1"],
                                               ["10,000", "2"]]
    assert all(row[-2:] == ["90.0", "8.00"] for row in table.rows)
    assert figures.find(found, "peak_bytes", connections=2)["parameters"]["issues"] == 2000000
