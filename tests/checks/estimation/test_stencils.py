"""Stencils alone, without a choice of steps: their order, noise factor, kinks and step ratio."""

from functools import partial

import numpy as np
import pytest

from checks.estimation.noise import Noise
from checks.estimation.stencils import CENTRAL_NOISE, ONE_SIDED_NOISE, central, one_sided

# A stencil, its order, and its noise factor. A new one has a row here.
STENCILS = {
    "central": (central, 6, CENTRAL_NOISE),
    "from the right": (partial(one_sided, side=1), 4, ONE_SIDED_NOISE),
    "from the left": (partial(one_sided, side=-1), 4, ONE_SIDED_NOISE),
}


def trial(stencil, cost, h, level=0.0):
    """Apply a stencil at 0 to a cost of an array, with steps h (m,), in units of a scale of 1."""
    h = np.atleast_1d(np.asarray(h, np.longdouble))
    x, noise = np.zeros(h.shape, np.longdouble), Noise(level, level, False, False)
    f0 = cost(np.zeros((h.size, 1), np.longdouble))
    with np.errstate(divide="ignore", invalid="ignore"):  # as in a check: x/0 only sets the step
        return stencil(cost, x, h, np.ones(h.shape), f0, noise)


@pytest.mark.parametrize("name", STENCILS)
def test_the_error_falls_as_h_to_the_order(name):
    stencil, order, _ = STENCILS[name]
    h = np.array([0.02, 0.01, 0.005])
    error = np.abs(trial(stencil, lambda s: np.exp(s) + s**2 / 2, h).value - 1)
    np.testing.assert_allclose(np.log2(error[:-1] / error[1:]).astype(float), order, atol=0.1)


@pytest.mark.parametrize("name", STENCILS)
@pytest.mark.parametrize("power", range(8))
def test_a_polynomial_of_at_most_the_order_has_no_error(name, power):
    stencil, order, _ = STENCILS[name]
    (value,) = trial(stencil, lambda s: s**power, 0.5).value
    error = abs(float(value) - (power == 1))
    even_cancels = name == "central" and power % 2 == 0
    assert (error < 1e-15) == (power <= order or even_cancels)


@pytest.mark.parametrize("name", STENCILS)
def test_the_noise_factor_is_five_standard_deviations(name):
    stencil, _, factor = STENCILS[name]
    rng, trials, h = np.random.default_rng(0), 40_000, 0.01
    slopes = trial(stencil, lambda s: rng.standard_normal(s.shape), np.full(trials, h)).value
    assert float(np.std(slopes)) == pytest.approx(factor / 5 / h, rel=0.02)
    estimate = trial(stencil, lambda s: np.zeros(s.shape), h, level=1e-3)
    assert float(estimate.round_off[0]) == pytest.approx(factor * 1e-3 / h)


@pytest.mark.parametrize("jump", [-2.0, 3.0])
def test_a_kink_at_x_has_no_derivative(jump):
    kinked = trial(central, lambda s: jump * np.maximum(s, 0) + 0.7 * s, 0.01, level=1e-9)
    assert np.isinf(kinked.error[0])
    assert abs(jump) / 4 < float(kinked.slope_jump[0]) <= abs(jump) / 2


@pytest.mark.parametrize("jump", [-0.01, 0.01])
@pytest.mark.parametrize("level", [1e-6, 1e-5, 1e-4, 1e-3])
def test_where_a_trial_converges_its_error_holds_a_kink_anywhere(jump, level):
    for where in np.linspace(-4, 4, 201):

        def cost(s, where=where):
            return s + jump * np.maximum(s - where * 0.01, 0)

        estimate = trial(central, cost, 0.01, level)
        slopes = sorted((1 + jump * (where < 0), 1 + jump * (where <= 0)))
        outside = max(slopes[1] - estimate.value[0], estimate.value[0] - slopes[0])
        assert outside <= estimate.error[0], where


