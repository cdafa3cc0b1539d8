"""Hypotheses about a part: one entry, rows or columns, zeros, or what is wrong by how little."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from checks.diagnosis.case import Case, Fit
from checks.diagnosis.factors import chain_factor, scaled
from checks.diagnosis.short_numbers import choices
from checks.diagnosis.terms import added
from checks.report.wording import listed

__all__ = ["formula_of_a_part", "masked", "one_part", "small_everywhere"]

# An error below this, relative to the largest entry, is small. A mistake in a formula makes larger
# errors, unless it is a mistake in a small constant or in the precision.
SMALL = 1e-2
# That all wrong entries lie at zeros is no chance from this many bits on.
PLACE_BITS = 4.0


def formula_of_a_part(case: Case) -> Iterator[Fit]:
    """Explain the wrong entries of an array by a formula, where the others are right."""
    if not case.right.any() or case.wrong.sum() < 2 or not case.claimed[case.wrong].any():
        return
    for hypothesis in (scaled, added, chain_factor):
        for region, place, bits in _regions(case):
            found = list(hypothesis(case.part(region)))
            for fit in found:
                clause = fit.clause.replace(" in every entry", "")
                text = f"right but for {place}: there it is {clause}"
                name = "signs" if fit.name == "sign" else fit.name
                yield replace(fit, name=name, clause=text, rank=1, cost=fit.cost + bits)
            if found:
                break


def _regions(case: Case) -> Iterator[tuple[Any, str, float]]:
    """Yield where an array may be wrong: whole rows, whole columns, or the wrong entries alone.

    With each, the text for it, and how many bits it takes to say so.
    """
    wrong = case.wrong
    places = np.argwhere(wrong)
    for axis in range(wrong.ndim if wrong.ndim > 1 else 0):
        lines = np.unique(places[:, axis])
        if len(lines) < wrong.shape[axis]:
            region = np.zeros(wrong.shape, bool)
            np.moveaxis(region, axis, 0)[lines] = True
            shown = ", ".join(map(str, lines[:4])) + (", …" if len(lines) > 4 else "")
            text = f"{_line(axis, wrong.ndim, len(lines))} {shown}"
            text += f" of axis {axis}" if wrong.ndim > 2 else ""
            yield region, text, choices(wrong.shape[axis], len(lines)) + 1
    text = f"{len(places):,} of {wrong.size:,} entries"
    if len(places) <= 3:
        text = listed([f"[{', '.join(map(str, place))}]" for place in places])
    yield wrong, text, choices(wrong.size, len(places))


def _line(axis: int, axes: int, count: int) -> str:
    one, several = (("row", "rows"), ("column", "columns"))[axis] if axes == 2 else (
        "index", "indices"
    )  # fmt: skip
    return one if count == 1 else several


def masked(case: Case) -> Iterator[Fit]:
    """Name an array that is wrong only where the derivative is zero, or wrong only as it is zero.

    So it is where a mask is not applied, or applied where it should not be.
    """
    wrong, n = case.wrong, case.numeric
    if not case.right.any() or not np.isfinite(case.claimed).all() or wrong.sum() < 2:
        return
    total, count = wrong.size, int(wrong.sum())
    zeros = np.abs(n) <= case.error
    certain = case.error <= 1e-6 * np.abs(n).max()
    if (zeros & certain)[wrong].all():
        bits = choices(total, count) - choices(int(zeros.sum()), count)
        clause = (
            f"right but for {count:,} of {total:,} entries where the derivative is 0 and the claim "
            "is not: a mask that is not applied, as of a relu, of dropout or of padding"
        )
        if bits >= PLACE_BITS:
            yield Fit("mask", clause, 1)
    if not case.claimed[wrong].any():
        place = _place(case)
        signs = np.sign(n[wrong])
        if np.all(signs == signs[0]) and np.all(np.sign(n[~wrong]) != signs[0]):
            place += f", all that are {'positive' if signs[0] > 0 else 'negative'}"
        clause = (
            f"right but for {place}, where the claim is zero and the derivative is not: never "
            "computed, or a mask where none belongs"
        )
        yield Fit("zeros", clause, 2, cost=12)


def _place(case: Case) -> str:
    """Return the shortest description of the wrong entries; rows count if they are all wrong."""
    exact = [(bits, text) for region, text, bits in _regions(case) if case.wrong[region].all()]
    return min(exact)[1]


def one_part(case: Case) -> Iterator[Fit]:
    """Name the one entry, or the rows or columns, that are wrong where the rest is right."""
    wrong = case.wrong
    places = np.argwhere(wrong)
    if not case.right.any() or not np.isfinite(case.claimed).all():
        return
    if len(places) == 1:
        index = tuple(int(i) for i in places[0])
        values = _distinct_digits(case.claimed[index], case.numeric[index])
        clause = f"wrong in one entry alone, {list(index)}: {values} is right"
        both = case.claimed[index] + case.numeric[index]
        if abs(both) <= case.tolerance[index] and case.claimed[index]:
            clause += ", the opposite sign"
        yield Fit("one entry", clause, 2)
        return
    is_zero = not case.claimed[wrong].any()
    for region, place, _ in _regions(case):
        if region is wrong or np.mean(wrong[region]) <= 0.5:
            continue
        kind = place.partition(" ")[0]
        if kind in ("row", "column", "index"):
            zero = " (zero there)" if is_zero else ""
            yield Fit(f"one {kind}", f"wrong in one {kind} alone, {place}{zero}", 2)
        elif wrong[region].all() and 2 * region.sum() <= wrong.size and not is_zero:
            yield Fit(kind, f"wrong in {place} alone", 2, cost=2)


def _distinct_digits(claimed: float, numeric: float) -> str:
    """Return both numbers with enough digits to show that they differ, four at least."""
    texts = [f"{claimed:.{n}g} where {numeric:.{n}g}" for n in range(4, 18)]
    return next((text for text in texts if len(set(text.split(" where "))) > 1), texts[-1])


def small_everywhere(case: Case) -> Iterator[Fit]:
    """Name an error that is small and in most entries."""
    wrong = case.wrong
    largest = np.abs(case.numeric).max()
    off = np.max(case.discrepancy, where=wrong | case.right, initial=0)
    if off < SMALL * largest and wrong.sum() > case.right.sum():
        share = off / largest
        extent = f"of its largest entry, in {int(wrong.sum()):,} of {wrong.size:,}"
        if wrong.size == 1:
            extent = "of its size"
        clause = (
            f"off by {'up to ' * (wrong.size > 1)}{share:.1e} {extent}: small and everywhere, as "
            "from a constant within a log or a division, from a lower precision, or from an "
            "approximation such as a solver's (say what that owes by rtol)"
        )
        yield Fit("small", clause, 3)
