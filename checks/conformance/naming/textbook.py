"""A right backpropagation made of small steps; a fault replaces one or two of them."""

# ruff: noqa: E741 — the notes' letter l
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop.activations import ACTIVATIONS, Activation
from backprop.costs import COSTS

__all__ = ["HIDDEN", "Arrays", "Constants", "Step", "Textbook"]

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = list[Array]
Step: TypeAlias = Callable[..., Any]


def _leaky_relu(slope: float) -> Activation:
    def value(z: Any) -> Any:
        return np.where(z > 0, z, slope * z)

    return Activation(
        f"leaky relu, {slope}", value, lambda z: (value(z), np.where(z > 0, 1.0, slope))
    )


HIDDEN = ACTIVATIONS | {row.name: row for row in map(_leaky_relu, (0.01, 0.1, 0.2))}
"""The activations of a textbook by name."""


class Constants:
    """The default values of the numbers that some faults use."""

    learning_rate = 1.0  # η, for weights that are updated during the backward pass
    decay = 0.01  # λ of a penalty ½ λ Σ θ²
    limit = 0.02  # the size at which entries, or the norm, of a gradient are clipped


class Textbook(Constants):
    """The recursion of the notes, one method for each step; right if no step is replaced.

    Lists count layers as the notes do, 1 … L; index 0 is the input, or None.

    Parameters
    ----------
    activation, cost_name : str
        Names in the reference's tables.
    output : str
        What the last layer applies: the name of an activation, "linear", "softmax", or the
        activation of the others if it is empty. It is linear if the cost takes logits.
    scale : float
        A factor of the cost, without its penalty.
    steps : dict of str to function, optional
        Functions that replace the methods of these names. They take the textbook as ``self``.
    **constants
        Values that replace those of `Constants`.
    """

    w: list[Any]
    b: list[Any]
    a: Arrays
    z: Arrays
    y: Array
    dw: list[Any]
    db: list[Any]
    L: int
    upstream: Array
    remembered: Any = None  # what a fault keeps from an earlier layer or call

    def __init__(
        self,
        activation: str = "logistic",
        cost_name: str = "mean_squared",
        output: str = "",
        steps: Mapping[str, Step] | None = None,
        scale: float = 1.0,
        **constants: float,
    ) -> None:
        self.activation, self.cost_function = HIDDEN[activation], COSTS[cost_name]
        self.output = "linear" if self.cost_function.linear_output else output or activation
        self.scale = scale
        for name, value in constants.items():
            setattr(self, name, value)
        for name, step in (steps or {}).items():
            setattr(self, name, partial(step, self))

    def cost(self, weights: Arrays, biases: Arrays, x: Array, y: Array) -> Any:
        """Return C, the mean over the batch plus the penalty."""
        a = x
        for w, b in zip(weights, biases, strict=True):
            z = a @ w.T + b
            a = self.activation.value(z)
        C = self.cost_function.value(self.output_value(z), y).mean()  # noqa: N806
        return self.scale * C + self.penalty(weights, biases)

    def gradient(
        self, weights: Arrays, biases: Arrays, x: Array, y: Array
    ) -> tuple[Arrays, Arrays]:
        """Return ∂C/∂w^l and ∂C/∂b^l, l = 1 … L."""
        self.w, self.b, self.y, self.L = [None, *weights], [None, *biases], y, len(weights)
        self.dw, self.db = [None] * (self.L + 1), [None] * (self.L + 1)
        self.a, self.z = self.forward(x)
        # δ^L = ∂C/∂a^L ⊙ σ'(z^L); the first factor is ① of the notes
        self.upstream = self.output_error()
        delta = self.output_delta()
        for l in range(self.L, 0, -1):
            if l < self.L:
                # δ^l = (w^{l+1}ᵀ δ^{l+1}) ⊙ σ'(z^l)
                self.upstream = self.upstream_error(delta, l)
                delta = self.upstream * self.hidden_slope(l)
            self.dw[l] = self.weight_gradient(delta, l)
            self.db[l] = self.bias_gradient(delta, l)
        return self.finish(self.dw[1:], self.db[1:])

    def step(
        self, weights: Arrays, biases: Arrays, x: Array, y: Array, learning_rate: float
    ) -> tuple[Arrays, Arrays]:
        """Return θ − η ∇C, in new arrays."""
        self.learning_rate = learning_rate
        dw, db = self.gradient(weights, biases, x, y)
        return (
            [w - learning_rate * g for w, g in zip(weights, dw, strict=True)],
            [b - learning_rate * g for b, g in zip(biases, db, strict=True)],
        )

    def penalty(self, weights: Arrays, biases: Arrays) -> Any:
        """Return the penalty that is added to the cost: none."""
        return 0.0

    def forward(self, x: Array) -> tuple[Arrays, Arrays]:
        """Return a^0 … a^L and z^0 … z^L, where z^0 is x too."""
        a, z = [x], [x]
        for l in range(1, self.L + 1):
            z.append(self.weighted_input(a[l - 1], l))
            a.append(self.output_value(z[l]) if l == self.L else self.activation.value(z[l]))
        return a, z

    def output_value(self, z: Array) -> Array:
        """Return a^L of z^L."""
        if self.output == "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            softmax: Array = e / e.sum(axis=1, keepdims=True)
            return softmax
        return z if self.output == "linear" else HIDDEN[self.output].value(z)

    def weighted_input(self, a: Array, l: int) -> Array:
        """Return z^l = w^l a^{l−1} + b^l."""
        z: Array = a @ self.w[l].T + self.b[l]
        return z

    def output_error(self) -> Array:
        """Return ∂C/∂a^L, ① of the notes, divided by the number of samples."""
        return self.scale * self.cost_function.slope(self.a[self.L], self.y) / len(self.y)

    def output_delta(self) -> Array:
        """Return δ^L = ∂C/∂z^L from ① in `upstream`."""
        slope = self.output_slope()
        if self.output == "softmax" and slope is None:
            p, u = self.a[self.L], self.upstream
            # ∂p_i/∂z_j = p_i (δ_ij − p_j)
            delta: Array = p * (u - (p * u).sum(axis=1, keepdims=True))
            return delta
        return self.upstream * slope  # type: ignore[no-any-return]

    def activation_of(self, l: int) -> Activation:
        """Return the activation of a layer; that of the hidden layers if the last has none."""
        return HIDDEN.get(self.output, self.activation) if l == self.L else self.activation

    def derivative(self, z: Array, l: int) -> Array:
        """Return σ' of layer l at any z."""
        # a copy, as z may be overwritten
        slope: Array = self.activation_of(l).value_and_slope(np.array(z))[1]
        return slope

    def slope(self, l: int) -> Array:
        """Return σ'(z^l)."""
        return self.derivative(self.z[l], l)

    def output_slope(self) -> Any:
        """Return σ'(z^L); 1 where the last layer is linear, None where it is a softmax."""
        if self.output == "softmax":
            return None
        return 1.0 if self.output == "linear" else self.slope(self.L)

    def hidden_slope(self, l: int) -> Any:
        """Return σ'(z^l) of a hidden layer, l < L."""
        return self.slope(l)

    def upstream_error(self, delta: Array, l: int) -> Array:
        """Return w^{l+1}ᵀ δ^{l+1}."""
        upstream: Array = delta @ self.w[l + 1]
        return upstream

    def weight_gradient(self, delta: Array, l: int) -> Array:
        """Return ∂C/∂w^l = δ^l a^{l−1}ᵀ, summed over the batch."""
        dw: Array = delta.T @ self.a[l - 1]
        return dw

    def bias_gradient(self, delta: Array, l: int) -> Array:
        """Return ∂C/∂b^l = δ^l, summed over the batch."""
        db: Array = delta.sum(axis=0)
        return db

    def finish(self, dw: Arrays, db: Arrays) -> tuple[Arrays, Arrays]:
        """Return the gradient: a last step, which some faults replace."""
        return dw, db
