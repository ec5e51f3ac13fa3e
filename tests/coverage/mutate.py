#!/usr/bin/python3
"""./dev mutate: how many small mistakes in the source the tests find.

Makes mutants (mutants.py beside this), one at a time in a copy of the tree, and lets the tests
judge them (judge.py). A mutant that gives the same optimized object code is no mistake, and one
that does not compile is none that could be made: both are counted apart, and so are those that
survive and are listed with the reason why no test can kill them (equivalent.py).

The sample of a seed stays the same where the source does. What was judged is kept in
build/mutation/judged.jsonl, so that a run that was stopped goes on where it was; survivors are
judged again with --again."""

import argparse
import fnmatch
import hashlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import equivalent
import mutants
from judge import ROOT, SCRATCH, Baseline, Broken, Judge, Tree, Verdict

BUILD = ROOT / "build" / "coverage"
JUDGED = SCRATCH / "judged.jsonl"
FILES = ("src/engine/*.c", "src/issuer/*.c", "src/http/*.c", "src/ledger/ledger.c",
         "src/ledger/open_url.c", "src/ledger/partitions.c", "src/ledger/settle.c",
         "src/ledger/sqlite_*.c")
GOAL_PERCENT = 90
SAMPLE = 500


def read_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev mutate", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Mutants of the source, and whether the tests kill them. Exit code 1: fewer "
                    f"than {GOAL_PERCENT} % are killed.",
        epilog="files without a word:\n  " + "\n  ".join(FILES))
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N",
                        help=f"so many places, 0: every one [{SAMPLE}]")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the sample [1]")
    parser.add_argument("--files", action="append", metavar="GLOB", help="of these sources only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="at once, each in a copy of the tree [one a core]")
    parser.add_argument("--again", action="store_true", help="judge known survivors again")
    parser.add_argument("--list", action="store_true", help="print the mutants and judge none")
    parser.add_argument("--result", metavar="FILE", help="the figures as JSON")
    options = parser.parse_args(arguments)
    if options.sample < 0 or options.jobs < 1:
        parser.error("a sample is 0 or more, jobs are 1 or more")
    return options


# ---- which -----------------------------------------------------------------------------------

def sources_of(globs):
    paths = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "src").rglob("*.c"))]
    return [path for path in paths if any(fnmatch.fnmatch(path, glob) for glob in globs)]


def every(paths):
    return [mutant for path in paths for mutant in mutants.mutants_of(BUILD, ROOT, path)]


def sample_of(found, count, seed):
    """The count with the smallest digests: a change elsewhere in the file leaves them chosen."""
    texts = {}
    seen, ranked = Counter(), []
    for mutant in found:
        if mutant.path not in texts:
            texts[mutant.path] = (ROOT / mutant.path).read_text().splitlines()
        line = texts[mutant.path][mutant.line - 1].strip()
        what = (mutant.path, mutant.function, mutant.kind, line, mutant.new)
        seen[what] += 1
        ranked.append((hashlib.sha256(repr((seed, what, seen[what])).encode()).digest(), mutant))
    ranked.sort(key=lambda pair: pair[0])
    return [mutant for _, mutant in ranked[:count or None]]


# ---- what was judged ---------------------------------------------------------------------------

class Record:
    """Verdicts in a file, a line each, the last one counts."""

    def __init__(self):
        self.lock = threading.Lock()
        self.known = {}
        self.digests = {}
        if JUDGED.exists():
            for line in JUDGED.read_text().splitlines():
                entry = json.loads(line)
                self.known[entry["mutant"]] = Verdict(entry["state"], entry["by"], entry["seconds"])

    def key(self, mutant):
        """A mutant is another one when anything of its file is."""
        if mutant.path not in self.digests:
            digest = hashlib.sha256((ROOT / mutant.path).read_bytes()).hexdigest()
            self.digests[mutant.path] = digest[:12]
        return f"{self.digests[mutant.path]} {mutant.name()}"

    def of(self, mutant):
        return self.known.get(self.key(mutant))

    def add(self, mutant, verdict):
        with self.lock:
            self.known[self.key(mutant)] = verdict
            with open(JUDGED, "a", encoding="utf-8") as out:
                out.write(json.dumps({"mutant": self.key(mutant), "state": verdict.state,
                                      "by": verdict.by, "seconds": round(verdict.seconds, 1)}) + "\n")


# ---- the run -----------------------------------------------------------------------------------

