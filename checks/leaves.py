"""Arrays of parameters where they live: moved along a direction, put back, and projected on one.

numpy's and PyTorch's are moved in place, piece by piece. JAX's never change: moved ones are made,
each shard making its own part.
"""

from functools import cache
from typing import Any

import numpy as np

from checks.directions import Direction, Region, entries_of

__all__ = ["Leaf", "leaf_of"]

Array = Any  # of numpy, PyTorch or JAX
CHUNK = 2**20  # entries whose squares are summed at once


class Leaf:
    """A numpy array.

    Parameters
    ----------
    array
        The caller's: moved in place where it is writable, else in a copy.

    Attributes
    ----------
    real : array
        At the point: what to call a cost with.
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
        self.dtype = self._take(array)
        norm = self.norm(array)
        self.scale = norm / self.whole.size**0.5 if norm > 0 else 1.0

    def _take(self, array: Array) -> np.dtype[Any]:
        """Take the array in place or as a copy, and return its dtype."""
        self.real = array if array.flags.writeable else array.copy()
        return self.real.dtype  # type: ignore[no-any-return]

    def _copy(self) -> Array:
        return self.real.copy()

    @property
    def _values(self) -> Array:
        """The point; kept in a copy from the first use."""
        self._kept = self._copy() if self._kept is None else self._kept
        return self._kept

    def keep(self) -> None:
        """Keep the point now, in case that somebody else moves the array."""
        self._kept = self._values

    def _matrix(self, array: Array) -> Array:
        """Return rows and columns over the same memory."""
        view = array.reshape(self.whole.shape)
        if not np.may_share_memory(view, array):
            raise ValueError(
                f"an array of shape {self.shape} and strides {array.strides} cannot be taken as "
                "rows in place, wanted a contiguous one: use np.ascontiguousarray"
            )
        return view

    def _complex_copy(self) -> Array:
        return self._values.astype(np.result_type(self.dtype, np.complex64))

    def _block(self, direction: Direction, piece: Region, like: Array) -> Array:
        return direction.block(piece)

    def moved(self, direction: Direction, step: float | complex) -> Array:
        """Return the array moved by step × direction, to be followed by `restore`."""
        target = self.at_point(isinstance(step, complex))
        to, start = self._matrix(target), self._matrix(self._values)
        for piece in direction.region.blocks():
            place = piece.rows, piece.columns
            to[place] = start[place] + step * self._block(direction, piece, start)
        return target

    def at_point(self, is_complex: bool) -> Array:
        """Return the array unmoved, complex if others are."""
        if is_complex and self._complex is None:
            self._complex = self._complex_copy()
        return self._complex if is_complex else self.real

    def restore(self, region: Region) -> None:
        """Put the point back, bit for bit."""
        place = region.rows, region.columns
        for target in (self.real, self._complex):
            if target is not None:
                self._matrix(target)[place] = self._matrix(self._values)[place]

    def changed(self) -> bool:
        """Whether the array is not at the point that was kept."""
        return self._kept is not None and not bool((self.real == self._kept).all())

    def claim(self, array: Array) -> Array:
        """Return a claimed gradient of it, copied if it would move along."""
        return array.copy() if np.may_share_memory(array, self.real) else array

    def project(self, claim: Array, direction: Direction) -> float:
        """Return g·v, summed in float64."""
        g = claim.reshape(self.whole.shape)
        return sum(
            float((g[p.rows, p.columns] * self._block(direction, p, g)).sum())
            for p in direction.region.blocks()
        )

    def norm(self, claim: Array) -> float:
        """Return ‖g‖₂; nan or inf where an entry is not finite."""
        flat = claim.reshape(-1)
        parts = (flat[first : first + CHUNK] for first in range(0, flat.size, CHUNK))
        wide = (part.astype(np.float64, copy=False) for part in parts)
        return float(np.sqrt(sum(float(part @ part) for part in wide)))

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf where one is not finite."""
        return float(np.maximum(abs(claim.max()), abs(claim.min()))) if self.whole.size else 0.0


