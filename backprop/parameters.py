"""Parameters θ: a point of the cost, and also ∇C, which lives in the same space."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from backprop.activations import Array

__all__ = ["Parameters", "check_finite", "checked_sizes"]

_NOTHING = np.empty((0, 0))  # the place of layer 0, into which nothing leads


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights and biases of all layers.

    Parameters
    ----------
    weights : sequence of L arrays
        ``weights[l - 1]`` is w^l, shape (n_l, n_{l−1}).
    biases : sequence of L arrays
        ``biases[l - 1]`` is b^l, shape (n_l,).

    All of one float or complex dtype. Arrays are kept, not copied: writing into them moves θ.

    Raises
    ------
    ValueError
        Lengths or shapes that do not chain, different dtypes, an entry that is NaN or infinite.
    TypeError
        An array that is neither float nor complex.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __init__(self, weights: Iterable[ArrayLike], biases: Iterable[ArrayLike]) -> None:
        object.__setattr__(self, "weights", tuple(map(np.asarray, weights)))
        object.__setattr__(self, "biases", tuple(map(np.asarray, biases)))
        _check(self)

    @classmethod
    def _unchecked(cls, weights: Iterable[Array], biases: Iterable[Array]) -> Self:
        """For what the package makes itself: no time spent, and a gradient may overflow."""
        self = object.__new__(cls)
        self.__dict__.update(weights=tuple(weights), biases=tuple(biases))
        return self

    @classmethod
    def unravel(cls, vector: ArrayLike, sizes: Sequence[int]) -> Self:
        """Cut the notes' "one big vector" into w^1, b^1, w^2, b^2, …: the inverse of `ravel`.

        Parameters
        ----------
        vector : (P,) float or complex
            P = Σ_l n_l (n_{l−1} + 1).
        sizes : sequence of int
            n_0 … n_L.

        Returns
        -------
        theta : Parameters
            Views of `vector`, as `numpy.reshape` gives them: writing into either moves both.

        Raises
        ------
        ValueError, TypeError
            A vector of another length; what `Network` says of `sizes`; what `Parameters` says.
        """
        n, vector = checked_sizes(sizes), np.asarray(vector)
        wanted = sum(rows * (columns + 1) for columns, rows in pairwise(n))
        if vector.shape != (wanted,):
            raise ValueError(
                f"vector has shape {vector.shape}; sizes {n} take ({wanted},): "
                "w^1, b^1, w^2, b^2, …, as ravel() gives them"
            )
        weights, biases, at = [], [], 0
        for columns, rows in pairwise(n):
            weights.append(vector[at : (at := at + rows * columns)].reshape(rows, columns))
            biases.append(vector[at : (at := at + rows)])
        return cls(weights, biases)

    def ravel(self) -> Array:
        """Return the notes' "one big vector" (P,): w^1, b^1, w^2, b^2, …, row-major, a copy."""
        pairs = zip(self.weights, self.biases, strict=True)
        return np.concatenate([array.ravel() for pair in pairs for array in pair])

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The widths n_0 … n_L."""
        return (self.weights[0].shape[1], *(b.shape[0] for b in self.biases))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The one dtype of all arrays."""
        return self.weights[0].dtype

    @property
    def w(self) -> tuple[Array, ...]:
        """The weights counted as in the notes: ``w[l]`` is w^l; there is no w^0."""
        return (_NOTHING, *self.weights)

    @property
    def b(self) -> tuple[Array, ...]:
        """The biases counted as in the notes: ``b[l]`` is b^l; there is no b^0."""
        return (_NOTHING, *self.biases)


def checked_sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return n_0 … n_L as a tuple of at least two positive ints, or raise naming what is wrong."""
    wanted = "wanted the widths n_0, n_1, …, n_L as positive integers, e.g. (784, 30, 10)"
    try:
        given = tuple(sizes)
        if any(isinstance(n, bool) for n in given):
            raise TypeError
        n = tuple(operator.index(n) for n in given)
    except TypeError:
        raise TypeError(f"sizes is {sizes!r}, not integers: {wanted}") from None
    if len(n) < 2:
        raise ValueError(f"sizes is {n}, of {len(n)} entries, at least two needed: {wanted}")
    if min(n) < 1:
        raise ValueError(f"sizes is {n}: sizes[{n.index(min(n))}] is {min(n)}: {wanted}")
    return n


def _check(theta: Parameters) -> None:
    if len(theta.weights) != len(theta.biases) or not theta.weights:
        raise ValueError(
            f"weights has {len(theta.weights)} arrays and biases {len(theta.biases)}: "
            "wanted one of each for every layer, at least one"
        )
    width = None
    for i, (w, b) in enumerate(zip(theta.weights, theta.biases, strict=True)):
        if w.ndim != 2 or 0 in w.shape or width not in (None, w.shape[1]):
            columns = "n_0" if width is None else f"{width}, the width of the layer before"
            raise ValueError(
                f"weights[{i}] has shape {w.shape}: wanted 2-d, one row for each node of the "
                f"layer and one column for each of its inputs ({columns}); transpose it?"
            )
        width = w.shape[0]
        if b.shape != (width,):
            raise ValueError(
                f"biases[{i}] has shape {b.shape}: wanted ({width},), one for each row of "
                f"weights[{i}]; ravel() it if it is a row or a column"
            )
        for name, array in ((f"weights[{i}]", w), (f"biases[{i}]", b)):
            if not np.issubdtype(array.dtype, np.inexact):
                raise TypeError(
                    f"{name} has dtype {array.dtype}: wanted a float dtype (or complex), the same "
                    "for all; convert it with .astype(np.float64)"
                )
            if array.dtype != theta.dtype:
                raise ValueError(
                    f"{name} has dtype {array.dtype} and weights[0] has {theta.dtype}: "
                    "wanted one dtype for all; convert with .astype"
                )
            check_finite(name, array)


def check_finite(name: str, array: Array) -> None:
    """Raise a ValueError that names the first entry of `array` that is NaN or infinite."""
    finite = np.isfinite(array)
    if np.count_nonzero(finite) < array.size:  # in half the time of .all() for a small array
        place = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise ValueError(
            f"{name}{list(place)} is {array[place]}: wanted finite entries; "
            "look at what computed it (an overflow, a division by zero, a missing value)"
        )
