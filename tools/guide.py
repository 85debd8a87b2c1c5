#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Make the pictures of docs/guide.md and docs/gallery.md by the commands that stand under them.

usage: guide.py BUILD [NAME …]

A picture is a line ![…](images/NAME.png), its commands the indented lines that follow it. They run in a scratch folder
with penumbra on the path and $MODEL the built-in model; the last line, "# FILE", names what becomes the picture. Several files
stand side by side.
"""
import io
import os
import re
import subprocess
import sys
import tempfile

from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["docs/guide.md", "docs/gallery.md"]
LIMIT, GAP = 200_000, 12


def figures(text):
    """(name, commands, files) of every picture."""
    for found in re.finditer(r"!\[[^\]]*\]\(images/([a-z0-9-]+)\.png\)\n\n((?:    .*\n)+)", text):
        lines = [line[4:] for line in found.group(2).splitlines()]
        yield found.group(1), lines[:-1], lines[-1].lstrip("# ").split()


def opened(path):
    image = Image.open(path)
    if image.mode.startswith("I"):  # 16-bit grey, which convert would cut off at 255
        image = image.convert("I").point(lambda code: code / 257).convert("L")
    return image.convert("RGB")


def side_by_side(paths, height):
    images = [opened(p) for p in paths]
    images = [i.resize((round(i.width * height / i.height), height), Image.LANCZOS) for i in images]
    sheet = Image.new("RGB", (sum(i.width for i in images) + GAP * (len(images) - 1), height), "white")
    x = 0
    for image in images:
        sheet.paste(image, (x, 0))
        x += image.width + GAP
    return sheet


def save(paths, out):
    """The largest height whose file stays below the limit."""
    for height in (480, 400, 340, 280, 220):
        data = io.BytesIO()
        side_by_side(paths, height).quantize(256, Image.Quantize.MAXCOVERAGE).save(data, "PNG", optimize=True)
        if data.tell() < LIMIT:
            break
    with open(out, "wb") as file:
        file.write(data.getvalue())


def main():
    build, only = os.path.abspath(sys.argv[1]), sys.argv[2:]
    env = dict(os.environ, MODEL=os.path.join(ROOT, "share/penumbra/phantom.onnx"),
               PATH=os.path.join(build, "src/cli") + os.pathsep + os.environ["PATH"])
    text = ""
    for page in PAGES:
        with open(os.path.join(ROOT, page), encoding="utf-8") as file:
            text += file.read()
    os.makedirs(os.path.join(ROOT, "docs/images"), exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, commands, files in figures(text):
            if only and name not in only:
                continue
            for command in commands:
                subprocess.run(["sh", "-ec", command], cwd=scratch, env=env, check=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
            save([os.path.join(scratch, f) for f in files], os.path.join(ROOT, "docs/images", name + ".png"))
            print(name)


if __name__ == "__main__":
    main()
