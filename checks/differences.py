"""Differences with an error: central of orders 2, 4 and 6, one-sided where these find no slope."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray, IntArray
from checks.evaluations import Evaluations
from checks.noise import Noise, typical_size

__all__ = ["Estimate", "differences", "directional_difference", "draw_direction"]

# The noise of D6 = (15 D_1 − 6 D_2 + D_3)/10 has standard deviation 1.08 σ_f/h, where D_k is the
# slope over ±kh: σ_f/h · √((1.5² + 0.3² + 0.033²)/2). Six and a half are six deviations. That of
# the one-sided P4 = 4 F_1 − 6 F_2 + 4 F_3 − F_4, F_k from x to x ± kh, is 5.6 σ_f/h.
CENTRAL_NOISE, ONE_SIDED_NOISE = 6.5, 6.5 * 5.6 / 1.08
# A kink between the points shifts D6 by up to ½ its jump J of slope. It also takes the even part of
# the stencil, E_k = (f(x+kh) + f(x−kh) − 2f(x))/(kh)², off the parabola in k² that a smooth cost
# follows: 5E_1 − 8E_2 + 3E_3 is 2J/h for a kink at x. A quarter of that times h covers J/2, and
# for a kink anywhere else it covers the shift together with 2|D6 − D4|.
KINK_FACTOR, SEVERAL_KINKS = 0.25, 3.0
# Converging: every order corrects by much less than the one before. Where only noise shows, that
# cannot be seen, and the error is twelve times the first correction: enough for |x|^{4/3} at 0.
CONVERGING, SLOWLY = 1 / 16, 12.0
# Orders 2 and 4 of a cost analytic within R of x are off by c_3 h² and 4 c_5 h⁴, c_k ~ R^{1−k}.
# With twice the scale of x for R, the second correction counts for h²/scale² of the first at least:
# a c_5 that happens to vanish is no precision.
# Of the scale of its array: an entry between these has its own scale; below, it is as good as 0.
NIL, SMALL = 1e-20, 1e-6
LONG = 1e-2  # of the scale of x: a first step so long is for costs noisier than float64
# Entries of an array whose best step all others begin with: these are tried until they are so much
# finer than is asked for.
FIRST_ENTRIES, PILOT = 2, 10.0
ROUNDS = 18  # steps tried for one entry: by eighths of its scale, that is to round-off
KINKED_ROUNDS = 5  # a kink that is still there after as many, down to 3e-5 of its distance, is at x


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
        On the left and on the right of a kink, where there is one; else nan. The interval holds
        both and all between.
    method : str
        "central" or "complex-step".
    proof : float
        How closely differences agree with complex steps, relative to the array.
    """

    value: FloatArray
    error: FloatArray
    slopes: FloatArray
    method: str = "central"
    proof: float = 0.0


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

    def estimate(some: IntArray, stencil: Stencil) -> tuple[FloatArray, FloatArray]:
        return _search(
            lambda rows, steps: evaluations.at_entries(path, entries[some[rows]], steps),
            x[some],
            typical_size(values),
            evaluations.at_point,
            noise,
            rng,
            goal,
            _finest(np.where(x[some] == 0, x.dtype.type(typical_size(values)), x[some])),
            stencil,
            start,
        )

    value, error = estimate(np.arange(x.size), _central)
    slopes = np.full((x.size, 2), np.nan)
    lost = np.flatnonzero(~np.isfinite(error))
    if lost.size:
        value[lost], error[lost], slopes[lost] = _from_both_sides(
            partial(estimate, lost), value[lost]
        )
    return Estimate(value, error, slopes)


def draw_direction(values: FloatArray, rng: np.random.Generator) -> Any:
    """Draw a direction of unequal entries ±{¾, 1, 1¼, 1½}: few bits, so that steps are exact."""
    return np.asarray(rng.choice([-1.5, -1.25, -1, -0.75, 0.75, 1, 1.25, 1.5], values.shape))


