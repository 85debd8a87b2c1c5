#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The installed library: what is there, and the examples built out of tree against it, as C11 and as C++17.

    install.py MESON BUILD VERSION C-COMPILER…    (the C++ compiler is `c++`, or clang++ beside clang)
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-O1"]


def run(words, environment, folder=None):
    done = subprocess.run([str(w) for w in words], capture_output=True, check=False, text=True, env=environment,
                          cwd=folder, timeout=240)
    if done.returncode:
        raise AssertionError("\n".join([" ".join(map(str, words)), f"status {done.returncode}", done.stdout, done.stderr]))
    return done.stdout


class Installed:
    """A copy of the library as a packager would stage it."""

    def __init__(self, meson, build, folder):
        self.folder = pathlib.Path(folder)
        environment = {**os.environ, "DESTDIR": ""}
        run([*meson.split(), "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", self.folder / "stage"], environment)
        pc = list((self.folder / "stage").rglob("penumbra.pc"))
        assert len(pc) == 1, f"penumbra.pc: {pc}"
        self.libdir = pc[0].parent.parent
        self.prefix = next(p for p in self.libdir.parents if (p / "include/penumbra.h").exists())
        self.environment = {**environment, "PKG_CONFIG_LIBDIR": str(pc[0].parent) + ":" + system_pc(),
                            "PKG_CONFIG_SYSROOT_DIR": str(self.folder / "stage"), "LD_LIBRARY_PATH": str(self.libdir),
                            "OMP_WAIT_POLICY": "passive"}

    def flags(self, *what):
        return run(["pkg-config", *what, "penumbra"], self.environment).split()

    def build(self, compiler, standard, name):
        binary = self.folder / f"{name}-{standard}"
        language = "c++" if "++" in standard else "c"
        source = self.folder / f"{name}.c"
        shutil.copy(ROOT / "examples" / f"{name}.c", source)  # nothing of the tree is near it
        run([*compiler, *STRICT, "-x", language, f"-std={standard}", source, "-x", "none", "-o", binary,
             *self.flags("--cflags", "--libs"), "-lm"], self.environment, self.folder)
        return binary


def system_pc():
    found = subprocess.run(["pkg-config", "--variable", "pc_path", "pkg-config"], capture_output=True, check=False, text=True)
    return found.stdout.strip()


def layout(installed, version):
    library = installed.libdir / "libpenumbra.so"
    for path in (installed.prefix / "include/penumbra.h", library, installed.prefix / "bin/penumbra"):
        assert path.exists(), f"{path} is missing"
    soname = re.search(r"SONAME.*\[(.*)\]", run(["readelf", "-d", library], installed.environment))[1]
    assert soname == "libpenumbra.so.0", soname
    assert (installed.libdir / soname).resolve() == library.resolve()
    assert library.resolve().name == f"libpenumbra.so.{version}", library.resolve().name
    strangers = [p for p in (installed.prefix / "include").rglob("*") if p.name != "penumbra.h"]
    assert not strangers, f"installed besides the header: {strangers}"


def pkg_config(installed, version):
    assert installed.flags("--modversion") == [version]
    assert "-lpenumbra" in installed.flags("--libs")
    assert not set(installed.flags("--libs")) & {"-ldnnl", "-lpng", "-ljansson"}, "dependencies are the library's own affair"


def explain(installed, compiler, standard):
    binary, demo = installed.build(compiler, standard, "explain"), installed.prefix / "share/penumbra/phantom.onnx"
    out = installed.folder / f"out-{standard}"
    if demo.exists():
        picture = installed.folder / f"film-{standard}"
        run([installed.prefix / "bin/penumbra", "phantom", "--seed", "7", "--finding", "nodule", "-o", picture],
            installed.environment)
        words = [demo, picture / "phantom.png", out]
    else:
        words = [ROOT / "tests/golden/fixtures/conv3_softmax.onnx", ROOT / "tests/golden/preprocess/wide.png", out]
    said = run([binary, *words], installed.environment)
    assert re.fullmatch(r"\S+ [01]\.\d{4}, strongest evidence at x \d+, y \d+\n", said), said
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["method"]["name"] == "occlusion", result["method"]
    # The example names the first of the tied maxima, result.json their middle: both lie in one cell of the stride.
    first = [int(v) for v in re.findall(r"[xy] (\d+)", said)]
    assert all(abs(result["map"]["strongest"][i] - first[i]) <= 10 for i in (0, 1)), said
    for name in ("heatmap.npy", "overlay.png", "occlusion_grid.npy"):
        assert (out / name).stat().st_size > 0, name
    failed = subprocess.run([binary, "no/such.onnx", words[1], out], capture_output=True, check=False, text=True,
                            env=installed.environment)
    assert failed.returncode == 1 and "no/such.onnx" in failed.stderr, failed.stderr


def callback(installed, compiler, standard):
    binary = installed.build(compiler, standard, "callback")
    said = run([binary], installed.environment)
    x, y, pictures = (int(v) for v in re.search(r"x (\d+), y (\d+) after (\d+) pictures", said).groups())
    assert (x - 45) ** 2 + (y - 18) ** 2 <= 7 ** 2, said  # on the blob it looks for
    assert pictures == 28 * 28 + 2, said  # patch 10, stride 2 on 64 px; the picture itself and one all grey
    rows = said.splitlines()[:-1]
    assert "#" in "".join(rows[:9]) and not set("".join(rows[9:])) - {" "}, said  # and nowhere near the other


def command(installed):
    out = run([installed.prefix / "bin/penumbra", "--version"], installed.environment)
    assert "penumbra" in out, out
    needed = run(["readelf", "-d", installed.prefix / "bin/penumbra"], installed.environment)
    assert "libpenumbra.so.0" in needed, needed


def main():
    meson, build, version, c = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    missing = [tool for tool in ("pkg-config", "readelf", c[0]) if not shutil.which(tool)]
    if missing:
        print(f"1..0 # SKIP {', '.join(missing)} is not installed")
        return
    cxx = [re.sub(r"clang$", "clang++", word) for word in c] if c[-1].endswith("clang") else ["c++"]
    with tempfile.TemporaryDirectory(prefix="penumbra-install-") as folder:
        installed = Installed(meson, build, folder)
        checks = [("installs library, header and command", lambda: layout(installed, version)),
                  ("pkg-config names the library", lambda: pkg_config(installed, version)),
                  ("the command runs on the installed library", lambda: command(installed))]
        for name, check in (("explain", explain), ("callback", callback)):
            for compiler, standard in ((c, "c11"), (cxx, "c++17")):
                if shutil.which(compiler[0]):
                    checks.append((f"{name} as {standard}", lambda f=check, k=compiler, s=standard: f(installed, k, s)))
        print(f"1..{len(checks)}", flush=True)
        failed = 0
        for number, (title, check) in enumerate(checks, 1):
            try:
                check()
                print(f"ok {number} - {title}", flush=True)
            except Exception as fault:  # whatever went wrong is the check's
                failed += 1
                print(f"not ok {number} - {title}")
                for line in f"{type(fault).__name__}: {fault}".splitlines():
                    print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


main()
