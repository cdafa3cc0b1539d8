"""Which complex steps differences prove: the differences are planted here."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import complex_step as module
from checks.estimation.complex_step import PROOF, _proofs, _prove
from checks.estimation.finite_differences import Line
from checks.estimation.noise import Noise
from checks.estimation.step_error import ComplexSteps
from checks.evaluation.pointwise import Evaluations

INF, NAN = np.inf, np.nan
SIGNS = [1, -1]
QUIET = Noise(0.0, 0.0, False, False)
H = 2.0**-100


def steps_of(slopes, known=True):
    slopes = np.asarray(slopes, float)
    known = np.broadcast_to(np.asarray(known), slopes.shape)
    return ComplexSteps(H, slopes, known, float(np.abs(slopes).max()), np.ones(1))


class Case:
    """Arrays with complex steps, and the difference along their directions, off by `off`."""

    def __init__(self, monkeypatch, slopes, off=0.0, error=1e-9, **options):
        self.off, self.error, self.bases = off, error, []
        self.slopes = {path: np.asarray(g, float) for path, g in slopes.items()}
        self.steps = {path: steps_of(g, **options) for path, g in self.slopes.items()}
        point = {path: np.full(g.shape, 2.0) for path, g in self.slopes.items()}

        def cost(p):
            return sum(np.sum(self.slopes[path] * p[path]) for path in self.slopes)

        self.evaluations = Evaluations(cost, point)
        monkeypatch.setattr(module, "fitted_line", self.line)
        monkeypatch.setattr(module, "directional_difference", self.difference)

    def line(self, evaluations, directions, noise, base):
        self.bases.append({path: move.copy() for path, move in base.items()})
        return Line(directions, None, 1.0, 1.0)

    def difference(self, evaluations, line, noise, base):
        along = sum(float(np.vdot(self.slopes[p], v)) for p, v in line.directions.items())
        return along + self.off, self.error

    def proved(self, shrink=1, **directions):
        directions = {p: np.asarray(v, float) for p, v in directions.items()}
        return _prove(self.evaluations, directions, self.steps, shrink, QUIET)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("shrink", [1, 0.25])
def test_differences_must_agree_to_within_their_error(monkeypatch, sign, shrink):
    for off, error, agrees in (
        (0.9e-4, 1e-4, True),
        (1.1e-4, 1e-4, False),
        (0.0, INF, False),
        (NAN, 1e-4, False),
    ):
        case = Case(monkeypatch, {"a": [sign * 1.0, sign * 2.0]}, sign * off, error)
        found = case.proved(shrink, a=[1.0, 1.0])
        assert (found is not None) == agrees
        if shrink != 1:
            assert case.bases[0]["a"].tolist() == [-1.5, -1.5]
        else:
            assert case.bases == [{}]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("shrink", [1, 0.25])
def test_a_proof_has_an_error_of_a_thousandth_of_the_terms(monkeypatch, sign, shrink):
    # Σ |step · direction| = 3 · 2 + 1 · 1
    for factor, proven in ((0.99, True), (1.01, False)):
        error = factor * PROOF * 7
        case = Case(monkeypatch, {"a": [sign * 3.0, sign * 1.0]}, error=error)
        found = case.proved(shrink, a=[2.0, 1.0])
        assert set(found) == ({"a"} if proven else set())
        if proven:
            # all of the error may be of the entry that moved least, relative to the largest step
            assert found["a"].error == pytest.approx(error / (1 * 3))
            assert found["a"].covered.tolist() == [True, True]


def test_terms_that_cancel_count_by_their_size_at_the_point(monkeypatch):
    case = Case(monkeypatch, {"a": [3.0, -3.0 + 1e-9]}, error=0.99 * PROOF * 6)
    assert set(case.proved(a=[1.0, 1.0])) == {"a"}


def test_an_entry_is_covered_that_moved_far_enough_to_show(monkeypatch):
    # of sizes 8, 1, 0: one that moves by v shows v · terms/9 if its step is off by the mean
    for error, covered in ((1.01e-3, [True, True, False]), (PROOF * 8.9, [True, True, False])):
        case = Case(monkeypatch, {"a": [1.0, 1.0, 1.0]}, error=error)
        found = case.proved(a=[8.0, 1.0, 0.0])
        assert found["a"].covered.tolist() == covered
    v = np.array([2000.0, 1.0])
    case = Case(monkeypatch, {"a": [1.0, 1.0]}, error=1.1)
    found = case.proved(a=v)
    assert found["a"].covered.tolist() == [True, False]
    assert found["a"].error == pytest.approx(1.1 / 2000)
    # in a large array half of the farthest is far enough
    v = np.r_[[1.0] * 3000, 0.51, 0.49]
    case = Case(monkeypatch, {"a": np.ones(3002)}, error=0.9999 * PROOF * 3001)
    assert case.proved(a=v)["a"].covered.tolist() == [True] * 3001 + [False]


def test_of_several_arrays_those_are_proven_whose_entries_are_all_covered(monkeypatch):
    slopes = {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    case = Case(monkeypatch, slopes, error=1.1)
    assert set(case.proved(a=[2000.0, 1.0], b=[1500.0, 1500.0])) == {"b"}
    assert set(case.proved(a=[2000.0, 0.0], b=[1500.0, 1500.0])) == {"a", "b"}
    case.error = 2.5
    assert set(case.proved(a=[2000.0, 1000.0], b=[500.0, 500.0])) == {"a"}


@pytest.mark.parametrize("sign", SIGNS)
def test_the_error_of_one_entry_is_that_of_the_covered_one_that_moved_least(monkeypatch, sign):
    case = Case(monkeypatch, {"a": [sign * 3.0, sign * -4.0, sign * 1.0]}, error=0.9e-3 * 7)
    found = case.proved(a=[1.0, -0.5, sign * 2.0])
    assert found["a"].covered.tolist() == [True] * 3
    # all of the error, relative to the largest step, is of the entry that moved by 0.5
    assert found["a"].error == pytest.approx(0.9e-3 * 7 / (0.5 * 4))
    case.error = 1.1
    found = case.proved(a=[1000.0, -0.5, sign * 2000.0])
    assert found["a"].covered.tolist() == [True, False, True]
    assert found["a"].error == pytest.approx(1.1 / (1000 * 4))


# Which groups of arrays are proven together, with what noise, and at which parameters.


class Groups:
    """What `_prove` finds is planted, as a function of the group, the shrink and the noise."""

    def __init__(self, monkeypatch, planted, assumed=1e-6, measured=1e-9, shared=False):
        self.asked, self.known = [], Noise(assumed, assumed, False, False)
        self._measured = Noise(measured, measured, False, False)
        self.evaluations = Evaluations(lambda p: 0.0, {path: np.full(2, 2.0) for path in "abc"})
        self.evaluations.shared = shared
        self.steps = {path: steps_of([3.0, -4.0], [True, path != "c"]) for path in "abc"}

        def prove(evaluations, directions, steps, shrink, noise):
            self.asked.append(("".join(directions), shrink, noise.level))
            self.directions = directions
            found = planted("".join(directions), shrink, noise.level)
            return None if found is None else dict.fromkeys(found, shrink)

        monkeypatch.setattr(module, "_prove", prove)

    @property
    def measured(self):
        self.known = self._measured
        return self._measured

    def found(self, signs=(1.0, 1.0)):
        direction = {path: np.array(signs) for path in "abc"}
        return _proofs(self.evaluations, self.steps, direction, self)


def test_all_arrays_are_proven_together(monkeypatch):
    groups = Groups(monkeypatch, lambda group, shrink, level: group)
    assert groups.found((-1.0, 0.75)) == {"a": 1, "b": 1, "c": 1}
    assert groups.asked == [("abc", 1, 1e-6)]
    # along the signs of the steps, by the typical size; unknown steps are left out
    assert groups.directions["a"].tolist() == [2.0, -1.5]
    assert groups.directions["c"].tolist() == [2.0, 0.0]
    groups = Groups(monkeypatch, lambda group, shrink, level: group, shared=True)
    groups.found((-1.0, 0.75))
    assert groups.directions["a"].tolist() == [-2.0, 1.5]  # the same for all results
    # terms of 3 · 2 and 4 · 2 of three arrays may round
    assert groups.asked == [("abc", 1, max(1e-6, 64 * 2.0**-52 * 42))]


def test_arrays_that_disagree_are_found_one_by_one_and_are_not_tried_again(monkeypatch):
    def planted(group, shrink, level):
        return None if "b" in group else group

    groups = Groups(monkeypatch, planted, assumed=1e-6, measured=1e-9)
    assert groups.found() == {"a": 1, "c": 1}
    # smaller noise does not explain the disagreement
    assert [group for group, _, _ in groups.asked] == ["abc", "c", "b", "a"]
    assert {shrink for _, shrink, _ in groups.asked} == {1}


def test_larger_noise_may_explain_a_disagreement(monkeypatch):
    def planted(group, shrink, level):
        return group if level > 1e-5 else None

    groups = Groups(monkeypatch, planted, measured=1e-3)
    assert groups.found() == {"a": 1, "b": 1, "c": 1}
    assert groups.asked == [("abc", 1, 1e-6), ("abc", 1, 1e-3)]
    groups = Groups(monkeypatch, planted, measured=1e-6)  # no larger
    assert groups.found() == {}


def test_smaller_noise_may_prove_more_arrays(monkeypatch):
    def planted(group, shrink, level):
        return group if level < 1e-7 else group[:1]

    groups = Groups(monkeypatch, planted)
    assert groups.found() == {"a": 1, "b": 1, "c": 1}
    assert groups.asked == [("abc", 1, 1e-6), ("abc", 1, 1e-9)]
    groups = Groups(monkeypatch, planted, measured=1e-5)
    assert groups.found() == {"a": 1, "b": 1, "c": 1}
    assert [group for group, _, _ in groups.asked] == ["abc", "c", "b"]


def test_what_is_not_proven_at_the_point_is_tried_at_smaller_parameters(monkeypatch):
    def planted(group, shrink, level):
        return [p for p in group if p == "a" or shrink < {"b": 0.5, "c": 0.1}[p]]

    groups = Groups(monkeypatch, planted)
    assert groups.found() == {"a": 1, "b": 0.25, "c": 0.0625}
    assert [shrink for _, shrink, _ in groups.asked[-1:]] == [2.0**-4]
    never = Groups(monkeypatch, lambda group, shrink, level: "")
    assert never.found() == {}
    assert {shrink for _, shrink, _ in never.asked} == {1, 0.25, 0.0625}


def test_only_steps_that_are_known_and_covered_are_estimates(monkeypatch):
    known, covered = (
        np.array([[True, True], [False, True]]),
        np.array([[True, False], [True, True]]),
    )
    steps = {
        path: ComplexSteps(H, np.array([[1.0, 2.0], [0.0, 4.0]]), known, 4.0, np.ones(1))
        for path in "abc"
    }
    proofs = {path: module._Proof(0.25, covered) for path in "ab"}
    errors = {
        "a": (np.array([1e-9, 1e-9, INF, PROOF * 4]), "lifted"),
        "b": (np.array([1e-9, 1.01 * PROOF * 4, INF, 1e-9]), "sampled"),
    }
    monkeypatch.setattr(module, "_proofs", lambda *_: proofs)
    asked = []
    monkeypatch.setattr(module, "step_errors", lambda e, s, rng: asked.append(list(s)) or errors)
    evaluations = SimpleNamespace(
        at_point=1.0, values=dict.fromkeys("ab", np.ones((2, 2))), eps=2.0**-52
    )
    covered_last = []
    monkeypatch.setattr(
        module, "cover_factors", lambda e, s, found, rng: covered_last.append(found)
    )
    found = module._proven_estimates(evaluations, steps, {}, None, None)
    assert covered_last == [found]
    assert asked == [["a", "b"]]
    assert list(found) == ["a"]  # of the other, rounding takes too much
    np.testing.assert_array_equal(found["a"].value, [1, NAN, NAN, 4])
    np.testing.assert_array_equal(found["a"].error, [1e-9, INF, INF, PROOF * 4])
    assert (found["a"].method, found["a"].precision, found["a"].proof) == (
        "complex-step",
        "lifted",
        0.25,
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("places", "cost", "slope", "part"), [
    (100, 4.0, 1.0, 100), (8, 4.0, 1.0, 0), (100, 0.0, 2.0, 100), (100, 4.0, 100.0, 0),
])  # fmt: skip
def test_a_real_part_beside_the_real_cost_is_a_doubt(places, cost, slope, part, sign):
    # relative to the cost 4, or to the terms slope · 2, of which the cost may be a difference
    eps = 2.0**-52
    evaluations = SimpleNamespace(
        at_point=sign * cost, values={"a": np.array([sign * 2.0])}, eps=eps
    )
    costs = np.array([sign * cost, sign * cost + 4 * places * eps])
    array = ComplexSteps(H, np.array([slope]), np.ones(1, bool), slope, costs)
    found = module._off_in_real_part(evaluations, {"a": array})["a"]
    assert found == pytest.approx(4 * part * eps, rel=0.1, abs=0)


POINT = {"a": np.array([2.0, -3.0]), "b": np.array([0.5], np.float32), "c": np.array([1.0, 1.0])}
DIRECTION = {"a": np.array([0.5, -1.0]), "b": np.array([0.25]), "c": np.array([1.0, -0.5])}


class Cost:
    """A cost that notes the imaginary parts of its arguments."""

    def __init__(self, of_point):
        self.of_point, self.met = of_point, []

    def __call__(self, p):
        imag = {path: np.imag(value).tolist() for path, value in p.items()}
        if any(map(np.iscomplexobj, p.values())):
            self.met.append(imag)
        return self.of_point(p)


def complex_steps_of(of_point, analytic=None):
    cost = Cost(of_point)
    if analytic is not None:
        cost.analytic = analytic
    evaluations = Evaluations(cost, {path: value.copy() for path, value in POINT.items()})
    with evaluations.restoring_parameters(), np.errstate(all="ignore"):
        return module._complex_steps(evaluations, DIRECTION), cost.met


@pytest.mark.parametrize("sign", SIGNS)
def test_complex_steps_are_tried_along_a_direction_and_then_taken_one_by_one(sign):
    found, met = complex_steps_of(lambda p: sign * (np.sum(p["a"] ** 3) - 2 * np.sum(p["b"])))
    # by the smallest step of all arrays, 2^-100 of float64 and 2^-40 of float32
    assert met[0] == {path: (2.0**-100 * v).tolist() for path, v in DIRECTION.items()}
    assert len(met) == 1 + 5
    assert list(found) == ["a", "b"]  # all slopes by "c" are 0
    assert found["a"].slopes.tolist() == [sign * 12, sign * 27]
    assert found["b"].slopes.tolist() == [sign * -2]
    assert (found["a"].h, found["b"].h) == (2.0**-100, 2.0**-40)
    assert (found["a"].largest, found["b"].largest) == (27, 2)


def test_an_analytic_cost_needs_no_trial():
    for analytic, calls in ((True, 5), (False, 6)):
        _, met = complex_steps_of(lambda p: np.sum(p["a"] ** 3), analytic)
        assert len(met) == calls


@pytest.mark.parametrize("imag", [0.0, NAN])
def test_no_steps_are_taken_of_a_cost_that_drops_imaginary_parts(imag):
    def cost(p):
        beside = complex(0, imag) if np.iscomplexobj(p["a"]) else 0
        return np.sum(np.real(p["a"])) + beside

    found, met = complex_steps_of(cost)
    assert found == {}
    assert len(met) == 1


def test_an_array_with_a_step_that_is_not_finite_is_left_out():
    def cost(p):
        beside = complex(0, NAN) if np.imag(p["a"][1]) and not np.any(np.imag(p["b"])) else 0
        return np.sum(p["a"]) + np.sum(p["b"]) + beside

    assert list(complex_steps_of(cost)[0]) == ["b"]
