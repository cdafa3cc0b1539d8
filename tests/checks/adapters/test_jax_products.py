"""Products that are updated where an entry moves are those of the moved arrays."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")

from checks.adapters.jax_leaves import Leaf  # noqa: E402
from checks.adapters.jax_loop import Loop  # noqa: E402

jnp = jax.numpy
RNG = np.random.default_rng(0)
X, K = RNG.standard_normal((3, 4)), RNG.standard_normal((2, 3, 4))
double = jax.custom_vjp(lambda a: 2 * a)
double.defvjp(lambda a: (2 * a, None), lambda _, u: (2 * u,))
triple = jax.custom_jvp(lambda a: 3 * a)
triple.defjvp(lambda p, t: (3 * p[0], 3 * t[0]))


def scanned(w, v, s):
    return jax.lax.scan(lambda c, row: (jnp.tanh(c + row @ w), c), jnp.zeros(2) * s, X)[1]


FUNCTIONS = {
    "from the right": lambda w, v, s: [X @ w],
    "from the left": lambda w, v, s: [w.T @ X.T],
    "a vector": lambda w, v, s: [X[0] @ w, v @ X.T, v @ v],
    "a transposed array": lambda w, v, s: [X.T @ jnp.ones((3, 2)) @ w.T],
    "two axes": lambda w, v, s: [jnp.tensordot(X.T @ X[:, :2], w, ((0, 1), (0, 1)))],
    "three axes": lambda w, v, s: [jnp.einsum("abc,cd->dab", K, w)],
    "axes of a batch": lambda w, v, s: [jnp.einsum("ac,cd->ca", X, w)],
    "twice": lambda w, v, s: [(X @ w) @ (w.T @ w) + jnp.sum(w**2)],
    "behind another": lambda w, v, s: [jnp.tanh(X @ w) @ w.T @ v, X @ v],
    "in calls": lambda w, v, s: [jax.jit(lambda w: double(X @ w) + triple(w.T @ X.T).T)(w)],
    "in control flow": lambda w, v, s: [scanned(w, v, s)],
    "a constant and an input": lambda w, v, s: [jnp.ones(2), w, v + s],
    "a choice": lambda w, v, s: [jax.lax.cond(v[0].real > 0, lambda: X @ w, lambda: -(X @ w))],
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_single_entries_are_moved_as_if_anew(function):
    with jax.enable_x64(True):
        arrays = [RNG.standard_normal(shape) for shape in ((4, 2), (4,), ())]
        given = [array.astype(complex) for array in arrays]
        flat = lambda moved: [jnp.asarray(out) for out in function(*moved)]  # noqa: E731
        alone = jax.jit(flat)
        loop = Loop(flat, [Leaf(array) for array in arrays], [complex] * 3)
        for number, array in enumerate(arrays):
            entries = np.arange(array.size)
            values = given[number].reshape(-1) + 0.3j
            found = loop.at_entries(given, number, entries, values)
            for entry in entries:
                moved = [np.array(a) for a in given]
                moved[number].reshape(-1)[entry] = values[entry]
                for results, wanted in zip(found, alone(moved), strict=True):
                    np.testing.assert_allclose(results[entry], wanted, rtol=0, atol=1e-12)
