"""Networks that a target is watched on, such that no two mistakes look alike on all of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from backprop.activations import ACTIVATIONS
from backprop.costs import COSTS
from checks.conformance.naming.textbook import Textbook
from checks.conformance.targets.target import Target
from checks.strategies import generate_arrays

__all__ = [
    "LEARNING_RATE",
    "NETWORKS",
    "SATURATED",
    "Observation",
    "Rows",
    "has_softmax",
    "rows_of",
    "watch",
]

Network: TypeAlias = tuple[tuple[int, ...], int, float]
Rows: TypeAlias = tuple[str, str, bool]  # activation, cost and linear of a `Textbook`

# So large that an update made too early shows, and that θ − θ' keeps its digits.
LEARNING_RATE = 8.0
# Sizes, samples, and a scale of y. Several outputs, B > 1 and no width, but where these are wanted;
# square layers and others, one to four layers; large y, for entries of the gradient above 1.
NETWORKS: tuple[Network, ...] = (
    ((4, 3, 5, 2), 6, 1),
    ((3, 3, 3, 3), 5, 1),
    ((2, 4, 4, 3, 3), 6, 1),
    ((5, 2, 4), 7, 100),
    ((3, 4, 4, 4, 4), 3, 1),
    ((4, 3), 5, 1),
    ((3, 3), 4, 100),
    ((4, 5, 3), 1, 1),
    ((3, 3, 3, 2), 1, 1),
    ((3, 4, 1), 6, 1),
    ((2, 3, 3, 1), 4, 1),
    ((3, 5, 3), 3, 1),
)
SATURATED: tuple[Network, ...] = (((3, 4, 3), 5, 1), ((4, 4, 4, 2), 3, 1), ((2, 5, 5, 3), 4, 1))
# Costs are fitted at so many points, for three unknowns, and to so many digits.
POINTS, FITTED = 6, 1e-9
ROUGHLY = 2.0**-19  # digits of a cost that is computed in float32, or with log(p + 1e-9)


@dataclass(frozen=True, eq=False)
class Observation:
    """One network, and what a target makes of it.

    Attributes
    ----------
    weights, biases, x, y
        The network and its batch.
    before : Observation or None
        Another one of the same shapes, shown just before: for targets that remember.
    scale, decay : float, (float, float)
        The target's cost is scale × the reference's + ½ Σ decay θ², for weights and for biases.
    claimed : list of ndarray
        The target's ∂C/∂w^l and then ∂C/∂b^l, or those that its step implies.
    """

    weights: list[Any]
    biases: list[Any]
    x: Any
    y: Any
    before: "Observation | None" = None
    scale: float = 1.0
    decay: tuple[float, float] = (0.0, 0.0)
    claimed: tuple[Any, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths n_0 … n_L."""
        return (self.x.shape[1], *map(len, self.biases))

    @property
    def copies(self) -> tuple[Any, ...]:
        """Weights, biases, x and y, for a function that may change them."""
        return (
            [w.copy() for w in self.weights],
            [b.copy() for b in self.biases],
            self.x.copy(),
            self.y.copy(),
        )


def watch(
    target: Target,
    rows: Rows,
    through: str,
    networks: Iterable[Network],
    regime: str = "ordinary",
    seed: int = 0,
) -> Iterator[Observation]:
    """Show networks to a target; those on which it raises, or whose cost is another, are left out.

    Parameters
    ----------
    target
    rows
        The activation and the cost that it has, and whether its last layer is linear.
    through : {"gradient", "step"}
    networks
        Sizes, samples, and a scale of y.
    regime, seed
        As of `checks.strategies.generate_arrays`.
    """
    for number, network in enumerate(networks):
        before = _network(rows, network, regime, 2 * (seed + number))
        now = _network(rows, network, regime, 2 * (seed + number) + 1)
        try:
            _claim(target, through, before)
            now = replace(now, before=before, claimed=_claim(target, through, now))
            fitted = _fitted(target, rows, now)
        except Exception:  # whatever a stranger's code raises: the suite reports it
            continue
        if fitted:
            yield fitted


