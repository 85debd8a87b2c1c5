#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write text files as C strings, for the build.

    embed.py OUT.c NAME=FILE…
"""
import sys


def literal(line):
    text = line.decode("utf-8").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '  "' + "".join(c if " " <= c <= "~" else "".join(f"\\{b:03o}" for b in c.encode()) for c in text) + '"\n'


def main():
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("/* Made by tools/embed.py. */\n")
        for pair in sys.argv[2:]:
            name, path = pair.split("=", 1)
            with open(path, "rb") as file:
                lines = file.read().splitlines(keepends=True)
            out.write(f"extern const char {name}[];\nconst char {name}[] =\n{''.join(map(literal, lines))};\n")


main()
