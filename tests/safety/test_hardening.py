"""The optimized program is built so that an intruder's work is harder."""

import subprocess

import pytest

from conftest import RELEASE
from elf import lacks, told

SOURCE = r"""
#include <stdio.h>
#include <string.h>
int deep(int, char **);
int deep(int count, char **words) {
    char large[40000], text[32];
    memset(large, count, sizeof(large));
    strcpy(text, words[0]);
    printf("%s %d\n", text, large[count]);
    return large[count * 2];
}
int main(int count, char **words) { return deep(count, words); }
"""
FLAGS = ["-O2", "-fPIE", "-pie", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong",
         "-fstack-clash-protection", "-fcf-protection", "-Wl,-z,relro,-z,now,-z,noexecstack"]


def test_the_program_has_all_of_it():
    assert not lacks(RELEASE)


def test_calls_with_a_size_known_only_when_it_runs_are_fortified_too():
    """That is what level 3 adds: copies into memory from malloc."""
    assert "__memcpy_chk" in told("readelf", "--dyn-syms", "-W", RELEASE)


@pytest.mark.parametrize("flags, missing", [
    ([], []),
    (["-no-pie", "-fno-pie"], ["PIE"]),
    (["-Wl,-z,norelro"], ["RELRO"]),
    (["-Wl,-z,lazy"], ["immediate binding"]),
    (["-Wl,-z,execstack"], ["stack without execution"]),
    (["-Wl,-rpath,/nowhere"], ["no path of libraries of its own"]),
    (["-fno-stack-protector"], ["stack protector"]),
    (["-U_FORTIFY_SOURCE"], ["fortified calls"]),
    (["-fcf-protection=none"], ["control flow"]),
    (["-fno-stack-clash-protection"], ["stack clash protection"]),
], ids=lambda value: value[0] if value else "all")
def test_what_a_program_lacks_is_found(tmp_path, flags, missing):
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(SOURCE)
    subprocess.run(["gcc", *FLAGS, *flags, source, "-o", program], check=True)
    assert lacks(program) == missing
