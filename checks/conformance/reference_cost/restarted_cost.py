"""The reference's cost, whose forward pass restarts at the layer of a moved entry."""

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

CHUNK = 2**15  # numbers in a temporary array: a few such arrays fit into one core's cache
# A cost is taken for the reference's if the values differ by at most this many units in the last
# place. A sum in another order differs by less; another cost, or float32 inside, by far more.
MAX_LAST_PLACES = 64
ONE = 1.0  # ONE / 10 depends on the direction of rounding


class RestartedCost:
    """The cost of a network on a batch, evaluated for many moved entries at once.

    Moving w_ij^l by h moves z_i^l by h a_j^{l−1} and changes nothing below layer l. So the forward
    pass starts there, for all moved entries together, in real or complex numbers as their steps
    are. For a complex step so small that h² vanishes beside 1, C changes in proportion to z_i^l.
    Then one derivative of C by each z_i^l gives the costs of all entries, and only σ and the cost
    are called with complex numbers. The latest forward pass in each dtype is kept until θ or the
    batch changes.

    Parameters
    ----------
    net : Network
    x, y : (B, n_0) and (B, n_L) real
        B samples, one per row.
    """

    analytic = True  # the cost accepts complex θ, see `pointwise.Evaluations`

    def __init__(self, net: Network, x: ArrayLike, y: ArrayLike) -> None:
        self.net = net
        self.x = np.asarray(x).reshape(-1, net.sizes[0])
        self.y = np.asarray(y).reshape(-1, net.sizes[-1])
        self._latest: dict[np.dtype[Any], _ForwardPass] = {}

    def __reduce__(self) -> Any:
        return RestartedCost, (self.net, self.x, self.y)

    def __call__(self, theta: Any) -> float | complex:
        """Return C at θ, a `Parameters` or a mapping with the keys weights and biases."""
        theta = _as_parameters(theta)
        if theta.dtype.kind == "f" and sum(w.size for w in theta.weights) <= CHUNK:
            # this forward pass is small and is kept: the next call may move entries at the same θ
            return self._forward_pass(theta).C.item()  # type: ignore[no-any-return]
        _, a = self.layers(theta)
        return self._costs(a[-1][None])[0].item()  # type: ignore[no-any-return]

    def at_points(self, theta: Any) -> Array:
        """Return C (S,) at S points, which are stacked along the first axis of every array of θ."""
        _, a = self.layers(_as_parameters(theta))
        return self._costs(a[-1])

    def at_entries(
        self, theta: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield C for each entry moved on its own, in chunks of bounded memory.

        Parameters
        ----------
        theta
            The point, as in a call.
        path : str
            ``weights[l − 1]`` or ``biases[l − 1]``.
        entries : (m,) int
            Flat (row-major) indices into the array at that path.
        steps : (m, k) float or complex
            The k steps by which each of the m entries is moved.

        Yields
        ------
        slice, ndarray
            Rows of `steps`, and their costs in the dtype of the moved parameters.
        """
        theta = _as_parameters(theta)
        name, l = _parse(path)
        array = getattr(theta, name)[l - 1].reshape(-1)
        is_complex = steps.dtype.kind == "c"
        dtype = np.result_type(theta.dtype, np.complex64) if is_complex else theta.dtype
        forward_pass = self._forward_pass(theta)
        z, a = forward_pass.z, forward_pass.a
        if is_complex and _squares_vanish(steps, dtype):
            costs = forward_pass.slopes(name, l)[entries, None] * steps + forward_pass.C
            yield slice(0, len(entries)), costs.astype(dtype, copy=False)
            return

        rows = max(1, CHUNK // (len(self.x) * max(self.net.sizes[l:]) * steps.shape[1]))
        for chunk in _chunks(len(entries), rows):
            i, a_below = entries[chunk], np.ones((1, 1), theta.dtype)
            start = array[i, None].astype(dtype)
            h = (start + steps[chunk]).astype(dtype) - start  # the step left once θ + h is rounded
            if name == "weights":
                i, j = np.divmod(i, theta.w[l].shape[1])
                a_below = a[l - 1][j].T
            # z_i^l moves by h a_j^{l−1}, for a bias by h. The moves are (B, k, m), for a bias
            # (1, k, m): B samples, k steps, m entries
            yield chunk, self._costs_of_moves(theta, l, i, h.T * a_below[:, None], z, a)

    def complex_steps(self, theta: Any, steps: Mapping[str, Any]) -> dict[str, Array]:
        """Return C (size,), by path, for each entry of an array moved by ih on its own.

        Parameters
        ----------
        theta
            The point, as in a call.
        steps : dict of str to float
            h, by path. Its square must vanish beside 1.
        """
        forward_pass, costs = self._forward_pass(_as_parameters(theta)), {}
        for path, h in steps.items():
            costs[path] = forward_pass.slopes(*_parse(path)) * (1j * h) + forward_pass.C
        return costs

    def slopes(
        self, theta: Parameters
    ) -> Callable[[Sequence[Mapping[str, Direction]]], FloatArray]:
        """Return a function that takes directions and returns the derivatives of C along them."""
        return slopes(self.net, theta, self.x, self.y)

    def _forward_pass(self, theta: Parameters) -> "_ForwardPass":
        """Return the forward pass at θ: the latest one if it still holds, else a new one."""
        if type(theta.weights[0]) is not np.ndarray:
            return _ForwardPass(self, theta)  # a subclass may round in its own way
        latest = self._latest.get(theta.dtype)  # read once: another thread may replace it
        if latest is None or not latest.is_at(self, theta):
            latest = self._latest[theta.dtype] = _ForwardPass(self, theta)
        return latest

    def layers(self, theta: Parameters) -> tuple[list[Array], list[Array]]:
        """Return z^0 … z^L and a^0 … a^L, each (..., n_l, B); x fills the place of z^0."""
        x = self.x.astype(theta.dtype, copy=False).T
        z, a = [x], [x]
        for l in range(1, self.net.L + 1):
            z.append(theta.w[l] @ a[l - 1])
            z[l] += theta.b[l][..., None]
            a.append(self.net.sigma(l).value(z[l]))
        return z, a

    def _costs_of_moves(
        self, theta: Parameters, l: int, i: IntArray, move: Array, z: list[Array], a: list[Array]
    ) -> Array:
        """Return C (m, k) of m entries, each moved by k steps.

        The entry's node is in `i` (m,); `move` (B, k, m) is how far the z_i^l of a sample moves.
        """
        w, b, L = theta.w, theta.b, self.net.L
        a_i = self.net.sigma(l).value(z[l][i].T[:, None] + move)
        if l == L:
            moved = np.empty((self.net.sizes[L], *a_i.shape), a_i.dtype)
            moved[...] = a[L][..., None, None]
            moved[i, :, :, np.arange(len(i))] = a_i.transpose(2, 0, 1)
        else:
            # z^{l+1} + (column i of w^{l+1}) Δa_i^l, (n_{l+1}, B, k, m): a_i^l moves by Δa_i^l
            moved = (a_i - a[l][i].T[:, None]) * w[l + 1][:, None, None, i]
            moved += z[l + 1][..., None, None]
            moved = self.net.sigma(l + 1).value(moved)
            for above in range(l + 2, L + 1):
                # w is real: complex numbers, seen as pairs of real columns, take half the work
                columns = moved.reshape(len(moved), -1).view(theta.dtype)
                moved = (w[above] @ columns).view(a_i.dtype).reshape(-1, *a_i.shape)
                moved += b[above][:, None, None, None]
                moved = self.net.sigma(above).value(moved)
        return self.mean_cost(moved)

    def _costs(self, a: Array) -> Array:
        """Return C (S,) from outputs a^L (S, n_L, B)."""
        count, a = len(a), a.transpose(1, 2, 0)[:, :, None]
        if count == 1:
            # numpy sums a single point in another order than several: a second copy of the point
            # gives C here the same rounding error as where entries are moved
            a = np.repeat(a, 2, axis=-1)
        return self.mean_cost(a)[:count, 0]

    def mean_cost(self, a: Array) -> Array:
        """Return C (m, k) from outputs a^L (n_L, B, k, m)."""
        # y in a's memory order, nodes outermost: otherwise numpy may sum in another order
        y = np.asfortranarray(self.y)[:, None, None]
        costs = self.costs_by_sample(a.transpose(1, 2, 3, 0), y)
        # C = (1/B) Σ_samples C(x, y)
        C: Array = np.ascontiguousarray(costs.T).sum(axis=-1) / len(costs)
        return C

    def costs_by_sample(self, a: Array, y: Array) -> Array:
        """Return C of each sample."""
        return COSTS[self.net.cost_name].value(a, y.astype(a.real.dtype, copy=False))


class _ForwardPass:
    """The forward pass at a point, and the derivatives of C by the z of every node."""

    def __init__(self, cost: RestartedCost, theta: Parameters) -> None:
        self.tenth = ONE / 10
        self.numbers = _numbers(cost, theta)
        self.cost = RestartedCost(cost.net, cost.x.copy(), cost.y.copy())
        self.theta = Parameters._unchecked(map(np.copy, theta.weights), map(np.copy, theta.biases))
        self.z, self.a = cost.layers(theta)
        self.C = cost._costs(self.a[-1][None])[0]
        self._slopes: dict[int, Array] = {}

    def is_at(self, cost: RestartedCost, theta: Parameters) -> bool:
        """Whether θ, the batch and the direction of rounding are those of this forward pass."""
        same_batch = self.tenth == ONE / 10
        return same_batch and bool((self.numbers == _numbers(cost, theta)).all())

    @cached_property
    def a_prime(self) -> list[Array]:
        """The derivatives of a^l by z^l, by complex steps; a^0 fills the place of layer 0."""
        h, net = imaginary_step(self.theta.dtype), self.cost.net
        layers = range(1, net.L + 1)
        return [self.a[0], *(net.sigma(l).value(self.z[l] + 1j * h).imag / h for l in layers)]

    @cached_property
    def C_prime(self) -> Array:  # noqa: N802
        """The derivatives (n_L, B) of C by a^L, by complex steps."""
        a, h, n_L = self.a[-1], imaginary_step(self.theta.dtype), self.cost.net.sizes[-1]
        C_prime, units = np.empty_like(a), np.eye(n_L, dtype=a.dtype)
        for nodes in _chunks(n_L, max(1, CHUNK // a.size)):
            stepped = a.T + 1j * h * units[nodes, None]
            C_prime[nodes] = self.cost.costs_by_sample(stepped, self.cost.y).imag / h / a.shape[1]
        return C_prime

    def slopes(self, name: str, l: int) -> Array:
        """Return the derivatives of C by the weights or the biases of a layer, (size,)."""
        by_node = self.slopes_by_node(l)
        # ∂C/∂w_ij^l = Σ_samples ∂C/∂z_i^l a_j^{l−1}, ∂C/∂b_i^l = Σ_samples ∂C/∂z_i^l
        slopes = by_node @ self.a[l - 1].T if name == "weights" else by_node.sum(axis=1)
        return slopes.reshape(-1)

    def slopes_by_node(self, l: int) -> Array:
        """Return the derivatives of C by z_i^l of each node and sample, (n_l, B)."""
        if l not in self._slopes:
            self._slopes[l] = self._forward_mode(l)
        return self._slopes[l]

    def _forward_mode(self, l: int) -> Array:
        """Compute `slopes_by_node` by carrying ∂a/∂z_i^l up from layer l to the output."""
        w, L, n, B = self.theta.w, self.cost.net.L, self.cost.net.sizes, self.a[0].shape[1]
        if l == L:
            return self.C_prime * self.a_prime[L]
        slopes = np.empty_like(self.a[l])
        for nodes in _chunks(n[l], max(1, CHUNK // (B * max(n[l + 1 :])))):
            # Let ȧ be ∂a/∂z_i^l, for each node i of the chunk. Then ȧ_i^l = σ'(z_i^l), and above it
            # ȧ^{l+1} = σ'(z^{l+1}) ⊙ (column i of w^{l+1}) ȧ_i^l, shape (n_{l+1}, B, nodes)
            a_dot = w[l + 1][:, None, nodes] * self.a_prime[l][nodes].T
            a_dot *= self.a_prime[l + 1][..., None]
            for above in range(l + 2, L + 1):
                # ȧ^k = σ'(z^k) ⊙ (w^k ȧ^{k−1}) in each layer k above
                a_dot = (w[above] @ a_dot.reshape(len(a_dot), -1)).reshape(n[above], B, -1)
                a_dot *= self.a_prime[above][..., None]
            slopes[nodes] = (self.C_prime[..., None] * a_dot).sum(axis=0).T
        return slopes


def restarted(
    cost: Callable[[Any], Any], net: Network, x: ArrayLike, y: ArrayLike, theta: Any
) -> Callable[[Any], Any]:
    """Return a `RestartedCost` in place of a cost that is equal to it; any other cost unchanged.

    Parameters
    ----------
    cost
        Takes θ, a `Parameters` or a mapping with the keys weights and biases.
    net, x, y
        It is expected to be ``net.cost(theta, x, y)``.
    theta
        The two costs have to agree, up to rounding, there and at a point where all entries are
        moved.
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
            value = as_number(cost(rebuild(theta, given)))
            expected = np.float64(reference(rebuild(theta, point)).real)
        except Exception:  # a cost that raises is not the reference's
            return cost
        last_place = np.spacing(abs(_as_parameters(theta).dtype.type(expected)))
        if not abs(value - expected) <= MAX_LAST_PLACES * last_place:
            return cost
        if any((given[path] != value).any() for path, value in point.items()):
            return cost  # the cost changes its argument, and the check has to see that
    return reference


def _as_parameters(theta: Any) -> Parameters:
    if isinstance(theta, Parameters):
        return theta
    return Parameters._unchecked(theta["weights"], theta["biases"])


def _numbers(cost: RestartedCost, theta: Parameters) -> Array:
    """Return all that the cost depends on in one array, which is compared in one step."""
    arrays = (*theta.weights, *theta.biases, cost.x, cost.y)
    return np.concatenate([array.reshape(-1) for array in arrays])


def _chunks(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _squares_vanish(steps: Any, dtype: Any) -> bool:
    """Whether all steps are imaginary, and so small that their squares vanish beside 1."""
    largest = np.abs(steps.imag).max(initial=0)
    return not steps.real.any() and bool(largest <= np.finfo(dtype).eps ** 1.5)


@cache
def _parse(path: str) -> tuple[str, int]:
    """Return "weights" or "biases", and the layer l as the notes count it."""
    match = re.fullmatch(r"(weights|biases)\[(\d+)\]", path)
    if not match:
        raise ValueError(f"path is {path!r}, wanted an array of Parameters, such as weights[0]")
    return match[1], int(match[2]) + 1
