"""Which method estimates which entries, and the rtol that follows: both are planted here."""

import math

import numpy as np
import pytest

from checks.estimation import estimates as module
from checks.estimation.estimates import estimate_derivatives
from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.estimation.precision import wider_dtype
from checks.evaluation.pointwise import Evaluations

INF, NAN = np.inf, np.nan
EPS = 2.0**-52


class Case:
    """Arrays "a" of two entries and "b" of one, with what each method finds of them."""

    def __init__(self, monkeypatch, steps=None, noise=EPS, nothing=(), value=5.0):
        self.goals, self.entries, self.value, self.measured, self.noise = [], {}, value, 0, None
        self.error = 1e-9
        steps = {p: np.asarray(e, float) for p, e in (steps or {}).items()}
        self.steps = {
            p: Estimate(np.where(np.isfinite(e), 1.0, NAN), e, method="complex-step", proof=0.25)
            for p, e in steps.items()
        }
        case, self.smooth = self, set()

        class Planted:
            def __init__(self, evaluations, seed):
                self.known, self.far = Noise(1.0, EPS, False, False), 2
                case.noise = self

            @property
            def measured(self):
                case.measured += 1
                return Noise(1.0, noise, False, False)

        monkeypatch.setattr(module, "CostNoise", Planted)
        monkeypatch.setattr(module, "complex_step", lambda *_: dict(self.steps))
        monkeypatch.setattr(module, "differences", self.differences)
        monkeypatch.setattr(module, "wide_costs", lambda *_: None)
        monkeypatch.setattr(module, "hidden_errors", lambda *_: {})
        monkeypatch.setattr(module, "changes_nothing", lambda e, paths, rng: paths[0] in nothing)
        point = {"a": np.ones(2), "b": np.ones(1)}
        self.evaluations = Evaluations(lambda p: 1.0, point)

    def differences(self, evaluations, path, entries, noise, rng, goal, wide=None):
        self.entries[path] = entries.tolist()
        self.goals.append(goal)
        m = entries.size
        slopes = np.full((m, 2), NAN)
        slopes[:, :] = 3.0, 4.0
        found = np.resize(self.value, m), np.full(m, self.error)
        return Estimate(*found, slopes, on_stairs=np.full(m, path not in self.smooth))

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
    assert case.noise.far == 5
    case.evaluations.shared = True
    case.found()
    assert case.noise.far == 4


def test_where_complex_steps_cover_everything_no_noise_is_measured(monkeypatch):
    case = Case(monkeypatch, {"a": [1e-12, 1e-12], "b": [1e-12]})
    found = case.found()
    assert (case.entries, case.measured, found.method) == ({}, 0, "complex-step")
    assert case.noise.far == 2  # as it was
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


def test_claims_in_a_narrow_dtype_may_underflow(monkeypatch):
    case, tiny = Case(monkeypatch), {d: float(np.finfo(d).tiny) for d in (np.float16, np.float32)}
    case.error = 0.0
    for dtypes, expected in (
        ((np.float64, np.float64), 0.0),
        ((np.float64, np.float32), tiny[np.float32]),
        ((np.float16, np.float32), tiny[np.float16]),
    ):
        claims = {path: np.ones(1, dtype) for path, dtype in zip("ab", dtypes, strict=True)}
        found = case.found("central", claims=claims)
        assert [e.error.tolist() for e in found.by_path.values()] == [[expected] * 2, [expected]]


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
    # one entry that shows a slope is enough
    case = Case(monkeypatch, nothing=("a", "b"), value=[0.0, 5.0])
    assert not case.found("central").by_path["a"].unseen
    # an array of which some complex steps are known is seen
    case = Case(monkeypatch, {"b": [INF]}, nothing=("b",), value=0.0)
    assert not case.found().by_path["b"].unseen


def test_estimates_know_their_shape_and_whether_they_are_wider(monkeypatch):
    case = Case(monkeypatch)
    found = case.found()
    assert found.shaped("a", np.arange(2)).tolist() == [0, 1]
    assert found.other_dtype == ""
    case.evaluations.caller_eps = 2.0**-23
    assert found.other_dtype == "float64"
    case.evaluations.caller_eps = case.evaluations.eps
    assert found.other_dtype == ""
    assert found.seed == 0


