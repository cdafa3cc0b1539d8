"""Random costs composed of numpy functions, with exact derivatives to compare estimates with.

A composition is a few lines of numpy, drawn from a seed. The same lines in exact arithmetic
(`exact_numpy`) give the derivatives of the mathematical function at the same floats. Many of the
functions lose digits by saturation or cancellation, on purpose.

``python -m benchmarks.intervals`` compares the errors of estimates with them.
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from math import erf

import numpy as np

from benchmarks.exact_numpy import NAMESPACE, slopes

__all__ = ["Composition", "draw", "draw_several", "shrink"]

STREAM = 20240817  # seeds the generator, together with the seed of a composition

ELEMENTWISE = [
    # saturating
    "1 / (1 + np.exp(-z))",
    "1 - 1 / (1 + np.exp(-z))",
    "np.log(1 - 1 / (1 + np.exp(-z)))",
    "np.tanh(z)",
    "1 - np.tanh(z) ** 2",
    "np.arctan(z)",
    "z / (1 + np.exp(-z))",
    "np.log(1 + np.exp(z))",
    "np.log1p(np.exp(z))",
    "np.logaddexp(0, z)",
    "np.exp(-z * z)",
    "np.exp(-1 / (z * z))",
    # oscillating
    "np.sin(z)",
    "np.cos(50 * z)",
    "np.sin(400 * z)",
    "np.sin(1 / z)",
    # growing, and other common functions
    "np.exp(z)",
    "np.expm1(z)",
    "np.sinh(z)",
    "np.cosh(z)",
    "np.log(np.cosh(z))",
    "2 ** z",
    "np.log(z)",
    "np.log1p(z)",
    "np.arcsinh(z)",
    "np.sqrt(z)",
    "z ** 2",
    "z ** 3",
    "z ** 1.5",
    "z ** -2",
    "1 / z",
    "1 / (1 + z * z)",
    "z / (1 + z * z)",
    # cancelling
    "(1 - np.cos(z)) / z",
    "(np.exp(z) - 1) / z",
    "z - np.sin(z)",
    "np.sqrt(1 + z * z) - 1",
    "np.sqrt(1 + z) - np.sqrt(z)",
    "z * (1 - z)",
    "1 - z",
    "(1 + z) ** 2 - 1",
    "np.log(1 + z)",
]
KINKS = ["np.abs(z)", "np.maximum(z, 0)", "np.maximum(z, 0.125 * z)", "np.minimum(z, 1)"]
ABSORBING = ["(z + 1000) - 1000", "(z + 1000000) - 1000000"]  # z loses digits
COUPLINGS = [  # of the entries of one array
    "np.cumsum(z)",
    "z - np.mean(z)",
    "z * np.roll(z, 1)",
    "np.maximum(z, np.roll(z, 1))",
    "np.exp(z) / np.sum(np.exp(z))",
    "np.exp(z - np.max(z)) / np.sum(np.exp(z - np.max(z)))",
    "z / np.sqrt(np.sum(z * z))",
]
WEIGHTS = "np.arange(z.size, dtype=z.dtype)"
REDUCTIONS = [
    "np.sum(z)",
    "np.sum(z)",
    "np.mean(z)",
    f"np.dot(z, 1.5 - {WEIGHTS})",
    "np.sum(z * z)",
    "np.prod(z)",
    "np.sqrt(np.sum(z * z))",
    "np.linalg.norm(z)",
    "np.mean((z - np.mean(z)) ** 2)",
    "np.log(np.sum(np.exp(z)))",
    "np.max(z) + np.log(np.sum(np.exp(z - np.max(z))))",
    f"np.sum({WEIGHTS} * np.exp(z)) / np.sum(np.exp(z))",
    f"np.dot({WEIGHTS}, np.exp(z - np.max(z)) / np.sum(np.exp(z - np.max(z))))",
    "np.linalg.det(np.diag(z))",
]
NARROW = [  # stages that compute in one dtype, whatever that of z; {} is the composition's
    "b = np.zeros(z.shape, np.{}); b[...] = z; z = b",
    "z = z.astype(np.{})",
    "z = np.array([float(v) for v in z])",
    "z = np.vectorize(erf)(z)",
]
# a line with one of these computes in one dtype, whatever that of z
NARROWING = ("np.zeros(", ".astype(", "float(v)", "(erf)", "linalg.det", "return float(")
JOINS = ["c + z", "c - z", "c * z", "c / z", "np.sqrt(c * c + z * z)", "np.log(c * c + z * z)"]
RETURNS = ["return c.item()", "return np.asarray(c)", "return c"]
SHORT = [3.0, 0.5, 50.0, 0.25, 7.0, -2.0]  # factors of few bits, with which products may be exact


@dataclass(frozen=True, eq=False)
class Composition:
    """A cost, where it is differentiated, and its derivatives.

    Attributes
    ----------
    seed : int
        What `draw` was given.
    dtype : {"float64", "float32"}
        Of the parameters. All constants are exact in it.
    params : dict of arrays
    lines : tuple of str
        The body of the cost, a function of `p`.
    """

    seed: int
    dtype: str
    params: dict
    lines: tuple

    @property
    def lifts(self):
        """Whether all of it computes in long double if the parameters are long double."""
        return not any(mark in line for line in self.lines for mark in NARROWING)

    @property
    def source(self):
        return "\n    ".join(("def cost(p):", *self.lines))

    def __str__(self):
        arrays = (
            f"    {n!r}: np.array({x.tolist()}, {self.dtype!r})," for n, x in self.params.items()
        )
        head = f"# seed {self.seed}, {self.dtype}\nimport numpy as np\nfrom math import erf\n\n"
        return "\n".join((head + self.source, "", "params = {", *arrays, "}"))

    @cached_property
    def cost(self):
        """The cost: takes `params`, also complex or in another dtype, and returns one number."""
        return self._compiled({"np": np, "erf": erf})

    @cached_property
    def _exact(self):
        cost = self._compiled(dict(NAMESPACE))
        right, tied = slopes(cost, self.params)
        left, gradient = right, right
        if tied:
            left, _ = slopes(cost, self.params, sign=-1)
            gradient, _ = slopes(cost, self.params, one_side=True)
        return {
            "low": self._split([a if a < b else b for a, b in zip(left, right, strict=True)]),
            "high": self._split([a if a > b else b for a, b in zip(left, right, strict=True)]),
            "gradient": self._split(gradient),
        }

    def exact(self):
        """Return the exact gradient: {name: (high, low)}, float64 arrays of which it is the sum.

        At a kink, the gradient on one side of it. Raises an ArithmeticError where there is none.
        """
        return self._exact["gradient"]

    def claim(self):
        """Return the exact gradient rounded to the dtype, nested as `params`."""
        return {name: high.astype(self.dtype) for name, (high, _) in self.exact().items()}

    def distance(self, name, value):
        """Return how far each `value` is from the truth; at a kink, from the range of slopes."""
        value, truth = np.asarray(value), self._exact
        (low, rest_low), (high, rest_high) = truth["low"][name], truth["high"][name]
        # low − value is exact where both are near, and rest_low holds the digits that low does not
        outside = np.maximum((low - value) + rest_low, (value - high) - rest_high)
        return np.where(np.isnan(outside), np.inf, np.maximum(outside, 0))

    def ratio(self, name, value, error):
        """Return the distance over the error: 0 where the value is exact or the error is inf."""
        distance, error = self.distance(name, value), np.asarray(error)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where((distance == 0) | np.isinf(error), 0.0, distance / error)

    def holds(self, name, value, error):
        """Return for each entry whether the truth is in value ± error."""
        return self.distance(name, value) <= error

    def _compiled(self, names):
        exec(compile(self.source, f"<composition {self.seed}>", "exec"), names)
        return names["cost"]

    def _split(self, balls):
        high = np.array([float(v) for v in balls])
        if not np.isfinite(high).all():
            raise ArithmeticError("a derivative is too large for a float")
        rest = np.array([float(v - float(v)) for v in balls])
        cuts = np.cumsum([x.size for x in self.params.values()])[:-1]
        pieces = zip(self.params.items(), np.split(high, cuts), np.split(rest, cuts), strict=True)
        return {n: (h.reshape(x.shape), r.reshape(x.shape)) for (n, x), h, r in pieces}


def draw(seed, dtype="float64"):
    """Return the composition of a seed: a pure function of `seed` and `dtype`."""
    rng = np.random.default_rng([STREAM, seed])
    while True:
        found = _Draft(rng, dtype).finish(seed)
        if _is_finite(found):
            return found


def draw_several(seed, dtype="float64", most=30):
    """Return 1 to `most` compositions of the same parameters: the results of one function.

    They are up to three costs, each of arrays of its own, and the arrays that these costs reduce.
    """
    rng = np.random.default_rng([STREAM, seed, 1])
    params, results = {}, []
    for n in range(rng.integers(1, 4)):
        cost = draw(seed if n == 0 else int(rng.integers(2**31)), dtype)
        params |= {f"{name}{n}": x for name, x in cost.params.items()}
        lines = [re.sub(r'p\["(.)"\]', rf'p["\g<1>{n}"]', line) for line in cost.lines]
        results.append(lines)
        for k, line in enumerate(lines):
            if line.removeprefix("z = ") in REDUCTIONS:
                results += [[*lines[:k], f"return z[{i}]"] for i in range(_size(params, lines[:k]))]
    order = rng.permutation(len(results))[: rng.integers(1, most, endpoint=True)]
    found = [Composition(seed, dtype, params, tuple(results[k])) for k in order]
    return [one for one in found if _is_finite(one)] or [draw(seed, dtype)]


def _size(params, lines):
    """Return the size of z after some lines of a cost."""
    names = {"np": np, "erf": erf, "p": params}
    with np.errstate(all="ignore"):
        exec("\n".join(lines), names)
    return names["z"].size


class _Draft:
    """A cost to which lines are added; a line that makes a value nan or too large is refused."""

    def __init__(self, rng, dtype):
        self.rng, self.dtype, self.params, self.lines = rng, dtype, {}, []
        self.names = {"np": np, "erf": erf, "p": self.params}
        self.most = 1e100 if dtype == "float64" else 1e15

    def finish(self, seed):
        for name in "abc"[: self.rng.choice([1, 1, 2, 3])]:
            self.term(name)
        if self.chance(0.3):
            self.some([f"c = {f}" for f in _of("c", ELEMENTWISE)])
        if self.chance(0.5):
            size = self.rng.choice([-1, 1]) * 10 ** self.rng.uniform(-6, 6)
            self.take(f"c = c + {self.constant(float(f'{size:.3g}'))}")
        last = "return float(c)" if self.chance(0.04) else self.rng.choice(RETURNS)
        return Composition(seed, self.dtype, self.params, (*self.lines, str(last)))

    def term(self, name):
        """Write one array's part of the cost: scale, layers, reduction, join."""
        scale = 10 ** self.rng.uniform(-9, 9) if self.chance(0.4) else 1
        x, on_kink = self.point(), self.chance(0.04)
        if on_kink:
            x.flat[0] = 0
        self.params[name] = np.asarray(scale * x, self.dtype)
        self.take(f'z = np.ravel(p["{name}"])')
        if scale != 1 and self.chance(0.85):
            self.take(f"z = z * {self.constant(1 / scale)}")
        if on_kink:
            self.some([f"z = {f}" for f in KINKS[:3]])
        for _ in range(self.rng.integers(1, 4)):
            self.layer()
        self.some([f"z = {f}" for f in REDUCTIONS])
        if self.chance(0.3):
            self.some([f"z = {f}" for f in ELEMENTWISE])
        self.some([f"c = {f}" for f in JOINS] if len(self.params) > 1 else ["c = z"])

    def point(self):
        """Return a small array: normal, positive, around a mean, or of many orders of magnitude."""
        shape = [(), (1,), (2,), (3,), (4,), (6,), (2, 3), (9,)][self.rng.integers(8)]
        x = self.rng.normal(size=shape)
        kind = self.rng.integers(5)
        if kind == 0:
            x = np.sign(x) * 10 ** self.rng.uniform(-8, 3, shape)
        elif kind == 1:
            x = np.abs(x) * 10
        elif kind == 2:
            x = x * self.rng.choice([0.1, 3, 20]) + self.rng.choice([-20, -3, 3, 20])
        return np.asarray(x)

    def layer(self):
        u = self.rng.uniform()
        if u < 0.62:
            self.some([f"z = {f}" for f in ELEMENTWISE])
        elif u < 0.74:
            short = self.chance(0.5)
            factor = self.rng.choice(SHORT) if short else self.rng.normal()
            self.take(f"z = z * {self.constant(factor)}")
        elif u < 0.80:
            self.take(f"z = z + {self.constant(self.rng.normal())}")
        elif u < 0.90:
            self.some([f"z = {f}" for f in COUPLINGS])
        elif u < 0.96:
            self.some([f"z = {f}" for f in KINKS])
        elif u < 0.965:
            self.some([f"z = {f}" for f in ABSORBING])
        else:
            self.some([line.format(self.dtype) for line in NARROW])

    def chance(self, probability):
        return self.rng.uniform() < probability

    def constant(self, v):
        return float(np.dtype(self.dtype).type(v))

    def some(self, lines):
        """Add one of these lines, drawn at random; eight are tried until one is not refused."""
        return any(self.take(str(self.rng.choice(lines))) for _ in range(8))

    def take(self, line):
        names = dict(self.names)
        angle = np.max(np.abs(names[line[0]])) if re.search(r"np\.(sin|cos)\(", line) else 0
        if angle > 30 and not self.chance(0.1):
            return False  # few real costs take the sine of large numbers
        with np.errstate(all="ignore"):
            exec(line, names)
        values = [names[v] for v in "zc" if v in names]
        if fits := all(np.all(np.abs(v) < self.most) for v in values):
            self.names = names
            self.lines.append(line)
        return fits


