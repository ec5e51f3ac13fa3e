"""What the lines say, for people: of each part what its module of tell/ makes of them, and of all
parts the disk, the machine and its other work. Pure: lines in, values and text out; the terminal
and the documents get the same tables."""

from suite import tell
from suite.machine import OTHERS_MAX
from suite.tables import Table, as_text, number, span


def tables(parts):
    """`parts`: {part: its lines}."""
    return [table for name, lines in parts.items() for table in tell.of(name).tables(lines)]


def thresholds(parts):
    """What the project set out to reach; told, never asserted."""
    return [each for name, lines in parts.items() for each in tell.of(name).thresholds(lines)]


def threshold_table(parts):
    return Table("What was set out to reach", ["what", "seen", "wanted", ""],
                 [[each.name, number(each.seen),
                   f"{'>=' if each.at_least else '<='} {number(each.wanted)}", each.verdict()]
                  for each in thresholds(parts)])


# ---- disk and neighbours ---------------------------------------------------------------------

def disk_spans(lines):
    """What p50 and p99 were from turn to turn, or nothing for parts that do not write."""
    both = [[line for line in lines if line["what"] == f"fdatasync_{percent}"]
            for percent in ("p50", "p99")]
    return [*map(span, both)] if all(both) else []


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
        turns = max(len(line.get("other_work", [])) for line in lines)
        servers = f"{its['servers']}, " if "servers" in its else ""
        said.append(f"{name}: {servers}commit {its['commit']}, {its['time']}, turns: {turns}, "
                    f"load average before {its['load_average']}, other work at most "
                    f"{other_work_max(lines):.0%}.")
        if spans := disk_spans(lines):
            said[-1] += (" The disk meanwhile, 4 KiB pwrite + fdatasync: p50 of a turn {} us, p99 "
                         "{} us.".format(*spans))
    return said


def text(parts):
    """All of it for the terminal."""
    blocks = [as_text(table) for table in [*tables(parts), threshold_table(parts)] if table.rows]
    notes = [f"NOTE: {warning}" for warning in warnings(parts)]
    return "\n\n".join([*blocks, "\n".join([*machine_lines(parts), *notes])])
