"""Further calls of a claim: what they return, and what is said where its rounding is not known."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation.precision import wider_dtype
from checks.evaluation.pointwise import Evaluations
from checks.judgement import claim as module
from checks.judgement.claim import Claim

X = np.array([1.0, 2.0, 3.0], np.float32)


def claim_of(function, x=X, arrays=None, cost=lambda x: float(np.sum(x.astype(float) ** 2))):
    evaluations = Evaluations(cost, x)
    flat = (lambda x: {"params": np.array(function(x))}) if function else None
    arrays = arrays or ({"params": np.array(function(x))} if function else {"params": 2 * x})
    return Claim(evaluations, arrays, flat), evaluations


def test_what_was_given_as_arrays_is_not_called():
    claim, _ = claim_of(None)
    assert claim.again() is claim.arrays
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert claim.unmeasured == "the gradient was given as arrays, not as a function"


@pytest.mark.parametrize("places", [31, 33])
def test_arrays_may_be_as_coarse_as_the_cost_that_comes_with_them(places):
    claim, evaluations = claim_of(None, arrays={"params": np.array([2.0, -6.0, 4.0], np.float32)})
    evaluations.lost = places * 2.0**-23
    b = claim.rounding(0)["params"]
    assert claim.coarse == (evaluations.lost if places > 32 else 0)
    expected = 6 * (33 * 2.0**-23) ** 0.5 if places > 32 else np.nan
    np.testing.assert_allclose(b, np.full(3, expected), rtol=1e-12)


def test_the_rounding_of_a_function_is_measured():
    claim, _ = claim_of(lambda x: 2 * x + (0.1 * x) ** 2)
    assert np.array_equal(claim.again()["params"], claim.arrays["params"])
    b = claim.rounding(0)["params"]
    assert np.isfinite(b).all()
    assert (b < 1e-6).all()
    assert claim.unmeasured == ""
    assert claim.eps == 2.0**-23


@pytest.mark.parametrize("call", [2, 3])
def test_a_claim_that_differs_in_some_call_is_not_measured(call):
    calls = []

    def function(x):
        calls.append(1)
        return 2 * x + (len(calls) == call)

    claim, _ = claim_of(function)
    for _ in range(3):
        claim.again()
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert claim.unmeasured == "two calls of it at one point differ"


def test_a_claim_of_nan_repeats_itself():
    claim, _ = claim_of(lambda x: np.where(x > 2, np.nan, 2 * x))
    claim.again()
    claim.rounding(0)
    assert "two calls" not in claim.unmeasured


def test_after_an_interruption_nothing_is_called(monkeypatch):
    calls = []
    claim, evaluations = claim_of(lambda x: calls.append(1) or 2 * x)
    evaluations.interrupted = True
    calls.clear()
    assert claim.again() is claim.arrays
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert (claim.unmeasured, calls) == ("interrupted", [])


def test_there_may_be_no_wider_dtype(monkeypatch):
    monkeypatch.setattr(module, "wider_dtype", lambda dtype: None)
    claim, _ = claim_of(lambda x: 2 * x)
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert claim.unmeasured == "there is no dtype wider than float32 here"


def test_what_a_claim_raises_in_the_wider_dtype_is_told():
    def function(x):
        if x.dtype != np.float32:
            raise TypeError("float32 alone, " + "please " * 20)
        return 2 * x

    claim, _ = claim_of(function)
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert claim.unmeasured.startswith("called with float64 parameters, TypeError: float32 alone")
    assert len(claim.unmeasured) == len("called with float64 parameters, ") + 80
    claim, _ = claim_of(lambda x: np.float32([2, 4, 6]))
    assert np.isnan(claim.rounding(0)["params"]).all()
    assert claim.unmeasured == "called with float64 parameters, some of it does not use it"


def test_one_entry_of_unknown_rounding_is_said(monkeypatch):
    for b, unmeasured in (([1e-9, 0.0, 1e-9], ""), ([1e-9, np.nan, 1e-9], "called with float64")):
        found = SimpleNamespace(rounding={"params": np.array(b)}, said="")
        monkeypatch.setattr(module, "claim_rounding", lambda *_, found=found: found)
        claim, _ = claim_of(lambda x: 2 * x)
        np.testing.assert_array_equal(claim.rounding(0)["params"], b)
        assert claim.unmeasured.startswith(unmeasured)
        assert bool(claim.unmeasured) == bool(unmeasured)


def test_moves_that_show_whether_a_claim_follows_the_cost_stay_within_bounds():
    moved = []

    def cost(x):
        moved.append(x - X)
        return float(np.sum(x**2))

    differs = iter([1, *[0] * 9])
    evaluations = Evaluations(cost, X.copy(), bounds=(X, X + 1))
    claim = Claim(evaluations, {"params": X}, lambda x: {"params": X + next(differs)})
    claim.again()
    assert all(((move >= 0) & (move <= 1)).all() for move in moved)
    assert max(move.max() for move in moved) > 0


@pytest.mark.parametrize("pattern", ["01", "10", "0011", "0110", "1100", "1001", "001", "110"])
def test_a_claim_that_differs_in_every_second_or_fourth_call_does_not_follow_the_cost(pattern):
    calls = []

    def function(x):
        calls.append(1)
        return {"params": 2 * x + int(pattern[len(calls) % len(pattern)])}

    for start in range(len(pattern)):
        calls[:] = [1] * start
        claim = Claim(Evaluations(lambda x: float(np.sum(x**2)), X), {"params": 2 * X}, function)
        assert not claim._reads_cost(function)


@pytest.mark.parametrize("raises", [False, True])
def test_a_claim_that_reads_what_the_cost_kept_is_called_after_it(raises):
    kept, calls = [], []

    def cost(x):
        kept[:] = [np.array(x)]
        return float(np.sum(np.square(x.real)))

    def function(x):
        calls.append(1)
        if raises and not np.array_equal(kept[0], x):
            raise ValueError("kept another")
        return 2 * kept[0]

    claim, evaluations = claim_of(function, arrays={"params": 2 * X}, cost=cost)
    evaluations.call_cost(X + 1)
    assert np.array_equal(claim.again()["params"], 2 * X)
    evaluations.call_cost(X + 1)
    calls.clear()
    assert np.array_equal(claim.again()["params"], 2 * X)  # from now on
    assert len(calls) == 1
    claim.rounding(0)
    assert "two calls" not in claim.unmeasured


def test_a_claim_that_is_another_after_every_moved_cost_does_not_follow_the_cost():
    kept, calls = [], []

    def cost(x):
        kept[:] = [np.array(x)]
        return float(np.sum(np.square(x)))

    def function(x):
        calls.append(1)
        return 2 * x + (0 if np.array_equal(kept[0], X) else len(calls))

    claim, evaluations = claim_of(function, arrays={"params": 2 * X}, cost=cost)
    evaluations.call_cost(X + 1)
    assert not np.array_equal(claim.again()["params"], 2 * X)
    claim.rounding(0)
    assert claim.unmeasured == "two calls of it at one point differ"


def test_control_flow_passes_through():
    def function(x):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return 2 * x

    calls = []
    claim, _ = claim_of(function)
    with pytest.raises(KeyboardInterrupt):
        claim.again()


def test_the_caller_s_arrays_are_handed_back_where_the_measurement_is_interrupted(monkeypatch):
    seen = []

    def rounding(arrays, copies, flatten, rng, cost):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "claim_rounding", rounding)
    x = X.copy()
    claim, _ = claim_of(lambda x: seen.append(x) or 2 * x, x)
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        claim.rounding(0)
    assert seen[-1] is x


def test_the_line_and_the_cost_are_those_of_the_point(monkeypatch):
    asked = []

    def rounding(arrays, copies, flatten, rng, cost):
        asked.append((rng.integers(2**32), copies.dtype, cost))
        assert flatten is not None
        return SimpleNamespace(rounding={"params": np.full(3, 1e-9)}, said="")

    monkeypatch.setattr(module, "claim_rounding", rounding)
    claim, _ = claim_of(lambda x: 2 * x)
    assert claim.rounding(5)["params"].tolist() == [1e-9] * 3
    assert claim.rounding(5)["params"].dtype == float
    claim.rounding(6)
    assert asked[0] == asked[1]
    assert asked[0][0] != asked[2][0]
    assert asked[0][1:] == (wider_dtype(np.float32), 14.0)
    assert asked[0][0] == np.random.default_rng([5, 1]).integers(2**32)


@pytest.mark.parametrize("other", ["v", "w"])
def test_one_array_that_differs_is_enough(other):
    calls = []

    def function(p):
        calls.append(1)
        return {path: 2 * x + (path == other and len(calls) > 1) for path, x in p.items()}

    point = {"v": X, "w": X.copy()}
    evaluations = Evaluations(lambda p: float(np.sum(p["v"] ** 2) + np.sum(p["w"] ** 2)), point)
    claim = Claim(evaluations, function(point), function)
    claim.again()
    claim.rounding(0)
    assert claim.unmeasured == "two calls of it at one point differ"
