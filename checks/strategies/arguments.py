"""Arguments that several strategies take: bounds, dtypes, regimes, seeds."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from numpy.typing import DTypeLike

__all__ = ["TINY", "check_bounds", "check_regime", "checked_dtype", "seeds", "unlike"]

# Arrays of at most this many numbers are drawn number by number; they print on a few lines.
TINY = 12


def check_bounds(name: str, low: int, high: int, least: int = 1) -> None:
    """Raise InvalidArgument unless `low` and `high` bound whole numbers from `least` on."""
    for bound in (low, high):
        if not isinstance(bound, Integral) or bound < least:
            raise InvalidArgument(
                f"{bound!r} as a bound of {name}: pass a whole number of at least {least}."
            )
    if low > high:
        raise InvalidArgument(
            f"min_{name}={low} is above max_{name}={high}: lower the one or raise the other."
        )


def check_regime(regime: str, known: Sequence[str]) -> None:
    """Raise InvalidArgument unless a regime is one of those known."""
    if regime not in known:
        raise InvalidArgument(f"regime={regime!r} is not known: pass one of {', '.join(known)}.")


def checked_dtype(dtype: DTypeLike) -> str:
    """Return the name of a dtype, float32 or float64; raise InvalidArgument for any other."""
    try:
        name = "None" if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if name not in ("float32", "float64"):
        raise InvalidArgument(f"dtype={name}: pass np.float32 or np.float64.")
    return name


def seeds(choices: int) -> st.SearchStrategy[int]:
    """Draw a seed that takes more than so many choices.

    Hypothesis shrinks to the failure that takes fewer choices. So a seed shrinks to numbers drawn
    one by one, if these take at most `choices`.
    """
    digits = st.tuples(*[st.integers(0, 9)] * (choices + 1))
    return digits.map(lambda drawn: int("".join(map(str, drawn))))


def unlike(draw: st.DrawFn, low: int, high: int, *others: int) -> int:
    """Draw the length of an axis; above 1 it is none of the other lengths, if the bounds allow.

    In an array that is square by chance a forgotten transpose is no error. Shrinks towards `low`.
    """
    lengths = st.sampled_from(range(low, high + 1))
    free = {1, *range(low, high + 1)} - {n for n in others if n > 1}
    # Filtered, not drawn from a list of those that are free: the list would change when another
    # length shrinks, and this one with it.
    return draw(lengths.filter(free.__contains__) if max(free) > 1 else lengths)
