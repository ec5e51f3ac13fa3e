"""The ledger alone: rows a second and CPU a row by the size of a commit, and the longest
checkpoint in between. One run of the program ledger-bench is a turn."""

import json

from suite.figures import measurement
from suite.machine import Others
from suite.processes import finished

SUMMARY = "the record alone: rows a second and CPU a row by commit size"
SIZES = 5  # of commits, in ledger_bench.c
FIGURES = {"rows_per_s": ("rowsPerSecond", "1/s"), "cpu_ns_per_row": ("cpuNsPerRow", "ns"),
           "checkpoint_max": ("stallMaxUs", "us")}


def seconds_each(settings):
    return 1 if settings.quick else 3


def steps(settings):
    return [("ledger", settings.turns * (SIZES * seconds_each(settings) + 1))]


def one_turn(program, folder, seconds):
    """The JSON lines of one run."""
    output = finished([program, "append", folder / "data", seconds], 60 + SIZES * seconds)
    return [json.loads(line) for line in output.splitlines()]


def lines_of(turns, others):
    lines = []
    for rows in [line["rowsPerCommit"] for line in turns[0] if line["bench"] == "append"]:
        appends = [line for turn in turns for line in turn if line.get("rowsPerCommit") == rows]
        lines += [measurement(what, unit, [line[key] for line in appends],
                              {"rows_a_commit": rows}, other_work=others)
                  for what, (key, unit) in FIGURES.items()]
    syncs = [line for turn in turns for line in turn if line["bench"] == "fdatasync"]
    lines += [measurement(f"fdatasync_{name}", "us", [line[f"{name}Us"] for line in syncs])
              for name in ("p50", "p99")]
    return lines


def measure(run):
    run.progress.step()
    turns, others = [], []
    for _ in range(run.settings.turns):
        with run.folder() as folder:
            meanwhile = Others()
            turns.append(one_turn(run.program("ledger-bench"), folder,
                                  seconds_each(run.settings)))
            others.append(meanwhile.share())
    run.write(*lines_of(turns, others))
