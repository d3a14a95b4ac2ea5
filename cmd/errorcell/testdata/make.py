"""Writes the fixtures beside it: archives that NumPy itself writes, in element
types that errorcell converts or refuses. Made with NumPy 2.4.6:

    python3 make.py

Nothing here is random, so that another run writes the same bytes.
"""

import os

import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))

# Every readable type holds these exactly.
TARGET = np.array([[0, 1, 1], [1, 0, 1]])
MU = np.array([[1, 1, 0], [0, 0, 0]])

CONVERTED = ["?", "i1", "u1", "<i2", ">u2", "<i4", ">i8", "<u8", "<f2", "<f8", ">f4", ">f8"]


def name(code):
    return np.dtype(code).name + ("_be" if code[0] == ">" else "")


def converted():
    for code in CONVERTED:
        np.savez(f"converted_{name(code)}.npz", target=TARGET.astype(code), mu=MU.astype(code))
    for code in ["<f4", "<f8"]:
        np.savez(
            f"converted_{name(code)}_fortran.npz",
            target=np.asfortranarray(TARGET.astype(code)),
            mu=np.asfortranarray(MU.astype(code)),
        )


def refused():
    """The mu that cannot be used, by the word that an error must say."""
    mus = {
        "complex64": np.zeros((2, 3), "<c8"),
        "string": np.array([["a", "b", "c"], ["d", "e", "f"]]),
        "object": np.array([[1, 2, 3], [4, None, 6]], dtype=object),
        "structured": np.zeros((2, 3), [("a", "<f4"), ("b", "<i8")]),
        "datetime64": np.zeros((2, 3), "<M8[s]"),
        "5 axes": np.zeros((1, 1, 1, 2, 3), "<f4"),
    }
    for word, mu in mus.items():
        np.savez(f"refused_{word.replace(' ', '_')}.npz", target=TARGET.astype("<f4"), mu=mu)


if __name__ == "__main__":
    converted()
    refused()
