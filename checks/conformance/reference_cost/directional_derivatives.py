"""Directional derivatives of the reference's cost, by a complex step in real arithmetic."""

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
    """Return a function that takes directions v and returns Im C(θ + ihv)/h for each.

    That is the derivative of C along v, by a complex step ih. At θ + ihv the layers are
    z^l + ih ż^l and a^l + ih ȧ^l, where a dot marks the derivative along v. Let v^l and u^l be the
    parts of v that move w^l and b^l; then ż^l = w^l ȧ^{l−1} + v^l a^{l−1} + u^l. Terms in h² are
    dropped, because h² vanishes beside 1. So matrix products are real; only σ and the cost are
    called with complex numbers, and σ once for all directions. The matrix v^l = r cᵀ is never
    formed, and ż^l is computed only for the nodes that v moves.

    Parameters
    ----------
    net : Network
    theta : Parameters
    x, y : (B, n_0) and (B, n_L) real
        B samples, one per row.

    Returns
    -------
    callable
        Takes a sequence of directions, each a mapping of the paths of `Parameters`,
        ``weights[l − 1]`` and ``biases[l − 1]``, to the direction of that array. θ must not have
        changed when it is called.
    """
    x, y = x.astype(theta.dtype), y.astype(theta.dtype)
    h = imaginary_step(theta.dtype)
    a, a_prime = [x], [x]  # a_prime[l] is σ'(z^l); a_prime[0] is not used
    for l in range(1, net.L + 1):
        z = a[l - 1] @ theta.w[l].T + theta.b[l]
        sigma = net.sigma(l).value(z + 1j * h)
        a.append(sigma.real.copy())
        a_prime.append(sigma.imag / h)

    def slope(direction: "Mapping[str, Direction]") -> Any:
        a_dot: Array | None = None
        nodes = slice(None)  # the nodes of the layer below that v moves
        for l in range(1, net.L + 1):
            v, u = direction.get(f"weights[{l - 1}]"), direction.get(f"biases[{l - 1}]")
            if a_dot is None and v is None and u is None:
                continue
            # ż^l = w^l ȧ^{l−1} + v^l a^{l−1} + u^l
            moved = v.region.rows if a_dot is None and v and not u else slice(0, net.sizes[l])
            z_dot = np.zeros((len(x), moved.stop - moved.start), theta.dtype)
            if a_dot is not None:
                np.matmul(a_dot, theta.w[l][:, nodes].T, out=z_dot)
            if v:  # v^l a^{l−1} = r (cᵀ a^{l−1})
                (r, c), rows = v.factors, v.region.rows
                rows = slice(rows.start - moved.start, rows.stop - moved.start)
                z_dot[:, rows] += np.outer(a[l - 1][:, v.region.columns] @ c, r)
            if u:
                z_dot[:, u.region.columns] += u.values_in(u.region)[0]
            # ȧ^l = σ'(z^l) ⊙ ż^l
            a_dot, nodes = a_prime[l][:, moved] * z_dot, moved
        if a_dot is None:
            return 0.0
        a_L = a[net.L] + 0j
        a_L[:, nodes] += 1j * h * a_dot
        return COSTS[net.cost_name].value(a_L, y).mean().imag / h

    return lambda directions: np.array([slope(v) for v in directions], dtype=float)
