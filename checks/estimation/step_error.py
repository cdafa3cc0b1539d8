"""The rounding error of complex steps, measured in a wider dtype or estimated in the narrow one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.cost_rounding import cost_rounding
from checks.estimation.finite_differences import WITHIN, Estimate, draw_direction
from checks.estimation.precision import (
    EVERY,
    NODES,
    Copies,
    Lift,
    coarsest_dtype,
    copies_of,
    off_a_polynomial,
    real_if_possible,
    wider_dtype,
)
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.estimation.step_rounding import STRETCH, complex_step_rounding
from checks.evaluation.pointwise import MAX_NUMBERS, Evaluations
from checks.evaluation.step_sizes import entry_sizes, random_signs

__all__ = [
    "CAUTION",
    "ESTIMATED",
    "LIFTED",
    "SAMPLED",
    "ComplexSteps",
    "cover_factors",
    "step_errors",
]

# How the rounding of an array's derivatives is known: measured in the wider dtype for every entry;
# measured for SOME entries; or estimated from calls in the narrow dtype.
LIFTED, SAMPLED, ESTIMATED = "lifted", "sampled", "estimated"
SHARED_EVERY = 32  # instead of EVERY for a function with many results: a call tells of all of them
SHARED_SOME = 4  # instead of SOME for such a function
AT_ONCE = 1024  # instead of EVERY for an analytic cost that moves all entries of an array at once
SOME = 6  # entries measured of each array, if there are more than EVERY in all arrays
FEW_PLACES = 64  # arrays that together round by more last places are sampled one by one
SAMPLES = 16  # samples of a rounding: the largest of so many is hardly ever far too small
# The error of an entry is the sampled rounding times (LEAST + WITH_SIZE · |entry| / largest of its
# array). LEAST keeps small entries safe, which may be differences of large terms. Found by
# calibration (benchmarks/calibration.py): with half of either, some intervals miss.
LEAST, WITH_SIZE = 2.5, 3.4
# The error is CAUTION times the change by rounding toward zero, or CAUTION times the error measured
# for other entries. Of 3,237 entries of random costs that did not lift, 36 were off by more than
# their error.
CAUTION = 4.0
# Steps are also tried at points along lines as long as these parts of the parameters' size. What
# such a line leaves of a polynomial of degree 4 falls by 2^-20 from each to the next; if it is
# rounding, by no more than FALLS. Points are multiples of 1/UNITS of the line.
CLOSE, FALLS, UNITS = (2.0**-12, 2.0**-16, 2.0**-20), 2.0**-8, 32
# Up to STEADY last places, all steps round like that. What is left counts UNSTEADY times, where it
# is more than 1/BESIDE of the error.
STEADY, UNSTEADY, BESIDE = 8.0, 4.0, 2.0
# Rounding toward zero is also tried at POINTS points as far away as this part of the parameters: a
# factor with few digits may be rounded toward zero at the point by chance. Changes up to ORDINARY
# last places are in the errors already.
NEARBY, POINTS, ORDINARY = 2.0**-6, 6, 2.0**10
# Derivatives below a floor may be lost to rounding. A floor above this part of the largest
# derivative would blur many, so `_keeps_digits` tests whether anything is lost.
LARGE_FLOOR = 1e-4
SHRINK = 2.0 ** -np.arange(1, 6)  # powers of two, by which parameters shrink without rounding
# Derivatives that have all their digits change by at most KEPT last places when rounding is toward
# zero. The test needs derivatives below SMALL_PART floors: losing one floor would change these by
# 2^-30 of themselves, which is far more than 64 last places (2^-46).
KEPT, SMALL_PART = 64.0, 2.0**30


@dataclass(frozen=True, eq=False)
class ComplexSteps:
    """Complex steps of all entries of an array.

    Attributes
    ----------
    h : float
        The length of the steps.
    slopes : ndarray
        Im C/h, in the array's shape; 0 where not known.
    known : ndarray of bool
        False for entries that an interruption left out.
    largest : float
        The largest |slope|.
    costs : (k,) ndarray
        Re C at the steps of known entries: equal for a repeatable cost, as h² is lost to rounding.
    """

    h: float
    slopes: FloatArray
    known: NDArray[np.bool_]
    largest: float
    costs: FloatArray


def step_errors(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> dict[str, tuple[FloatArray, str]]:
    """Return the errors of complex steps, (m,), and how they are known, by path.

    Parameters
    ----------
    evaluations
        The cost. Each entry takes one call in the wider dtype, and up to four arrays together five.
        An array that does not lift takes 16 calls more, and one for each entry; all such arrays
        together take nine.
    steps
        The complex steps, by path; the error of unknown ones is inf.
    rng
        Draws directions and entries.
    """
    if not steps:
        return {}
    known = {path: array.known.ravel().nonzero()[0] for path, array in steps.items()}
    every = SHARED_EVERY if evaluations.shared else EVERY
    moves_many = getattr(evaluations.cost, "at_entries", None) is not None
    if moves_many and getattr(evaluations.cost, "analytic", False):
        every = AT_ONCE
    few = sum(map(np.size, known.values())) <= every
    some = SHARED_SOME if evaluations.shared else SOME
    probed = known if few else {path: _some(all_, rng, some) for path, all_ in known.items()}
    errors = {path: np.full(array.slopes.size, np.inf) for path, array in steps.items()}
    lifted: dict[str, FloatArray] = {}
    wide_changes: dict[str, FloatArray] = {}
    no_narrow_stage = set[str]()
    if few or not moves_many:
        lifted, wide_changes, no_narrow_stage = _lifted(evaluations, steps, probed, rng)
    measured = [path for path in lifted if few]
    # If another array does not lift, a factor of these derivatives may be rounded alike in both
    # dtypes, which the measured error misses. So what rounding toward zero changes counts too, and
    # samples do where an array has a narrow stage.
    unlifted = {p for p, value in evaluations.values.items() if value.size and p not in lifted}
    certain = set(lifted).difference(measured if unlifted else ())
    estimated = {path: array for path, array in steps.items() if path not in certain}
    changes = _changes_toward_zero(evaluations, estimated, probed)
    # where costs share evaluations, entries measured in the wider dtype take the place of samples
    unsampled = set(lifted if evaluations.shared else measured)
    if unlifted - no_narrow_stage and not evaluations.shared:
        unsampled = set()
    sampled = _sampled(evaluations, {p: a for p, a in steps.items() if p not in unsampled}, rng)
    for path, array in steps.items():
        if path in measured and not unlifted:
            errors[path][known[path]] = lifted[path]
            continue
        size = np.abs(array.slopes.ravel()[known[path]])
        of_samples = sampled.get(path, 0.0)
        error = (LEAST + WITH_SIZE * size / array.largest) * of_samples
        if path in measured:
            # a factor that rounds alike makes an error in proportion to the entry
            of_factor = max(float(np.finfo(float).eps), of_samples / array.largest) * size
            error = np.asarray(lifted[path] + CAUTION * np.maximum(changes[path], of_factor))
        elif path in lifted:
            # The error is taken as proportional to |entry| + largest/16, because a small entry may
            # be the difference of larger terms. The worst measured entry gives the factor.
            of_terms = size + array.largest / 16
            of_probed = np.abs(array.slopes.ravel()[probed[path]]) + array.largest / 16
            error = np.maximum(error, CAUTION * (lifted[path] / of_probed).max() * of_terms)
        else:
            least = CAUTION * changes[path] + STRETCH * wide_changes.get(path, 0.0)
            error = np.maximum(error, least if few else least.max())
            # The floor is the derivative that changes the cost by a last place over a typical
            # parameter. Smaller ones are lost if the cost adds them to its largest terms.
            eps = float(np.finfo(evaluations.complex_dtype(path)).eps)
            floor = eps * abs(float(evaluations.at_point)) / evaluations.scales[path]
            small = size < eps ** (-2 / 3) * floor  # larger ones show their rounding in the samples
            if small.any() and (
                floor < LARGE_FLOOR * array.largest or not _keeps_digits(evaluations, path, array)
            ):
                error = error + small * floor
        errors[path][known[path]] = error
    if unlifted and few and not evaluations.shared:
        _cover_unsteady(evaluations, steps, errors, rng)
    how = {p: LIFTED if p in measured else SAMPLED if p in lifted else ESTIMATED for p in steps}
    return {path: (errors[path], how[path]) for path in steps}


def _some(entries: IntArray, rng: np.random.Generator, some: int = SOME) -> IntArray:
    """Return a few of the entries."""
    return np.sort(rng.choice(entries, min(some, entries.size), replace=False))


def _lifted(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    entries: Mapping[str, IntArray],
    rng: np.random.Generator,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], set[str]]:
    """Measure the errors of some entries in the wider dtype.

    Return, by path, the errors of arrays that lift, and by how much the steps of the others change
    in the wider dtype, where they are known there; and which arrays show no narrow stage. Arrays
    without complex steps are tested by real moves.
    """
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    widest = getattr(evaluations.cost, "widest", wide)
    if wide is None or np.finfo(wide).eps < np.finfo(widest).eps:
        return {}, {}, set()
    copies = copies_of(evaluations, wide)
    slopes = {path: array.slopes.ravel()[entries[path]] for path, array in steps.items()}
    try:
        found = complex_step_rounding(slopes, evaluations.at_point, copies, rng, entries)
        lifts = dict(found.lifts)
        for path, value in evaluations.values.items():
            if value.size and path not in steps:
                lifts[path] = cost_rounding(evaluations.at_point, copies, rng, paths=[path]).lift
    finally:
        evaluations.count += copies.calls
    lifted, others = {}, {}
    for path, change in found.change.items():
        if found.lifts[path] is Lift.LIFTS:  # rounded up to float64
            lifted[path] = np.nextafter(found.error[path].astype(float), np.inf)
        elif np.isfinite(change).all():
            others[path] = change.astype(float)
    return lifted, others, {path for path, lift in lifts.items() if lift is not Lift.NARROW}


def _changes_toward_zero(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], entries: Mapping[str, IntArray]
) -> dict[str, FloatArray]:
    """Return how much the steps of some entries change, by path, by rounding toward zero."""
    if not steps or not toward_zero_is_available():
        return {path: np.zeros(entries[path].size) for path in steps}
    copies = copies_of(evaluations)
    try:
        truncated, _ = copies.slopes({p: entries[p] for p in steps}, toward_zero=True)
    finally:
        evaluations.count += copies.calls
    return {
        path: np.abs(truncated[path] - array.slopes.ravel()[entries[path]]).astype(float)
        for path, array in steps.items()
    }


def _cover_unsteady(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    errors: Mapping[str, FloatArray],
    rng: np.random.Generator,
) -> None:
    """Widen errors, by path, of steps that leave a smooth function of the parameters near by.

    A factor of all steps that a narrow stage gives, as (e^z − 1)/z of a buffer of np.zeros, rounds
    alike over many last places of z, and some functions of numpy do not follow the rounding mode.
    """
    _widen(steps, errors, lambda some: _unsteady_part(evaluations, some, rng))


def _widen(
    steps: Mapping[str, ComplexSteps],
    errors: Mapping[str, FloatArray],
    part_of: Callable[[Mapping[str, ComplexSteps]], float],
) -> None:
    """Widen errors, by path and in place, to UNSTEADY times the part that steps are off by.

    The part of all steps together is asked first, and then that of each array whose error is too
    small for it.
    """
    part = part_of(steps)
    for path, array in steps.items():
        size, error = np.abs(array.slopes.ravel()), errors[path]
        if (BESIDE * part * size > error).any():
            its_part = part_of({path: array}) if len(steps) > 1 else part
            error[...] = np.maximum(error, UNSTEADY * its_part * size)


def _unsteady_part(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> float:
    """Return by what part of themselves steps leave a smooth function of all parameters.

    All arrays are stepped at once, each by as much as the others, so that the part of one array is
    at most their number times the part of their sum. A part that falls as fast as the rest of a
    Taylor series, when the line becomes shorter, is none of rounding.
    """
    copies = copies_of(evaluations)
    direction, longest = _aligned(steps, copies, rng)
    sides = _sides(evaluations, rng)
    # all on one side of the point, which may be a kink
    nodes, part = np.round(UNITS * (1.1 + NODES) / 2), math.inf
    try:
        for close in CLOSE:
            if close < UNITS**2 * copies.eps:
                break
            units, slopes = dict[str, FloatArray](), list[float]()
            for path, side in sides.items():
                # whole last places, so that no parameter is rounded as it is moved
                places = 4 * copies.last_places(path)
                unit = np.trunc(close / UNITS * side / places) * places
                units[path] = evaluations.box.reflected(path, unit, reach=UNITS)
            for node in nodes:
                moves = {path: node * unit for path, unit in units.items()}
                slopes.append(float(copies.slope(direction, moves)[0]))
            if not np.isfinite(slopes).all():
                return 0.0
            before = part
            part = off_a_polynomial(nodes / UNITS, np.array(slopes)) * longest
            if part <= STEADY * copies.eps or part > FALLS * before:
                break
    finally:
        evaluations.count += copies.calls
    return part if STEADY * copies.eps < part < math.inf else 0.0


def cover_factors(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    estimates: Mapping[str, Estimate],
    rng: np.random.Generator,
) -> None:
    """Widen errors of arrays that lift, in place, for digits that a factor of all steps has lost.

    Such a factor is 1 − σ(z) of a Python float z, at z = 31. Differences have it too, and do not
    show it. Nothing is done where all arrays lift, of several results, and of more than `EVERY`
    parameters; elsewhere it takes twelve calls, and twelve for each of several arrays that need it.
    """
    lifted = [path for path, estimate in estimates.items() if estimate.precision == LIFTED]
    unlifted = any(v.size for path, v in evaluations.values.items() if path not in lifted)
    few = evaluations.size <= EVERY and not evaluations.shared
    if not (lifted and unlifted and few and toward_zero_is_available()):
        return
    errors = {path: estimates[path].error for path in lifted}
    some = {path: steps[path] for path in lifted}
    _widen(some, errors, lambda some: _truncated_part(evaluations, some, rng))


def _truncated_part(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> float:
    """Return by what part of themselves steps change near by if rounding is toward zero."""
    copies, part = copies_of(evaluations), 0.0
    direction, _ = _aligned(steps, copies, rng)
    copies.follow = real_if_possible  # arrays that are not stepped may be refused if complex
    try:
        for _ in range(POINTS):
            far, sides = NEARBY * rng.uniform(-1, 1), _sides(evaluations, rng)
            moves = {p: evaluations.box.clipped(p, far * side) for p, side in sides.items()}
            nearest, truncated = (
                float(copies.slope(direction, moves, toward_zero=mode)[0]) for mode in (False, True)
            )
            if nearest and math.isfinite(truncated - nearest):
                part = max(part, abs(truncated / nearest - 1))
    finally:
        evaluations.count += copies.calls
    return part if part > ORDINARY * copies.eps else 0.0


def _aligned(
    steps: Mapping[str, ComplexSteps], copies: Copies, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], float]:
    """Return a direction along which arrays add alike to the derivative, and 1 over what each adds.

    At the farthest an entry moves by the typical size of its array.
    """
    direction = dict[str, FloatArray]()
    for path, array in steps.items():
        aligned = np.copysign(draw_direction(array.slopes.shape, rng) * array.known, array.slopes)
        direction[path] = aligned / float((aligned * array.slopes).sum())
    longest = max(float(np.abs(v).max()) / copies.scales[p] for p, v in direction.items())
    return {path: v / longest for path, v in direction.items()}, longest


def _sides(evaluations: Evaluations, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return a random move of all arrays, each entry by about its size."""
    sides = dict[str, FloatArray]()
    for path, value in evaluations.values.items():
        side = entry_sizes(value) * random_signs(value.shape, rng)
        sides[path] = side * rng.uniform(0.75, 1.5, value.shape)
    return sides


