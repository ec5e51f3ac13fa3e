"""A systemd unit file as the kernel would see it: which system calls it allows, and a process that
lives as in its sandbox, made by hand where no systemd runs.

Called by test_units.py."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "tools" / "systemd"
# As ProtectSystem=strict, ProtectHome, PrivateTmp, PrivateDevices, ProtectProc, ProcSubset make it;
# "$0" may be written to.
MAKE_WORLD = r"""
set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro /
for folder in /home /root /tmp; do mount -t tmpfs -o mode=700 none $folder; done
mount -t tmpfs -o mode=755,nosuid none /dev
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9"; do
    set -- $node "$@"
    mknod -m 666 /dev/$1 c $2 $3
    shift 3
done
mount -o remount,ro /dev
mount -t proc -o nosuid,nodev,noexec,subset=pid,hidepid=invisible none /proc
cd /
exec "$@"
"""


def analyze():
    """systemd-analyze with its environment, or None."""
    installed = shutil.which("systemd-analyze", path="/usr/bin:/bin")
    unpacked = UNPACKED / "usr" / "bin" / "systemd-analyze"
    if installed or not unpacked.exists():
        return ([installed], None) if installed else None
    libraries = ":".join(str(path) for place in ("usr/lib/*/systemd", "usr/lib/*-*", "lib/*-*")
                         for path in UNPACKED.glob(place))
    return [str(unpacked)], {**os.environ, "LD_LIBRARY_PATH": libraries}


def ask(*words):
    command, env = analyze()
    return subprocess.run([*command, *map(str, words)], env=env, capture_output=True, text=True,
                          check=False)


class Unit:
    """Its settings: name -> values, in order."""

    def __init__(self, name):
        self.path = ROOT / "deploy" / name
        self.settings = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.settings.setdefault(key, []).append(value)

    def exposure(self):
        """What `systemd-analyze security` makes of it: 0 (nothing) to 10 (everything)."""
        done = ask("security", "--offline=true", "--no-pager", self.path)
        [line] = [line for line in done.stdout.splitlines() if "Overall exposure level" in line]
        return float(line.split(": ")[1].split()[0])

    def calls(self):
        """The system calls that it allows."""
        allowed = set()
        for line in self.settings["SystemCallFilter"]:
            names = expand(line.lstrip("~").split())
            allowed = allowed - names if line.startswith("~") else allowed | names
        return allowed | expand(["@default"])

    def world(self, folder, filter_program, writable=None):
        """A command in front of another one, which then lives as under this unit: as nobody, in the
        unit's file system of which `writable` can be written to, under its filter of calls. `folder`
        is one that everybody can reach and no sandbox hides."""
        program = Path(shutil.copy(filter_program, folder))
        names = Path(folder) / "calls"
        families = self.settings["RestrictAddressFamilies"][0].split()
        names.write_text("\n".join(sorted(self.calls()) + families) + "\n", encoding="ascii")
        return ["unshare", "--mount", "--propagation", "private",
                "sh", "-c", MAKE_WORLD, str(writable or folder),
                "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
                "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all",
                str(program), str(names)]


@functools.cache
def members(name):
    """Of a set such as @process."""
    lines = [line.strip() for line in ask("syscall-filter", name).stdout.splitlines()[1:]]
    return expand([line for line in lines if line and not line.startswith("#")])


def expand(names):
    """Names of calls, with those of sets in their place."""
    return set().union(*(members(name) if name.startswith("@") else {name} for name in names))
