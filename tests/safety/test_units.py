"""The systemd units: how much they leave open, and that the program works inside."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import units
from conftest import FILTER
from support import check
from support.server import BINARY
from servers.coupon import Worker

pytestmark = pytest.mark.skipif(
    units.analyze() is None,
    reason="NOT TESTED: the units of deploy/; there is no systemd-analyze (package systemd)")

UNITS = {"coupon.service": 1.2, "coupon-worker.service": 1.1}
# SQLite gives files to the database's owner when it runs as root, which it does not there.
ONLY_AS_ROOT = {"fchown"}
SOURCE = units.ROOT / "src" / "cli" / "seccomp.c"


@pytest.fixture(params=sorted(UNITS))
def unit(request):
    return units.Unit(request.param)


def test_a_unit_is_right(unit):
    done = units.ask("verify", "--man=no", unit.path)
    told = [line for line in done.stderr.splitlines() if unit.path.name in line
            and "is not executable" not in line]  # where the package is not installed
    assert not told


def test_a_unit_leaves_little_open(unit):
    assert unit.exposure() <= UNITS[unit.path.name]


@pytest.mark.parametrize("setting", ["NoNewPrivileges=yes", "PrivateUsers=yes", "ProtectHome=yes",
                                     "SystemCallFilter=@system-service", "User=coupon"])
def test_a_setting_that_is_lost_is_noticed(tmp_path, setting, unit):
    text = unit.path.read_text(encoding="utf-8")
    assert setting in text
    unit.path = tmp_path / unit.path.name
    unit.path.write_text(text.replace(setting, ""), encoding="utf-8")
    assert unit.exposure() > UNITS[unit.path.name]


def calls_of_the_program():
    """The tables of src/cli/seccomp.c but that of the deadly."""
    text = SOURCE.read_text(encoding="utf-8")
    tables = re.findall(r"static const (?:int|struct condition) (\w+)\[\] = \{(.*?)\};", text, re.S)
    assert {name for name, _ in tables} >= {"allowed", "outward", "deadly", "conditions"}
    return {call for name, table in tables if name != "deadly"
            for call in re.findall(r"SCMP_SYS\((\w+)\)", table)}


def test_a_unit_allows_what_the_program_allows_itself(unit):
    """And a call that the program has not on its list is not on the unit's by oversight alone."""
    assert calls_of_the_program() - unit.calls() <= ONLY_AS_ROOT | {"sched_setaffinity"}
    assert not unit.calls() & {"ptrace", "mount", "bpf", "setuid", "keyctl", "process_vm_readv",
                               "init_module", "reboot", "userfaultfd", "unshare", "io_uring_setup"}
    assert "seccomp" in unit.calls()


# ---- inside -----------------------------------------------------------------------------------

def may_unshare():
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True,
                          check=False).returncode == 0


inside = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access(FILTER, os.X_OK) or not may_unshare(),
    reason="NOT TESTED: the program in a unit's sandbox; that needs root, file systems of its own, and "
           "under-filter (COUPON_UNDER_FILTER), which a build with a sanitizer does not have")


@pytest.fixture
def open_folder():
    """Where everybody can reach, and no sandbox hides. In it, the program and a folder of nobody's."""
    path = Path("/var/tmp/coupon-safety-%d" % os.getpid())
    path.mkdir(mode=0o755)
    shutil.copy(BINARY, path / "coupon")
    (path / "home").mkdir(mode=0o700)
    shutil.chown(path / "home", "nobody", "nogroup")
    yield path
    shutil.rmtree(path)


@inside
def test_the_sandbox_made_by_hand_is_one(unit, open_folder):
    """Otherwise the tests below would tell nothing."""
    world = unit.world(open_folder, FILTER, open_folder / "home")

    def tried(script):
        return subprocess.run([*world, "sh", "-c", script], capture_output=True, text=True,
                              check=False).returncode
    assert tried("touch %s/home/probe" % open_folder) == 0
    for forbidden in ("touch /usr/coupon-probe", "touch %s/probe" % open_folder, "ls /root",
                      "cat /proc/meminfo", "ls /proc/1/", "cat /dev/kmsg",
                      "mount -t tmpfs none /mnt", "kill -0 1"):
        assert tried(forbidden) != 0, forbidden


@inside
def test_a_server_works_inside(new_server, open_folder):
    world = units.Unit("coupon.service").world(open_folder, FILTER, open_folder / "home")
    server = new_server(data=open_folder / "home" / "data", under=world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("support.server.BINARY", str(open_folder / "coupon"))
        server.start()
    with server.admin() as admin, server.client() as client:
        coupon = check.new_coupon(admin, totalQuantity=1)["id"]
        claim = "/v1/coupons/%d/issues" % coupon
        check.success(client.post(claim, {"userId": "ann"}), 201)
        check.problem(client.post(claim, {"userId": "bob"}), 409, "sold-out")
        check.success(admin.patch("/v1/coupons/%d" % coupon, {"totalQuantity": 2}), 200)
        check.success(client.post(claim, {"userId": "bob"}), 201)
        assert b"process_open_fds" in client.get("/metrics").body
    server.process.send_signal(signal.SIGHUP)
    server.wait_event("credentials-reloaded")
    server.stop()
    assert not [line for line in server.lines if "level=warn" in line or "level=error" in line]


class WorkerInside(Worker):
    world = ()

    def command(self):
        return [*self.world, *super().command()]


@inside
@pytest.mark.parametrize("store", ["mariadb"], indirect=True)
def test_a_worker_works_inside(new_node, store, redis, open_folder):
    node = new_node(store, redis)
    urls = node.worker.urls
    node.worker.stop()
    worker = WorkerInside(open_folder / "coupon", urls)
    worker.world = units.Unit("coupon-worker.service").world(open_folder, FILTER,
                                                             open_folder / "home")
    with worker:
        worker.start()
        with node.admin() as admin, node.client() as client:
            coupon = check.new_coupon(admin)["id"]
            check.success(client.post("/v1/coupons/%d/issues" % coupon, {"userId": "ann"}), 201)
        worker.stop()
        assert worker.exit_code == 0 and "level=warn" not in worker.log()
