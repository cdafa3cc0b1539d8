"""Derivatives by differences, with an error: central ones, and one-sided where these fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from checks._types import FloatArray, IntArray
from checks.estimation.noise import Noise
from checks.estimation.stencils import Stencil, central, one_sided
from checks.estimation.step_selection import LONGEST, Coordinates, best_slopes, first_step
from checks.evaluation.pointwise import Evaluations

__all__ = ["Estimate", "differences", "directional_difference", "draw_direction"]

STEPS = 5  # tried for a directional difference: 8^-5 is short enough to leave out most kinks


@dataclass(frozen=True)
class Estimate:
    """Derivatives: each lies in value ± error.

    Attributes
    ----------
    value : (m,) float
        nan where the cost was not finite. Where the error is inf, it is no more than a guess.
    error : (m,) float
        inf where differences do not converge.
    slopes : (m, 2) float
        The slopes on the left and on the right of an entry that lies on a kink, nan for other
        entries; empty, (0, 2), from complex steps. The interval holds both slopes and all between.
    method : str
        "central" or "complex-step".
    proof : float
        Of complex steps: the error of the differences that they agree with, relative to the array.
    precision : str
        How the rounding of complex steps is known: "lifted", measured in a wider dtype; "sampled",
        so of some entries; or "estimated". Empty for differences.
    """

    value: FloatArray
    error: FloatArray
    slopes: FloatArray = field(default_factory=partial(np.empty, (0, 2)))
    method: str = "central"
    proof: float = 0.0
    precision: str = ""

    @property
    def slope_jump(self) -> FloatArray:
        """Half of the difference of the slopes on both sides, (m,); 0 where there is no kink."""
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
        The cost; six evaluations are spent on each step of an entry, and most need one step.
    path, entries
        The array, and (m,) flat indices into it.
    noise
        The noise of the cost.
    rng
        Jitters the steps, so that a period of the cost cannot hide between them.
    goal
        An error of at most `goal` × the largest value found needs no further step.
    start
        Factor on the first step: a second estimate begins with a shorter one.

    Returns
    -------
    Estimate
    """
    x = evaluations.values[path].reshape(-1)[entries]
    scale = evaluations.scales[path]
    finest = _finest_step(np.where(x == 0, x.dtype.type(scale), x))

    def slopes_by(stencil: Stencil, subset: IntArray) -> tuple[FloatArray, FloatArray]:
        def costs(indices: IntArray, steps: Any) -> Any:
            return evaluations.at_entries(path, entries[subset[indices]], steps)

        at = Coordinates(costs, x[subset], scale, finest[subset], evaluations.at_point, noise)
        return best_slopes(at, stencil, rng, goal, start)

    value, error = slopes_by(central, np.arange(x.size))
    slopes = np.full((x.size, 2), np.nan)
    failed = np.flatnonzero(~np.isfinite(error))
    if failed.size:
        left = slopes_by(partial(one_sided, side=-1), failed)
        right = slopes_by(partial(one_sided, side=1), failed)
        value[failed], error[failed], slopes[failed] = _from_both_sides(left, right, value[failed])
    return Estimate(value, error, slopes)


def draw_direction(shape: int | tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw entries from ±[¾, 1½]: so unequal in size that a few of them hardly ever cancel."""
    drawn = rng.uniform(-1, 1, shape)
    return np.asarray(np.copysign(0.75 + 0.75 * np.abs(drawn), drawn))


def directional_difference(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    noise: Noise,
    base: Mapping[str, FloatArray],
) -> tuple[float, float]:
    """Estimate the derivative along a direction of some arrays, as value and error.

    The best of a few steps, without the checks of `best_slopes`: the result is only compared with
    another estimate.

    Parameters
    ----------
    evaluations, noise
        As in `differences`.
    directions
        By path; each entry is about the typical size of its array.
    base
        By path, moves from the point to where the derivative is taken.
    """
    values = evaluations.values

    def moves(steps: FloatArray) -> dict[str, Any]:
        stacked = {p: np.broadcast_to(move, (steps.size, *move.shape)) for p, move in base.items()}
        for path, direction in directions.items():
            stacked[path] = base.get(path, 0) + np.multiply.outer(steps, direction)
        return stacked

    def costs(steps: Any) -> Any:
        return evaluations.costs_moved(steps[0], moves)[None]

    # all P entries move at once, each by 1/√P of what one alone would
    scale = np.array([1 / np.sqrt(sum(values[path].size for path in directions))])
    finest = max(
        _finest_step(np.abs(values[path]).max()) / evaluations.scales[path] for path in directions
    )
    f0 = evaluations.costs_moved(np.zeros(1), moves)[0] if base else evaluations.at_point
    h, best = scale * first_step(noise.relative), (np.nan, np.inf)
    for _ in range(STEPS):
        trial = central(costs, np.zeros(1), np.maximum(h, finest), scale, f0, noise)
        if trial.error < best[1]:
            best = trial.value.item(), trial.error.item()
        if 0.7 < trial.step_ratio < 2:
            break  # the step is good enough
        h = np.minimum(h * trial.step_ratio, LONGEST * scale)
    return best


def _from_both_sides(
    left_slope: tuple[FloatArray, FloatArray],
    right_slope: tuple[FloatArray, FloatArray],
    guess: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join one-sided slopes and their errors to value, error, and the slopes of kinks.

    Where both sides are known, the interval reaches from one slope to the other. Where the cost is
    defined on one side only, that side is the derivative. Elsewhere `guess` stands, with error inf.
    """
    (left, left_error), (right, right_error) = left_slope, right_slope
    larger_error = np.maximum(left_error, right_error)
    slope_jump = np.abs(right - left) / 2
    known = [
        np.isfinite(larger_error),
        np.isfinite(left_error) & np.isnan(right),
        np.isfinite(right_error) & np.isnan(left),
    ]
    value = np.select(known, [(left + right) / 2, left, right], guess)
    error = np.select(known, [slope_jump + larger_error, left_error, right_error], np.inf)
    is_kink = np.isfinite(larger_error) & (slope_jump > larger_error)
    slopes = np.where(is_kink[:, None], np.stack([left, right], axis=1), np.nan)
    return value, error, slopes


def _finest_step(x: FloatArray) -> Any:
    """Return the shortest steps from x, 16 last places: shorter ones, rounded, might coincide."""
    return 16 * np.spacing(np.abs(x)).astype(np.result_type(x.dtype, np.float64))
