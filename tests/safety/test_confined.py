"""A server that runs has given up what it does not need: the calls of the kernel that are not on its
list, new rights, core dumps, and, when it was started as root, root."""

import os
import pwd
import shutil
import subprocess

import pytest

import processes
from conftest import nodes
from support import check
from support.server import BINARY, environment, run

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: --user needs root")


def has_filter():
    """Not when it was built with a sanitizer, which it says."""
    symbols = subprocess.run(["readelf", "--dyn-syms", "-W", BINARY], capture_output=True, text=True,
                             check=True).stdout
    return not any(word in symbols for word in ("__asan_init", "__tsan_init"))


filtered = pytest.mark.skipif(not has_filter(),
                              reason="NOT TESTED: a build with a sanitizer goes without seccomp")


def claim_one(server):
    with server.admin() as admin, server.client() as client:
        coupon = check.new_coupon(admin)["id"]
        check.success(client.post("/v1/coupons/%d/issues" % coupon, {"userId": "ann"}), 201)


def is_confined(pid):
    assert processes.of_all_threads(pid, "Seccomp") == {"2"}
    assert processes.of_all_threads(pid, "NoNewPrivs") == {"1"}
    assert processes.limit(pid, "Max core file size") == ("0", "0")


# ---- the filter -------------------------------------------------------------------------------

@filtered
def test_every_thread_of_a_server_has_the_filter(new_server):
    server = new_server().start()
    claim_one(server)
    is_confined(server.process.pid)
    server.stop()


@filtered
@nodes
def test_every_thread_of_a_node_and_of_a_worker_has_the_filter(new_node, store, redis, with_redis):
    node = new_node(store, redis if with_redis else None)
    claim_one(node)
    is_confined(node.pid)
    if with_redis:
        is_confined(node.worker.pid)


def test_without_it_there_is_none(new_server):
    server = new_server("--seccomp=off").start()
    claim_one(server)
    assert processes.of_all_threads(server.process.pid, "Seccomp") == {"0"}
    assert processes.of_all_threads(server.process.pid, "NoNewPrivs") == {"1"}


@filtered
def test_it_can_only_log(new_server):
    server = new_server("--seccomp", "log").start()
    claim_one(server)
    assert processes.of_all_threads(server.process.pid, "Seccomp") == {"2"}


@pytest.mark.parametrize("subcommand, flags", [
    ("serve", ["--seccomp=perhaps"]),
    ("serve", ["--core-dumps=1"]),
    ("worker", ["--seccomp", "ON", "--redis=redis://h", "--ledger=mysql://h"]),
])
def test_what_cannot_be_wished_is_a_wrong_option(subcommand, flags):
    done = run(subcommand, *flags)
    assert done.returncode == 2 and "cannot be" in done.stderr


# ---- root and other users ---------------------------------------------------------------------

@as_root
def test_a_server_that_stays_root_says_so(new_server):
    server = new_server().start()
    [warning] = server.events("running-as-root")
    assert warning["level"] == "warn" and "--user" in warning["hint"]


@as_root
def test_who_means_to_be_root_is_not_warned(new_server):
    server = new_server("--user", "root").start()
    assert not server.events("running-as-root")


@pytest.fixture
def folder_of_nobody(tmp_path):
    """For a process that is not root: the folders above it are not for everybody."""
    above = "/var/tmp/coupon-safety-%d" % os.getpid()
    os.mkdir(above, 0o755)
    os.mkdir(above + "/home", 0o700)
    os.chown(above + "/home", NOBODY.pw_uid, NOBODY.pw_gid)
    yield above + "/home"
    shutil.rmtree(above)


@as_root
def test_started_as_root_it_becomes_the_user_before_it_opens_anything(new_server, folder_of_nobody):
    server = new_server("--user", "nobody", data=folder_of_nobody + "/data").start()
    claim_one(server)
    pid = server.process.pid
    whose = "\t".join([str(NOBODY.pw_uid)] * 4)
    assert processes.of_all_threads(pid, "Uid") == {whose}
    assert processes.of_all_threads(pid, "Gid") == {"\t".join([str(NOBODY.pw_gid)] * 4)}
    assert processes.of_all_threads(pid, "Groups") == {str(NOBODY.pw_gid)}
    for rights in ("CapEff", "CapPrm", "CapAmb"):
        assert processes.of_all_threads(pid, rights) == {"0" * 16}
    names = os.listdir(server.data)
    assert {"admin-token", "coupon.db", "coupon.lock"} <= set(names)
    for name in names:
        file = os.stat(os.path.join(server.data, name))
        assert file.st_uid == NOBODY.pw_uid and file.st_mode & 0o777 == 0o600, name
    assert not server.events("running-as-root")
    assert not server.events("data-folder-exposed")
    server.stop()


