# SPDX-License-Identifier: Apache-2.0
"""What the structure tests share: the files of the project, and results in the Test Anything Protocol."""
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST = 40  # complaints shown of one check


def files(*suffixes):
    """Paths under ROOT with one of the suffixes (all if none): what git tracks, or in a release all but build folders."""
    git = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if git.returncode == 0 and git.stdout:
        names = git.stdout.decode().split("\0")[:-1]
    else:
        names = [
            os.path.relpath(os.path.join(folder, name), ROOT)
            for folder, folders, found in os.walk(ROOT)
            for name in found
        ]
        names = [n for n in names if not re.match(r"(.*/)?(build[^/]*|\.git|__pycache__)/", n)]
    paths = (ROOT / name for name in sorted(names))
    return [p for p in paths if p.is_file() and not p.is_symlink() and (not suffixes or p.suffix in suffixes)]


def read(path):
    return path.read_text(encoding="utf-8")


def name(path):
    return path.relative_to(ROOT).as_posix()


def report(checks):
    """checks: {title: list of complaints, or None for skipped}. Prints TAP; returns the exit status."""
    print(f"1..{len(checks)}")
    for number, (title, complaints) in enumerate(checks.items(), 1):
        if complaints is None:
            print(f"ok {number} - {title} # SKIP")
            continue
        print(f"{'not ok' if complaints else 'ok'} {number} - {title}")
        for complaint in complaints[:MOST]:
            print(f"# {complaint}")
        if len(complaints) > MOST:
            print(f"# and {len(complaints) - MOST} more")
    return 1 if any(checks.values()) else 0
