"""docs/event.md: every command in it works, in its order, as printed. It is run by one bash, on
a server on a free port; sudo and systemctl are stand-ins, since there is neither a user coupon
nor a systemd here. A block that cannot be run says so in a comment before it."""

import os
import re
import socket
import stat
import subprocess
import threading

import pytest

from support import check
from support.server import BINARY, environment

pytestmark = pytest.mark.embedded("its commands are those of a data folder")

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
BLOCK = re.compile(r"^(<!-- not run: [^\n]*-->\n)?```sh\n(.*?)^```$|^## (.*?)$",
                   re.MULTILINE | re.DOTALL)
SHELL_TIMEOUT_S = 300

# Runs the command itself, without `-u coupon` and without giving files away.
SUDO = r"""#!/bin/bash
[[ $1 != -u ]] || shift 2
words=()
while (($#)); do
    if [[ $1 == -o ]]; then shift 2; else words+=("$1") && shift; fi
done
exec "${words[@]}"
"""
# Asks the test to do it and waits until it is done.
SYSTEMCTL = """#!/bin/bash
echo "$1" >"$STAND_IN/asked" && read -r answer <"$STAND_IN/done" && [[ $answer == ok ]]
"""


def blocks():
    """(heading it stands under, its commands) of every block that is to be run."""
    with open(os.path.join(ROOT, "docs/event.md"), encoding="utf-8") as file:
        heading = ""
        for not_run, commands, title in BLOCK.findall(file.read()):
            heading = title or heading
            if commands and not not_run:
                yield heading, commands


class Systemctl(threading.Thread):
    """Does to our server what the document asks systemctl to do."""

    def __init__(self, server, folder):
        super().__init__(daemon=True)
        self.server = server
        self.asked, self.done = str(folder / "asked"), str(folder / "done")
        os.mkfifo(self.asked)
        os.mkfifo(self.done)
        self.did = []

    def run(self):
        while True:
            with open(self.asked, encoding="ascii") as file:
                word = file.read().strip()
            if word == "end":
                return
            try:
                {"start": self.server.start, "stop": self.server.stop,
                 "reload": self.reload}[word]()
                self.did.append(word)
                answer = "ok"
            except BaseException as error:  # told by the shell's failure
                answer = "no"
                self.server.lines.append("systemctl %s: %r" % (word, error))
            with open(self.done, "w", encoding="ascii") as file:
                file.write(answer + "\n")

    def reload(self):
        self.server.process.send_signal(1)
        self.server.wait_event("credentials-reloaded")

    def end(self):
        with open(self.asked, "w", encoding="ascii") as file:
            file.write("end\n")
        self.join()


def free_port():
    """One that nobody listens on now; the server comes back to it after a restart."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def stand_in(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def shell(new_server, tmp_path):
    """Runs commands in a bash that stops at the first that fails: shell(text) -> its output."""
    port = free_port()
    server = new_server(listen="127.0.0.1:%d" % port).start()
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in(folder, "sudo", SUDO)
    stand_in(folder, "systemctl", SYSTEMCTL)
    os.symlink(BINARY, folder / "coupon")
    systemctl = Systemctl(server, folder)
    systemctl.start()
    more = {"PATH": "%s:%s" % (folder, os.environ["PATH"]), "STAND_IN": str(folder),
            "no_proxy": "*"}

    def run(text):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=environment(more),
                              cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SHELL_TIMEOUT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run, server, systemctl
    systemctl.end()


def settings(server, tmp_path):
    """What the document's first block sets, for this server; the coupon is open already."""
    return "".join("%s=%s\n" % one for one in [
        ("URL", "http://%s:%d" % server.address), ("DATA", server.data),
        ("BACKUPS", tmp_path / "backups"), ("WORK", tmp_path / "work"),
        ("START", check.moment(-60)), ("END", check.moment(3600))])


def test_every_command_of_the_event_works_as_printed(shell, tmp_path):
    run, server, systemctl = shell
    found = list(blocks())
    names = re.findall(r"^(\w+)=", found[0][1], re.MULTILINE)
    ours = settings(server, tmp_path)
    assert names == re.findall(r"^(\w+)=", ours, re.MULTILINE)
    crowd = "".join("ask $URL/v1/coupons/$COUPON/issues -d '{\"userId\":\"user-%d\"}'\n" % number
                    for number in range(7))
    text, heading = ours, ""
    for title, commands in found[1:]:
        if title != heading:
            text += "%secho '== %s'\n" % (crowd if title == "After" else "", title)
            heading = title
        text += commands
    output = dict(zip(*[iter(re.split(r"^== (.*)\n", run(text), flags=re.MULTILINE)[1:])] * 2))
    assert set(output) == {"Days before", "The hour before", "During", "After"}
    assert systemctl.did == ["reload", "stop", "start"]
    assert output["Days before"].count("no violation of I1, I2, I4, I5") == 1
    assert '{"status":"ready"}' in output["The hour before"]
    assert '"paused":true' in output["During"] and '"totalQuantity":1500' in output["During"]
    after = output["After"]
    assert after.count("no violation of I1, I2, I4, I5") == 1
    assert '"issuedQuantity":10' in after and re.search(r"^10$", after, re.MULTILINE)
    assert re.search(r'"userId":"vip-2","rank":2,', after)
    assert after.count('"admin":"alice"') >= 6 and '"archived":true' in after
