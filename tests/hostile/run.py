#!/usr/bin/python3
"""The hard cases of HTTP against the real binary (COUPON_BINARY, default build/coupon).

    run.py framing [--update]           every case of cases/, beside nginx and haproxy
    run.py slow [--connections N] [--seconds S] [--rate R]
                                        slowhttptest beside honest clients: their p99
    run.py floods [--scale N]           the floods of floods.py, N times the crowds of the tests

Each takes --result FILE, which gets one JSON object of figures at the end, also of a run that was
interrupted. Exit code 0: all kept, 1: something found, 2: wrong use. Called by ./dev hostile and
./dev prove; ./dev test runs the short forms (test_framing.py, test_floods.py).
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "e2e")]

import compare  # noqa: E402  in this folder
import framing  # noqa: E402
import proxies  # noqa: E402
import slow  # noqa: E402
from cases import CASES  # noqa: E402
from floods import FLOODS  # noqa: E402
from stage import raise_descriptor_limit  # noqa: E402
from support.server import BINARY, Server  # noqa: E402  in tests/e2e/


def tell(text):
    print(text, file=sys.stderr, flush=True)


def run_framing(options, figures):
    """Yields what is wrong, a sentence each."""
    figures.update(cases=0, sent=0, behind_proxies=0, stricter=0, laxer=0)
    with tempfile.TemporaryDirectory(prefix="coupon-hostile-") as folder:
        server = Server(folder + "/data")
        try:
            framing.prepare(server.start())
            for one in CASES:
                for case, manner, what in framing.failures(server, [one]):
                    yield f"{compare.key_of(case)}, {manner}: {what}"
                figures["cases"] += 1
                figures["sent"] += len(framing.MANNERS)
            framing.assert_nothing_slipped_through(server)
            tell(f"framing: {len(CASES)} cases in {len(framing.MANNERS)} manners")
            if not proxies.missing():
                yield from compare_with_proxies(options, figures)
                yield from compare.desynchronizations(server, CASES)
                figures.update(behind_proxies=len(CASES) * len(proxies.PROXIES))
                tell("framing: behind nginx and haproxy")
            else:
                yield f"NOT TESTED: {proxies.missing()}"
        finally:
            server.end()


def compare_with_proxies(options, figures):
    table = compare.read_table()
    lines, laxer = compare.compared(CASES, table)
    figures.update(stricter=sum(bool(line.stricter) for line in lines), laxer=len(laxer))
    if options.update:
        compare.TABLE.write_text(compare.table_text(lines))
        table = compare.read_table()
    tell("framing: compared with nginx and haproxy")
    return compare.faults_of(lines, laxer, table)


def run_slow(options, figures):
    """Yields which crowd the honest ones noticed, and which was no crowd."""
    client = options.client or slow.client_program()
    if slow.missing() or not client:
        yield f"NOT TESTED: {slow.missing() or 'there is no load-client (./dev bench builds it)'}"
        return
    room = raise_descriptor_limit(2 * options.connections + 500)
    if room < options.connections + 500:
        yield f"NOT TESTED: {room} open files are not enough (ulimit -n)"
        return
    def told(mode, found):
        figures.update({f"{mode}_{name}": value for name, value in found.items()})
        tell(f"slow: {mode}: {json.dumps(found)}")

    found = slow.measure(client, options.connections, options.rate, options.seconds, told)
    figures.update(worst_times=max(one["times"] for one in found.values()),
                   worst_times_of_quiet=max(one["times_of_quiet"] for one in found.values()),
                   connections=options.connections)
    for mode, one in found.items():
        if one["times"] > slow.TIMES_MAX:
            yield f"{mode}: p99 of the honest is {one['times']} times what it is elsewhere"
        if one["unanswered"]:
            yield f"{mode}: {one['unanswered']} claims of the honest were not answered 201"


def run_floods(options, figures):
    """Yields which floods did harm."""
    raise_descriptor_limit(int(6000 * options.scale) + 500)
    figures.update(floods=0, connections=0)
    for name, flood in {**FLOODS, "slow-clients": slow.short}.items():
        try:
            found = flood(options.scale)
        except (AssertionError, OSError) as error:
            traceback.print_exc()
            yield f"{name}: {error!r}"
            continue
        figures["floods"] += 1
        figures["connections"] += found.get("connections", 0) + found.get("resets", 0)
        tell(f"floods: {name}: {json.dumps(found)}")


PARTS = {"framing": run_framing, "slow": run_slow, "floods": run_floods}


def read_arguments():
    parser = argparse.ArgumentParser(prog="./dev hostile", description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    for name in PARTS:
        part = parts.add_parser(name)
        part.add_argument("--result", metavar="FILE")
        if name == "framing":
            part.add_argument("--update", action="store_true", help="writes compared.txt anew")
        elif name == "slow":
            part.add_argument("--connections", type=int, default=5000)
            part.add_argument("--seconds", type=int, default=10)
            part.add_argument("--rate", type=int, default=500, help="honest claims a second")
            part.add_argument("--client", help="load-client")
        else:
            part.add_argument("--scale", type=float, default=4)
    return parser.parse_args()


def main():
    options = read_arguments()
    if not os.access(BINARY, os.X_OK):
        tell(f"there is no binary at {BINARY}: build it, or name it with COUPON_BINARY")
        return 2
    figures = {"part": f"hostile-{options.part}", "complete": True}
    began, findings = time.monotonic(), 0
    try:
        for finding in PARTS[options.part](options, figures):
            findings += 1
            print(finding, flush=True)
    except KeyboardInterrupt:
        tell("interrupted")
        figures.update(complete=False)
    figures.update(violations=findings, seconds=round(time.monotonic() - began, 1))
    text = json.dumps(figures)
    print(text)
    if options.result:
        Path(options.result).write_text(text + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
