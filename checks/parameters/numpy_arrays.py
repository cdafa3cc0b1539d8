"""Arrays of parameters where they live: moved along a direction, put back, and projected on one."""

from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.parameters.random_directions import Direction, Region

__all__ = ["NumpyArray", "known_dtype"]

Array = Any  # of numpy, PyTorch or JAX
CHUNK = 2**20  # entries whose squares are summed at once


class NumpyArray:
    """A numpy array.

    Parameters
    ----------
    array
        The caller's: moved in place where it is writable and its rows lie in line, else in a copy.

    Attributes
    ----------
    real : array
        What to call a cost with: at the point, but where it is moved and not put back yet.
    shape : tuple of int
    dtype : numpy dtype
    scale : float
        Root mean square of the entries, 1 for zeros.
    """

    def __init__(self, array: Array) -> None:
        self.shape = tuple(array.shape)
        self.whole = Region.whole(self.shape)
        self.real: Array = None
        self._complex: Array = None
        self._kept: Array = None
        # where the real array (False) and the complex one (True) are not at the point
        self._away: dict[bool, Region] = {}
        self.dtype = self._take(array)
        norm = self.norm(array)
        self.scale = norm / self.whole.size**0.5 if norm > 0 else 1.0

    def _take(self, array: Array) -> np.dtype[Any]:
        """Take the array in place or as a copy, and return its dtype."""
        rows = array.reshape(self.whole.shape)
        in_place = array.flags.writeable and np.may_share_memory(rows, array)
        self.real = array if in_place else array.copy()
        return self.real.dtype  # type: ignore[no-any-return]

    def keep(self) -> None:
        """Keep the point in a copy, once; nothing moves before."""
        self._kept = self._copy() if self._kept is None else self._kept

    def _copy(self) -> Array:
        return self.real.copy()

    def _empty_complex(self) -> Array:
        return np.empty(self.shape, np.result_type(self.dtype, np.complex64))

    def _matrix(self, array: Array) -> Array:
        """Return rows and columns over the same memory."""
        return array.reshape(self.whole.shape)

    def _product(self, r: FloatArray, c: FloatArray, out: Array) -> None:
        """Write r c, a block of a direction, where the array lives."""
        np.multiply(r, c, out=out)

    def moved(self, direction: Direction, step: float | complex) -> Array:
        """Return the array moved by step × direction; it stays so until the next call."""
        is_complex = isinstance(step, complex)
        target = self._away_from_point(is_complex, direction.region)
        to, start = self._matrix(target), self._matrix(self._kept)
        for place, r, c in direction.parts:
            real = to.real[place]
            if step.real:
                self._product(step.real * r, c, real)
                real += start[place]
            else:
                real[...] = start[place]
            if is_complex:
                self._product(step.imag * r, c, to.imag[place])
        return target

    def at_point(self, is_complex: bool) -> Array:
        """Return the array unmoved, complex if others are."""
        return self._away_from_point(is_complex, None)

    def _away_from_point(self, is_complex: bool, region: Region | None) -> Array:
        """Return the real or the complex array, with the point put back outside of a region."""
        if is_complex or region:
            self.keep()
        if is_complex and self._complex is None:
            self._complex, self._away[True] = self._empty_complex(), self.whole
        for kind in {False, is_complex}:  # the complex one may wait until somebody looks at it
            away = self._away.get(kind)
            overwritten = kind == is_complex and region in (away, self.whole)
            if away and not overwritten:
                self._put_back(kind, away)
        if region:
            self._away[is_complex] = region
        return self._complex if is_complex else self.real

    def _put_back(self, kind: bool, region: Region) -> None:
        place = region.rows, region.columns
        self._matrix(self._complex if kind else self.real)[place] = self._matrix(self._kept)[place]
        self._away.pop(kind, None)

    def settle(self) -> bool:
        """Put the point back, bit for bit, and return whether somebody else had moved it."""
        away = self._away.get(False)
        if away:
            self._put_back(False, away)
        if self._kept is None or away == self.whole or self._is_kept():
            return False
        self._put_back(False, self.whole)
        return True

    def _is_kept(self) -> bool:
        # −0 equals 0, but its bits do not
        bits = f"u{self.dtype.itemsize}" if self.dtype.itemsize <= 8 else self.dtype
        one, other = (self._matrix(array).view(bits) for array in (self.real, self._kept))
        places = ((piece.rows, piece.columns) for piece in self.whole.blocks())
        return all((one[place] == other[place]).all() for place in places)

    def claim(self, array: Array) -> Array:
        """Return a claimed gradient of it, copied if it would move along."""
        return array.copy() if np.may_share_memory(array, self.real) else array

    def project(self, claim: Array, direction: Direction) -> float:
        """Return g·v = rᵀ(G c), summed in float64."""
        g = claim.reshape(self.whole.shape)
        return sum(
            float(self._here(r[:, 0]) @ (self._wide(g[place]) @ self._here(c)))
            for place, r, c in direction.parts
        )

    def _here(self, factor: FloatArray) -> Array:
        """Return a factor of a direction where the array lives."""
        return factor

    def _wide(self, part: Array) -> Array:
        return part.astype(np.result_type(part.dtype, np.float64), copy=False)

    def norm(self, claim: Array) -> float:
        """Return ‖g‖₂; nan or inf where an entry is not finite, or its square is not."""
        flat = claim.ravel(order="K")
        parts = (flat[first : first + CHUNK] for first in range(0, flat.size, CHUNK))
        with np.errstate(over="ignore"):
            return float(np.sqrt(sum(float(part @ part) for part in map(self._wide, parts))))

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf where one is not finite."""
        return float(np.maximum(abs(claim.max()), abs(claim.min())))


def known_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype of real floats by its name; any other is a TypeError."""
    if name not in ("float16", "float32", "float64"):
        raise TypeError(f"params have an array of {name}, wanted float16, float32 or float64")
    return np.dtype(name)
