"""A step curve: the slopes at the worst entry, over steps of every size."""

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_step

X = np.array([[0.7, -1.3, 0.2], [1.9, 0.4, -0.6]])


def cube(x):
    return np.sum(x**3)


def wrong(x):
    slope = 3 * x**2
    slope[1, 0] *= 1.01  # wrong on purpose
    return slope


def test_a_match_has_no_step_curve():
    report = check_gradient(cube, lambda x: 3 * x**2, X)
    assert report.verdict is Verdict.MATCH
    assert report.step_curve is None


@pytest.mark.parametrize("method", ["auto", "central"])
def test_differences_approach_the_estimate_until_noise_exceeds_truncation(method):
    report = check_gradient(cube, wrong, X, method=method)
    curve, worst = report.step_curve, report.worst
    assert curve.name == "params[1, 0]"
    errors = np.abs(curve.central - worst.numeric)
    best = int(np.argmin(errors))
    assert 2 < best < curve.steps.size - 3
    # the truncation of a central difference of x³ is exactly h²
    assert errors[:best] == pytest.approx(curve.steps[:best] ** 2, rel=0.01)
    assert np.all(errors[best:] <= 10 * curve.noise / curve.steps[best:])
    assert errors[-1] > 1e6 * errors[best]
    discrepancy = abs(worst.claimed - worst.numeric)
    assert np.abs(worst.claimed - curve.central[best]) == pytest.approx(discrepancy)


def test_its_evaluations_are_counted_and_it_is_repeatable_and_parameters_stay():
    calls, x = [], X.copy()
    reports = []
    for _ in range(2):
        calls.clear()
        reports.append(check_gradient(lambda x: calls.append(1) or cube(x), wrong(X), x))
        assert reports[-1].evaluations == len(calls)
    assert x.tobytes() == X.tobytes()
    assert reports[0].step_curve.slopes.tobytes() == reports[1].step_curve.slopes.tobytes()


def test_a_kink_has_a_slope_on_each_side():
    report = check_gradient(lambda x: 3 * np.sum(np.abs(x)), np.full(2, 4.0), np.array([0.0, 1.0]))
    assert report.verdict is Verdict.MISMATCH  # of the other entry
    report = check_gradient(
        lambda x: 3 * np.sum(np.abs(x)), np.array([4.0, 3.0]), np.array([0.0, 1.0])
    )
    assert report.verdict is Verdict.UNRESOLVED
    slopes = report.step_curve.slopes[:-2]
    assert slopes == pytest.approx(np.full(slopes.shape, [-3, 3]), rel=0.1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("x", [1.9, 0.0, -65.0])
def test_every_step_moves_a_parameter_of_any_dtype(dtype, x):
    # a linear cost: every slope is 1, even where the step was rounded
    report = check_gradient(lambda p: p.astype(np.longdouble).sum(), 2.0, np.array(x, dtype))
    slopes = report.step_curve.slopes
    assert report.verdict is Verdict.MISMATCH
    assert slopes == pytest.approx(np.ones(slopes.shape), rel=1e-3)


def test_where_the_cost_is_not_finite_there_is_no_slope():
    report = check_gradient(lambda x: np.sum(np.log(x)), np.array([3.0]), np.array([0.5]))
    left, right = report.step_curve.slopes.T
    assert not np.isfinite(left[0])
    assert np.isfinite(left[2:]).all()
    assert np.isfinite(right).all()


def test_a_wrong_step_has_a_step_curve():
    report = check_step(cube, lambda x, eta: x - 2 * eta * 3 * x**2, X)  # wrong on purpose
    assert report.step_curve.name == "params[1, 0]"
