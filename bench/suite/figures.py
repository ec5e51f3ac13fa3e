"""Measurements as values: what a JSON line of the suite holds, and the arithmetic on them.

Pure: no clock, file or process. A measurement keeps every turn's value; what is told of it is
the median. The ratio of two measurements is that of their medians; its turns tell how far it
moved.
"""

import statistics


def rotated(contestants, turn):
    """The contestants in this turn's order: each is first, second … equally often."""
    start = turn % len(contestants)
    return [*contestants[start:], *contestants[:start]]


def percentile(values, percent):
    """The nearest-rank percentile: a value that was seen."""
    rank = -(-len(values) * percent // 100)  # rounded up
    return sorted(values)[max(rank, 1) - 1]


def rounded(value):
    """Four significant digits, and all before the point: more is noise."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def measurement(what, unit, turns, parameters=None, **more):
    """A line. `turns`: every turn's value, in their order."""
    return {"what": what, "parameters": parameters or {}, "unit": unit,
            "median": rounded(statistics.median(turns)), "min": rounded(min(turns)),
            "max": rounded(max(turns)), "turns": [rounded(turn) for turn in turns], **more}


def ratio(what, over, under, parameters=None):
    """A line: the ratio of the medians of two measurements made turn about."""
    turns = [a / b for a, b in zip(over["turns"], under["turns"])]
    line = measurement(what, "ratio", turns, parameters)
    line["ratio_of_medians"] = rounded(over["median"] / under["median"])
    return line


def told(line):
    """The one value that is told of a line."""
    return line.get("ratio_of_medians", line.get("median"))


def find(lines, what, **parameters):
    """The line of this name with these parameters (it may have more), or None."""
    for line in lines:
        if line["what"] == what and parameters.items() <= line["parameters"].items():
            return line
    return None


def values_of(lines, parameter, what=None):
    """The different values of a parameter, in the order in which they come."""
    seen = [line["parameters"][parameter] for line in lines
            if parameter in line["parameters"] and what in (None, line["what"])]
    return list(dict.fromkeys(seen))
