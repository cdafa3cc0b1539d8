"""Which method estimates which entries, and the rtol that follows: both are planted here."""

import math

import numpy as np
import pytest

from checks.estimation import estimates as module
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.evaluation.pointwise import Evaluations

INF, NAN = np.inf, np.nan
EPS = 2.0**-52


class Case:
    """Arrays "a" of two entries and "b" of one, with what each method finds of them."""

    def __init__(self, monkeypatch, steps=None, noise=EPS, nothing=(), value=5.0):
        self.goals, self.entries, self.value, self.measured = [], {}, value, 0
        steps = {p: np.asarray(e, float) for p, e in (steps or {}).items()}
        self.steps = {
            p: Estimate(np.where(np.isfinite(e), 1.0, NAN), e, method="complex-step", proof=0.25)
            for p, e in steps.items()
        }
        case = self

        class Planted:
            def __init__(self, evaluations, seed):
                self.known, self.far = Noise(1.0, EPS, False, False), 2

            @property
            def measured(self):
                case.measured += 1
                return Noise(1.0, noise, False, False)

        monkeypatch.setattr(module, "CostNoise", Planted)
        monkeypatch.setattr(module, "complex_step", lambda *_: dict(self.steps))
        monkeypatch.setattr(module, "differences", self.differences)
        monkeypatch.setattr(module, "changes_nothing", lambda e, paths, rng: paths[0] in nothing)
        point = {"a": np.ones(2), "b": np.ones(1)}
        self.evaluations = Evaluations(lambda p: 1.0, point)

    def differences(self, evaluations, path, entries, noise, rng, goal):
        self.entries[path] = entries.tolist()
        self.goals.append(goal)
        m = entries.size
        slopes = np.full((m, 2), NAN)
        slopes[:, :] = 3.0, 4.0
        found = np.full(m, self.value), np.full(m, 1e-9)
        return Estimate(*found, slopes, on_stairs=np.ones(m, bool))

    def found(self, method="auto", rtol=None, claims=None):
        return estimate_derivatives(self.evaluations, method, 0, rtol, claims)


def test_what_complex_steps_leave_out_is_estimated_by_differences(monkeypatch):
    case = Case(monkeypatch, {"a": [1e-12, INF]})
    found = case.found()
    assert case.entries == {"a": [1], "b": [0]}
    a, b = found.by_path["a"], found.by_path["b"]
    assert a.value.tolist() == [1, 5]
    assert a.error.tolist() == [1e-12, 1e-9]
    np.testing.assert_array_equal(a.slopes, [[NAN, NAN], [3, 4]])
    assert a.on_stairs.tolist() == [False, True]
    assert (a.method, b.method, found.method) == ("mixed", "central", "mixed")
    assert a.proof == 0.25
    assert case.measured > 0


def test_where_complex_steps_cover_everything_no_noise_is_measured(monkeypatch):
    case = Case(monkeypatch, {"a": [1e-12, 1e-12], "b": [1e-12]})
    found = case.found()
    assert (case.entries, case.measured, found.method) == ({}, 0, "complex-step")
    case.found("central")
    assert case.entries == {"a": [0, 1], "b": [0]}


def test_who_asks_for_complex_steps_gets_no_other(monkeypatch):
    case = Case(monkeypatch, {"a": [1e-12, INF], "b": [1e-12]})
    found = case.found("complex-step")
    assert case.entries == {}
    assert found.by_path["a"].error.tolist() == [1e-12, INF]
    assert {estimate.proof for estimate in found.by_path.values()} == {0.0}
    with pytest.raises(ValueError, match="complex moves of b do not give"):
        Case(monkeypatch, {"a": [1e-12, 1e-12]}).found("complex-step")


@pytest.mark.parametrize(
    ("noise", "dtype", "rtol"),
    [
        (EPS, np.float64, math.sqrt(EPS)),
        (1e-8, np.float64, 1e-4),
        (0.5, np.float64, 0.1),
        (EPS, np.float32, math.sqrt(2.0**-23)),
        (1e-6, np.float32, 1e-3),
        (EPS, np.longdouble, math.sqrt(EPS)),
    ],
)
def test_the_default_rtol_is_the_root_of_the_noise_or_of_the_coarsest_eps(
    monkeypatch, noise, dtype, rtol
):
    case = Case(monkeypatch, noise=noise)
    claims = {"a": np.ones(2), "b": np.ones(1, dtype)}
    found = case.found("central", claims=claims)
    assert found.rtol == pytest.approx(rtol)
    assert case.goals == pytest.approx([rtol / 100] * 2)
    assert case.found("central", 0.125, claims).rtol == 0.125
    assert case.goals[-1] == 0.00125
    # claims in a narrow dtype may underflow
    tiny = float(np.finfo(np.float32).tiny) if dtype is np.float32 else 0.0
    assert found.by_path["b"].error.tolist() == [1e-9 + tiny]


def test_costs_that_share_evaluations_need_no_more_than_a_16th(monkeypatch):
    case = Case(monkeypatch)
    case.evaluations.shared = True
    case.found("central", 0.5)
    assert case.goals == [0.5 / 16] * 2


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("value", [0.0, 5.0, NAN])
def test_an_array_that_changes_nothing_is_unseen(monkeypatch, shared, value):
    case = Case(monkeypatch, nothing=("b",), value=value)
    case.evaluations.shared = shared
    found = case.found("central").by_path
    unseen = value != 5  # nan and 0 show no slope
    assert (found["a"].unseen, found["b"].unseen) == (False, unseen)
    assert found["b"].error.tolist() == [INF if unseen and not shared else 1e-9]
    # an array of which some complex steps are known is seen
    case = Case(monkeypatch, {"b": [INF]}, nothing=("b",), value=0.0)
    assert not case.found().by_path["b"].unseen


def test_estimates_know_their_shape_and_whether_they_are_wider(monkeypatch):
    case = Case(monkeypatch)
    found = case.found()
    assert found.shaped("a", np.arange(2)).tolist() == [0, 1]
    assert found.wider_dtype == ""
    case.evaluations.caller_eps = 2.0**-23
    assert found.wider_dtype == "float64"
    case.evaluations.caller_eps = case.evaluations.eps
    assert found.wider_dtype == ""
    assert found.seed == 0
