"""Steps of the faults that take more than a line.

Where a mistake would raise an error, because shapes differ, the right thing is done instead: such a
mistake is found at once, and never reaches a gradient check.
"""

# ruff: noqa: E741, D103 — the notes' letter l; what each is, its row in the catalogue says
from typing import Any

import numpy as np

from checks.conformance.naming.textbook import Arrays, Textbook

__all__ = [
    "alike",
    "broadcast_error",
    "clipped_by_norm",
    "exact_if_logistic",
    "exact_if_tanh",
    "from_the_top",
    "half_precision",
    "in_terms_of_a",
    "last_entry_zero",
    "logistic_slope",
    "penalty",
    "plus",
    "reversed",
    "shared_buffer",
    "softmax_diagonal",
    "stale_cache",
    "transposed",
]


def transposed(w: Any) -> Any:
    return w.T if w.shape[0] == w.shape[1] else w


def alike(wrong: Any, right: Any) -> Any:
    return wrong if wrong.shape == right.shape else right


def plus(gradients: Arrays, decay: float, values: list[Any]) -> Arrays:
    return [g + decay * value for g, value in zip(gradients, values[1:], strict=True)]


def penalty(net: Textbook, weights: Arrays) -> Any:
    return net.decay / 2 * sum((w * w).sum() for w in weights)


def reversed(gradients: Arrays) -> Arrays:
    """Reverse the order among arrays of one shape."""
    shapes = [g.shape for g in gradients]
    left = {shape: [g for g in gradients if g.shape == shape] for shape in shapes}
    return [left[shape].pop() for shape in shapes]


def last_entry_zero(dw: Arrays) -> Arrays:
    dw[-1][-1, -1] = 0
    return dw


def clipped_by_norm(net: Textbook, dw: Arrays, db: Arrays) -> tuple[Arrays, Arrays]:
    norm = np.sqrt(sum((g * g).sum() for g in (*dw, *db)))
    scale = min(1.0, net.limit / norm) if norm else 1.0
    return [scale * g for g in dw], [scale * g for g in db]


def broadcast_error(net: Textbook) -> Any:
    """Compare every a of one output with every y, and sum over the wrong ones too."""
    a, y = net.a[net.L], net.y
    if y.shape[1] > 1:
        return Textbook.output_error(net)
    return np.mean([net.cost_row.slope(a, np.full_like(y, other)) for other in y[:, 0]], axis=0) / (
        len(y)
    )


def softmax_diagonal(net: Textbook) -> Any:
    """∂C/∂a_i = −(y_i/p_i) p_i (1 − p_i), without the sum over j of −(y_j/p_j)(−p_i p_j)."""
    if net.cost_row.name != "softmax_cross_entropy":
        return Textbook.output_error(net)
    a = net.a[net.L]
    p = np.exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -net.y * (1 - p) / len(net.y)


def logistic_slope(net: Textbook) -> Any:
    if not net.cost_row.linear_output:
        return Textbook.output_slope(net)
    a = 1 / (1 + np.exp(-net.z[net.L]))
    return a * (1 - a)


def in_terms_of_a(net: Textbook, a: Any) -> Any:
    if net.activation.name == "logistic":
        return a * (1 - a)
    return 1 - a * a if net.activation.name == "tanh" else net.derivative(a)


def exact_if_logistic(net: Textbook, l: int) -> Any:
    if net.activation.name == "logistic":
        return Textbook.slope(net, l)
    return net.a[l] * (1 - net.a[l])


def exact_if_tanh(net: Textbook, l: int) -> Any:
    return Textbook.slope(net, l) if net.activation.name == "tanh" else 1 - net.a[l] ** 2


def from_the_top(net: Textbook, delta: Any, l: int) -> Any:
    if l == net.L - 1:
        net.last = delta
    return alike(net.last, delta) @ net.w[l + 1]


def stale_cache(net: Textbook, x: Any) -> Any:
    now = Textbook.forward(net, x)
    last, net.last = net.last, now
    if last is None or [a.shape for a in last[0]] != [a.shape for a in now[0]]:
        return now
    return last


def shared_buffer(net: Textbook, x: Any) -> Any:
    a, z = Textbook.forward(net, x)
    latest = {a[l].shape[1]: a[l] for l in range(1, net.L)}
    return [a[0], *(latest[a[l].shape[1]] for l in range(1, net.L)), a[-1]], z


def half_precision(net: Textbook, x: Any) -> Any:
    a, z = Textbook.forward(net, x)
    return [layer.astype(np.float16).astype(layer.dtype) for layer in a], z
