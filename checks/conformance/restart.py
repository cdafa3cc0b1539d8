"""The reference's cost, with its forward pass restarted at the layer of a moved entry."""

# ruff: noqa: E741, N806 — the notes' letters l, L and C
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS, Array
from backprop.costs import COSTS
from checks._types import IntArray

__all__ = ["RestartedCost"]

CHUNK = 2**15  # numbers of one array: a few of them stay in a core's own cache


class RestartedCost:
    """The cost of a network on a batch, of many single moves at once.

    Moving w_ij^l by h moves z_i^l by h a_j^{l−1}, and nothing below it: the pass begins there, for
    all moves together, and is real or complex as they are.

    Parameters
    ----------
    net : Network
    x : (B, n_0) real
    y : (B, n_L) real
    """

    def __init__(self, net: Network, x: ArrayLike, y: ArrayLike) -> None:
        self.net = net
        self.x = np.asarray(x).reshape(-1, net.sizes[0])
        self.y = np.asarray(y).reshape(-1, net.sizes[-1])

    def __call__(self, theta: Parameters) -> float | complex:
        """Return C, by a whole forward pass."""
        return self.net.cost(theta, self.x, self.y)

    def at_entries(self, theta: Parameters, path: str, entries: IntArray, steps: Any) -> Any:
        """Return C with one entry of θ moved at a time.

        Parameters
        ----------
        theta : Parameters
            The point.
        path : str
            ``weights[l − 1]`` or ``biases[l − 1]``.
        entries : (m,) int
            Flat (row-major) indices into it.
        steps : (m, k) float or complex

        Returns
        -------
        (m, k) ndarray of the dtype of the moved parameters
        """
        name, l = _parsed(path)
        array = getattr(theta, name)[l - 1].reshape(-1)
        dtype = np.result_type(theta.dtype, np.complex64) if steps.dtype.kind == "c" else theta.dtype
        start = array[entries, None].astype(dtype)
        moves = (start + steps).astype(dtype) - start  # the steps that the dtype of θ takes

        z, a = self._layers(theta)
        i, j = entries, None
        if name == "weights":
            i, j = np.divmod(entries, theta.w[l].shape[1])
        costs = np.empty(steps.shape, dtype)

        def fill(some: slice) -> None:
            # z_i^l + h a_j^{l−1}: (B, k, m)
            z_i = moves[some].T[None] * (1 if j is None else a[l - 1][j[some]].T[:, None])
            z_i = z[l][i[some]].T[:, None] + z_i
            costs[some] = self._onward(theta, l, i[some], z_i, z, a)

        widest = len(self.x) * max(self.net.sizes[l:]) * steps.shape[1]
        rows = max(1, CHUNK // widest)
        chunks = [slice(first, first + rows) for first in range(0, len(entries), rows)]
        if len(chunks) < 4:
            for chunk in chunks:
                fill(chunk)
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets go of the interpreter
                list(pool.map(lambda chunk: copy_context().run(fill, chunk), chunks))
        return costs

    def _layers(self, theta: Parameters) -> tuple[list[Array], list[Array]]:
        """Return z and a (n_l, B) of the point, counted as in the notes; there is no z^0."""
        x = self.x.astype(theta.dtype).T
        z, a = [x], [x]
        for l in range(1, self.net.L + 1):
            z.append(theta.w[l] @ a[l - 1] + theta.b[l][:, None])
            a.append(self._sigma(l, z[l]))
        return z, a

    def _sigma(self, l: int, z: Array) -> Array:
        linear = l == self.net.L and COSTS[self.net.cost_name].linear_output
        return ACTIVATIONS["identity" if linear else self.net.activation].value(z)

    def _onward(
        self, theta: Parameters, l: int, i: IntArray, z_i: Array, z: list[Array], a: list[Array]
    ) -> Array:
        """Return C (m, k), where z_i^l of each row's own i has become z_i (B, k, m)."""
        w, b, L = theta.w, theta.b, self.net.L
        a_i = self._sigma(l, z_i)
        if l == L:
            moved = np.empty((self.net.sizes[L], *a_i.shape), a_i.dtype)
            moved[...] = a[L][..., None, None]
            moved[i, :, :, np.arange(len(i))] = a_i.transpose(2, 0, 1)
        else:
            # z^{l+1} + w_·i^{l+1} Δa_i^l: (n_{l+1}, B, k, m)
            moved = (a_i - a[l][i].T[:, None]) * w[l + 1][:, None, None, i]
            moved += z[l + 1][..., None, None]
            moved = self._sigma(l + 1, moved)
            for above in range(l + 2, L + 1):
                moved = (w[above] @ moved.reshape(len(moved), -1)).reshape(-1, *a_i.shape)
                moved += b[above][:, None, None, None]
                moved = self._sigma(above, moved)
        y = self.y.astype(theta.dtype)[:, None, None]
        C: Array = COSTS[self.net.cost_name].value(np.moveaxis(moved, 0, -1), y).mean(axis=0).T
        return C


def _parsed(path: str) -> tuple[str, int]:
    """Return "weights" or "biases" and the layer, as the notes count it."""
    match = re.fullmatch(r"(weights|biases)\[(\d+)\]", path)
    if not match:
        raise ValueError(f"path is {path!r}, wanted an array of Parameters, such as weights[0]")
    return match[1], int(match[2]) + 1
