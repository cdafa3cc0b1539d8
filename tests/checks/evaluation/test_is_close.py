"""When results of one call for many points are those of single calls."""

import numpy as np
import pytest

from checks.evaluation.stacked import PLACES, is_close

EPS = 2.0**-52


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", [1, 1j])
def test_results_are_close_to_last_places_of_the_largest(sign, kind):
    one = kind * np.array([1e-3, sign * 8.0, 0.5])
    for share, close in ((0.9, True), (-0.9, True), (1.1, False), (-1.1, False)):
        off = share * PLACES * EPS * 8.0 * kind * np.array([1, 0, 0])
        assert is_close(one, one + off) is close
    # a part is compared with its own largest number
    off = PLACES * EPS * 4.0 * kind * 1j * np.array([1, 0, 0])
    assert not is_close(one.astype(complex), one + off)


def test_what_is_not_finite_stands_in_the_same_places():
    one = np.array([np.nan, np.inf, 1.0, -np.inf])
    near = one + np.array([0, 0, EPS, 0])
    assert is_close(one, near)
    assert not is_close(one, np.array([0.0, np.inf, 1.0, -np.inf]))
    assert not is_close(one, -near)
    assert not is_close(one, one + np.array([0, 0, 1e-3, 0]))


def test_other_dtypes_and_shapes_are_others():
    one = np.ones(3)
    assert is_close(one, one.copy())
    assert not is_close(one, one.astype(np.float32))
    assert not is_close(one, one[:, None])
    assert not is_close(one, np.ones(4))
    whole = np.arange(3)
    assert is_close(whole, whole.copy())
    assert is_close(np.zeros(2), np.array([0.0, 1e-308]))
