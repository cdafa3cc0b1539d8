"""Stencils: formulas for the slope of a cost from a few points around x, each with an error.

`Stencil` says what one takes and returns, and what a new one needs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from checks._types import FloatArray
from checks.estimation.coordinates import NoiseAt
from checks.estimation.noise import Noise
from checks.evaluation.step_sizes import steps_taken

__all__ = ["Stencil", "Trial", "central", "one_sided"]

# Noise factor: five standard deviations of the noise in a formula's slope, in units of σ_f/h, where
# σ_f is the noise of one cost. A slope Σ_j a_j f(x_j)/h has the standard deviation √(Σ a_j²) σ_f/h.
# Central, D6 = (15 D_1 − 6 D_2 + D_3)/10 with D_k = (f(x+kh) − f(x−kh))/(2kh): each weight w_k
# gives two a_j = ±w_k/(2k), so √((1.5² + (0.6/2)² + (0.1/3)²)/2) = 1.08.
# One-sided, P4 = 4 F_1 − 6 F_2 + 4 F_3 − F_4 with F_k = (f(x±kh) − f(x))/(±kh): a_k = w_k/k are
# 4, −3, 4/3, −1/4, and f(x) has −25/12, so √31.2 = 5.6.
CENTRAL_NOISE, ONE_SIDED_NOISE = 5 * 1.08, 5 * 5.6
# Kink factor: where the slope jumps by J at x, either side is J/2 off D6, their mean. This shows
# in the even part of the cost, E_k = (f(x+kh) + f(x−kh) − 2f(x))/(kh)². A smooth cost has
# E_k = f'' + c k² + …, and 5E_1 − 8E_2 + 3E_3 cancels both terms: (5, −8, 3) is the vector
# orthogonal to (1, 1, 1) and (1, 4, 9). A kink at x has E_k = J/(kh), and the sum is 2J/h. So h/4
# of it is J/2. A kink elsewhere between the points shifts D6 by at most J/2, which this and the
# truncation error 2|D6 − D4| cover together.
KINK_FACTOR = 0.25
SEVERAL_KINKS = 3.0  # factor on a kink found: it may be what is left of several that cancel
# A correction is the difference of two orders. If the last one is at most CONVERGING times the
# first, the orders converge, and the truncation error is twice the last. If noise hides whether
# they do, it is 512 ρ² times the last, where ρ is last / first, but at most 12 times the larger
# one. This covers costs like sign(x)|x|^p at 0, which are off by 4.7 times the last correction
# at ρ = 0.11 (p = 5/2), 9 at 0.20 (p = 2), 22 at 0.27 (p = 3/2), 35 at 0.28 (p = 4/3).
CONVERGING, UNCERTAIN, UNCERTAIN_RATIO = 1 / 16, 12.0, 512.0
# D_1 is off by c_3 h², D4 by 4 c_5 h⁴, with the Taylor coefficients c_k of the cost. If c_5 is 0 by
# chance, the last correction D6 − D4 is too small. So it counts as at least 2h²/scale² times the
# first: c_k ~ R^{1−k} for a cost analytic within R of x, and R = √2 · the scale of x is assumed.
LEAST_CORRECTION = 2.0


@dataclass(frozen=True)
class Trial:
    """What a stencil says of m coordinates, each with its own step: (m,) arrays.

    Attributes
    ----------
    value : float
        The slope.
    error : float
        Bound on |value − slope|: truncation, noise and kinks; inf where orders do not converge.
    step_ratio : float
        The factor on the step that would make the error smallest, within 1/8 … 4.
    slope_jump : float
        Half of the jump of slope at a kink between the points, where it stands out from the noise;
        else 0.
    round_off : float
        The part of the error that is noise: noise factor · noise / h.
    correction : float
        The first correction: the slope of the lowest order is off by about as much.
    curvature, curvature_change : float
        The second derivative from the innermost points, and by how much that of the next ones
        differs; 0 of a one-sided stencil.
    """

    value: FloatArray
    error: FloatArray
    step_ratio: FloatArray
    slope_jump: FloatArray
    round_off: FloatArray
    correction: FloatArray
    curvature: FloatArray
    curvature_change: FloatArray


class Stencil(Protocol):
    """A formula for slopes from costs at multiples of a step; `central` is the model of one.

    A new one needs

    - formulas of at least three orders on the same points. The differences of neighbours are the
      corrections by which `_truncation` tells whether they converge, and how far the best is off;
    - a noise factor, derived as above `CENTRAL_NOISE`;
    - a kink factor if its points lie on both sides, derived as above `KINK_FACTOR`: a combination
      of the E_k that cancels the smooth terms 1, k², …, and what it gives for a kink at x;
    - the power p of h with which its last correction grows, in `_step_ratio`: p = 4 for D6 − D4;
    - the first step in `step_selection.first_step`: order n has h^(n+1) ~ the relative noise;
    - a place where it is used: `differences` and `directional_difference` in `finite_differences`.

    Order 8, say, adds ±4h and D8 = (56 D_1 − 28 D_2 + 8 D_3 − D_4)/35. Its last correction D8 − D6
    has p = 6, and its first step is (relative noise)^(1/9).
    """

    def __call__(
        self,
        costs: Callable[[Any], Any],
        x: FloatArray,
        h: FloatArray,
        scale: FloatArray,
        f0: Any,
        noise: Noise | NoiseAt,
        /,
    ) -> Trial:
        """Return the slopes by m coordinates.

        Parameters
        ----------
        costs
            Takes steps (m, k) from x, returns costs (m, k).
        x, h, scale : (m,) float
            The coordinates, the steps from them, and their typical sizes.
        f0
            The cost at x.
        noise
            Of the cost; its level is read after `costs` was called.
        """


def central(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise | NoiseAt,
) -> Trial:
    """Take the slope of order 6 from ±h, ±2h, ±3h; a kink between them widens its error."""
    moved, change = _move(costs, x, h, f0, [1, 2, 3, -1, -2, -3])
    above, below = change[:, :3], change[:, 3:]
    kh = np.array([1, 2, 3]) * h[:, None]
    # D_k = (f(x+kh) − f(x−kh))/(2kh)
    d1, d2, d3 = ((above - below) / (2 * kh)).T
    # E_k = (f(x+kh) + f(x−kh) − 2f(x))/(kh)²
    e1, e2, e3 = ((above + below) / kh**2).T
    # Richardson extrapolation: weights that add up to 1 and cancel terms in k², and then in k⁴
    d4 = (4 * d1 - d2) / 3
    d6 = (15 * d1 - 6 * d2 + d3) / 10
    round_off = _round_off(moved, h, noise, CENTRAL_NOISE)
    # a smooth cost has higher terms and noise: |E_2 − E_1|/2 and a third of round_off are taken off
    bend = np.abs(5 * e1 - 8 * e2 + 3 * e3) - np.abs(e2 - e1) / 2
    kink = np.maximum(KINK_FACTOR * h * bend - round_off / 3, 0)
    first = np.abs(d4 - d1)
    last = np.maximum(np.abs(d6 - d4), LEAST_CORRECTION * (h / scale) ** 2 * first)
    converges, truncation = _truncation(first, last, round_off)
    converges &= kink <= 1.25 * round_off
    error = np.where(converges, truncation + SEVERAL_KINKS * kink + round_off, np.inf)
    slope_jump = np.where(kink > 8 * round_off, kink, 0)
    step_ratio = _step_ratio(first, truncation, round_off, error)
    return Trial(d6, error, step_ratio, slope_jump, round_off, first, e1, np.abs(e2 - e1))


def one_sided(
    costs: Callable[[Any], Any],
    x: FloatArray,
    h: FloatArray,
    scale: FloatArray,
    f0: Any,
    noise: Noise | NoiseAt,
    side: int,
) -> Trial:
    """Take the slope of order 4 on one side (±1), from h to 4h."""
    k = [side * k for k in (1, 2, 3, 4)]
    moved, change = _move(costs, x, h, f0, k)
    # F_k = (f(x±kh) − f(x))/(±kh)
    f1, f2, f3, f4 = (change / (np.array(k) * h[:, None])).T
    # extrapolation: weights that add up to 1 and cancel terms in k, then in k², then in k³
    p2 = 2 * f1 - f2
    p3 = 3 * f1 - 3 * f2 + f3
    p4 = 4 * f1 - 6 * f2 + 4 * f3 - f4
    round_off = _round_off(moved, h, noise, ONE_SIDED_NOISE)
    first = np.abs(p3 - p2)
    converges, truncation = _truncation(first, np.abs(p4 - p3), round_off)
    error = np.where(converges, truncation + round_off, np.inf)
    step_ratio = _step_ratio(first, truncation, round_off, error)
    none = np.zeros(x.shape)
    return Trial(p4, error, step_ratio, none, round_off, first, none, none)


def _move(
    costs: Callable[[Any], Any], x: FloatArray, h: FloatArray, f0: Any, multiples: list[int]
) -> tuple[Any, Any]:
    """Return the costs at x (m,) moved by multiples (k,) of h, and their changes from f0: (m, k).

    The dtype of x rounds x + kh, so the costs belong to slightly different steps. The polynomial
    through all of them gives the changes at kh. The correction is small, so that float64 does.
    """
    k = np.array(multiples)
    steps = steps_taken(x[:, None], k * h[:, None])
    moved = costs(steps)
    change = moved - f0
    if (steps == k * h[:, None]).all():  # no step was rounded
        return moved, change
    powers = np.arange(1, k.size + 1)
    taken = (steps / h[:, None])[..., None] ** powers
    coefficients = np.linalg.solve(taken.astype(np.float64), change[..., None].astype(np.float64))
    return moved, change + ((k[:, None] ** powers - taken) @ coefficients)[..., 0]


def _round_off(
    moved: FloatArray, h: FloatArray, noise: Noise | NoiseAt, factor: float
) -> FloatArray:
    """Return the noise of a slope: factor · noise / h, with at least the rounding of the costs."""
    rounding = np.finfo(moved.dtype).eps * np.abs(moved).max(axis=1, initial=0)
    return factor * np.maximum(noise.level, rounding) / h  # type: ignore[no-any-return]


def _truncation(
    first: FloatArray, last: FloatArray, round_off: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return whether two successive corrections converge, noise aside, and the truncation error."""
    converges = last <= CONVERGING * first + round_off / 8
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = last / first
        uncertain = np.fmin(UNCERTAIN * np.maximum(first, last), UNCERTAIN_RATIO * ratio**2 * last)
    return converges, np.where(last <= CONVERGING * first, 2 * last, uncertain)


def _step_ratio(
    first: FloatArray, truncation: FloatArray, round_off: FloatArray, error: FloatArray
) -> FloatArray:
    """Return the factor on the step that would make the error smallest, within 1/8 … 4."""
    # In `central` the error is c h⁴ + r/h, with c h⁴ ~ D6 − D4. It is smallest where r/h = 4 c h⁴.
    # This is close enough for `one_sided`, whose error is c h³ + r/h.
    ratio = np.minimum(np.maximum((round_off / (4 * truncation)) ** 0.2, 1 / 8), 4)
    ratio = np.where(first <= round_off / 2, 4, ratio)  # the corrections are noise
    return np.where(np.isfinite(error), ratio, 1 / 8)
