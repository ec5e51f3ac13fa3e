"""Builds mutants in a copy of the tree and lets the tests judge them.

Not for: choosing mutants or telling of them. Called by mutate.py beside this.

The quickest tests that know the source come first, and a test that has killed a mutant of this file
before comes before others. A program that is the same byte for byte as without the mutant is not
run. Every test runs in a process and mount namespace of its own, so that nothing of it stays:
neither processes nor files in /tmp."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "build" / "mutation"
COPIED = ("src", "tests", "bench", "deploy", "docs", "meson.build", "meson_options.txt")
# As ./dev test runs them too: what a mutant breaks in memory is found by the sanitizers.
OPTIONS = ("-Dbuildtype=debug", "-Ddebug=false", "-Doptimization=1", "-Dwerror=false",
           "-Dwarning_level=0", "-Db_sanitize=address,undefined",
           "-Dc_args=-w -fno-sanitize-recover=all")
SANITIZERS = {"ASAN_OPTIONS": "exitcode=99:allocator_may_return_null=1:hard_rss_limit_mb=6000",
              "LSAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99"}
FILE_MAX = 2 << 30
E2E = tuple(f"tests/e2e/test_{name}.py" for name in (
    "calls", "refusals", "bad_framings", "bad_requests", "asking_again", "records", "edges"))
SQL_FILES = ("src/issuer/sql.c", "src/issuer/reader.c", "src/issuer/settled.c")
SHARED_FILES = ("src/issuer/board.c", "src/issuer/change.c", "src/issuer/command.c",
                "src/issuer/issuer.c", "src/issuer/queue.c")
SIMULATED = ("src/engine/", "src/issuer/", "src/ledger/")
SIMULATIONS = {"simulate": ("tests/sim/simulate", "--seeds", "200"),
               "simulate-distributed": ("tests/sim/distributed/simulate-distributed", "--seeds", "200"),
               "io-faults": ("tests/crash/io/io-faults", "--runs", "2"),
               "io-images": ("tests/crash/io/io-images", "--images", "100")}
# Programs of the contract that need servers and judge more than a ledger.
CONTRACTS = {"contract-issuer": ("contract-issuer_*",),
             "contract-redis": ("contract-redis_*", "contract-partition")}


class Broken(Exception):
    """The tree does not build, or its tests fail, without any mutant."""


@dataclass
class Check:
    """One program that judges."""
    name: str
    command: list
    targets: list                # what ninja makes for it
    environment: dict = field(default_factory=dict)
    seconds: float = 0           # that it takes without a mutant
    programs: dict = field(default_factory=dict)  # {path: digest} without a mutant


@dataclass
class Verdict:
    state: str                   # killed, timeout, survived, same, uncompilable
    by: str = ""
    seconds: float = 0

    def killed(self):
        return self.state in ("killed", "timeout")


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def sandbox(command):
    """The command where all that it starts ends with it, and /tmp is its own."""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        words.append("--map-root-user")
    private = "" if ROOT.is_relative_to("/tmp") else "mount -t tmpfs coupon-mutation /tmp && "
    return [*words, "setarch", "-R", "prlimit", f"--fsize={FILE_MAX}", "--core=0",
            "sh", "-c", private + '{ "$@"; exit $?; }', "sh", *map(str, command)]


class Tree:
    """A copy of the sources with a build of its own, for one mutant at a time."""

    def __init__(self, number, log):
        self.folder = SCRATCH / f"tree-{number}"
        self.build = self.folder / "build"
        self.log = log
        self.process = None
        self.stopped = False
        self.lock = threading.Lock()

    def copy(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.folder / name, ignore=ignored, symlinks=True)
            else:
                shutil.copy2(ROOT / name, self.folder / name)
        if self.run(["meson", "setup", self.build, *OPTIONS], 300) != 0:
            raise Broken(f"{self.folder} cannot be set up; see {self.log}")

    def run(self, command, seconds, environment=None):
        """Its exit code; None when it took too long."""
        with open(self.log, "ab") as log:
            log.write(f"==== {' '.join(map(str, command))[:300]}\n".encode())
            log.flush()
            with self.lock:
                if self.stopped:
                    raise KeyboardInterrupt
                self.process = subprocess.Popen(
                    list(map(str, command)), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True,
                    env={**os.environ, "CC": "gcc", "PYTHONDONTWRITEBYTECODE": "1",
                         **SANITIZERS, **(environment or {})})
            try:
                code = self.process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                code = None
        if self.stopped:
            raise KeyboardInterrupt
        return code

    def stop(self):
        """From another thread: ends what runs, and starts nothing more."""
        with self.lock:
            self.stopped = True
            if self.process and self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def ninja(self, targets):
        return self.run(["ninja", "-C", self.build, "-j2", *targets], 600)

    def compile_command(self, path):
        for entry in json.loads((self.build / "compile_commands.json").read_text()):
            if (self.build / entry["file"]).resolve() == (self.folder / path).resolve():
                return shlex.split(entry["command"])
        raise Broken(f"the build does not know {path}")

    def object_of(self, path):
        """The optimized object of the source as it stands, or None when it does not compile."""
        words, out = self.compile_command(path), self.build / "mutant.o"
        keep = [word for index, word in enumerate(words)
                if word not in ("-o", "-c", "-MD", "-MQ", "-MF", "-g")
                and words[index - 1] not in ("-o", "-c", "-MQ", "-MF")]
        out.unlink(missing_ok=True)
        source = os.path.relpath(self.folder / path, self.build)
        done = subprocess.run([*keep, "-O2", "-g0", "-o", str(out), "-c", source], cwd=self.build,
                              capture_output=True)
        return out.read_bytes() if done.returncode == 0 else None


class Baseline:
    """How long each test takes without a mutant, which it has to pass. It is tried once for all
    trees, and once for ever as long as its programs stay the same."""

    def __init__(self):
        self.lock = threading.Lock()
        self.path = SCRATCH / "baseline.json"
        self.seconds = json.loads(self.path.read_text()) if self.path.exists() else {}

    def of(self, check, tree):
        key = " ".join([check.name, *sorted(check.programs.values())])
        with self.lock:
            if key not in self.seconds:
                begin = time.monotonic()
                code = tree.run(sandbox(check.command), 900, check.environment)
                if code != 0:
                    raise Broken(f"{check.name} fails without a mutant ({code}); see {tree.log}")
                self.seconds[key] = time.monotonic() - begin
                self.path.write_text(json.dumps(self.seconds))
            return self.seconds[key]


class Judge:
    def __init__(self, tree, baseline):
        self.tree = tree
        self.baseline = baseline
        self.kills = Counter()   # (file, test) that killed
        self.checks = {}
        self.objects = {}

    # -- what there is to judge with ------------------------------------------------------------

    def prepare(self, paths):
        """Finds the tests for mutants of these files and runs each once, without any mutant."""
        self.tree.copy()
        tests = json.loads(subprocess.run(
            ["meson", "introspect", str(self.tree.build), "--tests"], capture_output=True,
            check=True).stdout)
        contract = [Path(test["cmd"][0]) for test in tests if "coupon:contract" in test["suite"]]
        for test in tests:
            program = Path(test["cmd"][0])
            if "coupon:unit" in test["suite"]:
                self.checks[program.name] = Check(program.name, test["cmd"], [program], test["env"])
        for store in ("sqlite", "postgresql", "mariadb"):
            self.checks["contract-" + store] = Check(
                "contract-" + store, ["tests/contract/run.py", self.tree.build, store], contract)
        for name, patterns in CONTRACTS.items():
            self.checks[name] = Check(
                name, ["tests/contract/run.py", self.tree.build,
                       "postgresql:" + ",".join(patterns)],
                [program for program in contract
                 if any(fnmatch(program.name, pattern) for pattern in patterns)])
        coupon = self.tree.build / "src/cli/coupon"
        pytest = ["/usr/bin/python3", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        for name, ledger, redis in (("e2e", "", ""), ("e2e-postgres", "postgres", ""),
                                    ("e2e-redis", "mariadb", "1")):
            self.checks[name] = Check(name, [*pytest, *E2E], [coupon], {
                "COUPON_BINARY": str(coupon), "COUPON_TEST_LEDGER": ledger,
                "COUPON_TEST_REDIS": redis})
        ninja = (self.tree.build / "build.ninja").read_text()
        for name, (program, *arguments) in SIMULATIONS.items():
            path = self.tree.build / program
            if f"build {program}:" in ninja:
                self.checks[name] = Check(name, [path, *arguments], [path])
        if self.tree.ninja(self.targets(self.checks)) != 0:
            raise Broken(f"{self.tree.folder} does not build; see {self.tree.log}")
        self.try_unmutated({name for path in paths for stage in self.stages(path)
                            for name in stage})

    def targets(self, names):
        return sorted({str(path.relative_to(self.tree.build))
                       for name in names for path in self.checks[name].targets})

    def try_unmutated(self, names):
        for name in sorted(names):
            check = self.checks[name]
            check.programs = {path: digest_of(path) for path in check.targets}
            check.seconds = self.baseline.of(check, self.tree)

    def stages(self, path):
        """Names of the tests for a mutant of this file, in groups: the nearest first."""
        return [[name for name in stage if name in self.checks] for stage in self.all_stages(path)]

    def all_stages(self, path):
        folder = Path(path).parts[1]
        unit = [name for name in self.checks if name.startswith("unit-")]
        near = [name for name in unit if name.startswith(f"unit-{folder}-")]
        stages = [near, [name for name in unit if name not in near]]
        name = Path(path).name
        if folder == "ledger" and name.startswith("postgres"):
            return [["contract-postgresql"], *stages]
        if folder == "ledger" and name.startswith("mysql"):
            return [near, ["contract-mariadb"]]
        if name in ("settle.c", "partitions.c"):
            return [*stages, ["simulate-distributed"], ["contract-postgresql"],
                    ["contract-mariadb"]]
        if path in SQL_FILES:
            return [*stages, ["simulate-distributed"], ["contract-issuer"], ["e2e-postgres"]]
        if folder == "issuer" and name.startswith("redis"):
            return [*stages, ["simulate-distributed"], ["contract-redis"], ["e2e-redis"]]
        if path in SHARED_FILES:
            return [*stages, ["simulate", "simulate-distributed"], ["contract-issuer"],
                    ["contract-redis"], ["e2e"]]
        if folder == "ledger":
            stages.append(["contract-sqlite"])
            stages.append(["io-faults", "io-images"])
        simulated = ["simulate"] if path.startswith(SIMULATED) else []
        return [*stages, simulated, ["e2e"]]

    # -- judging --------------------------------------------------------------------------------

    def judge(self, mutant):
        begin = time.monotonic()
        path = self.tree.folder / mutant.path
        text = path.read_bytes()
        if mutant.path not in self.objects:
            self.objects[mutant.path] = self.tree.object_of(mutant.path)
        path.write_bytes(mutant.of(text))
        try:
            verdict = self.verdict_of(mutant)
        finally:
            path.write_bytes(text)
        verdict.seconds = time.monotonic() - begin
        return verdict

    def verdict_of(self, mutant):
        made = self.tree.object_of(mutant.path)
        if made is None:
            return Verdict("uncompilable")
        if made == self.objects[mutant.path]:
            return Verdict("same")
        for stage in self.stages(mutant.path):
            checks = [self.checks[name] for name in stage]
            if stage and self.tree.ninja(self.targets(stage)) != 0:
                return Verdict("uncompilable")
            checks.sort(key=lambda check: (-self.kills[mutant.path, check.name], check.seconds))
            for check in checks:
                state = self.state_of(check)
                if state:
                    self.kills[mutant.path, check.name] += 1
                    return Verdict(state, check.name)
        return Verdict("survived")

    def state_of(self, check):
        """killed or timeout, or "" when the mutant passes. A failure has to come twice: some tests
        judge time on a busy machine."""
        if all(digest_of(path) == digest for path, digest in check.programs.items()):
            return ""
        for _ in range(2):
            code = self.tree.run(sandbox(check.command), 10 + 5 * check.seconds, check.environment)
            if code is None:
                return "timeout"
            if code == 0:
                return ""
        return "killed"
