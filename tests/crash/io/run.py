#!/usr/bin/python3
"""What a failing disk, a power cut and missing memory do to the real program, in full.

    run.py faults     every call of a scripted run fails, once, until mended, for ever (io-faults)
    run.py images     the power goes at every event of such a run (io-images)
    run.py malloc     every allocation fails, in process and of the server (io-faults, process.py)
    run.py process    the real server, over HTTP, on a disk that fails (process.py)

Works on the programs of a build folder (--build). Tells how far it is on stderr; --result FILE gets
one JSON object of figures. Ends with what it has on SIGINT and SIGTERM. Exit code 0: all was kept;
1: something was not; 2: wrong use. The short form, for every test run, is test_io.py.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Sanitizers of Debian 12 cannot live with the wide address randomisation of some kernels.
PREFIX = ["setarch", "-R"]


class Slices:
    """The same program several times, each with every so-many-th of the work."""

    def __init__(self):
        self.processes = []
        self.stopped = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)

    def stop(self, *_):
        self.stopped = True
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def run(self, commands, environment=None):
        """The figures of all of them, added up, and whether one went wrong: ended with another code
        than 0 and 1, or without figures."""
        with tempfile.TemporaryDirectory() as folder:
            results = [Path(folder) / str(i) for i in range(len(commands))]
            self.processes = [
                subprocess.Popen([*PREFIX, *map(str, command), "--result", str(result)],
                                 stdin=subprocess.DEVNULL, start_new_session=True,
                                 env={**os.environ, **(environment or {})})
                for command, result in zip(commands, results)]
            if self.stopped:
                self.stop()
            codes = [process.wait() for process in self.processes]
            figures = [json.loads(path.read_text()) if path.exists() else None for path in results]
        wrong = [(command, code) for command, code, one in zip(commands, codes, figures)
                 if code not in (0, 1) or one is None]
        for command, code in wrong:
            print(f"run.py: {command[0]} ended with {code}"
                  + ("" if code not in (0, 1) else ", and told nothing"), file=sys.stderr)
        return add_up([one for one in figures if one is not None]), bool(wrong)


# The same in every slice, or of the slice that got furthest.
NOT_SUMS = {"events", "seconds", "seed", "kinds_and_modes", "kinds_and_modes_struck"}


def add_up(figures):
    total = {}
    for one in figures:
        for name, value in one.items():
            if isinstance(value, bool):
                total[name] = total.get(name, True) and value
            elif name in NOT_SUMS or isinstance(value, str):
                total[name] = max(value, total.get(name, value))
            else:
                total[name] = total.get(name, 0) + value
    return total


def sliced(arguments, command):
    return [[*command, "--first", arguments.first + i * arguments.every,
             "--every", arguments.every * arguments.jobs] for i in range(arguments.jobs)]


def programs(arguments):
    return Path(arguments.build).resolve() / "tests" / "crash" / "io"


def of_server(arguments):
    return {"COUPON_BINARY": str(Path(arguments.build).resolve() / "src" / "cli" / "coupon")}


def run_faults(arguments, slices):
    kinds = arguments.kind or ["vfs", "system"]
    words = [word for kind in kinds for word in ("--kind", kind)]
    return struck_all(*slices.run(sliced(arguments, [programs(arguments) / "io-faults", *words])))


def struck_all(total, bad):
    """With a kind of failure that no call met, nothing was tried. (What was stopped tells itself how
    far it came.)"""
    tried, struck = (total.get(name, 0) for name in ("kinds_and_modes", "kinds_and_modes_struck"))
    if total.get("complete") and (struck < tried or tried == 0):
        print(f"run.py: of {tried} kinds and modes only {struck} struck a call", file=sys.stderr)
        bad = True
    return total, bad


def run_images(arguments, slices):
    return slices.run(sliced(arguments, [programs(arguments) / "io-images", "--images",
                                         arguments.images, "--seed", arguments.seed]))


def run_process(arguments, slices, kinds=("io", "full", "full-half", "short", "sync")):
    command = [sys.executable, Path(__file__).with_name("process.py"),
               programs(arguments) / "io-preload.so"]
    words = [word for kind in arguments.kind or kinds for word in ("--kind", kind)]
    return struck_all(*slices.run(sliced(arguments, [*command, *words]), of_server(arguments)))


def run_malloc(arguments, slices):
    """In process once each; the server's, of its requests and of its start."""
    total, bad = struck_all(*slices.run(sliced(arguments, [
        programs(arguments) / "io-faults", "--kind", "memory", "--mode", "once"])))
    total = {f"in_process_{name}": value for name, value in total.items()}
    for kind in ("memory", "memory-start"):
        figures, worse = run_process(argparse.Namespace(**{**vars(arguments), "kind": [kind]}), slices)
        total.update({f"{kind.replace('-', '_')}_{name}": value
                      for name, value in figures.items()})
        bad = bad or worse
    total["violations"] = sum(value for name, value in total.items()
                              if name.endswith("violations"))
    return total, bad


PARTS = {"faults": run_faults, "images": run_images, "malloc": run_malloc, "process": run_process}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--build", default=ROOT / "build" / "debug", help="a build folder")
    parser.add_argument("--kind", action="append", help="faults, process: only these")
    parser.add_argument("--first", type=int, default=1, help="the first call, or event")
    parser.add_argument("--every", type=int, default=1, help="only every so-many-th")
    parser.add_argument("--images", type=int, default=24000, help="images: about so many")
    parser.add_argument("--seed", type=int, default=1, help="images: which damages")
    parser.add_argument("--jobs", type=int, default=2, help="side by side")
    parser.add_argument("--result", help="a file for the figures")
    arguments = parser.parse_args()
    if min(arguments.first, arguments.every, arguments.jobs, arguments.images) < 1:
        parser.error("numbers begin with 1")
    begin = time.monotonic()
    slices = Slices()
    total, bad = PARTS[arguments.part](arguments, slices)
    total.update(part=f"io-{arguments.part}", seconds=round(time.monotonic() - begin),
                 complete=not slices.stopped and not bad)
    text = json.dumps(total)
    print(text)
    if arguments.result:
        Path(arguments.result).write_text(text + "\n")
    return 1 if bad or total.get("violations") else 0


if __name__ == "__main__":
    sys.exit(main())
