"""The networks on which a target is called, and what it returned on each: observations."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from backprop.costs import COSTS
from checks.conformance.naming.textbook import HIDDEN, Textbook
from checks.conformance.targets.takes import Takes
from checks.conformance.targets.target import Target
from checks.strategies import Problem, generate_arrays

__all__ = [
    "LEARNING_RATE",
    "NETWORKS",
    "SATURATED",
    "Observation",
    "TextbookCost",
    "find_textbook_cost",
    "observe",
]

NetworkSpec: TypeAlias = tuple[tuple[int, ...], int, float]  # sizes, samples, scale of y


class TextbookCost(NamedTuple):
    """What a cost is made of: see `Textbook`."""

    activation: str
    cost_name: str
    output: str = ""


# A large rate: a weight that is updated too early then changes the gradient, and for a step from θ
# to θ' the difference θ − θ' keeps its digits.
LEARNING_RATE = 8.0
# Most networks have several outputs, several samples, and a number of samples that is no layer's
# width. A few have one output, one sample, or a layer whose width equals the number of samples.
# There are one to four layers, square and not square. Where y is scaled by 100, some entries of the
# gradient are above 1.
NETWORKS: tuple[NetworkSpec, ...] = (
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
OUTPUTS = ("", "linear", "logistic", "tanh", "softmax", "relu")
SATURATED: tuple[NetworkSpec, ...] = (
    ((3, 4, 3), 5, 1),
    ((4, 4, 4, 2), 3, 1),
    ((2, 5, 5, 3), 4, 1),
)
# Three unknowns are fitted to the cost at six points: its scale and two decays (`Observation`). The
# fit has to agree with the cost to this relative tolerance.
FIT_POINTS, FIT_TOLERANCE = 6, 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Observation(Problem):
    """A network with its batch, and what a target returned for it.

    Attributes
    ----------
    before : Observation or None
        Another network of the same sizes, on which the target was called just before: a target
        may use values of its previous call.
    scale, decay : float, (float, float)
        The target's cost is scale × the reference's + ½ Σ decay θ². The two decays are those of
        the weights and of the biases.
    reads_biases : bool
        Whether the cost reads biases; if not, they are 0 and not compared.
    claimed : tuple of ndarray
        The ∂C/∂w^l and then the ∂C/∂b^l that the target returned, or that its step implies.
    """

    before: "Observation | None" = None
    scale: float = 1.0
    decay: tuple[float, float] = (0.0, 0.0)
    reads_biases: bool = True
    claimed: tuple[Any, ...] = ()

    @property
    def copies(self) -> tuple[Any, ...]:
        """Copies of weights, biases, x and y, for a function that may change them."""
        return (
            [w.copy() for w in self.weights],
            [b.copy() for b in self.biases],
            self.x.copy(),
            self.y.copy(),
        )


def observe(
    target: Target,
    textbook_cost: TextbookCost,
    through: str,
    networks: Iterable[NetworkSpec],
    regime: str = "ordinary",
    seed: int = 0,
) -> Iterator[Observation]:
    """Call a target on networks, and yield an observation of each.

    A network is left out if the target raises on it, or if its cost is not the textbook's there.

    Parameters
    ----------
    target
    textbook_cost
        The activation and the cost that the target has, and whether its last layer is linear.
    through : {"gradient", "step"}
        The function of the target that is called.
    networks
        Sizes, samples, and a scale of y.
    regime, seed
        As of `checks.strategies.generate_arrays`.
    """
    for number, network in enumerate(networks, seed):
        before = _generate(target, textbook_cost, network, regime, 2 * number)
        after = _generate(target, textbook_cost, network, regime, 2 * number + 1)
        try:
            _claimed_gradient(target, through, before)
            claimed = _claimed_gradient(target, through, after)
            after = replace(after, before=before, claimed=claimed)
            fitted = _fit_cost(target, textbook_cost, after)
        except Exception:  # the target may raise anything; the suite reports it
            continue
        if fitted:
            yield fitted


def find_textbook_cost(target: Target) -> TextbookCost | None:
    """Return the activation and cost of the reference that a target has; None if none fits.

    The names that the target declares are tried first. Of the others, those that fit without a
    factor are preferred.
    """
    declared = TextbookCost(target.activation, target.cost_name)
    first = None
    for textbook_cost in (declared, *_textbook_costs()):
        networks = [_generate(target, textbook_cost, NETWORKS[i], "ordinary", i) for i in (0, 1)]
        try:
            fitted = [_fit_cost(target, textbook_cost, network) for network in networks]
        except Exception:  # the target may raise anything; the suite reports it
            continue
        if all(fitted):
            first = first or textbook_cost
            if textbook_cost == declared or all(one.scale == 1 for one in fitted if one):
                return textbook_cost
    return first


def _textbook_costs() -> Iterator[TextbookCost]:
    """Yield every activation of the hidden layers with every output and cost, usual ones first."""
    for output, activation, cost_name in product(OUTPUTS, HIDDEN, COSTS):
        is_same = output == activation or (output == "linear" and activation == "identity")
        if not (output and (is_same or COSTS[cost_name].linear_output)):
            yield TextbookCost(activation, cost_name, output)


def _generate(
    target: Target, textbook_cost: TextbookCost, network: NetworkSpec, regime: str, seed: int
) -> Observation:
    """Return a network with a batch that suits target and cost; the target has not been called."""
    (activation, cost_name, *_), (sizes, samples, scale) = textbook_cost, network
    takes = target.takes
    if takes.reasons.get("several outputs", "").startswith("the cost does not read"):
        # outputs that are relus may all be dead in the networks of the probe
        takes = replace(takes, outputs=Takes().outputs)
    sizes = takes.nearest(sizes)
    samples = min(max(samples, takes.samples[0]), takes.samples[1])
    weights, biases, x, y = generate_arrays(sizes, samples, regime, seed)
    if "relu" in activation:
        # positive biases, because a relu with z < 0 for every sample has a zero gradient
        biases = [np.abs(b) for b in biases]
    if takes.labels == "numbers":
        if cost_name == "softmax_cross_entropy":
            y = scale * y  # many implementations assume that each row sums to 1
            y = y / y.sum(axis=1, keepdims=True)
        elif cost_name != "cross_entropy":  # the y of cross_entropy stays between 0 and 1
            y = scale * y
    suited = takes.suited(Problem(sizes, weights, biases, x, y))
    return Observation(sizes, weights, suited.biases, x, suited.y, reads_biases=takes.biases)


def _claimed_gradient(target: Target, through: str, network: Observation) -> tuple[Any, ...]:
    """Return a target's gradient, or (θ − θ')/η for its step from θ to θ' at learning rate η."""
    weights, biases, x, y = network.copies
    if through == "gradient":
        assert target.gradient is not None
        dw, db = target.gradient(weights, biases, x, y)
        gradients = (*dw, *db) if network.reads_biases else tuple(dw)
        return tuple(np.array(g, dtype=np.float64) for g in gradients)
    assert target.step is not None
    moved = target.step(weights, biases, x, y, LEARNING_RATE)
    # a step that returns None has updated its arguments in place
    moved = (weights, biases) if moved is None else moved
    olds, news = (*network.weights, *network.biases), (*moved[0], *moved[1])
    if not network.reads_biases:
        olds, news = tuple(network.weights), tuple(moved[0])
    return tuple(
        (old - np.asarray(new, dtype=np.float64).reshape(old.shape)) / LEARNING_RATE
        for old, new in zip(olds, news, strict=True)
    )


