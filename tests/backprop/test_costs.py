"""Costs and their slopes, exact where a textbook's formula overflows or cancels."""

import numpy as np
import pytest

from backprop import Network
from backprop.costs import COSTS
from tests.exact import exact_cost, exact_gradient

EXTREME = np.array([[0.0, 0.0, 0.0], [800.0, -800.0, 3.0], [40.0, 1.0, 2.0], [-40.0, -41.0, -42.0]])
TARGETS = np.array([[0.2, 0.7, 0.1], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])


def line(a, cost):
    """Return a network whose one layer is a^L = b, for rows that stand for themselves."""
    net = Network((1, len(a)), "identity", cost)
    theta = net.random_parameters(np.random.default_rng(0))
    theta.weights[0][...] = 0
    theta.biases[0][...] = a
    return net, theta


@pytest.mark.parametrize("cost", [*COSTS])
@pytest.mark.parametrize(("a", "y"), [*zip(EXTREME, TARGETS, strict=True)])
def test_every_entry_keeps_its_digits(cost, a, y):
    row, (net, theta) = COSTS[cost], line(a, cost)
    exact = exact_gradient(net, theta, [1.0], y)[1][0].astype(float)
    np.testing.assert_allclose(row.slope(a, y), exact, rtol=1e-14, atol=1e-16 * (cost[0] != "c"))
    value = float(exact_cost(net, theta, [1.0], y))
    np.testing.assert_allclose(row.value(a, y), value, rtol=1e-14)


@pytest.mark.parametrize("cost", [*COSTS])
def test_complex_step_sees_the_slope(cost):
    row, h = COSTS[cost], 1e-30
    for i in range(3):
        stepped = EXTREME + 1j * h * (np.arange(3) == i)
        slope = row.slope(EXTREME, TARGETS)[:, i]
        np.testing.assert_allclose(
            row.value(stepped, TARGETS).imag / h, slope, rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("cost", [*COSTS])
def test_one_output(cost):
    a, y = np.array([[2.0], [-900.0]]), np.array([[1.0], [0.5]])
    assert COSTS[cost].value(a, y).shape == (2,)
    assert COSTS[cost].slope(a, y).shape == (2, 1)
    if cost == "softmax_cross_entropy":  # p = 1, whatever a is
        assert not COSTS[cost].slope(a, y).any()
