"""Costs in a wider dtype show what rounding does to a difference."""

from fractions import Fraction

import numpy as np
import pytest

from benchmarks.compositions import draw
from checks import numerical_gradient
from checks.estimation.noise import Noise
from checks.estimation.precision import wider_dtype
from checks.estimation.wide_costs import FEW, wide_costs
from checks.evaluation.pointwise import Evaluations

EPS = 2.0**-52
needs_long_double = pytest.mark.skipif(
    wider_dtype(np.float64) is None, reason="a long double is a float64 here"
)


def found(cost, params, relative=EPS, **changes):
    evaluations = Evaluations(cost, params)
    noise = Noise(relative * abs(float(evaluations.at_point)), relative, False, False)
    before = evaluations.count
    wide = wide_costs(evaluations, noise, np.random.default_rng(0))
    return wide, evaluations.count - before


@needs_long_double
def test_the_wider_cost_comes_with_its_noise():
    params = {"a": np.array([0.7, -1.3]), "b": np.array(2.0)}
    wide, calls = found(lambda p: np.sum(np.exp(p["a"])) * np.sin(p["b"]), params)
    exact = np.sum(np.exp(params["a"].astype(np.longdouble))) * np.sin(np.longdouble(2))
    assert calls == 10
    assert wide.at_point == exact
    assert 0 < wide.noise.level < 2**-8 * EPS * abs(exact)
    moves = np.array([[0.5, -0.25], [0.375, 0.125]])
    costs = wide.at_entries("a", np.array([1, 0]), moves)
    b = np.sin(np.longdouble(2))
    for k, entry in enumerate((1, 0)):
        for j in range(2):
            a = params["a"].astype(np.longdouble)
            a[entry] += moves[k, j]
            assert costs[k, j] == np.sum(np.exp(a)) * b


@needs_long_double
@pytest.mark.parametrize(
    "narrow",
    [
        lambda a: a.astype(np.float64),
        lambda a: np.array([float(v) for v in a]),
        lambda a: np.linalg.inv(np.diag(np.asarray(a, float))).diagonal(),
    ],
    ids=["cast", "loop", "library"],
)
def test_the_noise_of_a_narrow_stage_is_seen(narrow):
    params = {"a": np.array([0.7, 1.3]), "b": np.array(2.0)}
    assert found(lambda p: np.sum(np.exp(narrow(p["a"]))) * p["b"], params)[0] is None
    # of a term that is small, it is no more than the noise found
    wide, _ = found(lambda p: 1e-3 * EPS * np.sum(np.exp(narrow(p["a"]))) + np.exp(p["b"]), params)
    assert wide is not None


@needs_long_double
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_last_stage_that_rounds_is_seen_though_the_cost_hardly_moves(dtype):
    # moves of 2^-14 change the cost by less than a last place of what it is rounded to
    params = {"a": np.array([1e-3, -2e-3], dtype)}
    assert found(lambda p: (np.sum(p["a"]) + 64000).astype(dtype), params, 1e-6)[0] is None


@needs_long_double
def test_what_has_no_use_of_it_is_not_called():
    few, many = {"a": np.full(FEW, 0.5)}, {"a": np.full(FEW + 1, 0.5)}
    assert found(lambda p: np.sum(p["a"] ** 2), few)[1] == 10
    assert found(lambda p: np.sum(p["a"] ** 2), many) == (None, 0)


@needs_long_double
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_error_is_little_more_than_was_made(dtype):
    # D6 of x² is not truncated, so that the rounding of costs is all of its error
    ratios = []
    for seed in range(20):
        x = np.random.default_rng(seed).uniform(-1, 1, 4).astype(dtype)
        estimate = numerical_gradient(lambda x: np.sum(x * x) + 40, x, method="central")
        exact = 2 * x.astype(np.longdouble)
        off = np.abs(estimate.value - exact)
        assert np.all(off <= estimate.error)
        ratios.extend(estimate.error / np.maximum(off, 1e-30))
    assert np.median(ratios) < 2


@needs_long_double
def test_a_cost_that_reads_the_callers_arrays_is_no_witness():
    x = np.array([0.3, 0.7])
    estimate = numerical_gradient(lambda _: np.sum(np.exp(x)), x, method="central")
    assert np.all(np.abs(estimate.value - np.exp(x)) <= estimate.error)
    assert np.all(estimate.error < 1e-6)


@needs_long_double
def test_stairs_of_saturated_units_hide_how_a_step_truncates():
    # All points of a difference by the second entry lie on one of the stairs of 1 + exp(−z), so
    # that its orders agree. In the wider dtype they do not, as exp(−z) falls by e^28 within a step.
    # One seed in three had the second derivative outside.
    x = [[2.2168016129974166, 4.560727757673748, 5.984870394946641]]
    x = np.array([*x, [16.125033965720522, 11.954336150050192, 3.4863326676670754]])

    def cost(x):
        z = (1 + x) ** 2 - 1
        return np.arctan(np.sum(1 / (1 + np.exp(-z))))

    e = np.exp(1 - (1 + x.astype(np.longdouble)) ** 2)
    exact = 2 * (1 + x) * e / (1 + e) ** 2 / (1 + np.sum(1 / (1 + e)) ** 2)
    for seed in (0, 14, 42, 54):
        estimate = numerical_gradient(cost, x, method="central", seed=seed)
        assert np.all(np.abs(estimate.value - exact) <= estimate.error)


@needs_long_double
@pytest.mark.parametrize("seed", [510451, 804606])
def test_a_step_over_many_periods_in_both_dtypes_has_measured_nothing(seed):
    # oscillations of sin(400 z) in a cost that is saturated to a last place of float64
    composition = draw(seed, "float64")
    with np.errstate(all="ignore"):
        found = numerical_gradient(composition.cost, composition.params, method="central")
        for path, value in found.value.items():
            assert np.all(composition.holds(path, value, found.error[path]))


@needs_long_double
def test_the_wide_difference_rounds_too():
    # of matrices that are singular up to 1e-8, derivatives were outside by 1e-5 of the error
    outside = 0.0
    for seed in (0, 7, 10):
        rng = np.random.default_rng(seed)
        x = np.outer(rng.normal(size=3), rng.normal(size=3)) + 1e-8 * rng.normal(size=(3, 3))
        estimate = numerical_gradient(np.linalg.det, x, method="central")
        exact = np.array(exact_cofactors(x))
        outside = max(outside, (np.abs(estimate.value - exact) / estimate.error).max())
    assert outside < 0.98


def exact_cofactors(x):
    """Return the derivatives of a determinant, 3 × 3, rounded once."""
    a = [[Fraction(v) for v in row] for row in x.tolist()]

    def cofactor(i, j):
        (p, q), (r, s) = ([row[k] for k in range(3) if k != j] for n, row in enumerate(a) if n != i)
        return float((-1) ** (i + j) * (p * s - q * r))

    return [[cofactor(i, j) for j in range(3)] for i in range(3)]
