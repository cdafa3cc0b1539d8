"""The error of complex steps: measured one precision up, or estimated where nothing lifts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.finite_differences import WITHIN, draw_direction
from checks.estimation.precision import EVERY, Copies, Lift, coarsest_dtype, wider_dtype
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.estimation.step_rounding import complex_step_rounding
from checks.evaluation.pointwise import Evaluations

__all__ = ["ESTIMATED", "LIFTED", "SAMPLED", "ComplexSteps", "step_errors"]

# How the rounding of an array is known: of every entry one precision up; of a few entries; or not
# one precision up at all, so that it is estimated.
LIFTED, SAMPLED, ESTIMATED = "lifted", "sampled", "estimated"
SOME = 6  # entries of each array are measured where there are more than EVERY in all
SAMPLES = 16  # of a derivative's rounding; the largest of so many is hardly ever far too small
# The error of an entry is its sampled rounding times LEAST + WITH_SIZE · |entry| / largest of the
# array: a small entry may be the difference of large terms, so LEAST stays even for it. Found by
# calibration (benchmarks/calibration.py): with half of either, some intervals miss.
LEAST, WITH_SIZE = 2.5, 3.4
# Factor on what rounding toward zero changes, and on the errors of some entries for all others. Of
# 3,237 entries of random costs, none of them lifted, 36 are outside.
CAUTION = 4.0
LOST = 1e-4  # of the largest: where so much may be lost, smaller parameters tell whether it is
SHRINK = 2.0 ** -np.arange(1, 6)  # powers of two, by which parameters shrink without rounding
# In last places: so little do derivatives change under rounding toward zero that have all digits.
# They must be so small a part of what the cost could lose that a loss would show far above that.
KEPT, SMALL_PART = 64.0, 2.0**30


@dataclass(frozen=True, eq=False)
class ComplexSteps:
    """Complex steps of all entries of an array.

    Attributes
    ----------
    h : float
    slopes : ndarray
        Im C/h, in the array's shape; 0 where not known.
    known : ndarray of bool
        False for entries that an interruption left out.
    largest : float
        The largest |slope|.
    costs : (k,) ndarray
        Re C of the known entries: all equal for a repeatable cost, as h² vanishes.
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
        The cost. In the wider dtype one call is spent on an entry and five on up to four arrays;
        where that does not serve, 16 calls on an array, and one on each entry.
    steps
        The complex steps, by path; unknown ones get an error of inf.
    rng
        Draws directions and entries.
    """
    if not steps:
        return {}
    known = {path: np.flatnonzero(array.known) for path, array in steps.items()}
    few = sum(map(np.size, known.values())) <= EVERY
    probed = known if few else {path: _some(all_, rng) for path, all_ in known.items()}
    errors = {path: np.full(array.slopes.size, np.inf) for path, array in steps.items()}
    lifted: dict[str, FloatArray] = {}
    changed: dict[str, FloatArray] = {}  # at least, where a stage is narrow, or that is doubted
    if few or getattr(evaluations.cost, "at_entries", None) is None:
        lifted, changed = _lifted(evaluations, steps, probed, rng)
    measured = [path for path in lifted if few]
    # a stage of other arrays, if it is narrow, rounds a factor of these derivatives alike in both
    all_lift = all(path in lifted for path, value in evaluations.values.items() if value.size)
    places = 0.0 if all_lift else CAUTION * float(np.finfo(float).eps)
    for path in measured:
        size = np.abs(steps[path].slopes.reshape(-1)[known[path]])
        errors[path][known[path]] = lifted[path] + places * size
    others = {path: array for path, array in steps.items() if path not in measured}
    sampled = _sampled(evaluations, others, rng)
    cut = _toward_zero(evaluations, {p: a for p, a in others.items() if p not in lifted}, probed)
    for path, array in others.items():
        size = np.abs(array.slopes.reshape(-1)[known[path]])
        error = (LEAST + WITH_SIZE * size / array.largest) * sampled[path]
        if path in lifted:
            at_stake = size + array.largest / 16  # an entry's terms may have cancelled
            of_probed = np.abs(array.slopes.reshape(-1)[probed[path]]) + array.largest / 16
            error = np.maximum(error, CAUTION * (lifted[path] / of_probed).max() * at_stake)
        else:
            least = np.maximum(CAUTION * cut[path], changed.get(path, 0.0))
            error = np.maximum(error, least if few else least.max())
            # a last place of the cost over the size of the parameters: derivatives that small are
            # lost where the function adds them to others
            eps = float(np.finfo(evaluations.complex_dtype(path)).eps)
            floor = eps * abs(float(evaluations.at_point)) / evaluations.scales[path]
            small = size < eps ** (-2 / 3) * floor  # the samples move the rounding of others
            if small.any() and (
                floor < LOST * array.largest or not _keeps_digits(evaluations, path, array)
            ):
                error = error + small * floor
        errors[path][known[path]] = error
    how = {p: LIFTED if p in measured else SAMPLED if p in lifted else ESTIMATED for p in steps}
    return {path: (errors[path], how[path]) for path in steps}


def _some(entries: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a few of the entries."""
    return np.sort(rng.choice(entries, min(SOME, entries.size), replace=False))


