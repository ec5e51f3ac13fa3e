"""issues:batch with 10,000 users a call: durable claims a second, over one connection and over
two. The client (batch_client.c) has its bodies ready before the clock starts. Every turn has a
new server and record, read by `coupon verify` afterwards."""

import json
import os

from suite.coupon import check_record, coupon_server
from suite.figures import measurement, rotated
from suite.machine import Others, sync_lines, sync_times_us
from suite.processes import Refused, finished, processor_seconds

SUMMARY = "issues:batch, 10,000 users a call, over one and two connections"
CONNECTIONS = (1, 2)
USERS = 10000
FIGURES = {"claims_per_s": "1/s", "cpu_us_per_claim": "us", "client_cpu_share": "of one core"}


def steps(settings):
    rows = settings.calls * USERS * sum(CONNECTIONS)
    return [("batch", settings.turns * (2 + rows / 400000))]


def one_turn(run, connections, turn):
    """The figures of one server's life."""
    calls = run.settings.calls
    with run.folder() as folder:
        syncs = sync_times_us(folder)
        with coupon_server(run.program("coupon"), folder, os.cpu_count()) as server:
            coupon = server.new_coupon("batches", None)
            before, others = processor_seconds(server.process), Others()
            told = json.loads(finished(
                [run.program("batch-client"), server.port, coupon, connections, calls, USERS,
                 f"t{turn}"], 600, stdin=server.token))
            used = processor_seconds(server.process) - before
            other_work = others.share(used)
            server.stop()
        if told["issued"] != told["users"]:
            raise Refused(f"not all users of the batches got theirs: {told}")
        check_record(run.program("coupon"), server.data, told["issued"], 0)
    return {"claims_per_s": told["issued"] / told["seconds"], "other_work": other_work,
            "cpu_us_per_claim": used * 1e6 / told["issued"],
            "client_cpu_share": told["client_cpu_s"] / told["seconds"]}, syncs


def measure(run):
    run.progress.step()
    seen, syncs = {connections: [] for connections in CONNECTIONS}, []
    for turn in range(run.settings.turns):
        for connections in rotated(CONNECTIONS, turn):
            figures, times = one_turn(run, connections, turn)
            seen[connections].append(figures)
            syncs.append(times)
    for connections, turns in seen.items():
        parameters = {"connections": connections, "users_a_call": USERS,
                      "calls": run.settings.calls}
        run.write(*[measurement(figure, unit, [turn[figure] for turn in turns], parameters,
                                other_work=[turn["other_work"] for turn in turns])
                    for figure, unit in FIGURES.items()])
    run.write(*sync_lines(syncs, {}))
