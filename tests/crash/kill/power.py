"""Power cuts: the embedded server on an ext4 of its own, which loses what was not synced.

The file system lies in a file, mounted through a loop device. EXT4_IOC_SHUTDOWN with NOLOGFLUSH
(linux/ext4.h) stops it at once, as it is: what is in the page cache and in the journal's memory is
never written. kill -9 proves nothing of this kind, since the page cache outlives a process. A round:
the server on it, under load; the cut; the server ended, the disk unmounted and mounted again, which
replays its journal; then all that was ever told is judged against what is there, and the next
round's server has to start on it. The clients' logs lie on another disk.

Only the ext4 is cut off, not the machine's disk under it: what ext4 had handed down is kept. So it
shows a missing sync, and not what a disk does that lies about its cache.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from kill import embedded
from kill.victim import QUANTITIES, change_until_dead

DISK_BYTES = 48 << 20
CUTS_A_DISK = 10
EXT4_IOC_SHUTDOWN = 0x8004587D      # _IOR('X', 125, __u32)
EXT4_GOING_FLAGS_NOLOGFLUSH = 0x2
CLONE_NEWNS = 0x00020000            # linux/sched.h
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18  # linux/mount.h
LOAD_S = (0.03, 0.4)
TOOL_TIMEOUT_S = 60


def tool(*words):
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S,
                   stdin=subprocess.DEVNULL)


def own_mounts():
    """From here on this process and those it starts have mounts of their own. Nobody else then keeps
    a disk mounted by copying the mounts of all at the wrong moment, and however this process ends,
    its mounts and their loop devices go with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mounts of our own")


class Disk:
    """An ext4 in a file. Mounted while it is a context; nothing is left of it afterwards."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="coupon-disk-"))
        self.image, self.place = self.folder / "image", self.folder / "mounted"
        self.mounted = False

    def __enter__(self):
        try:
            self.place.mkdir()
            with open(self.image, "wb") as file:
                file.truncate(DISK_BYTES)
            # eager: else a thread of the kernel goes on writing behind the first mounts
            tool("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)
            self.mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def mount(self):
        """Replays the journal where there is something in it."""
        tool("mount", "-t", "ext4", "-o", "loop", self.image, self.place)
        self.mounted = True

    def cut(self):
        """Now. Whoever uses it gets EIO from here on. Returns when it began, of CLOCK_MONOTONIC."""
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            begun_ns = time.monotonic_ns()
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN,
                        struct.pack("I", EXT4_GOING_FLAGS_NOLOGFLUSH))
            return begun_ns
        finally:
            os.close(descriptor)

    def unmount(self):
        tool("umount", self.place)  # its loop device goes with it
        self.mounted = False

    def check(self):
        """Whether the file system is whole; it must not be mounted."""
        done = subprocess.run(["e2fsck", "-fn", self.image], capture_output=True, text=True,
                              timeout=TOOL_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
        return [] if done.returncode == 0 else [f"e2fsck: {done.stdout}"]

    def __exit__(self, *_):
        if self.mounted:
            with contextlib.suppress(subprocess.CalledProcessError):
                tool("umount", self.place)
                self.mounted = False
        if self.mounted:
            tool("umount", "-l", self.place)
        shutil.rmtree(self.folder, ignore_errors=True)


def missing():
    """Why it cannot run here, or None."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    for name in ("mkfs.ext4", "mount", "umount", "e2fsck"):
        if not shutil.which(name):
            return f"{name} is not installed (e2fsprogs, mount)"
    try:
        own_mounts()
        with Disk() as disk:
            disk.cut()
            disk.unmount()
    except subprocess.CalledProcessError as error:
        return f"a loop device cannot be mounted: {error.stderr.strip()}"
    except OSError as error:
        return f"an ext4 cannot be mounted apart and shut down: {error}"
    return None


def forget_after(path, begun_ns):
    """Takes out of a client's log what it was told once the cut had begun: with the power the server
    would have gone, too, and what was asked stays open. How many successes that were.

    Linux may tell a sync that is under way when the ext4 is stopped that it was done: the journal is
    aborted without an error, its commit ends with nothing written, and ext4_sync_file finds no
    transaction left to wait for."""
    lines = Path(path).read_text().splitlines(keepends=True)
    late = [line.startswith("told ") and line.endswith("\n") and
            int(line.split(" ", 3)[2]) >= begun_ns for line in lines]
    Path(path).write_text("".join(line for line, is_late in zip(lines, late) if not is_late))
    return sum(is_late and line.split(" ")[3] == "issued" for line, is_late in zip(lines, late))


def play_cut(folder, disk, random, tally, figures):
    """One round; what was found."""
    folder.start()
    operator = folder.operator()
    made = [operator.create(random.choice(QUANTITIES)) for _ in range(2)]
    made = [coupon["id"] for coupon in made if coupon]
    coupons = made + folder.coupons[-1:]
    folder.coupons += made
    crowd = folder.crowd(coupons, random.randrange(1 << 40))
    change_until_dead(folder.server, operator, coupons, random.uniform(*LOAD_S),
                      embedded.OPERATOR_PAUSES_S, random)
    begun_ns = disk.cut()
    folder.server.bury()
    folder.log.crash()
    crowd_logs = crowd.end()
    late = sum(forget_after(path, begun_ns) for path in crowd_logs)
    figures["told_after_cut"] = figures.get("told_after_cut", 0) + late
    folder.logs += crowd_logs
    operator.close()
    disk.unmount()
    damaged = [] if random.random() < 0.9 else check_replayed(disk)
    disk.mount()
    tally["power cut"] += 1
    found = folder.judge()
    found.tell(figures)
    return damaged + found.violations


def check_replayed(disk):
    disk.mount()
    disk.unmount()
    return disk.check()


def play_disk(programs, random, tally, figures, cuts, environment=None):
    """Up to CUTS_A_DISK rounds on one disk, each one's findings; at the end the server is stopped
    well, and verify asked."""
    with Disk() as disk:
        folder = embedded.Folder(programs, environment, disk.place / "data")
        newest = {}
        try:
            for number in range(min(cuts, CUTS_A_DISK)):
                found = play_cut(folder, disk, random, tally, newest)
                if not found and number + 1 == min(cuts, CUTS_A_DISK):
                    found = embedded.end_folder(folder)
                yield found
        finally:
            for name, count in newest.items():
                figures[name] = figures.get(name, 0) + count
            folder.remove()
