"""Exact costs and gradients: the textbook's formulas in ball arithmetic, with precision for care.

Written without backprop's forms, activations and costs, so that agreement with them is evidence. A
ball holds the true value for certain; whatever comes out blurred (by saturation, cancellation, or
a relu whose side is not clear) is computed again with twice the bits.
"""

from collections.abc import Callable, Sequence

import numpy as np
from flint import arb, arb_mat, ctx

from backprop import Network, Parameters

__all__ = ["exact_cost", "exact_gradient", "exact_sigma"]

BITS = 84  # 1e-25
ZERO = arb(2) ** -1080  # below this every float64 is 0


def exact_gradient(net: Network, theta: Parameters, x, y) -> tuple[list, list]:
    """Return ∂C/∂w^l and ∂C/∂b^l, l = 1 … L: longdouble arrays, true to all digits of a float64.

    The cost is the one in exact arithmetic, at the floats given. `theta` is real; `x` and `y` are
    first rounded to its dtype, as the network does.
    """
    arrays = [a for pair in zip(theta.weights, theta.biases, strict=True) for a in pair]
    flat = _certain(lambda: _gradient(net, theta, x, y))
    cuts = np.cumsum([a.size for a in arrays])[:-1]
    shaped = [v.reshape(a.shape) for v, a in zip(np.split(flat, cuts), arrays, strict=True)]
    return shaped[::2], shaped[1::2]


def exact_cost(net: Network, theta: Parameters, x, y) -> np.longdouble:
    """Return C in exact arithmetic, at the floats given."""
    return _certain(lambda: _cost(net, theta, x, y))[0]


def exact_sigma(name: str, z) -> tuple[np.ndarray, np.ndarray]:
    """Return σ(z) and σ'(z) of the named activation, longdouble arrays of the shape of `z`."""
    balls = [_ball(v) for v in np.ravel(z)]
    both = _certain(lambda: [f(v) for f in SIGMA[name] for v in balls])
    return tuple(both.reshape(2, *np.shape(z)))


def _certain(compute: Callable[[], Sequence[arb]]) -> np.ndarray:
    """Run `compute` with more and more bits, until each ball is tight or surely rounds to 0."""
    bits, before = 200, ctx.prec
    try:
        while bits <= 1 << 17:
            ctx.prec = bits
            balls = compute()
            if all(v.rel_accuracy_bits() >= BITS or abs(v) < ZERO for v in balls):
                return np.array([_longdouble(v) for v in balls])
            bits *= 2
    finally:
        ctx.prec = before
    raise ArithmeticError(f"not certain with {bits // 2} bits: is a relu's input an exact tie?")


def _longdouble(v: arb) -> np.longdouble:
    high = float(v)
    return np.longdouble(high) + np.longdouble(float(v - arb(high)))


def _ball(v) -> arb:
    high = float(v)
    return arb(high) + arb(float(v - np.longdouble(high)) if np.isfinite(high) else 0)


def _matrix(array) -> arb_mat:
    return arb_mat([[_ball(v) for v in row] for row in array])


def _map(f: Callable[..., arb], *matrices: arb_mat) -> arb_mat:
    rows, columns = matrices[0].nrows(), matrices[0].ncols()
    entries = zip(*(m.entries() for m in matrices), strict=True)
    return arb_mat(rows, columns, [f(*e) for e in entries])


def _side(z: arb, positive: arb) -> arb:
    """`positive` where z > 0, 0 where z ≤ 0, and no answer where that is not certain."""
    return positive if z > 0 else arb(0) if z <= 0 else arb("nan")


def _logistic(z: arb) -> arb:
    return 1 / (1 + (-z).exp())


SIGMA = {  # σ and σ'
    "logistic": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "tanh": (lambda z: z.tanh(), lambda z: 1 / z.cosh() ** 2),
    "relu": (lambda z: _side(z, z), lambda z: _side(z, arb(1))),
    "identity": (lambda z: z, lambda z: arb(1)),
}


def _total(terms) -> arb:
    return sum(terms, arb(0))


def _softmax_slope(a, y):
    e = [v.exp() for v in a]
    return [_total(y) * e_i / _total(e) - y_i for e_i, y_i in zip(e, y, strict=True)]


COST = {  # C and ∂C/∂a^L of one sample
    "mean_squared": (
        lambda a, y: _total((p - q) ** 2 for p, q in zip(a, y, strict=True)) / len(a),
        lambda a, y: [2 * (p - q) / len(a) for p, q in zip(a, y, strict=True)],
    ),
    "half_squared": (
        lambda a, y: _total((p - q) ** 2 for p, q in zip(a, y, strict=True)) / 2,
        lambda a, y: [p - q for p, q in zip(a, y, strict=True)],
    ),
    "cross_entropy": (
        lambda a, y: _total((1 + p.exp()).log() - q * p for p, q in zip(a, y, strict=True)),
        lambda a, y: [_logistic(p) - q for p, q in zip(a, y, strict=True)],
    ),
    "softmax_cross_entropy": (
        lambda a, y: (
            _total(y) * _total(p.exp() for p in a).log()
            - _total(q * p for p, q in zip(a, y, strict=True))
        ),
        _softmax_slope,
    ),
}


def _forward(net: Network, theta: Parameters, x, y):
    """Return w, z, a (lists of matrices, one sample per column), σ of each layer, and y."""
    x = np.atleast_2d(np.asarray(x, theta.dtype))
    y = [[_ball(v) for v in row] for row in np.atleast_2d(np.asarray(y, theta.dtype))]
    sigma = [SIGMA[net.activation]] * (len(net.sizes) - 1)
    if "cross_entropy" in net.cost_name:
        sigma[-1] = SIGMA["identity"]
    ones = arb_mat(1, len(x), [1] * len(x))
    w, z, a = [_matrix(v) for v in theta.weights], [], [_matrix(x.T)]
    for w_l, b_l, (value, _) in zip(w, theta.biases, sigma, strict=True):
        z.append(w_l * a[-1] + _matrix(b_l[:, None]) * ones)
        a.append(_map(value, z[-1]))
    return w, z, a, sigma, y


def _cost(net: Network, theta: Parameters, x, y) -> list[arb]:
    *_, a, _, y = _forward(net, theta, x, y)
    value, _ = COST[net.cost_name]
    columns = a[-1].transpose().tolist()
    return [_total(value(p, q) for p, q in zip(columns, y, strict=True)) / len(y)]


def _gradient(net: Network, theta: Parameters, x, y) -> list[arb]:
    """Return ∂C/∂w^1, ∂C/∂b^1, … as one list, by reverse accumulation."""
    w, z, a, sigma, y = _forward(net, theta, x, y)
    _, slope = COST[net.cost_name]
    columns = a[-1].transpose().tolist()
    upstream = arb_mat(
        [[v / len(y) for v in slope(p, q)] for p, q in zip(columns, y, strict=True)]
    ).transpose()
    ones = arb_mat(len(y), 1, [1] * len(y))
    blocks = []
    for w_l, z_l, a_below, (_, sigma_slope) in zip(
        w[::-1], z[::-1], a[-2::-1], sigma[::-1], strict=True
    ):
        at_z = _map(lambda u, v, f=sigma_slope: u * f(v), upstream, z_l)
        blocks.append((at_z * a_below.transpose()).entries() + (at_z * ones).entries())
        upstream = w_l.transpose() * at_z
    return [v for block in blocks[::-1] for v in block]
