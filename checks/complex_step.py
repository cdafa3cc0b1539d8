"""Complex step with an error: Im C(θ + ih)/h (Squire and Trapp 1998), tested before trusted."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.differences import Estimate, directional_difference, draw_direction
from checks.evaluations import Evaluations
from checks.noise import CostNoise, Noise, typical_size

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
        Of the cost; it can only hide that differences agree, and is measured where they do not.
    rng
        Draws directions and samples.

    Returns
    -------
    dict of str to Estimate
        By path, (m,) values and errors; without the arrays in which the cost is not capable, or
        cannot be shown to be.
    """
    slopes = _slopes(evaluations, rng)
    try:
        return _proven(evaluations, slopes, noise, rng)
    except KeyboardInterrupt:
        if not slopes or not evaluations.accept_interrupt():
            raise
        # once more, for it is short, and without it nothing is known
        return _proven(evaluations, slopes, noise, rng)


def _proven(
    evaluations: Evaluations,
    slopes: Mapping[str, FloatArray],
    noise: CostNoise,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return the slopes that differences agree with, with their errors."""
    proofs = _proofs(evaluations, slopes, noise, rng)
    rounding = _rounding(evaluations, {path: slopes[path] for path in proofs}, rng)
    estimates = {}
    for path, proof in proofs.items():
        slope = slopes[path].reshape(-1)
        size = np.abs(slope)
        largest = np.nanmax(size)
        error = (AT_LEAST + WITH_SIZE * size / largest) * rounding[path]
        if np.nanmax(error) <= PROOF * largest:  # else of no use, as at a kink: differences name it
            error[np.isnan(slope)] = np.inf
            nothing = np.full((slope.size, 2), np.nan)
            estimates[path] = Estimate(slope, error, nothing, "complex-step", proof)
    return estimates


def _slopes(evaluations: Evaluations, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Return complex steps by the arrays in which there are any, nan where not yet known."""
    slopes: dict[str, FloatArray] = {}
    lengths = draw_direction(evaluations.size, rng)
    step = min(map(evaluations.complex_step, evaluations.values))
    try:
        moves = evaluations.split(1j * step * lengths[None])
        if not evaluations.along_each(np.zeros(1), lambda _: moves).imag.any():
            return slopes
        for path, value in evaluations.values.items():
            h, entries = evaluations.complex_step(path), np.arange(value.size)
            costs = evaluations.at_entries(path, entries, np.full((value.size, 1), 1j * h))
            slope = costs.imag.reshape(value.shape) / h
            known = np.isfinite(slope)
            if (known.all() or evaluations.interrupted) and slope[known].any():
                slopes[path] = np.where(known, slope, np.nan)
    except Exception as error:  # whatever a cost says of complex numbers, it is not capable of them
        evaluations.outside = f"{type(error).__name__}: {error}"
        return {}
    return slopes


def _proofs(
    evaluations: Evaluations,
    slopes: Mapping[str, FloatArray],
    noise: CostNoise,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return how closely differences agree with each array in which they do.

    At the point or, where the cost is blurred or too flat there, as where it is saturated, with
    smaller parameters: the code is the same. All arrays move at once while that shows enough.
    """
    if not slopes:
        return {}
    drawn, directions = evaluations.split(draw_direction(evaluations.size, rng)), {}
    for path, slope in slopes.items():
        aligned = np.copysign(drawn[path], slope) * typical_size(evaluations.values[path])
        directions[path] = np.where(np.isnan(slope), 0, aligned)
    proofs: dict[str, float] = {}
    left = list(slopes)
    for shrink in SHRINK:
        groups = [left] if left else []
        while groups:
            some = {path: directions[path] for path in groups.pop()}
            assumed = noise.known
            found = _proof(evaluations, some, slopes, shrink, assumed)
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
    slopes: Mapping[str, FloatArray],
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
        if base:
            h = evaluations.complex_step(path)
            moves: dict[str, Any] = {**base, path: base[path] + 1j * h * direction}
            parts[path] = float(evaluations.along(moves).imag / h)
        else:
            parts[path] = float(np.nan_to_num(slopes[path]).reshape(-1) @ direction.reshape(-1))
    value, error = directional_difference(evaluations, directions, noise, base)
    if not abs(sum(parts.values()) - value) <= error < np.inf:
        return None
    return {path: error / abs(p) for path, p in parts.items() if error <= PROOF * abs(p) > 0}


def _rounding(
    evaluations: Evaluations, slopes: Mapping[str, FloatArray], rng: np.random.Generator
) -> dict[str, float]:
    """Return the rounding of one derivative by each array, inf where it cannot be had."""
    last_places = np.concatenate([_last_place(v).reshape(-1) for v in evaluations.values.values()])
    # imaginary parts round differently when stretched, also where real ones stay
    stretch = rng.uniform(1, 2, len(slopes) * SAMPLES)
    here = np.empty(stretch.size)  # along the same directions

    def moves(rows: IntArray) -> dict[str, Any]:
        """Return moves of a last place in every parameter, with an imaginary part in one array."""
        moved = np.empty((rows.size, last_places.size), complex)
        up = rng.integers(2, size=moved.shape, dtype=bool)
        np.copysign(last_places, up - 0.5, out=moved.real)
        moved.imag = 0
        several = evaluations.split(moved)
        for n, (path, slope) in enumerate(slopes.items()):
            mine = np.flatnonzero(rows // SAMPLES == n)
            if not mine.size:
                continue
            weights = draw_direction((mine.size, *slope.shape), rng) * np.isfinite(slope)
            here[rows[mine]] = weights.reshape(-1, slope.size) @ np.nan_to_num(slope).reshape(-1)
            h = evaluations.complex_step(path) * stretch[rows[mine]]
            several[path].imag[mine] = (weights.T * h).T
        return several

    costs = evaluations.along_each(np.arange(stretch.size), moves) if slopes else np.zeros(0)
    rounding = {}
    for n, (path, slope) in enumerate(slopes.items()):
        mine = slice(n * SAMPLES, (n + 1) * SAMPLES)
        nearby = costs[mine].imag / stretch[mine] / evaluations.complex_step(path)
        off = np.abs(nearby - here[mine]).max()
        # what one entry's rounding adds to a sum over m entries, and the last place of the largest
        last_place = np.finfo(evaluations.complex_dtype(path)).eps * np.nanmax(np.abs(slope))
        one = off / math.sqrt(np.count_nonzero(np.isfinite(slope))) + last_place
        rounding[path] = one if np.isfinite(one) else np.inf
    return rounding


def _last_place(values: FloatArray) -> FloatArray:
    """Return the last place of every entry; of zeros, that of the typical entry."""
    sizes = np.where(values == 0, values.dtype.type(typical_size(values)), values)
    return np.spacing(sizes)


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
