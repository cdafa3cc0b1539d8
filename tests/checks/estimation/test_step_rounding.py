"""What calls in a wider dtype show of complex steps whose rounding is planted."""

import math

import numpy as np
import pytest

from checks.estimation import step_rounding as steps
from checks.estimation.precision import Lift
from checks.evaluation.entries import Entries
from tests.checks.estimation.planted import INF, NAN, NARROW, SIGNS, WIDE, approx, rng


class Steps:
    """Copies whose steps of single entries and along directions are planted."""

    eps, narrow_eps, dtype = WIDE, NARROW, np.dtype(np.float64)
    overflowed = shared = False

    def __init__(self, wide, cost=1.0, off=0.0, shaken=0.0, scale=1.0):
        self.wide, self.cost, self.off, self.shaken = wide, cost, off, shaken
        self.values = {path: np.ones(np.shape(g)) for path, g in wide.items()}
        self.scales, self.sizes = dict.fromkeys(wide, scale), self.values
        self.entries = Entries(self.values)
        self.typical = np.full(self.entries.size, scale)
        self.box, self.tested, self.directions, self.moved = self, [], [], []

    def all_last_places(self):
        return np.full(self.entries.size, NARROW)

    def reflected_all(self, moves):
        self.moved.append(moves)
        return moves

    def slopes(self, entries):
        found = {path: self.wide[path][some] for path, some in entries.items()}
        return found, {path: np.full(some.size, self.cost) for path, some in entries.items()}

    def slopes_along(self, directions, moves):
        for direction, moved in zip(directions, moves, strict=True):
            along = {path: v for path, v in self.entries.split(direction).items() if v.any()}
            yield self.slope(along, self.entries.split(moved))[0]

    def slope(self, direction, moves):
        total = sum(float(np.vdot(self.wide[path], v)) for path, v in direction.items())
        is_moved = any(move.any() for move in moves.values())
        self.tested.append((sorted(direction), is_moved))
        self.directions.append(direction)
        off = self.shaken if is_moved else self.off
        off = off.get(tuple(sorted(direction)), 0.0) if isinstance(off, dict) else off
        return total * (1 + off), 0.0


def step_rounding_of(narrow, wide, narrow_cost=1.0, **options):
    wide = {path: np.array(g, float) for path, g in wide.items()}
    copies = Steps(wide, **options)
    narrow = {path: np.array(g, float) for path, g in narrow.items()}
    return steps.complex_step_rounding(narrow, narrow_cost, copies, rng()), copies


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("off", SIGNS)
def test_the_error_of_a_step_is_its_change_and_what_the_wide_one_may_round(sign, off):
    wide = sign * np.array([1.0, 4.0, 0.5])
    narrow = wide + off * np.array([1e-6, 3e-6, 0.0])
    for cost, terms, scale in ((1.0, 1.0, 2.0), (100.0, 100.0, 2.0), (1.0, 1.0, 0.125)):
        found, _ = step_rounding_of({"w": narrow}, {"w": wide}, cost, cost=cost, scale=scale)
        floor = WIDE * max(terms / scale, 4.0)
        size = np.abs(wide)
        expected = 1.5 * np.abs(narrow - wide) + NARROW / 2 * size
        expected += 32 * WIDE / NARROW * 3e-6 + floor
        assert found.error["w"] == approx(expected, rel=1e-12)
        assert found.lifts == {"w": Lift.LIFTS}


@pytest.mark.parametrize("sign", SIGNS)
def test_terms_larger_than_the_cost_show_in_its_rounding(sign):
    # a cost that differs by 2^-3 in both dtypes has terms of 2^20
    wide, cost = np.array([1.0, 4.0]), 8.0 + sign * 2.0**-3
    found, _ = step_rounding_of({"w": wide}, {"w": wide}, cost, cost=8.0)
    assert found.error["w"] == approx(NARROW / 2 * wide + WIDE * 2.0**20, rel=1e-12)


@pytest.mark.parametrize("sign", SIGNS)
def test_where_rounding_takes_a_16th_of_the_largest_nothing_is_known(sign):
    wide = sign * np.array([1.0, 4.0])
    for factor, known in ((0.99, True), (1.01, False)):
        for side in SIGNS:
            narrow = wide + side * np.array([factor * 4 / 16, 0.0])
            found, _ = step_rounding_of({"w": narrow}, {"w": wide})
            assert np.isfinite(found.error["w"]).tolist() == [known] * 2
    found, _ = step_rounding_of({"w": [NAN, 1.0]}, {"w": [1.0, 1.0]})
    assert np.isinf(found.error["w"]).all()


def test_three_directions_test_the_lift_of_up_to_four_arrays_together():
    names = "abcde"
    planted = {name: [1.0, 2.0] for name in names}
    found, copies = step_rounding_of(planted, planted)
    assert set(found.lifts.values()) == {Lift.LIFTS}
    together, alone = ["a", "b", "c", "d"], ["e"]
    assert copies.tested == [
        (paths, shaken) for paths in (together, alone) for shaken in [False] * 3 + [True] * 2
    ]


@pytest.mark.parametrize("sign", SIGNS)
def test_arrays_are_tested_one_by_one_where_a_group_does_not_lift(sign):
    planted = {"a": [1.0], "b": [2.0]}
    # one entry each: the unit is a quarter of the narrow eps, by the root of the sum of squares
    off = {("a", "b"): sign * 1e-3, ("b",): sign * 1e-3, ("a",): 0.0}
    found, copies = step_rounding_of(planted, planted, off=off)
    assert found.lifts == {"a": Lift.LIFTS, "b": Lift.NARROW}
    assert [paths for paths, moved in copies.tested if not moved] == [
        ["a", "b"], *[["a"]] * 3, ["b"]
    ]  # fmt: skip
    for factor, lift in ((0.9, Lift.LIFTS), (1.1, Lift.NARROW)):
        off = sign * factor * NARROW / 4 / 8  # an eighth of what a narrow stage makes of it
        found, copies = step_rounding_of({"a": [1.0]}, {"a": [1.0]}, off=off)
        assert found.lifts == {"a": lift}
        tests = [paths for paths, moved in copies.tested if not moved]
        assert len(tests) == (3 if lift is Lift.LIFTS else 1)  # it is not tested again


