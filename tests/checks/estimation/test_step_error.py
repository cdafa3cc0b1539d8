"""The error of complex steps: where the cost lifts, and where it has to be estimated."""

import math

import numpy as np
import pytest

from benchmarks.calibration import calibrate, summarize
from benchmarks.compositions import draw
from benchmarks.intervals import measure
from checks import Verdict, check_gradient, numerical_gradient
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.precision import EVERY, wider_dtype
from checks.evaluation.pointwise import Evaluations

needs_long_double = pytest.mark.skipif(
    not wider_dtype(np.float64), reason="a long double is a float64 here"
)


@pytest.fixture
def nothing_lifts(monkeypatch):
    for module in ("step_error", "cost_rounding"):
        monkeypatch.setattr(f"checks.estimation.{module}.wider_dtype", lambda dtype: None)


@pytest.fixture
def nor_is_there_a_rounding_mode(nothing_lifts, monkeypatch):
    for module in ("step_error", "cost_rounding"):
        monkeypatch.setattr(f"checks.estimation.{module}.toward_zero_is_available", lambda: False)


def estimated(cost, params):
    evaluations = Evaluations(cost, params)
    with evaluations.restoring_parameters():
        return estimate_derivatives(evaluations, "auto", 0).by_path


POINT = {"a": np.array([0.7]), "b": np.array([0.4]), "c": np.array([-0.3])}


def three(p):
    return np.sum(np.tanh(p["a"] * np.sin(p["b"])) + np.exp(p["c"]) * p["a"])


def slopes_of_three(p):
    a, b, c = p["a"], p["b"], p["c"]
    inner = 1 - np.tanh(a * np.sin(b)) ** 2
    return {
        "a": inner * np.sin(b) + np.exp(c),
        "b": inner * a * np.cos(b),
        "c": np.exp(c) * a,
    }


@needs_long_double
def test_three_arrays_take_few_evaluations():
    for seed in range(10):
        params = {path: value + seed / 10 for path, value in POINT.items()}
        right = check_gradient(three, slopes_of_three, params, seed=seed)
        assert right.verdict is Verdict.MATCH
        assert right.evaluations <= 40
        for wrong in POINT:
            factors = {path: 1.5 if path == wrong else 1.0 for path in POINT}
            report = check_gradient(
                three,
                lambda p, f=factors: {k: f[k] * g for k, g in slopes_of_three(p).items()},
                params,
                seed=seed,
            )
            assert report.verdict is Verdict.MISMATCH
            assert report.evaluations <= 70


def test_all_evaluations_are_counted():
    calls = []
    report = check_gradient(lambda p: calls.append(1) or three(p), slopes_of_three(POINT), POINT)
    assert report.evaluations == len(calls)


@needs_long_double
def test_an_array_that_lifts_says_so_and_its_error_is_close():
    report = check_gradient(three, slopes_of_three, POINT)
    assert {array.precision for array in report.arrays.values()} == {"lifted"}
    assert "estimated" not in str(report)
    assert all(a.error.max() < 1e-15 * a.largest * 20 for a in report.arrays.values())


def test_a_buffer_is_estimated_and_the_report_says_so():
    def cost(x):
        held = np.zeros(x.shape, complex if np.iscomplexobj(x) else float)
        held[...] = x
        return np.sum(np.exp(held))

    report = check_gradient(cost, np.exp, np.array([0.3, -1.2]))
    assert report.arrays["params"].precision == "estimated"
    assert "complex step, rounding estimated" in str(report)
    assert report.verdict is Verdict.MATCH


@pytest.mark.parametrize("size", [EVERY, EVERY + 1, 3 * EVERY])
def test_of_a_large_array_a_few_entries_are_measured(size):
    x = np.random.default_rng(size).standard_normal(size)
    narrow = []

    def cost(p):
        narrow.append(p.dtype.itemsize <= 16)
        return np.sum(np.exp(np.sin(3 * p)))

    slope = 3 * np.cos(3 * x) * np.exp(np.sin(3 * x))
    estimate = estimated(cost, x)["params"]
    assert estimate.method == "complex-step"
    if wider_dtype(np.float64):
        assert estimate.precision == ("lifted" if size <= EVERY else "sampled")
        wide = len(narrow) - sum(narrow)
        assert wide >= size if size <= EVERY else wide <= 20
    assert (np.abs(estimate.value - slope) <= estimate.error + 4 * np.spacing(np.abs(slope))).all()
    assert estimate.error.max() <= 1e-13 * np.abs(slope).max()


