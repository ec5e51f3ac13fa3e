"""The style check finds what it is there for: a violation of each kind is planted."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import check  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OPENING = "/* what it is for */\n"


@pytest.fixture
def tree(tmp_path):
    """Writes files into an empty tree: tree({"src/base/x.c": "text"}) -> its root."""
    def plant(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path
    return plant


def found(rule, root):
    return [(str(file), line) for file, line, _ in rule(root)]


def function_of(lines, head="int f(void)"):
    """A function of exactly this many lines, signature and braces counted."""
    return f"{head}\n{{\n" + "    ;\n" * (lines - 3) + "}\n"


@pytest.mark.parametrize("file, included", [
    ("src/http/a.c", "ledger/ledger.h"),  # sideways
    ("src/base/a.c", "engine/engine.h"),  # up
    ("src/ledger/a.c", "issuer/issuer.h"),
    ("src/api/a.h", "cli/cli.h"),
    ("src/issuer/a.c", "engine/engine_index.h"),  # private
    ("src/api/a.c", "../base/base.h"),
    ("tests/unit/issuer/test_a.c", "ledger/sqlite.h"),
    ("bench/a.c", "engine/engine_index.h"),
])
def test_an_include_against_the_floors_is_found(tree, file, included):
    root = tree({file: f'{OPENING}#include "{included}"\n'})
    assert found(check.check_floors, root) == [(file, 2)]


@pytest.mark.parametrize("file, included", [
    ("src/api/a.c", "base/base.h"),
    ("src/cli/a.c", "api/api.h"),
    ("src/issuer/a.c", "issuer/queue.h"),
    ("src/http/a.c", "uv.h"),
    ("src/http/a.c", "sys/socket.h"),
    ("tests/unit/issuer/test_a.c", "issuer/queue.h"),
    ("tests/unit/issuer/test_a.c", "../base/test.h"),
    ("tests/fuzz/a.c", "http/parser.h"),
    ("tests/sim/a.c", "issuer/writer.h"),
])
def test_an_include_that_goes_down_is_fine(tree, file, included):
    assert not found(check.check_floors, tree({file: f'#include "{included}"\n'}))


def test_angle_brackets_do_not_hide_an_include(tree):
    root = tree({"src/base/a.c": "#include <engine/engine.h>\n"})
    assert found(check.check_floors, root) == [("src/base/a.c", 1)]


def test_a_folder_without_a_floor_is_found(tree):
    assert found(check.check_floors, tree({"src/misc/a.c": OPENING})) == [("src/misc/a.c", 1)]


def test_a_function_of_71_lines_is_found(tree):
    root = tree({"src/base/a.c": OPENING + "int x;\n\n" + function_of(71) + function_of(70)})
    assert found(check.check_functions, root) == [("src/base/a.c", 4)]


def test_braces_in_strings_comments_and_macros_do_not_mislead(tree):
    text = ('#define OPEN {  \\\n    (\n'
            "struct s { int a; };\nstatic const int t[] = {\n" + "    1,\n" * 80 + "};\n"
            'int g(void) {\n    /* { */ return "{{{"[0] == \'{\';\n}\n' + function_of(71))
    assert [count for *_, count in check.functions(text)] == [3, 71]


def test_a_long_file_is_found_in_c_python_and_bash(tree):
    names = ["src/base/a.c", "tests/e2e/test_a.py", "bench/a.lua", "dev"]
    root = tree({name: "\n" * 601 for name in names} | {"src/base/b.c": "\n" * 600})
    assert sorted(found(check.check_files, root)) == sorted((name, 601) for name in names)


def test_a_public_header_of_250_lines_is_found(tree):
    root = tree({"src/base/base.h": "\n" * 250, "src/api/api.h": "\n" * 249,
                 "src/base/own.h": "\n" * 250})
    assert found(check.check_files, root) == [("src/base/base.h", 250)]


@pytest.mark.parametrize("call", sorted(check.BANNED))
def test_an_unsafe_call_is_found(tree, call):
    root = tree({"src/base/a.c": f"int f(void) {{\n    {call} (x);\n}}\n"})
    assert found(check.check_calls, root) == [("src/base/a.c", 2)]


def test_names_that_only_look_unsafe_are_fine(tree):
    text = ('/* strcpy(a, b) */ int strtok_r(void);\nchar *m = "sprintf(x)";\n'
            "void f(void) { snprintf(); my_system(); vfs->system(); vfs.system(); }\n")
    assert not found(check.check_calls, tree({"src/base/a.c": text}))


def test_a_test_may_read_its_own_traces_with_sscanf(tree):
    text = "void f(void) { sscanf(a); atoi(a); }\n"
    root = tree({"tests/unit/base/test_a.c": text, "src/base/a.c": text})
    assert [sentence.split(":")[0] for _, _, sentence in check.check_calls(root)] == [
        "sscanf", "atoi", "atoi"]


def test_a_file_without_an_opening_comment_is_found(tree):
    root = tree({"src/base/a.c": "#include <a.h>\n/* late */\n", "src/base/b.c": OPENING})
    assert found(check.check_openings, root) == [("src/base/a.c", 1)]


def test_findings_fail_the_run_and_are_told(tree):
    root = tree({"src/base/a.c": "int x;\n"})
    run = subprocess.run([sys.executable, check.__file__, root], capture_output=True, text=True)
    assert run.returncode == 1
    assert "not ok 5 - every file in src opens with a comment\n# src/base/a.c:1: " in run.stdout
    assert run.stdout.count("\nok ") + run.stdout.startswith("ok ") == 4


def test_wrong_format_is_refused(tree):
    style = (ROOT / ".clang-format").read_text()
    root = tree({".clang-format": style, "a.c": "int  x;\n", "b.c": "int x;\n"})
    runs = [subprocess.run(["clang-format", "--dry-run", "-Werror", name], cwd=root,
                           capture_output=True).returncode for name in ("a.c", "b.c")]
    assert runs == [1, 0]


WARNINGS = {
    "conversion": "int f(long); int f(long a) { return a; }",
    "missing-prototypes": "int f(void) { return 1; }",
    "shadow": "int f(int); int f(int a) { { int a = 1; return a; } }",
    "strict-prototypes": "int f();",
    "unused-function": "static int f(void) { return 1; }",
    "vla": "int f(int); int f(int n) { char a[n]; a[0] = 0; return a[0]; }",
}


@pytest.mark.parametrize("build", ["debug", "clang"])
@pytest.mark.parametrize("warning", WARNINGS)
def test_a_warning_stops_the_build(build, warning):
    """The tree's own compile command (./dev build makes it), on a planted warning."""
    commands = json.loads((ROOT / "build" / build / "compile_commands.json").read_text())
    command = next(c for c in commands if Path(c["file"]).parts[-3:-1] == ("src", "base"))
    words = shlex.split(command["command"])
    flags = [word for word in words[1:] if word.startswith(("-W", "-D", "-std", "-I", "-O"))]
    good, bad = [subprocess.run([words[0], *flags, "-c", "-o", "/dev/null", "-xc", "-"], text=True,
                                capture_output=True, input=source, cwd=ROOT / "build" / build)
                 for source in ("int f(int); int f(int a) { return a; }\n",
                                WARNINGS[warning] + "\n")]
    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0
    assert f"-W{warning}" in bad.stderr.replace("-Werror=", "-W").replace("-Werror,", "").replace(
        "implicit-int-conversion", "conversion").replace("shorten-64-to-32", "conversion").replace(
        "vla-extension", "vla")
