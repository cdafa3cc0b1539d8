"""A function of JAX where one entry moves: its products with constants are updated, not redone.

In x (W + δ E), where E is 1 in one entry, x W is the same at all points, and δ x E is a column.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

__all__ = ["Moved", "Products"]

# The parameter of each calling primitive that holds its function; custom rules are not used.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


@dataclass(frozen=True, eq=False)
class Moved:
    """An array of which one entry, by its index along every axis, is moved."""

    array: Any
    index: tuple[Any, ...]
    move: Any

    def dense(self) -> Any:
        """Return the moved array."""
        return _add_at(self.array, self.index, self.move)

    def transposed(self, axes: Sequence[int]) -> "Moved":
        """Return the moved array with its axes in another order."""
        index = tuple(self.index[axis] for axis in axes)
        return replace(self, array=jnp.transpose(self.array, axes), index=index)


class Products:
    """A function as its primitives, which takes arrays that are moved in one entry.

    Parameters
    ----------
    function
        Takes arrays, returns a list of arrays.
    arrays
        Of the shapes and dtypes in which it will be called.
    """

    def __init__(self, function: Callable[[Any], Any], arrays: Sequence[Any]) -> None:
        self._closed = jax.make_jaxpr(function)(arrays)

    def of_constants(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the products of constants with arrays that `__call__` needs at all points."""
        products: list[Any] = []
        nowhere = [Moved(a, (0,) * a.ndim, jnp.zeros((), a.dtype)) for a in arrays]
        self._evaluate(self._closed, nowhere, [True] * len(arrays), products, None)
        return products

    def __call__(self, moved: Sequence[Moved], products: Sequence[Any]) -> list[Any]:
        """Return the results where entries of the arrays are moved."""
        known = iter(products)
        return self._evaluate(self._closed, moved, [True] * len(moved), [], known)[0]

    def _evaluate(
        self,
        closed: Any,
        given: Sequence[Any],
        given_varies: Sequence[bool],
        products: list[Any],
        known: Iterator[Any] | None,
    ) -> tuple[list[Any], list[bool]]:
        """Return the results of a function, and which of them differ from point to point."""
        jaxpr = closed.jaxpr
        values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        values |= zip(jaxpr.invars, given, strict=True)
        varies = dict.fromkeys(jaxpr.constvars, False) | dict(
            zip(jaxpr.invars, given_varies, strict=True)
        )
        for equation in jaxpr.eqns:
            inputs = [_read(values, v) for v in equation.invars]
            vary = [not _is_literal(v) and varies[v] for v in equation.invars]
            name, params = equation.primitive.name, equation.params
            results, result_varies = None, [any(vary)] * len(equation.outvars)
            if name in CALLS:
                inner = params[CALLS[name]]
                results, result_varies = self._evaluate(inner, inputs, vary, products, known)
            elif name == "transpose" and isinstance(inputs[0], Moved):
                results = [inputs[0].transposed(params["permutation"])]
            elif name == "dot_general" and sum(vary) == 1 and _is_update(params, inputs):
                if known is None:
                    arrays = [v.array if isinstance(v, Moved) else v for v in inputs]
                    products.append(equation.primitive.bind(*arrays, **params))
                    results = [products[-1]]
                else:
                    results = [_updated(next(known), params["dimension_numbers"][0], *inputs)]
            if results is None:
                dense = [v.dense() if isinstance(v, Moved) else v for v in inputs]
                results = _evaluated(equation, dense)
            values |= zip(equation.outvars, results, strict=True)
            varies |= zip(equation.outvars, result_varies, strict=True)
        outputs = [_read(values, v) for v in jaxpr.outvars]
        dense = [v.dense() if isinstance(v, Moved) else v for v in outputs]
        return dense, [not _is_literal(v) and varies[v] for v in jaxpr.outvars]


def _read(values: dict[Any, Any], variable: Any) -> Any:
    return variable.val if _is_literal(variable) else values[variable]


def _evaluated(equation: Any, inputs: Sequence[Any]) -> Any:
    """Return what an equation computes of its inputs."""
    bound = equation.primitive.get_bind_params(equation.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # JAX's versions differ
    outputs = equation.primitive.bind(*functions, *inputs, **params)
    return outputs if equation.primitive.multiple_results else [outputs]


def _is_literal(variable: Any) -> bool:
    return isinstance(variable, Literal)


def _is_update(params: Any, inputs: Sequence[Any]) -> bool:
    """Whether one side of a product is an array moved in one entry, without axes of a batch."""
    batch = params["dimension_numbers"][1]
    return not any(batch) and any(isinstance(v, Moved) for v in inputs)


def _updated(product: Any, contracted: Any, left: Any, right: Any) -> Any:
    """Return a product with an array moved in one entry, from that with the array at the point."""
    is_right = isinstance(right, Moved)
    moved, other = (right, left) if is_right else (left, right)
    own, others = contracted[::-1] if is_right else contracted
    start = [jnp.zeros((), jnp.int32)] * other.ndim
    sizes = list(other.shape)
    for axis, along in zip(own, others, strict=True):
        start[along], sizes[along] = moved.index[axis], 1
    row = jax.lax.dynamic_slice(other, start, sizes) * moved.move
    row = row.reshape([n for axis, n in enumerate(other.shape) if axis not in others])
    free = [axis for axis in range(moved.array.ndim) if axis not in own]
    ones, zeros = [1] * len(free), [jnp.zeros((), jnp.int32)] * row.ndim
    index = [moved.index[axis] for axis in free]
    if is_right:
        return _add_block(product, [*zeros, *index], row.reshape(*row.shape, *ones))
    return _add_block(product, [*index, *zeros], row.reshape(*ones, *row.shape))


def _add_at(array: Any, index: Sequence[Any], move: Any) -> Any:
    return _add_block(array, index, move.reshape((1,) * array.ndim))


def _add_block(array: Any, start: Sequence[Any], block: Any) -> Any:
    """Return an array with a block added to a part of it."""
    if not array.ndim:
        return (array + block).astype(array.dtype)
    start = [jnp.asarray(k, jnp.int32) for k in start]
    part = jax.lax.dynamic_slice(array, start, block.shape)
    return jax.lax.dynamic_update_slice(array, (part + block).astype(array.dtype), start)
