"""Hypotheses that say only where an array is wrong: in one entry, in one row, or all over."""

from collections.abc import Iterator

import numpy as np

from checks.diagnosis.case import Case, Fit

__all__ = ["one_part", "small_everywhere"]

# An error below this, relative to the largest entry, is small. A mistake in a formula makes larger
# errors, unless it is a mistake in a small constant or in the precision.
SMALL = 1e-2


def one_part(case: Case) -> Iterator[Fit]:
    """Name the one entry, or the one row or column, that is wrong where the rest is right."""
    wrong, shape = case.wrong, case.array.claimed.shape
    places = np.argwhere(wrong)
    if wrong.size < 2 or wrong.all() or not np.isfinite(case.array.claimed).all():
        return
    if len(places) == 1:
        index = tuple(int(i) for i in places[0])
        values = _distinct_digits(case.claimed[index], case.array.numeric[index])
        clause = f"wrong in one entry alone, {list(index)}: {values} is right"
        both = case.claimed[index] + case.array.numeric[index]
        if abs(both) <= case.array.error[index] + case.array.limit[index] and case.claimed[index]:
            clause += ", the opposite sign"
        yield Fit("one entry", clause, 2)
        return
    for axis in range(len(shape) if len(shape) > 1 else 0):
        if np.unique(places[:, axis]).size == 1 and shape[axis] > 1:
            line = {(0, 2): "row", (1, 2): "column"}.get(
                (axis, len(shape)), f"index of axis {axis}"
            )
            zero = " (zero there)" if not case.claimed[wrong].any() else ""
            clause = f"wrong in one {line} alone, {line} {places[0, axis]}{zero}"
            yield Fit(f"one {line}", clause, 2)


def _distinct_digits(claimed: float, numeric: float) -> str:
    """Return both numbers with enough digits to show that they differ, four at least."""
    texts = [f"{claimed:.{n}g} where {numeric:.{n}g}" for n in range(4, 18)]
    return next((text for text in texts if len(set(text.split(" where "))) > 1), texts[-1])


def small_everywhere(case: Case) -> Iterator[Fit]:
    """Name an error that is small and in most entries."""
    wrong = case.wrong
    share = np.max(np.abs(case.claimed - case.array.numeric)) / case.array.largest
    if share < SMALL and np.mean(wrong) > 0.5:
        clause = (
            f"off by up to {share:.1e} of its largest entry, in {int(wrong.sum()):,} of "
            f"{wrong.size:,}: small and everywhere, as from a constant within a log or a division, "
            "or from a lower precision"
        )
        yield Fit("small", clause, 3, weak=wrong.size < 3)
