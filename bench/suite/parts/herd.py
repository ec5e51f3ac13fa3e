"""A thundering herd: 10,000 connections opened within one second, each with one claim as soon as
it is open; latency counts from connect(). Against a coupon of 500, and against one without a limit,
where every claim is a row. Two loops; every turn has a new server and record, read by `coupon
verify` afterwards.
"""

import resource
from pathlib import Path

from suite.coupon import check_record, coupon_server
from suite.figures import measurement, rotated
from suite.load_client import LATENCIES, ask
from suite.machine import memory_bytes, sync_lines, sync_times_us
from suite.processes import Refused

SUMMARY = "10,000 connections within one second, a claim each (only when asked for)"
CASES = {"500": 500, "unlimited": None}
USERS = 10_000
DESCRIPTORS = USERS + 256  # of the server, and of the client
LOOPS = 2
FIGURES = {**{f"latency_{name}": "us" for name in LATENCIES}, "unanswered": "claims",
           "other_answers": "claims", "issued": "claims", "memory_peak": "B",
           "syn_retransmits": "segments", "listen_drops": "connections", "seconds": "s"}


def steps(settings):
    return [("herd", settings.turns * len(CASES) * 3)]


def tcp_counts():
    """The kernel's counters of what a full backlog costs, by name: of the whole machine."""
    lines = Path("/proc/net/netstat").read_text().splitlines()
    names, values = [line.split() for line in lines if line.startswith("TcpExt:")]
    counts = dict(zip(names, values))
    return {"syn_retransmits": int(counts["TCPSynRetrans"]),
            "listen_drops": int(counts["ListenDrops"])}


def figures_of(told, quantity):
    """What one herd was told, as the figures of a turn. `quantity` None: unlimited."""
    issued = told["status"].get("201", 0)
    expected = {"201"} if quantity is None else {"201", "409"}
    return {**{f"latency_{name}": told["latency_us"]["all"][name] for name in LATENCIES},
            "unanswered": told["failed"], "issued": issued, "seconds": told["seconds"],
            "other_answers": sum(count for status, count in told["status"].items()
                                 if status not in expected),
            "other_work": told["other_work"]}


def one_turn(run, case, turn):
    with run.folder() as folder:
        syncs = sync_times_us(folder)
        with coupon_server(run.program("coupon"), folder, LOOPS) as server:
            coupon, before = server.new_coupon(case, CASES[case]), tcp_counts()
            told = ask(run, server, "herd", f"/v1/coupons/{coupon}/issues", "--users", USERS,
                       "--prefix", f"herd{turn}", seconds=10)
            kernel = {name: count - before[name] for name, count in tcp_counts().items()}
            memory = memory_bytes(server.process, "VmHWM")
            server.stop()
        seen = {**figures_of(told, CASES[case]), **kernel, "memory_peak": memory}
        check_record(run.program("coupon"), server.data, seen["issued"], seen["unanswered"])
        wanted = min(CASES[case] or USERS, USERS)
        if seen["issued"] != wanted and not seen["unanswered"]:
            raise Refused(f"{seen['issued']} issues were told of, not {wanted}: {told}")
    return seen, syncs


def measure(run):
    run.progress.step()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < DESCRIPTORS:
        raise Refused(f"wants {DESCRIPTORS} open files a process; raise the limit (ulimit -n)")
    seen, syncs = {case: [] for case in CASES}, []
    for turn in range(run.settings.turns):
        for case in rotated(list(CASES), turn):
            figures, times = one_turn(run, case, turn)
            seen[case].append(figures)
            syncs.append(times)
    run.write(*lines_of(seen), *sync_lines(syncs, {}))


def lines_of(seen):
    """`seen`: {case: [the figures of a turn, a turn each]}."""
    return [measurement(figure, unit, [turn[figure] for turn in turns],
                        {"case": case, "users": USERS, "loops": LOOPS},
                        other_work=[turn["other_work"] for turn in turns])
            for case, turns in seen.items() for figure, unit in FIGURES.items()]
