"""Batch calls, told."""

from suite.figures import find, told, values_of
from suite.tables import Table, Threshold, only, spread, wanted

WANTED_CLAIMS = 500000
BESIDES_MB_MAX = 32  # SQLite's cache, and calls of the largest size under way


def ways(lines):
    return [{"users_a_call": users, "connections": connections}
            for users in values_of(lines, "users_a_call")
            for connections in values_of(lines, "connections")]


def tables(lines):
    rows = [[*[f"{value:,}" for value in way.values()],
             *[spread(find(lines, what, **way))
               for what in ("claims_per_s", "cpu_us_per_claim", "client_cpu_share")],
             only(find(lines, "peak_bytes", **way), 1e-6),
             spread(find(lines, "peak_bytes_besides", **way), 1e-6)]
            for way in ways(lines)]
    return [Table("Batch calls",
                  ["users a call", "connections", "durable claims/s", "server's CPU us a claim",
                   "client's CPU, of a core", "memory at its peak MB", "besides the issues' MB"],
                  rows)]


def thresholds(lines):
    found = []
    for way in ways(lines):
        name = f"batch, {way['users_a_call']:,} users a call, connections {way['connections']}"
        found += wanted(lines, way, "claims_per_s", f"{name}: durable claims/s", WANTED_CLAIMS)
        found += [Threshold(f"{name}: memory besides the issues' MB", told(line) * 1e-6,
                            BESIDES_MB_MAX, False)
                  for line in [find(lines, "peak_bytes_besides", **way)] if line]
    return found


def scripts(_):
    return {}
