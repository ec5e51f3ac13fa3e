"""MariaDB shows what was committed before its log is on the disk: what another program made of it
is told once it is durable. Here InnoDB's log can be held (hold_log.c) and the server be killed then.
On a disk: in /dev/shm the log is memory."""

import os
import select
import shutil
import tempfile

import pytest
from servers import MariaDB

COUPON = 1


@pytest.fixture(scope="module")
def shared_server(build):
    if MariaDB.missing():
        pytest.skip(f"NOT TESTED: MariaDB; {MariaDB.missing()}")
    with tempfile.TemporaryDirectory(prefix="coupon-mariadb-", dir="/var/tmp") as folder:
        with MariaDB(folder) as server:
            library = shutil.copy(build / "hold-log.so", folder)  # where the server's user may read
            os.chmod(library, 0o644)
            server.prefix = ["env", f"LD_PRELOAD={library}", f"COUPON_HOLD_LOG={folder}/held"]
            server.start()
            yield server


@pytest.fixture
def held_log(server):
    """held_log(True): InnoDB writes nothing into its log from now on, until held_log(False)."""
    held = server.folder / "held"

    def hold(wanted):
        if wanted:
            held.touch()
        else:
            held.unlink(missing_ok=True)

    yield hold
    hold(False)


def has_answered(driver, seconds):
    return bool(select.select([driver.process.stdout], [], [], seconds)[0])


@pytest.mark.parametrize("question", ["look", "settle"])
def test_what_another_wrote_is_not_told_before_it_is_durable(server, database, held_log, new_driver,
                                                             question):
    writer, reader = new_driver(), new_driver()
    assert writer("open-coupon", 1) == ("ok", str(COUPON))
    held_log(True)
    writer.send("settle", COUPON, 1, 1)
    server.wait_for("SELECT COUNT(*) FROM coupon_issues", "1", database)
    assert not has_answered(writer, 0)
    reader.send(question, COUPON, 1, 2)  # one who holds it, and one for whom nothing is left
    assert not has_answered(reader, 1)
    server.kill()
    held_log(False)
    assert writer.answer()[0] == "ambiguous"
    assert reader.answer()[0] in ("io", "ambiguous")
    server.start()
    assert server.sql("SELECT COUNT(*) FROM coupon_issues", database) == "0"
    assert reader.again("settle", COUPON, 2, 1) == ("ok", "1")


@pytest.mark.parametrize("question, answer", [("look", "0"), ("settle", "1")])
def test_what_another_wrote_is_told_once_it_is_durable(server, database, held_log, new_driver,
                                                       question, answer):
    writer, reader = new_driver(), new_driver()
    assert writer("open-coupon", 1) == ("ok", str(COUPON))
    held_log(True)
    writer.send("settle", COUPON, 1, 1)
    server.wait_for("SELECT COUNT(*) FROM coupon_issues", "1", database)
    reader.send(question, COUPON, 1, 2)
    assert not has_answered(reader, 0.2)
    held_log(False)
    assert writer.answer() == ("ok", "1")
    assert reader.answer() == ("ok", answer)
