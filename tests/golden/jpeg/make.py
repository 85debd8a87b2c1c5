#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small JPEG files and their pixels as Pillow (with libjpeg-turbo 2.1.5) decodes, orients and converts them:
cases.json, and pixels.npy in the order of the cases. Files of kinds that Pillow does not write are edited."""
import io
import json
import os
import struct

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 45, 34


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def exif(value, order="<", kind=3):
    mark = b"II" if order == "<" else b"MM"
    number = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
    entries = [struct.pack(order + "HHI", 0x0100, 3, 1) + struct.pack(order + "HH", 99, 0),  # another tag comes first
               struct.pack(order + "HHI", 0x0112, kind, 1) + number]
    return segment(0xE1, b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, len(entries)) + b"".join(entries)
                   + bytes(4))


def after_soi(data, extra):
    return data[:2] + extra + data[2:]


def without(data, marker):
    at = data.index(bytes([0xFF, marker]))
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def main():
    rng = np.random.default_rng(6)
    y, x = np.mgrid[0:H, 0:W]
    picture = np.stack([x * 255 / W, y * 255 / H, 127 + 127 * np.sin(x * y / 60)], -1) + rng.integers(-25, 25, (H, W, 3))
    picture[5:12, 4:20] = (240, 20, 30)
    rgb = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    cmyk = np.dstack([np.asarray(rgb), np.asarray(rgb.convert("L"))])

    def save(image, **options):
        b = io.BytesIO()
        image.save(b, "JPEG", **options)
        return b.getvalue()

    base = save(rgb, quality=85, subsampling=2)
    full = save(rgb, quality=85, subsampling=0)
    ink = save(Image.fromarray(cmyk, "CMYK"), quality=90)
    files = {
        "rgb420": base, "rgb422": save(rgb, quality=70, subsampling=1), "rgb444": full,
        "rgb420_progressive": save(rgb, quality=80, progressive=True),
        "gray": save(rgb.convert("L"), quality=80),
        "gray_progressive": save(rgb.convert("L"), quality=80, progressive=True),
        "cmyk": ink,
        "ycck": ink.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"),
        "stored_rgb": after_soi(without(full, 0xE0), segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))),
        "fill_bytes": full.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
        "stray_bytes": base.replace(b"\xff\xdb", b"stray\xff\xdb", 1),
    }
    assert files["ycck"] != ink
    for value in range(1, 9):
        files[f"orientation{value}"] = after_soi(base, exif(value, "<" if value % 2 else ">"))
    files["orientation6_long"] = after_soi(base, exif(6, ">", 4))
    files["orientation9"] = after_soi(base, exif(9))
    files["gray_orientation7"] = after_soi(files["gray"], exif(7))

    cases, pixels = [], []
    for name, data in files.items():
        with open(os.path.join(HERE, name + ".jpg"), "wb") as f:
            f.write(data)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        a = np.asarray(image if image.mode == "L" else image.convert("RGB"))
        a = a if a.ndim == 3 else a[:, :, None]
        cases.append({"file": name + ".jpg", "shape": list(a.shape), "irregular": name == "stray_bytes"})
        pixels.append(a.ravel())
    np.save(os.path.join(HERE, "pixels.npy"), np.concatenate(pixels))
    with open(os.path.join(HERE, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