@pytest.mark.parametrize("shared", [False, True])
def test_exact_zeros_may_be_what_the_cost_absorbs(monkeypatch, shared):
    case, asked = Case(monkeypatch, {"a": [1e-12, INF]}, value=0.0), []
    case.evaluations.box.sizes["b"][0], case.evaluations.shared = 4.0, shared

    def absorbed_change(evaluations, flat, rng):
        asked.append({path: entries.tolist() for path, entries in flat.items()})
        return 0.5

    monkeypatch.setattr(module, "absorbed_change", absorbed_change)
    found = case.found().by_path
    assert asked == ([] if shared else [{"a": [1], "b": [0]}])
    more = 0.0 if shared else module.FEW_JUMPS * 0.5  # over the size of the entry
    assert found["a"].error.tolist() == [1e-12, 1e-9 + more]
    assert found["b"].error.tolist() == [1e-9 + more / 4]


def test_the_doubt_of_evaluations_is_relative_to_each_slope(monkeypatch):
    case = Case(monkeypatch, value=-5.0)
    case.evaluations.doubt = 0.125
    found = case.found("central").by_path
    assert found["b"].error.tolist() == [1e-9 + 0.625]
    case.value = NAN
    assert case.found("central").by_path["b"].error.tolist() == [1e-9]


needs_long_double = pytest.mark.skipif(not wider_dtype(np.float64), reason="no dtype is wider here")


@needs_long_double
@pytest.mark.parametrize("sign", [1, -1])
def test_what_changes_a_cost_as_much_as_its_noise_may_be_noise(sign):
    moved, height = [], 0.0

    def cost(p):
        moved.append(p["a"][0] / 4 - 1)
        return sign * height if p["a"][0] != 4 else 0.0

    evaluations = Evaluations(cost, {"a": np.full(1, 4.0)})

    def may_be_noise(level=1.0, places=5.0, stochastic=False):
        noise, rng = Noise(level, places * EPS, stochastic, False), np.random.default_rng(0)
        moved.clear()
        return module._may_be_noise(evaluations, "a", noise, rng)

    for height, expected in ((0.0, 0), (0.124, 0), (0.125, 1), (8.0, 1), (8.1, 0), (NAN, 0)):
        before = evaluations.count
        assert may_be_noise() == expected, height
        assert evaluations.count - before == len(moved) == 1 + 4
        assert moved[0] == 0
        assert all(1 / 16 <= abs(move) <= 1 / 8 for move in moved[1:])
    assert min(moved) < 0 < max(moved)
    height = 1.0
    assert not may_be_noise(places=4.0)
    assert may_be_noise(places=4.1)
    assert not may_be_noise(stochastic=True)
    assert not may_be_noise(level=INF)
    evaluations.shared = True
    assert not may_be_noise(places=1000.0)
    assert may_be_noise(places=1050.0)


def test_nothing_is_known_of_what_may_be_noise(monkeypatch):
    case = Case(monkeypatch)
    monkeypatch.setattr(module, "_may_be_noise", lambda e, path, *_: path == "b")
    a, b = case.found("central").by_path.values()
    assert (a.may_be_noise, b.may_be_noise) == (False, True)
    assert (a.error.tolist(), b.error.tolist()) == ([1e-9] * 2, [INF])


def test_exact_zeros_beside_stairs_may_be_moves_too_short_to_reach_a_jump(monkeypatch):
    case = Case(monkeypatch, {"a": [1e-12, INF]}, value=0.0)
    monkeypatch.setattr(module, "absorbed_change", lambda *_: 0.0)
    case.evaluations.box.sizes["b"][0], case.smooth = 4.0, {"a"}
    found = case.found().by_path
    assert found["a"].error.tolist() == [1e-12, 1e-9 + 4 * 1e-9]  # b may jump by its error times 4
    assert found["b"].error.tolist() == [1e-9]
    case.smooth = {"a", "b"}
    assert case.found().by_path["a"].error.tolist() == [1e-12, 1e-9]
