"""Values in which mistakes cannot hide."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from checks import Verdict, check_gradient
from checks.parameters.nesting import leaves
from checks.strategies import POINT_REGIMES, generate_points, nested_shapes, points, shapes
from tests.checks.strategies.finding import smallest

RANGES = {
    "ordinary": (1 / 8, 3),
    "positive": (1 / 8, 3),
    "uneven": (1e-3 / 8, 3e3),
    "saturated": (20, 40),
    "vanishing": (1e-3 / 8, 3e-3),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("regime", POINT_REGIMES)
@given(data=st.data())
def test_no_value_is_zero_and_no_two_have_one_size(regime, dtype, data):
    point = data.draw(points(shapes(), regime=regime, dtype=dtype))
    sizes, (low, high) = np.abs(point).ravel(), RANGES[regime]
    assert point.dtype == dtype
    assert len(np.unique(sizes)) == sizes.size
    assert (0.999 * low <= sizes).all()
    assert (sizes <= 1.001 * high).all()
    assert regime != "positive" or (point > 0).all()


@given(points(st.integers(2, 12)))
def test_of_few_numbers_none_is_1_or_made_of_others(point):
    sizes = set(np.abs(point).tolist())
    assert 1.0 not in sizes
    assert sizes.isdisjoint(a * a for a in sizes)
    assert sizes.isdisjoint(a + b for a, b in itertools.combinations_with_replacement(sizes, 2))


@pytest.mark.parametrize("count", [5, 500])
@pytest.mark.parametrize("regime", POINT_REGIMES)
def test_sizes_are_spread_over_a_range(regime, count):
    sizes = np.sort(np.abs(generate_points(count, regime, seed=3)))
    assert sizes[-1] > (1.5 if regime == "saturated" else 6) * sizes[0]
    if regime != "uneven":
        # no two sizes are nearer than half of an even spread: no tie is within reach of a step
        ratios = np.log(sizes[1:] / sizes[:-1])
        assert ratios.min() > 0.45 * np.log(2 if regime == "saturated" else 16) / count


@pytest.mark.parametrize("regime", POINT_REGIMES)
def test_both_signs_are_drawn(regime):
    many = generate_points(20, regime)
    assert (many > 0).any()
    assert (many < 0).any() == (regime != "positive")
    if regime != "positive":
        few = smallest(points(2, regime=regime), lambda point: point.min() < 0 < point.max())
        assert few[0] * few[1] < 0


def test_a_regime_is_drawn_if_asked_for():
    drawn = points(3, regime=None)
    assert smallest(drawn).tolist() == [0.125, 0.375, 0.625]
    assert smallest(drawn, lambda point: min(abs(point)) > 19).tolist() == [20.5, 21.5, 22.5]
    assert max(smallest(drawn, lambda point: max(abs(point)) < 0.01)) < 0.01


@given(points(nested_shapes()))
def test_nested_points_have_memory_of_their_own(nested):
    arrays = list(leaves(nested).values())
    assert all(array.flags.owndata or array.base is None for array in arrays)
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))


def test_points_are_nested_as_the_shapes_are():
    point = smallest(points({"w": (2, 1), "b": [3, ()], "x": (2, (1,))}))
    assert set(point) == {"w", "b", "x"}
    assert isinstance(point["b"], list)
    assert isinstance(point["x"], tuple)
    shapes_of = {path: array.shape for path, array in leaves(point).items()}
    assert shapes_of == {"w": (2, 1), "b[0]": (3,), "b[1]": (), "x[0]": (2,), "x[1]": (1,)}


def test_points_shrink_to_the_first_odd_eighths():
    assert smallest(points((2, 2))).tolist() == [[0.125, 0.375], [0.625, 0.875]]
    assert smallest(points(2, regime="saturated")).tolist() == [20.5, 21.5]
    assert smallest(points(2), lambda point: (point < 0).all()).tolist() == [-0.125, -0.375]
    assert smallest(points(2), lambda point: point[0] > 0.5).tolist() == [0.625, 0.125]
    assert smallest(points(1, regime="uneven")).tolist() == [0.125]
    large = smallest(points(2, regime="uneven"), lambda point: point[1] > 9)
    assert abs(large[0]) == 0.125
    assert large[1] <= 37.5


def test_a_large_point_shrinks_to_a_small_one():
    def is_long(point):
        return len(point) > 3

    found = smallest(points(shapes(max_dims=1, max_length=30)), is_long)
    assert found.tolist() == [0.125, 0.375, 0.625, 0.875]


# A planted mistake that a tie, a zero or 1 would hide.
MISTAKES = {
    "relu has slope 1": (lambda x: np.sum(np.where(x.real > 0, x, 0)), lambda x: 0 * x + 1),
    "a square is x": (lambda x: np.sum(x**2), lambda x: x),
    "sorted": (lambda x: np.sum(np.arange(x.size) * x), lambda x: 1.0 * np.argsort(x)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_shown_by_a_point(name):
    cost, wrong = MISTAKES[name]

    point = generate_points(20)
    assert check_gradient(cost, wrong(point), point).verdict is Verdict.MISMATCH


@pytest.mark.parametrize("regime", ["ordinary", "uneven"])
def test_a_failing_test_prints_the_call_that_gives_the_point_again(regime):
    @settings(max_examples=5, database=None)
    @given(points({"w": (5, 5)}, regime=regime, dtype=np.float32))
    def fails(_):
        raise AssertionError

    with pytest.raises(AssertionError) as failure:
        fails()
    call = f"generate_points({{'w': (5, 5)}}, regime={regime!r}, seed=0, dtype='float32')"
    assert call in failure.value.__notes__
    again = eval(call, {"generate_points": generate_points})
    assert again["w"].dtype == np.float32
    assert again["w"].shape == (5, 5)


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: points((2, 0)), "shape (2, 0): pass lengths of at least 1"),
        (lambda: points(-1), "shape (-1,): pass lengths of at least 1"),
        (lambda: points(2.0), "shape 2.0: pass a shape such as (2, 3)"),
        (lambda: points({}), "shape {}: pass a shape"),
        (lambda: points({"w": "ab"}), "shape 'ab': pass a shape"),
        (lambda: points(None), "or lists, tuples or dicts of shapes"),
        (lambda: points(3, regime="wild"), "regime='wild' is not known: pass one of ordinary, po"),
        (lambda: points(3, dtype=int), "dtype=int64: pass np.float32 or np.float64"),
        (lambda: generate_points(3, regime="zeros"), "regime='zeros' is not known"),
        (lambda: smallest(points(st.just((0,)))), "shape (0,): pass lengths"),
    ],
)
def test_impossible_arguments_name_the_remedy(call, fragment):
    with pytest.raises(InvalidArgument) as error:
        call()
    assert fragment in str(error.value)
