"""numpy as exact arithmetic: a cost's own source, run with this `np`, gives its exact derivatives.

Each number is a ball that surely holds the true value (python-flint), with a ball for each slope.
Only the derivatives of the primitives are written here; the chain rule does the rest. At a tie the
slope of maximum(a, b) along a direction is the larger of theirs, so a kink has two: along ± it.
"""

from contextlib import suppress
from functools import reduce
from itertools import count
from math import cos, prod
from types import SimpleNamespace

import numpy as np
from flint import arb, ctx

__all__ = ["NAMESPACE", "Dual", "second_slopes", "slopes"]

BITS = 90  # the accuracy asked of each slope: a relative radius below 1e-27
MOST_BITS = 1 << 13
# Second derivatives are differences of exact slopes at x ± 2^-STEP. Of SECOND_BITS, those that are
# lost leave more than a float has. They are off by about 2^(-2 STEP) of a third derivative.
STEP, SECOND_BITS = 200, 1600
ZERO = arb(2) ** -1080  # a smaller slope is 0 in float64, and may be less accurate


class Ties:
    """How ties are decided in the pass under way, and whether one was met."""

    met = False
    one_side = False  # all are decided by one direction, so that the slopes are a gradient
    by_force = False  # two balls that still overlap with MOST_BITS are a tie


class UndecidedError(Exception):
    """More bits are needed to tell which of two numbers is larger."""


class Dual:
    """A ball and its slopes along directions {number: ball}; a direction that is absent has 0."""

    __slots__ = ("slopes", "value")

    def __init__(self, value, slopes=None):
        self.value, self.slopes = arb(value), slopes or {}

    def along(self, value, slope):
        """Return f(self), from the value of f there and its slope."""
        return Dual(value, {i: slope * d for i, d in self.slopes.items()})

    def __add__(self, other):
        other = _dual(other)
        slopes = dict(self.slopes)
        for i, d in other.slopes.items():
            slopes[i] = slopes[i] + d if i in slopes else d
        return Dual(self.value + other.value, slopes)

    def __mul__(self, other):
        other = _dual(other)
        value = self.value * other.value
        return Dual(value, (self.along(0, other.value) + other.along(0, self.value)).slopes)

    def __neg__(self):
        return self.along(-self.value, arb(-1))

    def __sub__(self, other):
        return self + -_dual(other)

    def __truediv__(self, other):
        return self * _dual(other).reciprocal()

    def __pow__(self, n):
        return self.along(_power(self.value, n), n * _power(self.value, n - 1))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return _dual(other) - self

    def __rtruediv__(self, other):
        return _dual(other) / self

    def __rpow__(self, base):
        value = arb(base) ** self.value
        return self.along(value, value * arb(base).log())

    def reciprocal(self):
        return self.along(1 / self.value, -1 / (self.value * self.value))

    def maximum(self, other):
        """Return the larger; at a tie, direction by direction."""
        if self is other:
            return self
        other = _dual(other)
        gap = self.value - other.value
        if gap > 0 or gap < 0:
            return self if gap > 0 else other
        if not (gap.is_zero() or (Ties.by_force and gap.contains(0))):
            raise UndecidedError
        Ties.met = True
        if Ties.one_side:
            return self if _generic(self) >= _generic(other) else other
        directions = self.slopes.keys() | other.slopes.keys()
        pairs = {i: [s.slopes.get(i, arb(0)) for s in (self, other)] for i in directions}
        return Dual(self.value, {i: a.max(b) for i, (a, b) in pairs.items()})

    def __abs__(self):
        return self.maximum(-self)

    def item(self):
        """Return itself, as numpy's scalars do."""
        return self


def _dual(v):
    return v if isinstance(v, Dual) else Dual(v)


def _power(v, n):
    if n < 0 or n != int(n):  # not defined for balls that contain 0
        return v ** arb(n)
    return prod([v] * int(n), start=arb(1))


def _generic(dual):
    return float(sum((cos(i + 1) * d for i, d in dual.slopes.items()), arb(0)))


PRIMITIVES = {  # value, slope at v
    "exp": (arb.exp, arb.exp),
    "expm1": (arb.expm1, arb.exp),
    "log": (arb.log, lambda v: 1 / v),
    "log1p": (arb.log1p, lambda v: 1 / (1 + v)),
    "sqrt": (arb.sqrt, lambda v: 1 / (2 * v.sqrt())),
    "sin": (arb.sin, arb.cos),
    "cos": (arb.cos, lambda v: -v.sin()),
    "tan": (arb.tan, lambda v: v.sec() ** 2),
    "sinh": (arb.sinh, arb.cosh),
    "cosh": (arb.cosh, arb.sinh),
    "tanh": (arb.tanh, lambda v: v.sech() ** 2),
    "arctan": (arb.atan, lambda v: 1 / (1 + v * v)),
    "arcsinh": (arb.asinh, lambda v: 1 / (1 + v * v).sqrt()),
    "erf": (arb.erf, lambda v: 2 * (-v * v).exp() / arb.pi().sqrt()),
}


