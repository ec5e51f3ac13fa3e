"""A big event: 100,000 coupons of 10 made through POST /v1/coupons, then 1,000,000 claims spread
over all of them in random order, each by a new user: every claim is accepted, every coupon sold to
the last. Two loops, 256 connections; every turn has a new server and record, read by `coupon
verify` afterwards.
"""

from suite.coupon import body_of_coupon, check_record, coupon_server, record_rows
from suite.figures import measurement
from suite.load_client import LATENCIES, ask, check_answers
from suite.machine import memory_bytes, sync_lines, sync_times_us

SUMMARY = "1,000,000 claims on 100,000 coupons (only when asked for)"
COUPONS, QUICK_COUPONS = 100_000, 5_000
QUANTITY = 10
LOOPS = 2
STAGES = ("create", "claim")
FIGURES = {"requests_per_s": "1/s", "cpu_us_per_request": "us", "client_cpu_share": "of one core",
           **{f"latency_{name}": "us" for name in LATENCIES}, "checkpoints": "checkpoints",
           "checkpoint_max": "us"}
WHOLE = {"unsold": "coupons", "memory_peak": "B", "memory_after_create": "B", "file_bytes": "B"}


def coupons_of(settings):
    return QUICK_COUPONS if settings.quick else COUPONS


def steps(settings):
    coupons = coupons_of(settings)
    return [("event", settings.turns * (4 + coupons / 4_000 + coupons * QUANTITY / 18_000))]


def figures_of(told):
    return {**told, "client_cpu_share": told["client_cpu_s"] / told["seconds"],
            **{f"latency_{name}": told["latency_us"]["all"][name] for name in LATENCIES}}


def unsold(data):
    """How many coupons have other than all of theirs issued."""
    return record_rows(data, "SELECT count(*) FROM coupons WHERE issued_quantity <> ?",
                       QUANTITY)[0][0]


def one_turn(run, turn):
    """{stage: its figures}, the figures of the whole, and how long syncs took before."""
    coupons = coupons_of(run.settings)
    with run.folder() as folder:
        syncs = sync_times_us(folder)
        with coupon_server(run.program("coupon"), folder, LOOPS) as server:
            created = ask(run, server, "crowd", "/v1/coupons", "--users", coupons,
                          "--header", f"Authorization: Bearer {server.token}",
                          "--body", body_of_coupon("event", QUANTITY), seconds=coupons / 2000)
            check_answers("making coupons", created, 201)
            memory = memory_bytes(server.process, "VmHWM")
            # Coupons of a new record are numbered from 1.
            claimed = ask(run, server, "event", "/v1/coupons/{}/issues", "--coupons",
                          f"1:{coupons}", "--users", coupons * QUANTITY, "--prefix", "event",
                          "--seed", turn, seconds=coupons * QUANTITY / 10_000)
            check_answers("claims", claimed, 201)
            whole = {"memory_after_create": memory,
                     "memory_peak": memory_bytes(server.process, "VmHWM")}
            server.stop()
        check_record(run.program("coupon"), server.data, coupons * QUANTITY, 0)
        whole |= {"unsold": unsold(server.data),
                  "file_bytes": (server.data / "coupon.db").stat().st_size}
    return {"create": figures_of(created), "claim": figures_of(claimed)}, whole, syncs


def measure(run):
    run.progress.step()
    turns = [one_turn(run, turn) for turn in range(run.settings.turns)]
    run.write(*lines_of([stages for stages, _, _ in turns], [whole for _, whole, _ in turns],
                        coupons_of(run.settings)), *sync_lines([times for _, _, times in turns], {}))


def lines_of(stages, wholes, coupons):
    """`stages`: a turn each, {stage: its figures}; `wholes`: a turn each."""
    parameters = {"coupons": coupons, "claims": coupons * QUANTITY, "loops": LOOPS}
    lines = [measurement(figure, unit, [turn[stage][figure] for turn in stages],
                         {"stage": stage, **parameters},
                         other_work=[turn[stage]["other_work"] for turn in stages])
             for stage in STAGES for figure, unit in FIGURES.items()]
    return lines + [measurement(figure, unit, [turn[figure] for turn in wholes], parameters)
                    for figure, unit in WHOLE.items()]
