"""The same bytes to nginx and haproxy: who takes them? Laxer than both is a fault of ours; where we are
stricter, the table (compared.txt) has the reason.

A case counts by its requests, the one that follows it included: those that a proxy passed on and
answered 2xx, and those that coupon understood. Each proxy stands in front of an origin that keeps what
it got, and once more in front of a real coupon server, which must have seen exactly the requests that
the proxy says it sent: else the two have lost each other's count, which is what smuggling lives on.

Called by run.py and test_framing.py, which hold the table in the tree against what is found.
"""

import contextlib
import dataclasses
import re
import socket
from pathlib import Path

from cases.case import REFUSALS_OF_BYTES, get
from origin import Origin
from proxies import PROXIES
from reasons import REASONS

TABLE = Path(__file__).resolve().with_name("compared.txt")
TIMEOUT_S = 20
HEADING = """\
# What coupon, nginx 1.22 and haproxy 2.6 of Debian 12 make of each case: the statuses of the answers, the
# request that follows included. The last column says why coupon refuses what another takes (reasons.py).
# Made by ./tests/hostile/run.py framing --update; the tests hold it against what they find.
"""
LAST_GET = get(b"Connection: close")
PATIENCE_S = 0.05
MORE_PATIENCE_S = 3
PATIENCES_S = (PATIENCE_S, PATIENCE_S, *[MORE_PATIENCE_S] * 3)
REQUESTS = re.compile(rb"^coupon_http_requests_total (\d+)$", re.MULTILINE)
REFUSED_AT_HEAD = ("400", "417", "431")
COLUMNS = ("case", "coupon", "nginx", "haproxy", "stricter")


def converse(port, data, patience_s):
    """Sends all of it, reads to the end of the connection. Only when nothing has come for so long the
    client says that it is done: haproxy may drop a request that waits behind a client's end."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        received, patient = b"", True
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent
        while True:
            try:
                more = connection.recv(65536)
            except ConnectionResetError:
                return received
            except TimeoutError:
                assert patient, f"no end after {received!r}"
                patient = False
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                connection.settimeout(TIMEOUT_S)
                continue
            if not more:
                return received
            received += more


def bytes_of(case):
    return case.data + (LAST_GET if case.end != "ended" else b"")


class Poisoned(Exception):
    """The client after a case was not answered as it should be."""


class Behind:
    """A started proxy, case after case."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.number = 0

    def send(self, case, patience_s=PATIENCE_S):
        """What the proxy's log says of each request of the case: (status, times its origin was
        asked). Whatever the case did, the next client gets its own answer and no other."""
        converse(self.proxy.port, bytes_of(case), patience_s)
        self.number += 1
        marker = b"/healthz?marker=%d" % self.number
        answer = converse(self.proxy.port, get(b"Connection: close", line=b"GET %s HTTP/1.1" % marker),
                          MORE_PATIENCE_S)
        entries = self.proxy.log_lines.until(marker)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise Poisoned(f"the next client got {answer!r}")
        return entries


def desynchronized(entries, seen):
    """Why the origin, a coupon server that saw so many requests, and the proxy do not agree; or None.
    A request that coupon refuses at its head is not one that it saw."""
    sent = sum(asked for _, asked in entries)
    refused = sum(asked for status, asked in entries if status in REFUSED_AT_HEAD)
    if sent - refused <= seen <= sent:
        return None
    return f"the proxy sent {sent} ({entries}), coupon saw {seen}"


def ours(case):
    """(statuses, requests understood) of coupon, as the row says."""
    final = [answer for answer in case.answers if answer != "100"]
    final += ["200"] if case.end == "kept" else []
    words = [answer.replace("HEAD ", "").split() for answer in final]
    understood = [one for one in words if one[-1] not in (*REFUSALS_OF_BYTES, "413")]
    return [one[0] for one in words], len(understood)


def squeeze(statuses):
    """`200 200 400`; many equal ones as `100x200`."""
    parts = []
    for status in statuses:
        status = "closed" if status == "-1" else status
        if parts and parts[-1][1] == status:
            parts[-1][0] += 1
        else:
            parts.append([1, status])
    return " ".join(status if count == 1 else f"{count}x{status}" for count, status in parts) or "-"