def squashed(w, x=np.array([1.0, -0.5, 0.25])):  # noqa: B008
    return (1 / (1 + np.exp(-(w * x).sum())) - 1) ** 2


@needs_long_double
@pytest.mark.parametrize("z", [4, 6, 8, 10, 12, 16, 20])
def test_a_saturated_sigmoid(z):
    mpmath = pytest.importorskip("mpmath")
    x, w = np.array([1.0, -0.5, 0.25]), z * np.array([0.7, -0.4, 0.4]) * 1.0123
    with mpmath.workdps(50):
        t = sum(mpmath.mpf(a) * mpmath.mpf(b) for a, b in zip(w.tolist(), x.tolist(), strict=True))
        s = 1 / (1 + mpmath.exp(-t))
        exact = np.array([float(2 * (s - 1) * s * (1 - s) * b) for b in x.tolist()])
    estimate = numerical_gradient(squashed, w)
    assert (np.abs(estimate.value - exact) <= estimate.error + np.spacing(np.abs(exact))).all()
    assert check_gradient(squashed, exact, w, rtol=1e-10).verdict is not Verdict.MISMATCH


@pytest.mark.parametrize("logit", [8.0, -8.0, 24.0, 32.0, 40.0, -40.0, 50.0])
@pytest.mark.parametrize("way", ["as it is", "nothing_lifts", "nor_is_there_a_rounding_mode"])
def test_a_saturated_softmax_is_not_accused(logit, way, request):
    if way != "as it is":
        request.getfixturevalue(way)
    k, values = np.array([1.0, -0.25]), np.array([1.0, 2.0])

    def cost(w):
        e = np.exp(w * k - (w * k).real.max())
        return (e / e.sum() * values).sum()

    # d/dw of (c0 e^w + c1 e^(-w/4)) / (e^w + e^(-w/4)), with q = e^(-|5 w / 4|)
    q = math.exp(-1.25 * abs(logit))
    exact = -1.25 * q / (1 + q) ** 2
    report = check_gradient(cost, np.array([exact]), np.array([logit]))
    assert report.verdict is not Verdict.MISMATCH
    found = report.arrays["params"]
    assert abs(found.numeric[0] - exact) <= found.error[0] + 4 * np.spacing(abs(exact))


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("way", ["as it is", "nothing_lifts", "nor_is_there_a_rounding_mode"])
def test_the_sum_of_normalised_values_is_soon_known_to_be_level(way, method, request):
    if way != "as it is":
        request.getfixturevalue(way)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((16, 8))

        def cost(x):  # 0, but for rounding
            return np.sum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5))

        right = check_gradient(cost, np.zeros(x.shape), x, method=method, seed=seed)
        assert right.verdict is not Verdict.MISMATCH
        assert right.evaluations <= 16 * x.size
        wrong = np.zeros(x.shape)
        wrong[3, 5] = (-1) ** seed * 0.01
        report = check_gradient(cost, wrong, x, method=method, seed=seed)
        assert report.verdict is Verdict.MISMATCH
        assert report.worst.index == (3, 5)


def test_a_cost_without_digits_says_so():
    def cost(x):  # turns many times within a last place of x
        return np.sum(np.sin(1 / x))

    x = np.array([3e-17, -7e-18])
    for method in ("auto", "central"):
        report = check_gradient(cost, -np.cos(1 / x) / x**2, x, method=method)
        assert report.verdict is Verdict.UNRESOLVED
        assert "no digits" in str(report)
        assert report.evaluations < 150


@pytest.mark.parametrize("way", ["nothing_lifts", "nor_is_there_a_rounding_mode"])
def test_networks_without_a_wider_dtype(way, request):
    request.getfixturevalue(way)
    results, rejected = calibrate(networks=2, seed=3)
    assert not rejected
    assert not any(summarize(result)[0] for result in results.values())
    complex_steps = [r for (by, *_), r in results.items() if by == "complex-step"]
    assert summarize(np.concatenate(complex_steps, axis=1))[1] <= 1000


