"""One run of pgbench: what a claim is when PostgreSQL alone keeps the coupons. A single statement,
which is one transaction and one round trip, counts the coupon up while there is something left and
inserts the issue under a unique key; nothing of ours is between."""

import re

from suite.figures import percentile
from suite.machine import Others
from suite.processes import Refused, finished, processor_seconds

THREADS = 2
# Rows that are changed all the time want room on their page, and pages of their own.
SCHEMA = """
CREATE TABLE coupons (id integer PRIMARY KEY, issued bigint NOT NULL, total bigint NOT NULL)
    WITH (fillfactor = 10);
CREATE TABLE issues (coupon integer NOT NULL, user_id text NOT NULL, rank bigint NOT NULL,
                     issued_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (coupon, user_id));
INSERT INTO coupons SELECT id, 0, 2000000000 FROM generate_series(1, {coupons}) AS id;
"""
SCRIPT = """\
\\set user random(1, 9000000000000000000)
\\set coupon random(1, :coupons)
WITH coupon AS (UPDATE coupons SET issued = issued + 1 WHERE id = :coupon AND issued < total
                RETURNING id, issued)
INSERT INTO issues (coupon, user_id, rank) SELECT id, 'user-' || :user, issued FROM coupon;
"""
RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
COUNT = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)


def figures_of(output, times_us):
    """What pgbench says, and the time of every transaction."""
    rate, count = RATE.search(output), COUNT.search(output)
    if not rate or not count or int(count.group(1)) == 0:
        raise Refused(f"pgbench says nothing of use: {output}")
    return {"requests": int(count.group(1)), "requests_per_s": float(rate.group(1)),
            "p50_us": percentile(times_us, 50), "p99_us": percentile(times_us, 99)}


def times_of(folder):
    """The third column of its logs, a file a thread, which are gone then."""
    times = []
    for log in folder.glob("transactions.*"):
        times += [int(line.split(" ")[2]) for line in log.read_text().splitlines()]
        log.unlink()
    return times


def load(program, server, database, folder, clients, coupons, seconds):
    """`server`: PostgreSQL of tests/servers; `folder`: of ours. Returns the same as wrk.load."""
    script = folder / "claim.sql"
    script.write_text(SCRIPT)
    used, others = processor_seconds(server.process), Others()
    output = finished(
        [program, "--no-vacuum", "--protocol=prepared", f"--client={clients}",
         f"--jobs={THREADS}", f"--time={seconds}", f"--define=coupons={coupons}",
         f"--file={script}", "--log", f"--log-prefix={folder}/transactions",
         server.url(database)], seconds + 60)
    used = processor_seconds(server.process) - used
    figures = figures_of(output, times_of(folder))
    return {**figures, "other_work": others.share(used),
            "cpu_us_per_request": used * 1e6 / figures["requests"]}
