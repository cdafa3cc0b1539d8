"""The reference's cost along directions: its forward pass, and a complex step beside it."""

# ruff: noqa: E741, N806 — the notes' letters
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backprop.activations import Array
from backprop.costs import COSTS
from checks._types import FloatArray
from checks.evaluation.step_sizes import imaginary_step

if TYPE_CHECKING:
    from backprop import Network, Parameters
    from checks.parameters.random_directions import Direction

__all__ = ["slopes"]


def slopes(
    net: "Network",
    theta: "Parameters",
    x: Array,
    y: Array,
) -> "Callable[[Sequence[Mapping[str, Direction]]], FloatArray]":
    """Return a function of directions v that returns Im C(θ + ihv)/h, in real matrix products.

    With z + ih ż and a + ih ȧ, ż^l = w^l ȧ^{l−1} + v^l a^{l−1}: what is left out is below h². Only
    σ and the cost itself are called with complex numbers, σ once, here. v^l = r cᵀ is never made,
    and only the nodes that it reaches have a ż.

    Parameters
    ----------
    net : Network
    theta : Parameters
    x : (B, n_0), y : (B, n_L) real

    Returns
    -------
    callable
        Of a sequence of directions, each by the paths of `Parameters`: ``weights[l − 1]``,
        ``biases[l − 1]``. To be called while θ is where it is now.
    """
    x, y = x.astype(theta.dtype), y.astype(theta.dtype)
    h = imaginary_step(theta.dtype)
    a, a_prime = [x], [x]  # the derivative of a^l by z^l; that of x is not used
    for l in range(1, net.L + 1):
        z = a[l - 1] @ theta.w[l].T + theta.b[l]
        sigma = net.sigma(l).value(z + 1j * h)
        a.append(sigma.real.copy())
        a_prime.append(sigma.imag / h)

    def slope(moves: "Mapping[str, Direction]") -> Any:
        a_dot: Array | None = None
        nodes = slice(None)  # of the layer below, where ȧ is not 0
        for l in range(1, net.L + 1):
            v, u = moves.get(f"weights[{l - 1}]"), moves.get(f"biases[{l - 1}]")
            if a_dot is None and v is None and u is None:
                continue
            # ż^l = w^l ȧ^{l−1} + v^l a^{l−1} + u^l
            reached = v.region.rows if a_dot is None and v and not u else slice(0, net.sizes[l])
            z_dot = np.zeros((len(x), reached.stop - reached.start), theta.dtype)
            if a_dot is not None:
                np.matmul(a_dot, theta.w[l][:, nodes].T, out=z_dot)
            if v:  # v^l a^{l−1} = r (cᵀ a^{l−1})
                (r, c), some = v.factors, v.region.rows
                some = slice(some.start - reached.start, some.stop - reached.start)
                z_dot[:, some] += np.outer(a[l - 1][:, v.region.columns] @ c, r)
            if u:
                z_dot[:, u.region.columns] += u.values_in(u.region)[0]
            # ȧ^l = σ'(z^l) ⊙ ż^l
            a_dot, nodes = a_prime[l][:, reached] * z_dot, reached
        if a_dot is None:
            return 0.0
        a_L = a[net.L] + 0j
        a_L[:, nodes] += 1j * h * a_dot
        return COSTS[net.cost_name].value(a_L, y).mean().imag / h

    return lambda several: np.array([slope(moves) for moves in several], dtype=float)
