"""The chain form: the Jacobian matrices of ① ② ③ ④ multiplied out, sample by sample."""

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
    """Return ∇C, by products of Jacobians. Arguments, result and errors as in `matrix_form`."""
    x, y, grad = net.prepare(theta, x, y, out)
    w, dw, db, L = theta.w, grad.w, grad.b, net.L
    for array in (*grad.weights, *grad.biases):
        array[...] = 0
    for x_sample, y_sample in zip(x, y, strict=True):
        a, slope = net.layers(theta, x_sample)
        # ① ∂C/∂a_i^L (n_L,), with the 1/B of the batch's mean
        one = COSTS[net.cost_name].slope(a[L], y_sample) / len(x)
        # ② ③ ∂a_i^L/∂a_A^l (n_L, n_l): at the top, l = L, the unit vectors e_A
        two_three = np.eye(net.sizes[L], dtype=theta.dtype)
        for l in range(L, 0, -1):
            if l < L:
                # one factor more: ∂a_j^{l+1}/∂a_A^l = σ'(z_j^{l+1}) w_jA^{l+1}, (n_{l+1}, n_l);
                # ③ in layer l, the last factor of ② in the layers below
                two_three = two_three @ (slope[l + 1][:, None] * w[l + 1])
            # ④ ∂a_A^l/∂w_AB^l = σ'(z_A^l) a_B^{l−1} (n_l, n_{l−1})
            four = np.outer(slope[l], a[l - 1])
            # ∂C/∂w_AB^l = (① ② ③)_A ④_AB
            dw[l][...] += (one @ two_three)[:, None] * four
            # ∂C/∂b_A^l = (① ② ③)_A σ'(z_A^l)
            db[l][...] += (one @ two_three) * slope[l]
    return grad