@pytest.mark.parametrize("h", [1e-3, 1e-2, 3e-2])
def test_a_smooth_cost_shows_no_kink(h):
    assert trial(central, lambda s: np.exp(s) + np.cos(3 * s), h, 1e-17).slope_jump == 0


@pytest.mark.parametrize("name", STENCILS)
def test_the_step_ratio_leads_to_a_step_with_nearly_the_smallest_error(name):
    stencil, _, _ = STENCILS[name]
    level, h = 1e-13, np.geomspace(1e-4, 0.3, 400)
    errors = trial(stencil, lambda s: np.exp(3 * s), h, level).error
    step = 0.05
    for _ in range(8):
        ratio = float(trial(stencil, lambda s: np.exp(3 * s), step, level).step_ratio[0])
        step = min(step * ratio, 0.3)
    reached = trial(stencil, lambda s: np.exp(3 * s), step, level).error[0]
    assert reached <= 2 * errors.min()


# What a trial says, by hand. All steps are powers of two, so that nothing is rounded.

SIGNED_SIZES = [1.0, -(2.0**-80), 2.0**80]
SCALED = pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**20])
SIZED = pytest.mark.parametrize("size", SIGNED_SIZES)


def said(stencil, taylor, h, scale, size, round_off=0.0, factor=1.0):
    """Apply a stencil to size · Σ taylor_k t^k with t = s/scale and a step of h · scale.

    Slopes of what is returned are in units of size/scale, `round_off` as well.
    """

    def cost(s):
        return size * np.polynomial.polynomial.polyval(s / scale, taylor)

    level = abs(size) * round_off * h / factor
    noise, x = Noise(level, level, False, False), np.zeros(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stencil(cost, x, np.array([h * scale]), np.array([scale]), cost(0.0), noise)
    unit = size / scale
    return {
        "value": found.value.item() / unit,
        "error": found.error.item() / abs(unit),
        "step_ratio": found.step_ratio.item(),
        "slope_jump": found.slope_jump.item() / abs(unit),
        "round_off": found.round_off.item() / abs(unit),
        "correction": found.correction.item() / abs(unit),
        "curvature": found.curvature.item() / unit * scale,
        "curvature_change": found.curvature_change.item() / abs(unit) * scale,
    }


@SIZED
@SCALED
def test_central_of_a_cubic(size, scale):
    # D_k = 1 + 3 (kh)², E_k = 10, D4 = D6 = 1. The first correction is 3h²; the last is 0, so that
    # it counts as 2h² · 3h², and the error is twice that.
    h, r = 1 / 8, 6e-4
    found = said(central, [0, 1, 5, 3], h, scale, size, r, CENTRAL_NOISE)
    error = 12 * h**4
    ratio = (r / (4 * error)) ** 0.2
    assert 1 / 8 < ratio < 1
    assert found == pytest.approx(
        {
            "value": 1, "error": error + r, "step_ratio": ratio, "slope_jump": 0, "round_off": r,
            "correction": 3 * h**2, "curvature": 10, "curvature_change": 0,
        },
        rel=1e-9, abs=1e-12,
    )  # fmt: skip


@SIZED
@SCALED
def test_central_of_a_polynomial_of_order_5(size, scale):
    # D_k = 1 + 3 (kh)² + c (kh)⁴: D4 − D1 = −(3h² + 5ch⁴), D6 = 1, D4 − D6 = −4ch⁴
    h, c = 1 / 8, 8.0
    found = said(central, [0, 1, 0, 3, 0, c], h, scale, size)
    first, last = 3 * h**2 + 5 * c * h**4, 4 * c * h**4
    assert 2 * h**2 * first < last
    assert last > first / 16  # it does not converge, and there is no noise that hides this
    assert found["error"] == np.inf
    assert found["step_ratio"] == 1 / 8
    assert found["value"] == pytest.approx(1)
    assert found["correction"] == pytest.approx(first)
    h = 1 / 32
    found = said(central, [0, 1, 0, 3, 0, c], h, scale, size)
    first, last = 3 * h**2 + 5 * c * h**4, 4 * c * h**4
    assert 2 * h**2 * first < last < first / 16
    assert found["error"] == pytest.approx(2 * last)
    assert found["step_ratio"] == 1 / 8  # no noise: shorter is better


@SIZED
@SCALED
def test_central_where_noise_hides_whether_orders_converge(size, scale):
    # first = h² + 5ch⁴, last = 4ch⁴, their ratio ρ
    h = 1 / 8
    for rho in (1 / 8, 1 / 5, 1 / 3, 1.0, 4 / 5 * 0.99):
        c = rho / (4 - 5 * rho) / h**2
        first, last = abs(h**2 + 5 * c * h**4), abs(4 * c * h**4)
        assert last == pytest.approx(rho * first)
        truncation = min(512 * rho**2 * last, 12 * max(first, last))
        # convergence is hidden from r/8 = last − first/16 on
        hidden = 8 * (last - first / 16)
        seen, unseen = (
            said(central, [0, 1, 0, 1, 0, c], h, scale, size, r, CENTRAL_NOISE)
            for r in (0.99 * hidden, 1.01 * hidden)
        )
        assert seen["error"] == np.inf
        assert unseen["error"] == pytest.approx(truncation + 1.01 * hidden)
        ratio = (1.01 * hidden / (4 * truncation)) ** 0.2
        # corrections of less than half of the noise are noise
        ratio = 4 if first <= 1.01 * hidden / 2 else ratio
        assert unseen["step_ratio"] == pytest.approx(ratio)


@SIZED
@SCALED
def test_corrections_that_are_noise_ask_for_a_longer_step(size, scale):
    h = 1 / 8
    for r, longer in ((1.99 * 3 * h**2, False), (2.01 * 3 * h**2, True)):
        ratio = said(central, [0, 1, 5, 3], h, scale, size, r, CENTRAL_NOISE)["step_ratio"]
        assert (ratio == 4) == longer
    # no step is more than 4 times the last: this ratio would be (3/2 · 2¹⁰)^(1/5)
    h = 2.0**-7
    assert said(central, [0, 1, 5, 3], h, scale, size, 4.5 * h**2, CENTRAL_NOISE)["step_ratio"] == 4


def test_the_curvature_of_a_quartic_changes():
    # E_k = 2 · 5 + 2 · 7 (kh)²
    h = 1 / 16
    for size in SIGNED_SIZES:
        found = said(central, [0, 1, 5, 0, 7], h, 4.0, size)
        assert found["curvature"] == pytest.approx(10 + 14 * h**2)
        assert found["curvature_change"] == pytest.approx(14 * 3 * h**2)


@SIZED
@SCALED
@pytest.mark.parametrize("side", [1, -1])
def test_one_sided_of_a_quartic(size, scale, side):
    # F_k = 1 + 2u + 5u² + 7u³ with u = ±kh; P2 = 1 − 10h² ∓ 42h³, P3 = 1 ± 42h³, P4 = 1
    h, r = 1 / 32, 6e-5
    stencil = partial(one_sided, side=side)
    found = said(stencil, [0, 1, 2, 5, 7], h, scale, size, r, ONE_SIDED_NOISE)
    first, last = 10 * h**2 + side * 84 * h**3, 42 * h**3
    assert last > first / 16
    assert found["error"] == np.inf  # not by so little noise
    assert found["correction"] == pytest.approx(first)
    assert found["value"] == pytest.approx(1, abs=1e-9)
    h = 2.0**-9
    first, last = 10 * h**2 + side * 84 * h**3, 42 * h**3
    found = said(stencil, [0, 1, 2, 5, 7], h, scale, size, r := 6e-7, ONE_SIDED_NOISE)
    assert found == pytest.approx(
        {
            "value": 1, "error": 2 * last + r, "step_ratio": (r / (8 * last)) ** 0.2,
            "slope_jump": 0, "round_off": r, "correction": first, "curvature": 0,
            "curvature_change": 0,
        },
        rel=1e-6, abs=1e-12,
    )  # fmt: skip
    hidden = said(stencil, [0, 1, 2, 5, 7], h, scale, size, 2.01 * first, ONE_SIDED_NOISE)
    assert hidden["step_ratio"] == 4


@SCALED
@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_kink_at_x_adds_to_the_error(scale, sign):
    # f = J max(s, 0): D_k = J/2, E_k = J/(kh), so that 5E_1 − 8E_2 + 3E_3 = 2J/h. Less the bend of
    # higher terms, |E_2 − E_1|/2 = J/(4h), it is 7J/(4h), and h/4 of it is 7J/16; less r/3.
    h, r = 2.0**-7, 1.0

    def kinked(jump):
        level = r / scale * h * scale / CENTRAL_NOISE
        cost = lambda s: sign * jump * np.maximum(s, 0) / scale  # noqa: E731
        noise, x = Noise(level, level, False, False), np.zeros(1)
        with np.errstate(divide="ignore"):
            found = central(cost, x, np.array([h * scale]), np.array([scale]), 0.0, noise)
        return [float(v[0]) * scale for v in (found.value, found.error, found.slope_jump)]

    assert kinked(0.75) == pytest.approx([sign * 0.375, 1.0, 0])  # hidden in the noise
    value, error, jump = kinked(2.0)
    assert value == pytest.approx(sign)
    assert error == pytest.approx(1 + 3 * (7 / 8 - 1 / 3))
    assert jump == 0
    least = (1.25 + 1 / 3) * 16 / 7  # of a jump that stands out from the noise
    assert np.isfinite(kinked(0.99 * least)[1])
    assert np.isinf(kinked(1.01 * least)[1])
    least = (8 + 1 / 3) * 16 / 7  # of one whose size is known
    assert kinked(0.99 * least)[2] == 0
    assert kinked(1.01 * least)[2] == pytest.approx(1.01 * least * 7 / 16 - 1 / 3)


@pytest.mark.parametrize("name", STENCILS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_rounding_of_the_largest_cost_is_noise_too(name, sign):
    stencil, _, factor = STENCILS[name]

    def cost(s):
        return sign * (1000.0 + 64 * np.abs(s)) + 3.0 * s

    h = 0.25
    noise, x = Noise(0.0, 0.0, False, False), np.zeros(1)
    with np.errstate(divide="ignore"):
        found = stencil(cost, x, np.array([h]), np.ones(1), cost(0.0), noise)
    side = 0 if stencil is central else stencil.keywords["side"]
    steps = h * (side * np.arange(5) if side else np.arange(-3, 4))
    largest = np.abs(cost(steps)).max()
    assert found.round_off.item() == pytest.approx(factor * 2.0**-52 * largest / h)


def test_steps_that_the_dtype_of_x_rounds_are_repaired():
    # the cost is a polynomial, so the one through its costs gives exactly the costs at ±kh
    x, h = np.array([0.7], np.float32), np.array([1.3e-4])
    wide = float(x[0])

    def cost(s):
        return (s + s**2 - 5 * s**3) * 2.0**10

    for stencil, _, _ in STENCILS.values():
        noise = Noise(0.0, 0.0, False, False)
        rounded = stencil(cost, x, h, np.ones(1), 0.0, noise)
        exact = stencil(cost, np.zeros(1), h, np.ones(1), 0.0, noise)
        taken = (wide + h).astype(np.float32).astype(float) - wide
        assert abs(taken - h) > 1e-9
        assert rounded.value[0] == pytest.approx(exact.value[0], rel=1e-10)
        assert rounded.correction[0] == pytest.approx(exact.correction[0], rel=1e-4)


def test_a_cost_of_zero_has_a_slope_of_zero():
    for stencil, _, _ in STENCILS.values():
        noise = Noise(0.0, 0.0, False, False)
        with np.errstate(all="ignore"):  # as around the whole search
            found = stencil(lambda s: 0 * s, np.ones(1), np.array([0.5]), np.ones(1), 0.0, noise)
        assert (found.value[0], found.error[0]) == (0, 0)
