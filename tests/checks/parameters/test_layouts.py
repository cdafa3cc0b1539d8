"""Arrays that lie in memory as others do."""

import numpy as np
import pytest

from checks.parameters.layouts import LAYOUTS, expanded, laid_out_as, overwritten

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


@pytest.mark.parametrize("array", [np.array(-2.0), WHOLE[0], WHOLE, WHOLE.reshape(2, 3, 4)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_other_layouts_hold_the_same_numbers_in_memory_of_their_own(name, array):
    copy = LAYOUTS[name](array)
    assert np.array_equal(copy, array)
    assert not np.shares_memory(copy, array)
    assert copy.flags.writeable == ("read-only" not in name)
    if "slice" in name and array.ndim:
        assert copy.strides[-1] == 16
        assert copy.base.shape == (*array.shape[:-1], 2 * array.shape[-1] + 1)
        assert np.isnan(copy.base[..., ::2]).all()
    if "Fortran" in name:
        assert copy.flags.f_contiguous


def test_equal_entries_are_one_number_in_memory():
    array = expanded(np.full((3, 4), 2.5, np.float32))
    assert array.strides == (0, 0)
    assert array.dtype == np.float32
    assert (array == 2.5).all()


def test_the_first_entry_that_was_overwritten_is_named():
    before = {"a": np.zeros(2), "b": np.array([[1.0, 2.0], [3.0, 4.0]]), "c": np.array(5.0)}
    after = {path: array.copy() for path, array in before.items()}
    assert overwritten(before, after) == ""
    after["c"][...] = -5
    assert overwritten(before, after) == "c from 5.0 to -5.0"
    after["b"][1] = [3.5, 9]
    assert overwritten(before, after) == "b[1, 0] from 3.0 to 3.5"
    after["a"][1] = -0.0  # other bits, but equal as a number
    assert overwritten(before, after) == "a[0] from 0.0 to 0.0"
