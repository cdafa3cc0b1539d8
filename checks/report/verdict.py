"""The rule of the verdict: a claim is compared with the interval [n − e, n + e] of an estimate."""

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray

__all__ = ["Verdict", "detectable_error", "judge", "largest_entry", "relative_discrepancy"]


class Verdict(IntEnum):
    """The answer for one entry; the verdict of several entries is the worst: their maximum."""

    MATCH = 0
    UNRESOLVED = 1
    MISMATCH = 2

    def __str__(self) -> str:
        return self.name


def largest_entry(claimed: FloatArray, numeric: FloatArray) -> float:
    """Return s: the largest finite entry of an array, claimed or numeric."""
    largest = 0.0
    for size in (np.abs(claimed), np.abs(numeric)):
        candidate = float(size.max(initial=0))
        if not math.isfinite(candidate):
            candidate = float(size.max(where=np.isfinite(size), initial=0))
        largest = max(largest, candidate)
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
        Arrays of the same shape: the claim g, the estimate n and its error e.
    rtol
        The tolerance of a claim is t = rtol × s, where s is the largest entry of the array.
    resolution
        A MATCH needs an estimate with e ≤ resolution × s.
    slope_jump
        At a kink, half the difference of the slopes on the two sides. It is a part of e, but
        does not count against the resolution.
    largest
        s, if the caller knows it already.

    Returns
    -------
    ndarray of int8
        `Verdict` values, in the shape of the arrays.
    """
    s = largest_entry(claimed, np.abs(numeric) + slope_jump) if largest is None else largest
    with np.errstate(invalid="ignore"):
        d = np.abs(claimed - numeric)
        # wrong by more than the tolerance, wherever in the interval the true derivative lies
        wrong = d - error > rtol * s
        resolved = error - slope_jump <= resolution * s
    wrong |= ~np.isfinite(claimed)
    unresolved = ~(resolved & np.isfinite(d))
    # the sum is 0 for MATCH, 1 for UNRESOLVED and 2 for MISMATCH
    return np.asarray(np.add(wrong, wrong | unresolved, dtype=np.int8))


def detectable_error(largest: float, error: float, rtol: float) -> float:
    """Return the smallest error of a claim, relative to s, that is certain to be a MISMATCH.

    If a claim differs from the true derivative by Δ, then d ≥ Δ − e. So d − e > t if Δ > t + 2e.
    """
    return rtol + 2 * error / largest if largest > 0 else math.inf


def relative_discrepancy(discrepancy: float, largest: float) -> float:
    """Return |g − n| / s; 0 if claim and estimate are equal, inf if there is no such ratio."""
    if discrepancy == 0:
        return 0.0
    return discrepancy / largest if largest and math.isfinite(discrepancy) else math.inf
