"""Every entry is judged on its own scale, and what a claim rounds or repeats is measured."""

import numpy as np
import pytest
from hypothesis import settings

from benchmarks.saturation import accused
from checks import Verdict, check_gradient, check_jvp, check_step, check_vjp
from checks.estimation.precision import wider_dtype
from checks.report.wording import LOST_DIGITS

MATCH, UNRESOLVED, MISMATCH = Verdict
SOAK = settings().max_examples > 1000
needs_long_double = pytest.mark.skipif(
    wider_dtype(np.float64) is None, reason="a long double is a float64 here"
)


# A Lorentzian fitted by its centre, area and width, as one vector: the entries of the gradient are
# 1e20, 1e11 and 1e20.
T = np.linspace(-64, -61.5, 200)
FITTED = np.array([-62.88, 6e7, 0.02])


def lorentzian(p):
    return p[1] * p[2] / ((T - p[0]) ** 2 + p[2] ** 2)


DATA = lorentzian(np.array([-62.9, 5.5e7, 0.025]))


def misfit(p):
    return 0.5 * ((lorentzian(p) - DATA) ** 2).sum()


def misfit_slopes(p, signs=(1, 1, 1)):
    r, q = lorentzian(p) - DATA, (T - p[0]) ** 2 + p[2] ** 2
    by_centre = (r * p[1] * p[2] * 2 * (T - p[0]) / q**2).sum()
    by_area = (r * p[2] / q).sum()
    by_width = (r * p[1] * (q - 2 * p[2] ** 2) / q**2).sum()
    return np.array(signs) * np.array([by_centre, by_area, by_width])


def flat(p):
    return np.concatenate([p["centre"], p["area"], p["width"]])


@needs_long_double
@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("unit", [1.0, 2.0**-80, 2.0**60])
def test_a_vector_in_mixed_units_is_judged_as_its_named_parts_are(wrong, unit):
    signs = np.where(np.arange(3) == wrong, -1, 1)  # wrong on purpose
    report = check_gradient(
        lambda p: unit * misfit(p), lambda p: unit * misfit_slopes(p, signs), FITTED
    )
    assert report.verdict is MISMATCH
    (mistake,) = report.diagnosis
    assert mistake.name == "one entry"
    assert f"[{wrong}]" in mistake.text
    assert "the opposite sign" in mistake.text
    assert report.discrepancy == pytest.approx(2)
    parts = dict(zip(("centre", "area", "width"), map(np.atleast_1d, FITTED), strict=True))
    as_parts = check_gradient(
        lambda p: unit * misfit(flat(p)),
        lambda p: dict(zip(p, np.split(unit * misfit_slopes(flat(p), signs), 3), strict=True)),
        parts,
    )
    verdicts = [array.verdict for array in as_parts.arrays.values()]
    assert verdicts == [*report.arrays["params"].verdicts]


@needs_long_double
@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("size", [1e9, -3e8])
def test_entries_far_apart_in_size_do_not_blur_each_other(size, wrong):
    p = np.array([size, 1 / size])
    unit = np.array([1 / size, size])

    def gradient(p, factor=1.0):
        return 2 * p * unit**2 * np.where(np.arange(2) == wrong, factor, 1)

    right = check_gradient(lambda p: np.sum((p * unit) ** 2), gradient, p)
    assert right.verdict is MATCH
    assert right.coarse == 0
    for factor in (1.02, -1.0):  # wrong on purpose
        report = check_gradient(
            lambda p: np.sum((p * unit) ** 2), lambda p, f=factor: gradient(p, f), p
        )
        assert report.verdict is MISMATCH
        assert f"[{wrong}]" in report.diagnosis[0].text


def test_mixed_units_by_the_scale_of_the_array_and_without_a_function_to_call():
    wrong = misfit_slopes(FITTED, (1, -1, 1))  # wrong on purpose
    by_array = check_gradient(misfit, wrong, FITTED, scale="array")
    assert by_array.verdict is MATCH
    by_entry = check_gradient(misfit, wrong, FITTED)
    assert by_entry.verdict is UNRESOLVED
    assert "the gradient was given as arrays" in by_entry.arrays["params"].reason
    right = check_gradient(misfit, misfit_slopes(FITTED), FITTED)
    assert right.verdict is MATCH


