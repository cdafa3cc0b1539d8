"""The network: the function of θ whose cost is differentiated."""

# ruff: noqa: E741, N802, N806 — the notes' letters l and L
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from backprop import matrix_form
from backprop.activations import ACTIVATIONS, Activation, Array
from backprop.costs import COSTS
from backprop.parameters import Parameters, check_finite, checked_sizes

__all__ = ["Network"]


@dataclass(frozen=True, init=False, repr=False)
class Network:
    """A fully connected network and its cost: C(θ; x, y) of docs/notes.md.

    Parameters
    ----------
    sizes : iterable of int
        The widths n_0, n_1, …, n_L.
    activation : {"logistic", "tanh", "relu", "identity"}
        σ of every layer; of all but the last where the cost takes logits.
    cost : {"mean_squared", "half_squared", "cross_entropy", "softmax_cross_entropy"}
        The first is the notes'. The cross entropies take logits: under them the last layer is
        linear and the logistic function or softmax is part of the cost (see `backprop.costs`).

    Attributes
    ----------
    sizes : tuple of int
    activation, cost_name : str
        Names of rows of the two tables.

    Raises
    ------
    TypeError, ValueError
        Sizes that are not at least two positive integers; an unknown activation or cost.

    Notes
    -----
    Every method takes x of shape (B, n_0) and y of shape (B, n_L), or one sample (n_0,) and (n_L,),
    of any real dtype, and converts them to the dtype of θ, which is also that of the result. θ may
    be complex; the gradient is then the holomorphic derivative. The methods raise TypeError or
    ValueError, naming the argument, for a θ of other sizes, for x or y of the wrong width, of
    different batch sizes, empty, complex, not numbers, or not finite.
    """

    sizes: tuple[int, ...]
    activation: str
    cost_name: str

    def __init__(
        self, sizes: Iterable[int], activation: str = "logistic", cost: str = "mean_squared"
    ) -> None:
        object.__setattr__(self, "sizes", checked_sizes(sizes))
        object.__setattr__(self, "activation", _known("activation", activation, ACTIVATIONS))
        object.__setattr__(self, "cost_name", _known("cost", cost, COSTS))

    def __repr__(self) -> str:
        return (
            f"Network(sizes={self.sizes}, activation={self.activation!r}, cost={self.cost_name!r})"
        )

    @property
    def L(self) -> int:
        """The number of layers, not counting the input."""
        return len(self.sizes) - 1

    def random_parameters(
        self, rng: np.random.Generator, scale: float = 1.0, dtype: DTypeLike = np.float64
    ) -> Parameters:
        """Draw weights from N(0, scale²/n_{l−1}) and biases from N(0, scale²).

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws in float64, in the order of `Parameters.ravel`, whatever `dtype` is.
        scale : float
            Positive: never zero, zeros hide mistakes.
        dtype : float dtype

        Returns
        -------
        theta : Parameters

        Raises
        ------
        TypeError, ValueError
            A seed for the generator; a scale that is not positive and finite; another dtype.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng is {rng!r}: wanted a generator, np.random.default_rng(seed)")
        if not (isinstance(scale, Real) and 0 < scale < np.inf):
            raise ValueError(f"scale is {scale!r}: wanted a positive number; zeros hide mistakes")
        if not np.issubdtype(dtype, np.floating):
            raise TypeError(f"dtype is {dtype!r}: wanted a float dtype, e.g. np.float64")
        weights, biases = [], []
        for columns, rows in pairwise(self.sizes):
            weights.append(
                (rng.standard_normal((rows, columns)) * (scale / columns**0.5)).astype(dtype)
            )
            biases.append((rng.standard_normal(rows) * scale).astype(dtype))
        return Parameters(weights, biases)

    def forward(self, theta: Parameters, x: ArrayLike) -> Array:
        """Return a^L, shape (B, n_L), or (n_L,) for a single sample.

        Under a cost that takes logits these are the logits.
        """
        self._check_theta(theta)
        return self._output(theta, _samples("x", x, self.sizes[0], theta.dtype))

    def cost(self, theta: Parameters, x: ArrayLike, y: ArrayLike) -> float | complex:
        """Return C, the mean of the samples' costs: a float, or a complex for a complex θ."""
        x, y = self._check_problem(theta, x, y)
        # C = (1/B) Σ_samples C(x, y)
        C = COSTS[self.cost_name].value(self._output(theta, x), y).mean()
        return C.item()  # type: ignore[no-any-return]

    def gradient(
        self, theta: Parameters, x: ArrayLike, y: ArrayLike, out: Parameters | None = None
    ) -> Parameters:
        """Return ∇C by the matrix form; see `backprop.matrix_form.gradient`."""
        return matrix_form.gradient(self, theta, x, y, out)

    # What the three forms share: checked arguments, and the layers.

    def prepare(
        self, theta: Parameters, x: ArrayLike, y: ArrayLike, out: Parameters | None
    ) -> tuple[Array, Array, Parameters]:
        """Check the arguments of a gradient.

        Returns
        -------
        x : (B, n_0), y : (B, n_L)
            In the dtype of θ, a single sample as a batch of one.
        out : Parameters
            The one given, or a new one: to be written into, its present entries mean nothing.
        """
        x, y = self._check_problem(theta, x, y)
        if out is None:
            weights, biases = map(np.empty_like, theta.weights), map(np.empty_like, theta.biases)
            out = Parameters._unchecked(weights, biases)
        else:
            self._check_out(out, theta, x)
        return x.reshape(-1, self.sizes[0]), y.reshape(-1, self.sizes[-1]), out

    def layers(self, theta: Parameters, x: Array) -> tuple[list[Array], list[Array]]:
        """Run the network forward, keeping what the gradient needs.

        Parameters
        ----------
        theta : Parameters
        x : (..., n_0)
            In the dtype of θ.

        Returns
        -------
        a, slope : lists of L + 1 arrays (..., n_l)
            Counted as in the notes: ``a[l]`` is a^l, ``a[0]`` is x, ``slope[l]`` is σ'(z^l);
            ``slope[0]`` has no meaning.
        """
        w, b = theta.w, theta.b
        a, slope = [x], [x]
        for l in range(1, self.L + 1):
            # z_i^l = Σ_j w_ij^l a_j^{l−1} + b_i^l
            z = np.dot(a[l - 1], w[l].T)  # @ takes twice as long where little is multiplied
            z += b[l]
            # a_i^l = σ(z_i^l), σ'(z_i^l)
            a_l, slope_l = self.sigma(l).value_and_slope(z)
            a.append(a_l)
            slope.append(slope_l)
        return a, slope

    def sigma(self, l: int) -> Activation:
        """Return σ of layer l ≥ 1: the last is linear where the cost takes logits."""
        linear = l == self.L and COSTS[self.cost_name].linear_output
        return ACTIVATIONS["identity" if linear else self.activation]

    def _output(self, theta: Parameters, x: Array) -> Array:
        w, b = theta.w, theta.b
        a = x
        for l in range(1, self.L + 1):
            # a_i^l = σ(Σ_j w_ij^l a_j^{l−1} + b_i^l)
            z = a @ w[l].T
            z += b[l]
            a = self.sigma(l).value(z)
        return a

    def _check_theta(self, theta: Parameters, name: str = "theta") -> None:
        if not isinstance(theta, Parameters):
            raise TypeError(
                f"{name} is a {type(theta).__name__}: wanted backprop.Parameters; "
                "wrap lists of arrays as Parameters(weights, biases)"
            )
        if theta.sizes != self.sizes:
            raise ValueError(
                f"{name} has sizes {theta.sizes} and the network {self.sizes}: "
                "wanted the same; use Network(theta.sizes) or draw net.random_parameters(rng)"
            )

    def _check_problem(self, theta: Parameters, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        self._check_theta(theta)
        x = _samples("x", x, self.sizes[0], theta.dtype)
        y = _samples("y", y, self.sizes[-1], theta.dtype)
        if x.shape[:-1] != y.shape[:-1]:
            raise ValueError(
                f"x has shape {x.shape} and y {y.shape}: wanted as many rows in both, "
                "or one sample as 1-d in both"
            )
        return x, y

    def _check_out(self, out: Parameters, theta: Parameters, x: Array) -> None:
        self._check_theta(out, "out")
        if out.dtype != theta.dtype:
            raise ValueError(f"out has dtype {out.dtype} and theta {theta.dtype}: wanted the same")
        for array, read in product((*out.weights, *out.biases), (*theta.weights, *theta.biases, x)):
            # two arrays that own their memory share none: a fifth of the time of asking numpy
            apart = array.base is read.base is None and array is not read
            if not apart and np.may_share_memory(array, read):
                raise ValueError(
                    "out shares memory with theta or x, which are still being read while it is "
                    "written: wanted arrays of its own, e.g. the result of an earlier gradient()"
                )


def _known(argument: str, name: str, table: dict[str, Any]) -> str:
    if name not in list(table):  # a list: the name may be anything, unhashable too
        raise ValueError(f"{argument} is {name!r}, which is unknown: wanted one of {[*table]}")
    return name


def _samples(name: str, given: ArrayLike, width: int, dtype: np.dtype[Any]) -> Array:
    """Return `given` as (B, width) or (width,) of the dtype, or raise naming what is wrong."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has dtype {array.dtype}: wanted real numbers; "
            "take .real if it is complex, .astype(float) if it holds objects"
        )
    if array.ndim not in (1, 2) or array.shape[-1] != width or not array.size:
        raise ValueError(
            f"{name} has shape {array.shape}: wanted (B, {width}), one sample per row and B ≥ 1, "
            f"or one sample ({width},)"
        )
    if array.dtype != dtype:
        with np.errstate(over="ignore"):  # what overflows is named below
            array = array.astype(dtype)
    check_finite(name, array)
    return array
