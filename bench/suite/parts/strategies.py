"""Every design of the original's story beside ours, turn about, one at a time on a machine of its
own: a crowd on a coupon of 500, a sustained load, and `kill -9` of everything of it under load.

What clients were told is compared with the record once its queue is drained: how many were issued,
to whom twice, and who was promised one and has none.
"""

import collections
import json
import subprocess
import time
from contextlib import ExitStack

from suite.coupon import exchange
from suite.designs import AOF, ORIGINALS, Clustered, Embedded, Original, plain_mariadb
from suite.figures import measurement, rotated
from suite.machine import Others, sync_lines, sync_times_us, tool, version_of
from suite.parts.distributed import check_reachable, failures_told
from suite.processes import Refused, end, finished, processor_seconds

SUMMARY = "the original's designs beside ours: exact? durable? how fast (only when asked for)"
DESIGNS = (*ORIGINALS, *AOF, "embedded", "sql", "redis")
QUANTITY, USERS, AGAIN_PERCENT, CONNECTIONS = 500, 20_000, 5, 256
SUSTAINED_SECONDS, QUICK_SECONDS = 3, 1
KILLED_AFTER_SECONDS = 1.5
ASKED_AFTERWARDS = 10  # new users ask the sold-out coupon after the kill
CLIENT_SECONDS_MAX = 120
# About what a turn takes, all three loads and two starts.
SECONDS = {"race": 13, "sql-lock": 11, "redis-lock": 16, "set-lock": 11}
SECONDS_ELSE = 9

LATENCIES = ("p50", "p99", "p99.9")
CROWD = {"requests_per_s": "1/s", **{f"latency_{name}": "us" for name in LATENCIES}}
COUNTS = {"issued": "rows", "users_twice": "users", "told": "answers", "told_without_row": "users",
          "promised": "users", "gone": "users", "given_again": "answers"}
SUSTAINED = {**CROWD, "cpu_us_per_request": "us", "other_answers": "answers", "drained_s": "s"}


def steps(settings):
    return [*[(f"strategies, turn {turn + 1} of {settings.turns}: {name}",
               SECONDS.get(name, SECONDS_ELSE))
              for turn in range(settings.turns) for name in rotated(DESIGNS, turn)],
            ("strategies, verifying our records", 10)]


# ---- what runs -------------------------------------------------------------------------------

def new_folder(folder, name):
    (folder / name).mkdir(mode=0o755)
    return folder / name


def make_all(run, folder):
    """{name: design}; none of them runs."""
    sql = plain_mariadb(new_folder(folder, "sql"))
    server, coupon = run.program("strategies/strategies-server"), run.program("coupon")
    made = {name: Original(name, server, new_folder(folder, name), sql)
            for name in (*ORIGINALS, *AOF)}
    made["embedded"] = Embedded("embedded", coupon, new_folder(folder, "embedded"))
    for number, name in enumerate(("sql", "redis")):
        made[name] = Clustered(name, coupon, new_folder(folder, f"mode-{number}"))
    return {name: made[name] for name in DESIGNS}


def client_command(run, design, mode, coupon, *options):
    return [run.program("load/load-client"), mode, "--port", design.port,
            "--path", f"/v1/coupons/{coupon}/issues", "--connections", CONNECTIONS, *options]


def client(run, design, mode, coupon, *options):
    told = json.loads(finished(client_command(run, design, mode, coupon, *options),
                               CLIENT_SECONDS_MAX))
    if told["failed"]:
        raise Refused(f"{design.name}, {mode}: {told['failed']} requests had no answer: {told}")
    return told


def read_told(path):
    """The users a client was told to have got one, one a 201."""
    users = path.read_text().split()
    path.unlink()
    return users


# ---- the three loads -------------------------------------------------------------------------

def rates_of(told, requests):
    latency = told["latency_us"]["all"]
    return {"requests_per_s": requests / told["seconds"],
            **{f"latency_{name}": latency[name] for name in LATENCIES}}


def used_by(design):
    return {role: processor_seconds(*its) for role, its in design.processes().items() if its}


def crowd(run, design, coupon, turn, path):
    """Returns the figures, and the users who were told 201."""
    before, others = used_by(design), Others()
    told = client(run, design, "crowd", coupon, "--users", USERS, "--again", AGAIN_PERCENT,
                  "--seed", turn + 1, "--told", path)
    used = used_by(design)
    others = others.share(sum(used.values()) - sum(before.values()))
    return {**rates_of(told, told["requests"]), "other_work": others}, read_told(path)


