"""Derivatives by differences, with an error: central ones, and one-sided where these fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.estimation.coordinates import Coordinates
from checks.estimation.noise import Noise
from checks.estimation.stencils import central, one_sided
from checks.estimation.step_selection import LONGEST, best_slopes, first_step
from checks.evaluation.pointwise import Evaluations

__all__ = [
    "Estimate",
    "differences",
    "directional_difference",
    "directional_slopes",
    "draw_direction",
]

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
        Of complex steps: how far a single one may be off, relative to the largest of the array, for
        all that the differences show that they agree with.
    precision : str
        How the rounding of complex steps is known: "lifted", measured in a wider dtype; "sampled",
        so of some entries; or "estimated". Empty for differences.
    on_stairs : (m,) bool
        Where the cost has jumps within reach, see `checks.estimation.stairs`; empty, (0,), from
        complex steps.
    unseen : bool
        No move of the whole array changes the cost by a single bit: nothing is known of its
        derivatives, since the cost may not read it, or may lose it to rounding.
    """

    value: FloatArray
    error: FloatArray
    slopes: FloatArray = field(default_factory=partial(np.empty, (0, 2)))
    method: str = "central"
    proof: float = 0.0
    precision: str = ""
    on_stairs: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    unseen: bool = False

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

    def costs(indices: IntArray, steps: Any) -> Any:
        return evaluations.at_entries(path, entries[indices], steps)

    at = Coordinates(costs, x, scale, finest, evaluations.at_point, noise)
    value, error, on_stairs = best_slopes(at, central, rng, goal, start)
    slopes = np.full((x.size, 2), np.nan)
    failed = np.flatnonzero(~np.isfinite(error))
    if failed.size:
        left, right = _one_sided_slopes(at, failed, rng, goal, start)
        value[failed], error[failed], slopes[failed] = _from_both_sides(
            left[:2], right[:2], value[failed]
        )
        on_stairs[failed] = left[2] | right[2]
    return Estimate(value, error, slopes, on_stairs=on_stairs)


def directional_slopes(
    evaluations: Evaluations,
    directions: Mapping[str, FloatArray],
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
) -> Estimate:
    """Estimate the slopes along some directions, on both sides of the point.

    Parameters
    ----------
    evaluations, noise, rng, goal
        As in `differences`.
    directions
        By path, (k, ...): k directions. The largest entry is about the typical size of its array.

    Returns
    -------
    Estimate
        Of the k directional derivatives; `slopes` are nan where both sides agree.
    """
    count = len(next(iter(directions.values())))
    finest = np.zeros(count)
    for path, several in directions.items():
        size = np.abs(several.reshape(count, -1))
        shortest = _finest_step(np.abs(evaluations.values[path]).max())
        finest = np.maximum(finest, shortest / size.max(axis=1))

    def moves(which: int, steps: FloatArray) -> dict[str, Any]:
        return {p: np.multiply.outer(steps, several[which]) for p, several in directions.items()}

    def costs(indices: IntArray, steps: Any) -> Any:
        rows = zip(indices, steps, strict=True)
        return np.stack([evaluations.costs_moved(row, partial(moves, i)) for i, row in rows])

    at = Coordinates(costs, np.zeros(count), 1.0, finest, evaluations.at_point, noise)
    left, right = _one_sided_slopes(at, np.arange(count), rng, goal)
    value, error, slopes = _from_both_sides(left[:2], right[:2], np.full(count, np.nan))
    return Estimate(value, error, slopes, on_stairs=left[2] | right[2])


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


def _one_sided_slopes(
    at: Coordinates,
    subset: IntArray,
    rng: np.random.Generator,
    goal: float,
    start: float = 1.0,
) -> list[tuple[FloatArray, FloatArray, NDArray[np.bool_]]]:
    """Return what `best_slopes` finds below and above some of the coordinates."""
    part = replace(
        at,
        costs=lambda indices, steps: at.costs(subset[indices], steps),
        x=at.x[subset],
        finest=at.finest[subset],
    )
    return [
        best_slopes(part, partial(one_sided, side=side), rng, goal, start, sides=(side,))
        for side in (-1, 1)
    ]


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
