"""The slopes of which a diagonal Hessian is made, with their noise and errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.evaluation.pointwise import Evaluations
from checks.jacobian import Options
from checks.judgement import diagonal
from checks.judgement.diagonal import CostSlopes, GradientEntries, OwnSlopes, judged_diagonal
from checks.report.verdict import Verdict

POINT = {"w": np.array([[1.0, -2.0], [0.5, 4.0]]), "b": np.array([-3.0])}


def cubes(p):
    return np.sum(np.abs(p["w"]) ** 3) + np.sum(p["b"] ** 2)


def slopes(p):
    return {"w": 3 * p["w"] * np.abs(p["w"]), "b": 2 * p["b"]}


def curvatures(p):
    return {"w": 6 * np.abs(p["w"]), "b": np.full(1, 2.0)}


def planted(monkeypatch, method, error, level=1e-9, relative=1e-12):
    """Return the own slopes from values of the cost, whose slopes have planted errors."""
    exact = slopes(POINT)
    by_path = {
        path: SimpleNamespace(value=g.ravel(), error=np.asarray(error[path], float))
        for path, g in exact.items()
    }
    noise = SimpleNamespace(level=level, relative=relative)
    estimates = SimpleNamespace(method=method, noise=noise, by_path=by_path)
    monkeypatch.setattr(diagonal, "estimate_derivatives", lambda *_: estimates)
    return CostSlopes(Evaluations(cubes, {p: v.copy() for p, v in POINT.items()}), 0)


ERROR = {"w": [1e-10, 2e-10, 3e-10, 4e-10], "b": [5e-10]}


@pytest.mark.parametrize("sign", [1, -1])
def test_own_slopes_from_differences_of_costs(monkeypatch, sign):
    found = planted(monkeypatch, "central", ERROR)
    steps = sign * np.array([[1e-3, -2e-3, 0.0], [4e-3, -2e-3, 0.0]])
    changes = found.changes("w", np.array([1, 3]), steps)
    # 2 (C(x + s) − C(x) − s ∂C)/s = s ∂²C + s² ∂³C/3, of a cube
    x = np.array([[-2.0], [4.0]])
    exact = 6 * np.abs(x) * steps + steps**2 / 3 * 6 * np.sign(x)
    np.testing.assert_allclose(changes[:, :2], exact[:, :2], rtol=1e-7)
    assert np.isnan(changes[:, 2]).all()
    # √(1 + 1 + 4) σ/h² over h, and the shortest step counts
    expected = math.sqrt(6) * 1.51 / 1.08 * 1e-9 / np.array([1e-3, 2e-3])
    levels = found.levels["w"]
    np.testing.assert_allclose(levels[[1, 3]], expected + np.array([2e-10, 4e-10]), rtol=1e-12)
    assert levels[[0, 2]].tolist() == [1e-10, 3e-10]  # not moved yet
    assert found.doubt["w"].tolist() == [0, 0, 0, 0]
    assert found.calls == 0
    assert found.noise == 1e-9
    # the first step, (noise/terms)^(1/7), is to be relative^(1/8)
    assert (found.noise / found.terms) ** (1 / 7) == pytest.approx(1e-12 ** (1 / 8))
    exactly = planted(monkeypatch, "central", ERROR, relative=0.0)
    assert (exactly.noise / exactly.terms) ** (1 / 7) == pytest.approx(1e-17 ** (1 / 8))


def test_own_slopes_from_complex_steps(monkeypatch):
    monkeypatch.setattr(np, "abs", lambda z: np.where(np.real(z) < 0, -z, z))
    found = planted(monkeypatch, "complex-step", ERROR)
    changes = found.changes("w", np.array([1, 3]), np.array([[0.5, -0.5], [1.0, -1.0]]))
    monkeypatch.undo()
    exact = 3 * np.array([[-(1.5**2), -(2.5**2)], [25, 9]]) - [[-12], [48]]
    np.testing.assert_allclose(changes, exact, rtol=1e-12)
    # a slope's error may change as the entry does
    np.testing.assert_allclose(found.doubt["w"], np.array(ERROR["w"]) / [1, 2, 0.5, 4])
    np.testing.assert_allclose(found.doubt["b"], [5e-10 / 3])
    assert found.levels["w"].tolist() == ERROR["w"]
    assert (found.noise, found.terms) == (5e-10, 48)


@pytest.mark.parametrize("measured", [True, False])
def test_own_slopes_from_a_gradient(monkeypatch, measured):
    if not measured:
        monkeypatch.setattr(diagonal, "measure_result_noise", lambda *_: None)
    calls = []

    def gradient(p):
        calls.append(1)
        return slopes(p)

    point = {path: value.copy() for path, value in POINT.items()}
    found = GradientEntries(gradient, point, Options())
    with found.evaluations.restoring_parameters():
        changes = found.changes("w", np.array([3, 1]), np.array([[0.5, -0.5], [1.0, -1.0]]))
    np.testing.assert_allclose(changes, [[12.75, -11.25], [9, -15]], rtol=1e-12)
    assert found.calls == len(calls)
    assert found.terms == 3 * 6**2 - 3 * 4**2  # where 4 moves to 6; the largest slope is 3 · 4²
    assert {path: level.shape for path, level in found.levels.items()} == {"w": (4,), "b": (1,)}
    if measured:
        assert found.noise < 1e-13
    else:
        # so many last places are assumed
        eps = float(np.finfo(float).eps)
        np.testing.assert_allclose(
            found.levels["w"], diagonal.ASSUMED_PLACES * eps * np.array([3, 12, 0.75, 48])
        )
        assert found.noise == found.levels["w"][3]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_noise_and_the_largest_slope_of_all_arrays_count(sign):
    own = OwnSlopes()
    own._know(
        {"a": np.array([1e-9, 3e-9]), "b": np.zeros((0, 2)), "c": np.array(2e-9)},
        {"a": sign * np.array([0.25, -0.125]), "b": np.zeros((0, 2)), "c": np.array(sign * 0.5)},
    )
    assert (own.noise, own.terms) == (3e-9, 0.5)
    assert own.levels["c"].tolist() == [2e-9]


class Exact(OwnSlopes):
    """Own slopes without noise, and how the parameters come back."""

    def __init__(self, doubt=0.0, dtype=float):
        params = {path: value.astype(dtype) for path, value in POINT.items()}
        self.evaluations = Evaluations(cubes, params)
        exact = {path: g.astype(float) for path, g in slopes(POINT).items()}
        self._exact = {path: g.ravel() for path, g in curvatures(POINT).items()}
        self._know({path: np.full(g.shape, 1e-15) for path, g in exact.items()}, exact)
        self.doubt = {path: np.full(g.size, doubt) for path, g in exact.items()}
        self.calls, self.dtypes = 17, set()

    def changes(self, path, entries, steps):
        self.dtypes.add(np.asarray(steps).dtype)
        return self._exact[path][entries, None] * steps


def judged(own, claim, dtype=float):
    params = {path: value.astype(dtype) for path, value in POINT.items()}
    return judged_diagonal(own, claim, params, Options(rtol=1e-6))[0]


def test_the_doubt_of_slopes_is_added_to_the_errors():
    report = judged(Exact(), curvatures)
    assert report.verdict is Verdict.MATCH, str(report)
    assert (report.evaluations, report.kind, report.diagnosis) == (17, "Hessian", ())
    assert list(report.arrays) == ["diagonal of w", "diagonal of b"]
    assert 0 < report.seconds < 60
    error = report.arrays["diagonal of w"].error
    assert error.max() < 1e-6
    report = judged(Exact(0.25), curvatures)
    assert report.verdict is Verdict.UNRESOLVED
    np.testing.assert_allclose(report.arrays["diagonal of w"].error - error, 0.25, rtol=1e-4)


def test_a_wrong_diagonal_is_named():
    report = judged(Exact(), {path: 2 * g for path, g in curvatures(POINT).items()})
    assert report.verdict is Verdict.MISMATCH
    assert [mistake.name for mistake in report.diagnosis] == ["scale"]


@pytest.mark.parametrize(("growth", "verdict"), [(1.0, Verdict.MISMATCH), (1e-9, Verdict.MATCH)])
def test_two_calls_of_the_claim_that_differ_are_named_or_found(growth, verdict):
    calls = []

    def unsteady(p):
        calls.append(1)
        return {path: g * (1 + growth * (len(calls) - 1)) for path, g in curvatures(p).items()}

    report = judged(Exact(), unsteady)
    assert report.verdict is verdict
    names = [mistake.name for mistake in report.diagnosis]
    assert names == (["not repeatable"] if growth == 1 else [])
    assert any("two calls of the gradient" in found for found in report.findings) == (growth < 1)


def test_by_float32_parameters_the_diagonal_is_estimated_in_float64_where_slopes_are():
    report = judged(
        Exact(), {p: g.astype(np.float32) for p, g in curvatures(POINT).items()}, np.float32
    )
    assert {array.dtype for array in report.arrays.values()} == {"float64"}
    own = Exact(dtype=np.float32)
    report = judged(
        own, {p: g.astype(np.float32) for p, g in curvatures(POINT).items()}, np.float32
    )
    assert {array.dtype for array in report.arrays.values()} == {""}
