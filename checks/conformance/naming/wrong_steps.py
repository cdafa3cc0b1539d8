"""The steps of `faults` that take more than a line.

Where a mistake would raise an error because shapes differ, the step does the right thing instead:
such an error is noticed at once, without a gradient check.
"""

# ruff: noqa: E741, D103 — the notes' letter l; the catalogue describes each step
from typing import Any

import numpy as np

from checks.conformance.naming.textbook import Arrays, Textbook

__all__ = [
    "broadcast_error",
    "clipped_by_norm",
    "extra_output_slope",
    "half_precision",
    "if_same_shape",
    "in_reverse_order",
    "last_entry_zero",
    "logistic_formula",
    "output_error_again",
    "penalized",
    "penalty",
    "sample_by_sample",
    "shared_buffer",
    "slope_from_value",
    "softmax_diagonal",
    "stale_cache",
    "tanh_formula",
    "transposed_if_square",
]


def transposed_if_square(w: Any) -> Any:
    return w.T if w.shape[0] == w.shape[1] else w


def if_same_shape(wrong: Any, right: Any) -> Any:
    return wrong if wrong.shape == right.shape else right


def penalized(gradients: Arrays, decay: float, values: list[Any]) -> Arrays:
    return [g + decay * value for g, value in zip(gradients, values[1:], strict=True)]


def penalty(net: Textbook, weights: Arrays, _biases: Arrays) -> Any:
    return net.decay / 2 * sum((w * w).sum() for w in weights)


def in_reverse_order(gradients: Arrays) -> Arrays:
    """Reverse the order of the arrays that have the same shape."""
    shapes = [g.shape for g in gradients]
    by_shape = {shape: [g for g in gradients if g.shape == shape] for shape in shapes}
    return [by_shape[shape].pop() for shape in shapes]


def last_entry_zero(dw: Arrays) -> Arrays:
    dw[-1][-1, -1] = 0
    return dw


def clipped_by_norm(net: Textbook, dw: Arrays, db: Arrays) -> tuple[Arrays, Arrays]:
    norm = np.sqrt(sum((g * g).sum() for g in (*dw, *db)))
    scale = min(1.0, net.limit / norm) if norm else 1.0
    return [scale * g for g in dw], [scale * g for g in db]


def broadcast_error(net: Textbook) -> Any:
    """With one output, compare the output a^L of every sample with the y of all samples."""
    a, y = net.a[net.L], net.y
    if y.shape[1] > 1:
        return Textbook.output_error(net)
    slopes = [net.cost_function.slope(a, np.full_like(y, other)) for other in y[:, 0]]
    return net.scale * np.mean(slopes, axis=0) / len(y)


def softmax_diagonal(net: Textbook) -> Any:
    """Return −(y_i/p_i) ∂p_i/∂a_i, p = softmax(a), without the −(y_j/p_j) ∂p_j/∂a_i of j ≠ i."""
    if net.cost_function.name != "softmax_cross_entropy":
        return Textbook.output_error(net)
    a = net.a[net.L]
    p = np.exp(a - a.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -net.scale * net.y * (1 - p) / len(net.y)


def extra_output_slope(net: Textbook) -> Any:
    if not net.cost_function.linear_output:
        return Textbook.output_slope(net)
    a = 1 / (1 + np.exp(-net.z[net.L]))
    return a * (1 - a)


def slope_from_value(net: Textbook, a: Any, l: int) -> Any:
    name = net.activation_of(l).name
    if name == "logistic":
        return a * (1 - a)
    return 1 - a * a if name == "tanh" else net.derivative(a, l)


def logistic_formula(net: Textbook, l: int) -> Any:
    if net.activation_of(l).name == "logistic":
        return Textbook.slope(net, l)
    return net.a[l] * (1 - net.a[l])


def tanh_formula(net: Textbook, l: int) -> Any:
    if net.activation_of(l).name == "tanh":
        return Textbook.slope(net, l)
    return 1 - net.a[l] ** 2


def output_error_again(net: Textbook, delta: Any, l: int) -> Any:
    if l == net.L - 1 or net.remembered is None:
        net.remembered = delta
    return if_same_shape(net.remembered, delta) @ net.w[l + 1]


def stale_cache(net: Textbook, x: Any) -> Any:
    layers = Textbook.forward(net, x)
    previous, net.remembered = net.remembered, layers
    if previous is None or [a.shape for a in previous[0]] != [a.shape for a in layers[0]]:
        return layers
    return previous


def sample_by_sample(
    net: Textbook, weights: Arrays, biases: Arrays, x: Any, y: Any, share: float
) -> tuple[Arrays, Arrays]:
    """Return what an update after each sample moves by, over η; each takes a share of ∇C_i."""
    w, b = list(weights), list(biases)
    for i in range(len(x)):
        dw, db = Textbook.gradient(net, w, b, x[i : i + 1], y[i : i + 1])
        w = [v - net.learning_rate * share * g for v, g in zip(w, dw, strict=True)]
        b = [v - net.learning_rate * share * g for v, g in zip(b, db, strict=True)]
    return (
        [(old - new) / net.learning_rate for old, new in zip(weights, w, strict=True)],
        [(old - new) / net.learning_rate for old, new in zip(biases, b, strict=True)],
    )


def shared_buffer(net: Textbook, x: Any) -> Any:
    a, z = Textbook.forward(net, x)
    # the last hidden layer of each width overwrites the others of that width
    by_width = {layer.shape[1]: layer for layer in a[1:-1]}
    return [a[0], *(by_width[layer.shape[1]] for layer in a[1:-1]), a[-1]], z


def half_precision(net: Textbook, x: Any) -> Any:
    a, z = Textbook.forward(net, x)
    return [layer.astype(np.float16).astype(layer.dtype) for layer in a], z
