"""Errors cover digits that a cost loses in every dtype, and stages that no small move shows."""

import math

import numpy as np
import pytest

from checks import Verdict, check_gradient, numerical_gradient
from checks.estimation.noise import absorbed_change
from checks.estimation.widened import widened
from checks.evaluation.pointwise import Evaluations

METHODS = ["auto", "central"]


def difference_of_roots(x):
    """√(1 + x) − √x, which is 0 in floats from x = 10^15 on: its slope is −1/(4 x^1.5)."""
    return np.sqrt(1 + x) - np.sqrt(x)


def slope_of_roots(x):
    x = x.astype(np.longdouble)
    return -0.5 / (np.sqrt(x * (1 + x)) * (np.sqrt(x) + np.sqrt(1 + x)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("offset", [0.0, -0.08])
@pytest.mark.parametrize("x", [[1e17, 3e19], [2.0, 4e18], [3e16]])
def test_what_the_cost_absorbs_is_not_zero(method, offset, x):
    params = {"x": np.array(x), "y": np.array([0.5])}

    def cost(p):
        return np.sum(difference_of_roots(p["x"])) + 0.1 * np.sum(p["y"] ** 2) + offset

    found = numerical_gradient(cost, params, method=method)
    exact = slope_of_roots(params["x"])
    assert (np.abs(found.value["x"] - exact) <= found.error["x"]).all()
    claim = {"x": exact.astype(float), "y": 0.2 * params["y"]}
    report = check_gradient(cost, claim, params, method=method)
    assert report.verdict is not Verdict.MISMATCH
    assert report.arrays["y"].verdict is Verdict.MATCH


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "function",
    [
        np.tanh,  # flat at 25
        lambda w: np.maximum(w - 25.5, 0),  # dead below 25.5
        lambda w: np.minimum(w, 1) ** 2,
        lambda w: 1 / (1 + np.exp(-2 * w)),
    ],
    ids=["flat", "dead", "capped", "saturated"],
)
def test_units_that_are_saturated_or_dead_lose_no_digits(method, function):
    params = {"w": np.array([25.0, 26.0, 0.75, -1.5]), "v": np.array([0.75])}

    def cost(p):
        return np.sum(function(p["w"]) * np.array([1, 2, 3, 4])) + np.sum(p["v"] ** 2)

    found = numerical_gradient(cost, params, method=method)
    assert found.error["w"][0] < 1e-6  # near a kink a change is a part of the slope
    evaluations = Evaluations(cost, params)
    rng = np.random.default_rng(0)
    assert absorbed_change(evaluations, {"w": np.array([0])}, rng) < 1e-4


def test_an_absorbed_change_is_the_jump_where_it_first_shows():
    params = {"x": np.array([1e18, 2.0])}
    evaluations = Evaluations(lambda p: np.sum(difference_of_roots(p["x"])), params)
    rng = np.random.default_rng(0)
    jump = absorbed_change(evaluations, {"x": np.array([0])}, rng)
    # of √x near 1/eps, where 1 + x is first larger than x, a last place
    assert jump == pytest.approx(float(np.spacing(math.sqrt(2.0**53))), rel=1)
    assert absorbed_change(evaluations, {"x": np.array([1])}, rng) == 0  # it shows at the point


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_an_array_that_may_be_what_noise_is_has_no_known_slope(method, offset):
    # 1/z is so large that sin(1/z) is noise; the slope is −cos(1/z)/z²
    x = np.array([3e-7, 4e-7, 1.1e-6])

    def cost(p):
        root = np.sqrt(1 + p["x"] ** 2) - 1
        return np.sum(np.sin(1 / root)) + np.sum(p["y"] ** 2) + offset

    z = x.astype(np.longdouble) ** 2 / 2
    z = z - z**2 / 2
    size = float((np.abs(np.cos(1 / z)) / z**2 * x).max())
    for claimed in (size, -size):
        claim = {"x": np.full(3, claimed), "y": np.array([1.0])}
        report = check_gradient(cost, claim, {"x": x, "y": np.array([0.5])}, method=method)
        assert report.arrays["x"].verdict is Verdict.UNRESOLVED
        assert report.arrays["y"].verdict is not Verdict.MISMATCH


@pytest.mark.parametrize("offset", [0.0, 2e5])
def test_an_oscillation_within_last_places_of_float32_is_seen_in_float64(offset):
    x = np.array([-3.9e-7, 1.4e-7, 2e-7], np.float32)

    def cost(p):
        return np.sum(np.sin(1 / p["x"])) + offset

    wide = x.astype(np.longdouble)
    exact = -np.cos(1 / wide) / wide**2
    found = numerical_gradient(cost, x := {"x": x}, method="auto")
    assert (np.abs(found.value["x"] - exact) <= found.error["x"]).all()
    assert (found.error["x"] < 1e-5 * np.abs(exact)).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", METHODS)
def test_a_stage_in_float32_of_an_array_that_hardly_shows(method, sign):
    params = {"a": np.array([0.5, -1.25, 2.0], np.float32), "b": np.array([0.5, 3.0], np.float32)}

    def cost(p):
        # rounded to float32 after the division, so that it is not exact
        b = (p["b"].real / 7).astype(np.float32).astype(p["a"].dtype)
        return sign * np.sum(np.exp(p["a"])) * (1 + 1e-6 * np.sum(np.log1p(b)))

    assert widened(Evaluations(cost, params), 0).doubt > 2.0**-26
    a, b = (params[n].astype(np.longdouble) for n in "ab")
    exact = np.exp(a) * (1 + np.longdouble(1e-6) * np.sum(np.log1p(b / 7)))
    found = numerical_gradient(cost, params, method=method)
    off = np.abs(found.value["a"] - sign * exact)
    assert (off > 1e-15 * exact).all()  # what the cast makes
    assert (off <= found.error["a"]).all()
    assert (found.error["a"] < 1e-6 * exact).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda p: np.sum(np.exp(p["a"])) + 1e-12 * np.sum(p["b"] ** 2),
        lambda p: np.sum(np.exp(p["a"])) + np.sum(np.tanh(40 * p["b"])),
        lambda p: np.sum(np.exp(p["a"])) + 0 * np.sum(p["b"]),
    ],
    ids=["small", "saturated", "unused"],
)
def test_arrays_that_hardly_show_and_lift_make_no_doubt(function):
    params = {"a": np.array([0.5, -1.25, 2.0], np.float32), "b": np.array([0.5, 3.0], np.float32)}
    wide = widened(Evaluations(function, params), 0)
    assert wide.values["a"].dtype == np.float64
    assert wide.doubt == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_rounding_of_a_unit_that_is_alive_at_the_point_alone_is_met(seed):
    def cost(b):  # 172 radians: 400 b is exact at the point, and most points away are cut off
        return np.log(1.2 + np.maximum(np.sin(400 * b), 0))

    b = np.float32(0.43169087171554565)
    angle = 400 * float(b)
    exact = 400 * math.cos(angle) / (1.2 + math.sin(angle))
    found = numerical_gradient(cost, np.array(b), method="central", seed=seed)
    assert abs(found.value - exact) <= found.error + 1e-14 * abs(exact)