def rows_of(target: Target) -> Rows | None:
    """Return the rows that give a target's cost; None if none do.

    The plainest first: what the target names, then what takes no factor.
    """
    declared = (target.activation, target.cost_name, False)
    others = [
        (activation, cost, linear)
        for linear, activation, cost in product((False, True), ACTIVATIONS, COSTS)
        if not (linear and (activation == "identity" or COSTS[cost].linear_output))
    ]
    first = None
    for rows in (declared, *others):
        networks = [_network(rows, NETWORKS[i], "ordinary", i) for i in (0, 1)]
        try:
            fitted = [_fitted(target, rows, network) for network in networks]
        except Exception:  # whatever a stranger's code raises: the suite reports it
            continue
        if all(fitted):
            first = first or rows
            if rows == declared or all(seen.scale == 1 for seen in fitted if seen):
                return rows
    return first


def has_softmax(target: Target) -> bool:
    """Whether the cost is the softmax cross entropy: by its name, or by its values.

    These are of networks of one layer, so the hidden ones may be any.
    """
    rows = ("identity", "softmax_cross_entropy", False)
    if target.cost_name == rows[1]:
        return True
    single = [
        _network(rows, one, "ordinary", i) for i, one in enumerate(NETWORKS) if len(one[0]) < 3
    ]
    try:
        with np.errstate(all="ignore"):
            return all(_fitted(target, rows, network, ROUGHLY) for network in single)
    except Exception:  # whatever a stranger's code raises: the suite reports it
        return False


def _network(rows: Rows, network: Network, regime: str, seed: int) -> Observation:
    sizes, samples, scale = network
    weights, biases, x, y = generate_arrays(sizes, samples, regime, seed)
    if rows[0] == "relu":
        biases = [np.abs(b) for b in biases]  # of dead nodes there is nothing to see
    y = scale * y
    if rows[1] == "softmax_cross_entropy":
        y = y / y.sum(axis=1, keepdims=True)  # many rely on a sum of 1
    elif rows[1] == "cross_entropy":
        y = y / scale
    return Observation(weights, biases, x, y)


def _claim(target: Target, through: str, seen: Observation) -> tuple[Any, ...]:
    weights, biases, x, y = seen.copies
    if through == "gradient":
        assert target.gradient is not None
        dw, db = target.gradient(weights, biases, x, y)
        return tuple(np.array(g, dtype=np.float64) for g in (*dw, *db))
    assert target.step is not None
    after = target.step(weights, biases, x, y, LEARNING_RATE)
    after = (weights, biases) if after is None else after
    return tuple(
        (old - np.asarray(new, dtype=np.float64).reshape(old.shape)) / LEARNING_RATE
        for old, new in zip(
            (*seen.weights, *seen.biases), (*after[0], *after[1]), strict=True
        )
    )  # fmt: skip


def _fitted(
    target: Target, rows: Rows, seen: Observation, digits: float = FITTED
) -> Observation | None:
    """Return the sighting with scale and decay of the target's cost; None if none fit."""
    book, rng = Textbook(*rows), np.random.default_rng(0)
    rows_, costs = [], []
    for _ in range(POINTS):
        weights, biases, x, y = seen.copies
        weights = [w * rng.uniform(0.5, 1.5, w.shape) for w in weights]
        biases = [b * rng.uniform(0.5, 1.5, b.shape) for b in biases]
        squares = [sum(float((v * v).sum()) for v in some) / 2 for some in (weights, biases)]
        rows_.append([float(book.cost(weights, biases, x, y)), *squares])
        costs.append(float(np.asarray(target.cost(weights, biases, x, y)).reshape(())))
    matrix, wanted = np.array(rows_), np.array(costs)
    usable = np.isfinite(matrix).all() and np.isfinite(wanted).all()
    if not usable or not matrix[:, 0].any():  # a softmax of one output has no cost
        return None
    # the plainest first: with three numbers even a flat cost would be fitted
    for columns in ([0], [0, 1], [0, 2], [0, 1, 2]):
        found = np.linalg.lstsq(matrix[:, columns], wanted)[0]
        if np.abs(matrix[:, columns] @ found - wanted).max() <= digits * np.abs(wanted).max():
            numbers = [0.0, 0.0, 0.0]
            for column, number in zip(columns, found, strict=True):
                numbers[column] = _rounded(float(number))
            return replace(seen, scale=numbers[0], decay=(numbers[1], numbers[2]))
    return None


def _rounded(number: float) -> float:
    """Return the short fraction that a number is to within the fit's digits, or the number."""
    short = float(Fraction(number).limit_denominator(1000))
    if abs(number - short) > 10 * FITTED * abs(number):
        short = float(f"{number:.3g}")
    return short if abs(number - short) <= 10 * FITTED * abs(number) else number
