"""What is told of the parts' figures, a module a part. Each has

    tables(lines) -> [Table]
    thresholds(lines) -> [Threshold]   what the project set out to reach, and what was seen
    scripts(lines) -> {picture: gnuplot script}

and, where the picture has to be described in words, ALTERNATIVES = {picture: text}. A part that is
recorded elsewhere than in docs/performance.md has DOCUMENTS = {file of docs/: section(lines) -> its
markdown}, any number of them. `lines` are those of one part; all of it is pure.
"""

import importlib


def of(part):
    """The module that tells of a part."""
    return importlib.import_module(f"suite.tell.{part}")
