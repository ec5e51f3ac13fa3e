"""What the lines say, for people: tables, thresholds, the machine. Pure: lines in, values and
text out; the terminal and the document get the same tables."""

from dataclasses import dataclass

from suite.figures import find, told, values_of
from suite.machine import OTHERS_MAX

MISSING = "-"


@dataclass
class Table:
    title: str
    head: list
    rows: list  # of texts
    note: str = ""


def number(value):
    """1,234,567 or 12.3 or 0.123: three digits, or all before the point."""
    if value is None:
        return MISSING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(line, scale=1):
    """The value that is told of a line, and how far its turns went."""
    if line is None:
        return MISSING
    value, least, most = (number(each * scale) for each in (told(line), line["min"], line["max"]))
    return value if len(line["turns"]) == 1 else f"{value} ({least}-{most})"


def only(line, scale=1):
    return MISSING if line is None else number(told(line) * scale)


def size_name(count):
    """1024 -> 1 k, 10240000 -> 10 M."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count // unit} {name}"
    return str(count)


# ---- tables, a function a part ---------------------------------------------------------------

def http_tables(lines, title="HTTP beside nginx"):
    rows = []
    for case in values_of(lines, "case"):
        for loops in values_of(lines, "loops"):
            for connections in values_of(lines, "connections"):
                rows.append(http_row(lines, {"case": case, "loops": loops,
                                             "connections": connections}))
    return [Table(title,
                  ["case", "loops", "connections", "CPU us a request, coupon", "nginx",
                   "requests a CPU second, of nginx's", "requests/s, coupon", "nginx",
                   "requests/s, of nginx's", "latency p50/p99 ms, coupon", "nginx"],
                  [row for row in rows if row])]


def http_row(lines, parameters):
    def line(what, **more):
        return find(lines, what, **parameters, **more)

    def latency(server):
        return "/".join(only(line(f"latency_{name}", server=server), 1e-3)
                        for name in ("p50", "p99"))

    if not line("requests_per_s_of_nginx"):
        return None
    return [*map(str, parameters.values()),
            *[only(line("cpu_us_per_request", server=name)) for name in ("coupon", "nginx")],
            spread(line("requests_per_cpu_s_of_nginx")),
            *[only(line("requests_per_s", server=name)) for name in ("coupon", "nginx")],
            spread(line("requests_per_s_of_nginx")), latency("coupon"), latency("nginx")]


def floor_tables(lines):
    return http_tables(lines, "src/http with a constant reply beside nginx")


def engine_tables(lines):
    sizes = values_of(lines, "issues")
    rows = [[f"{kind.replace('_', ' ')}, ns a claim",
             *[spread(find(lines, "claim_ns", claim=kind, issues=size)) for size in sizes],
             only(find(lines, "claim_ns_large_to_small", claim=kind))]
            for kind in values_of(lines, "claim")]
    rows.append(["memory, bytes an issue",
                 *[only(find(lines, "bytes_an_issue", issues=size)) for size in sizes], ""])
    names = [size_name(size) for size in sizes]
    return [Table("Engine alone", ["issues held", *names, f"{names[-1]} : {names[0]}"], rows)]


def batch_tables(lines):
    rows = [[str(connections),
             *[spread(find(lines, what, connections=connections))
               for what in ("claims_per_s", "cpu_us_per_claim", "client_cpu_share")]]
            for connections in values_of(lines, "connections")]
    return [Table("Batch calls, 10,000 users a call",
                  ["connections", "durable claims/s", "server's CPU us a claim",
                   "client's CPU, of a core"], rows)]


def restart_tables(lines):
    rows = []
    for way in values_of(lines, "way"):
        def line(what, way=way):
            return find(lines, what, way=way)
        rows.append([way, spread(line("ready_s")), only(line("cpu_s")),
                     only(line("read_bytes"), 1e-6), only(line("resident_bytes"), 1e-6),
                     only(line("bytes_an_issue"))])
    file_bytes = find(lines, "file_bytes_an_issue")
    return [Table(f"Start with {size_name(file_bytes['parameters']['issues'])} issues",
                  ["file", "s to ready", "CPU s", "read from disk MB", "resident MB",
                   "memory bytes an issue"], rows,
                  f"On disk: {only(file_bytes)} bytes an issue. The cold starts came after "
                  f"{file_bytes['cold_by']}.")]


def ledger_tables(lines):
    sizes = values_of(lines, "rows_a_commit")
    rows = [[name, *[spread(find(lines, what, rows_a_commit=size), scale) for size in sizes]]
            for name, what, scale in (("rows/s", "rows_per_s", 1),
                                      ("ns of CPU a row", "cpu_ns_per_row", 1),
                                      ("longest checkpoint, ms", "checkpoint_max", 1e-3))]
    return [Table("Ledger alone", ["rows a commit", *map(str, sizes)], rows)]


CASES_TOLD = {"peer": "the peer: nginx, Lua, Redis, the original's script",
              "admitted": "Redis mode, admitted: 202",
              "redis": "Redis mode, MariaDB: 201",
              "sql": "SQL mode, MariaDB: 201",
              "sql postgresql": "SQL mode, PostgreSQL: 201"}
ROLES = ("node", "worker", "redis", "sql")
WAYS_TOLD = {"drain": "workers drain the queue", "insert": "one connection, 1,000 rows a commit"}


def distributed_row(lines, case):
    def line(what):
        return find(lines, what, case=case)

    latency = "/".join(only(line(f"latency_{name}"), 1e-3) for name in ("p50", "p99"))
    return [CASES_TOLD[case], spread(line("requests_per_s")),
            "1" if case == "peer" else spread(line("requests_per_s_of_peer")),
            only(line("cpu_us_per_request")),
            *[only(line(f"cpu_us_of_{role}")) if line(f"cpu_us_of_{role}") else ""
              for role in ROLES], latency]


def distributed_tables(lines):
    cases = values_of(lines, "case", "requests_per_s")
    queue = [[WAYS_TOLD[way], spread(find(lines, "rows_per_s", way=way)),
              spread(find(lines, "drained_of_inserted")) if way == "drain" else "1",
              only(find(lines, "cpu_us_per_row", way=way))]
             for way in values_of(lines, "way", "rows_per_s")]
    connections = values_of(lines, "connections")[0]
    return [Table(f"Several processes on these cores, {connections} connections",
                  ["case", "requests/s", "of the peer's", "CPU us a request, all",
                   "nginx or API node", "worker", "Redis", "SQL server", "latency p50/p99 ms"],
                  [distributed_row(lines, case) for case in cases]),
            Table("The queue into MariaDB",
                  ["way", "rows/s", "of the one connection's", "client's CPU us a row"], queue)]


TABLES = {"http": http_tables, "engine": engine_tables, "batch": batch_tables,
          "restart": restart_tables, "ledger": ledger_tables, "floor": floor_tables,
          "distributed": distributed_tables}


def tables(parts):
    """`parts`: {part: its lines}. A table a part."""
    return [table for name, make in TABLES.items() if name in parts
            for table in make(parts[name])]


# ---- disk and neighbours ---------------------------------------------------------------------

def span(lines):
    """The least and the most of all turns of these lines."""
    least, most = min(line["min"] for line in lines), max(line["max"] for line in lines)
    return number(least) if least == most else f"{number(least)}-{number(most)}"


def disk_table(parts):
    rows = []
    for name, lines in parts.items():
        both = [[line for line in lines if line["what"] == f"fdatasync_{percent}"]
                for percent in ("p50", "p99")]
        if both[0]:
            rows.append([name, *map(span, both)])
    return Table("The disk meanwhile: 4 KiB pwrite + fdatasync, us",
                 ["part", "p50 of a turn", "p99 of a turn"], rows)


def other_work_max(lines):
    """The largest share of the machine that something else had in any turn."""
    return max((share for line in lines for share in line.get("other_work", [])), default=0)


def warnings(parts):
    """What makes figures doubtful."""
    found = [f"{name}: other work took up to {other_work_max(lines):.0%} of the machine; measure "
             "again when it is quiet" for name, lines in parts.items()
             if other_work_max(lines) > OTHERS_MAX]
    quick = [name for name, lines in parts.items() if lines[0]["quick"]]
    if quick:
        found.append(f"{', '.join(quick)}: a quick run shows that the suite works, no more")
    return found


def machine_lines(parts):
    """A sentence on the machine, and one a commit and time that parts were measured at."""
    facts = next(iter(parts.values()))[0]["machine"]
    said = [f"{facts['cores']} cores of {facts['cpu']}, {facts['memory_gib']} GiB, Linux "
            f"{facts['kernel']}, disk {facts['disk']}; nginx {facts['nginx']}, wrk "
            f"{facts['wrk']}."]
    for name, lines in parts.items():
        its = lines[0]["machine"]
        turns = max(len(line["other_work"]) for line in lines if "other_work" in line)
        servers = f"{its['servers']}, " if "servers" in its else ""
        said.append(f"{name}: {servers}commit {its['commit']}, {its['time']}, turns: {turns}, "
                    f"load average before {its['load_average']}, other work at most "
                    f"{other_work_max(lines):.0%}.")
    return said


# ---- thresholds ------------------------------------------------------------------------------

@dataclass
class Threshold:
    name: str
    seen: float
    wanted: float
    at_least: bool = True

    def reached(self):
        return self.seen >= self.wanted if self.at_least else self.seen <= self.wanted

    def verdict(self):
        if self.reached():
            return "reached"
        return f"short by {abs(self.seen - self.wanted) / self.wanted:.0%}"


def wanted(lines, parameters, what, name, value, at_least=True):
    line = find(lines, what, **parameters)
    return [Threshold(name, told(line), value, at_least)] if line else []


def thresholds(parts):
    """What the project set out to reach; told, never asserted."""
    http, engine, batch, restart, distributed = (
        parts.get(name, []) for name in ("http", "engine", "batch", "restart", "distributed"))
    found = []
    for case, value in (("accepted", 0.75), ("sold out", 0.9)):
        for loops in values_of(http, "loops"):
            for what, name in (("requests_per_s_of_nginx", "requests/s"),
                               ("requests_per_cpu_s_of_nginx", "requests a CPU second")):
                found += wanted(http, {"case": case, "loops": loops, "connections": 256}, what,
                                f"{case}, 256 connections, loops {loops}: {name}, of nginx's",
                                value)
    for connections in values_of(batch, "connections"):
        found += wanted(batch, {"connections": connections}, "claims_per_s",
                        f"batch, connections {connections}: durable claims/s", 300000)
    for kind in values_of(engine, "claim"):
        found += wanted(engine, {"claim": kind}, "claim_ns_large_to_small",
                        f"engine, {kind.replace('_', ' ')}: 10 M to 1 k issues", 2, False)
    sizes = values_of(engine, "issues")
    found += wanted(engine, {"issues": sizes[-1] if sizes else 0}, "bytes_an_issue",
                    "engine: bytes an issue", 40, False)
    for way in values_of(restart, "way"):
        found += wanted(restart, {"way": way}, "ready_s", f"restart, {way}: seconds", 5, False)
    found += wanted(restart, {"way": "warm"}, "bytes_an_issue",
                    "server: memory bytes an issue", 40, False)
    for case, value in (("admitted", 1.5), ("redis", 0.5), ("sql", 0.5)):
        found += wanted(distributed, {"case": case}, "requests_per_s_of_peer",
                        f"{CASES_TOLD[case]}: requests/s, of the peer's", value)
    found += wanted(distributed, {}, "drained_of_inserted",
                    "the queue drained: rows/s, of one connection's", 0.6)
    return found


def threshold_table(parts):
    return Table("What was set out to reach", ["what", "seen", "wanted", ""],
                 [[each.name, number(each.seen),
                   f"{'>=' if each.at_least else '<='} {number(each.wanted)}", each.verdict()]
                  for each in thresholds(parts)])


# ---- as text ---------------------------------------------------------------------------------

def as_text(table):
    """For the terminal: columns as wide as what is in them; long heads go over lines."""
    heads = [head.replace(", ", ",\n").split("\n") for head in table.head]
    height = max(map(len, heads))
    heads = [[""] * (height - len(head)) + head for head in heads]
    widths = [max(len(text) for text in [*heads[column], *[row[column] for row in table.rows]])
              for column in range(len(table.head))]

    def line(cells):
        first, *others = [cell.ljust(width) if column == 0 else cell.rjust(width)
                          for column, (cell, width) in enumerate(zip(cells, widths))]
        return "  ".join([first, *others]).rstrip()

    lines = [table.title, *[line(cells) for cells in zip(*heads)],
             "  ".join("-" * width for width in widths), *[line(row) for row in table.rows]]
    return "\n".join([*lines, *([table.note] if table.note else [])])


def as_markdown(table, level="###"):
    lines = [f"{level} {table.title}", "", "| " + " | ".join(table.head) + " |",
             "|" + "---|" * len(table.head), *["| " + " | ".join(row) + " |" for row in table.rows]]
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def text(parts):
    """All of it for the terminal."""
    blocks = [as_text(table) for table in [*tables(parts), disk_table(parts),
                                           threshold_table(parts)] if table.rows]
    notes = [f"NOTE: {warning}" for warning in warnings(parts)]
    return "\n\n".join([*blocks, "\n".join([*machine_lines(parts), *notes])])
