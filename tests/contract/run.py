#!/usr/bin/python3
"""Runs the contract of the ledger's stores, and writes TAP.

    run.py BUILD [STORE[:PATTERN,…] …]
                               the programs of BUILD/tests/contract against sqlite, postgresql,
                               mariadb (all without a word), of the patterns alone where
                               there are any; a store that is not installed is skipped

Not for: what a store does when its server goes away (test_faults.py beside this).
Called by tests/run.py and by hand.
"""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers import STORES, Redis  # noqa: E402

# What only servers promise: several programs at once.
SHARED = ("contract-calls_fail", "contract-issuer_fails", "contract-open_race",
          "contract-issuer_reads", "contract-shared", "contract-settle", "contract-settle_queue",
          "contract-settle_race", "contract-values_fail")
# What is made of the answers of a Redis in front of one of them, whichever it is.
QUEUED_STORE = "postgresql"
QUEUED = ("contract-redis_*", "contract-partition")


@contextmanager
def url_of(store):
    """The URL to test with, of a server that runs meanwhile."""
    if store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="coupon-contract-") as folder:
            yield f"sqlite:{folder}"
    else:
        with STORES[store]() as server:
            yield server.start()


@contextmanager
def redis_of(store):
    """The URL of a Redis that runs meanwhile; empty for a store before which none is tested."""
    if store == QUEUED_STORE:
        with Redis(appendonly=False) as server:
            yield server.start()
    else:
        yield ""


def is_one_of(program, patterns):
    return any(fnmatch(program.name, pattern) for pattern in patterns)


def is_for(program, store, chosen):
    if chosen:
        return is_one_of(program, chosen)
    if is_one_of(program, QUEUED):
        return store == QUEUED_STORE
    return store != "sqlite" or program.name not in SHARED


def run(folder, word):
    """Runs the programs against the store. Whether all went well."""
    store, _, patterns = word.partition(":")
    chosen = patterns.split(",") if patterns else []
    missing = STORES[store].missing() if store in STORES else None
    missing = missing or (Redis.missing() if store == QUEUED_STORE else None)
    if missing:
        print(f"1..1\nok 1 - {store} # SKIP NOT TESTED: {missing}", flush=True)
        return True
    programs = sorted(path for path in (Path(folder) / "tests/contract").glob("contract-*")
                      if path.is_file() and os.access(path, os.X_OK)
                      and not path.name.endswith("-driver"))
    for pattern in chosen:
        assert any(is_one_of(program, [pattern]) for program in programs), f"no {pattern}"
    good = bool(programs)
    with url_of(store) as url, redis_of(store) as redis:
        for program in programs:
            if not is_for(program, store, chosen):
                continue
            print(f"# {store}: {program.name}", flush=True)
            environment = {**os.environ, "COUPON_CONTRACT_LEDGER": url,
                           "COUPON_CONTRACT_REDIS": redis,
                           "CMOCKA_MESSAGE_OUTPUT": "TAP"}
            good = subprocess.run([program], env=environment, check=False).returncode == 0 and good
    return good


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder, *stores = sys.argv[1:]
    results = [run(folder, store) for store in stores or ("sqlite", *STORES)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
