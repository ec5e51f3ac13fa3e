#!/usr/bin/python3
"""All tests of this folder, the slow ones too, and their figures in one JSON object.

Called by ./dev prove. Not for: ./dev test, which runs pytest itself without the slow ones. Wants
COUPON_BINARY, COUPON_RELEASE_BINARY and COUPON_UNDER_FILTER (conftest.py) in the environment."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

import units

HERE = Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--result", metavar="FILE", help="where the figures go")
    arguments = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", f"--junitxml={report}"],
                              cwd=HERE, check=False, stdout=sys.stderr).returncode
        suite = next(xml.etree.ElementTree.parse(report).iter("testsuite")) if report.exists() else {}
    figures = {"part": "safety", "tests": int(suite.get("tests", 0)),
               "failures": int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
               "skipped": int(suite.get("skipped", 0))}
    if units.analyze():
        for name in ("coupon", "coupon-worker"):
            figures[f"exposure_{name.replace('-', '_')}"] = units.Unit(f"{name}.service").exposure()
    figures["seconds"] = round(time.monotonic() - begin)
    if arguments.result:
        Path(arguments.result).write_text(json.dumps(figures) + "\n", encoding="ascii")
    return 0 if code == 0 else 1 if code == 1 else 2


if __name__ == "__main__":
    sys.exit(main())
