"""Hypotheses: the numbers are right, but stand in the wrong places."""

import math
from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import LEFT_OVER, Case, Fit
from checks.parameters.claims import entry_name

__all__ = ["another_array", "exchanged", "reordered"]

ORDER_BITS = 3.0
MOST_COMPARED = 2**22  # of more numbers, rows and columns are not compared with each other


def reordered(case: Case) -> Iterator[Fit]:
    """Explain an array by another order of its entries: transposed, reversed, or any other."""
    n, e = case.numeric, case.error
    if n.size < 2:
        return
    shape = n.shape
    if n.ndim == 2 and shape[0] == shape[1]:
        clause = "the transpose of the numerical gradient"
        yield from case.fit("transpose", clause, n.T, ORDER_BITS, error=e.T)
    elif n.ndim > 1:
        # a reshaped transpose looks the same as an array in column-major order
        clause = "the transpose of the numerical gradient, its entries read row by row"
        clause += " (as in column-major order)"
        read, errors = (a.ravel(order="F").reshape(shape) for a in (n, e))
        yield from case.fit("transpose", clause, read, ORDER_BITS, error=errors)
        clause = "the numerical gradient, but filled in in column-major order"
        filled, errors = (a.ravel().reshape(shape, order="F") for a in (n, e))
        yield from case.fit("column-major", clause, filled, ORDER_BITS, error=errors)
    for axis in range(n.ndim):
        place = f" along axis {axis}" if n.ndim > 1 else ""
        clause = f"the numerical gradient in reverse order{place}"
        if shape[axis] > 1:
            flipped, errors = np.flip(n, axis), np.flip(e, axis)
            yield from case.fit("reversed", clause, flipped, ORDER_BITS, error=errors, number=axis)
        for shift in range(1, shape[axis]) if shape[axis] > 2 else ():
            by = min(shift, shift - shape[axis], key=abs)
            clause = f"the numerical gradient shifted by {by}{place}, its entries in another order"
            cost = ORDER_BITS + math.log2(shape[axis])
            rolled, errors = np.roll(n, shift, axis), np.roll(e, shift, axis)
            yield from case.fit("permuted", clause, rolled, cost, error=errors, number=by)
            if shift >= 64:  # of long arrays, other shifts are not tried
                break
    yield from _lines_reordered(case)
    # After sorting it is unknown which error belongs to which entry, so the largest is used for
    # all. Entries must lie so far apart that no two can be confused.
    tolerance = float(case.tolerance.max())
    claimed_sorted, numeric_sorted = np.sort(case.claimed, axis=None), np.sort(n, axis=None)
    difference = np.abs(claimed_sorted - numeric_sorted).max()
    distance = np.diff(numeric_sorted).min()
    left_over = LEFT_OVER * np.abs(case.claimed - n).max()
    if n.size > 2 and difference <= min(tolerance, left_over) < distance / 4:
        evidence = float(np.sum(np.log2(np.maximum(case.discrepancy / tolerance, 1))))
        clause = "the entries of the numerical gradient in another order"
        yield Fit("permuted", clause, 1, evidence, math.log2(math.factorial(min(n.size, 100))))


def _lines_reordered(case: Case) -> Iterator[Fit]:
    """Explain a matrix by another order of its rows, or of its columns."""
    n = case.numeric
    for axis, name in enumerate(("row", "column") if n.ndim == 2 else ()):
        lines = np.moveaxis(n, axis, 0)
        if len(lines) * n.size > MOST_COMPARED:
            continue
        claimed = np.moveaxis(case.claimed, axis, 0)
        order = np.array([np.abs(lines - one).max(axis=1).argmin() for one in claimed])
        place = np.arange(order.size)
        # shifts, with the order itself, and the reverse have names of their own
        others = (order != np.roll(place, -order[0])).any() and (order != place[::-1]).any()
        if others and np.unique(order).size == order.size:
            first = np.flatnonzero(order != place)[0]
            clause = (
                f"the numerical gradient with its {name}s in another order "
                f"({name} {first} is {name} {order[first]} of it)"
            )
            cost = math.log2(math.factorial(min(order.size, 100)))
            error = np.take(case.error, order, axis)
            yield from case.fit("permuted", clause, np.take(n, order, axis), cost, error=error)


def exchanged(case: Case) -> Iterator[Fit]:
    """Explain two wrong entries as each other: of two samples or classes in the wrong order."""
    n = case.numeric.ravel()
    entries = np.flatnonzero(case.discrepancy > case.tolerance)
    if entries.size != 2:
        return
    order = np.arange(n.size)
    order[entries] = entries[::-1]
    indices = np.stack(np.unravel_index(entries, case.numeric.shape), axis=1).tolist()
    one, other = (entry_name("", tuple(index)) for index in indices)
    clause = f"the numerical gradient with the entries {one} and {other} exchanged"
    prediction, error = (a.ravel()[order].reshape(a.shape) for a in (case.numeric, case.error))
    cost = math.log2(math.comb(n.size, 2))
    yield from case.fit("permuted", clause, prediction, cost, error=error, rank=1)


def another_array(case: Case) -> Iterator[Fit]:
    """Explain an array as the gradient of another array, or as its transpose."""
    shape = case.claimed.shape
    for number, (path, other) in enumerate(case.arrays.items()):
        if path == case.path or other.claimed.size < 2:
            continue
        if other.claimed.shape == shape:
            yield from case.fit(
                "order", f"the gradient of {path}", other.numeric, ORDER_BITS, error=other.error
            )
        if len(shape) == 2 and other.claimed.shape == shape[::-1]:
            yield from case.fit(
                "order",
                f"the transpose of the gradient of {path}",
                other.numeric.T,
                ORDER_BITS,
                error=other.error.T,
                number=number,
            )
