"""What Clang knows of a source file: its cursors, with the offsets of their first and last byte.

Not for: changing anything. Called by run.py (switches) and mutants.py beside this."""

import json
import shlex
from functools import lru_cache
from pathlib import Path

from clang.cindex import CursorKind, Index, TranslationUnit, TypeKind

# GCC's own words in the command, which Clang does not know or does not need.
LEFT_OUT = ("-fprofile-update=atomic", "--coverage", "-fprofile-arcs", "-ftest-coverage", "-Werror")


class Unreadable(Exception):
    """Clang finds an error in the source: nothing is known of it."""


@lru_cache
def commands(folder):
    """{resolved source: (folder to be in, words of the compiler's command)} of a build."""
    known = {}
    for entry in json.loads((Path(folder) / "compile_commands.json").read_text()):
        source = (Path(entry["directory"]) / entry["file"]).resolve()
        known.setdefault(source, (entry["directory"], shlex.split(entry["command"])))
    return known


def flags_of(folder, path):
    known = commands(folder)
    # A source that is new since the build was made has the flags of any other.
    directory, words = known.get(Path(path).resolve()) or next(iter(known.values()))
    flags = []
    for word in words[1:]:
        if word.startswith("-I") and not word.startswith("-I/"):
            word = "-I" + str((Path(directory) / word[2:]).resolve())
        if word.startswith(("-I", "-D", "-std")) and word not in LEFT_OUT:
            flags.append(word)
    return flags


def parse(folder, path):
    """The translation unit of the source, with the flags it has in the build."""
    unit = Index.create().parse(str(path), args=flags_of(folder, path),
                                options=TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
    wrong = [str(note) for note in unit.diagnostics if note.severity >= note.Error]
    if wrong:
        raise Unreadable("\n".join(wrong))
    return unit


def inside(cursor, path):
    """The cursors below this one whose text stands in the file itself, parents first."""
    for child in cursor.get_children():
        if child.location.file and child.location.file.name == str(path):
            yield child
            yield from inside(child, path)


def is_enum(expression):
    while expression.kind in (CursorKind.UNEXPOSED_EXPR, CursorKind.PAREN_EXPR):
        inner = list(expression.get_children())
        if len(inner) != 1:
            break
        expression = inner[0]
    return expression.type.get_canonical().kind == TypeKind.ENUM


def groups_of_cases(body):
    """How many different places the cases lead to; None when there is a default."""
    groups, kinds = 0, []
    for child in body.get_children():
        statement = child
        while statement.kind in (CursorKind.CASE_STMT, CursorKind.DEFAULT_STMT):
            kinds.append(statement.kind)
            statement = list(statement.get_children())[-1]
        groups += child.kind == CursorKind.CASE_STMT
    return None if CursorKind.DEFAULT_STMT in kinds else groups


def enum_switches(folder, path):
    """{line: groups of cases} of the switches over an enum that list all its values."""
    found = {}
    for cursor in inside(parse(folder, path).cursor, path):
        if cursor.kind == CursorKind.SWITCH_STMT:
            value, body = list(cursor.get_children())[-2:]
            groups = groups_of_cases(body)
            if groups is not None and is_enum(value):
                found[cursor.location.line] = groups
    return found
