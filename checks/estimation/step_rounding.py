"""What rounding does to complex steps, measured in a wider dtype; terms as in `precision`."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.precision import LIFTED, Copies, Lift

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
    some = {p: np.arange(g.size) if entries is None else entries[p] for p, g in narrow.items()}
    wide: dict[str, FloatArray] = {}
    error: dict[str, FloatArray] = {}
    changes: dict[str, FloatArray] = {}
    sizes, largest_terms = {}, {}
    for path, slopes in narrow.items():
        wide[path], costs = copies.slopes(path, some[path])
        # The cost may be a small difference of large terms, whose size shows in its rounding: a
        # cost of 1 that is a difference of terms of 1e8 is off by 1e8 last places.
        terms = float(np.abs(costs - cost).max(initial=0)) / copies.narrow_eps
        largest_terms[path] = max(float(np.abs(costs).max(initial=0)), terms)
        largest = float(np.abs(wide[path]).max(initial=0))
        # Derivatives below the floor change those terms by less than a wide last place when a
        # parameter changes by its typical size. Added to the terms, they are lost in both dtypes.
        floor = copies.eps * max(largest_terms[path] / copies.scales[path], largest)
        change = changes[path] = np.abs(slopes - wide[path])
        size = np.abs(wide[path])
        largest_change = float(change.max(initial=0))
        # The rounding of the wide steps is that of the narrow ones times the ratio of eps, with a
        # factor of 32. The largest change counts: that of a single entry may be small by chance.
        wide_rounding = 32 * copies.eps / copies.narrow_eps * largest_change + floor
        error[path] = STRETCH * change + copies.narrow_eps / 2 * size + wide_rounding
        if not largest_change <= LOST * largest:
            error[path][...] = np.inf
        sizes[path] = size + 2**10 * floor

    lifts: dict[str, Lift] = {}

    def test(paths: Sequence[str]) -> Lift:
        steps = {p: (wide[p], sizes[p], some[p]) for p in paths}
        deviations = _nonlinearity(copies, steps, rng, DIRECTIONS)
        shows = any(not off <= LIFTED * unit for off, unit in deviations)
        return Lift.NARROW if shows else Lift.LIFTS

    testable = []
    for path, slopes in wide.items():
        lifts[path] = Lift.HIDDEN if np.isfinite(slopes).all() else Lift.NARROW
        # A cost of exactly 0 does not tell how large its terms are, so the floor is not known. Nor
        # is it where an intermediate result is infinite: all that is added to it is lost.
        floor_is_known = largest_terms[path] > 0 and not copies.overflowed
        is_above = bool((np.abs(slopes) > sizes[path] / 4).any())
        if lifts[path] is Lift.HIDDEN and floor_is_known and is_above:
            testable.append(path)
    groups = [testable[k : k + TOGETHER] for k in range(0, len(testable), TOGETHER)]
    for group in groups:
        found = test(group)
        one_by_one = found is Lift.NARROW and len(group) > 1
        for path in group:
            lifts[path] = test([path]) if one_by_one else found
    # The relative change of derivatives when parameters move by wide last places. It is large where
    # digits are lost in both dtypes, as in sin(1e20 x): a last place of x is a period or more.
    shaken = 0.0
    for group in groups if Lift.LIFTS in lifts.values() else []:
        steps = {p: (wide[p], sizes[p], some[p]) for p in group}
        for off, _ in _nonlinearity(copies, steps, rng, SHAKES, shaken=True):
            shaken = max(shaken, off)
    for path, slopes in wide.items():
        size = np.abs(slopes)
        # terms that cancel exceed their entry: by up to 1/16 of the largest entry, it is assumed
        of_terms = size + float(size.max(initial=0)) / 16
        error[path] = error[path] + (2 * shaken * of_terms if shaken < LOST else np.inf)
    return StepRounding(error, changes, lifts)


def _nonlinearity(
    copies: Copies,
    steps: Mapping[str, tuple[Any, Any, IntArray]],
    rng: np.random.Generator,
    count: int,
    *,
    shaken: bool = False,
) -> Iterator[tuple[float, float]]:
    """Yield |Im C/h − Σ g v| along random directions v, and what it is about for a narrow stage.

    Both are relative to Σ |g v|; the first is inf where it is not finite. `steps` has, by path, the
    derivatives g, the sizes s for v ~ 1/s, and the flat indices of the entries. If `shaken`, the
    parameters are moved as well, by `SHAKE` last places of the wide dtype.
    """
    ends = np.cumsum([entries.size for _, _, entries in steps.values()])
    counts = np.diff(ends, prepend=0)
    g, s = (np.concatenate([of_array[k] for of_array in steps.values()]) for k in (0, 1))
    scales = np.repeat([copies.scales[path] for path in steps], counts)
    # the factor (1 + about a narrow eps) fills the bits that only wide numbers have
    drawn = rng.uniform(0.75, 1.5, (2, count, g.size)).astype(copies.dtype)
    v = drawn[0] * (1 + drawn[1] * copies.narrow_eps)
    if copies.shared:
        v *= (2 * rng.integers(2, size=v.shape) - 1) * scales
    else:
        v *= np.where(g < 0, -1, 1) / np.where(s > 0, s, 1)
    v /= np.sqrt(np.repeat(counts, counts))
    # scaled by a power of two, so that no entry of v exceeds the typical size of its array
    longest = (np.abs(v) / scales).max(axis=1)
    v *= (2.0 ** -np.frexp(longest.astype(float))[1].astype(copies.dtype))[:, None]
    directions, moves = {}, {}
    for (path, (_, _, entries)), part in zip(
        steps.items(), np.split(v, ends[:-1], axis=1), strict=True
    ):
        directions[path] = np.zeros((count, *copies.values[path].shape), copies.dtype)
        directions[path].reshape(count, -1)[:, entries] = part
    for path in copies.values if shaken else ():
        places = SHAKE * copies.eps / copies.narrow_eps * copies.last_places(path)
        signs = 2 * rng.integers(2, size=(count, *places.shape)) - 1
        moves[path] = copies.box.reflected(path, places * signs)
    terms = g * v
    totals, sizes = terms.sum(axis=1), np.abs(terms).sum(axis=1)
    norms = np.sqrt(np.square(terms).sum(axis=1))
    found = copies.slopes_along(directions, moves)
    for slope, total, size, norm in zip(found, totals, sizes, norms, strict=True):
        off = float(abs(slope - total) / size) if size else math.inf
        unit = copies.narrow_eps / 4 * float(norm / size)
        yield off if off == off else math.inf, unit
