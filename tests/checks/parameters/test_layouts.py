"""Arrays that lie in memory as others do."""

import numpy as np
import pytest

from checks.parameters.layouts import laid_out_as

WHOLE = np.arange(24.0).reshape(4, 6)
ARRAYS = {
    "dense": WHOLE,
    "transposed": WHOLE.T,
    "a slice": WHOLE[1:, ::2],
    "backwards": WHOLE[::-1, 4:0:-2],
    "one number": np.array(2.0),
    "expanded": np.broadcast_to(np.float32(2), (3, 4)),
    "empty": np.empty((0, 3)),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_values_lie_as_the_array_does_in_memory_of_their_own(array):
    before = array.copy()
    copy = laid_out_as(array, 2 * before)
    assert copy.strides == array.strides
    assert copy.dtype == array.dtype
    assert np.array_equal(copy, 2 * before)
    assert not np.shares_memory(copy, array)
    assert np.array_equal(array, before)


def test_values_that_differ_share_no_memory():
    values = np.arange(3.0)
    assert np.array_equal(laid_out_as(np.broadcast_to(2.0, 3), values), values)


def test_what_lies_between_the_entries_is_nan():
    copy = laid_out_as(WHOLE[:, ::2], WHOLE[:, ::2])
    around = np.lib.stride_tricks.as_strided(copy, (4, 5), (48, 8))
    assert np.isnan(around[:, 1::2]).all()
