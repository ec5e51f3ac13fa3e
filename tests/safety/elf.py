"""What a program was built with, by readelf and objdump: what Debian's hardening-check looks for.

Not for: whether it does any good. Called by test_hardening.py."""

import re
import subprocess


def told(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def has_stack_clash_protection(code):
    """A large frame is entered page by page, each of which is touched by an `or` of nothing."""
    return bool(re.search(r"\bor[bq]?\s+\$0x0,\(%rsp\)", code))


def has_control_flow(code):
    """What may be jumped to begins with a mark. (Debian 12's C library begins without them, so that
    no program of this Debian has the note which says that all of it is marked.)"""
    return bool(re.search(r"<main>:\n.*\bendbr64", code))


def lacks(path):
    """Names of what the program at this path lacks."""
    header, dynamic = told("readelf", "-hW", path), told("readelf", "-dW", path)
    segments, symbols = told("readelf", "-lW", path), told("readelf", "--dyn-syms", "-W", path)
    stack = next((line for line in segments.splitlines() if "GNU_STACK" in line), "")
    intel = "X86-64" in header
    code = told("objdump", "-d", path) if intel else ""
    found = {
        "PIE": "DYN" in header and "PIE" in dynamic,
        "RELRO": "GNU_RELRO" in segments,
        "immediate binding": "BIND_NOW" in dynamic or re.search(r"FLAGS_1.*NOW", dynamic),
        "stack without execution": " RW " in stack,
        "no relocated text": "TEXTREL" not in dynamic,
        "no path of libraries of its own": not re.search(r"RPATH|RUNPATH", dynamic),
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified calls": re.search(r"\b__\w+_chk\b(?<!__stack_chk)", symbols),
        "control flow": not intel or has_control_flow(code),
        "stack clash protection": not intel or has_stack_clash_protection(code),
    }
    return [name for name, there in found.items() if not there]
