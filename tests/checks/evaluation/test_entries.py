"""The vector of all entries, and the arrays that it is made of."""

import numpy as np
import pytest

from checks.evaluation.entries import Entries

VALUES = {
    "a": np.array([[1.0, -0.0], [3.0, 4.0]]),
    "empty": np.zeros((0, 2)),
    "b": np.array(5.0),
    "c": np.array([-6.0, 7.0]),
}
ENTRIES = Entries(VALUES)


def same_bits(one, other):
    # the bytes of a long double that mean nothing may differ
    same_signs = np.array_equal(np.signbit(one), np.signbit(other))
    return one.dtype == other.dtype and np.array_equal(one, other) and same_signs


def test_arrays_follow_each_other_in_row_major_order():
    vector = ENTRIES.joined(VALUES)
    assert vector.tolist() == [1, 0, 3, 4, 5, -6, 7]
    assert ENTRIES.size == 7
    assert ENTRIES.filled == ["a", "b", "c"]
    parts = ENTRIES.split(vector)
    assert all(same_bits(parts[path], value) for path, value in VALUES.items())
    assert [part.shape for part in parts.values()] == [(2, 2), (0, 2), (), (2,)]
    vector[6] = 9  # the parts are views
    assert parts["c"].tolist() == [-6, 9]


def test_stacks_of_arrays_are_joined_point_by_point():
    stacks = {path: np.stack([value, 2 * value, -value]) for path, value in VALUES.items()}
    vectors = ENTRIES.joined(stacks, 3)
    vector = ENTRIES.joined(VALUES)
    assert np.array_equal(vectors, [vector, 2 * vector, -vector])
    parts = ENTRIES.split(vectors)
    assert all(np.array_equal(parts[path], stack) for path, stack in stacks.items())


@pytest.mark.parametrize("dtype", [float, complex, np.longdouble])
def test_what_is_missing_changes_no_bit_of_what_it_is_added_to(dtype):
    vector = ENTRIES.joined(VALUES)
    moves = ENTRIES.joined({"c": np.array([1, 2], dtype)})
    assert moves.dtype == dtype
    moved = vector + moves
    assert same_bits(moved[:5].real, vector[:5].astype(moved.real.dtype))
    assert moved[5:].tolist() == [-5, 9]


def test_numbers_of_arrays_are_found_and_spread():
    largest = ENTRIES.of_arrays(np.maximum, ENTRIES.joined(VALUES))
    assert largest.tolist() == [4, 5, 7]
    assert ENTRIES.spread(largest).tolist() == [4, 4, 4, 4, 5, 7, 7]
