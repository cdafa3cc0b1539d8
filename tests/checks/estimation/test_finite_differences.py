"""Central differences: the interval holds the derivative, and is narrow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import numerical_gradient
from tests.checks.functions import SMOOTH, X, rough


def central(cost, x, seed=0):
    estimate = numerical_gradient(cost, x, method="central", seed=seed)
    assert estimate.method == "central"
    return estimate.value, estimate.error


def assert_holds(value, error, exact):
    # the float64 formula of the derivative is itself off by a few ulp
    assert np.all(np.abs(value - exact) <= error + 4 * np.spacing(np.abs(exact)))


@pytest.mark.parametrize("name", SMOOTH)
def test_the_interval_holds_the_derivative_and_is_narrow(name):
    cost, gradient, point = SMOOTH[name]
    # fixed seeds: the noise is measured, so an interval may miss, less than once in a thousand
    for seed in range(40):
        x = point * np.random.default_rng(seed).uniform(0.8, 1.25, point.shape)
        value, error = central(cost, x, seed=seed)
        exact = gradient(x)
        assert_holds(value, error, exact)
        if name not in ("square at 0", "perfect fit", "large offset", "many scales"):
            assert error.max() <= 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
@pytest.mark.parametrize("name", ["square", "exponential", "sine", "logistic", "Rosenbrock"])
def test_parameters_in_another_precision_than_the_cost(name, dtype):
    # x ± h is rounded to the dtype of x, by far more than the noise of the cost
    cost, gradient, point = SMOOTH[name]
    x = (10 * point).astype(dtype) / dtype(10)
    value, error = central(lambda x: cost(x.astype(np.float64)), x)
    assert_holds(value, error, gradient(x.astype(np.float64)))
    # far below the effect of rounding x ± h, and below the tolerance of a claim in this dtype
    assert error.max() <= max(1e-6, float(np.finfo(dtype).eps) ** 0.5) * np.abs(gradient(x)).max()


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1e-4])
def test_noise_widens_the_interval_no_more_than_necessary(size):
    for seed in range(40):
        x = X * np.random.default_rng(seed).uniform(0.8, 1.25, X.shape)
        value, error = central(lambda x: np.sum(np.exp(x)) + size * rough(x), x, seed=seed)
        assert_holds(value, error, np.exp(x))
        assert error.max() <= 300 * size**0.8  # the minimum over h of h⁴ + noise/h


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_nearby_is_not_crossed(distance, side):
    x = X + side * distance
    value, error = central(lambda x: np.sum(np.abs(x - X) + x**2), x)
    assert_holds(value, error, np.sign(x - X) + 2 * x)
    assert error.max() <= 1e-9 / distance


@pytest.mark.parametrize("left", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("right", [1.0, 0.5, -3.0])
def test_at_a_kink_the_interval_holds_both_slopes_and_all_between(left, right):
    def cost(x):
        return np.sum(np.where(x > X, right, left) * (x - X) + np.exp(x - X))

    value, error = central(cost, X.copy())
    for slope in np.linspace(left, right, 5):
        assert_holds(value, error, 1 + slope + 0 * X)


def test_a_jump_is_not_taken_for_a_slope():
    value, error = central(lambda x: np.sum(x > X) + np.sum(x), X.copy())
    assert_holds(value, error, 1.0 + 0 * X)
    assert np.isinf(error).all()


def test_an_entry_that_the_cost_ignores_has_no_slope():
    value, error = central(lambda x: x[0] ** 2 + np.sin(x[2]), X.copy())
    assert value[[1, 3]].tolist() == [0, 0]
    assert error.max() <= 1e-9


@given(seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_estimate(seed):
    cost, _, x = SMOOTH["Rosenbrock"]
    for first, second in zip(central(cost, x, seed), central(cost, x, seed), strict=True):
        np.testing.assert_array_equal(first, second)
