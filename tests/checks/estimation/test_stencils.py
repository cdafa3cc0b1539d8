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
