"""Writes the fixtures beside it: what NumPy itself writes, of every kind that the
tests read or refuse. Made with NumPy 2.4.6 on a little-endian x86-64 machine:

    python3 make.py

Nothing here is random, so that another run writes the same bytes.
"""

import os

import numpy as np
from numpy.lib import format

os.chdir(os.path.dirname(os.path.abspath(__file__)))

# 2**60 + 2**36 + 1 and its like tell one rounding from two: by way of float64
# they become a tie and go to the other neighbour.
TWICE = 2**60 + 2**36 + 1

VALUES = {
    "b1": [True, False, True],
    "i1": [-128, -1, 0, 127],
    "i2": [-32768, -1, 258, 32767],
    "i4": [-(2**31), -2, 2**24 + 1, 2**24 + 3, 2**31 - 1],
    "i8": [-(2**63), -TWICE, TWICE, 2**53 + 1, 2**63 - 1],
    "u1": [0, 1, 255],
    "u2": [0, 258, 65535],
    "u4": [0, 2**24 + 1, 2**32 - 1],
    "u8": [0, TWICE, 2**63 + 2**39 + 1, 2**64 - 1],
    "f2": [0.0, -0.0, 1.5, -65504.0, 6e-8, 6.1e-5, np.inf, -np.inf, np.nan],
    "f4": [0.0, -0.0, 1.1, -3.4e38, 1e-45, np.inf, -np.inf, np.nan],
    "f8": [0.0, -0.0, 0.1, 1e-300, 1e300, -1e39, 1 + 2**-24, np.inf, np.nan],
}


def dtypes():
    """Each readable type as NAME, and what it becomes in float32 as NAME.want."""
    arrays = {}
    for code, values in VALUES.items():
        for order, label in (("<", "le"), (">", "be")):
            x = np.array(values, dtype=order + code)
            with np.errstate(over="ignore", under="ignore"):
                want = x.astype("<f4")
            arrays[f"{code}_{label}"] = x
            arrays[f"{code}_{label}.want"] = want
    return arrays


def orders():
    """Ranks 0 to 4 in both memory orders; read in C order, all count from 0."""
    arrays = {}
    shape = (3, 2, 4, 2)
    for rank in range(5):
        count = int(np.prod(shape[:rank]))
        x = np.arange(count, dtype="<f4").reshape(shape[:rank])
        arrays[f"c{rank}"] = x
        arrays[f"f{rank}"] = x.copy(order="F")
    arrays["f3_be_i2"] = np.asfortranarray(np.arange(24).reshape(3, 2, 4).astype(">i2"))
    arrays["none"] = np.zeros((0, 5), "<f4")
    arrays["none_f"] = np.zeros((3, 0, 2), "<f8", order="F")
    arrays["one"] = np.array(0, "<f8")
    return arrays


def rejected():
    """Types that cannot become float32 in any sensible way, and one axis more than are read."""
    return {
        "complex64": np.zeros(2, "<c8"),
        "complex128": np.zeros(2, ">c16"),
        "float128": np.zeros(2, "<f16"),
        "string": np.array(["a", "bcdef"]),
        "bytes": np.array([b"a", b"xyz"]),
        "object": np.array([1, "a", None], dtype=object),
        "structured": np.zeros(2, [("a", "<f4"), ("b", "<i8")]),
        "datetime64": np.zeros(2, "<M8[ns]"),
        "timedelta64": np.zeros(2, "<m8[s]"),
        "raw bytes": np.zeros(2, "V2"),
        "many axes": np.zeros((1,) * 33, "<f4"),
    }


def single():
    np.save("f4.npy", np.arange(24, dtype="<f4").reshape(2, 3, 4))
    np.save("f4_be.npy", np.arange(24, dtype=">f4").reshape(2, 3, 4))
    np.save("f8.npy", np.arange(24, dtype="<f8").reshape(2, 3, 4))
    np.save("i8.npy", np.arange(24, dtype="<i8").reshape(2, 3, 4))
    np.save("f4_fortran.npy", np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)))
    np.save("f4_fortran_row.npy", np.arange(6, dtype="<f4"))
    np.save("object.npy", np.array([1, None], dtype=object), allow_pickle=True)
    for major in (2, 3):
        with open(f"version{major}.npy", "wb") as f:
            format.write_array(f, np.arange(6, dtype="<f4").reshape(2, 3), version=(major, 0))


def headers():
    """Preambles of float32 in C order, to compare WriteHeader with byte by byte."""
    shapes = [(), (7,), (64, 1000), (2, 3, 4), (1, 2, 3, 4), (0, 10**9, 2, 1)]
    with open("headers.bin", "wb") as f:
        for shape in shapes:
            format.write_array_header_1_0(
                f, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )


def main():
    np.savez("dtypes.npz", **dtypes())
    np.savez_compressed("dtypes_deflated.npz", **dtypes())
    np.savez_compressed("orders.npz", **orders())
    np.savez_compressed("rejected.npz", **rejected())
    np.savez("empty.npz")
    single()
    headers()


if __name__ == "__main__":
    main()
