"""Several processes beside the original system's script, told."""

from suite.figures import find, values_of
from suite.tables import Table, only, spread, wanted

CASES_TOLD = {"peer": "the peer: nginx, Lua, Redis, the original's script",
              "admitted": "Redis mode, admitted: 202",
              "redis": "Redis mode, MariaDB: 201",
              "sql": "SQL mode, MariaDB: 201",
              "sql postgresql": "SQL mode, PostgreSQL: 201"}
ROLES = ("node", "worker", "redis", "sql")
WAYS_TOLD = {"drain": "workers drain the queue", "insert": "one connection, 1,000 rows a commit"}


def row_of(lines, case):
    def line(what):
        return find(lines, what, case=case)

    latency = "/".join(only(line(f"latency_{name}"), 1e-3) for name in ("p50", "p99"))
    return [CASES_TOLD[case], spread(line("requests_per_s")),
            "1" if case == "peer" else spread(line("requests_per_s_of_peer")),
            only(line("cpu_us_per_request")),
            *[only(line(f"cpu_us_of_{role}")) if line(f"cpu_us_of_{role}") else ""
              for role in ROLES], latency]


def tables(lines):
    cases = values_of(lines, "case", "requests_per_s")
    queue = [[WAYS_TOLD[way], spread(find(lines, "rows_per_s", way=way)),
              spread(find(lines, "drained_of_inserted")) if way == "drain" else "1",
              only(find(lines, "cpu_us_per_row", way=way))]
             for way in values_of(lines, "way", "rows_per_s")]
    connections = values_of(lines, "connections")[0]
    return [Table(f"Several processes on these cores, {connections} connections",
                  ["case", "requests/s", "of the peer's", "CPU us a request, all",
                   "nginx or API node", "worker", "Redis", "SQL server", "latency p50/p99 ms"],
                  [row_of(lines, case) for case in cases]),
            Table("The queue into MariaDB",
                  ["way", "rows/s", "of the one connection's", "client's CPU us a row"], queue)]


def thresholds(lines):
    found = []
    for case, value in (("admitted", 1.5), ("redis", 0.5), ("sql", 0.5)):
        found += wanted(lines, {"case": case}, "requests_per_s_of_peer",
                        f"{CASES_TOLD[case]}: requests/s, of the peer's", value)
    return found + wanted(lines, {}, "drained_of_inserted",
                          "the queue drained: rows/s, of one connection's", 0.6)


def scripts(_):
    return {}
