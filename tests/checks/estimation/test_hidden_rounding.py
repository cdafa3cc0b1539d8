"""Digits that are lost alike at every point near by, in a factor of other derivatives."""

import math

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_jacobian, numerical_gradient, numerical_jacobian
from checks.estimation.random_rounding import Operations


def growth(z):
    """(e^z − 1)/z, written naively: 0 instead of 1 where z is below a last place of 1."""
    return (np.exp(z) - 1) / z


# Each has parameters a and z, and the exact derivatives by both. What z gives is a factor of that
# by a, is wrong in every dtype, and does not change near z.
COSTS = {
    "absorbed": (lambda p: p["a"] * (1 + growth(p["z"])), 3.0, 1e-25, 2.0, 1.5),
    "beside an offset": (lambda p: 40 + p["a"] * (1 + growth(p["z"])), 3.0, 1e-25, 2.0, 1.5),
    "cast": (
        lambda p: p["a"] / (1 - np.tanh(p["z"]).astype(np.float64)),
        2.0,
        14.0,
        0.5 + math.exp(28) / 2,  # 1/(1 − tanh z) = (1 + e^2z)/2
        2.0 * math.exp(28),
    ),
    "saturated twice": (
        lambda p: p["a"] * (1 + growth(np.exp(-p["z"]))),
        -0.7,
        75.0,
        2.0,
        -0.7 * -math.exp(-75) / 2,
    ),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, "float64") for name in COSTS] + [(name, "float32") for name in COSTS if name != "cast"],
)
def test_a_factor_without_digits_is_no_evidence(name, dtype, method):
    cost, a, z, by_a, by_z = COSTS[name]
    params = {"a": np.array(a, dtype), "z": np.array(z, dtype)}
    claim = {"a": np.array(by_a), "z": np.array(by_z)}
    assert check_gradient(cost, claim, params, method=method).verdict is not Verdict.MISMATCH
    found = numerical_gradient(cost, params, method=method)
    assert abs(found.value["a"] - by_a) <= found.error["a"] + 1e-6 * abs(by_a) * (
        dtype != "float64"
    )


def without_digits(p):
    # at z = (1e-30, 1), growth loses its first entry, and the other is all of the normalised vector
    z = growth(p["z"])
    return p["a"] - np.sin(p["a"] + np.prod(z / np.sqrt(np.sum(z * z))))


def test_a_divisor_without_digits_leaves_nothing_known_though_the_cost_does_not_change():
    params = {"a": np.array(0.4), "z": np.array([1e-30, 1.0])}
    other = math.e - 1
    part = other / (1 + other**2)
    claim = {"a": np.array(1 - math.cos(0.4 + part))}
    # ∂/∂z of u v/(u² + v²), by u and v
    for_one = np.array([other * (other**2 - 1), 1 - other**2]) / (1 + other**2) ** 2
    claim["z"] = -math.cos(0.4 + part) * for_one * np.array([0.5, 1.0])
    for method in ("auto", "central"):
        report = check_gradient(without_digits, claim, params, method=method)
        assert report.verdict is Verdict.UNRESOLVED
        assert "has lost all digits by cancellation" in str(report)
        found = numerical_gradient(without_digits, params, method=method)
        assert np.isinf(found.error["a"])


def test_what_arguments_without_digits_do_to_a_cost_is_in_its_errors():
    # x − mean has no digits, but adds nothing; nor does its square, nor a sine, which is linear
    def cost(p):
        x = p["x"] - np.mean(p["x"])
        return p["a"] * np.exp(np.sum(x * x) + np.sin(x[0])) + np.maximum(p["d"], 0)

    params = {"a": np.array(0.7), "x": np.full(3, 0.1), "d": np.array(-1.0)}
    found = numerical_gradient(cost, params)
    assert abs(found.value["a"] - 1) <= found.error["a"] < 1e-13


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_sum_that_float32_absorbs_is_not_missing_from_a_right_gradient(method):
    # in float32, (Σ x + 1e8) − 1e8 is a multiple of 8, and constant near by
    def cost(x):
        return (np.sum(x) + 1e8) - 1e8 + np.sum(x**2)

    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        report = check_gradient(cost, 1 + 2 * x, x, method=method)
        assert report.verdict is not Verdict.MISMATCH
        found = numerical_gradient(cost, x, method=method)
        assert np.all(np.abs(found.value - (1 + 2 * x.astype(float))) <= found.error)


def test_a_cost_of_0_may_have_lost_its_digits_in_complex_steps_too():
    # (1 − cos z)/z by complex steps is i h/(z + i h): its slope is 1, not 1/2
    z = 1e-61
    found = numerical_gradient(lambda p: (1 - np.cos(np.exp(-p))) / np.exp(-p), -math.log(z))
    assert found.error > 0.5 * z
    report = check_gradient(
        lambda p: (1 - np.cos(np.exp(-p))) / np.exp(-p), np.array(-z / 2), np.array(-math.log(z))
    )
    assert report.verdict is not Verdict.MISMATCH


