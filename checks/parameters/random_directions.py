"""Random directions of rank one: the factors of an entry are hashes of its row and its column."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from checks._types import FloatArray

__all__ = ["MIN_VISIBLE_SHARE", "Direction", "Region", "factors_of"]

# In a direction of scale 1 every |v_ij| = |r_i| |c_j| is at least ½ · ½. So if one claimed entry is
# wrong by Δ, the claimed directional derivative is wrong by at least Δ/4.
MIN_VISIBLE_SHARE = 1 / 4

PIECE = 2**18  # entries handled at once: a temporary array of them takes 2 MiB in float64


@dataclass(frozen=True, order=True)
class Region:
    """A rectangle of an array that is seen as a matrix.

    The first axis of the array counts as rows, all others together, flat, as columns. An array of
    fewer than two axes is one row. Arrays without entries have no region.

    Attributes
    ----------
    top, bottom, left, right : int
        Rows top … bottom − 1 and columns left … right − 1.
    """

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Region":
        """Return the region of all entries of an array of that shape."""
        rows = shape[0] if len(shape) > 1 else 1
        return cls(0, rows, 0, int(np.prod(shape)) // rows)

    @property
    def rows(self) -> slice:
        """The rows, as an index."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The columns, as an index."""
        return slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.shape[0] * self.shape[1]

    def halves(self, axis: int) -> tuple["Region", "Region"]:
        """Cut the rows (axis 0) or columns (axis 1) in two; the first half is never smaller."""
        if axis == 0:
            middle = (self.top + self.bottom + 1) // 2
            return replace(self, bottom=middle), replace(self, top=middle)
        middle = (self.left + self.right + 1) // 2
        return replace(self, right=middle), replace(self, left=middle)

    def pieces(self) -> Iterator["Region"]:
        """Yield pieces of at most `PIECE` entries, made of whole rows if a row fits in one."""
        width = min(self.shape[1], PIECE)
        height = PIECE // width
        for top in range(self.top, self.bottom, height):
            for left in range(self.left, self.right, width):
                bottom, right = min(top + height, self.bottom), min(left + width, self.right)
                yield Region(top, bottom, left, right)

    def entry(self, number: int) -> "Region":
        """Return the region of one entry; entries are numbered row by row."""
        row, column = divmod(number, self.shape[1])
        top, left = self.top + row, self.left + column
        return Region(top, top + 1, left, left + 1)

    def index(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the index of the first entry in an array of that shape."""
        if not shape:
            return ()
        flat = self.top * Region.whole(shape).shape[1] + self.left
        return tuple(int(i) for i in np.unravel_index(flat, shape))


@dataclass(frozen=True)
class Direction:
    """A random direction of one array: v_ij = scale × r_i c_j in a region, 0 outside.

    |r_i| and |c_j| are drawn from [½, 1], with random signs. They depend only on the seed, the
    number of the array, the round, and the row or column, so they are the same in any order, in
    pieces of any size and on any shard. With factors of ±1, two equal errors would cancel in half
    of all draws.

    Attributes
    ----------
    seed : int
    array : int
        The number of the array among the parameters.
    round : int
        Tells apart the directions that are drawn for one array.
    region : Region
    scale : float
    """

    seed: int
    array: int
    round: int
    region: Region
    scale: float = 1.0

    @cached_property
    def keys(self) -> Any:
        """Two words of 32 bits, a hash of seed, array and round."""
        place = self.array, self.round
        return np.random.SeedSequence(self.seed, spawn_key=place).generate_state(2)

    @cached_property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """The factors scale × r of the rows of the region, and c of its columns."""
        region = self.region
        rows = np.arange(region.top, region.bottom, dtype=np.uint32)
        columns = np.arange(region.left, region.right, dtype=np.uint32)
        # column j is hashed as ~j, all bits inverted, so that no row and column share a factor
        places = np.concatenate([rows, ~columns])
        both = np.empty(places.size)
        for first in range(0, places.size, PIECE):
            part = slice(first, first + PIECE)
            both[part] = factors_of(places[part], self.keys, _signed)
        return self.scale * both[: rows.size], both[rows.size :]

    def values_in(self, piece: Region) -> FloatArray:
        """Return the entries in a piece of the region, as (rows, columns)."""
        r, c = self._factors_in(piece)
        return r * c

    def _factors_in(self, piece: Region) -> tuple[FloatArray, FloatArray]:
        (r, c), region = self.factors, self.region
        rows = r[piece.top - region.top : piece.bottom - region.top, None]
        return rows, c[piece.left - region.left : piece.right - region.left]

    @cached_property
    def parts(self) -> list[tuple[tuple[slice, slice], FloatArray, FloatArray]]:
        """For each piece of the region: its index (rows, columns), r as a column, and c."""
        return [
            ((piece.rows, piece.columns), *self._factors_in(piece))
            for piece in self.region.pieces()
        ]


def factors_of(places: Any, keys: Any, signed: Callable[[Any], Any]) -> Any:
    """Return the factors of some rows or columns, in the arithmetic of numpy or JAX.

    Parameters
    ----------
    places
        Words of 32 bits: i for row i, ~j (all bits inverted) for column j.
    keys
        See `Direction.keys`.
    signed
        Takes words of 32 bits and returns them as floats from −2^31 to 2^31 − 1.
    """
    v = signed(_hash(_hash(places + keys[0]) ^ keys[1])) * 2.0**-32  # in [−½, ½)
    return v + 0.5 - 1.0 * (v < 0)  # in [½, 1) or [−1, −½)


def _signed(words: Any) -> Any:
    return words.view(np.int32).astype(np.float64)


def _hash(h: Any) -> Any:
    """Hash words of 32 bits: "lowbias32" of C. Wellons, Prospecting for hash functions (2018)."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))