def _keeps_digits(evaluations: Evaluations, path: str, array: ComplexSteps) -> bool:
    """Whether derivatives by an array that are below the floor have all their digits nevertheless.

    This is tested at smaller parameters, where they are larger. tanh at 25 keeps its digits: its
    derivative at 12.5 is small beside the cost, but rounding toward zero changes no more than its
    last places. A softmax of logits 25 apart loses them: there it changes more.
    """
    if not toward_zero_is_available():
        return False
    copies = copies_of(evaluations)
    slopes = array.slopes.ravel()
    entries = {path: np.argsort(-np.abs(slopes))[:SOME]}
    try:
        for shrink in SHRINK:
            moves = evaluations.box.shrunken(shrink)
            slopes, costs = (of[path] for of in copies.slopes(entries, moves))
            size = np.abs(slopes)
            floor = copies.eps * float(np.abs(costs).max()) / (shrink * evaluations.scales[path])
            if size.max() > floor:
                truncated, _ = copies.slopes(entries, moves, toward_zero=True)
                kept = np.abs(truncated[path] - slopes) <= KEPT * copies.eps * size
                return bool(size.max() < floor * SMALL_PART and kept.all())
        return False
    finally:
        evaluations.count += copies.calls


def _sampled(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> dict[str, float]:
    """Return the rounding of a single derivative by each array; inf where the cost is not finite.

    All arrays are sampled together. Each is sampled alone if that shows more than a few last
    places, which may be those of one array, or if directions must not depend on the steps.
    """
    eps = {p: float(np.finfo(evaluations.complex_dtype(p)).eps) for p in steps}
    together = len(steps) > 1 and len({array.h for array in steps.values()}) == 1
    of_all = math.inf
    if together and not evaluations.shared:
        of_all = _relative_rounding(evaluations, steps, rng)
    relative = dict.fromkeys(steps, of_all)
    for path in steps:
        if relative[path] > FEW_PLACES * eps[path]:
            relative[path] = _relative_rounding(evaluations, {path: steps[path]}, rng)
    # a last place is added, as the samples may round alike
    return {path: (relative[path] + eps[path]) * array.largest for path, array in steps.items()}


def _relative_rounding(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> float:
    """Return the rounding of a single derivative, relative to the largest by the same array.

    A sample is the derivative along a random direction of some arrays, by complex steps at two
    points on opposite sides of the point. Their mean is compared with Σ slope · direction. All
    parameters move: by one last place for the first pair of points, and by many for the last.
    Beside a bound, an entry moves by one.
    """
    box, entries = evaluations.box, evaluations.entries
    narrowest = np.minimum(box.below, box.above)
    last_places = entries.joined({p: _last_places(evaluations, p) for p in evaluations.values})
    cramped = last_places > WITHIN * narrowest
    inward = np.where(cramped, box.reflected_all(last_places), 0)
    places = _places(evaluations.eps)
    # A sum over m entries is off by √m times the rounding of one. Arrays with larger sums move
    # less, so that the sums of all arrays are of one size.
    sums = {p: a.largest * math.sqrt(np.count_nonzero(a.known)) for p, a in steps.items()}
    size = min(sums.values())
    slopes, weights = np.zeros(evaluations.size), np.zeros(evaluations.size)
    for path, array in steps.items():
        slopes[entries.slices[path]] = array.slopes.ravel()
        weights[entries.slices[path]] = array.known.ravel() * (size / sums[path])
    pairs = max(1, MAX_NUMBERS // (2 * evaluations.size))  # that are drawn at once
    deviations = []
    for first in range(0, places.size, pairs):
        up = np.multiply.outer(places[first : first + pairs], last_places)
        np.copyto(up, last_places, where=up > WITHIN * narrowest)
        up[:, cramped] = 0
        np.negative(up, out=up, where=rng.integers(2, size=up.shape, dtype=bool))
        directions = draw_direction(up.shape, rng)
        directions *= weights
        # random h, so that imaginary parts round differently even where real parts do not change
        h = rng.uniform(1, 2, 2 * len(up)) * next(iter(steps.values())).h

        def moves(
            samples: IntArray, up: FloatArray = up, v: FloatArray = directions, h: FloatArray = h
        ) -> Any:
            """Return moves of every parameter by last places, and of some by i h · direction."""
            pair, side = np.divmod(samples, 2)
            moved = np.empty((samples.size, evaluations.size), complex)
            np.multiply(up[pair], (2 * side - 1)[:, None], out=moved.real)
            moved.real += inward
            np.multiply(v[pair], h[samples, None], out=moved.imag)
            return moved

        costs = evaluations.costs_moved(np.arange(h.size), moves)
        found = (costs.imag / h).reshape(-1, 2).mean(axis=1)
        deviations.append(float(np.abs(found - directions @ slopes).max()))
    return max(deviations) / size if math.isfinite(sum(deviations)) else math.inf


@cache
def _places(eps: float) -> FloatArray:
    """Return by how many last places each pair of samples moves the parameters.

    The farthest pair is at eps^⅔ of the parameters, so that what curvature adds to the mean of both
    sides, eps^(4/3), is below rounding. Over fewer last places it may round as before.
    """
    return np.rint(np.geomspace(1, eps ** (-1 / 3), SAMPLES // 2))


def _last_places(evaluations: Evaluations, path: str) -> FloatArray:
    """Return the last place of every entry of an array, and for zeros a typical one."""
    values = evaluations.values[path].ravel()
    return np.spacing(np.where(values == 0, values.dtype.type(evaluations.scales[path]), values))
