"""A numpy array of the parameters: moved along a direction, restored, and projected on one.

The arrays of PyTorch and JAX are its subclasses, in files of their own.
"""

from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.parameters.random_directions import Direction, Region

__all__ = ["NumpyArray", "known_dtype"]

Array = Any  # an array of numpy, PyTorch or JAX
CHUNK = 2**20  # entries whose squares are summed at once


class NumpyArray:
    """A numpy array of the parameters that can be moved, restored, and projected.

    Parameters
    ----------
    array
        The caller's. It is moved in place if it is writable and can be seen as a matrix without a
        copy; else a copy is moved.

    Attributes
    ----------
    real : array
        The array to call a cost with: at the point, except where it is moved.
    whole : Region
        All of its entries.
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
        self._saved: Array = None
        # the region where the real array (key False) or the complex one (key True) is moved
        self._moved_region: dict[bool, Region] = {}
        self.dtype = self._take(array)
        norm = self.norm(array)
        self.scale = norm / self.whole.size**0.5 if norm > 0 else 1.0

    def _take(self, array: Array) -> np.dtype[Any]:
        """Set `real` to the array or to a copy, and return its dtype."""
        matrix = array.reshape(self.whole.shape)
        in_place = array.flags.writeable and np.may_share_memory(matrix, array)
        self.real = array if in_place else array.copy()
        return self.real.dtype  # type: ignore[no-any-return]

    def save_point(self) -> None:
        """Save a copy of the point, once; it must be called before the array moves."""
        self._saved = self._copy() if self._saved is None else self._saved

    def _copy(self) -> Array:
        return self.real.copy()

    def _empty_complex(self) -> Array:
        return np.empty(self.shape, np.result_type(self.dtype, np.complex64))

    def _matrix(self, array: Array) -> Array:
        """Return an array as a matrix over the same memory, see `Region`."""
        return array.reshape(self.whole.shape)

    def _write_product(self, r: FloatArray, c: FloatArray, out: Array) -> None:
        """Write the product of two factors of a direction into an array of this library."""
        np.multiply(r, c, out=out)

    def moved(self, direction: Direction, step: float | complex) -> Array:
        """Return the array moved by step × direction; it stays moved until the next call."""
        is_complex = isinstance(step, complex)
        target = self._restored_outside(direction.region, is_complex)
        to, start = self._matrix(target), self._matrix(self._saved)
        for place, r, c in direction.parts:
            real = to.real[place]
            if step.real:
                self._write_product(step.real * r, c, real)
                real += start[place]
            else:
                real[...] = start[place]
            if is_complex:
                self._write_product(step.imag * r, c, to.imag[place])
        return target

    def unmoved(self, is_complex: bool) -> Array:
        """Return the array at the point, as complex numbers if asked for."""
        return self._restored_outside(None, is_complex)

    def _restored_outside(self, region: Region | None, is_complex: bool) -> Array:
        """Return the real or the complex array, at the point everywhere outside of a region.

        What the region holds is arbitrary: the caller writes all of it.
        """
        if is_complex or region:
            self.save_point()
        if is_complex and self._complex is None:
            self._complex, self._moved_region[True] = self._empty_complex(), self.whole
        # the real array is always restored, the complex one only if it is asked for
        for kind in {False, is_complex}:
            moved = self._moved_region.get(kind)
            overwritten = kind == is_complex and region in (moved, self.whole)
            if moved and not overwritten:
                self._restore_region(kind, moved)
        if region:
            self._moved_region[is_complex] = region
        return self._complex if is_complex else self.real

    def _restore_region(self, is_complex: bool, region: Region) -> None:
        place = region.rows, region.columns
        target = self._complex if is_complex else self.real
        self._matrix(target)[place] = self._matrix(self._saved)[place]
        self._moved_region.pop(is_complex, None)

    def restore(self) -> bool:
        """Restore the point, bit for bit, and return whether somebody else had changed it."""
        moved = self._moved_region.get(False)
        if moved:
            self._restore_region(False, moved)
        if self._saved is None or moved == self.whole or self._equals_saved():
            return False
        self._restore_region(False, self.whole)
        return True

    def at_point(self, row: int, column: int) -> float:
        """Return one entry of the point, by its place in the array seen as a matrix."""
        start = self.real if self._saved is None else self._saved
        return float(self._matrix(start)[row, column])

    def _equals_saved(self) -> bool:
        # bits are compared, because −0 and 0 are equal as numbers
        bits = f"u{self.dtype.itemsize}" if self.dtype.itemsize <= 8 else self.dtype
        real, saved = (self._matrix(array).view(bits) for array in (self.real, self._saved))
        places = ((piece.rows, piece.columns) for piece in self.whole.pieces())
        return all((real[place] == saved[place]).all() for place in places)

    def accept_claim(self, array: Array) -> Array:
        """Return a claimed gradient of this array, copied if it shares this array's memory."""
        return array.copy() if np.may_share_memory(array, self.real) else array

    def project(self, claim: Array, direction: Direction) -> float:
        """Return claim · direction, rᵀ (claim c) for a direction r cᵀ, summed in float64."""
        g = claim.reshape(self.whole.shape)
        return sum(
            float(self._native(r[:, 0]) @ (self._in_float64(g[place]) @ self._native(c)))
            for place, r, c in direction.parts
        )

    def _native(self, factor: FloatArray) -> Array:
        """Return a factor of a direction as an array of this library, on the same device."""
        return factor

    def _in_float64(self, part: Array) -> Array:
        """Return a part of a claim in float64, or in its own dtype if that is wider."""
        return part.astype(np.result_type(part.dtype, np.float64), copy=False)

    def norm(self, claim: Array) -> float:
        """Return the claim's norm ‖g‖₂; nan or inf if the sum of squares is not finite."""
        flat = claim.ravel(order="K")
        parts = (flat[first : first + CHUNK] for first in range(0, flat.size, CHUNK))
        with np.errstate(over="ignore"):
            return float(np.sqrt(sum(float(part @ part) for part in map(self._in_float64, parts))))

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf if one is not finite."""
        return float(np.maximum(abs(claim.max()), abs(claim.min())))


def known_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype of real floats by its name; any other is a TypeError."""
    if name not in ("float16", "float32", "float64"):
        raise TypeError(f"params have an array of {name}, wanted float16, float32 or float64")
    return np.dtype(name)