@pytest.mark.parametrize("scale", ["entries", "", None])
def test_an_unknown_scale_is_refused(scale):
    with pytest.raises(ValueError, match=r"scale is .*, wanted 'entry' or 'array'"):
        check_gradient(misfit, misfit_slopes, FITTED, scale=scale)
    with pytest.raises(ValueError, match="scale is"):
        check_step(misfit, lambda p, rate: p - rate * misfit_slopes(p), FITTED, scale=scale)


def test_a_step_is_judged_by_the_scale_that_is_asked_for():
    point, offsets = np.array([1.0, 2.0]), np.array([1e6, 1e-4])

    def step(p, rate):  # wrong on purpose: in its smaller entry
        return p - rate * offsets * np.array([1.0, 1.5])

    options = {"learning_rates": (1.0, 2.0**10)}
    cost = lambda p: np.sum(offsets * p)  # noqa: E731
    assert check_step(cost, step, point, **options, scale="array").verdict is MATCH
    assert check_step(cost, step, point, **options).verdict is not MATCH


# What a claim rounds.


def test_naive_gradients_of_saturated_networks_are_no_mistakes():
    for dtype in ("float64", "float32"):
        wrong, verdicts = accused(400 if SOAK else 60, dtype)
        assert len(wrong) <= (5 if SOAK else 1), (dtype, wrong)
        # of as few as lose no digits at all
        assert verdicts["MATCH"] >= (0.9 if dtype == "float64" else 0.6) * (400 if SOAK else 60)


@needs_long_double
@pytest.mark.parametrize("sign", [-1, 1])
def test_digits_that_the_claim_loses_are_a_finding(sign):
    x, z = np.array([1.0, 0.5]), 34.0

    def cost(p):
        return sign * ((1 / (1 + np.exp(-p["w"] @ x)) - 0.5) ** 2 + np.sum(p["v"] ** 2))

    def gradient(p, lost=1.0):
        a = 1 / (1 + np.exp(-p["w"] @ x))
        return {"w": sign * lost * 2 * (a - 0.5) * a * (1 - a) * x, "v": sign * 2 * p["v"]}

    params = {"w": np.array([z, 0.25]), "v": np.array([0.5])}
    report = check_gradient(cost, gradient, params)
    assert report.arrays["w"].verdict is UNRESOLVED
    assert "its own rounding explains" in report.arrays["w"].reason
    (finding,) = (text for text in report.findings if text.startswith(LOST_DIGITS))
    assert "w[" in finding
    # a wrong factor is no rounding, and it is caught where the digits are kept
    wrong = check_gradient(cost, lambda p: gradient(p, 1.01), params | {"w": np.array([3.0, 0.25])})
    assert wrong.arrays["w"].verdict is MISMATCH
    assert wrong.arrays["v"].verdict is MATCH
    assert not any(text.startswith(LOST_DIGITS) for text in wrong.findings)


@pytest.mark.parametrize("seed", range(30))
def test_a_residue_of_what_is_exactly_zero_is_no_mistake(seed):
    # layer norm of one unit: x − mean(x) is 0, and a backward pass that saves r and r·mean leaves
    # what two orders of a product round to; it does not depend on the parameters
    rng = np.random.default_rng(seed)
    x, u, r = rng.normal(0, 5), rng.standard_normal(), 1e-5**-0.5
    report = check_gradient(
        lambda p: u * float(((x - np.mean([x])) * r * p["w"] + p["b"])[0]),
        lambda p: {"w": np.array([u * (x * r) - (u * x) * r]), "b": np.array([u])},
        {"w": rng.normal(size=1), "b": rng.normal(size=1)},
    )
    assert report.verdict is not MISMATCH
    # nor is a mistake there a MATCH: a cost that no move changes may be one that loses the move
    wrong = check_gradient(
        lambda p: u * float(((x - np.mean([x])) * r * p["w"] + p["b"])[0]),
        {"w": np.array([1e-3 * u]), "b": np.array([u])},
        {"w": rng.normal(size=1), "b": rng.normal(size=1)},
    )
    assert wrong.verdict is UNRESOLVED
    assert "does not see them" in wrong.arrays["w"].reason


