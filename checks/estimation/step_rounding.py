"""What rounding does to complex steps, measured one precision up."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.precision import LIFTED, Copies, Lift

__all__ = ["StepRounding", "complex_step_rounding"]

# The wide result is a little off too. So the error of the narrow one is taken to be STRETCH times
# the difference between the two, among other terms.
STRETCH = 1.5
# Rounding is no small perturbation any more, and errors are inf, where it changes a step by more
# than this part of the largest step, or where SHAKES change Σ g v by this part of Σ |g v|.
LOST = 1 / 16
SHAKES, SHAKE = 2, 16.0  # moves of all arrays, by so many last places of the wide dtype
DIRECTIONS = 3  # along which the lift is tested: one of them alone misses 1 stage in 70
TOGETHER = 4  # arrays tested at once; of more, one that does not lift would drown in the others


@dataclass(frozen=True, eq=False)
class StepRounding:
    """What rounding does to the complex steps of some arrays.

    Attributes
    ----------
    wide : dict of str to (m,) float
        The steps one precision up.
    error : dict of str to (m,) float
        Of the narrow ones, where the array lifts: of use only there. inf where rounding leaves so
        little of the largest step that one precision more need not do.
    lifts : dict of str to Lift
    floors : dict of str to float
        Derivatives below this are lost where the function adds them to others, in both dtypes.
    residual : float
        The largest met in the lift's test: about 1 where a stage is narrow, 2^-11 where none is.
    """

    wide: dict[str, FloatArray]
    error: dict[str, FloatArray]
    lifts: dict[str, Lift]
    floors: dict[str, float]
    residual: float


def complex_step_rounding(
    narrow: Mapping[str, FloatArray],
    cost: Any,
    copies: Copies,
    rng: np.random.Generator,
    entries: Mapping[str, IntArray] | None = None,
) -> StepRounding:
    """Measure what rounding does to complex steps; one call for each, and five for all.

    Parameters
    ----------
    narrow
        Im C/h by path, (m,) each.
    cost
        The cost itself at the point, narrow.
    copies
        The cost in the wider dtype.
    rng
        Draws directions.
    entries
        Which they are derivatives by, as flat indices: all, unless told.

    Notes
    -----
    Im C is linear in the imaginary parts: along any direction v it is Σ g v, with the entries' own
    g, to the rounding of the dtype in which it is computed. Directions whose entries need all bits
    of the wide dtype therefore show a stage in the narrow one. Each entry is weighted by 1/g, so
    that none drowns, and no offset hides it, for what is constant has no imaginary part.
    """
    some = {p: np.arange(g.size) if entries is None else entries[p] for p, g in narrow.items()}
    wide: dict[str, FloatArray] = {}
    error: dict[str, FloatArray] = {}
    sizes, floors, most_terms = {}, {}, {}
    for path, slopes in narrow.items():
        wide[path], costs = copies.slopes(path, some[path])
        # the largest terms of the cost, as its own rounding shows: they may have cancelled
        terms = float(np.abs(costs - cost).max(initial=0)) / copies.narrow_eps
        most_terms[path] = max(float(np.abs(costs).max(initial=0)), terms)
        largest = float(np.abs(wide[path]).max(initial=0))
        # a last place of these, over the typical size of the parameter
        floors[path] = copies.eps * max(most_terms[path] / copies.scales[path], largest)
        change = np.abs(slopes - wide[path])
        size = np.abs(wide[path])
        # half a last place, and what the largest change leaves one precision up: where an entry's
        # change is small by luck, the wide result is off as well
        most = float(change.max(initial=0))
        left = 32 * copies.eps / copies.narrow_eps * most + floors[path]
        error[path] = STRETCH * change + copies.narrow_eps / 2 * size + left
        if not most <= LOST * largest:  # the wide result may be as far off: a phase is lost, say
            error[path][...] = np.inf
        sizes[path] = size + 2**10 * floors[path]

    lifts: dict[str, Lift] = {}
    worst = 0.0

    def test(paths: Sequence[str]) -> Lift:
        nonlocal worst
        steps = {p: (wide[p], sizes[p], some[p]) for p in paths}
        for _ in range(DIRECTIONS):
            off, unit = _nonlinearity(copies, steps, rng)
            worst = max(worst, off / unit if off < np.inf else 0.0)
            if not off <= LIFTED * unit:
                return Lift.NARROW
        return Lift.LIFTS

    shown = []
    for path, slopes in wide.items():
        lifts[path] = Lift.HIDDEN if np.isfinite(slopes).all() else Lift.NARROW
        # a cost of exactly 0 does not tell how large its terms are, and so not what they absorb; an
        # infinity as an intermediate result absorbs everything
        told = most_terms[path] > 0 and not copies.overflowed
        told = told and bool((np.abs(slopes) > sizes[path] / 4).any())
        if lifts[path] is Lift.HIDDEN and told:
            shown.append(path)
    groups = [shown[k : k + TOGETHER] for k in range(0, len(shown), TOGETHER)]
    for group in groups:
        found = test(group)
        for path in group:
            alone = found is not Lift.NARROW or len(group) == 1
            lifts[path] = found if alone else test([path])
    # What a few last places of the wide dtype change: much, where a phase is lost in both dtypes.
    shaken = 0.0
    for group in groups if Lift.LIFTS in lifts.values() else []:
        for _ in range(SHAKES):
            steps = {p: (wide[p], sizes[p], some[p]) for p in group}
            off, _ = _nonlinearity(copies, steps, rng, shaken=True)
            shaken = max(shaken, off)
    for path, slopes in wide.items():
        size = np.abs(slopes)
        at_stake = size + float(size.max(initial=0)) / 16  # an entry's terms may have cancelled
        error[path] = error[path] + (2 * shaken * at_stake if shaken < LOST else np.inf)
    return StepRounding(wide, error, lifts, floors, worst)


def _nonlinearity(
    copies: Copies,
    steps: Mapping[str, tuple[Any, Any, IntArray]],
    rng: np.random.Generator,
    *,
    shaken: bool = False,
) -> tuple[float, float]:
    """Return |Im C(v)/h − Σ g v|, and what narrow rounding would make of it, relative to Σ |g v|.

    Steps are the g, sizes to weight them by, and their entries, by path. What is not finite is inf.
    """
    direction = {}
    for path, (slopes, sizes, entries) in steps.items():
        v = np.zeros(copies.values[path].shape, copies.dtype)
        # drawn as products: a mantissa of the wide dtype, of which the narrow one holds but a part
        drawn = rng.uniform(0.75, 1.5, (2, entries.size)).astype(copies.dtype)
        part = np.copysign(drawn[0], slopes) * (1 + drawn[1] * copies.narrow_eps)
        part /= np.where(sizes > 0, sizes, 1) * math.sqrt(entries.size)
        v.reshape(-1)[entries] = part
        direction[path] = v
    # by a power of two, so that no entry moves by more than its array's typical size
    longest = max(float(np.abs(v).max()) / copies.scales[path] for path, v in direction.items())
    shorter = copies.dtype.type(2.0 ** -math.frexp(longest)[1])
    direction = {path: v * shorter for path, v in direction.items()}
    terms = np.concatenate(
        [slopes * direction[p].reshape(-1)[entries] for p, (slopes, _, entries) in steps.items()]
    )  # every entry of v has the sign of its slope, so no term is negative
    total = terms.sum()
    moves = {}
    if shaken:
        for path in copies.values:
            places = SHAKE * copies.eps / copies.narrow_eps * copies.last_places(path)
            signs = 2 * rng.integers(2, size=places.shape) - 1
            moves[path] = copies.box.reflected(path, places * signs)
    found, _ = copies.slope(direction, moves)
    off = float(abs(found / total - 1)) if total else math.inf
    unit = copies.narrow_eps / 4 * float(np.linalg.norm((terms / total).astype(float)))
    return off if off == off else math.inf, unit