def sustained(run, design, coupon, turn):
    """What is owed at the end, the queue, is paid for too."""
    seconds = QUICK_SECONDS if run.settings.quick else SUSTAINED_SECONDS
    before, others = used_by(design), Others()
    told = client(run, design, "sustain", coupon, "--seconds", seconds, "--prefix", f"s{turn}")
    begin = time.monotonic()
    design.settle()
    drained, used = time.monotonic() - begin, used_by(design)
    accepted = told["status"].get("201", 0)
    if accepted == 0:
        raise Refused(f"{design.name}, sustained: nobody got one: {told}")
    roles = {f"cpu_us_of_{role}": (used[role] - before[role]) * 1e6 / accepted for role in used}
    return {**rates_of(told, accepted), **roles, "cpu_us_per_request": sum(roles.values()),
            "other_answers": told["requests"] - accepted, "drained_s": drained,
            "other_work": others.share(sum(used.values()) - sum(before.values()))}


def killed(run, design, coupon, turn, path):
    """Kills everything in the midst of a load and starts it again. Returns the users who had been
    told 201."""
    command = client_command(run, design, "sustain", coupon, "--seconds", CLIENT_SECONDS_MAX,
                             "--prefix", f"k{turn}", "--told", path)
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
    try:
        time.sleep(KILLED_AFTER_SECONDS)
        if process.poll() is not None:
            raise Refused(f"the client ended early: {process.communicate()}")
        design.kill()
        time.sleep(0.2)  # for what was answered and not read yet
        process.terminate()
        process.communicate(timeout=30)
    finally:
        end(process)
    design.start()
    design.settle()
    return read_told(path)


def given_again(design, coupon, turn):
    """The sold-out coupon is asked again by new users: how many are told that they got one."""
    replies = [exchange(design.port, f"/v1/coupons/{coupon}/issues", f"again-{turn}-{number}")
               for number in range(ASKED_AFTERWARDS)]
    return sum(reply.startswith(b"HTTP/1.1 201") for reply in replies)


# ---- a turn ----------------------------------------------------------------------------------

def counts_of(told, rows, promised, kept):
    """Pure. `told`, `promised`: users told 201 by the crowd and under the kill; `rows`, `kept`: the
    users of the coupons' rows, one a row."""
    return {"issued": len(rows), "told": len(told),
            "users_twice": sum(count > 1 for count in collections.Counter(rows).values()),
            "told_without_row": len(set(told) - set(rows)),
            "promised": len(set(promised)), "gone": len(set(promised) - set(kept))}


def one_turn(run, design, turn, folder):
    path = folder / "told"
    design.start()
    coupons = [design.new_coupon(title, quantity)
               for title, quantity in (("crowd", QUANTITY), ("sustained", None), ("killed", None))]
    rush, told = crowd(run, design, coupons[0], turn, path)
    design.settle()
    steady = sustained(run, design, coupons[1], turn)
    promised = killed(run, design, coupons[2], turn, path)
    again = given_again(design, coupons[0], turn)
    design.settle()
    rows = design.read([coupons[0], coupons[2]])
    crowd_rows = [user for user in rows[coupons[0]] if not user.startswith("again-")]
    return {"crowd": rush, "sustained": steady,
            "counts": {**counts_of(told, crowd_rows, promised, rows[coupons[2]]),
                       "given_again": again}}


def lines_of(name, turns):
    """`turns`: what one_turn gave."""
    def line(load, what, unit, prefix=""):
        return measurement(f"{prefix}{what}", unit, [turn[load][what] for turn in turns],
                           {"design": name, "connections": CONNECTIONS},
                           other_work=[turn[load]["other_work"] for turn in turns])

    roles = [what for what in turns[0]["sustained"] if what.startswith("cpu_us_of_")]
    parameters = {"design": name, "quantity": QUANTITY, "users": USERS,
                  "again_percent": AGAIN_PERCENT, "asked": ASKED_AFTERWARDS}
    return [*[line("crowd", what, unit, "crowd_") for what, unit in CROWD.items()],
            *[line("sustained", what, unit) for what, unit in SUSTAINED.items()],
            *[line("sustained", role, "us") for role in roles],
            *[measurement(what, unit, [turn["counts"][what] for turn in turns], parameters)
              for what, unit in COUNTS.items()]]


# ---- the whole -------------------------------------------------------------------------------

def versions():
    return (f"Redis {version_of('redis-cli', '--version')}, "
            f"MariaDB {version_of(tool('mariadbd'), '--version')}")


def measure(run):
    run.machine["servers"] = versions()
    with ExitStack() as stack, failures_told():
        folder = stack.enter_context(run.folder())
        check_reachable(folder)
        designs = make_all(run, folder)
        for design in designs.values():
            stack.callback(design.end)
        seen, syncs = {name: [] for name in designs}, []
        for turn in range(run.settings.turns):
            syncs.append(sync_times_us(folder))
            for name in rotated(DESIGNS, turn):
                run.progress.step()
                seen[name].append(one_turn(run, designs[name], turn, folder))
        run.progress.step()
        for design in designs.values():
            design.check()
        for name, turns in seen.items():
            run.write(*lines_of(name, turns))
        run.write(*sync_lines(syncs, {}))
