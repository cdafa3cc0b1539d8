"""`check_gradient`: verdicts, errors, counts, seeds, and unusual costs."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop import Network
from benchmarks.calibration import draw_network
from checks import (
    GradientMismatch,
    GradientUnresolved,
    Verdict,
    assert_gradient,
    check_gradient,
    numerical_gradient,
)
from checks.conformance.reference_cost import RestartedCost
from checks.report.array_report import ArrayReport

X = np.array([0.5, -1.25, 2.0])


def square(x):
    return np.sum(x**2)


def slope(x):
    return 2 * x


class CountedCost:
    def __init__(self, cost):
        self.cost, self.calls = cost, 0

    def __call__(self, params):
        self.calls += 1
        return self.cost(params)


# Verdicts


@pytest.mark.parametrize("method", ["auto", "central", "complex-step"])
def test_x_squared(method):
    report = check_gradient(square, slope, X.copy(), method=method)
    assert report.verdict is Verdict.MATCH
    assert report.method == ("central" if method == "central" else "complex-step")
    assert report.entries == 3
    assert report.arrays["params"].digits > (8 if method == "central" else 13)
    estimate = numerical_gradient(square, X.copy(), method=method)
    np.testing.assert_allclose(estimate.value, 2 * X, rtol=1e-9)
    assert np.all(np.abs(estimate.value - 2 * X) <= estimate.error)
    assert estimate.method == report.method


@pytest.mark.parametrize("method", ["auto", "central"])
@given(seed=st.integers(0, 99), exponent=st.integers(-6, -1), sign=st.sampled_from([-1, 1]))
def test_a_small_error_of_one_entry_is_a_mismatch(method, seed, exponent, sign):
    claim = 2 * X
    claim[seed % 3] += sign * 10.0**exponent * 4
    report = check_gradient(square, claim, X.copy(), method=method, seed=seed)
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (seed % 3,)


def test_a_claimed_gradient_may_be_the_function_or_its_value():
    for claim in (slope, 2 * X, lambda x: list(2 * x)):
        assert check_gradient(square, claim, X.copy()).verdict is Verdict.MATCH


def test_all_zero_claims_of_a_real_gradient_are_a_mismatch():
    report = check_gradient(square, np.zeros(3), X.copy())
    assert report.verdict is Verdict.MISMATCH
    assert (report.arrays["params"].verdicts == Verdict.MISMATCH).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_a_claim_that_is_not_finite_is_a_mismatch_also_in_an_array_that_the_cost_ignores(
    value, coverage
):
    point = {"used": X.copy(), "ignored": X.copy()}
    claim = {"used": 2 * X, "ignored": np.array([0, value, 0])}
    report = check_gradient(lambda p: square(p["used"]), claim, point, coverage=coverage)
    assert report.arrays["ignored"].verdict is Verdict.MISMATCH
    assert not any("zero in every entry" in finding for finding in report.findings)


def test_only_a_match_is_true():
    match = check_gradient(square, slope, X.copy())
    mismatch = check_gradient(square, 3 * X, X.copy())
    unresolved = check_gradient(square, np.zeros(3), np.zeros(3))
    assert [r.verdict for r in (match, unresolved, mismatch)] == list(Verdict)
    assert [bool(r) for r in (match, unresolved, mismatch)] == [True, False, False]


def test_the_verdict_of_the_report_is_that_of_its_worst_array():
    point = [X.copy(), np.zeros(3)]
    cost = lambda p: square(p[0]) + square(p[1])  # noqa: E731
    assert check_gradient(cost, [2 * X, np.zeros(3)], point).verdict is Verdict.UNRESOLVED
    assert check_gradient(cost, [3 * X, np.zeros(3)], point).verdict is Verdict.MISMATCH


@pytest.mark.parametrize("path", ["sharp", "blurred"])
def test_a_detectable_error_that_is_not_detected_is_unresolved(monkeypatch, path):
    def too_optimistic(array):
        is_blurred = np.abs(array.claimed) < 1e-2
        return errors.fget(array) / np.where(is_blurred == (path == "blurred"), 10, 1)

    errors = ArrayReport.detectable_errors
    monkeypatch.setattr(ArrayReport, "detectable_errors", property(too_optimistic))
    # of so many parameters, rounding is bounded: the claim lies well within the interval
    x = np.tile(X, 20)
    point = {"sharp": x, "blurred": 1e-4 * x}
    claim = {name: 2 * value for name, value in point.items()}
    cost = lambda p: square(p["sharp"]) + square(p["blurred"])  # noqa: E731
    report = check_gradient(cost, claim, point, method="central", rtol=1e-13)
    # only the entry with the largest detectable error is tested
    assert report.verdict is (Verdict.UNRESOLVED if path == "blurred" else Verdict.MATCH)
    assert ("called detectable was not detected" in str(report)) == (path == "blurred")


@pytest.mark.parametrize("seed", range(20))
def test_the_test_of_the_detectable_error_keeps_the_precision_of_the_claim(seed):
    point = np.random.default_rng(seed).normal(size=3).astype(np.longdouble)
    report = check_gradient(lambda x: np.sum(x.real**2), lambda x: 2 * x, point, rtol=1e-14)
    assert "was not detected" not in str(report)


def test_the_caller_may_set_rtol_and_resolution():
    claim = 2 * X * (1 + 1e-4)
    assert check_gradient(square, claim, X.copy()).verdict is Verdict.MISMATCH
    assert check_gradient(square, claim, X.copy(), rtol=1e-3).verdict is Verdict.MATCH
    blurred = check_gradient(square, slope, X.copy(), method="central", resolution=1e-17)
    assert blurred.verdict is Verdict.UNRESOLVED
    assert blurred.resolution == 1e-17


# Errors


def test_assert_gradient_returns_the_report_of_a_match():
    report = assert_gradient(square, slope, X.copy())
    assert report.verdict is Verdict.MATCH


@pytest.mark.parametrize(
    ("claim", "point", "error"),
    [(3 * X, X, GradientMismatch), (0 * X, 0 * X, GradientUnresolved)],
    ids=["mismatch", "unresolved"],
)
def test_assert_gradient_raises_with_the_whole_report(claim, point, error):
    with pytest.raises(error) as raised:
        assert_gradient(square, claim, point.copy())
    assert isinstance(raised.value, AssertionError)
    assert str(raised.value) == str(raised.value.report)
    assert str(raised.value.report).startswith(f"gradient check: {raised.value.report.verdict}")
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is error
    assert str(again) == str(raised.value)
    assert again.report.worst == raised.value.report.worst


# Counts and seeds


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("claim", [2 * X, 3 * X], ids=["right", "wrong"])
def test_evaluations_counts_the_calls_of_the_cost(method, claim):
    cost = CountedCost(square)
    assert check_gradient(cost, claim, X.copy(), method=method).evaluations == cost.calls
    cost = CountedCost(square)
    assert numerical_gradient(cost, X.copy(), method=method).evaluations == cost.calls


@pytest.mark.parametrize("size", [1, 10, 300])
def test_evaluations_grow_with_the_number_of_entries(size):
    x = np.random.default_rng(0).standard_normal(size)
    complex_step = check_gradient(lambda x: np.sum(np.exp(x)), np.exp, x)
    assert complex_step.evaluations <= 150 + size
    central = check_gradient(lambda x: np.sum(np.exp(x)), np.exp, x, method="central")
    assert central.evaluations <= 150 + 13 * size


def test_central_differences_take_at_most_eight_evaluations_an_entry():
    spent = entries = 0
    for number in range(20):
        net, theta, x, y = draw_network(np.random.default_rng(number), "ordinary", "float64")
        cost, claim = RestartedCost(net, x, y), net.gradient(theta, x, y)
        report = check_gradient(cost, claim, theta, method="central")
        spent, entries = spent + report.evaluations, entries + report.entries
    assert spent <= 8 * entries


def test_a_complex_step_takes_one_evaluation_an_entry_and_little_for_its_proof():
    net, rng = Network((64, 30, 10)), np.random.default_rng(0)
    theta, x, y = net.random_parameters(rng), rng.standard_normal((5, 64)), rng.random((5, 10))
    report = check_gradient(RestartedCost(net, x, y), net.gradient(theta, x, y), theta)
    assert report.method == "complex-step"
    assert report.evaluations <= 1.2 * report.entries


@given(seed=st.integers(0, 2**63))
def test_a_seed_gives_the_same_report(seed):
    first, second = (
        check_gradient(lambda x: np.sum(np.abs(np.sin(9 * x))), 0 * X, X.copy(), seed=seed)
        for _ in range(2)
    )
    for name in ("claimed", "numeric", "error", "verdicts"):
        one, other = (getattr(report.arrays["params"], name) for report in (first, second))
        np.testing.assert_array_equal(one, other)
    assert (first.evaluations, first.noise, first.seed) == (second.evaluations, second.noise, seed)


def test_the_global_random_state_is_left_alone():
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002  (the state it must not touch)
    check_gradient(square, slope, X.copy())
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


# Kinks


@pytest.mark.parametrize("claim", [-1.0, -0.5, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_any_claim_between_the_slopes_of_a_kink_is_accepted(claim, method):
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.full(3, claim), 0 * X, method=method)
    assert report.verdict is not Verdict.MISMATCH


@pytest.mark.parametrize("claim", [-1.5, 1.01, 2.0, 1e6])
def test_a_claim_beyond_the_slopes_of_a_kink_is_not_a_match(claim):
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.full(3, claim), 0 * X)
    assert report.verdict is not Verdict.MATCH


def test_a_claim_at_a_kink_that_is_not_finite_is_a_mismatch():
    report = check_gradient(lambda x: np.sum(np.abs(x)), np.array([0.5, np.nan, 0.5]), 0 * X)
    assert report.arrays["params"].verdicts.tolist() == [0, 2, 0]
    assert report.diagnosis[0].name == "not finite"


@pytest.mark.parametrize("tie", [[1.0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 0]])
def test_ties_of_a_maximum_are_no_mismatch(tie):
    report = check_gradient(np.max, np.array(tie), np.array([2.0, 2.0, 1.0]))
    assert report.verdict is not Verdict.MISMATCH


def test_relu_away_from_its_kink_is_a_match_or_a_mismatch():
    relu = lambda x: np.sum(np.maximum(x, 0))  # noqa: E731
    assert check_gradient(relu, lambda x: (x > 0) * 1.0, X.copy()).verdict is Verdict.MATCH
    assert check_gradient(relu, np.ones(3), X.copy()).verdict is Verdict.MISMATCH


# Unusual costs


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1.0])
def test_a_stochastic_cost_is_unresolved_and_named(size):
    rng = np.random.default_rng(0)
    report = check_gradient(lambda x: square(x) + size * rng.standard_normal(), slope, X.copy())
    assert report.verdict is Verdict.UNRESOLVED
    assert "two calls at one point differ" in str(report)


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("z", [29.0, 31.0, 31.185, 33.0])
def test_steps_that_rounding_makes_are_not_taken_for_a_slope(z, method):
    def sigma(z):
        return 1 / (1 + np.exp(-z))

    def cost(z):
        return -np.sum(np.log(1 - sigma(z)))  # near z = 31 it takes values 3e-3 apart, by rounding

    for seed in range(5):
        point = np.array([z, 1.0])
        right = check_gradient(cost, sigma, point, method=method, seed=seed)
        assert right.verdict is not Verdict.MISMATCH
        wrong = check_gradient(cost, [0, 1] * sigma(point), point, method=method, seed=seed)
        assert wrong.verdict is not Verdict.MATCH


def test_the_default_rtol_of_a_stochastic_cost_does_not_depend_on_luck():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cost = lambda x: square(x) + 1e-12 * rng.standard_normal()  # noqa: E731, B023
        report = check_gradient(cost, lambda x: 2 * x + 1e-7, X)
        assert report.verdict is Verdict.MATCH
        assert report.rtol > 1e-7
        assert "two calls of the cost at one point differ" in str(report)


def test_dropout_is_named():
    rng = np.random.default_rng(0)
    report = check_gradient(lambda x: np.sum(x**2 * (rng.random(3) < 0.5)), slope, X.copy())
    assert report.verdict is Verdict.UNRESOLVED
    assert "two calls at one point differ" in str(report)


@pytest.mark.parametrize("cost", [lambda _: 1.5, lambda _: 0.0, lambda _: square(X)], ids="abc")
@pytest.mark.parametrize("claim", [0 * X, 2 * X], ids=["zero", "slope"])
def test_a_cost_that_does_not_see_its_parameters_is_named(cost, claim):
    report = check_gradient(cost, claim, X.copy())
    assert report.verdict is Verdict.UNRESOLVED
    assert "does not see them" in str(report)


def test_an_array_that_the_cost_ignores_is_a_finding():
    point = {"used": X.copy(), "ignored": X.copy()}
    cost = lambda p: square(p["used"])  # noqa: E731
    report = check_gradient(cost, {"used": 2 * X, "ignored": 0 * X}, point)
    assert report.verdict is Verdict.MATCH
    assert any("ignored: zero in every entry" in finding for finding in report.findings)


@pytest.mark.parametrize("claim", [1e-9, -1.0, 1e6])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_claim_for_an_array_that_the_cost_ignores_is_unresolved(claim, method):
    # the claim may be right for a cost that was meant to read the array
    point = {"used": X.copy(), "ignored": X.copy()}
    cost = lambda p: square(p["used"])  # noqa: E731
    claims = {"used": 2 * X, "ignored": claim + 0 * X}
    report = check_gradient(cost, claims, point, method=method)
    assert report.arrays["used"].verdict is Verdict.MATCH
    assert report.arrays["ignored"].verdict is Verdict.UNRESOLVED
    assert "does not see them" in report.arrays["ignored"].reason


@pytest.mark.parametrize("method", ["auto", "central"])
def test_nothing_is_known_where_a_cost_loses_a_move_to_rounding(method):
    absorbed = numerical_gradient(lambda x: 1e30 + np.sum(x), X.copy(), method=method)
    assert np.all(np.isinf(absorbed.error))
    point = {"seen": X.copy(), "lost": X.copy()}
    # the derivative by `lost` is 1e-10, and 1 + 1e-20 is 1
    cost = lambda p: square(p["seen"]) + 1e10 * (np.sum(1 + 1e-20 * p["lost"].real) - 3)  # noqa: E731
    found = numerical_gradient(cost, point, method=method)
    assert np.all(np.isinf(found.error["lost"]))
    assert np.all(np.isfinite(found.error["seen"]))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_saturated_layer_is_flat_to_rounding_and_not_unseen(sign, method):
    # ∂C/∂b = 2 tanh(z)/cosh²(z) = 1.6e-17 at z = 20.375, ∂C/∂w is half of it: not 0
    layer = {"w": np.array([[0.5]]), "b": np.array([sign * 20.125])}
    cost = lambda p: np.mean(np.tanh(sign * 0.5 * layer["w"] + layer["b"]) ** 2)  # noqa: E731
    for claim in (0.0, sign * 1.605e-17):
        claims = {"w": np.array([[claim / 2]]), "b": np.array([claim])}
        report = check_gradient(cost, claims, layer, method=method)
        assert report.verdict is Verdict.UNRESOLVED
        assert "does not see" not in str(report)
        assert "saturation" in str(report) or "blurred" in str(report)


def test_a_step_function_is_not_a_match_of_zero():
    report = check_gradient(lambda x: np.sum(np.floor(x)), 0 * X, X + 0.25)
    assert report.verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.001])
def test_float32_parameters_are_checked_to_their_own_precision(factor):
    x = X.astype(np.float32)
    report = check_gradient(
        lambda x: np.sum(np.exp(x)), lambda x: np.float32(factor) * np.exp(x), x
    )
    assert report.verdict is (Verdict.MATCH if factor == 1 else Verdict.MISMATCH)
    assert 1e-4 < report.rtol < 1e-2


def test_float32_inside_a_float64_cost_is_noticed():
    cost = lambda x: float(np.sum(np.exp(x.astype(np.float32))))  # noqa: E731
    report = check_gradient(cost, np.exp, X.copy())
    assert report.verdict is Verdict.MATCH
    assert report.rtol > 1e-4
    assert report.noise > 1e-9


def test_warnings_of_a_cost_away_from_the_point_are_hidden():
    def cost(x):
        if not np.array_equal(x, X):
            warnings.warn("far out", RuntimeWarning, stacklevel=1)
        return square(x)

    assert check_gradient(cost, slope, X.copy()).verdict is Verdict.MATCH


def test_a_warning_at_the_point_reaches_the_caller():
    def cost(x):
        warnings.warn("careful", RuntimeWarning, stacklevel=1)
        return square(x)

    with pytest.warns(RuntimeWarning, match="careful"):
        check_gradient(cost, slope, X.copy())


def test_floating_point_error_settings_of_the_caller_are_kept():
    with np.errstate(all="raise"):
        before = np.geterr()
        # 1e-308 times a small step underflows, though not at the point
        report = check_gradient(lambda x: square(x) + 1e-308 * (x[0] - X[0]), slope, X.copy())
        assert np.geterr() == before
        assert report.verdict is Verdict.MATCH
        with pytest.raises(FloatingPointError):
            check_gradient(lambda x: np.sum(np.exp(1e6 * x)), slope, X.copy())


def test_a_cost_with_a_huge_offset_is_unresolved():
    report = check_gradient(lambda x: 1e14 + float(square(x)), slope, X.copy())
    assert report.verdict is Verdict.UNRESOLVED
    assert "blurred" in str(report) or "rounding" in str(report)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e100])
def test_units_do_not_matter(scale):
    assert check_gradient(square, slope, scale * X).verdict is Verdict.MATCH
    assert check_gradient(square, lambda x: 2.00001 * x, scale * X).verdict is Verdict.MISMATCH
