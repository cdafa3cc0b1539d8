"""Adapters of JAX: for a loss with its `jax.grad`, and for a function with its `jax.vjp`."""

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

import numpy as np

from checks.adapters.keyed_nesting import leaf_at, nest
from checks.jacobian import check_vjp
from checks.report.report import Report

try:
    import jax
    import jax.numpy as jnp
    from jax import tree_util
except ImportError as error:
    raise ImportError(
        "checks.adapters.jax needs JAX: install gradient-gate[jax], or jax itself"
    ) from error

__all__ = ["check_function", "from_loss"]

Keys: TypeAlias = list[tuple[Hashable, ...]]


def from_loss(loss: Callable[[Any], Any], parameters: Any) -> tuple[Any, Any, Any]:
    """Return cost, gradient and params for `check_gradient` and `assert_gradient`.

    Parameters
    ----------
    loss
        Takes parameters nested as `parameters` and returns a real scalar. A check is several times
        faster if it is compiled by `jax.jit`.
    parameters
        A pytree of floating arrays.

    Returns
    -------
    cost, gradient, params
        `params` holds copies in the dtype in which JAX computes: float32 unless ``jax_enable_x64``
        is set.
    """
    keys, params, structure = _flatten(parameters)

    def cost(arrays: Any) -> Any:
        return np.asarray(loss(_unflatten(structure, keys, arrays)))

    def gradient(arrays: Any) -> Any:
        return _nest(keys, jax.grad(loss)(_unflatten(structure, keys, arrays)))

    return cost, gradient, params


def check_function(function: Callable[..., Any], *inputs: Any, **options: Any) -> Report:
    """Check the `jax.vjp` of a function: the function's `jax.custom_vjp` rule, or JAX's own.

    Parameters
    ----------
    function
        Returns a pytree of floating arrays.
    *inputs
        Pytrees of floating arrays. Bind other inputs of the function with `functools.partial`.
    **options
        As of `check_vjp`.
    """
    keys, params, structure = _flatten({"inputs": inputs})

    def nested_inputs(arrays: Any) -> Any:
        return _unflatten(structure, keys, arrays)["inputs"]

    def outputs(arrays: Any) -> list[Any]:
        return list(map(np.asarray, tree_util.tree_leaves(function(*nested_inputs(arrays)))))

    def vjp(arrays: Any, u: Any) -> Any:
        result, pullback = jax.vjp(function, *nested_inputs(arrays))
        cotangents = tree_util.tree_unflatten(tree_util.tree_structure(result), map(jnp.asarray, u))
        return _nest(keys, pullback(cotangents))

    return check_vjp(outputs, vjp, params, **options)


def _flatten(tree: Any) -> tuple[Keys, Any, Any]:
    """Return the keys of a pytree's leaves, nested copies of the leaves, and its structure."""
    leaves, structure = tree_util.tree_flatten_with_path(tree)
    keys = [tuple(_key(step) for step in path) for path, _ in leaves]
    arrays = [np.array(jnp.asarray(leaf)) for _, leaf in leaves]
    for (path, _), array in zip(leaves, arrays, strict=True):
        if array.dtype.kind != "f":
            raise TypeError(
                f"the leaf {tree_util.keystr(path)} has dtype {array.dtype}, wanted a float dtype "
                "that numpy has: convert it, or bind it by a closure if it is a constant"
            )
    return keys, nest(zip(keys, arrays, strict=True)), structure


def _key(step: Any) -> Hashable:
    names = [name for name in ("key", "idx", "name") if hasattr(step, name)]
    key: Hashable = getattr(step, names[0])
    return key


def _nest(keys: Keys, tree: Any) -> Any:
    return nest(zip(keys, map(np.asarray, tree_util.tree_leaves(tree)), strict=True))


def _unflatten(structure: Any, keys: Keys, arrays: Any) -> Any:
    # copied, because jnp.asarray may share memory with an array that a check moves in place
    leaves = [jnp.asarray(np.array(leaf_at(arrays, key))) for key in keys]
    return tree_util.tree_unflatten(structure, leaves)
