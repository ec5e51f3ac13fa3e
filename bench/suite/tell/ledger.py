"""The ledger alone, told."""

from suite.figures import find, values_of
from suite.tables import Table, spread


def tables(lines):
    sizes = values_of(lines, "rows_a_commit")
    rows = [[name, *[spread(find(lines, what, rows_a_commit=size), scale) for size in sizes]]
            for name, what, scale in (("rows/s", "rows_per_s", 1),
                                      ("ns of CPU a row", "cpu_ns_per_row", 1),
                                      ("longest checkpoint, ms", "checkpoint_max", 1e-3))]
    return [Table("Ledger alone", ["rows a commit", *map(str, sizes)], rows)]


def thresholds(_):
    return []


def scripts(_):
    return {}
