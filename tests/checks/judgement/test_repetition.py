"""Two calls of a claim at one point, compared entry by entry."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation.finite_differences import Estimate
from checks.estimation.noise import Noise
from checks.judgement.repetition import (
    farthest_claim,
    mark_unrepeated,
    not_repeatable,
    two_calls_differ,
)
from checks.report.array_report import ArrayReport
from checks.report.verdict import Rule, Verdict

MATCH, UNRESOLVED, MISMATCH = Verdict
NAN, INF = np.nan, np.inf


def estimates_of(numeric, stochastic=False):
    numeric = np.asarray(numeric, float)
    return SimpleNamespace(
        by_path={"w": Estimate(numeric.reshape(-1), np.zeros(numeric.size))},
        shaped=lambda path, values: values.reshape(numeric.shape),
        noise=Noise(1e-3, 1e-3, stochastic, False),
    )


def report_of(claimed, numeric, path="w", rtol=1e-3):
    claimed, numeric = np.asarray(claimed, float), np.asarray(numeric, float)
    return ArrayReport.judged(path, claimed, numeric, np.zeros(claimed.shape), Rule(rtol))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("numeric", [0.0, 10.0, -10.0])
@pytest.mark.parametrize(
    ("calls", "farthest", "difference"),
    [
        # by how much each of three calls is off
        ([1.0, 1.0, 1.0], 1.0, 0.0),
        ([0.0, 1.0, 0.5], 1.0, 1.0),
        ([0.0, -1.0, 0.5], -1.0, 1.0),
        ([2.0, 1.0, 0.5], 2.0, 1.5),
        ([-2.0, 1.0, 1.5], -2.0, 3.5),
        ([1.0, -2.0, 1.5], -2.0, 3.0),
        ([1.0, -1.0, 1.0], 1.0, 2.0),
        ([0.0, 0.5, -3.0], -3.0, 3.0),
    ],
)
def test_the_farthest_claim_counts(sign, numeric, calls, farthest, difference):
    found = farthest_claim(
        estimates_of([[numeric, 7.0]]),
        "w",
        [np.array([[numeric + sign * off, 7.0]]) for off in calls],
    )
    assert found[0].tolist() == [[numeric + sign * farthest, 7.0]]
    assert found[1].tolist() == [[difference, 0.0]]


@pytest.mark.parametrize(
    ("first", "second", "farthest", "difference"),
    [
        (NAN, NAN, NAN, 0.0),
        (INF, INF, INF, 0.0),
        (1.0, NAN, NAN, INF),
        (NAN, 1.0, NAN, INF),
        (1.0, INF, INF, INF),
        (INF, -INF, -INF, INF),
    ],
)
def test_claims_that_are_not_finite(first, second, farthest, difference):
    calls = [np.array([first, 1.0]), np.array([second, 1.0])]
    found = farthest_claim(estimates_of([1.0, 1.0]), "w", calls)
    np.testing.assert_array_equal(found[0], [farthest, 1.0])
    np.testing.assert_array_equal(found[1], [difference, 0.0])


@pytest.mark.parametrize("stochastic", [False, True])
def test_entries_that_differ_by_more_than_the_limit(stochastic):
    claimed = [1.0, 1.0, 5.0, NAN]
    array = report_of(claimed, [1.0, 1.0, 1.0, 1.0])
    assert array.verdicts.tolist() == [MATCH, MATCH, MISMATCH, MISMATCH]
    limit = array.limit
    same = mark_unrepeated(estimates_of(claimed, stochastic), array, limit.copy())
    assert same is array  # they differ by no more than the limit
    assert same.verdicts.tolist() == [MATCH, MATCH, MISMATCH, MISMATCH]
    difference = np.array([0.0, 1.01 * limit[1], 0.0, INF])
    found = mark_unrepeated(estimates_of(claimed, stochastic), array, difference)
    second = UNRESOLVED if stochastic else MISMATCH
    assert found.verdicts.tolist() == [MATCH, second, MISMATCH, MISMATCH]
    assert ("two calls at one point differ" in found.reason) == stochastic
    assert not_repeatable({"w": found}, {"w": difference})


def test_a_reason_that_is_known_is_kept():
    array = report_of([1.0], [1.0])
    object.__setattr__(array, "reason", "known")
    found = mark_unrepeated(estimates_of([1.0], stochastic=True), array, np.array([1.0]))
    assert found.reason == "known"
    assert found.verdicts.tolist() == [UNRESOLVED]


def test_only_a_mismatch_that_differs_by_more_than_the_limit_is_named():
    arrays = {"v": report_of([1.0, 2.0], [1.0, 2.0], "v"), "w": report_of([9.0, 1.0], [1.0, 1.0])}
    limit = arrays["w"].limit
    for of_w in ([0.0, 0.0], limit, [0.0, 2 * limit[1]]):
        # the entry that is wrong repeats itself; another that does not is no mismatch
        differences = {"v": np.array([1.0, 0.0]), "w": np.array(of_w)}
        assert not_repeatable(arrays, differences) == ()
    (named,) = not_repeatable(arrays, {"v": np.zeros(2), "w": np.array([0.5, 0.0])})
    assert named.name == "not repeatable"
    assert "differ by up to 5.0e-01 in w[0], 5.6e-02 of its size: the gradient" in named.text


def test_the_largest_difference_relative_to_its_entry_is_told():
    arrays = {
        "v": report_of([1e3, 1.0], [1e3, 1.0], "v"),
        "w": report_of([[2.0, 4.0]], [[2.0, 4.0]]),
        "u": report_of([1.0], [1.0], "u"),
    }
    differences = {"v": np.array([1.0, 0.0]), "w": np.array([[0.0, 0.5]]), "u": np.zeros(1)}
    assert two_calls_differ(arrays, differences) == (
        "two calls of the gradient at one point differ by up to 5.0e-01 in w[0, 1], 1.2e-01 of its "
        "size"
    )
