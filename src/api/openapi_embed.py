#!/usr/bin/python3
"""Makes C of openapi.json: openapi_embed.py INPUT OUTPUT VERSION. Called by meson.build.

VERSION takes the place of @VERSION@. What is no JSON ends the build.
"""

import json
import sys


def literals(text):
    """Each line of the text as a C string."""
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        yield '    "%s"' % escaped


def main():
    source, target, version = sys.argv[1:]
    with open(source, encoding="ascii") as file:
        text = file.read().replace("@VERSION@", version)
    json.loads(text)
    with open(target, "w", encoding="ascii") as file:
        file.write('/* Made of openapi.json by openapi_embed.py. */\n#include "api/openapi.h"\n\n'
                   "static const char text[] =\n%s;\n\n"
                   "const struct slice openapi_text = {text, sizeof(text) - 1};\n"
                   % "\n".join(literals(text)))


main()
