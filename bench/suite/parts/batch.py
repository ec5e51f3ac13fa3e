"""issues:batch with 1,000 and with 10,000 users a call: durable claims a second, over one and over
two connections, and how much memory the server had at its peak. The client (batch_client.c) has
its bodies ready before the clock starts. Every turn has a new server and record, read by `coupon
verify` afterwards."""

import json
import os

from suite.coupon import check_record, coupon_server, metric
from suite.figures import measurement, rotated
from suite.machine import Others, memory_bytes, sync_lines, sync_times_us
from suite.processes import Refused, finished, processor_seconds

SUMMARY = "issues:batch, 1,000 and 10,000 users a call, over one and two connections"
CONNECTIONS = (1, 2)
USERS = (1000, 10000)  # a call; the last is the most that the server takes
WAYS = tuple((users, connections) for users in USERS for connections in CONNECTIONS)
FIGURES = {"claims_per_s": "1/s", "cpu_us_per_claim": "us", "client_cpu_share": "of one core",
           "peak_bytes": "B", "peak_bytes_besides": "B"}


def steps(settings):
    rows = settings.calls * USERS[-1] * len(USERS) * sum(CONNECTIONS)
    return [("batch", settings.turns * (4 + rows / 350000))]


def engine_bytes(server):
    """What the server has for issues and their index."""
    return metric(server.metrics(), "coupon_engine_memory_bytes")


def one_turn(run, users, connections, turn):
    """The figures of one server's life. Of calls with fewer users there are more."""
    calls = run.settings.calls * USERS[-1] // users
    with run.folder() as folder:
        syncs = sync_times_us(folder)
        with coupon_server(run.program("coupon"), folder, os.cpu_count()) as server:
            coupon = server.new_coupon("batches", None)
            resident, engine = memory_bytes(server.process, "VmRSS"), engine_bytes(server)
            before, others = processor_seconds(server.process), Others()
            told = json.loads(finished(
                [run.program("batch-client"), server.port, coupon, connections, calls, users,
                 f"t{turn}"], 600, stdin=server.token))
            used = processor_seconds(server.process) - before
            other_work = others.share(used)
            peak = memory_bytes(server.process, "VmHWM")
            besides = peak - resident - (engine_bytes(server) - engine)
            server.stop()
        if told["issued"] != told["users"]:
            raise Refused(f"not all users of the batches got theirs: {told}")
        check_record(run.program("coupon"), server.data, told["issued"], 0)
    return {"claims_per_s": told["issued"] / told["seconds"], "other_work": other_work,
            "cpu_us_per_claim": used * 1e6 / told["issued"],
            "client_cpu_share": told["client_cpu_s"] / told["seconds"],
            "peak_bytes": peak, "peak_bytes_besides": besides}, syncs


def lines_of(seen, calls):
    """`seen`: {(users a call, connections): [what one_turn gave, a turn each]}."""
    return [measurement(figure, unit, [turn[figure] for turn in turns],
                        {"connections": connections, "users_a_call": users,
                         "issues": calls * USERS[-1] * connections},
                        other_work=[turn["other_work"] for turn in turns])
            for (users, connections), turns in seen.items() for figure, unit in FIGURES.items()]


def measure(run):
    run.progress.step()
    seen, syncs = {way: [] for way in WAYS}, []
    for turn in range(run.settings.turns):
        for way in rotated(WAYS, turn):
            figures, times = one_turn(run, *way, turn)
            seen[way].append(figures)
            syncs.append(times)
    run.write(*lines_of(seen, run.settings.calls), *sync_lines(syncs, {}))
