"""Derivatives by differences, with an error: central, one-sided where these find no slope."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.noise import Noise
from checks.estimation.stencils import Stencil, central, one_sided
from checks.estimation.step_selection import LONGEST, Coordinates, first_step, search
from checks.evaluation.pointwise import Evaluations

__all__ = ["Estimate", "differences", "directional_difference", "draw_direction"]

STEPS = 5  # of a directional difference: by eighths, away from most kinks


@dataclass(frozen=True)
class Estimate:
    """Derivatives: each lies in value ± error.

    Attributes
    ----------
    value : (m,) float
        nan where the cost was not finite, a guess where its differences do not converge.
    error : (m,) float
        inf where nothing is known.
    slopes : (m, 2) float
        On the left and on the right of a kink, where there is one; else nan, or empty where there
        is none at all. The interval holds both and all between.
    method : str
        "central" or "complex-step".
    proof : float
        How closely differences agree with complex steps, relative to the array.
    """

    value: FloatArray
    error: FloatArray
    slopes: FloatArray = field(default_factory=partial(np.empty, (0, 2)))
    method: str = "central"
    proof: float = 0.0

    @property
    def slope_jump(self) -> FloatArray:
        """Half of what the slopes on the two sides of a kink differ by, (m,); else 0."""
        if not self.slopes.size:
            return np.zeros(self.value.shape)
        left, right = self.slopes.T
        slope_jump = np.abs(right - left) / 2
        return np.where(np.isnan(slope_jump), 0, slope_jump)


def differences(
    evaluations: Evaluations,
    path: str,
    entries: IntArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    start: float = 1.0,
) -> Estimate:
    """Estimate the derivatives of the cost by some entries of an array.

    Parameters
    ----------
    evaluations
        The cost; six evaluations are spent on an entry, six more for each further step it needs.
    path, entries
        The array, and (m,) flat indices into it.
    noise
        Of the cost.
    rng
        Jitters the steps, so that a period of the cost cannot hide between them.
    goal
        An error of at most `goal` × the largest value found needs no further step.
    start
        Factor on the first step, for a second opinion.

    Returns
    -------
    Estimate
    """
    values = evaluations.values[path]
    x = values.reshape(-1)[entries]

    scale = evaluations.scales[path]
    finest = _finest(np.where(x == 0, x.dtype.type(scale), x))

    def estimate(some: IntArray, stencil: Stencil) -> tuple[FloatArray, FloatArray]:
        def costs(rows: IntArray, steps: Any) -> Any:
            return evaluations.at_entries(path, entries[some[rows]], steps)

        at = Coordinates(costs, x[some], scale, finest[some], evaluations.at_point, noise)
        return search(at, stencil, rng, goal, start)

    value, error = estimate(np.arange(x.size), central)
    slopes = np.full((x.size, 2), np.nan)
    lost = np.flatnonzero(~np.isfinite(error))
    if lost.size:
        value[lost], error[lost], slopes[lost] = _from_both_sides(
            partial(estimate, lost), value[lost]
        )
    return Estimate(value, error, slopes)


def draw_direction(shape: int | tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw a direction of entries ±[¾, 1½]: of lengths so unequal that no few of them cancel."""
    drawn = rng.uniform(-1, 1, shape)
    return np.asarray(np.copysign(0.75 + 0.75 * np.abs(drawn), drawn))


def directional_difference(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    noise: Noise,
    base: Mapping[str, FloatArray],
) -> tuple[float, float]:
    """Estimate the derivative along a direction of some arrays, as value and error.

    Of a few steps the best, for what is to be compared with another estimate: none is doubted.

    Parameters
    ----------
    evaluations, noise
        As in `differences`.
    directions
        By path, of the typical size of their arrays.
    base
        Moves of arrays, by path, away from the point to where the derivative is wanted.
    """
    values = evaluations.values

    def moves(steps: FloatArray) -> dict[str, Any]:
        stacked = {p: np.broadcast_to(move, (steps.size, *move.shape)) for p, move in base.items()}
        for path, direction in directions.items():
            stacked[path] = base.get(path, 0) + np.multiply.outer(steps, direction)
        return stacked

    def costs(steps: Any) -> Any:
        return evaluations.along_each(steps[0], moves)[None]

    # all entries move at once: together as far as one alone would
    scale = np.array([1 / np.sqrt(sum(values[path].size for path in directions))])
    finest = max(
        _finest(np.abs(values[path]).max()) / evaluations.scales[path] for path in directions
    )
    center = evaluations.along_each(np.zeros(1), moves)[0] if base else evaluations.at_point
    h, best = scale * first_step(noise), (np.nan, np.inf)
    for _ in range(STEPS):
        trial = central(costs, np.zeros(1), np.maximum(h, finest), scale, center, noise)
        if trial.error < best[1]:
            best = trial.value.item(), trial.error.item()
        if 0.7 < trial.ratio < 2:
            break
        h = np.minimum(h * trial.ratio, LONGEST * scale)
    return best


def _from_both_sides(
    estimate: Callable[[Stencil], tuple[FloatArray, FloatArray]], value: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return value, error and the slopes of kinks of entries where differences do not converge."""
    left, left_error = estimate(partial(one_sided, side=-1))
    right, right_error = estimate(partial(one_sided, side=1))
    blur = np.maximum(left_error, right_error)
    slope_jump = np.abs(right - left) / 2
    # a domain that ends at x leaves one side
    sides = [
        np.isfinite(blur),
        np.isfinite(left_error) & np.isnan(right),
        np.isfinite(right_error) & np.isnan(left),
    ]
    error = np.select(sides, [slope_jump + blur, left_error, right_error], np.inf)
    kinked = np.isfinite(blur) & (slope_jump > blur)
    slopes = np.where(kinked[:, None], np.stack([left, right], axis=1), np.nan)
    return np.select(sides, [(left + right) / 2, left, right], value), error, slopes


def _finest(x: FloatArray) -> Any:
    """Return the finest steps from x: below them, rounding would join some of them."""
    return 16 * np.spacing(np.abs(x)).astype(np.result_type(x.dtype, np.float64))
