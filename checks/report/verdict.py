"""The verdict: what the interval [n − e, n + e] around a derivative says of a claim."""

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray

__all__ = ["Verdict", "detectable_error", "judge", "largest_entry"]


class Verdict(IntEnum):
    """Of one entry; the verdict of several is their maximum."""

    MATCH = 0
    UNRESOLVED = 1
    MISMATCH = 2

    def __str__(self) -> str:
        return self.name


def largest_entry(claimed: FloatArray, numeric: FloatArray) -> float:
    """Return s: the largest finite entry of an array, claimed or numeric."""
    largest = 0.0
    for size in (np.abs(claimed), np.abs(numeric)):
        most = float(size.max(initial=0))
        if not math.isfinite(most):
            most = float(size.max(where=np.isfinite(size), initial=0))
        largest = max(largest, most)
    return largest


def judge(
    claimed: FloatArray,
    numeric: FloatArray,
    error: FloatArray,
    rtol: float,
    resolution: float,
    slope_jump: FloatArray | float = 0.0,
    largest: float | None = None,
) -> NDArray[Any]:
    """Judge every entry of an array.

    Parameters
    ----------
    claimed, numeric, error
        Of one shape: the claim g, the estimate n and its error e.
    rtol
        A claim owes an accuracy of t = rtol × the largest entry s.
    resolution
        An estimate owes e ≤ resolution × s, or it has not shown enough for a MATCH.
    gap
        The part of e that is no blur, at a kink: half of what the slopes on both sides differ by.
    largest
        s, where it is known already.

    Returns
    -------
    ndarray of int8
        `Verdict` values, in the same shape.
    """
    s = largest_entry(claimed, np.abs(numeric) + slope_jump) if largest is None else largest
    with np.errstate(invalid="ignore"):
        d = np.abs(claimed - numeric)
        wrong = d - error > rtol * s  # whatever the truth in the interval
        seen = error - slope_jump <= resolution * s
    wrong |= ~np.isfinite(claimed)
    unresolved = ~(seen & np.isfinite(d))
    # MATCH is 0, UNRESOLVED 1, MISMATCH 2
    return np.asarray(np.add(wrong, wrong | unresolved, dtype=np.int8))


def detectable_error(largest: float, error: float, rtol: float) -> float:
    """Return the smallest error, relative to s, that is a MISMATCH for certain: of errors up to e.

    A claim off the truth by Δ has d ≥ Δ − e, so d − e > t wherever Δ > t + 2e.
    """
    return rtol + 2 * error / largest if largest > 0 else math.inf
