"""A real Redis with the function library, and an open partition in it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partition import Partition, load_library  # noqa: E402
from servers import Redis  # noqa: E402


def pytest_collection_modifyitems(items):
    """Without the program nothing here can run; what that leaves untested is told."""
    why = Redis.missing()
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"NOT TESTED: Redis' functions; {why}"))


class PermittedRedis(Redis):
    """Its `default` user is off and yet may do everything: as that user Redis 7.0 reads its
    append-only file again, and drops each transaction with a command that it may not give. What a
    function wrote is a transaction."""

    def config(self):
        return ["user default off ~* &* +@all" if line == "user default off" else line
                for line in super().config()]


@pytest.fixture
def new_redis():
    """Starts servers of the test's own, with the library."""
    made = []

    def make(**how):
        server = PermittedRedis(**how)
        made.append(server)
        server.start()
        with server.connect() as wire:
            load_library(wire)
        return server

    yield make
    for server in made:
        server.__exit__()


@pytest.fixture(scope="session")
def shared_redis():
    with Redis(appendonly=False) as server:
        server.start()
        yield server


@pytest.fixture
def wire(shared_redis):
    """A connection to an empty Redis."""
    with shared_redis.connect() as made:
        made.ask("FLUSHALL")
        load_library(made)
        yield made


@pytest.fixture
def partition(wire):
    made = Partition(wire)
    assert made.open() == ["ok", "3"]
    return made
