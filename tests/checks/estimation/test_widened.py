"""Estimates are in the dtype that the cost computes in: float64, or float32 where it rounds."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks import Verdict, check_gradient, check_step, numerical_gradient
from checks.estimation import widened as module
from checks.estimation.precision import Lift, copies_of
from checks.estimation.widened import widened
from checks.evaluation.pointwise import Evaluations

NARROW = [np.float16, np.float32]


def cost(p):
    return np.sum(np.exp(np.sin(p["w"]))) * np.tanh(p["b"]).sum()


def gradient(p):
    slope = np.exp(np.sin(p["w"])) * np.cos(p["w"]) * np.tanh(p["b"]).sum()
    return {"w": slope, "b": np.exp(np.sin(p["w"])).sum() * (1 - np.tanh(p["b"]) ** 2)}


def point(dtype):
    return {"w": np.array([0.5, -1.25, 2.0], dtype), "b": np.array([0.75, -0.125], dtype)}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("dtype", NARROW)
def test_the_estimate_is_that_of_float64(dtype, method):
    params = point(dtype)
    before = {path: value.copy() for path, value in params.items()}
    exact = gradient({path: value.astype(np.longdouble) for path, value in params.items()})
    estimate = numerical_gradient(cost, params, method=method)
    for path, value in estimate.value.items():
        off = np.abs(value - exact[path])
        assert (off <= estimate.error[path] + 4e-16 * np.abs(exact[path])).all()
        accuracy = 1e-14 if method == "auto" else 1e-6  # a hundredth of rtol suffices differences
        assert estimate.error[path].max() < accuracy * np.abs(exact[path]).max()
        assert params[path].dtype == dtype
        assert params[path].tobytes() == before[path].tobytes()


@pytest.mark.parametrize("dtype", NARROW)
def test_rtol_stays_that_of_the_parameters_and_the_report_says_where(dtype):
    report = check_gradient(cost, gradient, point(dtype))
    assert report.verdict is Verdict.MATCH
    assert report.rtol == pytest.approx(min(np.finfo(dtype).eps, 0.01) ** 0.5)
    assert "complex step in float64" in str(report)
    assert {array.dtype for array in report.arrays.values()} == {"float64"}
    wrong = check_gradient(
        cost, lambda p: {**gradient(p), "b": 1.25 * gradient(p)["b"]}, point(dtype)
    )
    assert wrong.verdict is Verdict.MISMATCH


def test_float64_is_not_mentioned_where_the_parameters_have_it():
    report = check_gradient(cost, gradient, point(np.float64))
    assert "float64" not in str(report)
    assert {array.dtype for array in report.arrays.values()} == {""}


STAYS = {
    "result": lambda p: np.float32(cost(p)),
    "stage": lambda p: cost({"w": p["w"].astype(np.float32), "b": p["b"]}),
    "refused": lambda p: cost(p) if p["w"].dtype == np.float32 else 1 / 0,
}


@pytest.mark.parametrize("name", STAYS)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_a_cost_that_computes_in_float32_stays_there(name):
    report = check_gradient(STAYS[name], gradient, point(np.float32))
    assert report.verdict is not Verdict.MISMATCH
    assert "float64" not in str(report)


def test_a_cost_that_ignores_its_argument_stays_in_float32():
    params = point(np.float32)
    report = check_gradient(lambda _: cost(params), gradient, params)
    assert report.verdict is not Verdict.MISMATCH
    assert "float64" not in str(report)


def rounding(p):
    """Read the parameters in float32, as a model in float32 behind an optimizer in float64 does."""
    return float(cost({path: np.asarray(value).astype(np.float32) for path, value in p.items()}))


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_parameters_that_the_cost_rounds_to_float32_are_moved_in_float32(method):
    params = {"w": np.array([0.51, -1.23, 2.01]), "b": np.array([0.77, -0.13])}
    report = check_gradient(rounding, gradient, params, method=method)
    assert report.verdict is Verdict.MATCH
    assert "central in float32" in str(report)
    wrong = check_gradient(
        rounding,
        lambda p: gradient(p) | {"w": gradient(p)["w"] * [1, 1, 1.2]},
        params,
        method=method,
    )
    assert wrong.verdict is Verdict.MISMATCH
    estimate = numerical_gradient(rounding, params, method=method)
    for path, exact in gradient(params).items():
        assert (np.abs(estimate.value[path] - exact) <= estimate.error[path]).all()
        assert estimate.error[path].max() < 1e-3 * np.abs(exact).max()


OTHER = {
    "float64": cost,
    "both": lambda p: rounding(p) + cost(p),
    "floor": lambda p: float(np.sum(np.floor(8 * p["w"])) + np.sum(np.floor(8 * p["b"]))),
    "absorbed": lambda p: 1e12 + rounding(p),
    "one array": lambda p: cost({"w": p["w"].astype(np.float32), "b": p["b"]}),
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_other_parameters_stay_in_float64(name):
    params = {"w": np.array([0.51, -1.23, 2.01]), "b": np.array([0.77, -0.13])}
    assert "in float32" not in str(check_gradient(OTHER[name], gradient, params))


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_bounds_hold_where_parameters_are_rounded_to_float32():
    seen = []

    def recorded(p):
        seen.append(np.real(p).max())
        return float(np.sum(np.asarray(p).astype(np.float32) ** 2))

    x = np.array([0.1, 0.2])  # float32 rounds both up
    report = check_gradient(recorded, lambda p: 2 * p, x, bounds=(None, x))
    assert max(seen) <= 0.2
    assert report.verdict is not Verdict.MISMATCH


def test_a_claim_below_the_smallest_float32_is_not_wrong():
    def tiny(p):
        return np.sum(np.exp(-(p**2)))

    x = np.array([11.0, -12.0], np.float32)  # slopes of 1e-52 and 1e-61
    report = check_gradient(tiny, lambda p: -2 * p * np.exp(-(p**2)), x)
    assert report.verdict is not Verdict.MISMATCH


def test_all_evaluations_are_counted():
    calls = []
    counted = lambda p: calls.append(1) or cost(p)  # noqa: E731
    report = check_gradient(counted, gradient(point(np.float32)), point(np.float32))
    assert report.evaluations == len(calls)


def test_a_fast_oscillation_in_float32():
    x = np.random.default_rng(0).uniform(1, 2, 2).astype(np.float32)
    exact = 1024 * np.cos(1024 * x.astype(float))
    report = check_gradient(
        lambda p: np.float32(30) + np.sin(np.float32(1024) * p).sum(), exact.astype(np.float32), x
    )
    assert report.verdict is Verdict.MATCH


def test_a_step_in_float32():
    report = check_step(
        cost,
        lambda p, eta: {k: p[k] - np.float32(eta) * g for k, g in gradient(p).items()},
        point(np.float32),
    )
    assert report.verdict is not Verdict.MISMATCH
    assert "in float64" in str(report)


@pytest.mark.parametrize("sign", [1, -1])
def test_of_an_array_that_the_cost_does_not_read_nothing_is_in_doubt(sign):
    def of_w(p):
        return sign * np.sum(np.exp(np.sin(p["w"])))

    assert widened(Evaluations(of_w, point(np.float32)), 0).doubt == 0
    # unless rounding toward zero shows a narrow stage
    narrow = lambda p: of_w(p) * float(np.float32(1) / np.float32(3))  # noqa: E731
    assert widened(Evaluations(narrow, point(np.float32)), 0).doubt > 0


@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_stage_that_shows_at_smaller_parameters_alone_is_doubted(seed):
    def cost(p):  # at the point, 400 b changes so much that the rounding of a is hidden
        buffer = np.zeros(1, np.float32)
        buffer[...] = p["a"] * 3e8
        return np.tanh(buffer[0]) * np.sum(np.sin(400 * p["b"]))

    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 2, 1) * 1e-9, rng.uniform(1, 4, 3)
    evaluations = Evaluations(cost, {"a": a.astype(np.float32), "b": b.astype(np.float32)})
    wide = widened(evaluations, seed)
    assert wide.eps == evaluations.eps or wide.doubt > 0


def test_an_array_is_also_tried_at_other_parameters(monkeypatch):
    tried, x = [], point(np.float32)

    def cost_rounding(narrow, copies, rng, paths, base):
        ratios = [(1 + base[path] / x[path]).ravel() for path in x]
        tried.append((paths, np.unique(np.concatenate(ratios))))
        return SimpleNamespace(lift=Lift.HIDDEN if len(tried) < 4 else lift, value=0.0)

    monkeypatch.setattr(module, "cost_rounding", cost_rounding)
    monkeypatch.setattr(module, "_adds_up", lambda *_: False)
    for lift in (Lift.LIFTS, Lift.NARROW):
        tried.clear()
        evaluations = Evaluations(cost, point(np.float32))
        with evaluations.restoring_parameters():
            lifts = module._lifts_alone(evaluations, "w", np.random.default_rng(0))
        assert lifts == (lift is Lift.LIFTS)
        assert [paths for paths, _ in tried] == [["w"]] * 4
        for (_, ratio), shrink in zip(tried, (1, 1 / 4, 1 / 16, 1.5), strict=True):
            np.testing.assert_allclose(ratio, shrink, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_complex_steps_of_a_narrow_stage_do_not_add_up(sign):
    def adds_up(of_point):
        copies = copies_of(Evaluations(of_point, point(np.float32)), np.float64)
        return [module._adds_up(copies, "w", np.random.default_rng(s)) for s in range(5)]

    def narrow(p):
        return sign * np.sum(p["w"].astype(np.complex64)) if np.iscomplexobj(p["w"]) else 1.0

    assert all(adds_up(lambda p: sign * cost(p)))
    assert not all(adds_up(narrow))
    assert not any(adds_up(lambda p: np.sum(p["b"])))  # nothing shows


@pytest.mark.parametrize("method", ["auto", "central"])
def test_steps_by_an_array_that_passes_a_narrow_stage_are_longer_than_its_last_places(method):
    # Beside a large term in float64, the steps of one draw in eight lay between two numbers of the
    # stage in float32, where the cost is constant.
    def cost(p):
        return np.sum(np.logaddexp(0, p["a"].astype(np.float32))) + 1e6 * np.sum(p["b"] ** 3)

    for seed in (10, 15, 18):
        rng = np.random.default_rng(seed)
        a, b = 4 * rng.normal(size=2), 10 ** rng.uniform(-1, 1) * rng.normal(size=2)
        params = {"a": a.astype(np.float32), "b": b.astype(np.float32)}
        exact = 1 / (1 + np.exp(-params["a"].astype(float)))
        estimate = numerical_gradient(cost, params, method=method)
        assert np.all(np.abs(estimate.value["a"] - exact) <= estimate.error["a"])
        claim = {"a": exact, "b": 3e6 * params["b"].astype(float) ** 2}
        assert check_gradient(cost, claim, params, method=method).verdict is not Verdict.MISMATCH
