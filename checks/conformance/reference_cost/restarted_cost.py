"""The reference's cost, with its forward pass restarted at the layer of a moved entry."""

# ruff: noqa: E741, N806 — the notes' letters l, L and C
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backprop import Network, Parameters
from backprop.activations import Array
from backprop.costs import COSTS
from checks._types import FloatArray, IntArray
from checks.conformance.reference_cost.directional_derivatives import slopes
from checks.evaluation.cost_value import as_number
from checks.evaluation.step_sizes import imaginary_step
from checks.parameters.claims import flatten
from checks.parameters.nesting import rebuild
from checks.parameters.random_directions import Direction

__all__ = ["RestartedCost", "restarted"]

CHUNK = 2**15  # numbers of one array: a few of them stay in a core's own cache
# How closely a cost must follow the reference to be it, in last places: sums in another order, a
# mean of sums for a sum of means. Another cost, or another precision inside, is further off.
LAST_PLACES = 64


class RestartedCost:
    """The cost of a network on a batch, of many single moves at once.

    Moving w_ij^l by h moves z_i^l by h a_j^{l−1}, and nothing below it: the pass begins there, for
    all moves together, and is real or complex as they are. Beside a complex step the square of its
    h vanishes: what a move does to C is its ż_i^l times what a unit of z_i^l does, and one pass for
    every node gives all entries. There only σ and the cost are called with complex numbers. The
    last pass from which it restarted is kept, while the point is the same.

    Parameters
    ----------
    net : Network
    x : (B, n_0) real
    y : (B, n_L) real
    """

    analytic = True  # see `checks.evaluation.pointwise.Evaluations`

    def __init__(self, net: Network, x: ArrayLike, y: ArrayLike) -> None:
        self.net = net
        self.x = np.asarray(x).reshape(-1, net.sizes[0])
        self.y = np.asarray(y).reshape(-1, net.sizes[-1])
        self._last: _Point | None = None

    def __reduce__(self) -> Any:
        return RestartedCost, (self.net, self.x, self.y)

    def __call__(self, theta: Any) -> float | complex:
        """Return C, by a whole forward pass.

        θ is a `Parameters`, or its weights and biases in a mapping of these two names.
        """
        theta = _as_parameters(theta)
        if theta.dtype.kind == "f" and sum(w.size for w in theta.weights) <= CHUNK:
            # little to keep, for single moves from there, which may be what is asked for next
            return self._point(theta).C.item()  # type: ignore[no-any-return]
        _, a = self.layers(theta)
        return self._costs(a[-1][None])[0].item()  # type: ignore[no-any-return]

    def at_points(self, theta: Any) -> Array:
        """Return C (S,) of S points, along a leading axis of every array of θ."""
        _, a = self.layers(_as_parameters(theta))
        return self._costs(a[-1])

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
        is_complex = steps.dtype.kind == "c"
        dtype = np.result_type(theta.dtype, np.complex64) if is_complex else theta.dtype
        point = self._point(theta)
        z, a = point.z, point.a
        if is_complex and _vanishes_squared(steps, dtype):
            by_node = point.slopes_by_node(l)
            # ∂C/∂w_ij^l = Σ_samples ∂C/∂z_i^l a_j^{l−1}, ∂C/∂b_i^l = Σ_samples ∂C/∂z_i^l
            slopes = by_node @ a[l - 1].T if name == "weights" else by_node.sum(axis=1)
            costs = slopes.reshape(-1)[entries, None] * steps + point.C
            yield slice(0, len(entries)), costs.astype(dtype, copy=False)
            return

        rows = max(1, CHUNK // (len(self.x) * max(self.net.sizes[l:]) * steps.shape[1]))
        for some in _parts(len(entries), rows):
            i, below = entries[some], np.ones((1, 1), theta.dtype)
            start = array[i, None].astype(dtype)
            h = (start + steps[some]).astype(dtype) - start  # the steps that the dtype of θ takes
            if name == "weights":
                i, j = np.divmod(i, theta.w[l].shape[1])
                below = a[l - 1][j].T
            # h a_j^{l−1}: (B, k, m)
            yield some, self._onward(theta, l, i, h.T * below[:, None], z, a)

    def slopes(
        self, theta: Parameters
    ) -> Callable[[Sequence[Mapping[str, Direction]]], FloatArray]:
        """Return the derivatives of C at θ along directions; see `directional_derivatives`."""
        return slopes(self.net, theta, self.x, self.y)

    def _point(self, theta: Parameters) -> "_Point":
        """Return the pass at θ: the last one, while θ and the batch are what they were."""
        point = self._last  # which another thread may replace
        if point is None or not point.is_at(self, theta):
            point = self._last = _Point(self, theta)
        return point

    def layers(self, theta: Parameters) -> tuple[list[Array], list[Array]]:
        """Return z and a (..., n_l, B) of the point, counted as in the notes; there is no z^0."""
        x = self.x.astype(theta.dtype, copy=False).T
        z, a = [x], [x]
        for l in range(1, self.net.L + 1):
            z.append(theta.w[l] @ a[l - 1])
            z[l] += theta.b[l][..., None]
            a.append(self.net.sigma(l).value(z[l]))
        return z, a

    def _onward(
        self, theta: Parameters, l: int, i: IntArray, move: Array, z: list[Array], a: list[Array]
    ) -> Array:
        """Return C (m, k), where z_i^l of each row's own i moves by (B, k, m)."""
        w, b, L = theta.w, theta.b, self.net.L
        a_i = self.net.sigma(l).value(z[l][i].T[:, None] + move)
        if l == L:
            moved = np.empty((self.net.sizes[L], *a_i.shape), a_i.dtype)
            moved[...] = a[L][..., None, None]
            moved[i, :, :, np.arange(len(i))] = a_i.transpose(2, 0, 1)
        else:
            # z^{l+1} + w_·i^{l+1} Δa_i^l: (n_{l+1}, B, k, m)
            moved = (a_i - a[l][i].T[:, None]) * w[l + 1][:, None, None, i]
            moved += z[l + 1][..., None, None]
            moved = self.net.sigma(l + 1).value(moved)
            for above in range(l + 2, L + 1):
                # a complex matrix counts as a real one of twice the columns: half the work
                columns = moved.reshape(len(moved), -1).view(theta.dtype)
                moved = (w[above] @ columns).view(a_i.dtype).reshape(-1, *a_i.shape)
                moved += b[above][:, None, None, None]
                moved = self.net.sigma(above).value(moved)
        return self.mean_cost(moved)

    def _costs(self, a: Array) -> Array:
        """Return C (S,) of outputs a^L (S, n_L, B)."""
        count, a = len(a), a.transpose(1, 2, 0)[:, :, None]
        if count == 1:
            # twice, so that sums are taken in the order of many moves: their noise is that of C
            a = np.repeat(a, 2, axis=-1)
        return self.mean_cost(a)[:count, 0]

    def mean_cost(self, a: Array) -> Array:
        """Return C (m, k) of outputs a^L (n_L, B, k, m)."""
        y = np.asfortranarray(self.y)[:, None, None]  # in memory as a is
        each = self.each(a.transpose(1, 2, 3, 0), y)
        # C = (1/B) Σ_samples C(x, y)
        C: Array = np.ascontiguousarray(each.T).sum(axis=-1) / len(each)
        return C

    def each(self, a: Array, y: Array) -> Array:
        """Return C of each sample."""
        return COSTS[self.net.cost_name].value(a, y.astype(a.real.dtype, copy=False))


class _Point:
    """The forward pass at a point, and what its nodes do to C."""

    def __init__(self, cost: RestartedCost, theta: Parameters) -> None:
        self.cost = RestartedCost(cost.net, cost.x.copy(), cost.y.copy())
        self.theta = Parameters._unchecked(map(np.copy, theta.weights), map(np.copy, theta.biases))
        self.z, self.a = cost.layers(theta)
        self.C = cost._costs(self.a[-1][None])[0]
        self._slopes: dict[int, Array] = {}

    def is_at(self, cost: RestartedCost, theta: Parameters) -> bool:
        """Whether θ, and the batch, are what they were."""
        then = (*self.theta.weights, *self.theta.biases, self.cost.x, self.cost.y)
        now = (*theta.weights, *theta.biases, cost.x, cost.y)
        return theta.dtype == self.theta.dtype and all(
            one.tobytes() == other.tobytes() for one, other in zip(then, now, strict=True)
        )

    @cached_property
    def a_prime(self) -> list[Array]:
        """The derivatives of a^l by z^l, by complex steps; there is none of layer 0."""
        h, net = imaginary_step(self.theta.dtype), self.cost.net
        layers = range(1, net.L + 1)
        return [self.a[0], *(net.sigma(l).value(self.z[l] + 1j * h).imag / h for l in layers)]

    @cached_property
    def C_prime(self) -> Array:  # noqa: N802
        """The derivatives (n_L, B) of C by a^L, by complex steps."""
        a, h, n_L = self.a[-1], imaginary_step(self.theta.dtype), self.cost.net.sizes[-1]
        C_prime, units = np.empty_like(a), np.eye(n_L, dtype=a.dtype)
        for nodes in _parts(n_L, max(1, CHUNK // a.size)):
            stepped = a.T + 1j * h * units[nodes, None]
            C_prime[nodes] = self.cost.each(stepped, self.cost.y).imag / h / a.shape[1]
        return C_prime

    def slopes_by_node(self, l: int) -> Array:
        """Return, of each node and sample (n_l, B), what a unit of z_i^l adds to C."""
        if l not in self._slopes:
            self._slopes[l] = self._pushed_up(l)
        return self._slopes[l]

    def _pushed_up(self, l: int) -> Array:
        w, L, n, B = self.theta.w, self.cost.net.L, self.cost.net.sizes, self.a[0].shape[1]
        if l == L:
            return self.C_prime * self.a_prime[L]
        slopes = np.empty_like(self.a[l])
        for nodes in _parts(n[l], max(1, CHUNK // (B * max(n[l + 1 :])))):
            # ȧ^{l+1} = σ'(z^{l+1}) ⊙ w_·i^{l+1} ȧ_i^l, ȧ_i^l = σ'(z_i^l): (n_{l+1}, B, nodes)
            a_dot = w[l + 1][:, None, nodes] * self.a_prime[l][nodes].T
            a_dot *= self.a_prime[l + 1][..., None]
            for above in range(l + 2, L + 1):
                # ȧ^k = σ'(z^k) ⊙ w^k ȧ^{k−1}
                a_dot = (w[above] @ a_dot.reshape(len(a_dot), -1)).reshape(n[above], B, -1)
                a_dot *= self.a_prime[above][..., None]
            slopes[nodes] = (self.C_prime[..., None] * a_dot).sum(axis=0).T
        return slopes


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
    return Parameters._unchecked(theta["weights"], theta["biases"])


def _parts(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _vanishes_squared(steps: Any, dtype: Any) -> bool:
    """Whether complex steps are imaginary, and so small that their squares vanish beside 1."""
    largest = np.abs(steps.imag).max(initial=0)
    return not steps.real.any() and bool(largest <= np.finfo(dtype).eps ** 1.5)


@cache
def _parsed(path: str) -> tuple[str, int]:
    """Return "weights" or "biases" and the layer, as the notes count it."""
    match = re.fullmatch(r"(weights|biases)\[(\d+)\]", path)
    if not match:
        raise ValueError(f"path is {path!r}, wanted an array of Parameters, such as weights[0]")
    return match[1], int(match[2]) + 1
