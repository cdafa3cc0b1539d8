"""Arrays of JAX as parameters: they are immutable, so every move makes a new array."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checks.parameters.numpy_arrays import NumpyArray, known_dtype
from checks.parameters.random_directions import Direction, factors_of

__all__ = ["JaxArray"]

Array = Any  # an array of JAX


class JaxArray(NumpyArray):
    """An array of JAX, on one device or sharded over many: every device moves its own shard."""

    def _take(self, array: Array) -> np.dtype[Any]:
        self.real = array
        return known_dtype(str(array.dtype))

    def save_point(self) -> None:
        """Do nothing: the array is immutable."""

    def restore(self) -> bool:
        """Return False: the array is immutable, so nobody can have changed it."""
        return False

    def _arguments(self, direction: Direction) -> tuple[Any, ...]:
        region = direction.region
        bounds = (region.top, region.bottom, region.left, region.right)
        return direction.keys, np.array(bounds, np.uint32)

    def moved(self, direction: Direction, step: float | complex) -> Array:
        """Return the array moved by step × direction."""
        kind = np.result_type(self.dtype, np.complex64) if isinstance(step, complex) else self.dtype
        return _moved(
            self.real, *self._arguments(direction), np.asarray(step * direction.scale, kind)
        )

    def unmoved(self, is_complex: bool) -> Array:
        """Return the array at the point, as complex numbers if asked for."""
        if not is_complex:
            return self.real
        return self.real.astype(np.result_type(self.dtype, np.complex64))

    def accept_claim(self, array: Array) -> Array:
        """Return a claimed gradient of this array."""
        return array

    def project(self, claim: Array, direction: Direction) -> float:
        """Return claim · direction: JAX sums over the last axis, then numpy in float64."""
        sums = _projected(claim, *self._arguments(direction))
        return direction.scale * float(np.asarray(sums, np.float64).sum())

    def norm(self, claim: Array) -> float:
        """Return the claim's norm ‖g‖₂; nan or inf if the sum of squares is not finite."""
        return float((claim**2).sum() ** 0.5)

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf if one is not finite."""
        return float(abs(claim).max())


def _entries(shape: tuple[int, ...], keys: Array, bounds: Array, dtype: Any) -> Array:
    """Return all entries of a direction of scale 1, with 0 outside of its region.

    The computation is elementwise, so that JAX can shard it like the array.
    """

    def signed(words: Array) -> Array:
        return jax.lax.bitcast_convert_type(words, jnp.int32).astype(dtype)

    def factor(place: Array, first: Array, last: Array, mask: int) -> Array:
        inside = (place >= first) & (place < last)
        return jnp.where(inside, factors_of(place ^ np.uint32(mask), keys, signed), 0)

    n = len(shape)
    rows = columns = jnp.zeros((1,) * n, jnp.uint32)
    for axis in range(n):
        broadcast_shape = [shape[axis] if axis == other else 1 for other in range(n)]
        place = jax.lax.broadcasted_iota(jnp.uint32, broadcast_shape, axis)
        if axis == 0 and n > 1:
            rows = place
        else:
            columns = columns * np.uint32(shape[axis]) + place
    r = factor(rows, bounds[0], bounds[1], 0)
    # column j is hashed as ~j, all bits inverted, so that no row and column share a factor
    return r * factor(columns, bounds[2], bounds[3], 0xFFFFFFFF)


def _move(values: Array, keys: Array, bounds: Array, step: Array) -> Array:
    wide = jnp.promote_types(values.dtype, jnp.float32)
    v = _entries(values.shape, keys, bounds, wide)
    result = values + step * v
    kind = result.dtype if jnp.iscomplexobj(step) else values.dtype
    return result.astype(kind)


def _project(claim: Array, keys: Array, bounds: Array) -> Array:
    wide = jnp.promote_types(claim.dtype, jnp.float32)
    terms = claim * _entries(claim.shape, keys, bounds, wide)
    return terms.sum(-1) if claim.ndim else terms


_moved, _projected = jax.jit(_move), jax.jit(_project)
