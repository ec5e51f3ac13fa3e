"""kill -9 of the embedded server, round after round on one data folder.

A round: start (some are killed while they start), two new coupons, a crowd of 8 connections that
asks for them and for one of the round before, an operator who pauses, resumes and changes
quantities; the kill, at a random moment or at a failpoint; then everything that was ever told on
this folder is judged against a copy of it. After FOLDER_ROUNDS the server is stopped as an operator
does it, `coupon verify` is asked too, and a new folder begins.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from kill.history import Crowd, Log, Operator, judge, record_of_folder
from kill.victim import EMBEDDED, QUANTITIES, STARTING, VictimNode, change_until_dead

FOLDER_ROUNDS = 20
LOAD_S = (0.02, 0.2)
CHECKPOINT_LOAD_S = 1.5  # until the log has the 250 pages that are folded when nobody waits
USERS = 400
OPERATOR_PAUSES_S = (0.002, 0.03)


class Folder:
    """One data folder, from its making to its verification."""

    def __init__(self, programs, environment=None, data=None):
        self.programs = programs
        self.place = Path(tempfile.mkdtemp(prefix="coupon-kill-"))
        self.data = Path(data or self.place / "data")
        self.server = VictimNode(programs.coupon, environment or {}, "--data", self.data,
                                 folder=self.place)
        self.server.own_session = True
        self.log = Log(self.place / "operator.log")
        self.logs = [self.log.path]
        self.coupons = []
        self.token = None
        self.round = 0

    def start(self):
        self.server.start()
        self.token = (self.data / "admin-token").read_text(encoding="ascii").strip()

    def operator(self):
        return Operator(self.log, self.server.port, self.token)

    def crowd(self, coupons, seed, programs=None):
        self.round += 1
        return Crowd(programs or self.programs, [self.server.port], coupons,
                     self.place / f"crowd-{self.round}.log", seed, USERS)

    def judge(self):
        record = record_of_folder(self.data, self.place / "record")
        return judge(self.programs, self.logs, record, shared=False)

    def verify(self):
        """What `coupon verify` has against it, the server being stopped: sentences."""
        done = subprocess.run([self.programs.coupon, "verify", "--data", self.data], text=True,
                              capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return [] if done.returncode == 0 else [f"verify: {done.stdout}{done.stderr}"]

    def remove(self):
        self.server.bury()
        self.log.close()
        shutil.rmtree(self.place, ignore_errors=True)


def start_round(folder, random, tally):
    """Some rounds begin with a start that is cut off. Arms the server with this round's failpoint
    and starts it; the failpoint's name, or None."""
    if folder.server.port and random.random() < 0.2:
        name = random.choice(sorted(STARTING))
        folder.server.arm(name, 1)
        if not folder.server.start_to_die() and folder.server.was_hit():
            tally[name] += 1
        folder.server.bury()
        folder.log.crash()
    name = random.choice(sorted(EMBEDDED)) if random.random() < 0.7 else None
    if name:
        folder.server.arm(name, min(random.randint(1, EMBEDDED[name]) for _ in range(2)))
    folder.start()
    return name


def play_round(folder, random, tally, figures):
    """One round; what was found."""
    name = start_round(folder, random, tally)
    operator = folder.operator()
    made = [operator.create(random.choice(QUANTITIES)) for _ in range(2)]
    made = [coupon["id"] for coupon in made if coupon]
    coupons = made + folder.coupons[-1:]
    folder.coupons += made
    if coupons:
        crowd = folder.crowd(coupons, random.randrange(1 << 40))
        seconds = CHECKPOINT_LOAD_S if name and "checkpoint" in name else random.uniform(*LOAD_S)
        change_until_dead(folder.server, operator, coupons, seconds, OPERATOR_PAUSES_S, random)
        folder.server.bury()
        folder.log.crash()
        folder.logs += crowd.end()
    operator.close()
    folder.server.bury()
    folder.log.crash()
    hit = folder.server.was_hit()
    tally[name if hit else "at random"] += 1
    found = folder.judge()
    found.tell(figures)
    return found.violations


def end_folder(folder):
    """A last start and stop by an operator; verify; the record as it is then."""
    folder.start()
    folder.server.stop()
    found = folder.verify() + folder.judge().violations
    if folder.server.exit_code != 0:
        found.append(f"the server ended with {folder.server.exit_code} when it was stopped")
    return found
