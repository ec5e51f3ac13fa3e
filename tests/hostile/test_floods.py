"""Floods and slow clients, short: what they do to the server, not what they cost in time."""

import pytest
import slow
from floods import FLOODS, LONG
from stage import Stage


@pytest.mark.parametrize("name", [name for name in FLOODS if name not in LONG])
def test_a_flood_harms_nobody(name):
    FLOODS[name](1)


def test_slow_clients_are_let_go_and_honest_ones_do_not_notice():
    slow.short(1)


def test_an_honest_client_that_is_not_served_is_noticed():
    with pytest.raises(AssertionError):
        with Stage("--connections", 1) as stage:
            while not stage.honest.error:  # sooner or later it is turned away
                stage.connect()
