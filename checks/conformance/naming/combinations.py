"""Several faults together, the last layer first: a sum of searches and not a product.

∂C/∂b^L depends on ①, σ'(z^L) and the sum over the batch alone, ∂C/∂w^L on ④ as well, and the layers
below on the recursion too. Faults are chosen until they give the first of these; those are held
fixed, and faults are added until the next fits.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from checks.conformance.naming.agreement import NO_FAULT, TOLERANCE, compare, fault_gradient
from checks.conformance.naming.faults import Fault, together
from checks.conformance.naming.observations import Observation, TextbookCost

__all__ = ["MOST_TOGETHER", "Combinations"]

MOST_TOGETHER = 3
Stage: TypeAlias = tuple[int, ...]  # indices of arrays in a gradient


class Combinations:
    """The search for faults that together give a target's gradient.

    Parameters
    ----------
    textbook_cost, through
        As of `agreement.compare`.
    networks : list of Observation
        Those that tell most first.
    faults : list of Fault
        Distinct ones, each of which makes a difference.
    """

    def __init__(
        self,
        textbook_cost: TextbookCost,
        through: str,
        networks: Sequence[Observation],
        faults: Iterable[Fault],
    ) -> None:
        self.textbook_cost, self.through, self.networks = textbook_cost, through, networks
        self.faults = list(faults)
        first = networks[0]
        self.stages = _stages(first)
        right = self._gradient(NO_FAULT)
        # from which stage on a fault makes a difference
        self.first_stage = {
            fault: next(
                (
                    s
                    for s, stage in enumerate(self.stages)
                    if not _equal(right, self._gradient(fault), stage)
                ),
                len(self.stages) - 1,
            )
            for fault in self.faults
        }
        self._fits: dict[tuple[str, int], bool] = {}

    def _gradient(self, fault: Fault) -> list[Any]:
        return fault_gradient(self.textbook_cost, fault, self.networks[0])

    def of(self, count: int) -> Iterator[Fault]:
        """Yield the combinations of so many faults that explain the first network."""
        seen = set()
        for chosen in self._search(0, (), count):
            names = frozenset(fault.name for fault in chosen)
            both = self._together(chosen)
            if names not in seen and both is not None:
                seen.add(names)
                yield both
        # these change all layers at once, so that no stage fits before all are right
        for fault in self.faults:
            if "clipped by norm" in fault.name or "reverse order" in fault.name:
                rest = [other for other in self.faults if other is not fault]
                for others in combinations(rest, count - 1) if count == 2 else ():
                    both = self._together((fault, *others))
                    if both is not None and self._fit(both, len(self.stages) - 1):
                        yield both

    def last_layer(self, count: int) -> Iterator[Fault]:
        """Yield the combinations that explain the last layer of the first network."""
        last = len(self.stages) - 2
        for chosen in combinations(self.faults, count) if last >= 0 else ():
            if all(self.first_stage[fault] <= last for fault in chosen):
                both = self._together(chosen)
                if both is not None and self._fit(both, last):
                    yield both

    def _search(
        self, stage: int, chosen: tuple[Fault, ...], left: int
    ) -> Iterator[tuple[Fault, ...]]:
        if stage == len(self.stages):
            if not left:
                yield chosen
            return
        # the last stage uses all that are left
        counts = range(left + 1) if stage < len(self.stages) - 1 else (left,)
        for count in counts:
            pool = [f for f in self.faults if self.first_stage[f] <= stage and f not in chosen]
            for more in combinations(pool, count):
                both = self._together((*chosen, *more))
                if both is not None and self._fit(both, stage):
                    yield from self._search(stage + 1, (*chosen, *more), left - count)

    def _together(self, chosen: Sequence[Fault]) -> Fault | None:
        if not chosen:
            return NO_FAULT
        order = self.faults.index
        return together(*sorted(chosen, key=order)) if len(chosen) > 1 else chosen[0]

    def _fit(self, fault: Fault, stage: int) -> bool:
        key = fault.name, stage
        if key not in self._fits:
            arrays = tuple(i for s in self.stages[: stage + 1] for i in s)
            distance, _ = compare(
                self.textbook_cost, self.through, fault, self.networks[0], arrays, quick=True
            )
            self._fits[key] = distance <= TOLERANCE
        return self._fits[key]


def _stages(observation: Observation) -> list[Stage]:
    """Return ∂C/∂b^L, ∂C/∂w^L, and the other arrays, as indices."""
    layers = len(observation.weights)
    rest = tuple(range(layers - 1))
    stages: list[Stage] = [(layers - 1,)]
    if observation.reads_biases:
        stages.insert(0, (2 * layers - 1,))
        rest += tuple(range(layers, 2 * layers - 1))
    return [*stages, rest] if rest else stages


def _equal(one: Sequence[Any], other: Sequence[Any], arrays: Stage) -> bool:
    return all(one[i].shape == other[i].shape and np.array_equal(one[i], other[i]) for i in arrays)
