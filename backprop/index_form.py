"""The index form: the notes literally, ∂C/∂w_AB^l = ① ② ③ ④ weight by weight, with loops."""

# ruff: noqa: E741, N806 — the notes' letters l, L, A and B
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
    """Return ∇C, index by index. Arguments, result and errors as in `matrix_form`."""
    x, y, grad = net.prepare(theta, x, y, out)
    n, w, dw, db, L = net.sizes, theta.w, grad.w, grad.b, net.L
    for array in (*grad.weights, *grad.biases):
        array[...] = 0
    for x_sample, y_sample in zip(x, y, strict=True):
        a, slope = net.layers(theta, x_sample)
        # ① ∂C/∂a_i^L, with the 1/B of the batch's mean
        one = COSTS[net.cost_name].slope(a[L], y_sample) / len(x)
        for l in range(L, 0, -1):
            # ② ∂a_i^L/∂a_j^{l+1}
            if l == L - 1:
                two = np.eye(n[L], dtype=theta.dtype)
            elif l < L - 1:
                # one factor more: Σ_m ∂a_i^L/∂a_m^{l+2} σ'(z_m^{l+2}) w_mj^{l+2}
                two = np.array(
                    [
                        [
                            sum(
                                two[i, m] * slope[l + 2][m] * w[l + 2][m, j]
                                for m in range(n[l + 2])
                            )
                            for j in range(n[l + 1])
                        ]
                        for i in range(n[L])
                    ]
                )
            for A in range(n[l]):
                if l == L:
                    # no ② and no ③: ∂a_i^L/∂a_A^L is the unit vector e_A
                    one_two_three = one[A]
                else:
                    # ③ ∂a_j^{l+1}/∂a_A^l = σ'(z_j^{l+1}) w_jA^{l+1}
                    three = [slope[l + 1][j] * w[l + 1][j, A] for j in range(n[l + 1])]
                    # Σ_i Σ_j ①_i ②_ij ③_j
                    one_two_three = sum(
                        one[i] * two[i, j] * three[j] for i in range(n[L]) for j in range(n[l + 1])
                    )
                for B in range(n[l - 1]):
                    # ④ ∂a_A^l/∂w_AB^l = σ'(z_A^l) a_B^{l−1}
                    dw[l][A, B] += one_two_three * (slope[l][A] * a[l - 1][B])
                # ④ ∂a_A^l/∂b_A^l = σ'(z_A^l)
                db[l][A] += one_two_three * slope[l][A]
    return grad