def _fit_cost(
    target: Target,
    textbook_cost: TextbookCost,
    network: Observation,
    tolerance: float = FIT_TOLERANCE,
) -> Observation | None:
    """Return the network with scale and decay fitted to the target's cost; None if none fit."""
    book, rng = Textbook(*textbook_cost), np.random.default_rng(0)
    terms, costs = [], []
    for _ in range(FIT_POINTS):
        weights, biases, x, y = network.copies
        weights = [w * rng.uniform(0.5, 1.5, w.shape) for w in weights]
        biases = [b * rng.uniform(0.5, 1.5, b.shape) for b in biases]
        squares = [sum(float((v * v).sum()) for v in arrays) / 2 for arrays in (weights, biases)]
        terms.append([float(book.cost(weights, biases, x, y)), *squares])
        costs.append(float(np.asarray(target.cost(weights, biases, x, y)).reshape(())))
    matrix, values = np.array(terms), np.array(costs)
    is_finite = np.isfinite(matrix).all() and np.isfinite(values).all()
    if not is_finite or not matrix[:, 0].any():  # with one output the softmax cross entropy is 0
        return None
    # fewest unknowns first: a penalty is assumed only if the cost does not fit without it
    for columns in ([0], [0, 1], [0, 2], [0, 1, 2]):
        solution = np.linalg.lstsq(matrix[:, columns], values)[0]
        residual = np.abs(matrix[:, columns] @ solution - values).max()
        if residual <= tolerance * np.abs(values).max():
            unknowns = np.zeros(3)
            unknowns[columns] = [_rounded(float(number)) for number in solution]
            scale, weight_decay, bias_decay = unknowns.tolist()
            return replace(network, scale=scale, decay=(weight_decay, bias_decay))
    return None


def _rounded(number: float) -> float:
    """Round a fitted number to a short fraction or decimal, if one lies within the fit's error."""
    short = float(Fraction(number).limit_denominator(1000))
    if abs(number - short) > 10 * FIT_TOLERANCE * abs(number):
        short = float(f"{number:.3g}")
    return short if abs(number - short) <= 10 * FIT_TOLERANCE * abs(number) else number
