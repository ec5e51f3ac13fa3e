"""GET /metrics of a running server: its form, and that it tells what was told. The alert
rules and the board that are made of its figures."""

import collections
import json
import os
import re
import time

import pytest

from support import check, ledgers, record
from support.crowd import Load, in_parallel
from support.metrics import ROOT, run_promtool, scrape
from support.wire import Client


def told_by_verdict(answers):
    """What the clients were told, by the verdict that /metrics calls it."""
    verdicts = collections.Counter()
    for one in answers:
        verdicts[one.code or "issued"] += 1
    return verdicts


def assert_tells(figures, verdicts):
    claims = figures.by("coupon_claims_total", "verdict")
    assert {name: count for name, count in claims.items() if count} == dict(verdicts)


def scrape_when_all_took(server, count):
    """A scrape with so many durations: they are noted just after the answers are out."""
    deadline = time.monotonic() + 10
    while True:
        with server.client() as client:
            figures = scrape(client)
        took = sum(figures.value("coupon_claim_duration_seconds_count", result=result)
                   for result in ("issued", "refused"))
        if took == count:
            return figures
        assert took < count and time.monotonic() < deadline, (took, count)


@pytest.fixture
def crowded(server, admin, scaled, randomness):
    """A server after a crowd with every verdict that needs no broken disk: (server, answers,
    total). It was scraped and checked all the while."""
    total = scaled(300)
    coupons = [check.new_coupon(admin, total=total)["id"],
               check.new_coupon(admin, total=None)["id"],
               check.new_coupon(admin, start=3600, end=7200)["id"],
               check.new_coupon(admin, start=-7200, end=-3600)["id"],
               999999]
    paused = check.new_coupon(admin)["id"]
    check.coupon(admin.patch("/v1/coupons/%d" % paused, {"paused": True}))
    asks = [(randomness.choice(coupons + [paused]), "user-%d" % randomness.randrange(scaled(900)),
             None) for _ in range(scaled(4000))]
    asks += [(coupons[0], "late-%d" % index, None) for index in range(2 * total)]
    load = Load(server.address, asks, threads=16).start()
    with server.client() as client:
        seen = 0
        for share in (0.1, 0.4, 0.7):
            load.wait_answers(int(len(asks) * share))
            figures = scrape(client)
            counted = sum(figures.by("coupon_claims_total", "verdict").values())
            assert seen <= counted <= len(asks)
            seen = counted
            figures.assert_histogram("coupon_claim_duration_seconds", result="issued")
            run_promtool("check", "metrics", given=figures.body)
    load.join()
    assert not load.unanswered
    return server, load.told, coupons[:2]


def test_claims_are_counted_as_clients_were_told(crowded):
    server, answers, _ = crowded
    verdicts = told_by_verdict(answers)
    assert {"issued", "sold-out", "already-issued", "not-started", "ended", "paused",
            "coupon-not-found"} == set(verdicts)
    with server.client() as client:
        figures = scrape(client)
    assert_tells(figures, verdicts)
    figures = scrape_when_all_took(server, len(answers))
    issued = figures.assert_histogram("coupon_claim_duration_seconds", result="issued")
    refused = figures.assert_histogram("coupon_claim_duration_seconds", result="refused")
    assert issued == verdicts["issued"]
    assert issued + refused == len(answers)


def test_issued_and_remaining_are_the_ledgers(crowded):
    server, answers, (limited, unlimited) = crowded
    won = sum(told.status == 201 for told in answers)
    with server.client() as client:
        figures = ledgers.eventually(lambda: scrape(client),
                                     lambda found: found.value("coupon_issues") == won)
        total = client.get("/v1/coupons/%d" % limited).json()["totalQuantity"]
    server.stop()
    quantities = {str(coupon): count
                  for coupon, count in record.issued_quantities(server.data).items()}
    assert figures.by("coupon_coupon_issued", "coupon") == quantities
    assert figures.value("coupon_issues") == sum(quantities.values())
    assert figures.value("coupon_coupons") == len(quantities)
    assert figures.value("coupon_coupons_left_out") == 0
    remaining = figures.by("coupon_coupon_remaining", "coupon")
    assert str(unlimited) not in remaining
    assert remaining[str(limited)] == total - quantities[str(limited)] == 0
    assert len(record.issues(server.data)[limited]) == quantities[str(limited)]


@pytest.mark.embedded("the writer's and the engine's figures")
def test_commits_hold_every_issue_and_batches_every_claim(crowded):
    server, answers, _ = crowded
    with server.client() as client:
        figures = scrape(client)
    commits = figures.assert_histogram("coupon_commit_duration_seconds")
    assert figures.assert_histogram("coupon_commit_rows") == commits
    assert figures.value("coupon_commit_rows_sum") == figures.value("coupon_issues")
    assert figures.assert_histogram("coupon_batch_claims") >= commits
    assert figures.value("coupon_batch_claims_sum") == len(answers)
    assert figures.value("coupon_commit_failures_total") == 0
    assert figures.value("coupon_queue_claims") == 0
    assert figures.value("coupon_clock_held_back_seconds") == 0
    assert figures.value("coupon_engine_memory_bytes") > 24 * figures.value("coupon_issues")


