#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write one .npy of every kind that npy_read takes, by NumPy itself: python3 make.py, in this folder.

Each holds 2 x 3 x 4 elements; element i in C order is i - 4 for signed and floating types (halved for the latter),
i for unsigned ones, i % 3 == 0 for truth values. The names tell dtype, byte order and memory order.
"""
import pathlib

import numpy as np
from numpy.lib import format as npy

here = pathlib.Path(__file__).parent
index = np.arange(24).reshape(2, 3, 4)

for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}.items():
    values = {"f": (index - 4) / 2, "i": index - 4, "u": index, "b": index % 3 == 0}[kind]
    for size in sizes:
        for order in "<>" if size > 1 else "|":
            for memory in "CF":
                array = np.asarray(values, dtype=f"{order}{kind}{size}", order=memory)
                name = {"<": "le", ">": "be", "|": "1"}[order]
                np.save(here / f"{kind}{size}_{name}_{memory}.npy", array)

base = np.asarray((index - 4) / 2, dtype="<f4")
for version in ((2, 0), (3, 0)):
    with open(here / f"version{version[0]}.npy", "wb") as file:
        npy.write_array(file, base, version=version)
np.save(here / "scalar.npy", np.float32(2.5))
np.save(here / "empty.npy", np.zeros((3, 0, 2), dtype="<f8"))
np.save(here / "vector.npy", np.array([1, -2, 3], dtype="<i4"))
np.save(here / "half.npy", np.array([0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7E00],
                                    dtype="<u2").view("<f2"))
np.save(here / "int_limits.npy", np.array([-2**31, 2**31 - 1], dtype="<i8"))
np.save(here / "int_too_big.npy", np.array([0, 2**31], dtype="<i8"))
np.save(here / "int_too_small.npy", np.array([0, -2**31 - 1], dtype="<i8"))
np.save(here / "uint_too_big.npy", np.array([2**31], dtype="<u4"))
np.save(here / "double_too_big.npy", np.array([0, 1e300]))
np.save(here / "complex.npy", np.zeros(2, dtype="<c8"))
np.save(here / "text.npy", np.array(["lung"]))
np.save(here / "date.npy", np.array(["2020-01-01"], dtype="M8[D]"))
np.save(here / "record.npy", np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]))
np.save(here / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
np.save(here / "long_double.npy", np.zeros(2, dtype=np.longdouble))
np.save(here / "nine_dimensions.npy", np.zeros((1,) * 9, dtype="<f4"))
