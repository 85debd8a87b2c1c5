#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small PNG files of every kind and their pixels: cases.json, and pixels.npy in the order of the cases.

Those that Pillow can write are by Pillow, the others (packed grey, 16-bit colour, Adam7) by png() below. Up to 8 bits
the pixels are what Pillow reads from the file, converted to "L" or "RGB"; at 16 bits, those that were written.
"""
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
W, H = 13, 11


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def lines(a, depth):
    """Rows of samples [h,w,c], packed and each with a different filter."""
    out, bpp = b"", max(1, a.shape[2] * depth // 8)
    before = None
    for y, row in enumerate(a):
        flat = row.ravel()
        if depth == 16:
            line = flat.astype(">u2").tobytes()
        else:
            bits = "".join(format(v, f"0{depth}b") for v in flat)
            bits += "0" * (-len(bits) % 8)
            line = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))
        before = before or bytes(len(line))
        left = bytes(bpp) + line[:-bpp] if len(line) > bpp else bytes(len(line))
        kind = y % 3  # none, sub, up
        minus = [bytes(len(line)), left, before][kind]
        out += bytes([kind]) + bytes((p - m) & 255 for p, m in zip(line, minus))
        before = line
    return out


def png(a, depth, colour, interlace=False, extra=b""):
    h, w, _ = a.shape
    if interlace:
        body = b"".join(lines(a[y::dy, x::dx], depth) for x, y, dx, dy in ADAM7 if a[y::dy, x::dx].size)
    else:
        body = lines(a, depth)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, interlace))
            + extra + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b""))


def main():
    rng = np.random.default_rng(5)
    files = {}
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)

    def own(name, depth, colour, interlace=False, extra=b""):
        top = 1 << depth
        a = rng.integers(0, top, (H, W, CHANNELS[colour]))
        if colour == 3:
            extra = chunk(b"PLTE", palette[:top].tobytes()) + extra
        files[name] = png(a, depth, colour, interlace, extra), a

    for depth in (1, 2, 4, 8, 16):
        own(f"gray{depth}", depth, 0)
        own(f"gray{depth}_interlaced", depth, 0, True)
    for depth in (1, 2, 4, 8):
        own(f"palette{depth}", depth, 3)
        own(f"palette{depth}_interlaced", depth, 3, True)
    own("palette8_trns", 8, 3, extra=chunk(b"tRNS", bytes(range(256))))
    own("gray8_trns", 8, 0, extra=chunk(b"tRNS", struct.pack(">H", 7)))
    own("rgb8_trns", 8, 2, extra=chunk(b"tRNS", struct.pack(">HHH", 7, 8, 9)))
    own("gray16_gamma", 16, 0, extra=chunk(b"gAMA", struct.pack(">I", 100000)))
    own("rgb8_gamma", 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 220000)))
    for depth in (8, 16):
        for name, colour in (("gray_alpha", 4), ("rgb", 2), ("rgba", 6)):
            own(f"{name}{depth}", depth, colour)
            own(f"{name}{depth}_interlaced", depth, colour, True)
    own("one_pixel", 8, 2)
    files["one_pixel"] = png(np.array([[[1, 2, 3]]]), 8, 2, True), np.array([[[1, 2, 3]]])

    cases, pixels = [], []

    def case(name, note, deep, a):
        a = a if a.ndim == 3 else a[:, :, None]
        cases.append({"file": name + ".png", "shape": list(a.shape), "deep": deep, "transparent": note})
        pixels.append(a.ravel())

    for name, (data, a) in files.items():
        path = os.path.join(HERE, name + ".png")
        with open(path, "wb") as f:
            f.write(data)
        colour, depth = data[25], data[24]
        transparent = colour in (4, 6) or b"tRNS" in data
        if depth == 16:
            case(name, transparent, True, a[..., :1] if colour in (0, 4) else a[..., :3])
        else:
            case(name, transparent, False, np.asarray(Image.open(path).convert("L" if colour in (0, 4) else "RGB")))

    rgba = rng.integers(0, 256, (H, W, 4), dtype=np.uint8)
    gray = rng.integers(0, 65536, (H, W)).astype(np.uint16)
    for name, image in (
            ("pillow_rgba", Image.fromarray(rgba)), ("pillow_rgb", Image.fromarray(rgba[..., :3].copy())),
            ("pillow_la", Image.fromarray(rgba).convert("LA")), ("pillow_l", Image.fromarray(rgba[..., 0].copy())),
            ("pillow_1", Image.fromarray(rgba[..., 0].copy()).convert("1")), ("pillow_i16", Image.fromarray(gray)),
            ("pillow_p", Image.fromarray(rgba[..., :3].copy()).quantize(40))):
        path = os.path.join(HERE, name + ".png")
        image.save(path, optimize=True)
        deep = name == "pillow_i16"
        back = Image.open(path)
        grey = back.mode in ("L", "LA", "1")
        case(name, name in ("pillow_rgba", "pillow_la"), deep,
             gray if deep else np.asarray(back.convert("L" if grey else "RGB")))
    np.save(os.path.join(HERE, "pixels.npy"), np.concatenate(pixels).astype(np.uint16))
    with open(os.path.join(HERE, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