def _lifted(
    evaluations: Evaluations,
    steps: Mapping[str, ComplexSteps],
    entries: Mapping[str, IntArray],
    rng: np.random.Generator,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return the errors of some entries, by path, of arrays that lift, and of those that do not."""
    wide = wider_dtype(coarsest_dtype(evaluations.values))
    if wide is None:
        return {}, {}
    copies = Copies(
        evaluations.cost, evaluations.nesting, evaluations.values, wide, evaluations.box
    )
    slopes = {path: array.slopes.reshape(-1)[entries[path]] for path, array in steps.items()}
    try:
        found = complex_step_rounding(slopes, evaluations.at_point, copies, rng, entries)
    finally:
        evaluations.count += copies.calls
    # the next float64, as an error is rounded up
    errors = {path: np.nextafter(e.astype(float), np.inf) for path, e in found.error.items()}
    lifted = {path: e for path, e in errors.items() if found.lifts[path] is Lift.LIFTS}
    narrow = {path: e for path, e in errors.items() if found.lifts[path] is Lift.NARROW}
    return lifted, {path: e for path, e in narrow.items() if np.isfinite(e).all()}


def _toward_zero(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], entries: Mapping[str, IntArray]
) -> dict[str, FloatArray]:
    """Return by how much some entries change, by path, where every operation rounds toward zero."""
    if not steps or not toward_zero_is_available():
        return {path: np.zeros(entries[path].size) for path in steps}
    copies = _narrow(evaluations)
    try:
        return {
            path: np.abs(
                copies.slopes(path, entries[path], toward_zero=True)[0]
                - array.slopes.reshape(-1)[entries[path]]
            ).astype(float)
            for path, array in steps.items()
        }
    finally:
        evaluations.count += copies.calls


def _keeps_digits(evaluations: Evaluations, path: str, array: ComplexSteps) -> bool:
    """Whether small derivatives by an array have all digits where the parameters are smaller.

    As of tanh at 25: at half of that the derivative is a small part of the cost, but as accurate as
    any other. A softmax of logits as far apart has lost digits there, and rounding toward zero
    shows it.
    """
    if not toward_zero_is_available():
        return False
    copies = _narrow(evaluations)
    slopes = array.slopes.reshape(-1)
    entries = np.argsort(-np.abs(slopes))[:SOME]
    try:
        for shrink in SHRINK:
            moves = evaluations.box.shrunken(shrink)
            slopes, costs = copies.slopes(path, entries, moves)
            size = np.abs(slopes)
            floor = copies.eps * float(np.abs(costs).max()) / (shrink * evaluations.scales[path])
            if size.max() > floor:
                cut, _ = copies.slopes(path, entries, moves, toward_zero=True)
                kept = np.abs(cut - slopes) <= KEPT * copies.eps * size
                return bool(size.max() < floor * SMALL_PART and kept.all())
        return False
    finally:
        evaluations.count += copies.calls


def _narrow(evaluations: Evaluations) -> Copies:
    """Return the cost of copies in the finest dtype of the parameters."""
    dtype = np.result_type(*(value.dtype for value in evaluations.values.values()))
    return Copies(evaluations.cost, evaluations.nesting, evaluations.values, dtype, evaluations.box)


def _sampled(
    evaluations: Evaluations, steps: Mapping[str, ComplexSteps], rng: np.random.Generator
) -> dict[str, float]:
    """Return the rounding of a single derivative by each array; inf where the cost is not finite.

    The derivative along a random direction of one array is taken by complex steps at two points, to
    either side, and their mean is compared with Σ slope · direction. The points of the nearest pair
    are a last place off, the others up to so many that the cost itself moves by a last place: over
    fewer, what it rounds may stay the same. An entry that has room on one side alone is moved there
    by a last place.
    """
    if not steps:
        return {}
    narrowest = np.concatenate(
        [np.minimum(*evaluations.box.room(path)).reshape(-1) for path in evaluations.values]
    )
    last_places = np.concatenate([_last_places(evaluations, path) for path in evaluations.values])
    # random h, so that imaginary parts round differently even where real parts do not change
    h = rng.uniform(1, 2, len(steps) * SAMPLES)
    h *= np.repeat([array.h for array in steps.values()], SAMPLES)
    seeds = rng.integers(2**32, size=h.size // 2)
    farthest = [_elasticity_places(evaluations, path, a.largest) for path, a in steps.items()]
    places = np.concatenate([np.geomspace(1, most, SAMPLES // 2) for most in farthest])
    expected = np.empty(h.size)  # Σ slope · direction
    paths = list(steps)

    def moves(samples: IntArray) -> dict[str, Any]:
        """Move every parameter by last places up or down, and one array by i h · direction."""
        moved = np.zeros((samples.size, last_places.size), complex)
        by_path = evaluations.split(moved)
        for row, sample in enumerate(samples):
            of_pair = np.random.default_rng(seeds[sample // 2])
            up = of_pair.integers(2, size=last_places.size) - 0.5
            side = 1 if sample % 2 else -1
            distance = places[sample // 2] * last_places
            distance = np.where(distance <= WITHIN * narrowest, distance, last_places)
            moved.real[row] = np.copysign(distance, side * up)
            path = paths[sample // SAMPLES]
            array = steps[path]
            direction = draw_direction(array.slopes.shape, of_pair) * array.known
            expected[sample] = np.vdot(array.slopes, direction)
            by_path[path].imag[row] = direction * h[sample]
        for path, part in by_path.items():
            part.real = evaluations.box.reflected(path, part.real)
        return by_path

    costs = evaluations.costs_moved(np.arange(h.size), moves)
    of_pairs = (costs.imag / h - expected).reshape(len(steps), -1, 2).mean(axis=2)
    deviations = np.abs(of_pairs).max(axis=1)
    rounding = {}
    for (path, array), deviation in zip(steps.items(), deviations.tolist(), strict=True):
        # a sum over m entries deviates by √m times the rounding of one, which is at least the last
        # place of the largest
        last_place = np.finfo(evaluations.complex_dtype(path)).eps * array.largest
        of_one = deviation / math.sqrt(np.count_nonzero(array.known)) + last_place
        rounding[path] = of_one if math.isfinite(of_one) else math.inf
    return rounding


def _elasticity_places(evaluations: Evaluations, path: str, slope: float) -> float:
    """Return by how many last places an array moves where the cost moves by one.

    At most eps^-⅓: then the second derivative, of which the mean of two sides keeps the square of
    the distance, stays below eps.
    """
    eps = float(np.finfo(evaluations.complex_dtype(path)).eps)
    cost = abs(float(evaluations.at_point))
    change = slope * evaluations.scales[path]
    return float(np.clip(cost / change if change else np.inf, 1, eps ** (-1 / 3)))


def _last_places(evaluations: Evaluations, path: str) -> FloatArray:
    """Return the last place of every entry of an array, and for zeros that of a typical entry."""
    values = evaluations.values[path].reshape(-1)
    return np.spacing(np.where(values == 0, values.dtype.type(evaluations.scales[path]), values))
