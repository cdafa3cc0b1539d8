"""How claims at several kinks are compared along directions, on planted slopes."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.evaluation.pointwise import Evaluations
from checks.judgement import kinks
from checks.judgement.kinks import PAIRS, _Group, _kinks
from checks.report.array_report import ArrayReport
from checks.report.verdict import Rule, Verdict

MATCH, UNRESOLVED, MISMATCH = Verdict
NAN, INF = np.nan, np.inf
RTOL = 1e-6


def kinked(claimed, left, right, error=1e-9, path="w"):
    """Return the report and the slopes of an array of which every entry lies on a kink."""
    claimed, left, right = (np.asarray(values, float) for values in (claimed, left, right))
    jump = np.abs(right - left) / 2
    array = ArrayReport.judged(
        path, claimed, (left + right) / 2, jump + error, Rule(RTOL), slope_jump=jump
    )
    return array, np.stack([left.reshape(-1), right.reshape(-1)], axis=1)


def group_of(reports, sign=1, point=None, bounds=None):
    arrays = {array.path: array for array, _ in reports}
    point = point or {path: np.ones(array.claimed.shape) for path, array in arrays.items()}
    by_path = {
        array.path: Estimate(array.numeric.reshape(-1), array.error.reshape(-1), slopes)
        for array, slopes in reports
    }
    estimates = SimpleNamespace(
        evaluations=Evaluations(lambda p: 0.0, point, bounds=bounds), by_path=by_path, seed=0,
        noise=Noise(0.0, 0.0, False, False), rtol=RTOL,
    )  # fmt: skip
    at_kinks = {path: _kinks(estimates, array, sign) for path, array in arrays.items()}
    return _Group(estimates, arrays, at_kinks, sign)


def test_entries_are_told_apart_by_the_sign_of_their_slope_jump():
    array, slopes = kinked([0.5, -0.5, 9.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, -1.0, 1.0, 1.0])
    slopes[3] = NAN
    estimates = SimpleNamespace(by_path={"w": Estimate(array.numeric, array.error, slopes)})
    assert _kinks(estimates, array, 1).tolist() == [True, False, False, False]
    assert _kinks(estimates, array, -1).tolist() == [False, True, False, False]
    estimates.by_path["w"] = Estimate(array.numeric, array.error)
    assert not _kinks(estimates, array, 1).any()


# Directions.


def test_entries_move_by_the_inverse_of_their_slope_jump():
    # jumps of 1, 2 and 8, and claims nearer to the lower, the upper and the lower slope
    array, slopes = kinked([0.5, 3.0, 1.0], [0.0, 0.0, 0.0], [2.0, 4.0, 16.0])
    other, others = kinked([[1.5]], [[0.0]], [[4.0]], path="v")
    point = {"w": np.full(3, 4.0), "v": np.full((1, 1), 16.0)}
    found = group_of([(array, slopes), (other, others)], point=point)._directions()
    # so long that the largest move of an array is its size: 4 for "w", as 1/1 is 4 · 1/4
    expected = 4 * np.array([1, 1 / 2, 1 / 8])
    assert found["w"].shape == (4, 3)
    np.testing.assert_allclose(np.abs(found["w"]), np.tile(expected, (4, 1)))
    np.testing.assert_allclose(np.abs(found["v"]), np.full((4, 1, 1), 4 / 2))
    assert np.sign(found["w"][0]).tolist() == [-1, 1, -1]
    assert np.sign(found["v"][0]).tolist() == [[-1]]
    assert (found["w"][1] > 0).all()


def test_the_array_that_moves_most_for_its_size_sets_the_length():
    array, slopes = kinked([0.5], [0.0], [2.0])
    other, others = kinked([0.5], [0.0], [2.0], path="v")
    point = {"w": np.full(1, 4.0), "v": np.full(1, 0.25)}
    found = group_of([(array, slopes), (other, others)], point=point)._directions()
    assert np.abs(found["v"][1]) == 0.25
    assert np.abs(found["w"][1]) == 0.25


def test_the_last_two_directions_have_random_signs():
    array, slopes = kinked(np.full(400, 0.5), np.zeros(400), np.ones(400))
    signs = np.sign(group_of([(array, slopes)])._directions()["w"])
    assert signs.shape == (4, 400)
    assert np.abs(signs[2:].mean(axis=1)).max() < 0.25
    assert abs(np.mean(signs[2] * signs[3])) < 0.25
    assert set(np.abs(signs).flat) == {1.0}


def test_entries_of_no_kink_do_not_move_and_none_moves_by_far_less_than_another():
    array, slopes = kinked([0.5, 1.0, 2.0**29, 9.0], np.zeros(4), [1.0, 1.0, 2.0**31, 1.0])
    slopes[1] = NAN
    found = np.abs(group_of([(array, slopes)])._directions()["w"][0])
    assert found.tolist() == [1.0, 0.0, 2.0**-20, 0.0]


# Sums along directions.


@pytest.mark.parametrize("sign", [1, -1])
def test_the_claim_along_a_direction_and_what_it_owes(sign):
    array, slopes = kinked([0.5, 7.0, 1.0], np.zeros(3), [1.0, 8.0, 2.0], 1e-3)
    slopes[1] = NAN  # no kink: left out
    other, others = kinked([[3.0]], [[0.0]], [[4.0]], 2e-3, path="v")
    group = group_of([(array, slopes), (other, others)])
    v = {"w": sign * np.array([[1.0, 5.0, -2.0]]), "v": sign * np.array([[[3.0]]])}
    claimed = sign * (0.5 - 2 + 9)
    assert group._claimed(v) == pytest.approx([claimed])
    assert group._off(v, np.array([claimed + 0.25])) == pytest.approx([0.25])
    assert group._off(v, np.array([claimed - 0.25])) == pytest.approx([0.25])
    # errors without the jumps, and rtol of the largest of the array, for each entry
    owed = (1e-3 + RTOL * 8) * (1 + 2) + (2e-3 + RTOL * 4) * 3
    assert group._tolerance(v) == pytest.approx([owed])
    assert group._count() == 3


# Points beside the kinks.


def test_entries_are_moved_beside_the_kinks_by_a_sixteenth_or_a_quarter_of_their_room():
    array, slopes = kinked(np.full(3, 0.5), np.zeros(3), np.ones(3))
    point = {"w": np.full(3, 4.0)}
    bounds = ({"w": np.array([-INF, 3.96, -INF])}, {"w": np.array([INF, INF, 4.02])})
    group = group_of([(array, slopes)], point=point, bounds=bounds)
    np.testing.assert_allclose(group._aside("w"), [0.25, 0.01, 0.005])


def test_slopes_beside_are_taken_at_opposite_points(monkeypatch):
    array, slopes = kinked([0.5, 0.5, 0.5], np.zeros(3), np.ones(3))
    slopes[1] = NAN
    group = group_of([(array, slopes)], point={"w": np.full(3, 4.0)})
    moves = []

    def at(evaluations, line, noise, base):
        moves.append(base["w"])
        return float(len(moves)), 0.5

    monkeypatch.setattr(kinks, "directional_difference", at)
    direction = {"w": np.array([4.0, 0.0, 4.0])}
    found = group._slopes_beside(direction)
    assert found.tolist() == [[k, 0.5] for k in range(1, 2 * PAIRS + 1)]
    for ahead, behind in zip(moves[::2], moves[1::2], strict=True):
        assert np.array_equal(ahead, -behind)
        assert ahead[1] == 0
        # by ¾ to 1½ sixteenths of the size
        assert np.all((np.abs(ahead[[0, 2]]) >= 3 / 16) & (np.abs(ahead[[0, 2]]) <= 6 / 16))
    assert len({move.tobytes() for move in moves}) == 2 * PAIRS


# Verdicts.


class Along:
    """A tie of two entries, with planted slopes along the four directions."""

    def __init__(self, monkeypatch, sign=1, claimed=(1.0, 1.0)):
        low, high = (0.0, 1.0) if sign == 1 else (1.0, 0.0)
        self.report = kinked(claimed, [low] * 2, [high] * 2)
        self.group = group_of([self.report], sign)
        self.claimed = self.group._claimed(self.group._directions())
        # along all up, the claims add up to 2, and the cost has the slope 1; elsewhere they agree
        self.value = self.claimed.copy()
        self.error, self.jump = np.full(4, 1e-9), np.zeros(4)
        self.beside = np.tile([self.value[1], 1e-9], (2 * PAIRS, 1))
        self.sign = sign
        monkeypatch.setattr(kinks, "directional_slopes", self.slopes)

    def slopes(self, evaluations, directions, noise, rng, goal):
        assert goal == RTOL / 100
        slopes = np.stack([self.value - self.jump / 2, self.value + self.jump / 2], axis=1)
        slopes[self.jump == 0] = NAN
        return Estimate(self.value, self.error, slopes)

    def judged(self):
        self.group.rng = np.random.default_rng([0, 2 + self.sign])  # the same directions again
        self.group._slopes_beside = lambda one: self.beside
        return self.group.judged()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("off", [0.5, -0.5])
def test_claims_off_along_a_smooth_direction_are_a_mismatch(monkeypatch, sign, off):
    case = Along(monkeypatch, sign)
    assert case.judged() is None
    case.value[1] += off
    case.beside[:, 0] = case.value[1]
    verdict, reason = case.judged()
    assert verdict is MISMATCH
    assert reason.startswith("at 2 kinks each claim lies between")
    assert (
        f"is {case.value[1]:.6g} ± 1e-09, and the claims make it {case.claimed[1]:.6g}." in reason
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_they_owe_the_error_of_the_slope_and_the_tolerance(monkeypatch, sign):
    case = Along(monkeypatch, sign)
    tolerance = case.group._tolerance(case.group._directions())[1]
    for error in (0.0, 0.01):
        for factor, found in ((0.99, False), (1.01, True)):
            case.value[1] = case.claimed[1] - error - factor * tolerance
            case.error[1], case.beside[:, 0] = error, case.value[1]
            assert (case.judged() is not None) == found


@pytest.mark.parametrize("sign", [1, -1])
def test_nothing_is_concluded_of_a_cost_that_bends_the_other_way(monkeypatch, sign):
    case = Along(monkeypatch, sign)
    case.value[1] -= 0.5
    case.beside[:, 0] = case.value[1]
    for jump, found in ((sign * 1e-3, True), (-sign * 1e-3, False)):
        case.jump[2] = jump
        assert (case.judged() is not None) == found
    case.error[2] = INF  # where nothing is known, nothing is concluded
    assert case.judged() is not None


def test_a_direction_of_which_nothing_is_known_is_left_out(monkeypatch):
    case = Along(monkeypatch)
    case.value[1], case.error[1] = NAN, INF
    assert case.judged() is None


@pytest.mark.parametrize("off", [0.5, -0.5])
def test_the_clearest_direction_is_shown(monkeypatch, off):
    case = Along(monkeypatch)
    # along 0, off by more, but relative to the error less
    case.value[0] += 4 * off
    case.error[0] = 0.5
    case.value[1] += off
    case.beside[:, 0] = case.value[1]
    verdict, reason = case.judged()
    assert verdict is MISMATCH
    assert f"is {case.value[1]:.6g} ± 1e-09" in reason


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, MISMATCH), (1.02, UNRESOLVED)])
def test_a_slope_that_is_known_too_badly_leaves_it_unresolved(monkeypatch, factor, verdict):
    case = Along(monkeypatch)
    case.value[1] -= 0.5
    case.error[1] = factor * 0.5 / 8
    case.beside[:, 0] = case.value[1]
    found, _ = case.judged()
    assert found is verdict


@pytest.mark.parametrize(("known", "verdict"), [(PAIRS, MISMATCH), (PAIRS - 1, UNRESOLVED)])
def test_half_of_the_slopes_beside_have_to_be_known(monkeypatch, known, verdict):
    case = Along(monkeypatch)
    case.value[1] -= 0.5
    case.beside[:, 0] = case.value[1]
    case.beside[known:, 1] = 1.01 * 0.5 / 8
    case.beside[:known, 1] = 0.5 / 8
    found, _ = case.judged()
    assert found is verdict


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("factor", "convex"), [(1.0, True), (1.01, False)])
def test_other_slopes_beside_show_that_the_cost_is_not_convex(monkeypatch, sign, factor, convex):
    case = Along(monkeypatch)
    case.value[1] -= 0.5
    case.error[1] = 2.0**-6
    case.beside[:, 0] = case.value[1]
    allowed = 2.0**-6 + 2 * 0.5 / 8
    case.beside[-1, 0] += sign * factor * allowed
    assert (case.judged() is not None) == convex
    case.beside[-1, 1] = 0.1  # known too badly to show it
    assert case.judged() is not None


@pytest.mark.parametrize("kinks_of_one_sign", [1, 2])
def test_two_kinks_of_one_sign_are_judged(monkeypatch, kinks_of_one_sign):
    right = [1.0, 1.0 if kinks_of_one_sign == 2 else -1.0]
    array, slopes = kinked([0.5, 0.5 * right[1]], [0.0, 0.0], right)
    other, others = kinked([1.0], [0.0], [1.0], path="v")
    others[...] = NAN
    estimates = group_of([(array, slopes), (other, others)]).estimates
    monkeypatch.setattr(_Group, "judged", lambda self: (MISMATCH, "because"))
    found = kinks.judge_kinks_together(estimates, {"w": array, "v": other})
    assert found["v"] is other
    if kinks_of_one_sign == 2:
        assert found["w"].verdicts.tolist() == [MISMATCH] * 2
        assert found["w"].reason == "because"
    else:
        assert found["w"] is array
        assert array.verdicts.tolist() == [MATCH] * 2


def test_an_array_may_have_entries_of_no_kink(monkeypatch):
    array, slopes = kinked([0.5, 0.5, 0.5], np.zeros(3), np.ones(3))
    slopes[1] = NAN
    estimates = group_of([(array, slopes)]).estimates
    monkeypatch.setattr(_Group, "judged", lambda self: (UNRESOLVED, "because"))
    found = kinks.judge_kinks_together(estimates, {"w": array})["w"]
    assert found.verdicts.tolist() == [UNRESOLVED, MATCH, UNRESOLVED]