class Run:
    def __init__(self, chosen, record, jobs, again, listed):
        self.record = record
        self.waiting = queue.SimpleQueue()
        self.left = 0
        for mutant in chosen:
            known = record.of(mutant)
            if known is None or (again and state_of(mutant, known, listed) == "survived"):
                self.waiting.put(mutant)
                self.left += 1
        self.paths = sorted({mutant.path for mutant in chosen})
        self.trees = [Tree(number, SCRATCH / f"tree-{number}.log")
                      for number in range(min(jobs, self.left))]
        self.baseline = Baseline()
        self.counts = Counter()
        self.errors = []

    def work(self, tree):
        try:
            judge = Judge(tree, self.baseline)
            judge.prepare(self.paths)
            while True:
                mutant = self.waiting.get_nowait()
                verdict = judge.judge(mutant)
                self.record.add(mutant, verdict)
                self.counts[verdict.state] += 1
                self.say(mutant, verdict)
        except (queue.Empty, KeyboardInterrupt):
            pass
        except BaseException as error:  # told by the main thread
            self.errors.append(error)
            self.stop()

    def say(self, mutant, verdict):
        done = sum(self.counts.values())
        print(f"  {done}/{self.left} {verdict.state:<12} {mutant.path}:{mutant.line} {mutant.kind} "
              f"{verdict.seconds:.0f} s {verdict.by}", file=sys.stderr, flush=True)

    def stop(self):
        for tree in self.trees:
            tree.stop()

    def run(self):
        """Whether it came to the end."""
        threads = [threading.Thread(target=self.work, args=(tree,)) for tree in self.trees]
        for thread in threads:
            thread.start()
        whole = True
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            print("mutate: stopped; the next run goes on from here", file=sys.stderr)
            whole = False
            self.stop()
            for thread in threads:
                thread.join()
        return whole


def difference(mutant):
    old, new = equivalent.lines_of(mutant, (ROOT / mutant.path).read_bytes())
    return (f"{mutant.path}:{mutant.line} {mutant.function}: {mutant.kind}\n"
            + "".join(f"- {line}\n" for line in old.splitlines())
            + "".join(f"+ {line}\n" for line in new.splitlines()))


def state_of(mutant, verdict, listed):
    """A state of judge.py, or unjudged, equivalent, mislisted."""
    state = verdict.state if verdict else "unjudged"
    if equivalent.key_of(mutant, (ROOT / mutant.path).read_bytes()) in listed:
        if state == "survived":
            return "equivalent"
        if state in ("killed", "timeout"):
            return "mislisted"
    return state


def tell(chosen, record, listed):
    """Survivors, a table, and the figures."""
    by_folder, states = {}, Counter()
    for mutant in chosen:
        verdict = record.of(mutant)
        state = state_of(mutant, verdict, listed)
        states[state] += 1
        by_folder.setdefault(Path(mutant.path).parts[1], Counter())[state] += 1
        if state == "survived":
            print(difference(mutant))
        elif state == "mislisted":
            print(f"listed as equivalent, but {verdict.by} kills it: {difference(mutant)}")
    print(f"{'':<16}{'killed':>8}{'timeout':>9}{'survived':>10}{'equal':>7}{'same':>6}{'no C':>6}"
          f"{'score':>9}")
    for name, counts in [*sorted(by_folder.items()), ("all", states)]:
        print(f"{name:<16}{counts['killed']:>8}{counts['timeout']:>9}{counts['survived']:>10}"
              f"{counts['equivalent']:>7}{counts['same']:>6}{counts['uncompilable']:>6}"
              f"{score_of(counts):>7.1f} %")
    return states


def score_of(counts):
    killed = counts["killed"] + counts["timeout"] + counts["mislisted"]
    return 100.0 * killed / max(1, killed + counts["survived"])


def score_of_all(counts):
    """As if those that are listed could have been killed."""
    return score_of(counts + Counter(survived=counts["equivalent"]))


def figures_of(states):
    return {"killed": states["killed"] + states["timeout"] + states["mislisted"],
            "survived": states["survived"], "equivalent": states["equivalent"],
            "same_code": states["same"], "uncompilable": states["uncompilable"],
            "unjudged": states["unjudged"], "score_percent": round(score_of(states), 1),
            "score_of_all_percent": round(score_of_all(states), 1)}


def judged_seconds(chosen, record):
    """That judging took, in this run and in earlier ones, one mutant after the other."""
    return sum(verdict.seconds for verdict in map(record.of, chosen) if verdict)


def main():
    options = read_arguments(sys.argv[1:])
    begin = time.monotonic()
    found = every(sources_of(options.files or FILES))
    chosen = sample_of(found, options.sample, options.seed)
    if options.list:
        for mutant in chosen:
            print(difference(mutant))
        return 0
    if not chosen:
        print("mutate: there is nothing to mutate in these files", file=sys.stderr)
        return 2
    listed = equivalent.read()
    paths = sources_of(FILES)
    stale = equivalent.stale(listed, every(paths) if options.files else found,
                             {path: (ROOT / path).read_bytes() for path in paths})
    for key in stale:
        print(f"mutate: not one mutant of the sources: {key}, in {equivalent.LISTED.name}",
              file=sys.stderr)
    if stale:
        return 2
    SCRATCH.mkdir(parents=True, exist_ok=True)
    record = Record()
    run = Run(chosen, record, options.jobs, options.again, listed)
    whole = run.run()
    states = tell(chosen, record, listed)
    for error in run.errors:
        print(f"mutate: {error!r}" if not isinstance(error, Broken) else f"mutate: {error}")
    if options.result:
        Path(options.result).write_text(json.dumps({
            "part": "mutation", "seed": options.seed, "places": len(found), "sample": len(chosen),
            **figures_of(states), "judged_seconds": round(judged_seconds(chosen, record)),
            "seconds": round(time.monotonic() - begin)}) + "\n")
    kept = score_of(states) >= GOAL_PERCENT and not states["mislisted"]
    return 0 if whole and kept and not run.errors else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except equivalent.Wrong as wrong:
        print(f"mutate: {wrong}", file=sys.stderr)
        sys.exit(2)
