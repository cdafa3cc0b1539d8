"""Complex step with an error: Im C(θ + ih)/h (Squire and Trapp 1998), tested before trusted."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.finite_differences import Estimate, directional_difference, draw_direction
from checks.estimation.noise import CostNoise, Noise
from checks.evaluation.pointwise import Evaluations

__all__ = ["PROOF", "complex_step", "incapable"]

# Differences this accurate, and agreeing, prove that the cost carries imaginary parts through.
PROOF = 1e-3
SHRINK = (1, 2.0**-2, 2.0**-4)
SAMPLES = 16  # of the derivative's rounding; the largest of them is hardly ever far too small
# Rounding of an entry against the rounding sampled: at least so much, as entries far smaller than
# the array's largest may be what is left of large terms, and so much more for the largest. Found
# by calibration (benchmarks/calibration.py): halved, both leave intervals that miss.
AT_LEAST, WITH_SIZE = 2.5, 3.4


def complex_step(
    evaluations: Evaluations, noise: CostNoise, rng: np.random.Generator
) -> dict[str, Estimate]:
    """Estimate the derivatives of the cost by the arrays in which it is capable of that.

    abs, comparisons, maxima, casts and ``.real`` drop the imaginary part without a word, and a C
    extension may refuse it, so nothing short of agreement with central differences will do. They
    are taken along one direction of all arrays, aligned with the estimates so that these add up,
    and random in length so that what complex moves miss of several entries does not cancel.

    Nothing is subtracted, so an entry is right to the rounding of the derivative's own arithmetic.
    That is sampled: along directions of one array, at points a last place away.

    Parameters
    ----------
    evaluations
        The cost; one evaluation is spent on an entry, 16 on an array, and about ten on the proof.
    noise
        Of the cost; it can only hide that differences agree, and is measured where they do not, or
        where two values of the cost at the point differ.
    rng
        Draws directions and samples.

    Returns
    -------
    dict of str to Estimate
        By path, (m,) values and errors; without the arrays in which the cost is not capable, or
        cannot be shown to be.
    """
    direction = evaluations.split(draw_direction(evaluations.size, rng))
    steps = _steps(evaluations, direction)
    if not steps:
        return {}
    try:
        noise.compare(np.concatenate([array.costs for array in steps.values()]))
        return _proven(evaluations, steps, direction, noise, rng)
    except KeyboardInterrupt:
        if not evaluations.accept_interrupt():
            raise
        # once more, for it is short, and without it nothing is known
        return _proven(evaluations, steps, direction, noise, rng)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Complex steps of an array.

    Attributes
    ----------
    h : float
    slopes : ndarray
        Im C/h, in the array's shape; 0 where not known.
    known : ndarray of bool
        Where no interruption came first.
    largest : float
        Of the slopes' sizes.
    costs : (k,) ndarray
        Re C, where known: the same of a cost that repeats itself.
    """

    h: float
    slopes: FloatArray
    known: NDArray[np.bool_]
    largest: float
    costs: FloatArray


def _steps(evaluations: Evaluations, direction: Mapping[str, FloatArray]) -> dict[str, _Steps]:
    """Return complex steps by the arrays in which there are any."""
    steps: dict[str, _Steps] = {}
    least = 1j * min(map(evaluations.complex_step, evaluations.values))
    try:
        if not getattr(evaluations.cost, "analytic", False):
            moves = {path: least * move for path, move in direction.items()}
            if not evaluations.along(moves).imag:
                return steps
        for path, value in evaluations.values.items():
            h, entries = evaluations.complex_step(path), np.arange(value.size)
            costs = evaluations.at_entries(path, entries, np.full((value.size, 1), 1j * h))
            slopes = costs.imag.reshape(value.shape) / h
            known = np.isfinite(slopes)
            if not known.all():
                if not evaluations.interrupted:
                    continue
                slopes = np.where(known, slopes, 0)
            if largest := float(np.abs(slopes).max(initial=0)):
                steps[path] = _Steps(h, slopes, known, largest, costs.real[known.reshape(-1)])
    except Exception as error:  # whatever a cost says of complex numbers, it is not capable of them
        evaluations.outside = f"{type(error).__name__}: {error}"
        return {}
    return steps


