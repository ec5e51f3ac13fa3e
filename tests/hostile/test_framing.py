"""The table of hard cases: each as its row says, none laxer than nginx and haproxy both are, and no
proxy in front of coupon that loses count."""

import dataclasses

import compare
import framing
import proxies
import pytest
from cases import CASES

# What may make two readers lose count; ./dev hostile framing sends them all.
ABOUT_LENGTHS = ("line end", "Content-Length", "Transfer-Encoding", "both lengths", "chunks",
                 "a body where none is wanted", "one after the other", "early end")

needs_proxies = pytest.mark.skipif(bool(proxies.missing()), reason=f"NOT TESTED: {proxies.missing()}")


@pytest.mark.parametrize("case", CASES, ids=compare.key_of)
def test_a_case_is_answered_as_its_row_says_however_it_arrives(prepared_server, case):
    for manner in framing.MANNERS:
        manner(prepared_server, case)


def test_no_smuggled_claim_was_taken(prepared_server):
    framing.assert_nothing_slipped_through(prepared_server)


def test_there_are_at_least_three_hundred_cases():
    assert len(CASES) >= 300


@pytest.mark.parametrize("case", CASES[::29], ids=compare.key_of)
def test_a_row_that_is_wrong_is_noticed(prepared_server, case):
    answers = (*case.answers[:-1], "200" if case.answers[-1:] != ("200",) else "400 malformed-http")
    with pytest.raises(AssertionError):
        framing.as_it_is(prepared_server, dataclasses.replace(case, answers=answers))


@needs_proxies
def test_coupon_is_never_laxer_than_both_proxies_and_its_strictness_has_reasons():
    table = compare.read_table()
    assert compare.faults_of(*compare.compared(CASES, table), table) == []


@needs_proxies
def test_behind_a_proxy_coupon_sees_exactly_the_requests_that_were_sent(prepared_server):
    cases = [case for case in CASES if case.group in ABOUT_LENGTHS]
    assert list(compare.desynchronizations(prepared_server, cases)) == []
    with prepared_server.admin() as admin:
        assert admin.get("/readyz").status == 200


class TestTheComparisonItself:
    CASE = next(case for case in CASES if case.name == "two spaces before the target")
    LAX = next(case for case in CASES if case.name == "the plain request")

    def table(self, **changes):
        line = compare.read_table()[compare.key_of(self.CASE)]
        return line, {line.name: dataclasses.replace(line, **changes)}

    def faults(self, line, table, laxer=()):
        return [fault for fault in compare.faults_of([line], laxer, table) if "no case has" not in fault]

    def test_a_case_that_both_refuse_and_coupon_takes_is_a_fault(self):
        refused = {"nginx": ["400"], "haproxy": ["400"]}
        line, laxer = compare.line_of(self.LAX, refused, None)
        assert laxer and self.faults(line, {line.name: line}, [line.name])
        assert not compare.line_of(self.LAX, {"nginx": ["400"], "haproxy": ["200", "200"]}, None)[1]

    def test_strictness_without_a_reason_is_a_fault(self):
        line, _ = compare.line_of(self.CASE, {"nginx": ["200", "200"], "haproxy": ["400"]}, None)
        assert line.stricter == "?" and self.faults(line, {line.name: line})

    def test_a_table_that_says_otherwise_is_a_fault(self):
        line, table = self.table()
        assert not self.faults(line, table)
        assert self.faults(line, self.table(nginx="400")[1])
        assert self.faults(line, self.table(stricter="")[1])
        assert self.faults(line, {})
        assert self.faults(line, {**table, "gone": line})

    def test_a_count_that_is_lost_is_a_fault(self):
        assert not compare.desynchronized([("200", 1), ("400", 0), ("400", 1)], 1)
        assert not compare.desynchronized([("200", 1), ("400", 0), ("400", 1)], 2)
        assert compare.desynchronized([("200", 1), ("400", 0), ("400", 1)], 3)
        assert compare.desynchronized([("200", 1), ("200", 1)], 1)
