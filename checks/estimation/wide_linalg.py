"""Functions of np.linalg for long double, which LAPACK does not know: elimination with pivots."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST", "WIDE_LINALG"]

MOST = 64  # rows of the largest matrix: it takes some milliseconds
SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


def _eliminated(a: NDArray[Any], b: NDArray[Any]) -> tuple[Any, Any, NDArray[Any]]:
    """Return U and c of the triangular system U x = c that a x = b becomes, and the sign of det a.

    a is (..., n, n) and b (..., n, m). Of a sign −1, an odd number of rows were exchanged.
    """
    n = a.shape[-1]
    u = np.concatenate([a, b], axis=-1)
    sign = np.ones(a.shape[:-2], u.dtype)
    for k in range(n - 1):
        pivot = k + np.abs(u[..., k:, k]).argmax(axis=-1)[..., None, None]
        row = np.take_along_axis(u, pivot, axis=-2)
        np.put_along_axis(u, pivot, u[..., k : k + 1, :], axis=-2)
        u[..., k : k + 1, :] = row
        sign = np.where(pivot[..., 0, 0] == k, sign, -sign)
        # of a pivot of 0, all entries below are 0 too
        factors = u[..., k + 1 :, k : k + 1] / np.where(row[..., k : k + 1], row[..., k : k + 1], 1)
        u[..., k + 1 :, k:] -= factors * row[..., k:]
    return u[..., :n], u[..., n:], sign


def _pivots(a: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    """Return the pivots (..., n) of a matrix, and the sign of their order."""
    u, _, sign = _eliminated(a, a[..., :0])
    return np.diagonal(u, axis1=-2, axis2=-1), sign


def _det(a: NDArray[Any]) -> Any:
    pivots, sign = _pivots(a)
    return sign * pivots.prod(axis=-1)


def _slogdet(a: NDArray[Any]) -> Any:
    pivots, sign = _pivots(a)
    size = np.abs(pivots)
    signs = np.where(size, pivots / np.where(size, size, 1), 0)
    with np.errstate(divide="ignore"):  # as numpy does of a singular matrix
        return SlogdetResult(sign * signs.prod(axis=-1), np.log(size).sum(axis=-1))


def _solve(a: NDArray[Any], b: NDArray[Any]) -> Any:
    columns = b[:, None] if b.ndim == 1 else b
    stack = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    u, x, _ = _eliminated(
        np.broadcast_to(a, (*stack, *a.shape[-2:])),
        np.broadcast_to(columns, (*stack, *columns.shape[-2:])),
    )
    pivots = np.diagonal(u, axis1=-2, axis2=-1)
    if not pivots.all():
        raise np.linalg.LinAlgError("Singular matrix")
    for k in reversed(range(a.shape[-1])):
        rest = u[..., k : k + 1, k + 1 :] @ x[..., k + 1 :, :]
        x[..., k : k + 1, :] = (x[..., k : k + 1, :] - rest) / u[..., k : k + 1, k : k + 1]
    return x[..., 0] if b.ndim == 1 else x


def _inv(a: NDArray[Any]) -> Any:
    return _solve(a, np.eye(a.shape[-1], dtype=a.dtype))


def _cholesky(a: NDArray[Any], /, *, upper: bool = False) -> Any:
    """Return L of a = L L*, of which only one triangle is read, as np.linalg does."""
    a = a.swapaxes(-1, -2).conj() if upper else a
    lower = np.zeros_like(a)
    for k in range(a.shape[-1]):
        done = lower[..., k:, :k]
        column = a[..., k:, k] - (done @ done[..., :1, :].swapaxes(-1, -2).conj())[..., 0]
        square = column[..., :1].real
        if not (square > 0).all():
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        lower[..., k:, k] = column / np.sqrt(square)
        lower[..., k, k] = np.sqrt(square)[..., 0]
    return lower.swapaxes(-1, -2).conj() if upper else lower


# By the function of numpy that refuses long double, what is called instead.
WIDE_LINALG: dict[Any, Callable[..., Any]] = {
    np.linalg.det: _det,
    np.linalg.slogdet: _slogdet,
    np.linalg.solve: _solve,
    np.linalg.inv: _inv,
    np.linalg.cholesky: _cholesky,
}
