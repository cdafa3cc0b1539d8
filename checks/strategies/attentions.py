"""Shapes and masks of attention."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from checks.strategies.arguments import check_bounds, unlike

__all__ = ["Attention", "attentions"]


@dataclass(frozen=True)
class Attention:
    """The shapes and the mask of softmax(q kᵀ/√width) v in several heads.

    Attributes
    ----------
    batch, heads, queries, keys : int
    width, value_width : int
        The numbers of each query and key, and of each value.
    lengths : tuple of int
        How many keys each sample has, at least one; what follows is padding.
    causal : bool
        Whether a query sees no keys that come later; of more keys than queries the last is level
        with the last query.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    value_width: int
    lengths: tuple[int, ...]
    causal: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of "q" (B, heads, queries, width), "k" (B, heads, keys, width), "v"."""
        return {
            "q": (self.batch, self.heads, self.queries, self.width),
            "k": (self.batch, self.heads, self.keys, self.width),
            "v": (self.batch, self.heads, self.keys, self.value_width),
        }

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape (B, heads, queries, value_width) of the result."""
        return (self.batch, self.heads, self.queries, self.value_width)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether a query sees a key: (B, 1, queries, keys); every query sees the first."""
        keys = np.arange(self.keys)
        seen = keys < np.array(self.lengths)[:, None, None, None]
        if self.causal:
            latest = np.arange(self.queries) + max(0, self.keys - self.queries)
            seen = seen & (keys <= latest[:, None])
        return np.broadcast_to(seen, (self.batch, 1, self.queries, self.keys)).copy()


def attentions(
    *,
    min_batch: int = 1,
    max_batch: int = 2,
    min_heads: int = 1,
    max_heads: int = 3,
    min_queries: int = 1,
    max_queries: int = 5,
    min_keys: int = 1,
    max_keys: int = 6,
    min_width: int = 1,
    max_width: int = 6,
    self_attention: bool = False,
    causal: bool | None = None,
    padded: bool | None = None,
) -> st.SearchStrategy[Attention]:
    """Draw the shapes of attention with its mask.

    No array is square by chance: lengths above 1 of one array differ, if the bounds allow.
    Shrinks towards one of everything, without a mask.

    Parameters
    ----------
    min_batch, max_batch, min_heads, max_heads, min_queries, max_queries, min_keys, max_keys
        Bounds of these.
    min_width, max_width
        Bounds of `width` and of `value_width`.
    self_attention
        There are as many keys as queries, whose bounds hold for both, and one width.
    causal, padded
        Whether later keys are masked, and whether samples may have fewer keys than the longest;
        default: drawn too.

    Raises
    ------
    InvalidArgument
        A bound is no whole number of at least 1, or a minimum is above its maximum.
    """
    for name, low, high in (
        ("batch", min_batch, max_batch),
        ("heads", min_heads, max_heads),
        ("queries", min_queries, max_queries),
        ("keys", min_keys, max_keys),
        ("width", min_width, max_width),
    ):
        check_bounds(name, low, high)

    @st.composite
    def drawn(draw: st.DrawFn) -> Attention:
        batch = unlike(draw, min_batch, max_batch)
        heads = unlike(draw, min_heads, max_heads, batch)
        queries = unlike(draw, min_queries, max_queries, batch, heads)
        keys = queries
        if not self_attention:
            keys = unlike(draw, min_keys, max_keys, batch, heads, queries)
        width = unlike(draw, min_width, max_width, batch, heads, queries, keys)
        value_width = width
        if not self_attention:
            value_width = unlike(draw, min_width, max_width, batch, heads, queries, keys, width)
        is_causal = draw(st.booleans()) if causal is None else causal
        is_padded = draw(st.booleans()) if padded is None else padded
        missing = [draw(st.integers(0, keys - 1)) if is_padded else 0 for _ in range(batch)]
        lengths = tuple(keys - k for k in missing)
        return Attention(batch, heads, queries, keys, width, value_width, lengths, is_causal)

    return drawn()
