"""Some power cuts (run.py runs as many as one likes), and proof that a missing sync is seen."""

import collections
from pathlib import Path

import pytest

from kill import power

CUTS = 5
CONTROL_CUTS = 30  # without any sync the first is enough nearly always


pytestmark = pytest.mark.gate


@pytest.fixture(scope="module")
def why_not():
    return power.missing()


@pytest.fixture(autouse=True)
def may_mount(why_not):
    if why_not:
        pytest.skip(f"NOT TESTED: {why_not}")


def test_after_a_power_cut_everything_that_was_told_is_there(programs, seeded):
    tally, figures = collections.Counter(), {}
    for found in power.play_disk(programs, seeded, tally, figures, CUTS):
        assert found == []
    print(tally, figures)
    assert tally["power cut"] == CUTS
    assert figures["issues"] > 10


def test_a_server_that_does_not_sync_is_found_out(programs, seeded):
    """The negative control: the same cuts, and everything that syncs is made to do nothing."""
    codes = set()
    for _ in range(CONTROL_CUTS):
        found = first_findings(programs, seeded)
        codes |= {sentence.split(":")[0] for sentence in found}
        if {"success-lost", "change-lost", "repeat-lost"} & codes:
            return
    raise AssertionError(f"no cut lost anything: {codes}")


def first_findings(programs, random):
    for found in power.play_disk(programs, random, collections.Counter(), {}, 1,
                                 environment={"LD_PRELOAD": str(programs.nosync)}):
        return found
    return []


def test_nothing_stays_behind_of_a_round_that_fails():
    with pytest.raises(RuntimeError, match="planted"):
        with power.Disk() as disk:
            image = disk.image
            raise RuntimeError("planted")
    assert not image.parent.exists()
    assert str(image.parent) not in Path("/proc/self/mounts").read_text()
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [name for name in backing if name.startswith(str(image))]


def test_what_was_told_once_the_cut_had_begun_counts_as_never_told(tmp_path):
    log = tmp_path / "crowd.log.0"
    log.write_text("claim 1 90 7 alice -\ntold 1 99 issued 1 5\nclaim 2 99 7 bob -\n"
                   "told 2 100 issued 2 5\nclaim 3 101 7 carol -\ntold 3 102 sold-out 0 0\n"
                   "claim 4 103 7 dave -\ntold 4 10")
    assert power.forget_after(log, 100) == 1
    assert log.read_text() == ("claim 1 90 7 alice -\ntold 1 99 issued 1 5\nclaim 2 99 7 bob -\n"
                               "claim 3 101 7 carol -\nclaim 4 103 7 dave -\n"
                               "told 4 10")
