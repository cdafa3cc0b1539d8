"""The reference's cost, with its forward pass restarted at the layer of a moved entry."""

# ruff: noqa: E741, N806 — the notes' letters l, L and C
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backprop import Network, Parameters
from backprop.activations import ACTIVATIONS, Array
from backprop.costs import COSTS
from checks._types import FloatArray, IntArray
from checks.conformance.tangents import slopes
from checks.directions import Direction
from checks.evaluations import as_number, imaginary_step
from checks.executors import in_order
from checks.parameters import flatten, rebuild

__all__ = ["RestartedCost", "restarted"]

CHUNK = 2**15  # numbers of one array: a few of them stay in a core's own cache
CHUNKS = 8  # that a thread takes at a time: what it costs to hand them over is then small
# How closely a cost must follow the reference to be it, in last places: sums in another order, a
# mean of sums for a sum of means. Another cost, or another precision inside, is further off.
LAST_PLACES = 64


class RestartedCost:
    """The cost of a network on a batch, of many single moves at once.

    Moving w_ij^l by h moves z_i^l by h a_j^{l−1}, and nothing below it: the pass begins there, for
    all moves together, and is real or complex as they are. Beside a complex step the square of its
    h vanishes, and complex arithmetic is linear: there σ and the cost are called with complex
    numbers once for each node, and real products carry their imaginary parts on.

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

    def __call__(self, theta: Any) -> float | complex:
        """Return C, by a whole forward pass.

        θ is a `Parameters`, or its weights and biases in a mapping of these two names.
        """
        theta = _as_parameters(theta)
        _, a = self._layers(theta)
        # twice, so that sums are taken in the order of many moves: their noise is that of C here
        twice = np.stack([a[-1]] * 2, axis=-1)[..., None, :]
        return self._mean_cost(twice)[0, 0].item()  # type: ignore[no-any-return]

    def at_entries(
        self, theta: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield C with one entry of θ moved at a time, in chunks of bounded memory.

        Parameters
        ----------
        theta
            The point, as above.
        path : str
            ``weights[l − 1]`` or ``biases[l − 1]``.
        entries : (m,) int
            Flat (row-major) indices into it.
        steps : (m, k) float or complex

        Yields
        ------
        slice, ndarray
            Some rows of `steps`, and their costs, of the dtype of the moved parameters.
        """
        theta = _as_parameters(theta)
        name, l = _parsed(path)
        array = getattr(theta, name)[l - 1].reshape(-1)
        dtype = (
            np.result_type(theta.dtype, np.complex64) if steps.dtype.kind == "c" else theta.dtype
        )
        z, a = self._layers(theta)
        widest = len(self.x) * max(self.net.sizes[l:]) * steps.shape[1]
        rows = max(1, CHUNK // widest)

        linear = steps.dtype.kind == "c" and not steps.real.any()
        linear = linear and bool(abs(steps.imag).max(initial=0) <= np.finfo(dtype).eps ** 1.5)
        onward = self._linear(theta, z, a) if linear else self._onward

        def chunk(some: slice) -> Array:
            i, below = entries[some], np.ones((1, 1), theta.dtype)
            start = array[i, None].astype(dtype)
            h = (start + steps[some]).astype(dtype) - start  # the steps that the dtype of θ takes
            if name == "weights":
                i, j = np.divmod(i, theta.w[l].shape[1])
                below = a[l - 1][j].T
            # h a_j^{l−1}: (B, k, m)
            return onward(theta, l, i, h.T * below[:, None], z, a)

        def several(some: slice) -> Array:
            return np.concatenate([chunk(part) for part in _parts(some, rows)])

        parts = list(_parts(slice(0, len(entries)), rows * CHUNKS))
        # real arithmetic is done so soon that threads would wait for one another
        threads = min(os.cpu_count() or 1, len(parts)) if dtype.kind == "c" and not linear else 1
        return _side_by_side(several, parts, threads)

    def slopes(
        self, theta: Parameters
    ) -> Callable[[Sequence[Mapping[str, Direction]]], FloatArray]:
        """Return the derivatives of C at θ along directions; see `checks.conformance.tangents`."""
        return slopes(self.net, theta, self.x, self.y)

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

    def _linear(self, theta: Parameters, z: list[Array], a: list[Array]) -> Any:
        """Return `_onward` for complex steps: z + ih ż, with what is below h² left out."""
        w, L, h = theta.w, self.net.L, imaginary_step(theta.dtype)
        # the derivative of a^l by z^l, and of C by a^L: complex steps too
        a_prime = [z[0], *(self._sigma(l, z[l] + 1j * h).imag / h for l in range(1, L + 1))]
        C, C_prime = self._mean_cost(a[L][..., None, None])[0, 0], np.empty_like(a[L])
        for node in range(self.net.sizes[L]):
            stepped = a[L].T + 0j
            stepped[:, node] += 1j * h
            C_prime[node] = self._each(stepped, self.y).imag / h / len(self.x)

        def onward(_: Parameters, l: int, i: IntArray, move: Array, *__: list[Array]) -> Any:
            # ȧ_i^l = σ'(z_i^l) ż_i^l: (B, k, m)
            a_dot = a_prime[l][i].T[:, None] * move.imag
            if l == L:
                C_dot = (C_prime[i].T[:, None] * a_dot).sum(axis=0)
                return C + 1j * C_dot.T
            # ȧ^{l+1} = σ'(z^{l+1}) ⊙ w_·i^{l+1} ȧ_i^l: (n_{l+1}, B, k, m)
            moved = a_dot * w[l + 1][:, None, None, i]
            moved *= a_prime[l + 1][..., None, None]
            for above in range(l + 2, L + 1):
                moved = (w[above] @ moved.reshape(len(moved), -1)).reshape(-1, *a_dot.shape)
                moved *= a_prime[above][..., None, None]
            C_dot = np.tensordot(C_prime, moved, axes=2)
            return C + 1j * C_dot.T

        return onward

    def _onward(
        self, theta: Parameters, l: int, i: IntArray, move: Array, z: list[Array], a: list[Array]
    ) -> Array:
        """Return C (m, k), where z_i^l of each row's own i moves by (B, k, m)."""
        w, b, L = theta.w, theta.b, self.net.L
        a_i = self._sigma(l, z[l][i].T[:, None] + move)
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
                # a complex matrix counts as a real one of twice the columns: half the work
                columns = moved.reshape(len(moved), -1).view(theta.dtype)
                moved = (w[above] @ columns).view(a_i.dtype).reshape(-1, *a_i.shape)
                moved += b[above][:, None, None, None]
                moved = self._sigma(above, moved)
        return self._mean_cost(moved)

    def _mean_cost(self, a: Array) -> Array:
        """Return C (m, k) of outputs a^L (n_L, B, k, m)."""
        y = np.asfortranarray(self.y)[:, None, None]  # in memory as a is
        each = self._each(np.moveaxis(a, 0, -1), y)
        # C = (1/B) Σ_samples C(x, y)
        C: Array = np.ascontiguousarray(each.T).mean(axis=-1)
        return C

    def _each(self, a: Array, y: Array) -> Array:
        """Return C of each sample."""
        return COSTS[self.net.cost_name].value(a, y.astype(a.real.dtype))


def restarted(
    cost: Callable[[Any], Any], net: Network, x: ArrayLike, y: ArrayLike, theta: Any
) -> Callable[[Any], Any]:
    """Return the reference's cost in place of one that turns out to be the same, else that one.

    Parameters
    ----------
    cost
        Takes θ, as a `Parameters` or as its weights and biases in a mapping of these two names.
    net, x, y
        What it is expected to be: ``net.cost(theta, x, y)``.
    theta
        The point. It is compared there and, with every entry moved, beside it: to rounding.
    """
    reference = RestartedCost(net, x, y)
    rng = np.random.default_rng(0)
    for distance in (0.0, 2.0**-5):
        point = {
            path: value
            + value.dtype.type(distance) * rng.choice([-1, 1], value.shape).astype(value.dtype)
            for path, value in flatten(theta).items()
        }
        given = {path: value.copy() for path, value in point.items()}
        try:
            own = as_number(cost(rebuild(theta, given)))
            known = np.float64(reference(rebuild(theta, point)).real)
        except Exception:  # whatever it raises, it is not the reference
            return cost
        last_place = np.spacing(abs(_as_parameters(theta).dtype.type(known)))
        if not abs(own - known) <= LAST_PLACES * last_place:
            return cost
        if any((given[path] != value).any() for path, value in point.items()):
            return cost  # it changes its argument, which a check has to see
    return reference


def _as_parameters(theta: Any) -> Parameters:
    if isinstance(theta, Parameters):
        return theta
    return Parameters(theta["weights"], theta["biases"])


def _parts(rows: slice, size: int) -> Iterator[slice]:
    for first in range(rows.start, rows.stop, size):
        yield slice(first, min(first + size, rows.stop))


def _side_by_side(
    function: Callable[[slice], Array], parts: list[slice], threads: int
) -> Iterator[tuple[slice, Array]]:
    """Yield each part with its result, computed in threads: numpy lets others run meanwhile."""
    if threads == 1:
        yield from ((part, function(part)) for part in parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        # numpy's error state belongs to a context, and a context to one thread at a time
        calls = ((part, (copy_context().run, function, part)) for part in parts)
        for part, future in in_order(pool, calls, 2 * threads):
            yield part, future.result()


def _parsed(path: str) -> tuple[str, int]:
    """Return "weights" or "biases" and the layer, as the notes count it."""
    match = re.fullmatch(r"(weights|biases)\[(\d+)\]", path)
    if not match:
        raise ValueError(f"path is {path!r}, wanted an array of Parameters, such as weights[0]")
    return match[1], int(match[2]) + 1
