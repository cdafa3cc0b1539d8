"""Points at which mistakes cannot hide: values for arrays of given shapes, also nested ones."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from numpy.typing import DTypeLike

from checks._types import FloatArray
from checks.strategies.arguments import TINY, check_regime, checked_dtype, seeds

__all__ = ["POINT_REGIMES", "generate_points", "points"]

POINT_REGIMES = ("ordinary", "positive", "uneven", "saturated", "vanishing")
"""Kinds of points, the plainest first; `points` says what each one is."""

DECADES = 3  # an "uneven" value is an ordinary one times 10⁻³ … 10³


def points(
    shape: Any, *, regime: str | None = "ordinary", dtype: DTypeLike = np.float64
) -> st.SearchStrategy[Any]:
    """Draw values for an array, or for nested arrays, in which mistakes cannot hide.

    No value is zero, no two are equal or opposite, and their sizes are spread evenly over a range.
    So nothing stands at a kink of relu, max or a sort, and swapped entries differ.

    Up to twelve numbers are drawn one by one, as short decimals that shrink to 0.125, 0.375, 0.625
    and so on. Before regimes scale them, none is 1, the square of another or the sum of two. For
    more numbers a seed is drawn, and a failing test prints `generate_points` with it.

    Parameters
    ----------
    shape
        A length, a shape, a nesting of shapes in lists, tuples and dicts, such as
        ``{"w": (2, 3), "b": (3,)}``, or a strategy for one of these.
    regime : {"ordinary", "positive", "uneven", "saturated", "vanishing"}
        The sizes of the values. "ordinary" and "positive": from 1/8 to 2 (drawn one by one, up to
        3). "uneven": an ordinary value times a power of ten from 10⁻³ to 10³, as in a vector of
        mixed units. "saturated": from 20 to 40. "vanishing": a thousandth of an ordinary value. All
        but "positive" have either sign. None: one of these is drawn too.
    dtype
        float64 or float32.

    Returns
    -------
    strategy
        For arrays nested as the shapes are, each with memory of its own.

    Raises
    ------
    InvalidArgument
        The shape, regime or dtype is impossible.
    """
    if regime is not None:
        check_regime(regime, POINT_REGIMES)
    name = checked_dtype(dtype)
    if not isinstance(shape, st.SearchStrategy):
        _count(shape)
        shape = st.just(shape)
    return _points(shape, regime, name)


def generate_points(
    shape: Any, regime: str = "ordinary", seed: int = 0, dtype: DTypeLike = np.float64
) -> Any:
    """Return the values that `points` draws with this seed, for the same arguments."""
    check_regime(regime, POINT_REGIMES)
    rng, count = np.random.default_rng(seed), _count(shape)
    # one value in the middle half of each of so many parts of [0, 1], in random order
    places = (rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / count
    sizes = 20 * 2**places if regime == "saturated" else 2.0 ** (4 * places - 3)
    negative = rng.integers(2, size=count, dtype=bool)
    decades = rng.integers(-DECADES, DECADES + 1, size=count)
    return _arranged(shape, _signed(sizes, negative, decades, regime), checked_dtype(dtype))


@st.composite
def _points(draw: st.DrawFn, shapes: st.SearchStrategy[Any], regime: str | None, dtype: str) -> Any:
    shape = draw(shapes)
    count = _count(shape)
    regime = regime or draw(st.sampled_from(POINT_REGIMES))
    if count > TINY:
        # Numbers drawn one by one take TINY + 2 choices at most: all signs are one, all decades
        # another. A seed takes more, so that a failure shrinks from it to few numbers.
        seed = draw(seeds(TINY + 2))
        note(f"generate_points({shape}, regime={regime!r}, seed={seed}, dtype={dtype!r})")
        return generate_points(shape, regime, seed, dtype)
    # odd multiples of 1/8: no square and no sum of two of them is another one
    left = [k / 8 for k in range(1, 2 * max(count, 8), 2)]
    sizes = np.array([left.pop(draw(st.integers(0, len(left) - 1))) for _ in range(count)])
    if regime == "saturated":
        sizes = 20 + 4 * sizes
    signs = 0 if regime == "positive" else draw(st.integers(0, 2**count - 1))
    base = 2 * DECADES + 1
    digits = draw(st.integers(0, base**count - 1)) if regime == "uneven" else 0
    # digit 0 is the decade 0, so that a value shrinks to an ordinary one
    decades = [(digits // base**k + DECADES) % base - DECADES for k in range(count)]
    negative = np.array([signs >> k & 1 for k in range(count)], bool)
    return _arranged(shape, _signed(sizes, negative, np.array(decades), regime), dtype)


def _signed(sizes: FloatArray, negative: Any, decades: Any, regime: str) -> FloatArray:
    """Return values of these sizes, as the regime wants them."""
    if regime == "positive":
        return sizes
    scales = {"uneven": 10.0**decades, "vanishing": 1e-3}.get(regime, 1.0)
    return np.asarray(np.where(negative, -sizes, sizes) * scales)


def _arranged(shape: Any, numbers: FloatArray, dtype: str) -> Any:
    """Return arrays of nested shapes, filled with the numbers one after another."""
    start = 0

    def filled(lengths: tuple[int, ...]) -> FloatArray:
        nonlocal start
        part = numbers[start : (start := start + math.prod(lengths))]
        return part.reshape(lengths).astype(dtype)

    return _mapped(shape, filled)


def _count(shape: Any) -> int:
    """Return how many numbers nested shapes hold; raise InvalidArgument if they are none."""
    sizes: list[int] = []
    _mapped(shape, lambda lengths: sizes.append(math.prod(lengths)))
    return sum(sizes)


def _mapped(shape: Any, make: Callable[[tuple[int, ...]], Any]) -> Any:
    """Return the same nesting with something else for every shape."""
    if isinstance(shape, Integral):
        shape = (shape,)
    if isinstance(shape, (list, tuple)) and all(isinstance(n, Integral) for n in shape):
        if any(n < 1 for n in shape):
            raise InvalidArgument(f"shape {shape!r}: pass lengths of at least 1.")
        return make(tuple(map(int, shape)))
    if isinstance(shape, Mapping) and shape:
        return {key: _mapped(part, make) for key, part in shape.items()}
    if isinstance(shape, (list, tuple)):
        parts = [_mapped(part, make) for part in shape]
        return type(shape)(*parts) if hasattr(shape, "_fields") else type(shape)(parts)
    raise InvalidArgument(
        f"shape {shape!r}: pass a shape such as (2, 3), or lists, tuples or dicts of shapes."
    )
