#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures, model cards (NAME.json) and the inputs that Pillow, torchvision and numpy make of them (NAME.npy, [C,H,W]).

Resizing is Pillow's on 8-bit pictures and on 32-bit floats for 16-bit ones; resize_to is torchvision's
Resize and CenterCrop. Needs numpy, Pillow 9.4 and torchvision 0.14.
"""
import json
import os

import numpy as np
from PIL import Image
from torchvision.transforms import CenterCrop, Resize
from torchvision.transforms.functional import InterpolationMode

HERE = os.path.dirname(os.path.abspath(__file__))
PIL = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
MODE = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR,
        "bicubic": InterpolationMode.BICUBIC, "lanczos": InterpolationMode.LANCZOS}


def waves(h, w, c, seed):
    """Smooth waves with some noise, 0..1, [h, w, c]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    planes = [0.5 + 0.35 * np.sin(x / (3 + k) + k) * np.cos(y / (5 - k)) for k in range(c)]
    return np.clip(np.stack(planes, 2) + rng.normal(0, 0.1, (h, w, c)), 0, 1)


def pictures():
    Image.fromarray((waves(47, 61, 3, 1) * 255).round().astype("u1")).save(os.path.join(HERE, "wide.png"))
    Image.fromarray((waves(53, 40, 3, 2) * 255).round().astype("u1")).save(os.path.join(HERE, "tall.png"))
    Image.fromarray((waves(31, 44, 1, 3)[..., 0] * 255).round().astype("u1")).save(os.path.join(HERE, "gray.png"))
    Image.fromarray((waves(33, 29, 1, 4)[..., 0] * 4095).round().astype("u2")).save(os.path.join(HERE, "deep.png"))


def place(a, h, w, how):
    """Crop or pad [h', w', c] as the card's resize says."""
    ah, aw = a.shape[:2]
    if how == "shortest-crop":
        y, x = (ah - h) // 2, (aw - w) // 2
        return a[y:y + h, x:x + w]
    if how == "pad":
        b = np.zeros((h, w) + a.shape[2:], a.dtype)
        y, x = (h - ah) // 2, (w - aw) // 2
        b[y:y + ah, x:x + aw] = a
        return b
    return a


def fit(w0, h0, w, h, how):
    if how == "stretch":
        return w, h
    k = (max if how == "shortest-crop" else min)(w / w0, h / h0)
    return max(1, int(np.floor(w0 * k + 0.5))), max(1, int(np.floor(h0 * k + 0.5)))


def tensor(picture, card):
    c = card["input"]
    h, w = c["size"]
    how = c.get("interpolation", "bilinear")
    im = Image.open(os.path.join(HERE, picture))
    if im.mode.startswith("I"):
        im = Image.fromarray(np.asarray(im).astype("f4"))
        lo, hi = c.get("range", (0, 65535))
    else:
        im = im.convert("L" if c["channels"] == "gray" else "RGB")
        lo, hi = c.get("range", (0, 255))
    if "resize_to" in c:
        a = np.asarray(CenterCrop((h, w))(Resize(c["resize_to"], MODE[how])(im)))
    else:
        size = fit(*im.size, w, h, c["resize"])
        a = np.asarray(im if im.size == size else im.resize(size, PIL[how]))
        a = place(a, h, w, c["resize"])
    a = a.astype("f8")
    if a.ndim == 2:
        a = np.repeat(a[..., None], 1 if c["channels"] == "gray" else 3, 2)
    if c["channels"] == "bgr":
        a = a[:, :, ::-1]
    a = (a - lo) * 255 / (hi - lo)
    a = (a * c.get("scale", 1) - np.array(c.get("mean", 0))) / np.array(c.get("std", 1))
    return np.ascontiguousarray(a.transpose(2, 0, 1)).astype("f4")


IMAGENET = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CASES = {
    # torchvision's Resize and CenterCrop: rests of 0, 1, 2 and 3 px, long side cut, not rounded
    "resize_to_wide": ("wide.png", {"size": [24, 24], "channels": "rgb", "resize_to": 32, **IMAGENET}),
    "resize_to_tall": ("tall.png", {"size": [29, 25], "channels": "rgb", "resize_to": 32, **IMAGENET}),
    "resize_to_rest3": ("wide.png", {"size": [29, 30], "channels": "rgb", "resize_to": 32, "interpolation": "bicubic"}),
    "resize_to_rest1": ("wide.png", {"size": [31, 40], "channels": "bgr", "resize_to": 32, "interpolation": "lanczos"}),
    "resize_to_same": ("wide.png", {"size": [40, 40], "channels": "rgb", "resize_to": 47}),
    "resize_to_small": ("tall.png", {"size": [25, 27], "channels": "rgb", "resize_to": 20}),
    "resize_to_both": ("wide.png", {"size": [33, 28], "channels": "rgb", "resize_to": [40, 31], **IMAGENET}),
    "resize_to_gray": ("gray.png", {"size": [20, 20], "channels": "rgb", "resize_to": 23, "interpolation": "nearest"}),
    # the three ways of resizing
    "stretch": ("wide.png", {"size": [32, 20], "channels": "bgr", "resize": "stretch", "mean": [104, 117, 123]}),
    "stretch_same": ("wide.png", {"size": [47, 61], "channels": "gray", "resize": "stretch", "scale": 1 / 255}),
    "crop_wide": ("wide.png", {"size": [30, 30], "channels": "gray", "resize": "shortest-crop"}),
    "crop_tall": ("tall.png", {"size": [30, 40], "channels": "rgb", "resize": "shortest-crop", **IMAGENET}),
    "crop_enlarge": ("gray.png", {"size": [70, 80], "channels": "gray", "resize": "shortest-crop"}),
    "pad_wide": ("wide.png", {"size": [30, 31], "channels": "rgb", "resize": "pad", **IMAGENET}),
    "pad_tall": ("tall.png", {"size": [64, 61], "channels": "gray", "resize": "pad", "mean": [33], "std": [77]}),
    # 16 bits: no rounding, and the range first
    "deep": ("deep.png", {"size": [17, 21], "channels": "gray", "resize": "stretch", "scale": 1 / 255}),
    "deep_range": ("deep.png", {"size": [24, 16], "channels": "rgb", "resize": "shortest-crop", "range": [0, 4095],
                                **IMAGENET}),
    "deep_pad": ("deep.png", {"size": [20, 24], "channels": "gray", "resize": "pad", "range": [100, 4000]}),
    "range_8bit": ("wide.png", {"size": [20, 20], "channels": "rgb", "resize": "stretch", "range": [16, 235]}),
}


def main():
    pictures()
    for name, (picture, given) in CASES.items():
        card = {"input": given, "source": picture}
        x = tensor(picture, card)
        if "range" in given and given["resize"] == "pad":
            # the pad is pixel 0 after the range, not code 0 before it
            h, w = given["size"]
            size = fit(*Image.open(os.path.join(HERE, picture)).size, w, h, "pad")
            inside = place(np.ones((size[1], size[0], 1)), h, w, "pad").transpose(2, 0, 1)
            x = np.where(inside == 1, x, np.float32(0)).astype("f4")
        np.save(os.path.join(HERE, name + ".npy"), x)
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as f:
            f.write(json.dumps(card) + "\n")


if __name__ == "__main__":
    main()