def _proven(
    evaluations: Evaluations,
    steps: Mapping[str, _Steps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return the slopes that differences agree with, with their errors."""
    proofs = _proofs(evaluations, steps, direction, noise)
    estimates = {}
    for path, rounding in _rounding(evaluations, {p: steps[p] for p in proofs}, rng).items():
        array = steps[path]
        error = (AT_LEAST + WITH_SIZE * np.abs(array.slopes) / array.largest) * rounding
        if error.max() <= PROOF * array.largest:  # else of no use: differences name a kink, say
            estimates[path] = Estimate(
                np.where(array.known, array.slopes, np.nan).reshape(-1),
                np.where(array.known, error, np.inf).reshape(-1),
                method="complex-step",
                proof=proofs[path],
            )
    return estimates


def _proofs(
    evaluations: Evaluations,
    steps: Mapping[str, _Steps],
    direction: Mapping[str, FloatArray],
    noise: CostNoise,
) -> dict[str, float]:
    """Return how closely differences agree with each array in which they do.

    At the point or, where the cost is blurred or too flat there, as where it is saturated, with
    smaller parameters: the code is the same. All arrays move at once while that shows enough.
    """
    directions = {}
    for path, array in steps.items():
        aligned = np.copysign(direction[path], array.slopes) * evaluations.scales[path]
        directions[path] = aligned * array.known
    proofs: dict[str, float] = {}
    left = list(steps)
    for shrink in SHRINK:
        groups = [left] if left else []
        while groups:
            some = {path: directions[path] for path in groups.pop()}
            assumed = noise.known
            found = _proof(evaluations, some, steps, shrink, assumed)
            if found is None or len(found) < len(some):
                level = noise.measured.level
                # of more noise, disagreement says nothing; of less, more shows
                if level > assumed.level if found is None else level < assumed.level:
                    groups.append([*some])
                    continue
            if found is None and len(some) == 1:
                left = [path for path in left if path not in some]
            else:
                proofs |= found or {}
                # one of them is to blame, or moves further alone
                groups += [[path] for path in some if path not in proofs and len(some) > 1]
        left = [path for path in left if path not in proofs]
    return proofs


def _proof(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    steps: Mapping[str, _Steps],
    shrink: float,
    noise: Noise,
) -> dict[str, float] | None:
    """Return how closely differences agree with each array for which that shows.

    None where they do not, or do not settle: what complex moves give is no derivative.
    """
    base: dict[str, FloatArray] = {}
    if shrink != 1:
        base = {path: (shrink - 1) * value for path, value in evaluations.values.items()}
    parts = {}
    for path, direction in directions.items():
        array = steps[path]
        if base:
            moves: dict[str, Any] = {**base, path: base[path] + 1j * array.h * direction}
            parts[path] = float(evaluations.along(moves).imag / array.h)
        else:
            parts[path] = float(np.vdot(array.slopes, direction))
    value, error = directional_difference(evaluations, directions, noise, base)
    if not abs(sum(parts.values()) - value) <= error < np.inf:
        return None
    return {path: error / abs(p) for path, p in parts.items() if error <= PROOF * abs(p) > 0}


def _rounding(
    evaluations: Evaluations, steps: Mapping[str, _Steps], rng: np.random.Generator
) -> dict[str, float]:
    """Return the rounding of one derivative by each array, inf where it cannot be had."""
    if not steps:
        return {}
    last_places = np.concatenate([_last_places(evaluations, path) for path in evaluations.values])
    # imaginary parts round differently when stretched, also where real ones stay
    h = rng.uniform(1, 2, len(steps) * SAMPLES)
    h *= np.repeat([array.h for array in steps.values()], SAMPLES)
    here = np.empty(h.size)  # along the same directions

    def moves(rows: IntArray) -> dict[str, Any]:
        """Return moves of a last place in every parameter, with an imaginary part in one array."""
        moved = np.empty((rows.size, last_places.size), complex)
        up = rng.integers(2, size=moved.shape, dtype=bool)
        np.copysign(last_places, up - 0.5, out=moved.real)
        moved.imag = 0
        several = evaluations.split(moved)
        for n, (path, array) in enumerate(steps.items()):
            mine = rows[(n * SAMPLES <= rows) & (rows < (n + 1) * SAMPLES)]
            if mine.size:
                weights = draw_direction((mine.size, *array.slopes.shape), rng) * array.known
                here[mine] = weights.reshape(mine.size, -1) @ array.slopes.reshape(-1)
                several[path].imag[mine - rows[0]] = (weights.T * h[mine]).T
        return several

    costs = evaluations.along_each(np.arange(h.size), moves)
    off = np.abs(costs.imag / h - here).reshape(-1, SAMPLES).max(axis=1)
    rounding = {}
    for (path, array), most in zip(steps.items(), off.tolist(), strict=True):
        # what one entry's rounding adds to a sum over m entries, and the last place of the largest
        last_place = np.finfo(evaluations.complex_dtype(path)).eps * array.largest
        one = most / math.sqrt(np.count_nonzero(array.known)) + last_place
        rounding[path] = one if math.isfinite(one) else math.inf
    return rounding


def _last_places(evaluations: Evaluations, path: str) -> FloatArray:
    """Return the last place of every entry of an array; of zeros, that of its typical entry."""
    values = evaluations.values[path].reshape(-1)
    return np.spacing(np.where(values == 0, values.dtype.type(evaluations.scales[path]), values))


def incapable(paths: Iterable[str], said: str = "") -> ValueError:
    """Return the error where complex steps were asked for by name, and arrays cannot be had so.

    `said` is what the cost said of complex numbers, if anything.
    """
    return ValueError(
        f"method is 'complex-step', but complex moves of {', '.join(paths)} do not show the "
        "derivative that differences do: abs, max, comparisons, casts or .real in the cost drop "
        f"the imaginary part, or there is none here to be seen{f' ({said})' if said else ''}; use "
        "method='auto' or 'central'"
    )
