"""Complex step with an error: Im C(θ + ih)/h (Squire and Trapp 1998), tested before trusted."""

from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.differences import Estimate, directional_difference, draw_direction
from checks.evaluations import Evaluations
from checks.noise import Noise

__all__ = ["complex_step"]

# Differences this accurate, and agreeing, prove that the cost carries imaginary parts through.
PROOF = 1e-3
SHRINK = (1, 2.0**-2, 2.0**-4)
SAMPLES = 9  # of the derivative's rounding; the largest of nine is hardly ever far too small
# Rounding of an entry against the rounding sampled: at least so much, as entries far smaller than
# the array's largest may be what is left of large terms, and so much more for the largest. Found
# by calibration (benchmarks/calibration.py): halved, both leave intervals that miss.
AT_LEAST, WITH_SIZE = 3.0, 4.0


def complex_step(
    evaluations: Evaluations,
    path: str,
    entries: IntArray,
    noise: Noise,
    rng: np.random.Generator,
) -> Estimate | None:
    """Estimate the derivatives of the cost by some entries of an array, if it is capable of that.

    abs, comparisons, maxima, casts and ``.real`` drop the imaginary part without a word, and a C
    extension may refuse it, so nothing short of agreement with central differences will do. They
    are taken along one direction, aligned with the estimates so that nothing cancels, and random
    in length so that no two errors cancel either.

    Nothing is subtracted, so an entry is right to the rounding of the derivative's own arithmetic.
    That is sampled: along the same direction, at points a few units in the last place away.

    Parameters
    ----------
    evaluations
        The cost; one evaluation is spent on an entry, and about twenty on the array.
    path, entries
        The array, and (m,) flat indices into it.
    noise
        Of the cost.
    rng
        Draws directions and samples.

    Returns
    -------
    Estimate or None
        (m,) values and errors; None where the cost is not capable, or cannot be shown to be.
    """
    values = evaluations.values[path]
    h = evaluations.complex_step(path)
    try:
        # of all lengths: few-bit directions would cancel to nothing where slopes are alike
        lengths = draw_direction(values, rng) * rng.uniform(1, 2, values.shape)
        if not evaluations.along({path: np.asarray(1j * h * lengths)}).imag:
            return None
        slopes = evaluations.at_entries(path, entries, np.full((entries.size, 1), 1j * h)).imag / h
    except Exception:  # whatever a cost says of complex numbers, it is not capable of them
        return None
    known = np.isfinite(slopes[:, 0]) | (not evaluations.interrupted)
    entries, value = entries[known], slopes[known, 0]
    if not value.size:
        return None
    aligned = np.copysign(draw_direction(value, rng), value)
    slope = np.sum(aligned * value)
    direction = np.zeros(values.shape)
    direction.reshape(-1)[entries] = aligned

    proof = _proof(evaluations, path, h, direction, slope, noise, rng)
    if not np.isfinite(proof):
        return None

    samples = []
    for _ in range(SAMPLES):
        weights = draw_direction(value, rng)
        direction.reshape(-1)[entries] = weights
        nearby = _slope_nearby(evaluations, path, h * direction, rng) / h
        samples.append(abs(nearby - np.sum(weights * value)))
    if not np.isfinite(samples).all():
        return None
    # what one entry's rounding adds to a sum over m entries, and the last place of the largest
    largest = np.abs(value).max()
    rounding = max(samples) / np.sqrt(value.size)
    rounding += np.finfo(evaluations.complex_dtype(path)).eps * largest
    error = (AT_LEAST + WITH_SIZE * np.abs(value) / largest) * rounding
    if not error.max() <= PROOF * largest:
        return None  # too blurred to be of use, as at a kink, which differences can name
    values, errors = np.full((2, known.size), np.nan, value.dtype)
    values[known], errors[known], errors[~known] = value, error, np.inf
    return Estimate(values, errors, np.full((known.size, 2), np.nan), "complex-step", proof)


def _proof(
    evaluations: Evaluations,
    path: str,
    h: float,
    direction: FloatArray,
    slope: float,
    noise: Noise,
    rng: np.random.Generator,
) -> float:
    """Return how closely differences agree: at the point or, if blurred there, where θ is smaller.

    A saturated cost is too flat for differences; with small parameters the same code is not.
    """
    for shrink in SHRINK:
        base = {other: (shrink - 1) * value for other, value in evaluations.values.items()}
        if shrink != 1:
            moves: dict[str, Any] = {**base, path: base[path] + 1j * h * direction}
            slope = evaluations.along(moves).imag / h
        value, error = directional_difference(
            evaluations, path, direction, noise, rng, PROOF / 10, base if shrink != 1 else {}
        )
        # where nothing settles, or not there, it is no derivative that complex moves give
        if not (abs(slope - value) <= error < np.inf):
            return np.inf
        if error <= PROOF * abs(slope):
            return error / abs(slope)
    return np.inf


def _slope_nearby(
    evaluations: Evaluations, path: str, step: FloatArray, rng: np.random.Generator
) -> Any:
    """Return Im C per i·step, for a stretched step, a last place away in every parameter."""
    stretch = rng.uniform(1, 2)  # imaginary parts round differently, also where real ones stay
    moves: dict[str, Any] = {
        other: rng.choice([-1, 1], value.shape) * np.spacing(value)
        for other, value in evaluations.values.items()
    }
    moves[path] = moves[path] + 1j * stretch * step
    return evaluations.along(moves).imag / stretch
