"""Tangents: within bounds along all of them, and the first few in other memory layouts."""

import numpy as np
import pytest

from checks.derivatives.options import Names
from checks.derivatives.tangents import TANGENTS, Tangents
from checks.evaluation.results import Results

NAMES = Names("jvp", "jvp(x, v)", x="t")


def tangents_of(x, bounds=None, jvp=None, seed=0):
    def f(x):
        return 1.0 * x[0]

    return Tangents(jvp or (lambda x, v: v[0]), Results(f, x), bounds, seed, NAMES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at", [0.0, 0.25, 1.0])
def test_x_stays_within_bounds_along_all_tangents_together(at, seed):
    x = [np.full(3, at), np.array([0.5])]
    tangents = tangents_of(x, bounds=(0.0, 1.0), seed=seed)
    low, high = tangents.bounds
    assert (high > 0).all()
    for t in (low, high, np.where(np.arange(low.size) % 2, low, high)):
        for array in tangents.moved(t):
            assert (array >= 0).all()
            assert (array <= 1).all()


def test_some_tangents_are_zero_but_for_one_array_and_the_last_is_zero():
    tangents = tangents_of([np.ones(2), np.zeros(0), np.ones((1, 3))])
    moves = [[bool(v.any()) for v in tangent.values()] for tangent in tangents.all]
    alone = [[True, False, False], [False, False, True]]
    assert moves == [[True, False, True]] * TANGENTS + alone + [[False] * 3]
    sizes = [max(np.abs(v).max(initial=0) for v in tangent.values()) for tangent in tangents.all]
    assert len(set(sizes)) == len(sizes)  # of different sizes, so that no two may be confused


def test_claims_are_columns_and_a_changed_tangent_is_told():
    x = [np.array([1.0, 2.0])]
    tangents = tangents_of(x)
    found = tangents.claimed(np.zeros(len(tangents.all)))
    columns = np.stack([next(iter(v.values())) for v in tangents.all], axis=-1)
    np.testing.assert_array_equal(found, columns)
    assert tangents.changed() == ""

    def overwrites(x, v):
        v[0] *= 2  # wrong on purpose
        return v[0]

    tangents = tangents_of(x, jvp=overwrites)
    tangents.claimed(np.zeros(len(tangents.all)))
    assert "from" in tangents.changed()
