#!/usr/bin/python3
"""Makes C of issue.lua: embed.py INPUT OUTPUT. Called by meson.build."""

import sys


def literals(text):
    """Each line of the text as a C string."""
    for line in text.splitlines():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        yield f'    "{escaped}\\n"'


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="ascii") as file:
        text = file.read()
    with open(target, "w", encoding="ascii") as file:
        file.write("/* Made of issue.lua by embed.py. */\nextern const char lua_issue_script[];\n"
                   "const char lua_issue_script[] =\n%s;\n" % "\n".join(literals(text)))


main()
