"""One array that is moved along directions, restored, and projected on them."""

import numpy as np
import pytest

from checks.parameters.numpy_arrays import CHUNK, NumpyArray, known_dtype
from checks.parameters.random_directions import Direction, Region

DTYPES = [np.float16, np.float32, np.float64, np.longdouble]


def point(shape=(4, 5), dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def direction(array, region=None, number=0):
    return Direction(3, number, 1, region or array.whole, array.scale)


def full(array, v):
    """Return the direction in all entries of the array, zero outside of its region."""
    values = np.zeros(array.whole.shape)
    values[v.region.rows, v.region.columns] = v.values_in(v.region)
    return values.reshape(array.shape)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [2.0**-60, 1.0, 2.0**60])
def test_the_scale_is_the_root_mean_square(sign, size):
    assert NumpyArray(sign * size * np.array([1.0, 7.0])).scale == 5 * size
    matrix = np.array([[1.0, 1, 1], [1, 2, 4]])
    assert NumpyArray(sign * size * matrix).scale == pytest.approx(2 * size)
    assert NumpyArray(np.array(-size)).scale == size
    assert NumpyArray(np.zeros((2, 3))).scale == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (6,), (4, 5), (2, 3, 4)])
def test_an_array_moves_in_place_and_comes_back(dtype, shape):
    original = point(shape, dtype)
    start = original.copy()
    array = NumpyArray(original)
    assert array.real is original
    for number, step in enumerate([0.25, -0.5, 2.0**-9]):
        v = direction(array, number=number)
        moved = array.moved(v, step)
        assert moved is original
        # as r · (step · c), rounded to the dtype
        np.testing.assert_allclose(moved, start + step * full(array, v), rtol=1e-2)
        eps = float(np.finfo(dtype).eps)
        off = np.abs(moved - (start + step * full(array, v)))
        assert off.max() <= 8 * max(eps, 1e-16)
    assert array.restore() is False
    assert original.tobytes() == start.tobytes()


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (np.float16, np.complex64),
        (np.float32, np.complex64),
        (np.float64, np.complex128),
        (np.longdouble, np.clongdouble),
    ],
)
def test_complex_moves_are_made_in_a_copy(dtype, kind):
    original = point(dtype=dtype)
    start = original.copy()
    array, buffers = NumpyArray(original), []
    for number, step in enumerate([0.5j, 0.25 - 2j]):
        v = direction(array, number=number)
        moved = array.moved(v, step)
        buffers.append(moved)
        assert moved.dtype == kind
        assert np.array_equal(original, start)
        np.testing.assert_allclose(moved.imag, step.imag * full(array, v), rtol=1e-3)
        np.testing.assert_allclose(
            moved.real, start + step.real * full(array, v), rtol=1e-2, atol=1e-3
        )
    assert buffers[0] is buffers[1]  # memory for it is taken once
    assert array.unmoved(True) is buffers[0]
    assert np.array_equal(array.unmoved(True), start)
    assert array.unmoved(False) is original


def test_an_unmoved_array_as_complex_numbers_is_the_point():
    original = point()
    array = NumpyArray(original)
    assert np.array_equal(array.unmoved(True), original)
    assert array.unmoved(True).dtype == np.complex128
    assert array.unmoved(True) is array.unmoved(True)


REGIONS = [Region(0, 4, 0, 5), Region(1, 3, 2, 4), Region(3, 4, 0, 5), Region(0, 1, 4, 5)]


