"""Hypotheses: the gradient was right before its values were lost, cut or rounded."""

import math
from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit
from checks.diagnosis.short_numbers import CHOICE_BITS, choices, decimal

__all__ = ["clipped", "in_single_precision", "not_finite", "powers", "rounded", "zero"]

# Rounding errors in a computation may add up to this many eps, relative to the largest entry.
LAST_PLACES = 64
# What a few operations in float32 may change of the largest entry, in its eps, and of any entry.
INSIDE, OF_ENTRY = 4.0, 2.0**-10
# The bits of evidence that one entry gives if it is the estimate, rounded to a whole number.
INTEGER_BITS = 12.0


def not_finite(case: Case) -> Iterator[Fit]:
    """Name entries that are nan or infinite."""
    count = int(np.sum(~np.isfinite(case.claimed)))
    if count:
        yield Fit("not finite", f"nan or infinite in {count:,} of {case.claimed.size:,} entries")


def zero(case: Case) -> Iterator[Fit]:
    """Name an array of zeros."""
    if not case.claimed.any():
        clause = "zero in every entry"
        if np.all(np.abs(case.numeric) < 1):
            clause += " (never computed, or truncated to integers)"
        yield Fit("zero", clause)


def clipped(case: Case) -> Iterator[Fit]:
    """Explain an array by a limit on the absolute value of its entries, or by a limit of 0."""
    n = case.numeric
    if not case.claimed.any():
        return
    limits = (
        max(float(np.abs(a.claimed).max(initial=0)) for a in case.arrays.values()),
        float(np.abs(case.claimed).max()),
    )
    for limit in dict.fromkeys(limits):
        cut = int(np.sum(np.abs(n) > limit))
        if not cut:
            continue
        if cut < n.size or abs(limit - 1) > 1e-3:  # where all are ±1, `powers` names them
            _, bits = decimal(limit, 1e-15 * limit)
            if limit not in np.abs(case.claimed):  # the limit was read off another array
                bits = 4.0
            clause = f"cut to ±{limit:.4g} in {cut:,} of {n.size:,} entries"
            yield from case.fit("clipped", clause, np.clip(n, -limit, limit), 4, number=limit,
                                bits=bits)  # fmt: skip
    for sign, which in ((1, "negative"), (-1, "positive")):
        cut = int(np.sum(sign * n < 0))
        if choices(n.size, cut) >= CHOICE_BITS:
            clause = f"cut at 0: {cut:,} of {n.size:,} entries, the {which} ones, are zero"
            yield from case.fit("clipped", clause, sign * np.maximum(sign * n, 0), 4, number=-sign)


def powers(case: Case) -> Iterator[Fit]:
    """Explain an array by the square, or by the sign, of the numerical gradient's entries."""
    n, e = case.numeric, case.error
    clause = "the squares of the numerical gradient's entries"
    yield from case.fit("squared", clause, n * n, 6, error=2 * np.abs(n) * e + e * e)
    if np.all(np.abs(np.abs(case.claimed) - 1) < 1e-3):
        clause = "the signs of the numerical gradient's entries, ±1, without their sizes, as the "
        clause += "first step of Adam"
        for small in (0, 1e-10, 1e-8, 1e-7):
            with np.errstate(all="ignore"):
                signs = n / (np.abs(n) + small)
            yield from case.fit("ones", clause, signs, 4, error=np.zeros_like(n))


def rounded(case: Case) -> Iterator[Fit]:
    """Explain an array by rounding to integers, to float16 or to float32."""
    claimed, n = case.claimed, case.numeric
    if not claimed.any() or not np.isfinite(case.discrepancy).all():
        return
    yield from _integers(case)
    for dtype in (np.float16, np.float32):
        if np.dtype(dtype).itemsize >= case.parameters.dtype.itemsize:
            return
        with np.errstate(over="ignore"):
            fits_dtype = np.array_equal(claimed, claimed.astype(dtype).astype(claimed.dtype))
            last_place = np.abs(np.spacing(n.astype(dtype))).astype(float)
        if not fits_dtype:
            continue
        name = np.dtype(dtype)
        entries = np.unique(np.abs(claimed)).size
        if np.all(case.discrepancy <= last_place / 2 * (1 + 1e-3) + case.tolerance):
            bits = entries * (np.finfo(np.float64).nmant - np.finfo(dtype).nmant)
            if not _is_short(claimed, dtype):
                yield Fit("dtype", f"rounded to {name}: its digits end there", 0, bits, 4)
            return
        largest = float(np.abs(n).max())
        inside = LAST_PLACES * float(np.finfo(dtype).eps) * largest
        if dtype is np.float32 and case.discrepancy.max() <= inside:
            share = case.discrepancy.max() / largest
            clause = f"off by up to {share:.1e} of its largest entry: the rounding of {name}, in "
            clause += "which its numbers are"
            yield Fit("dtype", clause, 2)
        return


def in_single_precision(case: Case) -> Iterator[Fit]:
    """Name errors of float64 entries that are as large as float32 rounds."""
    largest = float(np.abs(case.numeric).max(initial=0))
    share = float(case.discrepancy.max()) / largest if largest else math.inf
    is_small = case.discrepancy <= OF_ENTRY * np.abs(case.numeric)
    if case.narrowest.dtype.itemsize < 8 or not is_small[case.wrong].all():
        return
    if share <= INSIDE * float(np.finfo(np.float32).eps):
        clause = (
            f"off by up to {share:.1e} of its largest entry, as float32 rounds: labels or constants"
            " in it may be rounded otherwise in the cost (make them float64); or it is from a "
            "constant within a log, or an approximation (say what that owes by rtol)"
        )
        yield Fit("small", clause, 2)


def _is_short(numbers: np.ndarray, dtype: type) -> bool:
    """Whether all numbers are multiples of few bits, so any dtype holds them: 0.5, 3, 12."""
    mantissa, _ = np.frexp(numbers)
    scaled = mantissa * 2.0 ** (np.finfo(dtype).nmant - 4)
    return bool(np.all(scaled == np.round(scaled)))


def _integers(case: Case) -> Iterator[Fit]:
    claimed, n = case.claimed, case.numeric
    nearest = np.round(n)
    if not np.array_equal(claimed, np.round(claimed)):
        return
    # a derivative of exactly 3 may be estimated as 2.999…, which would be truncated to 2
    at_integer = (np.abs(n - nearest) <= case.tolerance) & (claimed == nearest)
    ways = {
        "rounded": nearest,
        "truncated": np.trunc(n),
        "rounded down": np.floor(n),
        "rounded up": np.ceil(n),
    }
    for number, (how, whole) in enumerate(ways.items()):
        if np.all((claimed == whole) | at_integer):
            evidence = INTEGER_BITS * np.unique(n[case.wrong].astype(np.float32)).size
            yield Fit("dtype", f"{how} to integers", 0, evidence, 1 + 2 * number)
            return
