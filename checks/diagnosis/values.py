"""Hypotheses: the gradient was right before its values were lost, cut or rounded."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit

__all__ = ["clipped", "not_finite", "rounded", "zero"]

# Rounding errors in a computation may add up to this many eps, relative to the largest entry.
LAST_PLACES = 256


def not_finite(case: Case) -> Iterator[Fit]:
    """Name entries that are nan or infinite."""
    count = int(np.sum(~np.isfinite(case.array.claimed)))
    if count:
        clause = f"nan or infinite in {count:,} of {case.array.claimed.size:,} entries"
        yield Fit("not finite", clause)


def zero(case: Case) -> Iterator[Fit]:
    """Name an array of zeros."""
    if not case.array.claimed.any():
        clause = "zero in every entry"
        if np.all(np.abs(case.array.numeric) < 1):
            clause += " (never computed, or truncated to integers)"
        yield Fit("zero", clause)


def clipped(case: Case) -> Iterator[Fit]:
    """Explain an array by a limit on the absolute value of all entries of the gradient."""
    limit = max(float(np.abs(a.claimed).max(initial=0)) for a in case.arrays.values())
    n = case.array.numeric
    cut = int(np.sum(np.abs(n) > limit))
    if cut and limit > 0 and case.explained_by(np.clip(n, -limit, limit)):
        clause = f"cut to ±{limit:.4g} in {cut:,} of {n.size:,} entries"
        yield Fit("clipped", clause, 1, limit, weak=cut < 2)


def rounded(case: Case) -> Iterator[Fit]:
    """Explain an array by rounding to integers, to float16 or to float32."""
    claimed, n = case.claimed, case.array.numeric
    discrepancy = float(np.max(np.abs(claimed - n)))
    if not claimed.any() or not np.isfinite(discrepancy):
        return
    nearest = np.round(n)
    # a derivative of exactly 3 may be estimated as 2.999…, which would be truncated to 2
    at_integer = (np.abs(n - nearest) <= case.t) & (claimed == nearest)
    to_nearest = np.array_equal(claimed, nearest)
    if to_nearest or np.all((claimed == np.trunc(n)) | at_integer):
        yield Fit("dtype", f"{'rounded' if to_nearest else 'truncated'} to integers")
        return
    for dtype in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            fits_dtype = np.array_equal(claimed, claimed.astype(dtype).astype(claimed.dtype))
        if fits_dtype and discrepancy <= LAST_PLACES * np.finfo(dtype).eps * case.array.largest:
            if np.dtype(dtype).itemsize < case.value.dtype.itemsize:
                yield Fit("dtype", f"rounded to {np.dtype(dtype)}: its digits end there")
            return
