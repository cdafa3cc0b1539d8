"""Hypotheses: the numbers are right, but stand in the wrong places or are summed to one."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import LEFT_OVER, Case, Fit

__all__ = ["another_array", "one_number", "reordered"]


def reordered(case: Case) -> Iterator[Fit]:
    """Explain an array by another order of its entries: transposed, reversed, or any other."""
    n = case.array.numeric
    if n.size < 2:
        return
    shape, found = n.shape, False
    if n.ndim == 2 and shape[0] == shape[1] > 1 and case.explained_by(n.T):
        yield Fit("transpose", "the transpose of the numerical gradient")
        found = True
    elif n.ndim > 1 and case.explained_by(n.reshape(-1, order="F").reshape(shape)):
        # a reshaped transpose looks the same as an array in column-major order
        clause = "the transpose of the numerical gradient, its entries read row by row"
        clause += " (as in column-major order)"
        yield Fit("transpose", clause)
        found = True
    elif n.ndim > 1 and case.explained_by(n.reshape(-1).reshape(shape, order="F")):
        yield Fit("column-major", "the numerical gradient, but filled in in column-major order")
        found = True
    for axis in range(n.ndim):
        if shape[axis] > 1 and case.explained_by(np.flip(n, axis)):
            place = f" along axis {axis}" if n.ndim > 1 else ""
            yield Fit("reversed", f"the numerical gradient in reverse order{place}")
            found = True
    # After sorting it is unknown which error belongs to which entry, so the largest is used for
    # all. Entries must lie so far apart that no two can be confused.
    error = float(case.array.error.max())
    claimed_sorted, numeric_sorted = np.sort(case.claimed, axis=None), np.sort(n, axis=None)
    difference = np.abs(claimed_sorted - numeric_sorted).max()
    distance = np.diff(numeric_sorted).min()
    left_over = LEFT_OVER * np.abs(case.claimed - n).max()
    if not found and n.size > 2 and difference <= min(case.t + error, left_over) < distance / 4:
        yield Fit("permuted", "the entries of the numerical gradient in another order", 2)


def another_array(case: Case) -> Iterator[Fit]:
    """Explain an array as the gradient of another array of the same shape."""
    for path, other in case.arrays.items():
        same = other is not case.array and other.claimed.shape == case.array.claimed.shape
        if same and other.claimed.size > 1 and case.explained_by(other.numeric):
            yield Fit("order", f"the gradient of {path}")


def one_number(case: Case) -> Iterator[Fit]:
    """Explain an array of equal entries as the sum, or the mean, of the numerical gradient."""
    claimed, n = case.claimed, case.array.numeric
    if claimed.size < 2 or not claimed.any() or np.ptp(claimed) > case.t:
        return
    for what, value in (("sum", n.sum()), ("mean", n.mean())):
        if case.explained_by(np.full_like(n, value), n.size):
            clause = f"one number, the {what} of the numerical gradient's entries: an axis too many"
            yield Fit("one number", clause)
            return
