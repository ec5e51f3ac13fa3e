"""The machine a figure was seen on: its facts, what else it was doing, and its disk."""

import os
import platform
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

from suite.figures import measurement, percentile
from suite.processes import TICKS

ROOT = Path(__file__).resolve().parents[2]
SBIN = "/usr/sbin:/usr/bin:" + os.environ.get("PATH", "")
OTHERS_MAX = 0.1  # the share of the machine that the kernel's own threads stay below


def tool(name):
    return shutil.which(name, path=SBIN)


def version_of(*command):
    """The first version in what a program says of itself, whatever it ends with; or None."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return None
    found = re.search(r"\d+(\.\d+)+[\w.+-]*", said.stdout + said.stderr)
    return found.group(0) if found else None


def field(path, name):
    """What stands behind the first `name:` of a file of /proc."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def memory_bytes(process, name):
    """What its status tells under a name such as VmHWM, the most it ever had resident."""
    return int(field(f"/proc/{process.pid}/status", name).split()[0]) * 1024


def file_system(folder):
    """The device and kind of the file system a folder is on, such as "/dev/vda ext4"."""
    folder, best = os.path.realpath(folder), ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, point, kind = line.split(" ")[:3]
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, f"{device} {kind}")
    return best[1]


def commit(*left_out):
    """The tree's commit, with "+" behind it when files differ from it, but for those left out
    (paths below the root); or None."""
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    try:
        head = git("rev-parse", "--short", "HEAD")
        changes = git("status", "--porcelain", "--", ".", *(f":!{path}" for path in left_out))
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "") or None


def facts(folder):
    """What every line says of the machine, so that a line can be read alone."""
    return {"cpu": field("/proc/cpuinfo", "model name") or platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(int(field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
            "kernel": platform.release(), "disk": file_system(folder), "commit": commit(),
            "nginx": version_of(tool("nginx") or "nginx", "-v"), "wrk": version_of("wrk", "-v"),
            "load_average": round(os.getloadavg()[0], 2),
            "time": time.strftime("%FT%TZ", time.gmtime())}


# ---- what else it did ------------------------------------------------------------------------

def machine_seconds():
    """Processor time that anything at all has used, all cores."""
    numbers = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, numbers[:8])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / TICKS


def ours_seconds():
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Others:
    """The share of the machine that was used by what is not ours, since it was made."""

    def __init__(self):
        self.begin, self.machine, self.ours = time.monotonic(), machine_seconds(), ours_seconds()

    def share(self, server_seconds=0):
        """`server_seconds`: of servers of ours that still run."""
        used = machine_seconds() - self.machine - (ours_seconds() - self.ours) - server_seconds
        share = used / ((time.monotonic() - self.begin) * os.cpu_count())
        return round(max(share, 0.0), 3)


# ---- its disk --------------------------------------------------------------------------------

def sync_times_us(folder, rounds=200):
    """How long 4 KiB pwrite + fdatasync takes on the disk the ledger is on."""
    path, times = folder / "sync-probe", []
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for number in range(rounds):
            begin = time.monotonic()
            os.pwrite(file, b"\1" * 4096, 4096 * number)
            os.fdatasync(file)
            times.append((time.monotonic() - begin) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    return times


def sync_lines(turns, parameters):
    """`turns`: the times of each turn."""
    return [measurement(f"fdatasync_p{percent}", "us",
                        [percentile(times, percent) for times in turns], parameters,
                        of="4 KiB pwrite + fdatasync")
            for percent in (50, 99)]
