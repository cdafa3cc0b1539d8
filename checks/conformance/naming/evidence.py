"""The observations of a target, and the faults that explain all observations."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from checks.conformance.naming.agreement import (
    NEGLIGIBLE,
    NO_FAULT,
    TOLERANCE,
    compare,
    fault_gradient,
    has_fitted_constant,
    relative_distance,
)
from checks.conformance.naming.combinations import MOST_TOGETHER, Combinations, last_layer
from checks.conformance.naming.faults import Fault
from checks.conformance.naming.observations import (
    NETWORKS,
    SATURATED,
    NetworkSpec,
    Observation,
    TextbookCost,
    observe,
)
from checks.conformance.targets.target import Target

__all__ = ["Evidence", "Match"]

MAX_EXTRA_NETWORKS = 24  # drawn while several faults explain all networks so far
CONSTANT_TOLERANCE = 1e-3  # relative; fitted constants that differ by less count as equal

CONDITIONS: dict[str, Callable[[Observation], bool]] = {
    "where B = 1": lambda o: len(o.x) == 1,
    "where B > 1": lambda o: len(o.x) > 1,
    "with one output": lambda o: o.sizes[-1] == 1,
    "with several outputs": lambda o: o.sizes[-1] > 1,
    "with hidden layers": lambda o: len(o.weights) > 1,
    "with three or more layers": lambda o: len(o.weights) > 2,
    "where a layer is square": lambda o: any(m == n for m, n in pairwise(o.sizes)),
    "where a layer above the first is square": lambda o: any(
        m == n for m, n in pairwise(o.sizes[1:])
    ),
    "where B is the width of a layer": lambda o: len(o.x) in o.sizes[1:],
}


@dataclass(frozen=True)
class Match:
    """A fault that returns the target's gradient.

    Attributes
    ----------
    fault : Fault
    distance : float
        The largest relative distance on any network.
    constant : str
        The fault's constant with its value, as text; empty if it has none.
    condition : str
        The one of `CONDITIONS` under which the target has the fault; empty if it always has.
    """

    fault: Fault
    distance: float
    constant: str = ""
    condition: str = ""


class Evidence:
    """What a target returned on networks, through its gradient or through its step.

    Attributes
    ----------
    observations : list of Observation
        Ordinary networks; saturated ones if the target is right on all ordinary ones.
    wrong : list of Observation
        Those on which the target is not right.
    conditions : list of str
        The names of the `CONDITIONS` that hold where the target is wrong and nowhere else.
    """

    def __init__(self, target: Target, textbook_cost: TextbookCost, through: str) -> None:
        self.target, self.textbook_cost, self.through = target, textbook_cost, through
        self._observe_all(NETWORKS, "ordinary")
        if not self.wrong and through == "gradient":
            # On saturated networks, lost digits would hide any other mistake. So they are used
            # only if ordinary networks show no mistake, and not for a step from θ to θ', because
            # rounding loses the same digits of θ − θ'.
            self._observe_all(SATURATED, "saturated")
        # a condition is known only if the target is right where it does not hold
        self.conditions = [
            name
            for name, holds in CONDITIONS.items()
            if len(self.wrong) < len(self.observations)
            and all(holds(o) == (o in self.wrong) for o in self.observations)
        ]

    def _observe_all(self, networks: Iterable[NetworkSpec], regime: str) -> None:
        self.regime = regime
        self.observations = list(
            observe(self.target, self.textbook_cost, self.through, networks, regime)
        )
        self.wrong = [o for o in self.observations if self._distance(NO_FAULT, o) > TOLERANCE]

    def _distance(
        self, fault: Fault, observation: Observation, arrays: Sequence[int] | None = None
    ) -> float:
        book, through = self.textbook_cost, self.through
        return compare(book, through, fault, observation, arrays, quick=arrays is not None)[0]

    def has_fitted_constant(self, fault: Fault) -> bool:
        """Whether the constant of a fault is unknown until it is fitted to the gradient."""
        return has_fitted_constant(fault, self.through)

    def matching(self, faults: Iterable[Fault]) -> list[Match]:
        """Return the faults that give the target's gradient on every network."""
        # first the networks on which the target is wrong, small ones first: most faults fail there
        networks = sorted(self.observations, key=lambda o: (o not in self.wrong, sum(o.sizes)))
        return self._narrow_down([m for f in faults for m in self._matches(f, networks)])

    def conditional(self, faults: Iterable[Fault]) -> list[Match]:
        """Return the faults that the target has only under a condition; elsewhere it is right."""
        if not self.conditions or len(self.wrong) < 2:
            return []
        matches = [m for f in faults for m in self._matches(f, self.wrong)]
        return self._narrow_down([replace(m, condition=self.conditions[0]) for m in matches])

    def combined(self, faults: Iterable[Fault], most: int = MOST_TOGETHER) -> list[Match]:
        """Return the fewest faults that together give the target's gradient on every network."""
        networks = sorted(self.observations, key=lambda o: o not in self.wrong)
        search = Combinations(self.textbook_cost, self.through, networks, faults)
        for count in range(2, most + 1):
            found = search.of(count)
            matches = [m for fault in found for m in self._matches(fault, networks, quick=True)]
            if matches:
                return self._narrow_down(matches)
        return []

    def in_the_last_layer(self, faults: Iterable[Fault]) -> list[Match]:
        """Return the faults, or pairs of them, that explain the last layer alone, if it is wrong.

        They are sought where other layers have further mistakes.
        """
        networks = sorted(self.observations, key=lambda o: o not in self.wrong)
        if all(self._distance(NO_FAULT, o, last_layer(o)) <= TOLERANCE for o in networks):
            return []
        # with a limit of its own for each network, one layer may be any factor times the right one
        without_limit = [fault for fault in faults if fault.constant != "limit"]
        search = Combinations(self.textbook_cost, self.through, networks, without_limit)
        for count in (1, 2):
            matches = [
                Match(fault, 0.0)
                for fault in search.of(count, last_layer_only=True)
                if all(self._distance(fault, o, last_layer(o)) <= TOLERANCE for o in networks)
            ]
            if matches:
                return matches
        return []

    def _matches(
        self, fault: Fault, networks: Iterable[Observation], quick: bool = False
    ) -> list[Match]:
        """Return the match of a fault on these networks as a list: one match or none."""
        worst, constants = 0.0, []
        networks = list(networks)
        for observation in networks:
            distance, constant = compare(
                self.textbook_cost, self.through, fault, observation, quick=quick
            )
            if not distance <= TOLERANCE:
                return []
            worst = max(worst, distance)
            if constant is not None and observation in self.wrong:
                constants.append((constant, len(observation.x)))
        if fault.constant == "limit" and constants:
            # Where no entry reaches the limit, the fit gives the largest entry, which is less.
            limit = max(constant for constant, _ in constants)
            if not all(self._fits_with(fault, o, limit) for o in networks):
                return []
            constants = [(limit, 1)]
        text = _common_constant(fault.constant or "decay", constants) if constants else ""
        return [] if text is None else [Match(fault, worst, text)]

    def _fits_with(self, fault: Fault, observation: Observation, constant: float) -> bool:
        predicted = fault_gradient(self.textbook_cost, fault, observation, constant)
        return relative_distance(observation.claimed, predicted) <= TOLERANCE

    def _narrow_down(self, matches: list[Match]) -> list[Match]:
        """Drop the faults that do not fit further networks, until a single fault is left."""
        rng = np.random.default_rng(1)
        for seed in range(len(NETWORKS), len(NETWORKS) + MAX_EXTRA_NETWORKS):
            if len(matches) < 2:
                break
            sizes = tuple(int(n) for n in rng.integers(1, 6, rng.integers(2, 6)))
            network = (sizes, int(rng.integers(1, 7)), float(rng.choice([1, 30])))
            for observation in observe(
                self.target, self.textbook_cost, self.through, [network], self.regime, seed
            ):
                matches = [m for m in matches if self._holds(m, observation)] or matches
        return matches

    def _holds(self, match: Match, observation: Observation) -> bool:
        applies = not match.condition or CONDITIONS[match.condition](observation)
        return self._distance(match.fault if applies else NO_FAULT, observation) <= TOLERANCE

    def distinct(self, faults: Iterable[Fault]) -> dict[Fault, list[str]]:
        """Group faults with equal gradients here; return one of each group, and the others' names.

        Faults that give the right gradient on every network are left out.
        """
        largest = [max(float(np.abs(g).max()) for g in o.claimed) or 1.0 for o in self.observations]
        groups: list[tuple[Fault, Any, list[str]]] = []
        for fault in (NO_FAULT, *faults):
            gradients = np.concatenate(
                [
                    g.ravel() / size
                    for observation, size in zip(self.observations, largest, strict=True)
                    for g in fault_gradient(self.textbook_cost, fault, observation)
                ]
            )
            for _, others, names in groups:
                is_same_size = gradients.size == others.size
                if is_same_size and np.abs(gradients - others).max() <= TOLERANCE * NEGLIGIBLE:
                    names.append(fault.name)
                    break
            else:
                groups.append((fault, gradients, []))
        return {fault: names for fault, _, names in groups[1:]}


def _common_constant(name: str, constants: list[tuple[float, int]]) -> str | None:
    """Return as text the constant, or constant × B, that all networks share; None if neither.

    Parameters
    ----------
    name : str
        One of the textbook's `Constants`.
    constants
        For each network, the constant that was fitted, and B, the number of samples.
    """
    letter = {"decay": "λ", "learning_rate": "η", "limit": "a limit of"}[name]
    equals = "" if name == "limit" else " ="
    for divisor, values in (
        ("", [constant for constant, _ in constants]),
        ("/B", [constant * samples for constant, samples in constants]),
    ):
        if max(values) - min(values) <= CONSTANT_TOLERANCE * max(map(abs, values)):
            text = f"{letter}{divisor}, {letter}" if divisor else letter
            return f"{text}{equals} {float(np.median(values)):.4g}"
    return None
