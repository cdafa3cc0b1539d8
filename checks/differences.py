"""Central differences with an error: of order 2, 4 and 6 from ±h, ±2h, ±3h, entry by entry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.evaluations import Evaluations
from checks.noise import Noise, typical_size

__all__ = ["Estimate", "central_differences", "directional_difference", "draw_direction"]

# The noise of D6 = (15 D_1 − 6 D_2 + D_3)/10 has standard deviation 1.08 σ_f/h, where D_k is the
# slope over ±kh: σ_f/h · √((1.5² + 0.3² + 0.033²)/2). Eight are over seven deviations.
NOISE_FACTOR = 8.0
# A kink between the points shifts D6 by up to ½ its jump J of slope. It also takes the even part of
# the stencil, E_k = (f(x+kh) + f(x−kh) − 2f(x))/(kh)², off the parabola in k² that a smooth cost
# follows: 5E_1 − 8E_2 + 3E_3 is 2J/h for a kink at x. A quarter of that times h covers J/2, and
# for a kink anywhere else it covers the shift together with 2|D6 − D4|.
KINK_FACTOR = 0.25
# Steps shrink by up to 8: a kink at the point is seen this clearly before the noise covers it.
CLEARLY = 8.0
# Converging: every order corrects by much less than the one before.
CONVERGING = 1 / 8
FIRST_ENTRIES = 2  # of an array, whose best step all others begin with
ROUNDS = 14  # steps tried for one entry: by eighths from 1e-3 of its scale, that is to round-off


@dataclass(frozen=True)
class Estimate:
    """Derivatives: each lies in value ± error.

    The error is infinite where nothing is known; there the value is nan where the cost was not
    finite, and a guess where its differences do not converge. Where `kinked`, larger steps saw a
    kink at the point that smaller ones lose in the noise: the slopes on its two sides differ, and
    both lie in the interval, but there may be no derivative.
    """

    value: FloatArray
    error: FloatArray
    kinked: NDArray[np.bool_]


def central_differences(
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
        (m,) values and errors.
    """
    values = evaluations.values[path]
    return _differentiate(
        lambda rows, steps: evaluations.at_entries(path, entries[rows], steps),
        values.reshape(-1)[entries],
        typical_size(values) * start,
        float(evaluations.at_point),
        noise,
        rng,
        goal,
    )


def draw_direction(values: FloatArray, rng: np.random.Generator) -> Any:
    """Draw a direction of unequal entries ±{¾, 1, 1¼, 1½}: few bits, so that steps are exact."""
    return rng.choice([-1.5, -1.25, -1, -0.75, 0.75, 1, 1.25, 1.5], values.shape)


def directional_difference(
    evaluations: Evaluations,
    path: str,
    direction: FloatArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    base: Mapping[str, FloatArray],
) -> Estimate:
    """Estimate the derivative along a direction of one array, as (1,) value and error.

    Parameters are as in `central_differences`; `base` are moves of arrays, by path, away from the
    point to where the derivative is wanted.
    """
    values = evaluations.values[path]

    def cost(step: float) -> Any:
        return evaluations.along({**base, path: base.get(path, 0) + step * direction})

    def costs(_: IntArray, steps: Any) -> Any:
        return np.array([cost(step) for step in steps[0]])[None, :]

    # all entries move at once: together as far as one alone would
    scale = typical_size(values) / np.sqrt(values.size)
    return _differentiate(costs, np.zeros(1), scale, float(cost(0.0)), noise, rng, goal)


