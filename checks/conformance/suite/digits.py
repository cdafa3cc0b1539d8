"""1,797 handwritten digits; DIGITS.md gives their source and licence."""

import gzip
from importlib.resources import files

import numpy as np

from checks._types import FloatArray, IntArray

__all__ = ["load_digits"]


def load_digits() -> tuple[FloatArray, FloatArray, IntArray]:
    """Read the digits.

    Returns
    -------
    x : (1797, 64) float64
        8 × 8 pixels row by row, from 0 to 1.
    y : (1797, 10) float64
        1 in the column of the digit, else 0.
    labels : (1797,) int
        The digit.
    """
    packed = files("checks.conformance.suite").joinpath("digits.csv.gz").read_bytes()
    table = np.array(
        [line.split(b",") for line in gzip.decompress(packed).splitlines()], dtype=np.intp
    )
    labels = table[:, -1]
    return table[:, :-1] / 16, np.eye(10)[labels], labels