@as_root
def test_a_folder_that_is_not_the_users_is_refused(new_server, tmp_path):
    server = new_server("--user", "nobody", data=tmp_path / "roots").spawn()
    assert server.wait() == 1
    assert "Permission denied" in server.events("cannot-start")[0]["why"]


@as_root
def test_an_unknown_user_is_told(new_server):
    server = new_server("--user", "no-such-user").spawn()
    assert server.wait() == 1
    assert "no-such-user" in server.events("cannot-start")[0]["why"]


@as_root
def test_only_root_can_become_somebody(tmp_path):
    program = shutil.copy(BINARY, tmp_path / "coupon")  # where others than root can reach it
    os.chmod(program, 0o755)
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        if folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    done = subprocess.run([program, "serve", "--user", "daemon"], capture_output=True, text=True,
                          env=environment(), check=False, user="nobody", group="nogroup",
                          extra_groups=[], timeout=60)
    assert done.returncode == 1 and "only root can become daemon" in done.stderr


# ---- memory -----------------------------------------------------------------------------------

@as_root
@pytest.mark.parametrize("flags, owner, limited", [
    ([], 0, True), (["--core-dumps=on"], NOBODY.pw_uid, False)], ids=["default", "core dumps"])
def test_memory_is_nobodys_to_look_at_unless_it_is_wished(new_server, folder_of_nobody, flags, owner,
                                                          limited):
    """The files of a process that cannot be dumped belong to root in /proc, and no debugger of the
    same user may attach."""
    server = new_server("--user", "nobody", *flags, data=folder_of_nobody + "/data").start()
    assert os.stat("/proc/%d/environ" % server.process.pid).st_uid == owner
    if limited:
        assert processes.limit(server.process.pid, "Max core file size") == ("0", "0")
    with server.client() as client:  # what it says of itself it reads there
        assert b"process_open_fds" in client.get("/metrics").body


# ---- folders and tokens -----------------------------------------------------------------------

@pytest.mark.parametrize("mode, warned", [(0o700, False), (0o750, False), (0o777, True)])
def test_a_folder_that_others_may_change_is_warned_of(new_server, tmp_path, mode, warned):
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    server = new_server(data=data).start()
    assert bool(server.events("data-folder-exposed")) == warned


@as_root
def test_a_folder_of_another_user_is_warned_of(new_server, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, NOBODY.pw_uid, NOBODY.pw_gid)
    assert new_server(data=data).start().events("data-folder-exposed")


def test_a_token_never_goes_into_a_file_that_was_there(new_server, tmp_path):
    """Whoever put it there holds it open."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    planted = data / "admin-token.new"
    planted.write_text("")
    planted.chmod(0o666)
    with open(planted, encoding="ascii") as held:
        server = new_server(data=data).start()
        assert len(server.token) == 43
        assert held.read() == ""
    assert os.stat(data / "admin-token").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["coupon.lock", "coupon.db-wal", "coupon.db.new", "coupon.hold",
                                  "admin-token.new"])
def test_nothing_is_written_through_a_link_that_was_planted(new_server, tmp_path, name):
    """Else whoever may write to the folder could have root overwrite any file."""
    data, victim = tmp_path / "data", tmp_path / "victim"
    data.mkdir(mode=0o700)
    victim.write_text("not a file of ours\n", encoding="ascii")
    (data / name).symlink_to(victim)
    server = new_server(data=data).spawn()
    if name in ("coupon.lock", "coupon.db-wal", "coupon.hold"):  # needed under that name
        assert server.wait() == 1 and server.events("cannot-start")
    else:
        server.wait_event("ready")
        server.stop()
    assert victim.read_text(encoding="ascii") == "not a file of ours\n"
