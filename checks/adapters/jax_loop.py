"""A function of arrays of JAX at many points, by a compiled loop over them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checks.adapters.jax_leaves import Leaf
from checks.adapters.jax_products import Moved, Products

__all__ = ["LEAST", "Loop", "StackLoop"]

# A function of fewer entries is called as it is: to compile a loop takes as long as 2,000 calls.
LEAST = 2**11
POINTS = 256  # in one call of the loop: this bounds the memory it takes
STACKED = 16  # likewise, where every point has all arrays
# How many points are evaluated together, by `jax.vmap`. On a CPU it is faster to take them one by
# one: those of a network 784-30-10 take 15 µs each, but in batches up to 300 µs, as these do not
# fit the cache.
TOGETHER = {"cpu": 1}
TOGETHER_ELSEWHERE = 64


class Loop:
    """Evaluates a function of some leaves at many points, by one compiled program.

    Parameters
    ----------
    flat
        Takes arrays of JAX, one for each leaf; returns a list of arrays.
    leaves
    dtypes
        Of the numpy arrays that stand for the leaves.

    Raises
    ------
    ValueError
        The leaves cannot be joined to one vector: they are on several devices, or weak numbers of
        Python stand beside other dtypes, for in a vector they would not be weak.
    """

    def __init__(
        self,
        flat: Callable[[Sequence[Any]], list[Any]],
        leaves: Sequence[Leaf],
        dtypes: Sequence[Any],
    ) -> None:
        self._flat, self._leaves, self._dtypes = flat, leaves, dtypes
        self._starts = np.cumsum([0, *(leaf.values.size for leaf in leaves)])
        self._dtype = np.result_type(*dtypes)
        devices = _devices(leaves)
        is_narrow = all(d == leaf.values.dtype for d, leaf in zip(dtypes, leaves, strict=True))
        is_mixed = len({leaf.dtype for leaf in leaves}) > 1
        if len(devices) > 1 or (is_narrow and is_mixed and any(leaf.is_weak for leaf in leaves)):
            raise ValueError("the leaves cannot be joined to one vector")
        self._device: Any = devices.pop() if devices else None
        self._together = _together(self._device)
        self._program = jax.jit(self._loop)

    def at(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the results at one point."""
        found = self.at_entries(arrays, 0, np.zeros(1, int), arrays[0].reshape(-1)[:1])
        return [result[0] for result in found]

    def at_entries(
        self, arrays: Sequence[Any], number: int, entries: Any, values: Any
    ) -> list[Any]:
        """Return the results (S, ...) where single entries of an array have other values (S,)."""
        joined = np.concatenate([array.reshape(-1) for array in arrays])
        theta = jax.device_put(joined.astype(self._dtype, copy=False), self._device)
        places, count, found = self._starts[number] + entries, len(entries), []
        for first in range(0, count, POINTS):
            here = min(POINTS, count - first)
            # the program is compiled for POINTS points: fewer are padded
            padded = np.zeros(POINTS, np.int32), np.zeros(POINTS, self._dtype)
            padded[0][:here], padded[1][:here] = (a[first : first + here] for a in (places, values))
            found.append([np.asarray(out)[:here] for out in self._program(theta, *padded, here)])
        return [np.concatenate(results) for results in zip(*found, strict=True)]

    def _loop(self, theta: Any, places: Any, values: Any, count: Any) -> list[Any]:
        """Return the results at many points; at each, one entry of the vector has another value."""
        together = self._together
        arrays = [
            theta[first : first + leaf.values.size].reshape(leaf.values.shape).astype(dtype)
            for leaf, dtype, first in zip(
                self._leaves, self._dtypes, self._starts[:-1], strict=True
            )
        ]

        def results(arrays: Sequence[Any]) -> list[Any]:
            pairs = zip(self._leaves, arrays, strict=True)
            return self._flat([leaf.in_jax(array) for leaf, array in pairs])

        function = Products(results, arrays)
        products = function.of_constants(arrays)

        def one(place: Any, value: Any) -> list[Any]:
            moved = [
                self._moved(array, place - first, value)
                for array, first in zip(arrays, self._starts[:-1].tolist(), strict=True)
            ]
            return function(moved, products)

        def step(number: Any, outs: list[Any]) -> list[Any]:
            first = number * together
            part = [jax.lax.dynamic_slice_in_dim(a, first, together) for a in (places, values)]
            if together > 1:
                found = jax.vmap(one)(*part)
            else:
                found = [out[None] for out in one(*(a[0] for a in part))]
            pairs = zip(outs, found, strict=True)
            return [jax.lax.dynamic_update_slice_in_dim(o, f, first, 0) for o, f in pairs]

        shapes = jax.eval_shape(one, places[0], values[0])
        outs = [jnp.zeros((POINTS, *shape.shape), shape.dtype) for shape in shapes]
        steps = (count + together - 1) // together
        return jax.lax.fori_loop(0, steps, step, outs)  # type: ignore[no-any-return]

    def _moved(self, array: Any, place: Any, value: Any) -> Moved:
        """Return an array in which the entry at a place has a value, if it has such a place."""
        if not array.size:
            return Moved(array, (0,) * array.ndim, jnp.zeros((), array.dtype))
        inside = jnp.clip(place, 0, array.size - 1)
        index = jnp.unravel_index(inside, array.shape) if array.ndim else ()
        move = value.astype(array.dtype) - array.reshape(-1)[inside]
        return Moved(array, index, jnp.where(place == inside, move, 0))


