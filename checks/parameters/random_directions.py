"""Random directions of rank one: an entry is a hash of its row times a hash of its column."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from checks._types import FloatArray

__all__ = ["SURE", "Direction", "Region", "factors_of"]

SURE = 1 / 4  # of an error of one entry shows along a direction of scale 1, for certain

BLOCK = 2**18  # entries handled at once: what is made of them on the way takes 2 MiB


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
    """A random direction of one array: v_ij = scale × r_i c_j in a region, 0 outside.

    r_i and c_j are ±[½, 1] and depend on the seed, the number of the array, the round, and the row
    or column alone: they are the same in any order, in pieces of any size, on any shard. Lengths
    are unequal, for of ±1 the effects of two equal errors would cancel one time in two.
    """

    seed: int
    array: int
    round: int
    region: Region
    scale: float = 1.0

    @cached_property
    def keys(self) -> Any:
        """Two words of 32 bits that say which direction it is."""
        place = self.array, self.round
        return np.random.SeedSequence(self.seed, spawn_key=place).generate_state(2)

    @cached_property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Entries r, times the scale, of the rows of its region, and c of its columns."""
        region = self.region
        rows = np.arange(region.top, region.bottom, dtype=np.uint32)
        columns = np.arange(region.left, region.right, dtype=np.uint32)
        # columns count backwards: no row has the number of a column
        places = np.concatenate([rows, ~columns])
        both = np.empty(places.size)
        for first in range(0, places.size, BLOCK):
            some = slice(first, first + BLOCK)
            both[some] = factors_of(places[some], self.keys, _signed)
        return self.scale * both[: rows.size], both[rows.size :]

    def block(self, piece: Region) -> FloatArray:
        """Return its entries in a piece of its region, as (rows, columns)."""
        r, c = self._factors_in(piece)
        return r * c

    def _factors_in(self, piece: Region) -> tuple[FloatArray, FloatArray]:
        (r, c), region = self.factors, self.region
        rows = r[piece.top - region.top : piece.bottom - region.top, None]
        return rows, c[piece.left - region.left : piece.right - region.left]

    @cached_property
    def parts(self) -> list[tuple[tuple[slice, slice], FloatArray, FloatArray]]:
        """Rows and columns of each block of its region, with its r as a column and c as a row."""
        return [
            ((piece.rows, piece.columns), *self._factors_in(piece))
            for piece in self.region.blocks()
        ]


def factors_of(places: Any, keys: Any, signed: Callable[[Any], Any]) -> Any:
    """Return r of some rows i or, of ~j, c of columns j, in the arithmetic of numpy or JAX.

    Parameters
    ----------
    places
        Words of 32 bits.
    keys
        Of the direction.
    signed
        Returns such words as numbers from −2^31 to 2^31 − 1, in floats.
    """
    v = signed(_mixed(_mixed(places + keys[0]) ^ keys[1])) * 2.0**-32
    return v + 0.5 - 1.0 * (v < 0)


def _signed(words: Any) -> Any:
    return words.view(np.int32).astype(np.float64)


def _mixed(h: Any) -> Any:
    """Hash words of 32 bits: "lowbias32" of C. Wellons, Prospecting for hash functions (2018)."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))