def _elementwise(value, slope):
    return np.frompyfunc(lambda z: z.along(value(z.value), slope(z.value)), 1, 1)


def _logaddexp(a, b):
    a, b = _dual(a), _dual(b)
    return FUNCTIONS["log"](FUNCTIONS["exp"](a) + FUNCTIONS["exp"](b))


FUNCTIONS = {name: _elementwise(*pair) for name, pair in PRIMITIVES.items()}
_maximum = np.frompyfunc(lambda a, b: _dual(a).maximum(b), 2, 1)
NAMESPACE = {  # what a cost's source may name
    "np": SimpleNamespace(
        **FUNCTIONS,
        **{n: getattr(np, n) for n in ("arange", "cumsum", "dot", "prod", "ravel", "roll", "sum")},
        abs=np.frompyfunc(abs, 1, 1),
        asarray=lambda z: z,
        array=lambda z: np.array(z, object),
        diag=lambda z: z,
        float32=object,  # casts keep the balls
        float64=object,
        linalg=SimpleNamespace(
            det=np.prod,  # of what diag leaves as it is
            norm=lambda z: FUNCTIONS["sqrt"](np.sum(z * z)),
        ),
        logaddexp=np.frompyfunc(_logaddexp, 2, 1),
        max=lambda z: reduce(Dual.maximum, z),
        maximum=_maximum,
        mean=lambda z: np.sum(z) / z.size,
        minimum=lambda a, b: -_maximum(-a, -b),
        vectorize=lambda f: f,
        zeros=lambda shape, dtype: np.zeros(shape, object),
    ),
    "erf": FUNCTIONS["erf"],
    "float": lambda z: z,
}


def slopes(cost, params, sign=1, one_side=False):
    """Return the slopes of `cost` towards ±each entry, and whether they depend on a tie.

    Parameters
    ----------
    cost
        Compiled with NAMESPACE.
    params : dict of arrays
    sign : {1, -1}
        The derivative from the right, or from the left.
    one_side : bool
        At ties, the gradient on one side of the kinks instead.

    Returns
    -------
    (list of arb, bool)
        Each with a relative radius below 1e-27, or below 2^−1080.

    Raises
    ------
    ArithmeticError
        There is no finite derivative, or thousands of bits do not tell.
    """
    total = sum(x.size for x in params.values())

    def numbers():
        directions = count()
        return {
            name: np.array(
                [Dual(float(v), {next(directions): arb(sign)}) for v in x.flat], object
            ).reshape(x.shape)
            for name, x in params.items()
        }

    before, bits = ctx.prec, 160
    try:
        while bits <= MOST_BITS:
            ctx.prec, Ties.met = bits, False
            Ties.one_side, Ties.by_force = one_side, bits == MOST_BITS
            with suppress(UndecidedError):
                result = cost(numbers())
                balls = [sign * result.slopes.get(i, arb(0)) for i in range(total)]
                if all(v.rel_accuracy_bits() >= BITS or abs(v) < ZERO for v in balls):
                    return balls, Ties.met
            bits = min(2 * bits, MOST_BITS) if bits < MOST_BITS else 2 * bits
    finally:
        ctx.prec = before
    raise ArithmeticError(f"no certain derivative with {MOST_BITS} bits")


def second_slopes(cost, params):
    """Return the Hessian of `cost`, (P, P) floats, or None at a tie.

    Parameters
    ----------
    cost, params
        As in `slopes`.

    Raises
    ------
    ArithmeticError
        An entry is not known to the digits of a float.
    """
    start = [float(v) for x in params.values() for v in x.flat]
    shapes = {name: x.shape for name, x in params.items()}
    before, ctx.prec = ctx.prec, SECOND_BITS
    Ties.met = Ties.one_side = Ties.by_force = False

    def slopes_at(moved, h):
        places = count()
        numbers = {}
        for name, shape in shapes.items():
            duals = [
                Dual(arb(start[i]) + (h if i == moved else 0), {i: arb(1)})
                for i in (next(places) for _ in range(params[name].size))
            ]
            numbers[name] = np.array(duals, object).reshape(shape)
        result = cost(numbers)
        return [result.slopes.get(i, arb(0)) for i in range(len(start))]

    try:
        h, rows = arb(2) ** -STEP, []
        slopes_at(0, 0)  # for a tie at the point itself
        for entry in range(len(start)):
            pairs = zip(slopes_at(entry, h), slopes_at(entry, -h), strict=True)
            row = [(above - below) / (2 * h) for above, below in pairs]
            if not all(v.rel_accuracy_bits() >= BITS or abs(v) < ZERO for v in row):
                raise ArithmeticError("a second derivative is not certain")
            rows.append([float(v) for v in row])
    except UndecidedError:
        return None
    finally:
        ctx.prec = before
    return None if Ties.met else np.array(rows)
