"""Start with a long record: from exec to event=ready, with the file in the page cache (warm)
and with nothing of it there (cold), and the memory that the server then has.

The record is made through the ledger's own code (ledger-bench fill). How cold a cold start was
is measured: what the server read from the disk, as the kernel counts it. A hypervisor may have
the file in its own memory all the same.
"""

import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from suite.coupon import check_record
from suite.figures import measurement, rotated
from suite.machine import Others, field, memory_bytes, sync_lines, sync_times_us
from suite.processes import Refused, end, finished, free_port, processor_seconds

SUMMARY = "start with 10 M issues, warm and cold; resident memory"
WAYS = ("warm", "cold")
READY_SECONDS_MAX = 300
FIGURES = {"ready_s": "s", "cpu_s": "s", "read_bytes": "B", "resident_bytes": "B",
           "anonymous_bytes": "B"}


def steps(settings):
    a_turn = settings.rows / 1e6
    return [("restart, making the record", settings.rows / 0.8e6),
            ("restart, starts", settings.turns * (2 + a_turn * 1.6) + settings.rows / 1e6)]


def drop_caches(path):
    """Takes a file out of the page cache. Returns how: root empties the whole cache."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        return "drop_caches"
    except OSError:
        return "posix_fadvise"


def read_through(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def wait_for_ready(process):
    """Reads the log until event=ready. Returns what came before it."""
    deadline, said = time.monotonic() + READY_SECONDS_MAX, b""
    while b"event=ready" not in said:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stderr], [], [], left)[0]:
            raise Refused(f"coupon is not ready after {READY_SECONDS_MAX} s: {said.decode()}")
        part = os.read(process.stderr.fileno(), 65536)
        if not part:
            raise Refused(f"coupon ended before it was ready: {said.decode()}")
        said += part


@contextmanager
def started(binary, data):
    """The server from exec to ready: the process and the seconds that took."""
    port, begin = free_port(), time.monotonic()
    process = subprocess.Popen(
        [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data", data],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0)
    try:
        wait_for_ready(process)
        yield process, time.monotonic() - begin
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[1]
        if process.returncode != 0:
            raise Refused(f"coupon ended with {process.returncode}: {said.decode()}")
    finally:
        end(process)


def one_start(run, data, way):
    """Returns the figures, and how the cache was emptied."""
    how = drop_caches(data / "coupon.db") if way == "cold" else None
    if way == "warm":
        read_through(data / "coupon.db")
    others = Others()
    with started(run.program("coupon"), data) as (process, seconds):
        cpu = processor_seconds(process)
        other_work = others.share(cpu)
        resident, anonymous = (memory_bytes(process, name) for name in ("VmRSS", "RssAnon"))
        read = int(field(f"/proc/{process.pid}/io", "read_bytes"))
    return {"ready_s": seconds, "cpu_s": cpu, "read_bytes": read, "other_work": other_work,
            "resident_bytes": resident, "anonymous_bytes": anonymous}, how


def lines_of(seen, rows):
    """`seen`: {way: [what one_start gave, a turn each]}."""
    lines = []
    for way, turns in seen.items():
        parameters = {"way": way, "issues": rows}
        others = [turn["other_work"] for turn in turns]
        lines += [measurement(figure, unit, [turn[figure] for turn in turns], parameters,
                              other_work=others) for figure, unit in FIGURES.items()]
        lines.append(measurement("bytes_an_issue", "B",
                                 [turn["anonymous_bytes"] / rows for turn in turns], parameters,
                                 other_work=others))
    return lines


def measure(run):
    rows, seen, syncs, how = run.settings.rows, {way: [] for way in WAYS}, [], None
    with run.folder() as folder:
        data = folder / "data"
        run.progress.step()
        finished([run.program("ledger-bench"), "fill", data, rows], 600)
        file_bytes = (data / "coupon.db").stat().st_size
        run.progress.step()
        for turn in range(run.settings.turns):
            syncs.append(sync_times_us(folder))
            for way in rotated(WAYS, turn):
                figures, dropped = one_start(run, data, way)
                seen[way].append(figures)
                how = dropped or how
        check_record(run.program("coupon"), data, rows, 0)
    run.write(*lines_of(seen, rows), *sync_lines(syncs, {}),
              measurement("file_bytes_an_issue", "B", [file_bytes / rows], {"issues": rows},
                          cold_by=how))