@pytest.mark.parametrize("steps", [(0.5, 0.25), (0.5j, 2j), (0.5, 2j), (2j, 0.5)])
def test_outside_of_the_region_that_moves_the_array_is_at_the_point(steps):
    original = point()
    start = original.copy()
    array = NumpyArray(original)
    for first in REGIONS:
        for second in REGIONS:
            for number, (region, step) in enumerate(zip((first, second), steps, strict=True)):
                v = direction(array, region, number)
                moved = array.moved(v, step)
                np.testing.assert_allclose(moved, start + step * full(array, v), rtol=1e-14)
                assert np.array_equal(moved[full(array, v) == 0], start[full(array, v) == 0])
                if isinstance(step, complex):
                    assert np.array_equal(original, start)
    assert array.restore() is False
    assert np.array_equal(original, start)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_others_change_is_restored_and_told(dtype):
    original = point(dtype=dtype)
    original[2, 2] = -0.0
    start = original.copy()
    array = NumpyArray(original)
    assert array.restore() is False  # no copy was made, so nothing is known
    array.save_point()
    assert array.restore() is False
    for place in [(0, 0), (3, 4), (2, 1)]:
        original[place] += 1
        assert array.restore() is True
        assert original.tobytes() == start.tobytes()
    array.moved(direction(array, Region(1, 3, 0, 2)), 0.5)
    assert array.restore() is False
    array.moved(direction(array, Region(1, 3, 0, 2)), 0.5)
    original[0, 0] = 7
    assert array.restore() is True
    assert original.tobytes() == start.tobytes()
    if dtype is not np.longdouble:  # of which some bits mean nothing
        original[2, 2] = 0.0
        assert array.restore() is True
        assert np.signbit(original[2, 2])


def test_an_entry_of_the_point_is_known_while_the_array_is_moved():
    original = point()
    start, array = original.copy(), NumpyArray(original)
    assert array.at_point(2, 3) == start[2, 3]
    array.moved(direction(array), 0.5)
    assert original[2, 3] != start[2, 3]
    assert array.at_point(2, 3) == start[2, 3]


def test_a_copy_is_moved_where_the_array_is_read_only_or_no_matrix():
    read_only = point()
    read_only.flags.writeable = False
    for original in (read_only, np.asfortranarray(point((2, 3, 4)))):
        start, array = original.copy(), NumpyArray(original)
        assert array.real is not original
        moved = array.moved(direction(array), 0.5)
        assert np.array_equal(original, start)
        assert not np.array_equal(moved, start)
        assert not np.may_share_memory(moved, original)


def test_a_claim_that_shares_memory_with_the_array_is_copied():
    original = point()
    array = NumpyArray(original)
    for claim in (original, original[::-1]):
        accepted = array.accept_claim(claim)
        assert np.array_equal(accepted, claim)
        assert not np.may_share_memory(accepted, original)
    other = point()
    assert array.accept_claim(other) is other


@pytest.mark.parametrize("shape", [(), (6,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_projection_is_the_sum_of_products(shape, dtype):
    array = NumpyArray(point(shape))
    claim = np.cos(point(shape)).astype(dtype)
    whole = array.whole
    for region in (whole, whole.entry(whole.size // 2), whole.halves(1)[0]):
        v = direction(array, region)
        expected = float(np.sum(claim.astype(float) * full(array, v)))
        assert array.project(claim, v) == pytest.approx(expected, rel=1e-13)


def test_a_projection_is_summed_in_float64():
    array = NumpyArray(np.ones(2000))
    v = direction(array)
    claim = np.zeros(2000, np.float32)
    claim[:2] = 2**26, -(2**26)
    claim[2:] = 1
    expected = float(claim.astype(float) @ full(array, v))
    assert array.project(claim, v) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("sign", [1, -1])
def test_norm_and_largest_of_a_claim(sign):
    array = NumpyArray(np.ones(1))
    for dtype in DTYPES:
        claim = sign * np.array([[1, -4, 2], [2, 0, 0]], dtype)
        assert array.norm(claim) == 5
        assert array.largest(claim) == 4
    claim = np.ones(CHUNK + 3)
    claim[[0, CHUNK - 1, CHUNK, -1]] = sign * 2
    assert array.norm(claim) == (claim.size + 4 * 3) ** 0.5
    assert array.norm(np.full(4, sign * 1e30, np.float32)) == pytest.approx(2e30)
    assert array.norm(np.full(4, sign * 1e200)) == np.inf
    assert np.isnan(array.norm(np.array([1, np.nan])))
    assert np.isnan(array.largest(np.array([1, np.nan])))
    assert array.largest(np.array([1, sign * np.inf])) == np.inf


def test_dtypes_of_real_floats_are_known_by_name():
    for name in ("float16", "float32", "float64"):
        assert known_dtype(name) == np.dtype(name)
    for name in ("bfloat16", "int64", "complex128", "float128"):
        with pytest.raises(TypeError, match=f"params have an array of {name}, wanted float16"):
            known_dtype(name)