@dataclasses.dataclass
class Line:
    """A case's line of the table. What haproxy does now so, now otherwise: `400 or 2x200`."""
    name: str
    coupon: str
    nginx: str
    haproxy: str
    stricter: str  # a key of REASONS, or empty

    def cells(self):
        return (self.name, self.coupon, self.nginx, self.haproxy, self.stricter or "-")

    def allows(self, found):
        return all(mine in said.split(" or ") for said, mine in zip(self.cells(), found.cells()))


def key_of(case):
    return f"{case.group}: {case.name}"


def line_of(case, theirs, known):
    """The case's line and whether coupon is laxer than both. `theirs`: proxy -> statuses; `known`: the
    table's line, or None."""
    statuses, understood = ours(case)
    most = max(sum(status.startswith("2") for status in one) for one in theirs.values())
    reason = (known and known.stricter) or "?"
    line = Line(key_of(case), squeeze(statuses), squeeze(theirs["nginx"]), squeeze(theirs["haproxy"]),
                reason if understood < most else "")
    return (known if known and known.allows(line) else line), understood > most


def read_table():
    """name -> Line of the table in the tree."""
    if not TABLE.exists():
        return {}
    rows = [[cell.strip() for cell in text.split(" | ")]
            for text in TABLE.read_text().splitlines() if text and not text.startswith("#")]
    return {row[0]: Line(*row[:-1], row[-1].strip("-")) for row in rows[1:]}


def table_text(lines):
    rows = [COLUMNS, *(line.cells() for line in lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    return HEADING + "".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n"
        for row in rows)


def faults_of(lines, laxer, table):
    """What is wrong with the comparison, or with the table in the tree; a sentence each."""
    faults = [f"{name}: coupon takes what nginx and haproxy both refuse" for name in laxer]
    for line in lines:
        if line.stricter and line.stricter not in REASONS:
            faults.append(f"{line.name}: coupon is stricter, and compared.txt has no reason for it")
        if table.get(line.name) != line:
            faults.append(f"{line.name}: compared.txt says {table.get(line.name)}, found {line}")
    names = {line.name for line in lines}
    faults += [f"{name}: compared.txt has it, and it is no case" for name in table
               if name not in names]
    used = {line.stricter for line in lines}
    faults += [f"{key}: a reason that no case has" for key in REASONS if key not in used]
    return faults


def compared(cases, table):
    """(lines, names of the cases where coupon is laxer than both), with an origin behind."""
    with contextlib.ExitStack() as stack:
        proxies = {}
        for name, kind in PROXIES.items():
            origin = stack.enter_context(Origin())
            proxies[name] = Behind(stack.enter_context(kind(origin.address)))
            proxies[name].proxy.start()
        lines, laxer = [], []
        for case in cases:
            line, lax = line_of_best(case, proxies, table.get(key_of(case)))
            lines.append(line)
            laxer += [line.name] if lax else []
        return lines, laxer


def line_of_best(case, proxies, known):
    """With more patience when it comes out otherwise than the table has it: this machine may have
    been busy, and haproxy is not of one mind about everything."""
    for patience_s in PATIENCES_S:
        theirs = {name: [status for status, _ in behind.send(case, patience_s)]
                  for name, behind in proxies.items()}
        line, lax = line_of(case, theirs, known)
        if known is None or (line == known and not lax):
            break
    return line, lax


def requests_seen(client):
    """By the coupon server, this call included."""
    return int(REQUESTS.search(client.get("/metrics").body).group(1))


def desynchronizations(server, cases):
    """A sentence for each case and proxy in front of the server after which they do not agree."""
    address = "%s:%d" % server.address
    for name, kind in PROXIES.items():
        with kind(address) as proxy, server.client() as client:
            proxy.start()
            behind = Behind(proxy)
            for case in cases:
                before = requests_seen(client)
                try:
                    entries = behind.send(case)
                except Poisoned as poisoned:
                    yield f"{name}, {key_of(case)}: {poisoned}"
                    continue
                why = desynchronized(entries, requests_seen(client) - before - 2)
                if why:
                    yield f"{name}, {key_of(case)}: {why}"
