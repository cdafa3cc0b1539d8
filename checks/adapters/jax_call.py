"""A call of a function of a pytree: its leaves of floats vary, and all others are constants."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checks.adapters.jax_leaves import Keys, Leaf, is_float, take_apart

__all__ = ["Call"]


class Call:
    """A call of a function of a pytree, as one of its leaves of floats.

    Attributes
    ----------
    keys : list of tuple
        Of all leaves.
    moved : dict of int to Leaf
        Those of finite floats, by their number.
    infinite : list of int
        The numbers of other leaves of floats.
    """

    def __init__(self, function: Callable[[Any], Any], given: Any) -> None:
        self._function = function
        self.keys, self._given, self._rebuild = take_apart(given)
        floats = {n: Leaf(leaf) for n, leaf in enumerate(self._given) if is_float(leaf)}
        self.moved = {n: leaf for n, leaf in floats.items() if np.isfinite(leaf.values).all()}
        self.infinite = [n for n in floats if n not in self.moved]
        self._protects = True

    def at_point(self) -> dict[Keys, Any]:
        """Return the outputs at the point.

        Constants are copied in this first call; in later ones only if it has changed or deleted
        some, as a function does that writes to numpy's arrays or donates its buffers.
        """
        copies = self._constants()
        found = self._called(copies, self._moved_at_point())
        self._protects = any(
            _is_array(leaf) and _is_changed(leaf, copies[n])
            for n, leaf in enumerate(self._given)
            if n not in self.moved
        )
        return found

    def _moved_at_point(self) -> list[Any]:
        return [leaf.in_jax(leaf.values) for leaf in self.moved.values()]

    def _constants(self) -> list[Any]:
        return [
            leaf.copy() if _is_array(leaf) and n not in self.moved else leaf
            for n, leaf in enumerate(self._given)
        ]

    def outputs(self, moved: Sequence[Any]) -> dict[Keys, Any]:
        """Return the outputs that are floats, by where they stand."""
        return self._called(self._constants() if self._protects else list(self._given), moved)

    def _called(self, leaves: list[Any], moved: Sequence[Any]) -> dict[Keys, Any]:
        leaves = list(leaves)
        for n, array in zip(self.moved, moved, strict=True):
            leaves[n] = array
        keys, found, _ = take_apart(self._function(self._rebuild(leaves)))
        return {k: leaf for k, leaf in zip(keys, found, strict=True) if is_float(leaf)}

    def observed(self, is_forward: bool) -> tuple[dict[Keys, bool], dict[Keys, Any]]:
        """Return which outputs have a derivative in JAX, and their values when JAX takes it."""
        names, has_derivative = list[Keys](), list[bool]()

        @jax.custom_jvp
        def observe(outputs: list[Any]) -> list[Any]:
            return outputs

        def rule(primals: Any, tangents: Any) -> Any:
            zero = jax.custom_derivatives.SymbolicZero
            has_derivative[:] = [not isinstance(t, zero) for t in tangents[0]]
            pairs = zip(primals[0], tangents[0], strict=True)
            return primals[0], [jnp.zeros_like(p) if isinstance(t, zero) else t for p, t in pairs]

        observe.defjvp(rule, symbolic_zeros=True)

        def flat(moved: Sequence[Any]) -> list[Any]:
            found = self.outputs(moved)
            names[:] = found
            return observe(list(found.values()))

        moved = self._moved_at_point()
        if is_forward:
            values, _ = jax.jvp(flat, (moved,), ([jnp.zeros_like(a) for a in moved],))
        else:
            values, _ = jax.vjp(flat, moved)
        return (
            # the rule is not called if no output has a derivative
            dict(zip(names, has_derivative or len(names) * [False], strict=True)),
            dict(zip(names, values, strict=True)),
        )


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, jax.Array))


def _is_changed(leaf: Any, copied: Any) -> bool:
    """Whether a function changed or deleted its copy of a constant."""
    if isinstance(copied, jax.Array):
        return bool(copied.is_deleted())
    return not bool(np.array_equal(leaf, copied, equal_nan=leaf.dtype.kind in "fc"))
