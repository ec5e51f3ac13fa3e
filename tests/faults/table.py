"""One case from start to end, and its line in the table."""

import traceback
from pathlib import Path

from faults.case import Case
from faults.judge import Result

HEAD = (f"{'case':<27} {'ledger':<9} {'claims':>7} {'201s':>6} {'202s':>6} {'rows':>6} "
        f"{'missing':>7} {'surplus':>7} {'lost':>6} {'longest':>8} {'seconds':>8}")
WON_SHARE = 0.9  # of the rows, where nothing fails


def line_of(result):
    return (f"{result.case:<27} {result.ledger:<9} {result.claims:>7} {result.won:>6} "
            f"{result.queued:>6} {result.rows:>6} {result.missing:>7} {result.surplus:>7} "
            f"{result.lost:>6} {result.longest_s:>6.1f} s {result.seconds:>6.1f} s")


def details_of(result):
    codes = ", ".join(f"{count} {code}" for code, count in sorted(result.codes.items(), key=str))
    return [f"    answers besides: {codes}", *(f"    {note}" for note in result.notes),
            *(f"    VIOLATION: {sentence}" for sentence in result.violations)]


def keep_logs(case, name, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part in case.cluster.parts():
        (folder / f"{name}-{part.folder.name}.log").write_text(part.log())


def run_case(binary, ledger, fault, scale, logs):
    """The logs of all its parts are kept in `logs` when a promise was broken."""
    result = Result()
    with Case(binary, ledger, scale, fault.redis, fault.make_redis) as case:
        try:
            result = case.run(fault)
            if fault.name == "none" and result.won < WON_SHARE * result.rows:
                result.violations.append(f"fewer than {WON_SHARE:.0%} of the rows were told 201")
            if result.lost and not fault.loses:
                result.violations.append(f"{result.lost} admissions were lost for no reason")
        except Exception:  # told in the table, which has more cases to come
            result.violations.append("the case itself failed:\n" + traceback.format_exc())
            if case.crowd:
                result.codes = dict(case.crowd.counts)
        result.case, result.ledger = fault.name, ledger
        if result.violations:
            keep_logs(case, f"{fault.name}-{ledger}", logs)
    return result