def test_float32_inside_is_a_mistake_and_no_rounding_of_the_claim():
    point = np.random.default_rng(0).standard_normal(6)

    def gradient(p):  # wrong on purpose
        return (3 * p.astype(np.float32) ** 2).astype(p.dtype)

    report = check_gradient(lambda p: np.sum(p**3), gradient, point)
    assert report.verdict is MISMATCH
    assert [mistake.name for mistake in report.diagnosis] == ["dtype"]
    assert not any(text.startswith(LOST_DIGITS) for text in report.findings)


# How often a claim is called, and that it repeats itself.


def counting(function):
    def counted(*args):
        counted.calls += 1
        return function(*args)

    counted.calls = 0
    return counted


X = np.array([0.3, -0.7, 1.1])


def test_a_right_claim_is_called_twice_and_one_that_is_off_nine_times():
    for factor, calls in ((1, 2), (1.5, 9)):
        gradient = counting(lambda p, factor=factor: factor * 2 * p)
        check_gradient(lambda p: np.sum(p**2), gradient, X)
        assert gradient.calls <= calls
    gradient = counting(lambda p: 2 * p)
    check_gradient(lambda p: np.sum(p**2), gradient, X, coverage="projected")
    assert gradient.calls == 1


def test_a_claim_is_left_with_the_arrays_of_the_caller():
    kept = []

    def gradient(p):
        kept.append(p)
        return 3 * p  # wrong on purpose

    x = X.copy()
    assert check_gradient(lambda p: np.sum(p**2), gradient, x).verdict is MISMATCH
    assert kept[-1] is x
    assert any(p.dtype != x.dtype for p in kept) == (wider_dtype(np.float64) is not None)


@pytest.mark.parametrize("size", [1e-6, 1e-7, -1e-3, 1.0])
def test_a_claim_that_does_not_repeat_itself_is_a_mistake(size):
    rng = np.random.default_rng(3)
    gradient = lambda p: 2 * p * (1 + size * rng.normal(size=3))  # noqa: E731
    report = check_gradient(lambda p: np.sum(p**2), gradient, X)
    assert report.verdict is MISMATCH
    (mistake,) = report.diagnosis
    assert mistake.name == "not repeatable"
    assert "two calls of the gradient at one point differ by up to" in mistake.text
    assert "params[" in mistake.text


def test_a_claim_that_repeats_itself_but_for_rounding_is_a_finding():
    calls = counting(lambda p: 2 * p * (1 + 1e-15 * (calls.calls % 2)))
    report = check_gradient(lambda p: np.sum(p**2), calls, X)
    assert report.verdict is MATCH
    assert any("two calls of the gradient at one point differ" in f for f in report.findings)


def test_a_claim_is_not_accused_of_what_the_cost_does_too():
    rng = np.random.default_rng(0)
    report = check_gradient(
        lambda p: np.sum(p**2) * (1 + 1e-3 * rng.standard_normal()),
        lambda p: 2 * p * (1 + 1e-3 * rng.standard_normal()),
        X,
    )
    assert report.verdict is UNRESOLVED
    assert "the cost is not a function of its parameters" in str(report)


@pytest.mark.parametrize("wrong_call", range(4))
def test_a_race_in_a_quarter_of_the_calls_is_no_match(wrong_call):
    calls = [0]

    def racing(right):
        calls[0] += 1
        return right * (calls[0] % 4 != wrong_call)

    vjp = lambda x, u: racing(2 * x * u)  # noqa: E731
    assert check_vjp(lambda x: x**2, vjp, X).verdict is not MATCH
    jvp = lambda x, v: racing(2 * x * v)  # noqa: E731
    assert check_jvp(lambda x: x**2, jvp, X).verdict is not MATCH


@needs_long_double
def test_products_are_measured_one_precision_up_too():
    z = np.array([34.0, 33.0])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def slope(x):
        return sigmoid(x) * (1 - sigmoid(x))

    forward = check_jvp(sigmoid, lambda x, v: slope(x) * v, z)
    assert forward.verdict is not MISMATCH
    backward = check_vjp(sigmoid, lambda x, u: u * slope(x), z)
    assert backward.verdict is not MISMATCH
    assert LOST_DIGITS in str(backward)
