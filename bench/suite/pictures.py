"""Draws the pictures that the modules of tell/ describe."""

from suite import tell
from suite.machine import tool
from suite.processes import Refused, finished


def draw(parts, folder):
    """Writes NAME.svg for each picture of each part. Returns {part: paths}."""
    gnuplot = tool("gnuplot")
    if not gnuplot:
        raise Refused("there is no gnuplot; ./dev bench installs it")
    drawn = {}
    for part, lines in parts.items():
        drawn[part] = []
        for name, script in tell.of(part).scripts(lines).items():
            path = folder / f"{name}.svg"
            finished([gnuplot], 60, stdin=f"set output '{path}'\n{script}")
            drawn[part].append(path)
    return drawn