def directional_difference(
    evaluations: Evaluations,
    path: str,
    direction: FloatArray,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    base: Mapping[str, FloatArray],
) -> tuple[float, float]:
    """Estimate the derivative along a direction of one array, as value and error.

    Parameters are as in `differences`; `base` are moves of arrays, by path, away from the point to
    where the derivative is wanted.
    """
    values = evaluations.values[path]

    def cost(step: float) -> Any:
        return evaluations.along({**base, path: base.get(path, 0) + step * direction})

    def costs(_: IntArray, steps: Any) -> Any:
        return np.array([cost(step) for step in steps[0]])[None, :]

    # all entries move at once: together as far as one alone would
    scale = typical_size(values) / np.sqrt(values.size)
    finest = _finest(np.abs(values).max(keepdims=True).reshape(1))
    value, error = _search(costs, np.zeros(1), scale, cost(0.0), noise, rng, goal, finest, _central)
    return value.item(), error.item()


@dataclass(frozen=True)
class _Trial:
    """What one step of each coordinate gave."""

    value: FloatArray
    error: FloatArray
    ratio: FloatArray  # by which the step should change
    kink: FloatArray  # how much of one stands out from the noise, else 0
    round_off: FloatArray


Stencil = Callable[[Callable[[Any], Any], FloatArray, FloatArray, FloatArray, Any, Noise], _Trial]


