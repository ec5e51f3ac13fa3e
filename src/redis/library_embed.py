#!/usr/bin/python3
"""Makes C of coupon.lua: library_embed.py INPUT OUTPUT. Called by meson.build.

The version is the file's own: its line `local VERSION = "1"`. A file without one ends the build.
"""

import re
import sys

VERSION = re.compile(r'^local VERSION = "?([1-9][0-9]*)"?\s*(?:--.*)?$', re.MULTILINE)


def literals(text):
    """Each line of the text as a C string."""
    for line in text.encode().splitlines(keepends=True):
        yield '    "%s"' % "".join(
            chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\?' else "\\%03o" % byte
            for byte in line)


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        text = file.read()
    versions = VERSION.findall(text)
    if len(versions) != 1 or not text.startswith("#!lua name="):
        sys.exit(f"{source}: it must begin with #!lua name= and have one line local VERSION = 1")
    with open(target, "w", encoding="ascii") as file:
        file.write('/* Made of coupon.lua by library_embed.py. */\n#include "redis/redis.h"\n\n'
                   "static const char text[] =\n%s;\n\n"
                   "const struct redis_library redis_coupon_library = {\n"
                   '    .text = text, .version_function = "coupon_version", .version = %s};\n'
                   % ("\n".join(literals(text)), versions[0]))


main()
