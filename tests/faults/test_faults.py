"""The cases of the fault table as tests: those of every run, and with `-m ''` all of them. What is
printed by ./dev faults as a table is asserted here."""

import pytest

from faults.faults import FAULTS
from faults.table import details_of, line_of, run_case
from servers import cluster

LEDGERS = ("mysql", "postgres")


def cases():
    """Each case with each ledger. Those of every run have one of the two each, in turn, but for the
    one without a fault, which has both."""
    turn = 0
    for fault in FAULTS:
        for number, ledger in enumerate(LEDGERS):
            chosen = fault.in_gate and (fault.name == "none" or number == turn % len(LEDGERS))
            yield pytest.param(fault, ledger, id=f"{fault.name}-{ledger}",
                               marks=[pytest.mark.gate] if chosen else [])
        turn += fault.in_gate


@pytest.mark.parametrize("fault, ledger", cases())
def test_promises_are_kept(fault, ledger, binary, scale, logs):
    why = fault.missing() or cluster.missing(binary, "redis", ledger, False)
    if why:
        pytest.skip(f"NOT TESTED: {why}")
    result = run_case(binary, ledger, fault, scale, logs)
    print("\n".join([line_of(result), *details_of(result)]))
    assert not result.violations
