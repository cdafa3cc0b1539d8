"""Small errors that rounding may explain at the point, but not where parameters are smaller."""

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_hessian, check_jacobian, check_vjp
from checks.judgement.elsewhere import SIMILAR, WRONG_ELSEWHERE

WRONG = 1 + 1e-6
W = np.array([30.0, 28.0])  # e^{−w} is 1e-13 at the first, and its square is far below 1 − ε


def cost(w):
    z = np.exp(-w)
    return np.prod(np.exp(-z * z))


def gradient(w):
    z = np.exp(-w)
    return 2 * z * z * cost(w)  # keeps its digits


def wrong(w):
    g = gradient(w)
    g[0] *= WRONG  # wrong on purpose
    return g


def test_an_error_that_rounding_may_hide_at_the_point_is_found_elsewhere():
    report = check_gradient(cost, wrong, W.copy())
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.index == (0,)
    assert report.worst.error < 1e-8 * abs(report.worst.numeric)
    assert WRONG_ELSEWHERE in report.findings


def test_the_same_gradient_without_the_error_is_a_match():
    report = check_gradient(cost, gradient, W.copy())
    assert report
    assert WRONG_ELSEWHERE not in report.findings


def test_values_are_judged_at_the_point_alone():
    assert check_gradient(cost, wrong(W), W.copy()).verdict is Verdict.UNRESOLVED


def test_a_function_that_returns_kept_values_is_judged_at_the_point_alone():
    kept = wrong(W)
    assert check_gradient(cost, lambda w: kept, W.copy()).verdict is Verdict.UNRESOLVED


def test_a_claim_that_uses_what_was_kept_of_the_point_is_judged_there_alone():
    kept = np.exp(-W) * WRONG
    report = check_gradient(cost, lambda w: 2 * np.exp(-w) * kept * cost(w), W.copy())
    assert report.verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize("at", [20.0, 24.0, 28.0, 32.0])
def test_digits_that_a_right_gradient_loses_are_no_mistake(at):
    def sigmoid(w):
        return 1 / (1 + np.exp(-w))

    def tail(w):
        return (w * (np.exp(-w) / (1 + np.exp(-w)))).sum()

    def naive(w):
        a = sigmoid(w)
        return (1 - a) - w * a * (1 - a)

    assert check_gradient(tail, naive, np.array([at, 1.0])).verdict is not Verdict.MISMATCH


def test_an_error_that_grows_more_than_digits_do_is_no_evidence():
    def follows(power):
        def off(w):
            g = gradient(w)
            g[0] *= 1 + 1e-6 * (30 / w[0]) ** power
            return g

        return off

    # at half of the parameters it is off by 2^power × as much
    assert check_gradient(cost, follows(1), W.copy()).verdict is Verdict.MISMATCH
    much = int(np.log2(SIMILAR)) + 2
    assert check_gradient(cost, follows(much), W.copy()).verdict is Verdict.UNRESOLVED


def test_read_only_arrays_are_moved_in_copies():
    w = W.copy()
    w.flags.writeable = False
    assert check_gradient(cost, wrong, w).verdict is Verdict.MISMATCH


def test_no_call_leaves_the_bounds_or_the_box_of_the_point():
    met = []

    def noting(w):
        met.append(np.real(w).astype(float))
        return cost(w)

    report = check_gradient(noting, wrong, W.copy(), bounds=(np.array([3, 2.5]), None))
    assert report.verdict is Verdict.MISMATCH
    assert (np.min(met, axis=0) >= [3, 2.5]).all()
    assert (np.max(met, axis=0) <= 2 * W).all()


def test_all_calls_are_counted():
    calls = []

    def counted(w):
        calls.append(1)
        return cost(w)

    assert check_gradient(counted, wrong, W.copy()).evaluations == len(calls)


def test_what_raises_elsewhere_says_nothing():
    def only_here(w):
        if w[0] < 25:
            raise RuntimeError("diverged")
        return wrong(w)

    report = check_gradient(cost, only_here, W.copy())
    assert report.verdict is Verdict.UNRESOLVED


def test_an_entry_of_a_jacobian_is_named_by_row_and_column():
    def f(w):
        return np.array([w.sum(), cost(w), w.prod()])

    def jacobian(w):
        return np.stack([np.ones_like(w), wrong(w), w[::-1]])

    report = check_jacobian(f, jacobian, W.copy())
    assert report.verdict is Verdict.MISMATCH
    assert (report.worst.path, report.worst.index) == ("f(x) by x", (1, 0))
    assert report.findings.count(WRONG_ELSEWHERE) == 1


def test_a_vjp_is_judged_elsewhere_as_well():
    def f(w):
        return np.exp(-np.exp(-2 * w))

    def vjp(w, u):
        return u * 2 * np.exp(-2 * w) * f(w)

    def wrong_vjp(w, u):
        g = vjp(w, u)
        g[0] *= WRONG  # wrong on purpose
        return g

    assert check_vjp(f, vjp, W[:1].copy())
    assert check_vjp(f, wrong_vjp, W[:1].copy()).verdict is Verdict.MISMATCH


def test_a_numeric_gradient_is_not_asked_elsewhere():
    def hessian(w):
        return np.diag(-2 * gradient(w))

    assert WRONG_ELSEWHERE not in check_hessian(cost, hessian, W.copy()).findings


def test_a_small_error_of_an_entry_that_is_small_beside_others():
    """Differences by the entry do not see it, since the cost is 1e14 times its part of that."""
    x = np.array([-1.7e5, 7.4e6, 5.6e6])

    def sixth_powers(x):
        return np.sum((x**3 + 0.3) ** 2)

    def right(x):
        return 6 * x**2 * (x**3 + 0.3)

    def wrong_of_small(x):
        g = right(x)
        g[0] *= WRONG  # wrong on purpose
        return g

    assert check_gradient(sixth_powers, wrong_of_small, x).verdict is Verdict.MISMATCH
    assert check_gradient(sixth_powers, right, x)
