"""Slopes of a cost from a few points around x, with an error: central, and one-sided."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.noise import Noise

__all__ = ["Stencil", "Trial", "central", "one_sided", "steps_taken"]

# The noise of D6 = (15 D_1 − 6 D_2 + D_3)/10 has standard deviation 1.08 σ_f/h, where D_k is the
# slope over ±kh: σ_f/h · √((1.5² + 0.3² + 0.033²)/2). That of the one-sided P4 = 4 F_1 − 6 F_2 +
# 4 F_3 − F_4, F_k from x to x ± kh, is 5.6 σ_f/h. Five deviations of each; σ_f is the largest
# of several measured.
CENTRAL_NOISE, ONE_SIDED_NOISE = 5 * 1.08, 5 * 5.6
# A kink between the points shifts D6 by up to ½ its jump J of slope. It also takes the even part of
# the stencil, E_k = (f(x+kh) + f(x−kh) − 2f(x))/(kh)², off the parabola in k² that a smooth cost
# follows: 5E_1 − 8E_2 + 3E_3 is 2J/h for a kink at x. A quarter of that times h covers J/2, and
# for a kink anywhere else it covers the shift together with 2|D6 − D4|.
KINK_FACTOR, SEVERAL_KINKS = 0.25, 3.0
# Converging: every order corrects by much less than the one before. Where only noise shows, that
# cannot be seen, and the error is twelve times the first correction: enough for |x|^{4/3} at 0.
CONVERGING, SLOWLY = 1 / 16, 12.0
# Orders 2 and 4 of a cost analytic within R of x are off by c_3 h² and 4 c_5 h⁴, c_k ~ R^{1−k}.
# With √2 times the scale of x for R, the second correction counts for 2h²/scale² of the first at
# least: a c_5 that happens to vanish is no precision.
AT_LEAST = 2.0


@dataclass(frozen=True)
class Trial:
    """What one step of each coordinate gave: (m,) arrays."""

    value: FloatArray
    error: FloatArray
    ratio: FloatArray  # by which the step should change
    kink: FloatArray  # how much of one stands out from the noise, else 0
    round_off: FloatArray


# of costs by steps (m, k), x (m,), h (m,), the scale of x (m,), the cost at x, and its noise
Stencil: TypeAlias = Callable[
    [Callable[[Any], Any], FloatArray, FloatArray, FloatArray, Any, Noise], Trial
]


def central(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise,
) -> Trial:
    """Take the slope of order 6 from ±h, ±2h, ±3h; a kink between them widens its error."""
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
    last = np.maximum(np.abs(d6 - d4), AT_LEAST * (h / scale) ** 2 * first)
    settled, truncation = _settled(first, last, round_off)
    settled &= kink <= 1.25 * round_off
    # where one kink shows there may be more, and they may hide from each other
    error = np.where(settled, truncation + SEVERAL_KINKS * kink + round_off, np.inf)
    shown = np.where(kink > 8 * round_off, kink, 0)
    return Trial(d6, error, _ratio(first, truncation, round_off, error), shown, round_off)


def one_sided(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise,
    side: int,
) -> Trial:
    """Take the slope of order 4 on one side (±1), from h to 4h."""
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
    return Trial(p4, error, ratio, np.zeros(x.shape), round_off)


def steps_taken(x: Any, steps: Any) -> Any:
    """Return what the dtype of x leaves of steps from it, in float64 at least."""
    at = x.astype(np.result_type(x.dtype, np.float64))
    return (at + steps).astype(x.dtype).astype(at.dtype) - at


def _move(
    costs: Callable[[Any], Any], x: FloatArray, h: FloatArray, f0: Any, multiples: list[int]
) -> tuple[Any, Any]:
    """Return the costs at x (m,) moved by multiples (k,) of h, and how much they differ: (m, k).

    The dtype of x rounds x + kh. The differences are carried over from the steps really taken to kh
    along the polynomial through all of them: what that adds is small, it need not be accurate.
    """
    k = np.array(multiples)
    steps = steps_taken(x[:, None], k * h[:, None])
    moved = costs(steps)
    off = moved - f0
    if (steps == k * h[:, None]).all():  # none was rounded
        return moved, off
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
    ratio = np.minimum(np.maximum((round_off / (4 * truncation)) ** 0.2, 1 / 8), 4)
    ratio = np.where(first <= round_off / 2, 4, ratio)  # nothing but noise shows
    return np.where(np.isfinite(error), ratio, 1 / 8)