class TorchLeaf(Leaf):
    """A tensor of PyTorch, on any device: it and its moves never leave it."""

    def _take(self, array: Array) -> np.dtype[Any]:
        self.real = array
        return _known_dtype(str(array.dtype).removeprefix("torch."))

    def _copy(self) -> Array:
        return self.real.detach().clone()

    def _matrix(self, array: Array) -> Array:
        return array.detach().view(self.whole.shape)

    def _complex_copy(self) -> Array:
        import torch

        return self._values.to(torch.complex128 if self.dtype.itemsize == 8 else torch.complex64)

    def _block(self, direction: Direction, piece: Region, like: Array) -> Array:
        import torch

        v = entries_of(
            torch.arange(piece.top, piece.bottom, device=like.device)[:, None],
            torch.arange(piece.left, piece.right, device=like.device),
            direction.keys,
            word=int,
            low=lambda h: h & 0xFFFFFFFF,
            signed=lambda h: (h - ((h >> 31) << 32)).to(torch.float64),
        )
        return direction.scale * v

    def claim(self, array: Array) -> Array:
        """Return a claimed gradient of it, copied if it would move along."""
        array = array.detach()
        same = array.untyped_storage().data_ptr() == self.real.untyped_storage().data_ptr()
        return array.clone() if same else array

    def norm(self, claim: Array) -> float:
        """Return ‖g‖₂; nan or inf where an entry is not finite."""
        return float(claim.detach().double().norm())

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf where one is not finite."""
        return float(claim.detach().abs().max()) if self.whole.size else 0.0


class JaxLeaf(Leaf):
    """An array of JAX, on one device or sharded over many: every shard makes its own part."""

    def _take(self, array: Array) -> np.dtype[Any]:
        self.real = array
        self._moves, self._projects = _jax_kernels()
        return _known_dtype(str(array.dtype))

    def _copy(self) -> Array:
        return self.real  # it cannot change

    def _arguments(self, direction: Direction) -> tuple[Any, ...]:
        region = direction.region
        bounds = (region.top, region.bottom, region.left, region.right)
        return np.array(direction.keys, np.uint32), np.array(bounds, np.uint32)

    def moved(self, direction: Direction, step: float | complex) -> Array:
        """Return the array moved by step × direction."""
        kind = np.result_type(self.dtype, np.complex64) if isinstance(step, complex) else self.dtype
        return self._moves(
            self.real, *self._arguments(direction), np.asarray(step * direction.scale, kind)
        )

    def _complex_copy(self) -> Array:
        return self.real.astype(np.result_type(self.dtype, np.complex64))

    def restore(self, region: Region) -> None:
        """Nothing was moved in place."""

    def claim(self, array: Array) -> Array:
        """Return a claimed gradient of it."""
        return array

    def project(self, claim: Array, direction: Direction) -> float:
        """Return g·v: JAX sums over the last axis, the host, in float64, over the rest."""
        sums = self._projects(claim, *self._arguments(direction))
        return direction.scale * float(np.asarray(sums, np.float64).sum())

    def norm(self, claim: Array) -> float:
        """Return ‖g‖₂; nan or inf where an entry is not finite."""
        return float((claim**2).sum() ** 0.5)

    def largest(self, claim: Array) -> float:
        """Return the largest |entry|; nan or inf where one is not finite."""
        return float(abs(claim).max()) if self.whole.size else 0.0


def _known_dtype(name: str) -> np.dtype[Any]:
    if name not in ("float16", "float32", "float64"):
        raise TypeError(f"params have an array of {name}, wanted float16, float32 or float64")
    return np.dtype(name)


@cache
def _jax_kernels() -> tuple[Any, Any]:
    import jax
    import jax.numpy as jnp

    def direction(shape: tuple[int, ...], keys: Array, bounds: Array, dtype: Any) -> Array:
        """Make all entries, 0 outside the region; elementwise, so that it follows any sharding."""

        def place(axis: int) -> Array:
            return jax.lax.broadcasted_iota(jnp.uint32, shape, axis)

        rows = place(0) if len(shape) > 1 else jnp.zeros(shape, jnp.uint32)
        columns = jnp.zeros(shape, jnp.uint32)
        for axis in range(min(1, len(shape) - 1), len(shape)):
            columns = columns * np.uint32(shape[axis]) + place(axis)
        v = entries_of(
            rows,
            columns,
            (keys[0], keys[1]),
            word=np.uint32,
            low=lambda h: h,
            signed=lambda h: jax.lax.bitcast_convert_type(h, jnp.int32).astype(dtype),
        )
        inside = (rows >= bounds[0]) & (rows < bounds[1])
        inside &= (columns >= bounds[2]) & (columns < bounds[3])
        return jnp.where(inside, v, 0)

    def moved(values: Array, keys: Array, bounds: Array, step: Array) -> Array:
        wide = jnp.promote_types(values.dtype, jnp.float32)
        v = direction(values.shape, keys, bounds, wide)
        result = values + step * v
        kind = result.dtype if jnp.iscomplexobj(step) else values.dtype
        return result.astype(kind)

    def projected(claim: Array, keys: Array, bounds: Array) -> Array:
        wide = jnp.promote_types(claim.dtype, jnp.float32)
        terms = claim * direction(claim.shape, keys, bounds, wide)
        return terms.sum(-1) if claim.ndim else terms

    return jax.jit(moved), jax.jit(projected)


def leaf_of(array: Array, path: str) -> Leaf:
    """Return an array as what it is.

    Raises
    ------
    TypeError
        It is none of numpy, PyTorch or JAX, or not of real floats.
    """
    if isinstance(array, np.ndarray):
        return Leaf(array)
    library = type(array).__module__.partition(".")[0]
    kinds = {"torch": TorchLeaf, "jax": JaxLeaf, "jaxlib": JaxLeaf}
    if hasattr(array, "detach") or library in kinds:
        return kinds.get(library, TorchLeaf)(array)
    raise TypeError(f"{path} is a {type(array).__name__}, wanted an array of numpy, PyTorch or JAX")
