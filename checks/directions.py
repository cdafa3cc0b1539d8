"""Random directions that are never stored: every entry is a hash of its place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from checks._types import FloatArray

__all__ = ["Direction", "Region", "entries_of"]

BLOCK = 2**16  # entries made at once: what is done with them stays in a core's own cache
WORD = 0xFFFFFFFF
GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: neighbours go far apart


@dataclass(frozen=True, order=True)
class Region:
    """A rectangle of an array, of whose shape (n, …) the first axis counts as rows.

    Attributes
    ----------
    top, bottom, left, right : int
        Rows top … bottom − 1 and columns left … right − 1; a column is a place in what follows the
        first axis, flat. An array of fewer than two axes is one row.
    """

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Region":
        """Return all of an array."""
        rows = shape[0] if len(shape) > 1 else 1
        size = int(np.prod(shape))
        return cls(0, rows, 0, size // rows if rows else 0)

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def size(self) -> int:
        """Entries."""
        return self.shape[0] * self.shape[1]

    def halves(self, axis: int) -> tuple["Region", "Region"]:
        """Cut the rows (axis 0) or the columns (axis 1) in two; the first half is the larger."""
        if axis == 0:
            middle = (self.top + self.bottom + 1) // 2
            return replace(self, bottom=middle), replace(self, top=middle)
        middle = (self.left + self.right + 1) // 2
        return replace(self, right=middle), replace(self, left=middle)

    def blocks(self) -> Iterator["Region"]:
        """Cut it into pieces of at most so many entries, of whole rows where these are short."""
        width = min(self.shape[1], BLOCK)
        height = max(1, BLOCK // max(1, width))
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width):
                bottom, right = min(top + height, self.bottom), min(left + width, self.right)
                yield Region(top, bottom, left, right)

    def entry(self, number: int) -> "Region":
        """Return one of its entries, counted row by row."""
        row, column = divmod(number, self.shape[1])
        top, left = self.top + row, self.left + column
        return Region(top, top + 1, left, left + 1)

    def index(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the index of its first entry in an array of that shape."""
        if not shape:
            return ()
        flat = self.top * Region.whole(shape).shape[1] + self.left
        return tuple(int(i) for i in np.unravel_index(flat, shape))


@dataclass(frozen=True)
class Direction:
    """A random direction of one array: ± scale × [½, 1] in a region, 0 outside.

    An entry depends on the seed, the number of the array, the round, and its row and column: it is
    the same in any order, in pieces of any size, on any shard. Lengths are unequal, for of ±1 the
    effects of two equal errors would cancel one time in two.
    """

    seed: int
    array: int
    round: int
    region: Region
    scale: float = 1.0

    @cached_property
    def keys(self) -> tuple[int, int]:
        """Two words that say which direction it is."""
        key = 0
        for part in (self.seed & WORD, self.seed >> 32 & WORD, self.array, self.round):
            key = _mixed((key * GOLDEN + part + 1) & WORD, low=lambda h: h & WORD)
        return key, _mixed(key ^ GOLDEN, low=lambda h: h & WORD)

    def block(self, piece: Region) -> FloatArray:
        """Return its entries in a piece of its region, as (rows, columns) in float64."""
        return self._whole if piece == self.region else self._made(piece)

    @cached_property
    def _whole(self) -> FloatArray:
        """All entries, where a block holds them: kept, as a small array is moved many times."""
        whole = self._made(self.region)
        whole.flags.writeable = False
        return whole

    def _made(self, piece: Region) -> FloatArray:
        rows = np.arange(piece.top, piece.bottom, dtype=np.uint32)[:, None]
        columns = np.arange(piece.left, piece.right, dtype=np.uint32)
        first, second = map(np.uint32, self.keys)
        words = _words(rows, columns, first, second, np.uint32)
        v = words.view(np.int32).astype(np.float64)
        v *= 2.0**-32
        v += np.copysign(0.5, v)
        if self.scale != 1:
            v *= self.scale
        return v  # type: ignore[no-any-return]


def entries_of(
    rows: Any, columns: Any, keys: tuple[Any, Any], word: Any, low: Any, signed: Any
) -> Any:
    """Return entries of a direction of scale 1 in the arithmetic of another library.

    Parameters
    ----------
    rows, columns
        Integers of shapes that broadcast.
    keys
        Of the direction.
    word
        Makes a constant of 32 bits.
    low
        Keeps the lower 32 bits, where integers have more.
    signed
        Returns such words as numbers from −2^31 to 2^31 − 1, in floats.
    """
    v = signed(_words(rows, columns, *keys, word, low)) * 2.0**-32
    return v + 0.5 - 1.0 * (v < 0)


def _words(
    rows: Any,
    columns: Any,
    first: Any,
    second: Any,
    word: Any,
    low: Callable[[Any], Any] = lambda h: h,
) -> Any:
    row_keys = _mixed(low(rows + first), word, low) ^ second
    return _mixed(low(columns * word(GOLDEN)) ^ row_keys, word, low)


def _mixed(h: Any, word: Any = int, low: Callable[[Any], Any] = lambda h: h) -> Any:
    """Hash words of 32 bits: "lowbias32" of C. Wellons, Prospecting for hash functions (2018)."""
    h = h ^ (h >> word(16))
    h = low(h * word(0x7FEB352D))
    h ^= h >> word(15)
    h = low(h * word(0x846CA68B))
    h ^= h >> word(16)
    return h
