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

__all__ = ["MOST_TOGETHER", "Combinations", "last_layer"]

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
        self._fits: dict[tuple[str, str, int], bool] = {}

    def _gradient(self, fault: Fault) -> list[Any]:
        return fault_gradient(self.textbook_cost, fault, self.networks[0])

    def of(self, count: int, last_layer_only: bool = False) -> Iterator[Fault]:
        """Yield the combinations of so many faults that explain the first network.

        With `last_layer_only`, those that explain its last layer.
        """
        seen = set()
        end = len(self.stages) - last_layer_only
        for chosen in self._search(0, (), count, end):
            names = frozenset(fault.text for fault in chosen)
            both = self._together(chosen)
            if names not in seen and both is not None:
                seen.add(names)
                yield both
        # these change all layers at once, so that no stage fits before all are right
        for fault in self.faults if count == 2 and not last_layer_only else ():
            if fault.name in ("clipped by norm", "layers in reverse order"):
                for other in self.faults:
                    both = self._together((fault, other)) if other is not fault else None
                    if both is not None and self._fit(both, end - 1):
                        yield both

    def _search(
        self, stage: int, chosen: tuple[Fault, ...], left: int, end: int
    ) -> Iterator[tuple[Fault, ...]]:
        if stage == end:
            if not left:
                yield chosen
            return
        fault = self._together(chosen)
        if fault is not None and self._fit(fault, stage):
            yield from self._search(stage + 1, chosen, left, end)
            counts: Iterable[int] = [left] if left and stage == end - 1 else []
        else:
            counts = range(1, left + 1)
        pool = [f for f in self.faults if self._may_come(f, chosen, stage, len(chosen) + left)]
        for count in counts:
            for more in combinations(pool, count):
                both = self._together((*chosen, *more))
                if both is not None and self._fit(both, stage):
                    yield from self._search(stage + 1, (*chosen, *more), left - count, end)

    def _may_come(self, fault: Fault, chosen: tuple[Fault, ...], stage: int, count: int) -> bool:
        """Whether a fault can make a difference here, and leaves the earlier stages as they are."""
        if fault in chosen or self.first_stage[fault] > stage:
            return False
        if "gradient" in fault.steps and count > 2:  # takes a gradient of each sample: slow
            return False
        both = self._together((*chosen, fault))
        return both is not None and (stage == 0 or self._fit(both, stage - 1))

    def _together(self, chosen: Sequence[Fault]) -> Fault | None:
        if not chosen:
            return NO_FAULT
        order = self.faults.index
        return together(*sorted(chosen, key=order)) if len(chosen) > 1 else chosen[0]

    def _fit(self, fault: Fault, stage: int) -> bool:
        key = fault.name, fault.text, stage
        if key not in self._fits:
            arrays = tuple(i for s in self.stages[: stage + 1] for i in s)
            distance, _ = compare(
                self.textbook_cost, self.through, fault, self.networks[0], arrays, quick=True
            )
            self._fits[key] = distance <= TOLERANCE
        return self._fits[key]


def last_layer(observation: Observation) -> Stage:
    """Return the indices of ∂C/∂b^L, if the cost reads biases, and of ∂C/∂w^L."""
    layers = len(observation.weights)
    return (2 * layers - 1, layers - 1) if observation.reads_biases else (layers - 1,)


def _stages(observation: Observation) -> list[Stage]:
    """Return ∂C/∂b^L, ∂C/∂w^L, and the other arrays, as indices."""
    last = last_layer(observation)
    rest = tuple(i for i in range(len(observation.claimed)) if i not in last)
    return [(i,) for i in last] + ([rest] if rest else [])


def _equal(one: Sequence[Any], other: Sequence[Any], arrays: Stage) -> bool:
    return all(one[i].shape == other[i].shape and np.array_equal(one[i], other[i]) for i in arrays)
