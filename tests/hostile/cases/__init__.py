"""The hard cases of HTTP: a table a subject, one row a case. What a row means: case.py."""

from cases import bodies, fields, heads, streams
from cases.case import case_of

CASES = [case_of(group, row)
         for module in (heads, fields, bodies, streams)
         for group, rows in module.GROUPS.items() for row in rows]

assert len({(case.group, case.name) for case in CASES}) == len(CASES), "two cases of one name"
