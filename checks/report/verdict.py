"""The rule of the verdict: a claim is compared with the interval [n − e, n + e] of an estimate."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray

__all__ = [
    "LAST_PLACES",
    "SCALES",
    "Rule",
    "Verdict",
    "entry_size",
    "is_seen",
    "judge",
    "judge_by",
    "largest_entry",
    "limit",
    "relative_discrepancy",
    "tolerance",
]

SCALES = ("entry", "array")

# Rounding may change any entry by this many last places of the gradient's largest entry, since a
# small entry may be the difference of terms as large as that; or by as many times what was measured
# of its own rounding, if that is less.
LAST_PLACES = 2.0**6


class Verdict(IntEnum):
    """The answer for one entry; the verdict of several entries is the worst: their maximum."""

    MATCH = 0
    UNRESOLVED = 1
    MISMATCH = 2

    def __str__(self) -> str:
        return self.name


MATCH, UNRESOLVED = np.int8(Verdict.MATCH), np.int8(Verdict.UNRESOLVED)


@dataclass(frozen=True)
class Rule:
    """What is asked of the claims and the estimates of a check.

    With g the claim of an entry, n ± e its estimate, d = |g − n|, s the largest entry of its array,
    S that of all arrays, claimed or numeric, and b the claim's own rounding:

        t = rtol · max(|g|, |n|) + min(2 b, rtol · s)
        d − e > max(t, 2 b, 2⁶ min(eps S, b))  MISMATCH
        d − e ≤ t  and  e ≤ resolution · s     MATCH
        otherwise                              UNRESOLVED

    Where b is not known, t = rtol · max(|g|, |n|), and a MISMATCH needs d − e > rtol · s as well,
    or rtol · S if every derivative of the array may be 0, |n| ≤ e. It also needs d − e > `lost`.
    There, and where b was not measured, the last term of the bound is 2⁶ eps S.
    At a kink, the slope jump is a part of e, but does not count against the resolution.

    Attributes
    ----------
    rtol
        How accurate a claim must be.
    resolution
        How accurate an estimate must be for a MATCH.
    scale : {"entry", "array"}
        What claims are judged relative to: "entry" as above; "array" makes t = rtol · s.
    eps : float
        The spacing of numbers at 1 in the coarsest dtype of the parameters.
    largest : float
        S, as above.
    lost : float
        What terms that cancel in a claim may lose, as 1 − tanh² does where tanh is nearly 1.

    Of a Jacobian, s and S are the largest entries of the row; there `rtol` and `largest` are
    columns, with one number for each row.
    """

    rtol: FloatArray | float
    resolution: float = 1e-3
    scale: str = "entry"
    eps: float = 0.0
    largest: FloatArray | float = 0.0
    lost: FloatArray | float = 0.0


def tolerance(
    size: FloatArray, largest: FloatArray | float, rule: Rule, rounding: FloatArray | float = 0.0
) -> FloatArray:
    """Return t of every entry, see `Rule`; `size` is max(|g|, |n|) of each, and `largest` is s."""
    if rule.scale == "array":
        return np.full(size.shape, rule.rtol * largest)
    t: FloatArray = rule.rtol * size
    b = np.where(np.isnan(rounding), 0.0, rounding)
    return t + np.minimum(2 * b, rule.rtol * largest) if b.any() else t


def limit(
    t: FloatArray,
    largest: FloatArray | float,
    seen: NDArray[np.bool_] | bool,
    rule: Rule,
    rounding: FloatArray | float = 0.0,
) -> FloatArray:
    """Return the bound of every entry above which d − e is a MISMATCH, see `Rule`.

    `t` is the `tolerance`, `largest` is s, and `seen` whether some derivative of the entry's array
    is surely not zero.
    """
    b = np.asarray(rounding)
    # If all derivatives of the array may be 0, its claims may be the rounding of larger terms that
    # cancel. Then their size s says nothing of how large that rounding is, but S does.
    unknown = rule.rtol * np.where(seen, largest, np.maximum(largest, rule.largest))
    unknown = np.maximum(unknown, rule.lost)
    floor = rule.eps * rule.largest
    floor = LAST_PLACES * np.where(b > 0, np.minimum(floor, b), floor)
    least = np.maximum(np.where(np.isnan(b), unknown, 2 * b), floor)
    return np.maximum(t, least)


def judge(
    claimed: FloatArray,
    numeric: FloatArray,
    error: FloatArray,
    rule: Rule,
    rounding: FloatArray | float = 0.0,
    slope_jump: FloatArray | float = 0.0,
    largest: FloatArray | float | None = None,
) -> NDArray[np.int8]:
    """Judge every entry of an array by a rule; a claim that is not finite is a MISMATCH.

    Parameters
    ----------
    claimed, numeric, error
        Arrays of the same shape: the claim g, the estimate n and its error e.
    rounding
        The claim's own rounding b: nan where it is not known, 0 where it was not needed.
    slope_jump
        At a kink, half the difference of the slopes on the two sides. It is a part of e.
    largest
        s, if the caller knows it already.

    Returns
    -------
    ndarray of int8
        `Verdict` values, in the shape of the arrays.
    """
    size = entry_size(claimed, numeric, slope_jump)
    s = float(size.max(initial=0)) if largest is None else largest
    t = tolerance(size, s, rule, rounding)

    def limit_of_all() -> FloatArray:
        return limit(t, s, is_seen(numeric, error), rule, rounding)

    return judge_by(t, limit_of_all, claimed, numeric, error, rule.resolution * s, slope_jump)


def judge_by(
    t: FloatArray,
    limit: Callable[[], FloatArray],
    claimed: FloatArray,
    numeric: FloatArray,
    error: FloatArray,
    largest_error: FloatArray | float,
    slope_jump: FloatArray | float = 0.0,
) -> NDArray[np.int8]:
    """Judge every entry as `judge` does, by the tolerance t, and the error of a MATCH.

    The `limit` is asked for only if some entries are no MATCH.
    """
    with np.errstate(invalid="ignore"):
        # by how much the claim is off at least, wherever in n ± e the true derivative lies
        off = np.abs(claimed - numeric) - error
        is_match = (off <= t) & (error - slope_jump <= largest_error)
        verdicts = np.where(is_match, MATCH, UNRESOLVED)
        if not is_match.all():
            verdicts[(off > limit()) | ~np.isfinite(claimed)] = Verdict.MISMATCH
    return verdicts


def is_seen(numeric: FloatArray, error: FloatArray) -> bool:
    """Whether some derivative of an array is surely not zero."""
    return bool((np.abs(numeric) > error).any())


def entry_size(
    claimed: FloatArray, numeric: FloatArray, slope_jump: FloatArray | float = 0.0
) -> FloatArray:
    """Return max(|g|, |n|) of every entry, of those numbers that are finite."""
    sizes = np.abs(claimed), np.abs(numeric) + slope_jump
    larger = np.maximum(*sizes)
    if math.isfinite(larger.max(initial=0)):
        return larger
    return np.maximum(*(np.where(np.isfinite(size), size, 0) for size in sizes))


def largest_entry(claimed: FloatArray, numeric: FloatArray) -> float:
    """Return s: the largest finite entry of an array, claimed or numeric."""
    return float(entry_size(claimed, numeric).max(initial=0))


def relative_discrepancy(discrepancy: Any, scale: Any) -> FloatArray:
    """Return |g − n| / scale; 0 if claim and estimate are equal, inf if there is no ratio."""
    ratio = np.full(np.shape(discrepancy), math.inf)
    known = np.isfinite(discrepancy) & (np.asarray(scale) > 0)
    np.divide(discrepancy, scale, out=ratio, where=known)
    return np.where(np.asarray(discrepancy) == 0, 0.0, ratio)
