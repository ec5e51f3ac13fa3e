"""Mutants that no test can kill, each with the reason why: equivalent.toml beside this. They are
judged like any other, and counted apart when they survive. Called by mutate.py."""

import tomllib
from collections import Counter
from pathlib import Path

LISTED = Path(__file__).with_name("equivalent.toml")
KEYS = {"file", "function", "old", "new", "why"}


class Wrong(Exception):
    """The list cannot be read, or an entry of it is not what an entry has to be."""


def squeezed(text):
    return " ".join(text.split())


def lines_of(mutant, text):
    """(the source's lines that the mutant changes, the same changed)"""
    first = text.rfind(b"\n", 0, mutant.begin) + 1
    last = text.find(b"\n", mutant.end)
    new = text[first:mutant.begin] + mutant.new + text[mutant.end:last]
    return text[first:last].decode(), new.decode()


def read(path=LISTED):
    """{(file, function, old, new): why}"""
    listed = {}
    try:
        entries = tomllib.loads(path.read_text()).get("mutant", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Wrong(f"{path}: {error}") from error
    for entry in entries:
        if set(entry) != KEYS or not entry["why"].strip():
            raise Wrong(f"{path}: {entry} needs {', '.join(sorted(KEYS))} and nothing else")
        listed[entry["file"], entry["function"], squeezed(entry["old"]),
               squeezed(entry["new"])] = entry["why"]
    return listed


def key_of(mutant, text):
    return (mutant.path, mutant.function, *map(squeezed, lines_of(mutant, text)))


def stale(listed, found, texts):
    """Those of the list that are no mutant of the sources any more, or of more than one place.
    `found`: every mutant; `texts`: {path: bytes}."""
    places = Counter(key_of(mutant, texts[mutant.path]) for mutant in found)
    return [key for key in listed if places[key] != 1]