def _from_both_sides(
    estimate: Callable[[Stencil], tuple[FloatArray, FloatArray]], value: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return value, error and the slopes of kinks of entries where differences do not converge."""
    left, left_error = estimate(partial(_one_sided, side=-1))
    right, right_error = estimate(partial(_one_sided, side=1))
    blur = np.maximum(left_error, right_error)
    gap = np.abs(right - left) / 2
    # a domain that ends at x leaves one side
    sides = [
        np.isfinite(blur),
        np.isfinite(left_error) & np.isnan(right),
        np.isfinite(right_error) & np.isnan(left),
    ]
    error = np.select(sides, [gap + blur, left_error, right_error], np.inf)
    kinked = np.isfinite(blur) & (gap > blur)
    slopes = np.where(kinked[:, None], np.stack([left, right], axis=1), np.nan)
    return np.select(sides, [(left + right) / 2, left, right], value), error, slopes


def _search(
    costs: Callable[[IntArray, Any], Any],
    x: FloatArray,
    scale: float,
    f0: Any,
    noise: Noise,
    rng: np.random.Generator,
    goal: float,
    finest: FloatArray,
    stencil: Stencil,
    nearer: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Find a good step on the first few coordinates, try it on all, refine what stays blurred."""
    value, error = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    # D6 itself is off by ~ h⁶, which meets noise/h where h⁷ ~ the relative noise; a first step so
    # long also shows truncation, which shorter ones leave hidden in the noise
    start = np.clip(noise.relative, 1e-16, 1e-3) ** (1 / 7)
    size = np.abs(x).astype(value.dtype)
    own = np.where((size > NIL * scale) & (size < SMALL * scale), size, scale)
    h = own * start * nearer
    best, ideal = h.copy(), h.copy()  # the step of the best trial, and what would have been better
    hopeful = np.ones(x.shape, bool)
    kink = np.zeros(x.shape)  # seen last
    kinked = np.zeros(x.shape, int)  # how many steps have seen it
    uneven = np.zeros(x.shape, bool)  # whether any step has met what differences do not follow
    stood = np.zeros(x.shape, bool)  # whether the best one has then been tried nearer by

    def ask(rows: IntArray, steps: FloatArray) -> _Trial:
        return stencil(lambda moves: costs(rows, moves), x[rows], steps, own[rows], f0, noise)

    def attempt(tried: IntArray) -> None:
        if not tried.size:
            return
        steps = np.maximum(h[tried] * rng.uniform(1, 1.25, tried.size), finest[tried])
        trial = ask(tried, steps)
        old_value, old_error = value[tried], error[tried]
        # where two steps disagree, the larger one has missed something of the cost
        conflict = np.abs(trial.value - old_value) > trial.error + old_error
        better = np.where(conflict, steps < best[tried], ~(trial.error >= old_error))
        better |= ~np.isfinite(old_error)
        # nor is a larger one believed where a smaller one settles nowhere near
        apart = np.abs(trial.value - old_value) > trial.round_off + old_error
        better |= np.isinf(trial.error) & (steps < best[tried]) & apart
        value[tried] = np.where(better, trial.value, old_value)
        error[tried] = np.where(better, trial.error, old_error)
        best[tried] = np.where(better, steps, best[tried])
        ideal[tried] = np.where(better, steps * trial.ratio, ideal[tried])
        # a kink at x stays of one size, those of an oscillation do not
        seen = tried[trial.kink > 0]
        same = np.abs(trial.kink - kink[tried]) <= kink[tried] / 2
        kinked[seen] = np.where(same, kinked[tried], 0)[trial.kink > 0] + 1
        kink[seen] = trial.kink[trial.kink > 0]
        uneven[tried] |= ~np.isfinite(trial.error)
        h[tried] *= trial.ratio
        shrink = (trial.ratio < 0.5) & (h[tried] > finest[tried] / 4)
        grow = (trial.ratio > 2) & better & (h[tried] < own[tried])
        hopeful[tried] = (shrink | grow) & (kinked[tried] < KINKED_ROUNDS)

    def blurred(enough: float) -> NDArray[np.bool_]:
        largest = float(np.abs(value[np.isfinite(error)]).max(initial=0))
        return np.asarray(hopeful & ~(error <= enough * largest))

    first, others = np.split(rng.permutation(x.size), [FIRST_ENTRIES])
    doubted = first[:1]  # one is always tried nearer by, and if it does not stand there, all are
    for _ in range(ROUNDS):
        todo = first[blurred(goal / PILOT)[first]]
        if not todo.size:
            break
        attempt(todo)
    taught = (ideal / own)[first][np.isfinite(error[first])]
    if taught.size:
        h[others] = own[others] * np.exp(np.mean(np.log(taught)))
    attempt(others)
    for _ in range(ROUNDS):
        attempt(np.flatnonzero(blurred(goal)))
        # what settled only after other steps had not may have done so by luck: it must stand nearer
        rows = np.union1d(doubted, np.flatnonzero(uneven))
        rows = rows[~stood[rows] & ~hopeful[rows] & np.isfinite(error[rows])]
        if not rows.size and not blurred(goal).any():
            break
        before = best[rows].copy()
        h[rows] = before / 8
        attempt(rows)
        stood[rows] = best[rows] == before
        uneven |= not stood[rows].all()
    # long steps span several kinks, which may hide from each other: where any showed, look nearer
    known = np.flatnonzero(np.isfinite(error))
    if start > LONG and uneven.any() and known.size:
        again = ask(known, best[known] / 3)
        apart = np.abs(again.value - value[known])
        error[known] += np.where(np.isfinite(again.error), apart, np.inf)
    # a kink that was seen more than once, and then lost in noise larger than itself, is still there
    error[(kinked > 1) & (error > kink / 2)] = np.inf
    return value, error


def _finest(x: FloatArray) -> Any:
    """Return the finest steps from x: below them, rounding would join some of them."""
    return 16 * np.spacing(np.abs(x)).astype(np.result_type(x.dtype, np.float64))


def _move(
    costs: Callable[[Any], Any], x: FloatArray, h: FloatArray, f0: Any, multiples: list[int]
) -> tuple[Any, Any]:
    """Return the costs at x (m,) moved by multiples (k,) of h, and how much they differ: (m, k).

    The dtype of x rounds x + kh. The differences are carried over from the steps really taken to kh
    along the polynomial through all of them: what that adds is small, it need not be accurate.
    """
    wide = np.result_type(x.dtype, np.float64)
    k, at = np.array(multiples), x.astype(wide)[:, None]
    steps = (at + k * h[:, None]).astype(x.dtype).astype(wide) - at
    moved = costs(steps)
    off = moved - f0
    powers = np.arange(1, k.size + 1)
    taken = (steps / h[:, None])[..., None] ** powers
    coefficients = np.linalg.solve(taken.astype(np.float64), off[..., None].astype(np.float64))
    return moved, off + ((k[:, None] ** powers - taken) @ coefficients)[..., 0]


def _round_off(moved: FloatArray, h: FloatArray, noise: Noise, factor: float) -> FloatArray:
    """Return the noise of a difference: at least the rounding of the largest cost it met."""
    rounding = np.finfo(moved.dtype).eps * np.abs(moved).max(axis=1, initial=0)
    return factor * np.maximum(noise.level, rounding) / h  # type: ignore[no-any-return]


def _settled(
    first: FloatArray, last: FloatArray, round_off: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Whether two corrections, the later of higher order, converge, and the truncation error."""
    visibly = last <= CONVERGING * first
    settled = last <= CONVERGING * first + round_off / 8
    return settled, np.where(visibly, 2 * last, SLOWLY * np.maximum(first, last))


def _ratio(
    first: FloatArray, truncation: FloatArray, round_off: FloatArray, error: FloatArray
) -> FloatArray:
    """Return by what factor the step should change."""
    # d/dh (c h⁴ + r/h) = 0 where r/h = 4 c h⁴
    ratio = np.clip((round_off / (4 * truncation)) ** 0.2, 1 / 8, 4)
    ratio = np.where(first <= round_off / 2, 4, ratio)  # nothing but noise shows
    return np.where(np.isfinite(error), ratio, 1 / 8)


def _central(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise,
) -> _Trial:
    moved, off = _move(costs, x, h, f0, [1, 2, 3, -1, -2, -3])
    above, below = off[:, :3], off[:, 3:]
    kh = np.array([1, 2, 3]) * h[:, None]
    d1, d2, d3 = ((above - below) / (2 * kh)).T
    e1, e2, e3 = ((above + below) / kh**2).T
    d4 = (4 * d1 - d2) / 3
    d6 = (15 * d1 - 6 * d2 + d3) / 10
    round_off = _round_off(moved, h, noise, CENTRAL_NOISE)
    bend = np.abs(5 * e1 - 8 * e2 + 3 * e3) - np.abs(e2 - e1) / 2
    kink = np.maximum(KINK_FACTOR * h * bend - round_off / 3, 0)  # a third: what noise alone bends
    first = np.abs(d4 - d1)
    last = np.maximum(np.abs(d6 - d4), (h / scale) ** 2 * first)
    settled, truncation = _settled(first, last, round_off)
    settled &= kink <= 1.25 * round_off
    # where one kink shows there may be more, and they may hide from each other
    error = np.where(settled, truncation + SEVERAL_KINKS * kink + round_off, np.inf)
    shown = np.where(kink > 8 * round_off, kink, 0)
    return _Trial(d6, error, _ratio(first, truncation, round_off, error), shown, round_off)


def _one_sided(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise,
    side: int,
) -> _Trial:
    k = [side * k for k in (1, 2, 3, 4)]
    moved, off = _move(costs, x, h, f0, k)
    f1, f2, f3, f4 = (off / (np.array(k) * h[:, None])).T
    p2 = 2 * f1 - f2
    p3 = 3 * f1 - 3 * f2 + f3
    p4 = 4 * f1 - 6 * f2 + 4 * f3 - f4
    round_off = _round_off(moved, h, noise, ONE_SIDED_NOISE)
    settled, truncation = _settled(np.abs(p3 - p2), np.abs(p4 - p3), round_off)
    error = np.where(settled, truncation + round_off, np.inf)
    ratio = _ratio(np.abs(p3 - p2), truncation, round_off, error)
    return _Trial(p4, error, ratio, np.zeros(x.shape), round_off)
