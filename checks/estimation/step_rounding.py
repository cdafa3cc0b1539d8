"""What rounding does to complex steps, measured in a wider dtype; terms as in `precision`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.precision import LIFT_LIMIT, Copies, Lift
from checks.evaluation.step_sizes import random_signs

__all__ = ["STRETCH", "StepRounding", "complex_step_rounding"]

# Factor from |narrow step − wide step| to the error of the narrow step, among other terms. It is
# more than 1 because the wide step is rounded too.
STRETCH = 1.5
# Errors are inf where |narrow step − wide step| exceeds LOST times the largest step of the array:
# the wide steps may then be as wrong. Likewise where one of SHAKES moves of the parameters, by
# SHAKE wide last places, changes a directional derivative by LOST of itself.
LOST = 1 / 16
SHAKES, SHAKE = 2, 16.0
DIRECTIONS = 3  # random directions in which the lift is tested; one misses 1 narrow stage in 70
# The terms of one derivative are compared with the derivatives by other entries of the same array.
# Where the entries differ in size by more than this factor, they are taken to be in different
# units, and what is compared is how much the cost changes when each moves by its own size.
UNITS = 2.0**10
TOGETHER = 4  # arrays tested by one sum Σ g v: in longer sums the narrow stage of one may not show


@dataclass(frozen=True, eq=False)
class StepRounding:
    """What rounding does to the complex steps of some arrays.

    Attributes
    ----------
    error : dict of str to (m,) float
        The errors of the narrow steps; they hold only for arrays that lift. inf where rounding
        takes so much of a step that the wide steps may be wrong too.
    change : dict of str to (m,) float
        |narrow step − wide step|.
    lifts : dict of str to Lift
    """

    error: dict[str, FloatArray]
    change: dict[str, FloatArray]
    lifts: dict[str, Lift]


def complex_step_rounding(
    narrow: Mapping[str, FloatArray],
    cost: Any,
    copies: Copies,
    rng: np.random.Generator,
    entries: Mapping[str, IntArray] | None = None,
) -> StepRounding:
    """Measure what rounding does to complex steps: a call for each, and five for up to 4 arrays.

    Parameters
    ----------
    narrow
        The steps Im C/h in the dtype of the parameters, (m,) each, by path.
    cost
        The narrow cost at the point.
    copies
        Calls the cost in the wider dtype.
    rng
        Draws directions.
    entries
        By path, the flat indices of the entries that were moved; without it, all of them.

    Notes
    -----
    Im C/h along a direction v is Σ g v, with the derivatives g by the entries. The entries of v
    need all bits of the wide dtype, so a narrow stage rounds them, and the sum is off by narrow
    last places. An entry of v is about 1/g: all terms are alike in size, so that a narrow stage of
    any entry shows. A real offset of the cost cannot hide it, as a constant has no imaginary part.
    """
    counts = np.array([g.size for g in narrow.values()])
    ends = counts.cumsum()
    starts = ends - counts
    part = dict(zip(narrow, map(slice, starts, ends), strict=True))
    some = {p: np.arange(g.size) if entries is None else entries[p] for p, g in narrow.items()}
    wide, costs = (np.concatenate(list(of.values())) for of in copies.slopes(some))
    size, change = np.abs(wide), np.abs(np.concatenate(list(narrow.values())) - wide)

    def largest_of(values: Any) -> Any:
        """Return the largest of values, one for each entry, by array."""
        return np.maximum.reduceat(values, starts)

    largest, largest_change = largest_of(size), largest_of(change)
    of_units = np.concatenate([copies.box.sizes[p].ravel()[of] for p, of in some.items()])

    def largest_near(values: Any) -> Any:
        """Return for each entry the largest of values in its array, in the units of that entry."""
        converted = UNITS * np.repeat(largest_of(values * of_units), counts) / of_units
        return np.minimum(np.repeat(largest_of(values), counts), converted)

    # The cost may be a small difference of large terms, whose size shows in its rounding: a cost of
    # 1 that is a difference of terms of 1e8 is off by 1e8 last places.
    rounding = largest_of(np.abs(costs - cost))
    terms = np.maximum(largest_of(np.abs(costs)), rounding / copies.narrow_eps)
    # Derivatives below the floor change those terms by less than a wide last place when a parameter
    # changes by its typical size. Added to the terms, they are lost in both dtypes.
    of_terms = terms / [copies.scales[path] for path in narrow]
    floor = copies.eps * np.maximum(np.repeat(of_terms, counts), largest_near(size))
    # The rounding of the wide steps is that of the narrow ones times the ratio of eps, with a
    # factor of 32. The largest change counts: that of a single entry may be small by chance.
    wide_rounding = 32 * copies.eps / copies.narrow_eps * largest_near(change) + floor
    error = STRETCH * change + copies.narrow_eps / 2 * size + wide_rounding
    error[np.repeat(~(largest_change <= LOST * largest), counts)] = np.inf
    sizes = size + 2**10 * floor

    is_finite = np.logical_and.reduceat(np.isfinite(wide), starts)
    is_above = np.logical_or.reduceat(size > sizes / 4, starts)
    # A cost of exactly 0 does not tell how large its terms are, so the floor is not known. Nor is
    # it where an intermediate result is infinite: all that is added to it is lost.
    is_testable = is_finite & is_above & (terms > 0) & (not copies.overflowed)
    lifts = {p: Lift.HIDDEN if f else Lift.NARROW for p, f in zip(narrow, is_finite, strict=True)}
    # The relative change of derivatives when parameters move by wide last places. It is large where
    # digits are lost in both dtypes, as in sin(1e20 x): a last place of x is a period or more.
    shaken = 0.0

    def test(paths: Sequence[str]) -> Lift:
        nonlocal shaken
        steps = {p: (wide[part[p]], sizes[part[p]], some[p]) for p in paths}
        deviations = _nonlinearity(copies, steps, rng)
        if any(not off <= LIFT_LIMIT * unit for off, unit in islice(deviations, DIRECTIONS)):
            return Lift.NARROW
        shaken = max([shaken, *(off for off, _ in deviations)])
        return Lift.LIFTS

    testable = [path for path, tested in zip(narrow, is_testable, strict=True) if tested]
    for first in range(0, len(testable), TOGETHER):
        group = testable[first : first + TOGETHER]
        lift = test(group)
        one_by_one = lift is Lift.NARROW and len(group) > 1
        for path in group:
            lifts[path] = test([path]) if one_by_one else lift
    # terms that cancel exceed their entry: by up to 1/16 of the largest entry, it is assumed
    error += 2 * shaken * (size + largest_near(size) / 16) if shaken < LOST else np.inf
    errors, changes = ({path: of[part[path]] for path in narrow} for of in (error, change))
    return StepRounding(errors, changes, lifts)


def _nonlinearity(
    copies: Copies, steps: Mapping[str, tuple[Any, Any, IntArray]], rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Yield |Im C/h − Σ g v| along random directions v, and what it is about for a narrow stage.

    Both are relative to Σ |g v|; the first is inf where it is not finite. `steps` has, by path, the
    derivatives g, the sizes s for v ~ 1/s, and the flat indices of the entries. After `DIRECTIONS`
    of these, there are `SHAKES` more, where all parameters are moved as well, by `SHAKE` last
    places of the wide dtype.
    """
    counts, count = [entries.size for _, _, entries in steps.values()], DIRECTIONS + SHAKES
    g, s = (np.concatenate([of_array[k] for of_array in steps.values()]) for k in (0, 1))
    entries, box = copies.box.entries, copies.box
    # where the entries stand in a vector of all
    places = np.concatenate(
        [entries.slices[path].start + some for path, (_, _, some) in steps.items()]
    )
    scales = box.typical[places]
    # the factor (1 + about a narrow eps) fills the bits that only wide numbers have
    drawn = rng.uniform(0.75, 1.5, (2, count, g.size)).astype(copies.dtype)
    v = drawn[0] * (1 + drawn[1] * copies.narrow_eps)
    if copies.shared:
        v *= random_signs(v.shape, rng) * scales
    else:
        v *= np.where(g < 0, -1, 1) / np.where(s > 0, s, 1)
    v /= np.sqrt(np.repeat(counts, counts))
    # scaled by a power of two, so that no entry of v exceeds the typical size of its array
    longest = (np.abs(v) / scales).max(axis=1)
    v *= (2.0 ** -np.frexp(longest.astype(float))[1].astype(copies.dtype))[:, None]
    directions = np.zeros((count, entries.size), copies.dtype)
    directions[:, places] = v
    shakes = SHAKE * copies.eps / copies.narrow_eps * copies.all_last_places()
    moves = np.full(directions.shape, -0.0, copies.dtype)
    shaken = shakes * random_signs((SHAKES, entries.size), rng)
    moves[DIRECTIONS:] = box.reflected_all(shaken)
    terms = g * v
    totals, sizes = terms.sum(axis=1), np.abs(terms).sum(axis=1)
    norms = np.sqrt(np.square(terms).sum(axis=1))
    found = copies.slopes_along(directions, moves)
    for slope, total, size, norm in zip(found, totals, sizes, norms, strict=True):
        off = float(abs(slope - total) / size) if size else math.inf
        unit = copies.narrow_eps / 4 * float(norm / size)
        yield off if off == off else math.inf, unit
