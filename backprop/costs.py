"""Costs of one sample and their derivatives ∂C/∂a^L, formula ① of the notes: one row each.

Both cross entropies take *logits*: under them the last layer of the network is linear, a^L = z^L,
and the logistic function or the softmax is part of the cost. So saturation costs no digits, and
nothing is divided by an activation that rounds to 0. Every row takes a (..., n_L) and y (..., n_L)
of one float or complex dtype, keeps it, and is analytic in a, as the complex step needs.
"""

# ruff: noqa: N806 — the notes' letter C
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backprop.activations import Array, decay, logistic

__all__ = ["COSTS", "Cost"]


@dataclass(frozen=True)
class Cost:
    """A row of the table.

    ``value(a, y)`` is C of each sample, shape (...); ``slope(a, y)`` is ① = ∂C/∂a_i^L, shape
    (..., n_L), without the 1/B of a batch. With ``linear_output`` the last layer has σ(z) = z,
    whatever the activation of the others.
    """

    name: str
    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    linear_output: bool = False


def _softmax_cross_entropy(a: Array, y: Array) -> Array:
    # C = (Σ_i y_i) log Σ_i e^{a_i} − Σ_i y_i a_i, unchanged by s_i = a_i − a_k but for e^{s_k} = 1
    k = a.real.argmax(axis=-1, keepdims=True)
    s = a - np.take_along_axis(a, k, axis=-1)
    e = np.exp(s)
    np.put_along_axis(e, k, 0, axis=-1)
    C: Array = y.sum(axis=-1) * np.log1p(e.sum(axis=-1)) - (y * s).sum(axis=-1)
    return C


def _softmax_cross_entropy_slope(a: Array, y: Array) -> Array:
    # p_i = e^{a_i} / Σ_j e^{a_j}
    e = np.exp(a - np.take_along_axis(a, a.real.argmax(axis=-1, keepdims=True), axis=-1))
    p = e / e.sum(axis=-1, keepdims=True)
    # ① ∂C/∂a_i = p_i Σ_j y_j − y_i = p_i Σ_{j≠i} y_j − y_i Σ_{j≠i} p_j: nothing cancels as p_i → 1
    slope: Array = p * _sum_of_others(y) - y * _sum_of_others(p)
    return slope


def _sum_of_others(v: Array) -> Array:
    """Σ_{j≠i} v_j for each i, from the sums on its left and on its right: without a subtraction."""
    left, right = np.zeros_like(v), np.zeros_like(v)
    np.cumsum(v[..., :-1], axis=-1, out=left[..., 1:])
    np.cumsum(v[..., :0:-1], axis=-1, out=right[..., -2::-1])
    return left + right


COSTS = {
    row.name: row
    for row in (
        Cost(
            "mean_squared",
            # C = (1/n_L) Σ_i (a_i^L − y_i)²
            lambda a, y: ((a - y) ** 2).sum(axis=-1) / a.shape[-1],
            # ① ∂C/∂a_i^L = (2/n_L) (a_i^L − y_i)
            lambda a, y: 2 / a.shape[-1] * (a - y),
        ),
        Cost(
            "half_squared",
            # C = ½ Σ_i (a_i^L − y_i)²
            lambda a, y: ((a - y) ** 2).sum(axis=-1) / 2,
            # ① ∂C/∂a_i^L = a_i^L − y_i
            lambda a, y: a - y,
        ),
        Cost(
            "cross_entropy",
            # C = Σ_i log(1 + e^{a_i}) − y_i a_i, with log(1 + e^a) = max(a, 0) + log(1 + e^{−|a|})
            lambda a, y: (np.where(a.real >= 0, 1 - y, -y) * a + np.log1p(decay(a))).sum(axis=-1),
            # ① ∂C/∂a_i = σ(a_i) − y_i = (1 − y_i) σ(a_i) − y_i σ(−a_i): no cancelling at 0 and 1
            lambda a, y: (1 - y) * logistic(a) - y * logistic(-a),
            linear_output=True,
        ),
        Cost(
            "softmax_cross_entropy",
            _softmax_cross_entropy,
            _softmax_cross_entropy_slope,
            linear_output=True,
        ),
    )
}