def _differentiate(
    costs: Callable[[IntArray, Any], Any],
    x: FloatArray,
    scale: float,
    f0: float,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
) -> Estimate:
    """Find a good step on the first few coordinates, try it on all, refine what stays blurred."""
    value, error = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    # truncation ~ h⁴ meets noise/h where h⁵ ~ the relative noise
    h = np.full(x.shape, scale * np.clip(noise.relative, 1e-16, 1e-3) ** 0.2)
    best = h.copy()
    hopeful = np.ones(x.shape, bool)
    seen_kink = np.zeros(x.shape)  # by the last step that saw one far above the noise

    def attempt(tried: IntArray) -> None:
        if not tried.size:
            return
        steps = h[tried] * (1 + rng.integers(0, 16, tried.size) / 64)
        new_value, new_error, ratio, kink = _stencil(
            lambda moves: costs(tried, moves), x[tried], steps, f0, noise
        )
        old_value, old_error = value[tried], error[tried]
        # where two steps disagree, the larger one has missed something of the cost
        conflict = np.abs(new_value - old_value) > new_error + old_error
        better = np.where(conflict, steps < best[tried], ~(new_error >= old_error))
        better |= ~np.isfinite(old_error)
        value[tried] = np.where(better, new_value, old_value)
        error[tried] = np.where(better, new_error, old_error)
        best[tried] = np.where(better, steps, best[tried])
        seen_kink[tried] = np.where(kink > 0, kink, seen_kink[tried])
        h[tried] *= ratio
        hopeful[tried] = ((ratio < 0.5) & (h[tried] > 4 * np.spacing(np.abs(x[tried])))) | (
            (ratio > 2) & better & (h[tried] < scale)
        )

    first, others = np.split(rng.permutation(x.size), [FIRST_ENTRIES])
    for _ in range(ROUNDS):
        attempt(first[hopeful[first]])
    h[others] = np.exp(np.mean(np.log(best[first])))
    attempt(others)
    for _ in range(ROUNDS):
        blurred = hopeful & ~(error <= goal * np.abs(value[np.isfinite(error)]).max(initial=0))
        attempt(np.flatnonzero(blurred))
    # had the kink been elsewhere, smaller steps would have missed it and left less error than it
    return Estimate(value, error, (seen_kink > 0) & (error > seen_kink / 2))


def _stencil(
    costs: Callable[[Any], Any], x: FloatArray, h: FloatArray, f0: float, noise: Noise
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return value, error, the factor by which the step should change, and any kink clearly seen.

    From one step each.
    """
    k = np.array([1, 2, 3])
    wide = np.result_type(x.dtype, np.float64)
    at = x.astype(wide)[:, None]
    # the steps really taken: the dtype of x rounds x ± kh
    up = (at + k * h[:, None]).astype(x.dtype).astype(wide) - at
    down = (at - k * h[:, None]).astype(x.dtype).astype(wide) - at
    moved = costs(np.hstack([up, down]))
    above, below = moved[:, :3], moved[:, 3:]
    d1, d2, d3 = slopes = ((above - below) / (up - down)).T
    d4 = (4 * d1 - d2) / 3
    d6 = (15 * d1 - 6 * d2 + d3) / 10
    # the even part, freed of what an unequal pair of steps lets through of the slope
    e1, e2, e3 = ((above - f0 + below - f0 - slopes.T * (up + down)) / (k * h[:, None]) ** 2).T
    # rounding grows with the cost: at least that of the stencil's largest value
    sigma = np.maximum(noise.level, np.finfo(wide).eps * np.abs(moved).max(axis=1, initial=0))
    round_off = NOISE_FACTOR * sigma / h
    correction, last = np.abs(d4 - d1), np.abs(d6 - d4)
    truncation = 2 * last
    kink = KINK_FACTOR * h * np.maximum(np.abs(5 * e1 - 8 * e2 + 3 * e3) - np.abs(e2 - e1) / 2, 0)
    smooth = (last <= CONVERGING * correction + round_off / 8) & (kink <= 1.25 * round_off)
    error = np.where(smooth, truncation + kink + round_off, np.inf)
    # d/dh (c h⁴ + r/h) = 0 where r/h = 4 c h⁴
    ratio = np.clip((round_off / (4 * truncation)) ** 0.2, 1 / 8, 4)
    ratio = np.where(np.isfinite(error), ratio, 1 / 8)
    return d6, error, ratio, np.where(kink > CLEARLY * round_off, kink, 0)