def test_connections_requests_and_the_process_are_told(new_server):
    server = new_server("--core-dumps=on").start()  # so that not only root may look into /proc
    with server.client() as client, server.client() as other:
        other.get("/healthz")
        figures = scrape(client)
        again = scrape(client)
    assert figures.value("coupon_http_connections_open") == 2
    assert figures.value("coupon_http_connections_accepted_total") == 2
    assert figures.value("coupon_http_requests_total") == 2
    assert again.value("coupon_http_requests_total") == 3
    descriptors = len(os.listdir("/proc/%d/fd" % server.process.pid))
    assert abs(again.value("process_open_fds") - descriptors) <= 2  # the two that closed
    assert again.value("process_open_fds") < again.value("process_max_fds")
    assert again.value("process_resident_memory_bytes") > 1e6
    assert again.value("process_cpu_seconds_total") >= figures.value("process_cpu_seconds_total")
    started = os.stat("/proc/%d" % server.process.pid).st_ctime
    assert abs(again.value("process_start_time_seconds") - started) < 5
    assert again.by("coupon_state", "state") == {"ready": 1, "starting": 0, "unwritable": 0,
                                                 "broken": 0, "stopping": 0}


def test_a_batch_counts_each_of_its_users(server, admin):
    coupon = check.new_coupon(admin, total=3)["id"]
    users = ["a", "b", "a", "c", "d", "e"]
    answer = admin.post("/v1/coupons/%d/issues:batch" % coupon, {"userIds": users})
    verdicts = collections.Counter(one["result"] for one in check.success(answer)["results"])
    assert verdicts == {"issued": 3, "already-issued": 1, "sold-out": 2}
    assert_tells(scrape(admin), verdicts)


def test_a_replay_is_counted_apart(server, admin):
    coupon = check.new_coupon(admin)["id"]
    issue = check.issued(admin.claim(coupon, "ann", "key"))
    assert check.issued(admin.claim(coupon, "ann", "key"), replayed=True) == issue
    assert_tells(scrape(admin), {"issued": 1, "replayed": 1})


def test_a_full_queue_is_counted_as_it_was_told(new_server, scaled):
    server = new_server("--queue", 1, "--threads", 1).start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]

    def claims(index):
        with Client(server.address) as client:
            return [client.claim(coupon, "u%d-%d" % (index, n)).code or "issued"
                    for n in range(scaled(50))]

    codes = collections.Counter(code for told in in_parallel(16, claims) for code in told)
    assert set(codes) <= {"issued", "overloaded"}
    with server.client() as client:
        assert_tells(scrape(client), codes)


def test_it_wants_no_credential_and_takes_any_query(shared_server):
    with shared_server.client() as client:
        assert client.get("/metrics?name[]=up").status == 200
        head = client.call("HEAD", "/metrics")
        assert head.status == 200 and int(head.field("Content-Length")) > 1000
        assert client.get("/metrics", token="a-wrong-token-of-size").status == 200
        check.problem(client.post("/metrics", {}), 405, "method-not-allowed")


@pytest.mark.slow
def test_a_thousand_coupons_are_told_and_the_rest_counted(server, admin):
    for number in range(1005):
        check.new_coupon(admin, id=1005 - number)
    figures = ledgers.eventually(lambda: scrape(admin),
                                 lambda found: found.value("coupon_coupons") == 1005)
    run_promtool("check", "metrics", given=figures.body)
    told = figures.by("coupon_coupon_issued", "coupon")
    assert sorted(map(int, told)) == list(range(1, 1001))
    assert figures.value("coupon_coupons_left_out") == 5
    assert check.coupon(admin.patch("/v1/coupons/3", {"archived": True}))["archived"]
    told = ledgers.eventually(lambda: scrape(admin).by("coupon_coupon_issued", "coupon"),
                              lambda found: "3" not in found)
    assert "3" not in told and "1001" in told


# ---- what is made of the figures ----


def names_in(text):
    """The metrics that an expression names."""
    return set(re.findall(r"\b(?:coupon|process)_[a-z_]+", text))


def names_told(figures):
    """Every family and sample, those with buckets, sum and count included."""
    return set(figures.types) | {name for name, _ in figures.samples}


def told_with_redis():
    """The families that a server tells with Redis in front of the record; tests/cluster asks one."""
    with open(os.path.join(ROOT, "src/api/metrics.c"), encoding="ascii") as file:
        source = file.read()
    queue = source[source.index("static void tell_queue("):source.index("static void tell_writer(")]
    return names_in(queue)


def board_expressions():
    with open(os.path.join(ROOT, "deploy/grafana/coupon.json"), encoding="utf-8") as file:
        board = json.load(file)
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


@pytest.mark.embedded("alerts and board of the embedded mode")
def test_the_alert_rules_pass_their_tests():
    run_promtool("check", "rules", "deploy/prometheus/alerts.yml")
    run_promtool("test", "rules", "deploy/prometheus/alerts_test.yml")


@pytest.mark.embedded("alerts and board of the embedded mode")
def test_the_boards_expressions_can_be_read(tmp_path):
    rules = [{"record": "panel:%d" % number,
              "expr": text.replace("$__rate_interval", "1m").replace("$instance", ".*")}
             for number, text in enumerate(board_expressions())]
    path = tmp_path / "board.yml"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    run_promtool("check", "rules", str(path))


@pytest.mark.embedded("alerts and board of the embedded mode")
def test_alerts_and_board_use_metrics_that_exist(shared_server):
    with shared_server.client() as client:
        told = names_told(scrape(client))
    assert len(told_with_redis()) >= 8 and not told_with_redis() & told
    told |= told_with_redis()
    with open(os.path.join(ROOT, "deploy/prometheus/alerts.yml"), encoding="utf-8") as file:
        rules = file.read()
    assert names_in(rules) and names_in(rules) <= told, names_in(rules) - told
    expressions = board_expressions()
    assert len(expressions) >= 10
    for expression in expressions:
        assert names_in(expression) <= told, names_in(expression) - told


def test_every_metric_has_its_line_in_the_document(shared_server):
    with shared_server.client() as client:
        families = set(scrape(client).types)
    with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
        document = file.read()
    for family in families | told_with_redis():
        assert "`%s" % family in document, family
