"""Arrays by which the derivative is 0 exactly, while gradients return what rounding leaves of 0."""

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.estimation.precision import wider_dtype

MATCH, UNRESOLVED, MISMATCH = Verdict

pytestmark = pytest.mark.skipif(
    wider_dtype(np.float64) is None, reason="a long double is a float64 here"
)


def batch_normalised(dtype):
    """Return cost, gradient and parameters of a layer with a bias before its normalisation."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 5)).astype(dtype), rng.normal(size=(16, 4)).astype(dtype)

    def forward(p):
        z = x @ p["w"] + p["b"]
        deviation = np.sqrt(((z - z.mean(0)) ** 2).mean(0))
        h = (z - z.mean(0)) / deviation
        return h, deviation, np.tanh(h * p["g"])

    def cost(p):
        return ((forward(p)[-1] - y) ** 2).mean()

    def gradient(p):
        h, deviation, a = forward(p)
        slope = 2 * (a - y) / y.size * (1 - a * a)
        by_h = slope * p["g"]
        by_z = (by_h - by_h.mean(0) - h * (by_h * h).mean(0)) / deviation
        return {"w": x.T @ by_z, "b": by_z.sum(0), "g": (slope * h).sum(0)}

    shapes = {"w": (5, 4), "b": 4, "g": 4}
    return cost, gradient, {n: rng.normal(size=s).astype(dtype) for n, s in shapes.items()}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_rounding_leaves_of_zero_matches(dtype, method):
    cost, gradient, params = batch_normalised(dtype)
    report = check_gradient(cost, gradient, params, method=method)
    array = report.arrays["b"]
    assert report.verdict is MATCH
    assert array.claimed.any()  # else rounding has left nothing
    assert array.compared_nothing
    assert array.discrepancy == 0
    assert report.worst.path != "b"
    text = " ".join(str(report).split())
    assert "MATCH, zero to rounding" in text
    assert "does not change by more than rounding" in text
    assert report.detectable < 1e-2


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [
        (np.zeros(4), UNRESOLVED),  # a term may be forgotten: nothing shows that it cancels
        (np.full(4, 1e-14), UNRESOLVED),  # more than its own rounding, which is 0
        (np.full(4, 1e-7), MISMATCH),
    ],
)
def test_other_claims_do_not(claimed, verdict, method):
    cost, gradient, params = batch_normalised("float64")

    def wrong(p):  # wrong on purpose
        return gradient(p) | {"b": claimed.astype(p["b"].dtype)}

    report = check_gradient(cost, wrong, params, method=method)
    assert report.arrays["b"].verdict is verdict
    given = check_gradient(cost, wrong(params), params, method=method)
    assert given.arrays["b"].verdict is verdict


def test_a_saturated_unit_is_not_taken_for_zero():
    # at smaller parameters the unit changes the cost
    def cost(p):
        return (p["w"] ** 2).sum() + 1e-3 * np.tanh(p["b"]).sum()

    def gradient(p):
        return {"w": 2 * p["w"], "b": 1e-3 * (1 - np.tanh(p["b"]) ** 2)}

    params = {"w": np.array([0.3, 0.7]), "b": np.array([17.9, 18.2])}
    assert gradient(params)["b"].any()
    report = check_gradient(cost, gradient, params, method="central")
    assert report.arrays["b"].verdict is UNRESOLVED


def test_noise_that_is_more_than_rounding_hides_what_is_not_zero():
    def cost(p):  # rounds the first term to a billionth
        first = np.round((p["w"] ** 2).sum() * 2**30) / 2**30
        return first + 1e-11 * (p["b"] - p["b"].mean()) @ np.arange(3)

    def gradient(p):
        return {"w": 2 * p["w"], "b": np.full(3, 1e-16) * (p["b"] - p["b"] + 1 / 3) * 3}

    params = {"w": np.array([0.3, 0.7]), "b": np.array([0.2, 0.5, -0.4])}
    report = check_gradient(cost, gradient, params, method="central")
    assert report.arrays["b"].verdict is not MATCH


def test_nothing_is_known_where_no_other_array_is_seen():
    def cost(p):
        return 1 + 0 * p["b"].sum()

    def gradient(p):
        return {"b": (p["b"] - p["b"].mean()) / 3 - p["b"] / 3 + p["b"].mean() / 3}

    report = check_gradient(cost, gradient, {"b": np.array([0.1, 0.2, 0.4])}, method="central")
    assert report.verdict is UNRESOLVED