class StackLoop:
    """Evaluates a function of some leaves at points that are stacked, by compiled programs.

    Parameters
    ----------
    flat, leaves
        As of `Loop`.

    Raises
    ------
    ValueError
        The leaves are on several devices.
    """

    def __init__(self, flat: Callable[[Sequence[Any]], list[Any]], leaves: Sequence[Leaf]) -> None:
        self._flat, self._leaves = flat, leaves
        devices = _devices(leaves)
        if len(devices) > 1:
            raise ValueError("the leaves are on several devices")
        self._device: Any = devices.pop() if devices else None
        self._together = _together(self._device)
        self._program = jax.jit(self._loop)

    def at_points(self, stacks: Sequence[Any]) -> list[Any]:
        """Return the results at all points (S, ...); arrays of stride 0 are the same at all."""
        count, found = len(stacks[0]), []
        fixed = {n: np.array(stack[0]) for n, stack in enumerate(stacks) if not stack.strides[0]}
        moved = {n: stack for n, stack in enumerate(stacks) if n not in fixed}
        for first in range(0, count, STACKED):
            # the program is compiled for STACKED points: fewer are padded with the last one
            some = np.minimum(np.arange(first, first + STACKED), count - 1)
            part = {n: stack[some] for n, stack in moved.items()}
            outs = self._program(jax.device_put(part, self._device), fixed)
            found.append([np.asarray(out)[: count - first] for out in outs])
        return [np.concatenate(results) for results in zip(*found, strict=True)]

    def _loop(self, moved: dict[int, Any], fixed: dict[int, Any]) -> list[Any]:
        def one(part: dict[int, Any]) -> list[Any]:
            arrays = {**fixed, **part}
            return self._flat([leaf.in_jax(arrays[n]) for n, leaf in enumerate(self._leaves)])

        return jax.lax.map(one, moved, batch_size=self._together)  # type: ignore[no-any-return]


def _devices(leaves: Sequence[Leaf]) -> set[Any]:
    """Return the devices to which leaves are committed."""
    shardings = [leaf.sharding for leaf in leaves if leaf.sharding is not None]
    return {device for sharding in shardings for device in sharding.device_set}


def _together(device: Any) -> int:
    """Return how many points are evaluated together on a device."""
    platform = (device or jax.local_devices()[0]).platform
    return TOGETHER.get(platform, TOGETHER_ELSEWHERE)
