"""The command line: help, version, flags and their environment, the admin token, refusals."""

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from support import check
from support.server import BINARY, run

pytestmark = pytest.mark.embedded("the command line of a data folder")

FLAGS = ["listen", "data", "threads", "cpu-affinity", "admin-token-file", "claim-auth", "claim-token-file",
         "jwt-algorithm", "jwt-key-file", "jwt-issuer", "jwt-audience", "connections", "queue"]
TOKEN = "a-token-of-our-own-that-is-long-enough-0123456789"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_the_subcommands(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("usage", "serve", "verify", "version", "help"):
        assert word in done.stdout


def test_without_a_subcommand_the_help_is_shown():
    done = run()
    assert done.returncode == 2
    assert "usage" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["serve", "-h"],
                                       ["serve", "--data", "x", "--help"]])
def test_help_of_serve_names_every_flag(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == ""
    for flag in FLAGS:
        assert "--" + flag in done.stdout
    for word in ("usage", "COUPON_DATA", "127.0.0.1:8080", "SIGTERM"):
        assert word in done.stdout


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_verify_tells_its_exit_codes(flag):
    done = run("verify", flag)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("usage", "--data", "0:", "1:", "2:"):
        assert word in done.stdout


@pytest.mark.parametrize("arguments", [["version"], ["--version"], ["-V"]])
def test_the_version_is_one_line(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("coupon 0.") and done.stdout.count("\n") == 1


WRONG = [
    (["sreve"], "sreve", "coupon help"),
    (["--serve"], "--serve", "help"),
    ([""], "", "help"),
    (["serve", "--lisen", "x"], "--lisen", "--help"),
    (["serve", "-p", "80"], "-p", "--help"),
    (["serve", "data"], "data", "--help"),
    (["serve", "--"], "--", "--help"),
    (["serve", "--data"], "--data", "value"),
    (["serve", "--threads", "0"], "--threads", "1"),
    (["serve", "--threads", "many"], "--threads", "many"),
    (["serve", "--threads", "-1"], "--threads", "-1"),
    (["serve", "--threads", "1000"], "--threads", "256"),
    (["serve", "--cpu-affinity", "on"], "--cpu-affinity", "auto|off"),
    (["serve", "--connections", "0"], "--connections", "1"),
    (["serve", "--queue", "0"], "--queue", "1"),
    (["serve", "--queue", "1e6"], "--queue", "1e6"),
    (["serve", "--queue=99999999999999999999"], "--queue", "9999"),
    (["serve", "--listen", "8080"], "--listen", "8080"),
    (["serve", "--listen", "127.0.0.1"], "--listen", "127.0.0.1"),
    (["serve", "--listen", "127.0.0.1:"], "--listen", "127.0.0.1:"),
    (["serve", "--listen", "127.0.0.1:65536"], "--listen", "65536"),
    (["serve", "--listen", "127.0.0.1:http"], "--listen", "http"),
    (["serve", "--listen", ":8080"], "--listen", ":8080"),
    (["serve", "--listen", "::1:8080"], "--listen", "::1:8080"),
    (["serve", "--listen", "example.org:80"], "--listen", "numeric"),
    (["serve", "--claim-auth", "some"], "--claim-auth", "none"),
    (["verify", "--listen", "x"], "--listen", "--help"),
    (["verify", "--data"], "--data", "value"),
]


@pytest.mark.parametrize("arguments, named, hint", WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_command_line_is_told_with_a_hint(arguments, named, hint, tmp_path):
    if arguments[:1] == ["serve"] and "--data" not in arguments:
        arguments = ["serve", "--data", str(tmp_path / "data"), *arguments[1:]]
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr and hint in done.stderr, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") <= 2
    assert not (tmp_path / "data").exists(), "something was made"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "10.0.0.1:0"])
def test_listening_for_other_machines_wants_a_word_about_claimers(listen, tmp_path):
    done = run("serve", "--data", tmp_path / "data", "--listen", listen)
    assert done.returncode == 2
    assert "--claim-auth" in done.stderr
    assert not (tmp_path / "data").exists()


def test_with_that_word_it_listens(new_server):
    server = new_server("--claim-auth", "none", listen="0.0.0.0:0").start()
    server.address = ("127.0.0.1", server.address[1])
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
        check.issued(admin.claim(coupon, "alice"))


@pytest.mark.parametrize("listen", ["127.0.0.2:0", "localhost:0"])
def test_every_loopback_address_is_served_without_it(new_server, listen):
    server = new_server(listen=listen).start()
    with server.client() as client:
        assert client.get("/healthz").status == 200


def test_an_address_of_another_machine_is_told(new_server):
    server = new_server("--claim-auth=none", listen="192.0.2.1:0").spawn()
    assert server.wait() == 1
    assert "192.0.2.1" in server.events("cannot-start")[0]["why"]


def test_every_flag_has_its_variable(new_server, tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    server = new_server(listen=None, env={
        "COUPON_LISTEN": "127.0.0.1:0", "COUPON_THREADS": "3", "COUPON_CONNECTIONS": "77",
        "COUPON_QUEUE": "88", "COUPON_ADMIN_TOKEN_FILE": str(token_file),
        "COUPON_CLAIM_AUTH": "none"}).start()
    told = server.wait_event("listening")
    assert told["threads"] == "3" and told["admin_token_file"] == str(token_file)
    with server.client() as client:
        check.success(client.get("/v1/coupons", token=TOKEN))


def test_the_data_folder_has_its_variable(tmp_path):
    done = run("verify", env={"COUPON_DATA": str(tmp_path / "from-env")})
    assert done.returncode == 2 and "from-env" in done.stderr


def test_a_flag_overrules_its_variable(new_server, tmp_path):
    server = new_server("--threads=2", env={"COUPON_THREADS": "3", "COUPON_LISTEN": "[::1]:1",
                                            "COUPON_DATA": str(tmp_path / "unused")}).start()
    assert server.wait_event("listening")["threads"] == "2"
    assert not (tmp_path / "unused").exists()


def test_an_empty_variable_is_none(new_server):
    server = new_server(env={"COUPON_THREADS": "", "COUPON_CLAIM_AUTH": ""}).start()
    assert int(server.wait_event("listening")["threads"]) >= 1


def test_a_wrong_variable_is_told(tmp_path):
    done = run("serve", "--data", tmp_path / "data", env={"COUPON_QUEUE": "x"})
    assert done.returncode == 2 and "queue" in done.stderr


@pytest.mark.parametrize("value, told", [
    ("1", "--allow-weak-durability goes with --ledger only"),
    ("yes", "--allow-weak-durability is 1 (on) or 0 (off), not \"yes\""),
])
def test_a_switch_has_its_variable(tmp_path, value, told):
    done = run("serve", "--data", tmp_path / "data", env={"COUPON_ALLOW_WEAK_DURABILITY": value})
    assert done.returncode == 2 and told in done.stderr


def test_a_switch_is_off_by_0(new_server):
    new_server(env={"COUPON_ALLOW_WEAK_DURABILITY": "0"}).start().wait_event("ready")


def test_a_folder_and_a_ledger_is_one_too_many(tmp_path):
    done = run("serve", "--ledger", "postgresql://localhost/none",
               env={"COUPON_DATA": str(tmp_path / "data")})
    assert done.returncode == 2 and "COUPON_DATA=" in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_standard_descriptor_is_not_taken_for_another_one(tmp_path, closed):
    process = subprocess.Popen(
        ["sh", "-c", f"exec {BINARY} serve --listen 127.0.0.1:0 --data {tmp_path}/data {closed}"])
    try:
        while not (tmp_path / "data" / "admin-token").exists():
            assert process.poll() is None
            time.sleep(0.01)
        for number in range(0 if "0<" in closed else 2, 3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
    finally:
        process.terminate()
        assert process.wait(60) == 0


class TestTheAdminToken:
    def test_it_is_made_at_the_first_start_for_the_owner_only(self, server):
        path = os.path.join(server.data, "admin-token")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert len(server.token) >= 32 and server.token.isascii()
        assert not server.events("admin-token-exposed")
        assert server.wait_event("listening")["admin_token_file"] == path

    def test_it_is_kept(self, server):
        token = server.token
        server.restart()
        assert server.token == token

    def test_every_folder_has_its_own(self, new_server):
        assert new_server().start().token != new_server().start().token

    def test_it_is_never_logged(self, server, admin):
        check.new_coupon(admin)
        with server.client() as client:
            client.get("/v1/coupons", token="wrong" + server.token)
        server.stop()
        assert server.token not in server.log()

    def own(self, tmp_path, content, mode=0o600):
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n# the rest is for people\n"])
    def test_it_may_come_from_a_file(self, new_server, tmp_path, end):
        path = self.own(tmp_path, TOKEN.encode() + end)
        server = new_server("--admin-token-file", path).start()
        assert not os.path.exists(os.path.join(server.data, "admin-token"))
        with server.client() as client:
            check.success(client.get("/v1/coupons", token=TOKEN))
            check.problem(client.get("/v1/coupons", token=TOKEN + "x"), 401, "unauthorized")

    @pytest.mark.parametrize("content", [b"", b"\n", b"short", b" " * 40, b"x" * 2000,
                                         b"a-token with spaces that is long enough 0123456789",
                                         b"\x00" * 40, "ä".encode() * 40])
    def test_a_file_without_a_good_token_is_refused(self, new_server, tmp_path, content):
        path = self.own(tmp_path, content)
        server = new_server("--admin-token-file", path).spawn()
        assert server.wait() == 1
        why = server.events("cannot-start")[0]["why"]
        assert "token" in why and len(server.events("cannot-start")) == 1
        assert path.read_bytes() == content

    def test_a_missing_file_is_refused_and_not_made(self, new_server, tmp_path):
        server = new_server("--admin-token-file", tmp_path / "none").spawn()
        assert server.wait() == 1
        assert str(tmp_path / "none") in server.events("cannot-start")[0]["why"]
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
    def test_a_file_that_others_can_read_is_warned_of(self, new_server, tmp_path, mode):
        path = self.own(tmp_path, TOKEN.encode(), mode)
        server = new_server("--admin-token-file", path).start()
        warning = server.events("admin-token-exposed")
        assert len(warning) == 1 and warning[0]["level"] == "warn"
        assert warning[0]["file"] == str(path)


def test_every_line_of_the_log_is_logfmt(new_server, tmp_path):
    from support.server import logfmt
    server = new_server(data=tmp_path / 'a "folder" with = spaces').start()
    server.stop()
    events = []
    for line in server.lines:
        fields = logfmt(line)
        assert list(fields)[:3] == ["time", "level", "event"], line
        assert check.is_time(fields["time"]) and fields["level"] in ("info", "warn", "error")
        events.append(fields["event"])
    events = [event for event in events if event not in ("running-as-root", "seccomp-left-out")]
    assert events == ["admin-token-made", "ready", "listening", "draining", "stopped"] or \
        sorted(events) == sorted(["admin-token-made", "ready", "listening", "draining", "stopped"])
    assert str(server.data) in server.events("ready")[0]["data"]


# ---- cores ------------------------------------------------------------------------------------

def cores_of_loops(server):
    """The cores that each event loop of a server may run on."""
    cores = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "loop":
            cores.append(frozenset(os.sched_getaffinity(int(task.name))))
    return cores


def test_a_loop_for_each_core_stays_on_it(new_server):
    allowed = os.sched_getaffinity(0)
    cores = cores_of_loops(new_server("--threads", len(allowed)).start())
    assert sorted(cores, key=min) == [frozenset({core}) for core in sorted(allowed)]


@pytest.mark.parametrize("flags", [("--cpu-affinity", "off"),
                                   ("--threads", len(os.sched_getaffinity(0)) + 1)])
def test_loops_wander_when_told_so_and_when_they_are_not_one_a_core(new_server, flags):
    cores = cores_of_loops(new_server(*flags).start())
    assert cores and set(cores) == {frozenset(os.sched_getaffinity(0))}
