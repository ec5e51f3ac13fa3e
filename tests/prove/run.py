#!/usr/bin/python3
"""The long proofs, one after the other, and what they came to. Called by ./dev prove, which has
built what they run. The proofs are in proofs.py; how their figures get into the document, in
record.py. A short form of each is a part of ./dev test."""

import argparse
import fnmatch
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from proofs import CORES, PROOFS
from record import DOCUMENT, Row, commit, recorded

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "prove"
END_SECONDS = 120  # a proof that was asked to end may take so long to tell what it has
LOOK_SECONDS = 1   # between looks at whether all was asked to end
KEPT_CODE, BROKEN_CODE = 0, 1
STOPPED = threading.Event()


def read_arguments(arguments):
    lines = "\n".join(f"  {proof.name:<20}{proof.about}" for proof in PROOFS)
    parser = argparse.ArgumentParser(
        prog="./dev prove", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs the long proofs, or those named, and writes what they came to into\n"
                    "docs/reliability.md. Exit code 1: a promise was broken. Each one's whole\n"
                    "output and result are in build/prove.",
        epilog=f"proofs:\n{lines}\n\nWithout --minutes each runs to its full size, and all of "
               "them take most of a day.")
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="for all that are run together, shared out by what each needs")
    parser.add_argument("--keep-document", action="store_true",
                        help="leaves docs/reliability.md as it is")
    parser.add_argument("proofs", nargs="*", metavar="PROOF",
                        help="these only; 'fuzz-*' is every one whose name begins so")
    options = parser.parse_args(arguments)
    known = [proof.name for proof in PROOFS]
    for pattern in options.proofs:
        if not fnmatch.filter(known, pattern):
            parser.error(f"there is no proof {pattern}; there are {' '.join(known)}")
    if options.minutes is not None and options.minutes <= 0:
        parser.error("--minutes wants a number above 0")
    return options


def budgets(proofs, minutes):
    """{name: seconds}, None for as long as it takes."""
    if minutes is None:
        return {proof.name: None for proof in proofs}
    whole = sum(proof.minutes * proof.cores / CORES for proof in proofs)
    return {proof.name: 60 * minutes * proof.minutes / whole for proof in proofs}


def end(process):
    """Asks it to tell what it has, then makes it end."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def run_command(command, log_path, budget):
    """Its output is kept. Returns the exit code, and whether it was ended before it was through."""
    deadline = math.inf if budget is None else time.monotonic() + budget
    with open(log_path, "w", encoding="utf-8") as log:
        log.write(" ".join(map(str, command)) + "\n")
        log.flush()
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT)
        while True:
            try:
                return process.wait(timeout=min(LOOK_SECONDS, deadline - time.monotonic())), False
            except subprocess.TimeoutExpired:
                if STOPPED.is_set() or time.monotonic() >= deadline:
                    return end(process), True


def read_result(path):
    """The figures, or None."""
    try:
        result = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def told(proof, result, code, cut):
    """(what it came to, whether all was kept, whether that is for the document). Kept is what tells
    figures, tried something, found nothing and ended well; a run that tried nothing, or was ended
    before it could judge, says nothing about the promise."""
    if result is None or code not in (KEPT_CODE, BROKEN_CODE):
        return f"told nothing, ended with {code}", False, False
    untried, broken = proof.untried(result), proof.is_broken(result)
    try:
        figures = proof.tell(result)
    except KeyError as missing:
        return f"told nothing of {missing}", False, False
    if untried:
        figures += f"; tried nothing: {untried} 0"
    if result.get("complete") is False:
        figures += "; cut short"
    kept = code == KEPT_CODE and not untried and not broken
    return figures, kept, kept or broken or not (untried or cut)


def run_proof(proof, budget, built_from):
    """The row it comes to."""
    result_path = KEPT / f"{proof.name}.json"
    result_path.unlink(missing_ok=True)
    begin = time.monotonic()
    code, cut = run_command([*proof.command(ROOT / "build", budget), "--result", result_path],
                            KEPT / f"{proof.name}.log", budget)
    seconds = time.monotonic() - begin
    figures, kept, counts = told(proof, read_result(result_path), code, cut)
    return Row(proof.name, figures, kept, seconds, built_from, counts=counts)


def run_all(proofs, minutes, finished):
    """Those of one core side by side, the others one after the other; finished(row) of each."""
    seconds = budgets(proofs, minutes)
    built_from = commit()  # the tree may be another when a long proof ends

    def run(proof):
        if STOPPED.is_set():
            return
        budget = seconds[proof.name]
        size = "in full" if budget is None else f"for {budget:.0f} s"
        print(f"prove: {proof.name}, {size}; see build/prove/{proof.name}.log", file=sys.stderr)
        row = run_proof(proof, budget, built_from)
        if not STOPPED.is_set():
            finished(row)

    for cores, group in groupby(proofs, key=lambda proof: proof.cores):
        with ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1) // cores)) as pool:
            try:
                list(pool.map(run, group))
            except KeyboardInterrupt:
                STOPPED.set()
                raise


def main():
    options = read_arguments(sys.argv[1:])
    proofs = [proof for proof in PROOFS if not options.proofs or
              any(fnmatch.fnmatch(proof.name, pattern) for pattern in options.proofs)]
    KEPT.mkdir(parents=True, exist_ok=True)
    rows, lock = [], threading.Lock()

    def finished(row):
        with lock:
            rows.append(row)
            print(row.line(), flush=True)
            if not options.keep_document and row.counts:
                DOCUMENT.write_text(recorded(DOCUMENT.read_text(), row))

    run_all(proofs, options.minutes, finished)
    broken = [row.name for row in rows if not row.kept]
    print(f"{len(rows) - len(broken)} kept, {len(broken)} broken"
          + (": " + ", ".join(broken) if broken else ""))
    return 1 if broken else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the proof under way ends, too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
