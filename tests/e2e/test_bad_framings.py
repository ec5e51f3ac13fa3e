"""The hard cases of HTTP, as they are: bytes that are no HTTP, or ambiguous, each with its exact answer.

The rows are in tests/hostile/cases. There they are also sent byte by byte, beside nginx and haproxy, and
through both; here in every build and with every ledger."""

import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hostile"))

import framing  # noqa: E402  in tests/hostile/
from cases import CASES  # noqa: E402


@pytest.fixture(scope="module")
def prepared_server(shared_server):
    framing.prepare(shared_server)
    return shared_server


@pytest.mark.parametrize("case", CASES, ids=lambda case: "%s: %s" % (case.group, case.name))
def test_a_case_is_answered_as_its_row_says(prepared_server, case):
    framing.as_it_is(prepared_server, case)


def test_after_all_this_nothing_was_claimed_and_the_server_still_serves(prepared_server):
    framing.assert_nothing_slipped_through(prepared_server)
