"""What calls in a wider dtype show of a claim whose rounding is planted."""

import numpy as np
import pytest

from checks.estimation import claim_rounding as claims
from checks.estimation.precision import LINE, Lift
from tests.checks.estimation.planted import NAN, NARROW, SIGNS, WIDE, approx, rng


class Claimed:
    """A claim of one array "w" as planted along the line, and rounded toward zero."""

    eps, narrow_eps = WIDE, NARROW

    def __init__(self, wide, truncated=None, places=1.0, n=None):
        self.wide, self.truncated = wide, truncated
        n = np.size(wide(0.0)) if n is None else n
        self.values, self.scales, self.box = {"w": np.ones(n)}, {"w": 2.0}, self
        self.places = places

    def last_places(self, path):
        return np.full(self.values[path].shape, self.places)

    def reflected(self, path, move, reach):
        assert reach == LINE[-1]
        # about 8 last places, and whole 64ths of one
        assert np.all((np.abs(move) >= 6 * self.places) & (np.abs(move) <= 12 * self.places))
        assert np.array_equal(move * 64 / self.places, np.rint(move * 64 / self.places))
        self.move = move
        return move

    def rounds(self, result):
        return np.asarray(result).dtype != np.float64

    def result(self, moves=None, *, toward_zero=False):
        if toward_zero:
            return {"w": self.wide(0.0) if self.truncated is None else self.truncated}
        t = 0.0 if not moves else float((moves["w"] / self.move).flat[0])
        return {"w": self.wide(t)}


def claim_rounding_of(wide, narrow, truncated=None, cost=0.0):
    copies = Claimed(wide, truncated)
    return claims.claim_rounding({"w": np.asarray(narrow)}, copies, lambda c: c, rng(), cost)


@pytest.fixture
def rounding_mode(monkeypatch):
    monkeypatch.setattr(claims, "toward_zero_is_available", lambda: True)


@pytest.mark.parametrize("sign", SIGNS)
def test_the_rounding_of_a_claim_is_its_change(rounding_mode, sign):
    at = sign * np.array([1.0, 2.0])
    slope = np.array([1e-6, 2e-6])
    for off in SIGNS:
        narrow = at + off * np.array([1e-6, 3e-6])
        found = claim_rounding_of(lambda t: at + t * slope, narrow, cost=64.0)
        lost = 32 * WIDE * 64 / 2
        assert found.rounding["w"] == approx([1e-6 + lost, 3e-6 + lost], rel=1e-8)
        assert found.lifts == {"w": Lift.LIFTS}
        assert found.said == ""
    negative = claim_rounding_of(lambda t: at + t * slope, narrow, cost=-64.0)
    assert np.array_equal(negative.rounding["w"], found.rounding["w"])


@pytest.mark.parametrize("sign", SIGNS)
def test_what_leaves_the_line_or_changes_toward_zero_is_added(rounding_mode, sign):
    at = np.array([1.0, 2.0])
    bend = sign * np.array([1e-9, 0.0])
    truncated = at + sign * np.array([0.5e-9, 2e-9])
    found = claim_rounding_of(lambda t: at + 1e-6 * t + bend * (t == 1.0), at + 1e-6, truncated)
    assert found.rounding["w"] == approx([1e-6 + 1e-9, 1e-6 + 2e-9], rel=1e-6)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_stage_that_is_narrow_leaves_all_unknown(rounding_mode, sign):
    at = sign * np.array([1.0, 2.0, 3.0])
    narrow = at + 1e-6
    for factor, known in ((1 / 33, True), (1 / 31, False)):
        truncated = at + factor * 1e-6
        found = claim_rounding_of(lambda t: at + 1e-6 * t, narrow, truncated)
        assert np.isfinite(found.rounding["w"]).all() == known
        assert found.lifts["w"] is (Lift.LIFTS if known else Lift.NARROW)
    # the geometric mean counts
    truncated = at + 1e-6 * np.array([1 / 4, 1 / 64, 1 / 1024])
    found = claim_rounding_of(lambda t: at + 1e-6 * t, narrow, truncated)
    assert np.isfinite(found.rounding["w"]).all()
    # an entry that lost its digits in both dtypes, a 32nd of itself, is no evidence
    truncated = at + np.array([1.01 / 32, 1e-12, 1e-12])
    found = claim_rounding_of(lambda t: at + 1e-6 * t, narrow, truncated)
    assert np.isfinite(found.rounding["w"]).all()
    bad = at * NAN
    assert np.isnan(claim_rounding_of(lambda t: at, narrow, bad).rounding["w"]).all()


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("side", SIGNS)
def test_an_entry_lifts_if_it_moves_or_differs_or_is_zero(rounding_mode, sign, side):
    at = sign * np.array([1.0, 1.0, 0.0, 1.0])
    for factor, moves in ((15.0, False), (17.0, True)):
        slope = np.array([0, 0, 0, side * factor * WIDE / LINE[-1]])
        narrow = at + side * np.array([0.0, 1e-6, 0.0, 0.0])
        found = claim_rounding_of(lambda t, slope=slope: at + slope * t, narrow)
        assert np.isfinite(found.rounding["w"]).tolist() == [False, True, True, moves]
        assert found.lifts["w"] is (Lift.LIFTS if moves else Lift.HIDDEN)


def test_a_claim_that_raises_or_rounds_is_not_known(rounding_mode):
    def raises(t):
        if t == 1.0:
            raise TypeError("no long double")
        return np.ones(2)

    found = claim_rounding_of(raises, np.ones(2))
    assert found.said == "TypeError: no long double"
    assert np.isnan(found.rounding["w"]).all()
    assert found.lifts == {"w": Lift.NARROW}
    narrow = claim_rounding_of(lambda t: np.ones(2, np.float32), np.ones(2))
    assert np.isnan(narrow.rounding["w"]).all()
    assert narrow.lifts == {"w": Lift.NARROW}
    empty = claim_rounding_of(lambda t: np.ones(0), np.ones(0))
    assert empty.rounding["w"].size == 0
