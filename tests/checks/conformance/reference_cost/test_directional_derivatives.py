"""Slopes of the reference's cost along directions of some arrays, and of parts of them."""

import numpy as np
import pytest

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.reference_cost.directional_derivatives import slopes
from checks.parameters.claims import flatten
from checks.parameters.random_directions import Direction, Region
from checks.strategies import Problem

SIZES = (4, 5, 3, 2)
P = Problem.generate(SIZES, 3, seed=0)
THETA = Parameters(P.weights, P.biases)
SHAPES = {path: array.shape for path, array in flatten(THETA).items()}
WHOLE = {path: Region.whole(shape) for path, shape in SHAPES.items()}
DIRECTIONS = {
    **{path: {path: region} for path, region in WHOLE.items()},
    "all": WHOLE,
    "weights": {path: r for path, r in WHOLE.items() if path.startswith("w")},
    "biases": {path: r for path, r in WHOLE.items() if path.startswith("b")},
    "first and last": {"weights[0]": WHOLE["weights[0]"], "biases[2]": WHOLE["biases[2]"]},
    "rows 2 to 3 of weights[0]": {"weights[0]": Region(2, 4, 0, 4)},
    "a block of weights[0]": {"weights[0]": Region(1, 4, 2, 3)},
    "a block of weights[1], above biases[0]": {
        "biases[0]": Region(0, 1, 1, 4), "weights[1]": Region(1, 3, 0, 2)
    },
    "a block of weights[1] beside its biases": {
        "weights[1]": Region(1, 2, 3, 5), "biases[1]": Region(0, 1, 2, 3)
    },
    "one entry of weights[2]": {"weights[2]": Region(1, 2, 2, 3)},
    "nothing": {},
}  # fmt: skip


def along(net, regions, scale):
    """Return ⟨∇C, v⟩ from the gradient, and v by path."""
    gradient = flatten(net.gradient(THETA, P.x, P.y))
    total, directions = 0.0, {}
    for number, (path, region) in enumerate(regions.items()):
        v = directions[path] = Direction(7, number, 0, region, scale)
        matrix = gradient[path].reshape(WHOLE[path].shape)[region.rows, region.columns]
        total += np.sum(matrix * v.values_in(region))
    return total, directions


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("cost_name", COSTS)
def test_a_slope_is_the_gradient_times_the_direction(cost_name, name):
    for activation in ACTIVATIONS:
        net = Network(SIZES, activation, cost_name)
        expected, directions = along(net, DIRECTIONS[name], 0.5)
        other, more = along(net, WHOLE, 2.0)
        found = slopes(net, THETA, P.x, P.y)([directions, more])
        np.testing.assert_allclose(found, [expected, other], rtol=1e-12, atol=1e-15)


def test_parameters_of_float32_have_slopes_in_float32():
    net = Network(SIZES, "tanh", "mean_squared")
    expected, directions = along(net, WHOLE, 1.0)
    narrow = Parameters(*([a.astype(np.float32) for a in part] for part in (P.weights, P.biases)))
    (found,) = slopes(net, narrow, P.x, P.y)([directions])
    assert found == pytest.approx(expected, rel=1e-5)
