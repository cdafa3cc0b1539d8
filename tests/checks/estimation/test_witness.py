"""A second estimate confirms a wrong claim only if it agrees, and could have seen that."""

import numpy as np
import pytest

from checks.estimation.complex_step import complex_step
from checks.estimation.noise import CostNoise
from checks.estimation.witness import confirms
from checks.evaluation.pointwise import Evaluations

SIGNS = [1, -1]
SIZES = [2.0**-40, 1.0, 2.0**40]

# of a claim that is off by 1: what the second estimate is off by, its error, what follows
WITNESSES = [
    (0.0, 0.01, True),
    (0.0105, 0.0, True),  # within the first error, 0.001, and a hundredth of the discrepancy
    (-0.0105, 0.0, True),
    (0.0125, 0.0, False),
    (-0.0125, 0.0, False),
    (0.0, 0.25, True),
    (0.3, 0.2, False),  # it disagrees
    (-0.3, 0.2, False),
    (0.1, 0.2, True),
    (-0.1, 0.2, True),
    (-0.8, 0.9, False),  # outside of both intervals, but it could not have seen
    (0.0, 0.3, False),
    (0.0, np.inf, False),
    (np.nan, np.inf, False),
    (1.0, 1e-3, False),  # it agrees with the claim
    (2.0, 1e-3, False),
]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [0.0, 5.0, -5.0])
@pytest.mark.parametrize(("apart", "error", "expected"), WITNESSES)
def test_a_witness_agrees_and_sees(sign, size, value, apart, error, expected):
    first = (size * value, size * 0.001)
    second = (size * (value + sign * apart), size * error)
    claimed = size * (value + sign)
    assert confirms(claimed, first, second, tolerance=0.0) == expected


@pytest.mark.parametrize("sign", SIGNS)
def test_the_claim_is_wrong_by_more_than_the_tolerance_by_the_second_too(sign):
    for value in (0.0, 5.0, -5.0):
        claimed, first, second = value + sign, (value, 0.0), (value, 0.125)
        assert confirms(claimed, first, second, tolerance=0.8)
        assert not confirms(claimed, first, second, tolerance=0.875)  # it just owes as much
        assert not confirms(claimed, first, second, tolerance=0.95)


@pytest.mark.parametrize("sign", SIGNS)
def test_where_the_first_is_proven_the_second_must_not_contradict(sign):
    claimed, first = 5.0 + sign, (5.0, 1e-9)
    for error in (0.5, np.inf):
        assert confirms(claimed, first, (5.0, error), 0.0, is_proven=True)
    for apart in (0.5, -0.5):
        assert not confirms(claimed, first, (5.0 + apart, 0.1), 0.0, is_proven=True)
    assert not confirms(claimed, first, (np.nan, np.inf), 0.0, is_proven=True)


def test_arrays_are_confirmed_entry_by_entry():
    claimed, first = np.array([1.0, 1.0, -1.0]), (np.zeros(3), np.zeros(3))
    second = (np.zeros(3), np.array([0.1, 0.9, 0.1]))
    assert confirms(claimed, first, second, 0.0).tolist() == [True, False, True]


@pytest.mark.parametrize("entries", [1, 8, 64])
def test_one_entry_may_lack_all_that_the_proof_leaves_of_the_sum(entries):
    # The proof is of Σ |slope · direction|, with |direction| from ¾ to 1½, to an absolute error.
    # All of that error may be one entry's.
    def cost(x):
        return 1e4 + np.sum(np.sin(x))

    evaluations = Evaluations(cost, np.linspace(0.3, 0.4, entries))
    rng = np.random.default_rng(0)
    found = complex_step(evaluations, CostNoise(evaluations, 0), rng)["params"]
    of_the_sum = 64 * np.spacing(1e4)  # at least: the noise assumed, over a step below 1
    assert found.proof * np.abs(found.value).max() > of_the_sum
    assert found.proof < 1e-3 * 2 * entries
