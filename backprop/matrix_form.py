"""The matrix form: ① ② ③ ④ contracted from the left into a recursion, over a whole batch."""

# ruff: noqa: E741, N806 — the notes' letters l and L
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from backprop.costs import COSTS
from backprop.parameters import Parameters

if TYPE_CHECKING:
    from backprop.network import Network

__all__ = ["gradient"]


def gradient(
    net: "Network", theta: Parameters, x: ArrayLike, y: ArrayLike, out: Parameters | None = None
) -> Parameters:
    """Return ∇C, by the δ recursion (docs/notes.md, "The matrix form").

    Parameters
    ----------
    net : Network
    theta : Parameters
    x : (B, n_0) or (n_0,) real
    y : (B, n_L) or (n_L,) real
    out : Parameters, optional
        Written into and returned, for speed in a loop: of the sizes and dtype of `theta`, and of
        memory of its own.

    Returns
    -------
    grad : Parameters
        ∂C/∂w^l and ∂C/∂b^l, in the dtype of `theta`.

    Raises
    ------
    TypeError, ValueError
        As `Network` says; an `out` of other sizes, another dtype, or overlapping `theta` or `x`.
    """
    x, y, grad = net.prepare(theta, x, y, out)
    # The size of a and slope together, taken and let go: glibc's malloc then keeps that much at
    # hand, instead of returning large arrays to the system and faulting in their pages every call.
    np.empty((2 * len(x), sum(net.sizes)), theta.dtype)
    a, slope = net.layers(theta, x)
    w, dw, db, L = theta.w, grad.w, grad.b, net.L
    # ① ∂C/∂a^L, with the 1/B of the batch's mean; δ^L = ① ⊙ σ'(z^L)
    delta = COSTS[net.cost_name].slope(a[L], y) / len(x) * slope[L]
    for l in range(L, 0, -1):
        if l < L:
            # ② ③ δ^l = (w^{l+1}ᵀ δ^{l+1}) ⊙ σ'(z^l)
            delta = np.dot(delta, w[l + 1]) * slope[l]
        # ④ ∂C/∂w^l = δ^l a^{l−1}ᵀ, summed over the batch
        np.matmul(delta.T, a[l - 1], out=dw[l])
        # ④ ∂C/∂b^l = δ^l, summed over the batch
        np.add.reduce(delta, axis=0, out=db[l])
    return grad
