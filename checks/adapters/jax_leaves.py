"""Pytrees of JAX taken apart: their leaves as arrays of numpy and back, with dtype and device."""

import copy
import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import tree_util

from checks.parameters.nesting import key_step

__all__ = [
    "FLOAT32_EPS",
    "Leaf",
    "as_array",
    "eps_of",
    "in_float64",
    "is_float",
    "name_of",
    "take_apart",
]

FLOAT32_EPS = float(np.finfo(np.float32).eps)

Keys = tuple[Hashable, ...]


def take_apart(tree: Any) -> tuple[list[Keys], list[Any], Callable[[Sequence[Any]], Any]]:
    """Return where the leaves of a pytree stand, the leaves, and what puts others in their place.

    A dataclass that JAX does not know is a container too.
    """
    paths, structure = tree_util.tree_flatten_with_path(tree)
    keys, leaves, parts = list[Keys](), list[Any](), list[Any]()
    for path, leaf in paths:
        outer, inside = tuple(map(_key, path)), None
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            inside = take_apart({f.name: getattr(leaf, f.name) for f in dataclasses.fields(leaf)})
            keys += [(*outer, *inner) for inner in inside[0]]
            leaves += inside[1]
        else:
            keys.append(outer)
            leaves.append(leaf)
        parts.append((leaf, inside))

    def rebuild(others: Sequence[Any]) -> Any:
        first, rebuilt = 0, []
        for leaf, inside in parts:
            if inside is None:
                rebuilt.append(others[first])
                first += 1
                continue
            _, of_leaf, rebuild_fields = inside
            twin = copy.copy(leaf)
            for name, part in rebuild_fields(others[first : first + len(of_leaf)]).items():
                object.__setattr__(twin, name, part)
            first += len(of_leaf)
            rebuilt.append(twin)
        return tree_util.tree_unflatten(structure, rebuilt)

    return keys, leaves, rebuild


def _key(step: Any) -> Hashable:
    names = [name for name in ("key", "idx", "name") if hasattr(step, name)]
    key: Hashable = getattr(step, names[0])
    return key


def name_of(keys: Keys) -> str:
    """Return the name of a leaf, as a report has it."""
    first, *others = keys
    return str(first) + "".join(map(key_step, others))


def is_float(leaf: Any) -> bool:
    """Whether a leaf is a number or an array of floats or complex numbers, of any width."""
    if isinstance(leaf, (float, complex)):
        return True
    is_array = isinstance(leaf, (np.ndarray, np.generic, jax.Array))
    return is_array and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def eps_of(dtype: Any) -> float:
    """Return the spacing of numbers at 1."""
    finfo: Any = jnp.finfo
    return float(finfo(dtype).eps)


def as_array(array: Any) -> Any:
    """Return the values of an array of JAX as numpy has them.

    Numbers of 16 bits or less are exact in float32; a complex number is a pair of real ones along a
    last axis.
    """
    values = np.asarray(array)
    if values.dtype.kind == "c":
        values = np.stack([values.real, values.imag], axis=-1)
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def in_float64(leaf: Any) -> Any:
    """Return a leaf of floats in float64 or complex128, and any other as it is."""
    if not is_float(leaf) or isinstance(leaf, (float, complex)):
        return leaf
    wide = np.complex128 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64
    if isinstance(leaf, jax.Array) and leaf.committed:
        return jax.device_put(np.asarray(leaf).astype(wide), leaf.sharding)
    return np.asarray(leaf).astype(wide)


class Leaf:
    """A leaf of floats: its values, and how JAX holds it.

    Parameters
    ----------
    leaf
        As `is_float` takes it. Its dtype is that in which JAX computes with it.

    Attributes
    ----------
    dtype
        Of JAX.
    is_weak : bool
        A number without a dtype of its own, as those of Python.
    sharding
        Where it is committed to, None if nowhere.
    values : ndarray
        As `as_array` has them.
    """

    def __init__(self, leaf: Any) -> None:
        array = jnp.asarray(leaf)
        self.dtype, self.is_weak = array.dtype, bool(array.weak_type)
        self.sharding = array.sharding if array.committed else None
        self.values = np.array(as_array(array))
        self.is_complex = bool(jnp.issubdtype(self.dtype, jnp.complexfloating))

    def is_narrower_than(self, array: Any) -> bool:
        """Whether an array is in a wider dtype than that which stands for this leaf."""
        return bool(np.finfo(array.dtype).eps < np.finfo(self.values.dtype).eps)

    def in_jax(self, values: Any) -> Any:
        """Return an array of JAX with other values, which JAX may be tracing.

        Its dtype is that of the leaf, or that of the values where these are wider or complex.

        Raises
        ------
        TypeError
            JAX does not have the dtype, or the parts of a complex number would be complex.
        """
        is_complex = jnp.issubdtype(values.dtype, jnp.complexfloating)
        if values.dtype.itemsize > (16 if is_complex else 8):
            raise TypeError(f"JAX has no arrays of {values.dtype}")
        keeps_dtype = not (self.is_narrower_than(values) or is_complex)
        if self.is_complex:
            if is_complex:
                raise TypeError("the real part of a complex number cannot be complex")
            values = _joined(values[..., 0], values[..., 1])
        if keeps_dtype:
            values = values.astype(self.dtype)
        if isinstance(values, jax.Array):
            return values
        if self.is_weak and keeps_dtype and not values.ndim:
            return jnp.asarray(values.item())  # as weak as a number of Python
        copied = np.array(values)  # JAX may share the memory, which a check writes to
        if self.sharding is not None:
            return jax.device_put(copied, self.sharding)
        return jnp.asarray(copied)


def _joined(real: Any, imag: Any) -> Any:
    """Return complex numbers with the bits of both parts, which a sum does not keep."""
    if isinstance(real, jax.Array):
        return jax.lax.complex(real, imag)
    z = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    z.real, z.imag = real, imag
    return z
