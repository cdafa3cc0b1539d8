"""The notes' network in JAX, as a target: ``python -m checks path/to/jax_net.py``.

`jax.grad` is the gradient. JAX keeps float64 only where it is enabled, as here.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np


def _mean_squared(weights, biases, x, y):
    a = x
    for w, b in zip(weights, biases, strict=True):
        a = jax.nn.sigmoid(a @ w.T + b)
    return jnp.mean((a - y) ** 2)


# Every shape is compiled, so fast compilation matters more than fast code.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
_cost = jit(_mean_squared)
_gradient = jit(jax.grad(_mean_squared, argnums=(0, 1)))


def _call(function, weights, biases, x, y):
    # copies, because JAX may share memory with an array and read it later
    given = [np.array(part) for part in (*weights, *biases, x, y)]
    layers = len(weights)
    with jax.enable_x64(True):
        result = function(given[:layers], given[layers:-2], *given[-2:])
        return jax.tree_util.tree_map(np.asarray, result)


def cost(weights, biases, x, y):
    return _call(_cost, weights, biases, x, y)


def gradient(weights, biases, x, y):
    return _call(_gradient, weights, biases, x, y)
