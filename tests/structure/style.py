#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a compiler does not see: blanks, line ends, forbidden calls and their replacements, paths of one machine.

A forbidden call is let through where its line says why:  /* allowed: REASON */
"""
import re
import sys

import tap

TEXT = {".c", ".h", ".cc", ".cpp", ".inc", ".def", ".py", ".sh", ".build", ".txt", ".md", ".js", ".css", ".html", ".yml",
        ".toml", ".1", ""}
TABS = re.compile(r"(^|/)(Makefile|rules)$|\.mk$")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
MACHINE = re.compile(r"""(?<![\w.])/(work|home|root|Users)/\w""")
WIDTH = 120

# call: (its replacement, files in which it is at home)
FORBIDDEN = {
    r"v?sprintf": ("snprintf, str_printf", ""),
    r"strn?cpy|stpcpy": ("memcpy with a known length, arena_strndup", ""),
    r"strn?cat": ("str_append, snprintf", ""),
    r"gets": ("fgets", ""),
    r"strtok(_r)?": ("strcspn and strspn", ""),
    r"ato[ilf]|atoll": ("str_integer, str_number", ""),
    r"strto(d|f|ld|l|ll|ul|ull|imax|umax)(_l)?": ("str_integer, str_number", r"src/base/str\.c"),
    r"s?scanf": ("str_integer, str_number", ""),
    r"malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign": ("mem_alloc, mem_zero, mem_grow, arena_alloc",
                                                                         r"src/base/mem\.c"),
    r"free": ("mem_free", r"src/base/mem\.c"),
    r"strn?dup": ("mem_strdup, arena_strdup", ""),
    r"v?asprintf": ("str_printf, arena_printf", ""),
    r"alloca": ("an array of fixed size, mem_alloc", ""),
    r"s?rand|random|drand48|rand_r": ("rng_bits, rng_uniform", ""),
    r"strerror": ("%m in the format", ""),
    r"setlocale|setenv|putenv|unsetenv|chdir|umask": ("nothing: the process is the caller's", ""),
    r"system|popen": ("nothing: no shell is run", ""),
    r"abort|_?exit|_Exit|quick_exit": ("error_set and return", r"src/(cli|server)/.*"),
    r"printf|vprintf|puts|putchar|perror": ("error_set; only programs print", r"src/cli/.*"),
    r"fprintf|vfprintf|fputs|fputc|putc": ("error_set; only programs print", r"src/(cli|server)/.*"),
    r"omp_\w+": ("threads_for, threads_use", r"src/base/threads\.c"),
}

SPDX = "SPDX-License-Identifier: Apache-2.0"


def code_only(text):
    """C source with comments, strings and character constants blanked, line by line as it was."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def blanks(texts):
    for path, text in texts:
        if text and not text.endswith("\n"):
            yield f"{path}: the last line has no end"
        if text.endswith("\n\n"):
            yield f"{path}: empty lines at the end"
        for number, line in enumerate(text.split("\n"), 1):
            if "\r" in line:
                yield f"{path}:{number}: carriage return"
            if line != line.rstrip():
                yield f"{path}:{number}: blanks at the end"
            if "\t" in line and not TABS.search(path):
                yield f"{path}:{number}: tab"
            if INVISIBLE.search(line):
                yield f"{path}:{number}: invisible character"


def widths(texts):
    for path, text in texts:
        if path.endswith((".c", ".h")):
            for number, line in enumerate(text.split("\n"), 1):
                if len(line) > WIDTH:
                    yield f"{path}:{number}: {len(line)} columns, more than {WIDTH}"


def machine_paths(texts):
    for path, text in texts:
        for number, line in enumerate(text.split("\n"), 1):
            if MACHINE.search(line) and not path.endswith("tests/structure/style.py"):
                yield f"{path}:{number}: path of one machine: {MACHINE.search(line)[0]}…"


def licences(texts):
    for path, text in texts:
        if path.endswith((".c", ".h", ".cc", ".cpp", ".def")):
            if f"/* {SPDX} */" not in text.split("\n")[:1]:
                yield f"{path}: does not begin with /* {SPDX} */"
        elif path.endswith((".py", ".sh")) or text.startswith("#!"):
            if f"# {SPDX}" not in text.split("\n")[:2]:
                yield f"{path}: has no '# {SPDX}' in its first two lines"


def forbidden_calls(texts):
    rules = [(re.compile(rf"(?<![\w.>])({calls})\s*\("), instead, home) for calls, (instead, home) in FORBIDDEN.items()]
    for path, text in texts:
        if not re.match(r"src/.*\.(c|h|inc)$", path):
            continue
        whole = text.split("\n")
        for number, line in enumerate(code_only(text).split("\n"), 1):
            for pattern, instead, home in rules:
                found = pattern.search(line)
                if found and not (home and re.fullmatch(home, path)) and "/* allowed: " not in whole[number - 1]:
                    yield f"{path}:{number}: {found[1]}() is not used here; instead: {instead}"


def unlisted_tests(texts):
    listed = tap.read(tap.ROOT / "tests/meson.build")
    for path, _ in texts:
        found = re.match(r"tests/unit/test_(\w+)\.c$", path)
        if found and f"'{found[1]}'" not in listed:
            yield f"{path}: '{found[1]}' is not among the units of tests/meson.build"


def main():
    texts, unreadable = [], []
    for path in tap.files(*TEXT):
        if tap.name(path).startswith("tests/golden/") and path.suffix != ".py":
            continue  # data, as other programs wrote them
        try:
            texts.append((tap.name(path), tap.read(path)))
        except UnicodeDecodeError:
            unreadable.append(f"{tap.name(path)}: is not UTF-8")
    sys.exit(tap.report({
        "texts are UTF-8": unreadable,
        "blanks and line ends": list(blanks(texts)),
        f"at most {WIDTH} columns": list(widths(texts)),
        "every source names its licence": list(licences(texts)),
        "forbidden calls": list(forbidden_calls(texts)),
        "no paths of one machine": list(machine_paths(texts)),
        "every unit test is run": list(unlisted_tests(texts)),
    }))


main()
