#!/usr/bin/python3
"""The rules of style that a compiler does not know, checked on the tree's text.

    check.py [ROOT]    one TAP line a rule; each finding as "# file:line: sentence"

For: floors (which folder may include what), long functions, long files, unsafe calls, C
files without an opening comment. Not for: format (clang-format), warnings (the compilers),
meaning (reviewers). Called by `./dev tidy`; test_check.py plants a violation of each kind.
It reads C well enough for this tree's format, not every C that exists.
"""

import re
import sys
from pathlib import Path

# Imports go down, may skip floors, never go sideways or up.
FLOORS = {"base": 0, "engine": 1, "http": 2, "ledger": 2, "redis": 2,
          "partition": 3, "issuer": 4, "worker": 4, "api": 5, "cli": 6}

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
PUBLIC_HEADER_LINES_MAX = 249

# What writes without knowing the room, parses without telling errors, keeps hidden state,
# or hands text to a shell. The calls to use instead: base.h's buffer and slice, snprintf.
BANNED_CALLS = {
    "no bounds": "strcpy stpcpy strcat sprintf vsprintf gets alloca strncpy strncat",
    "no errors": "atoi atol atoll atof scanf fscanf sscanf vsscanf",
    "hidden state": "strtok rand srand gmtime localtime ctime asctime",
    "a race or a shell": "tmpnam mktemp tempnam system popen",
}
BANNED = {call: why for why, calls in BANNED_CALLS.items() for call in calls.split()}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")

BANNED_IN_SRC_ONLY = {"sscanf"}  # a test may read its own traces with it

C_TREES = ("src", "tests", "bench")
TEXT_TREES = ("src", "tests", "bench", "load-test", "cluster", "deploy")
TEXT_SUFFIXES = {".c", ".h", ".py", ".lua", ".sh"}
TEXT_FILES = ("dev", ".ci/run")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def files_under(root, trees, suffixes):
    """The files of these suffixes in these folders, sorted, relative to root."""
    return sorted(path.relative_to(root) for tree in trees for path in (root / tree).rglob("*")
                  if path.suffix in suffixes and path.is_file())


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def blank(text):
    """The same text with all but its line ends turned into spaces."""
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """C text with comments, and the insides of strings and characters, blanked."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return token.sub(lambda match: blank(match.group()) if match.group()[0] == "/"
                     else '"' + blank(match.group()[1:-1]) + '"', text)


def without_directives(text):
    """C text with preprocessor lines, and the lines they continue on, blanked."""
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda match: blank(match.group()), text,
                  flags=re.MULTILINE)


def functions(text):
    """(name, first line, line count) of every function defined in a C text."""
    text = without_directives(without_comments(text))
    depth = 0
    start = 0  # where the present top-level declaration began
    opened = None
    for mark in re.finditer(r"[{};]", text):
        if mark.group() == "{":
            head = text[start:mark.start()]
            if depth == 0 and head.rstrip().endswith(")"):
                opened = start + len(head) - len(head.lstrip())
            depth += 1
        elif mark.group() == "}":
            depth -= 1
            if depth == 0 and opened is not None:
                name = re.search(r"(\w+)\s*\(", text[opened:])
                first, last = line_of(text, opened), line_of(text, mark.start())
                yield name.group(1), first, last - first + 1
                opened = None
        if depth == 0:
            start = mark.end()


def include_fault(file, included):
    """What is wrong with this #include of ours, or None.

    In src/X a header of another folder is its public one and lies on a lower floor; tests
    of X, fuzz targets, simulations and bench may look into any floor, but only tests/unit/X,
    tests/fuzz and tests/sim at private headers.
    """
    if included.startswith(".") and file.parts[0] == "src":
        return "includes start at src/: write folder/header.h"
    target = included.split("/")[0]
    if "/" not in included or target not in FLOORS:
        return None
    public = included == f"{target}/{target}.h"
    if file.parts[0] != "src":
        own = (file.parts[:2] in (("tests", "fuzz"), ("tests", "sim"))
               or file.parts[:3] == ("tests", "unit", target))
        return None if public or own else f"only {target}/{target}.h is public"
    own = file.parts[1]
    if own == target:
        return None
    if not public:
        return f"only {target}/{target}.h is public"
    if FLOORS[target] >= FLOORS[own]:
        return f"{own} (floor {FLOORS[own]}) may not include {target} (floor {FLOORS[target]})"
    return None


def check_floors(root):
    """includes go down the floors, to public headers"""
    for file in files_under(root, C_TREES, {".c", ".h"}):
        text = (root / file).read_text()
        if file.parts[0] == "src" and (len(file.parts) < 3 or file.parts[1] not in FLOORS):
            yield file, 1, "lies in no folder that has a floor (FLOORS in tests/tidy/check.py)"
            continue
        for match in INCLUDE.finditer(text):
            fault = include_fault(file, match.group(2))
            if fault:
                yield file, line_of(text, match.start()), f'#include "{match.group(2)}": {fault}'


def check_functions(root):
    """no function is over 70 lines"""
    for file in files_under(root, C_TREES, {".c", ".h"}):
        for name, first, count in functions((root / file).read_text()):
            if count > FUNCTION_LINES_MAX:
                yield file, first, f"{name} has {count} lines"


def check_files(root):
    """no file is over 600 lines, no public header over 249"""
    extra = [Path(name) for name in TEXT_FILES if (root / name).is_file()]
    for file in files_under(root, TEXT_TREES, TEXT_SUFFIXES) + extra:
        count = (root / file).read_text().count("\n")
        public = file.parts[0] == "src" and file.name == f"{file.parent.name}.h"
        limit = PUBLIC_HEADER_LINES_MAX if public else FILE_LINES_MAX
        if count > limit:
            yield file, count, f"{count} lines, at most {limit}"


def check_calls(root):
    """no unsafe call"""
    for file in files_under(root, C_TREES, {".c", ".h"}):
        text = without_comments((root / file).read_text())
        for match in BANNED_CALL.finditer(text):
            call = match.group(1)
            if call in BANNED_IN_SRC_ONLY and file.parts[0] != "src":
                continue
            yield file, line_of(text, match.start()), f"{call}: {BANNED[call]}"


def check_openings(root):
    """every file in src opens with a comment"""
    for file in files_under(root, ("src",), {".c", ".h"}):
        if not (root / file).read_text().lstrip().startswith("/*"):
            yield file, 1, "no opening comment: what it is for, what not, who calls it"


CHECKS = (check_floors, check_functions, check_files, check_calls, check_openings)


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    found_any = False
    for number, check in enumerate(CHECKS, 1):
        found = list(check(root))
        found_any = found_any or bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {check.__doc__}")
        for file, line, sentence in found:
            print(f"# {file}:{line}: {sentence}")
    return 1 if found_any else 0


if __name__ == "__main__":
    sys.exit(main())
