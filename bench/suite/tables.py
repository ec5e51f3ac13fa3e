"""Tables, and what was set out to reach: the values that tell/ makes of lines, how numbers read in
them, and both as text. Pure."""

from dataclasses import dataclass

from suite.figures import find, told

MISSING = "-"


@dataclass
class Table:
    title: str
    head: list
    rows: list  # of texts
    note: str = ""


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
        if self.wanted == 0:
            return f"{number(self.seen)} too many"
        return f"short by {abs(self.seen - self.wanted) / self.wanted:.0%}"


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


def span(lines):
    """The least and the most of all turns of these lines."""
    least, most = min(line["min"] for line in lines), max(line["max"] for line in lines)
    return number(least) if least == most else f"{number(least)}-{number(most)}"


def wanted(lines, parameters, what, name, value, at_least=True):
    line = find(lines, what, **parameters)
    return [Threshold(name, told(line), value, at_least)] if line else []


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


def rows_as_markdown(table):
    lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head),
             *["| " + " | ".join(row) + " |" for row in table.rows]]
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def as_markdown(table, level="###"):
    return f"{level} {table.title}\n\n{rows_as_markdown(table)}"
