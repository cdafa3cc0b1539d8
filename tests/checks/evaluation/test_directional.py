"""Directions of whole arrays: slopes by complex steps, costs along a line, what is claimed."""

import numpy as np
import pytest

from checks.evaluation.directional import DirectionalEvaluations

X = {"w": np.array([[0.5, -1.0], [2.0, 0.25]]), "b": np.array([1.5, -0.5])}
SLOPES = {"w": np.cos(X["w"]), "b": 3 * X["b"] ** 2}


def cost(p):
    return np.sum(np.sin(p["w"])) + np.sum(p["b"] ** 3)


def product(evaluations, moves):
    """Return ∇C · v with the entries of v written out."""
    return sum(
        np.sum(SLOPES[path].reshape(v.region.shape) * v.values_in(v.region))
        for path, v in moves.items()
    )


@pytest.mark.parametrize("scales", [{"w": 1.0}, {"b": 0.5}, {"w": 2.0, "b": 0.25}])
def test_slopes_and_claims_along_directions(scales):
    evaluations = DirectionalEvaluations(cost, X, SLOPES, 0)
    moves = evaluations.directions(scales)
    assert moves.keys() == scales.keys()
    expected = product(evaluations, moves)
    assert evaluations.claimed_slope(moves) == pytest.approx(expected, rel=1e-14)
    (found,) = evaluations.complex_slopes([moves])
    assert found == pytest.approx(expected, rel=1e-13)
    other = evaluations.directions(scales)
    assert evaluations.claimed_slope(other) != evaluations.claimed_slope(moves)
    h = 1e-6
    (nudged,) = evaluations.complex_slopes([moves], h)
    second = sum(
        np.sum((-np.sin(X["w"]) if p == "w" else 6 * X["b"]).reshape(v.region.shape)
               * v.values_in(v.region) ** 2)
        for p, v in moves.items()
    )  # fmt: skip
    assert (nudged - found) / h == pytest.approx(second, rel=1e-4)


def test_a_cost_that_takes_no_complex_numbers_has_no_such_slopes():
    evaluations = DirectionalEvaluations(lambda p: float(cost(p)), X, SLOPES, 0)
    assert np.isnan(evaluations.complex_slopes([evaluations.directions({"w": 1.0})])).all()


def test_slopes_that_a_cost_supplies_are_taken():
    class Supplied:
        def __call__(self, p):
            return cost(p)

        def slopes(self, params):
            return lambda directions: np.arange(1.0, 1 + len(directions))

    evaluations = DirectionalEvaluations(Supplied(), X, SLOPES, 0)
    moves = evaluations.directions({"w": 1.0})
    assert evaluations.supplies_slopes
    np.testing.assert_array_equal(evaluations.complex_slopes([moves, moves]), [1, 2])


def test_the_largest_claims_and_their_norms():
    evaluations = DirectionalEvaluations(cost, X, {"w": -SLOPES["w"], "b": SLOPES["b"]}, 0)
    for path, slopes in SLOPES.items():
        assert evaluations.largest[path] == np.abs(slopes).max()
        assert evaluations.norms[path] == pytest.approx(np.linalg.norm(slopes))
    assert evaluations.at_point == cost(X)