def _of(name, expressions):
    return [re.sub(r"\bz\b", name, f) for f in expressions]


def _is_finite(composition):
    try:
        with np.errstate(all="ignore"):
            value = composition.cost(composition.params)
        return np.ndim(value) == 0 and bool(np.isfinite(value))
    except Exception:  # what shrinking has left may not run
        return False


def shrink(composition, fails):
    """Return the simplest composition found, by greedy steps, that still `fails`.

    Parameters
    ----------
    composition : Composition
    fails : callable
        Takes a composition; what it raises counts as False.
    """

    def still(candidate):
        try:
            return _is_finite(candidate) and fails(candidate)
        except Exception:  # not the failure that is to be kept
            return False

    while simpler := next(filter(still, _simpler(composition)), None):
        composition = simpler
    return composition


def _simpler(found):
    """Yield compositions that are one step simpler, the largest steps first."""
    lines, params = found.lines, found.params
    for n in range(len(lines) - 1, 0, -1):
        for i in range(len(lines) - n):
            yield replace(found, lines=lines[:i] + lines[i + n :])
    for name, x in params.items():
        if len(params) > 1:
            yield replace(found, params={k: v for k, v in params.items() if k != name})
        if x.size > 1:
            for i in range(x.size):
                yield replace(found, params=params | {name: np.delete(x, i)})
    for i, line in enumerate(lines):
        for simple in _rounded(line, found.dtype):
            yield replace(found, lines=(*lines[:i], simple, *lines[i + 1 :]))
    for name, x in params.items():
        for i, v in enumerate(x.flat):
            for simple in dict.fromkeys((1.0, float(f"{v:.1g}"), float(f"{v:.3g}"))):
                y = x.copy()
                y.flat[i] = simple
                if len(repr(y.flat[i].item())) < len(repr(v.item())):
                    yield replace(found, params=params | {name: y})


def _rounded(line, dtype):
    """Yield the line with one of its constants shortened."""
    for number in re.finditer(r"-?\d+\.\d+(e[-+]?\d+)?", line):
        old = number.group()
        for v in (1.0, float(f"{float(old):.1g}")):
            new = repr(float(np.dtype(dtype).type(v)))
            if len(new) < len(old):
                yield line[: number.start()] + new + line[number.end() :]