def test_a_factor_that_keeps_its_digits_is_believed():
    def cost(p):  # the same factor by a function that is made for it, and a unit that is dead
        return p["a"] * (1 + np.expm1(p["z"]) / p["z"]) + np.maximum(p["d"], 0)

    params = {"a": np.array(3.0), "z": np.array(1e-9), "d": np.array(-1.0)}
    claim = {"a": np.array(2.0 + 5e-10), "z": np.array(1.5), "d": np.array(0.0)}
    for method in ("auto", "central"):
        report = check_gradient(cost, claim, params, method=method)
        assert report.arrays["a"].verdict is Verdict.MATCH
        wrong = claim | {"a": np.array(2.002)}  # wrong on purpose
        assert check_gradient(cost, wrong, params, method=method).verdict is Verdict.MISMATCH


def test_a_cost_whose_loop_ends_by_rounding_is_left_alone():
    def cost(p):
        total, term, n = 0 * p["a"], 1 + 0 * p["a"], 0
        while total + term != total:  # the series of e^a
            total, n = total + term, n + 1
            term = term * p["a"] / n
        return total + np.maximum(p["d"], 0)

    params = {"a": np.array(0.5), "d": np.array(-1.0)}
    claim = {"a": np.array(math.exp(0.5)), "d": np.array(0.0)}
    report = check_gradient(cost, claim, params, method="central")
    assert report.arrays["a"].verdict is Verdict.MATCH


def test_a_cost_that_refuses_rounded_numbers_is_left_alone():
    def cost(p):
        if (p["w"] * 3 != p["w"] + p["w"] + p["w"]).any():
            raise ValueError("not a multiple")
        return np.sum(p["w"] ** 2) + np.maximum(p["d"], 0)

    params = {"w": np.array([1.0, 2.0]), "d": np.array(-1.0)}
    numerical_gradient(cost, params, method="central")


@pytest.mark.parametrize("name", ["absorbed", "cast", "saturated twice"])
def test_results_beside_each_other_share_what_is_tried_at_random(name):
    cost, a, z, by_a, by_z = COSTS[name]

    def f(p):
        # the last refuses complex numbers, so that no row is by complex steps
        return np.array([cost(p), 2 * cost(p), math.hypot(p["a"], 1)])

    params = {"a": np.array(a), "z": np.array(z)}
    found = numerical_jacobian(f, params)
    for row, times in ((0, 1), (1, 2)):
        for path, exact in (("a", by_a), ("z", by_z)):
            value, error = found.value[path][row], found.error[path][row]
            assert abs(value - times * exact) <= error
    one, two = (numerical_jacobian(lambda p, k=k: f(p)[:k], params).evaluations for k in (1, 2))
    assert two <= one + 4


def test_what_functions_of_numpy_return_rounds_at_random_too():
    follow = Operations(0).follow
    for function in (np.diag, np.tril, np.atleast_2d):
        found = function(follow(np.array([[3.0, 1.0], [2.0, 5.0]])))
        assert (found * 0.1 != np.asarray(found) * 0.1).any()


@pytest.mark.parametrize("sign", [1, -1])
def test_digits_that_a_result_loses_in_every_dtype_accuse_no_row(sign):
    """√(1 + z) − √z is 0 at z = e⁴⁷, in long double too, and its derivative is not."""
    # with more than 32 entries, rows are doubted only where a claim would be accused
    x = {"b": np.array([-21.9, -19.5, -22.2, 46.7]), "a": np.linspace(1, 2, 40)}

    def f(x):
        z = np.exp(x["b"])
        z = np.sqrt(1 + z) - np.sqrt(z)
        return np.stack([sign * np.log(np.sum(np.exp(z))) + np.sum(x["a"]), np.prod(x["a"][:2])])

    def jacobian(x):
        b, a = x["b"], x["a"]
        z = np.exp(b)
        share = np.exp(1 / (np.sqrt(1 + z) + np.sqrt(z)))
        slope = z / 2 * (1 / np.sqrt(1 + z) - 1 / np.sqrt(z))
        slope[3] = -1 / (4 * np.sqrt(z[3]))
        blocks = {"b": np.zeros((2, 4), b.dtype), "a": np.zeros((2, 40), b.dtype)}
        blocks["b"][0] = sign * share / share.sum() * slope
        blocks["a"][0], blocks["a"][1, :2] = 1, a[1::-1]
        return blocks

    report = check_jacobian(f, jacobian, x)
    block = report.arrays["f(x) by b"]
    assert block.verdicts.tolist() == [[0, 0, 0, Verdict.UNRESOLVED], [0, 0, 0, 0]]
    assert block.reason.startswith("f(x) loses digits in every dtype")

    def wrong(x):
        blocks = jacobian(x)
        blocks["a"][1, 1] *= 1 + 1e-6  # wrong on purpose
        return blocks

    report = check_jacobian(f, wrong, x)
    assert (report.worst.path, report.worst.index) == ("f(x) by a", (1, 1))
    assert report.verdict is Verdict.MISMATCH