def measured(seeds):
    """Return, of the complex steps of random costs by precision, ratio and sharpness."""
    found = {}
    for seed in seeds:
        composition = draw(seed, "float64")
        try:
            claim = composition.claim()
        except ArithmeticError:
            continue
        if not all(np.isfinite(array).all() for array in claim.values()):
            continue
        for path, e in estimated(composition.cost, composition.params).items():
            if e.method == "complex-step":
                shape = composition.params[path].shape
                value, error = e.value.reshape(shape), e.error.reshape(shape)
                made = np.ravel(composition.distance(path, value))
                ratio = np.ravel(composition.ratio(path, value, error))
                sharp = (np.ravel(error)[made > 0] / made[made > 0]).tolist()
                ratios, sharpness = found.setdefault(e.precision, ([], []))
                ratios += ratio.tolist()
                sharpness += sharp
    return found


@needs_long_double
@pytest.mark.filterwarnings("ignore")
def test_random_costs_that_lift():
    with np.errstate(all="ignore"):
        ratios, sharpness = measured(range(30_000, 30_120))["lifted"]
    assert len(ratios) > 300
    assert max(ratios) <= 1
    assert np.median(sharpness) <= 10


@pytest.mark.filterwarnings("ignore")
def test_random_costs_that_do_not(nothing_lifts):
    with np.errstate(all="ignore"):
        ratios, sharpness = measured(range(30_000, 30_120))["estimated"]
    assert np.mean(np.array(ratios) > 1) <= 0.01
    assert np.median(sharpness) <= 100


@pytest.mark.filterwarnings("ignore")
def test_float32_gradients_of_random_costs_get_verdicts():
    with np.errstate(all="ignore"):
        outcomes, _ = measure(range(30_000, 30_030), "float32", "auto")
    matched = sum(outcome.verdict is Verdict.MATCH for outcome in outcomes)
    assert matched >= 0.6 * len(outcomes)


@needs_long_double
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_a_cost_that_turns_within_a_last_place_is_estimated_in_the_wider_dtype(offset):
    def cost(x):
        return np.sum(np.sin(1 / x)) + x.dtype.type(offset)

    x = np.array([2e-8, -3e-8], np.float32)
    exact = -np.cos(1 / x.astype(float)) / x.astype(float) ** 2
    for method in ("auto", "central"):
        report = check_gradient(cost, exact.astype(np.float32), x, method=method)
        assert report.verdict is Verdict.MATCH
        array = report.arrays["params"]
        assert np.all(np.abs(array.numeric - exact) <= array.error)


def buffered(z):
    b = np.zeros(z.shape)
    b[...] = z
    return b


@pytest.mark.parametrize(
    "narrow", [buffered, lambda z: np.array([float(v) for v in z])], ids=["buffer", "loop"]
)
def test_digits_that_a_narrow_stage_loses_widen_derivatives_by_other_arrays(narrow):
    # (e^z − 1)/z loses the digits that 1 + z does. numpy's exp may not follow the rounding mode,
    # and rounds alike over many last places of z: two draws in five were outside.
    def cost(p):
        z = narrow(p["z"])
        return np.sum(p["a"] ** 2) * np.sum((np.exp(z) - 1) / z)

    sharpness = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = 10 ** rng.uniform(-9, -2) * np.array([1, -0.7, 0.3])
        params = {"a": rng.normal(size=3), "z": z}
        estimate = numerical_gradient(cost, params)
        off = np.abs(estimate.value["a"] - 2 * params["a"] * np.sum(np.expm1(z) / z))
        assert np.all(off <= estimate.error["a"])
        sharpness.append(np.median(estimate.error["a"]) / max(np.median(off), 1e-300))
    assert np.median(sharpness) < 20


def test_a_function_that_turns_within_last_places_is_no_reason_to_doubt_a_smooth_one():
    # the derivative by x oscillates along the line by which that by a is tried
    def cost(p):
        return np.sum(np.exp(p["a"])) + 1e-3 * np.sin(1e7 * p["x"]) + np.maximum(p["d"], 0)

    params = {"a": np.array([0.3, -1.2]), "x": np.array(0.4), "d": np.array(-1.0)}
    estimate = numerical_gradient(cost, params)
    assert np.all(estimate.error["a"] < 1e-13)