def test_what_cannot_be_tested_is_hidden_or_narrow():
    found, copies = step_rounding_of({"a": [NAN], "b": [1.0]}, {"a": [NAN], "b": [1.0]})
    assert found.lifts == {"a": Lift.NARROW, "b": Lift.LIFTS}
    found, copies = step_rounding_of({"a": [1.0]}, {"a": [1.0]}, 0.0, cost=0.0)
    assert found.lifts == {"a": Lift.HIDDEN}
    assert copies.tested == []
    # an array below 2^10 floors, of which a quarter of the size counts
    floor = WIDE * 2.0**40
    for factor, lift in ((1 / 3 * 1.01, Lift.LIFTS), (1 / 3 * 0.99, Lift.HIDDEN)):
        g = [factor * 2**10 * floor]
        found, _ = step_rounding_of({"a": g}, {"a": g}, 2.0**40, cost=2.0**40)
        assert found.lifts == {"a": lift}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "overflowed", True)
        found, _ = step_rounding_of({"a": [1.0]}, {"a": [1.0]})
        assert found.lifts == {"a": Lift.HIDDEN}


@pytest.mark.parametrize("sign", SIGNS)
def test_shaken_parameters_show_digits_lost_in_both_dtypes(sign):
    wide = sign * np.array([1.0, 4.0])
    plain, _ = step_rounding_of({"a": wide}, {"a": wide})
    for shaken in (0.01, -0.01):
        found, copies = step_rounding_of({"a": wide}, {"a": wide}, shaken=shaken)
        extra = 2 * 0.01 * (np.abs(wide) + 4 / 16)
        assert found.error["a"] - plain.error["a"] == approx(extra, rel=1e-9)
        # by 16 last places of the wide dtype, up or down
        assert np.abs(copies.moved[0]) == approx(16 * WIDE)
    for shaken, known in ((0.99 / 16, True), (1.01 / 16, False)):
        found, _ = step_rounding_of({"a": wide}, {"a": wide}, shaken=sign * shaken)
        assert np.isfinite(found.error["a"]).all() == known
    # nothing is shaken where nothing lifts
    found, copies = step_rounding_of({"a": wide}, {"a": wide}, off=1.0, shaken=0.01)
    assert not any(moved for _, moved in copies.tested)
    assert np.array_equal(found.error["a"], plain.error["a"])


@pytest.mark.parametrize("sign", SIGNS)
def test_directions_make_all_terms_alike(sign):
    g = sign * np.array([1.0, -8.0, 2.0**-20, 0.0])
    _, copies = step_rounding_of({"a": g}, {"a": g}, scale=4.0)
    for direction in copies.directions:
        v = direction["a"]
        assert np.array_equal(np.sign(v), np.where(g < 0, -1, 1))
        # of a size between half of the scale and all of it; an entry of 0 has the floor's
        assert 2 <= np.abs(v).max() < 4
        terms = (g * v)[:3]
        assert terms.max() <= 2.01 * terms.min()
        # all bits of the wide dtype are set, which a cast to float32 would round
        assert np.all(v[:3] != v[:3].astype(np.float32))


def test_no_entry_of_several_arrays_moves_by_more_than_the_size_of_its_array():
    for small in ("a", "b"):
        planted = {path: [2.0**-12 if path == small else 1.0] for path in "ab"}
        _, copies = step_rounding_of(planted, planted, scale=4.0)
        for direction in copies.directions:
            assert 0.5 <= max(abs(v.item()) / 4 for v in direction.values()) < 1
            assert abs(direction[small].item()) > 1  # so that both terms are alike


def test_all_parameters_are_shaken_to_either_side():
    planted = {"a": np.ones(40), "b": np.ones(1)}
    _, copies = step_rounding_of(planted, planted)
    moves = copies.moved[0]
    assert moves.shape == (steps.SHAKES, 41)
    assert np.unique(np.abs(moves)).tolist() == [steps.SHAKE * WIDE]
    assert all(set(np.sign(row)) == {-1, 1} for row in moves)


def test_only_the_entries_asked_for_are_moved():
    g = np.array([1.0, 2.0, 3.0])
    copies = Steps({"a": g})
    found = steps.complex_step_rounding(
        {"a": g[[2, 0]]}, 1.0, copies, rng(), {"a": np.array([2, 0])}
    )
    assert found.error["a"].shape == (2,)
    assert all(direction["a"][1] == 0 for direction in copies.directions)
    assert all(direction["a"][[0, 2]].all() for direction in copies.directions)


def test_a_direction_along_which_nothing_changes_is_off_by_everything():
    copies = Steps({"a": np.zeros(2)})
    entries = np.arange(2)
    with np.errstate(invalid="ignore"):
        found = steps._nonlinearity(copies, {"a": (np.zeros(2), np.ones(2), entries)}, rng())
        assert [off for off, _ in found] == [INF] * 5
    copies = Steps({"a": np.ones(2)})
    copies.slope = lambda direction, moves: (NAN, 0.0)
    for off, unit in steps._nonlinearity(copies, {"a": (np.ones(2), np.ones(2), entries)}, rng()):
        assert off == INF
        # two terms about alike: √2/2 of a quarter of the narrow eps
        assert unit == approx(NARROW / 4 / math.sqrt(2), rel=0.1)
