"""Where the servers under test keep their record when COUPON_TEST_LEDGER says postgres or mariadb:
one real SQL server for the whole run, and in it a database for each data folder, which then holds
nothing but the token. So that a test that starts a server again on its folder finds its record.
With COUPON_TEST_REDIS=1 besides, Redis is in front of it: one server for the run, of which each folder
has a numbered database, and a worker that lives as long as the folder's database does.

Not for: starting the SQL server by itself (tests/servers).
"""

import collections
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from servers import MariaDB, Postgres  # noqa: E402  they lie in tests/
from servers.redis import Redis  # noqa: E402

STORES = {"postgres": Postgres, "mariadb": MariaDB}
KIND = os.environ.get("COUPON_TEST_LEDGER", "")
WITH_REDIS = bool(KIND and os.environ.get("COUPON_TEST_REDIS"))
BINARY = os.path.abspath(os.environ.get("COUPON_BINARY", "build/coupon"))
REDIS_DATABASES = 4096
# Names and keys as bytes, since the clients escape some characters.
HEX = {"postgresql": "encode(convert_to(user_id::text, 'UTF8'), 'hex')", "mariadb": "hex(user_id)"}

_server = None    # the one that runs
_redis = None     # … and this
_databases = {}   # data folder -> Database


class Database:
    """One of a SQL server's databases: the record of one coupon server, of those started after it,
    or of several nodes."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.url = server.url(name)
        self.redis_url = ""
        self.worker = None

    def environment(self):
        """What a program is told by."""
        urls = {"COUPON_LEDGER": self.url}
        return {**urls, "COUPON_REDIS": self.redis_url} if self.redis_url else urls

    def start_worker(self, redis_url, log):
        self.redis_url = redis_url
        kept = {key: value for key, value in os.environ.items() if not key.startswith("COUPON_")}
        self.worker = subprocess.Popen([BINARY, "worker"], env={**kept, **self.environment()},
                                       stdin=subprocess.DEVNULL, stderr=log,
                                       start_new_session=True)

    def end(self):
        if self.worker:
            self.worker.terminate()
            assert self.worker.wait(60) == 0
            self.worker = None

    def sql(self, text):
        """The rows of a question, as lists of text."""
        found = self.server.sql(text, self.name)
        return [line.split("\t") for line in found.split("\n")] if found else []

    def record(self):
        """({coupon: {rank: user}}, {coupon: its issued_quantity}), both of one moment."""
        issues, quantities = collections.defaultdict(dict), {}
        for coupon, quantity, rank, user in self.sql(
                "SELECT c.id, c.issued_quantity, i.rank_no, %s FROM coupons c"
                " LEFT JOIN coupon_issues i ON i.coupon_id = c.id ORDER BY c.id, i.rank_no"
                % HEX[self.server.NAME]):
            quantities[int(coupon)] = int(quantity)
            if rank not in ("", "NULL"):
                assert int(rank) not in issues[int(coupon)]
                issues[int(coupon)][int(rank)] = bytes.fromhex(user).decode()
        return dict(issues), quantities


def missing():
    """Why nothing can be tested, or None."""
    if not KIND:
        return None
    if KIND not in STORES:
        return "COUPON_TEST_LEDGER is %s, and not %s" % (KIND, " or ".join(STORES))
    return STORES[KIND].missing()


def make(data):
    """The database of this data folder, made when there is none; None without COUPON_TEST_LEDGER."""
    global _server
    if not KIND:
        return None
    key = os.path.realpath(data)
    if key not in _databases:
        if _server is None:
            _server = STORES[KIND]()
            _server.own_session = True  # Ctrl-C ends the tests first
            _server.start()
        number = len(_databases)
        name = "e2e_%d" % number
        _server.sql("CREATE DATABASE " + name)
        _databases[key] = Database(_server, name)
        if WITH_REDIS:
            _start_worker(_databases[key], number, data)
    return _databases[key]


def _start_worker(database, number, data):
    global _redis
    if _redis is None:
        _redis = Redis()
        _redis.own_session = True
        _redis.settings = ["--databases", str(REDIS_DATABASES)]
        _redis.start()
    assert number < REDIS_DATABASES
    os.makedirs(data, exist_ok=True)
    with open(os.path.join(data, "worker-log"), "wb") as log:
        database.start_worker("%s/%d" % (_redis.url().rsplit("/", 1)[0], number), log)


def of(data):
    """The database of this data folder, or None."""
    return _databases.get(os.path.realpath(data))


def drop(data):
    """Makes room: its servers have ended."""
    database = of(data)
    if database and database.name:
        database.end()
        database.server.drop(database.name)
        database.name = None


def eventually(ask, is_right, seconds=20):
    """What it answers; where others than the server have a part in that, as soon as it is right."""
    end = time.monotonic() + seconds
    found = ask()
    while KIND and not is_right(found) and time.monotonic() < end:
        time.sleep(0.02)
        found = ask()
    return found


def settled_issue(client, coupon, user):
    """What the user holds of the coupon, once a worker has settled it."""
    path = "/v1/coupons/%d/issues?userId=%s" % (coupon, user)
    return eventually(lambda: client.get(path).json()["issues"], bool)[0]


def end():
    """At the end of the run."""
    global _server, _redis
    for database in _databases.values():
        database.end()
    for server in (_redis, _server):
        if server is not None:
            server.__exit__()
    _server = _redis = None
