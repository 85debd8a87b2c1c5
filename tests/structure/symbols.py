#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the built libraries hold.    symbols.py state ARCHIVE | symbols.py exports SHARED HEADER

state: no object of the archive has memory that two callers would share (thread-local and constant data are fine).
exports: every symbol of the shared library begins with penumbra_, and every function of the header is there.
"""
import re
import subprocess
import sys

import tap


def run(*command):
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def shared_state(archive):
    """Symbols in writable sections; .data.rel.ro is constant once the loader has put addresses in, .t* are per thread."""
    source = None
    for line in run("objdump", "-t", archive).splitlines():
        member = re.match(r"(\S+\.o):\s+file format", line)
        source = member[1] if member else source
        symbol = re.match(r"[0-9a-f]+ .{7} (\S+)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
        if symbol and re.match(r"(\.data(?!\.rel\.ro)|\.bss|\*COM\*)", symbol[1]) and symbol[1] != symbol[2]:
            yield f"{source}: {symbol[2]} in {symbol[1]} can be changed by every caller"


def exports(library, header):
    names = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    strangers = [f"{name} is exported" for name in sorted(names) if not name.startswith("penumbra_")]
    text = re.sub(r"/\*.*?\*/", "", open(header, encoding="utf-8").read(), flags=re.DOTALL)
    declared = set(re.findall(r"\b(penumbra_\w+)\s*\((?!\s*\*)", re.sub(r"#.*", "", text)))
    return strangers, [f"{name} is declared but not exported" for name in sorted(declared - names)]


def main():
    if sys.argv[1] == "state":
        sys.exit(tap.report({"no global state that can be changed": list(shared_state(sys.argv[2]))}))
    strangers, absent = exports(sys.argv[2], sys.argv[3])
    sys.exit(tap.report({"only penumbra_ is exported": strangers, "what is declared is exported": absent}))


main()
