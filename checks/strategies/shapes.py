"""Shapes of arrays: one, nested ones, and two that broadcast."""

from typing import Any

from hypothesis import strategies as st

from checks.strategies.arguments import check_bounds, unlike

__all__ = ["broadcasting_pairs", "nested_shapes", "shapes"]

Shape = tuple[int, ...]


def shapes(
    *, min_dims: int = 1, max_dims: int = 3, min_length: int = 1, max_length: int = 5
) -> st.SearchStrategy[Shape]:
    """Draw the shape of an array; lengths above 1 differ, if the bounds allow.

    Shrinks towards few axes, then towards short ones.

    Parameters
    ----------
    min_dims, max_dims
        Bounds of the number of axes.
    min_length, max_length
        Bounds of every length.

    Raises
    ------
    InvalidArgument
        A bound is no whole number, or too small, or a minimum is above its maximum.
    """
    check_bounds("dims", min_dims, max_dims, least=0)
    check_bounds("length", min_length, max_length)
    return _shapes(st.integers(min_dims, max_dims), min_length, max_length)


@st.composite
def _shapes(draw: st.DrawFn, dims: st.SearchStrategy[int], low: int, high: int) -> Shape:
    lengths: list[int] = []
    for _ in range(draw(dims)):
        lengths.append(unlike(draw, low, high, *lengths))
    return tuple(lengths)


def nested_shapes(
    *,
    max_arrays: int = 4,
    min_dims: int = 0,
    max_dims: int = 3,
    min_length: int = 1,
    max_length: int = 4,
) -> st.SearchStrategy[Any]:
    """Draw shapes nested in lists, tuples and dicts, for `points` to fill: nested parameters.

    Shrinks towards a single shape without a container, as `shapes` does.

    Parameters
    ----------
    max_arrays
        The most arrays.
    min_dims, max_dims, min_length, max_length
        As in `shapes`.

    Raises
    ------
    InvalidArgument
        As `shapes`.
    """
    check_bounds("arrays", 1, max_arrays)
    shape = shapes(
        min_dims=min_dims, max_dims=max_dims, min_length=min_length, max_length=max_length
    )

    def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(parts, min_size=1, max_size=max_arrays)
        names = st.sampled_from(["w", "b", "scale", "shift"])
        return lists | lists.map(tuple) | st.dictionaries(names, parts, min_size=1, max_size=4)

    return st.recursive(shape, containers, max_leaves=max_arrays)


def broadcasting_pairs(
    *, max_dims: int = 3, min_length: int = 1, max_length: int = 4
) -> st.SearchStrategy[tuple[Shape, Shape]]:
    """Draw two shapes that broadcast together, as the operands of a sum or a product.

    One or the other has fewer axes, or an axis of length 1 where the other's is longer, so
    its gradient is summed over these axes. ``np.broadcast_shapes(*pair)`` is the result's shape.
    Shrinks towards two equal shapes with few axes, then towards short ones.

    Parameters
    ----------
    max_dims
        The most axes of either.
    min_length, max_length
        Bounds of every length of the result.

    Raises
    ------
    InvalidArgument
        As `shapes`.
    """
    return _pairs(shapes(max_dims=max_dims, min_length=min_length, max_length=max_length))


@st.composite
def _pairs(draw: st.DrawFn, results: st.SearchStrategy[Shape]) -> tuple[Shape, Shape]:
    result = draw(results)
    pair = []
    # which of the two is stretched along each axis: neither, the second or the first
    stretched = [draw(st.sampled_from([None, 1, 0])) for _ in result]
    for operand in range(2):
        shape = [1 if who == operand else n for who, n in zip(stretched, result, strict=True)]
        leading = next((k for k, n in enumerate(shape) if n > 1), len(shape))
        # numpy adds leading axes of length 1 by itself
        pair.append(tuple(shape[draw(st.integers(0, leading)) :]))
    return pair[0], pair[1]
