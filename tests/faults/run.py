#!/usr/bin/python3
"""The fault table: what a cluster of real servers, in mode redis, comes to when its parts fail in
the midst of a crowd. Called by ./dev faults. The cases are in faults.py, what is right in judge.py.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from faults.faults import FAULTS  # noqa: E402  they lie in tests/
from faults.table import HEAD, details_of, line_of, run_case  # noqa: E402
from servers import cluster  # noqa: E402

LEDGERS = ("mysql", "postgres")
EPILOG = """\
  missing   told 201, and not so in the ledger
  surplus   rows beyond the quantity
  lost      told 202, never refused, and nothing came of it
  longest   that anybody waited for an answer

cases:
"""


def first_sentence_of(fault):
    return " ".join(fault.make.__doc__.split()).partition(".")[0]


def read_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="./dev faults", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A cluster of real servers, a crowd, and a fault in the midst: case by case\n"
                    "what was told and what the ledger holds in the end. Exit code 1: a promise\n"
                    "was broken; the logs of such a case are in build/faults-logs.",
        epilog=EPILOG + "\n".join(f"  {fault.name:<28}{first_sentence_of(fault)}"
                                  for fault in FAULTS))
    parser.add_argument("cases", nargs="*", metavar="CASE", help="these only")
    parser.add_argument("--ledger", choices=LEDGERS, help="only with this one")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="of 10,000 coupons and 50,000 claims [1]")
    parser.add_argument("--output", default=str(ROOT / "build" / "faults.txt"), metavar="FILE",
                        help="the table, once more [build/faults.txt]")
    options = parser.parse_args(arguments)
    known = {fault.name for fault in FAULTS}
    for name in options.cases:
        if name not in known:
            parser.error(f"there is no case {name}")
    return options


def lines_of(binary, fault, ledger, scale):
    """Runs it. The lines that tell of it, and whether all promises were kept."""
    why = fault.missing() or cluster.missing(binary, "redis", ledger, False)
    if why:
        return [f"{fault.name:<27} {ledger:<9} NOT TESTED: {why}"], True
    result = run_case(binary, ledger, fault, scale, ROOT / "build" / "faults-logs")
    return [line_of(result), *details_of(result)], not result.violations


def main():
    options = read_arguments(sys.argv[1:])
    binary = os.environ.get("COUPON_BINARY", ROOT / "build" / "coupon")
    kept = True
    with open(options.output, "w", encoding="utf-8") as output:
        def tell(lines):
            text = "\n".join(lines) + "\n"
            print(text, end="", flush=True)
            output.write(text)
            output.flush()

        tell([HEAD])
        for fault in FAULTS:
            for ledger in [options.ledger] if options.ledger else LEDGERS:
                if not options.cases or fault.name in options.cases:
                    lines, well = lines_of(binary, fault, ledger, options.scale)
                    kept &= well
                    tell(lines)
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
