"""What was seen of a target, and which faults explain it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from checks.conformance.naming.agreement import NEGLIGIBLE, RIGHT, SAME, is_free, likeness, predict
from checks.conformance.naming.faults import Fault
from checks.conformance.naming.observations import NETWORKS, SATURATED, Observation, Rows, watch
from checks.conformance.targets.target import Target

__all__ = ["Evidence", "Match"]

MORE = 24  # networks at most to tell explanations apart by
ALIKE = 1e-3  # constants fitted to different networks are one, if they differ by no more

CONDITIONS: dict[str, Callable[[Observation], bool]] = {
    "where B = 1": lambda s: len(s.x) == 1,
    "where B > 1": lambda s: len(s.x) > 1,
    "with one output": lambda s: s.y.shape[1] == 1,
    "with several outputs": lambda s: s.y.shape[1] > 1,
    "with hidden layers": lambda s: len(s.weights) > 1,
    "with three or more layers": lambda s: len(s.weights) > 2,
    "where a layer is square": lambda s: any(m == n for m, n in pairwise(s.sizes)),
    "where a layer above the first is square": lambda s: any(
        m == n for m, n in pairwise(s.sizes[1:])
    ),
    "where B is the width of a layer": lambda s: len(s.x) in s.sizes[1:],
}


@dataclass(frozen=True)
class Match:
    """A fault that reproduces a target: how closely, with which constant, and under what."""

    fault: Fault
    off: float
    constant: str = ""
    condition: str = ""


class Evidence:
    """Sightings of a target through its gradient or its step.

    Attributes
    ----------
    seen : list of Observation
        Ordinary networks; saturated ones if the target is right on all of these.
    wrong : list of Observation
        Those on which it is not right.
    conditions : list of str
        What these have and no other has.
    """

    def __init__(self, target: Target, rows: Rows, through: str) -> None:
        self.target, self.rows, self.through, self.regime = target, rows, through, "ordinary"
        self._look(NETWORKS)
        if not self.wrong and through == "gradient":
            # digits that saturation costs: seen together, they would blur any other mistake; and
            # θ − θ' has none of them
            self.regime = "saturated"
            self._look(SATURATED)
        wrong = {id(seen) for seen in self.wrong}
        self.conditions = [
            name
            for name, holds in CONDITIONS.items()
            if all(holds(seen) == (id(seen) in wrong) for seen in self.seen)
        ]

    def _look(self, networks: Any) -> None:
        self.seen = list(watch(self.target, self.rows, self.through, networks, self.regime))
        self.wrong = [seen for seen in self.seen if self._off(RIGHT, seen) > SAME]

    def _off(self, fault: Fault, seen: Observation) -> float:
        return likeness(self.rows, self.through, fault, seen)[0]

    def free(self, fault: Fault) -> bool:
        """Whether a fault has a constant that only the gradient itself can tell."""
        return is_free(fault, self.through)

    def matching(self, faults: Iterable[Fault]) -> list[Match]:
        """Return the faults that reproduce the target on every network."""
        wrong = {id(seen) for seen in self.wrong}
        # first where the target is wrong, which refutes the most, and of these where it is cheap
        networks = sorted(self.seen, key=lambda seen: (id(seen) not in wrong, sum(seen.sizes)))
        return self.told_apart([m for f in faults for m in self._matches(f, networks)])

    def conditional(self, faults: Iterable[Fault]) -> list[Match]:
        """Return those that reproduce it wherever it is wrong, if there is a reason to that."""
        if not self.conditions or len(self.wrong) < 2:
            return []
        matches = [m for f in faults for m in self._matches(f, self.wrong)]
        return self.told_apart([replace(m, condition=self.conditions[0]) for m in matches])

    def _matches(self, fault: Fault, networks: Iterable[Observation]) -> list[Match]:
        """Return one match or none."""
        worst, constants = 0.0, []
        for seen in networks:
            off, constant = likeness(self.rows, self.through, fault, seen)
            if not off <= SAME:
                return []
            worst = max(worst, off)
            if constant is not None and seen in self.wrong:
                constants.append((constant, len(seen.x)))
        said = _one_constant(fault.constant, constants) if constants else ""
        return [] if said is None else [Match(fault, worst, said)]

    def told_apart(self, matches: list[Match]) -> list[Match]:
        """Draw networks until one explanation is left, or no more are lost."""
        rng = np.random.default_rng(1)
        for number in range(MORE):
            if len(matches) < 2:
                break
            sizes = tuple(int(n) for n in rng.integers(1, 6, rng.integers(2, 6)))
            network = (sizes, int(rng.integers(1, 7)), float(rng.choice([1, 30])))
            seed = len(NETWORKS) + number
            for seen in watch(self.target, self.rows, self.through, [network], self.regime, seed):
                matches = [m for m in matches if self._holds(m, seen)] or matches
        return matches

    def _holds(self, match: Match, seen: Observation) -> bool:
        applies = not match.condition or CONDITIONS[match.condition](seen)
        return self._off(match.fault if applies else RIGHT, seen) <= SAME

    def distinct(self, faults: Iterable[Fault]) -> dict[Fault, list[str]]:
        """Return the faults that make a difference here, each with the names of any like it."""
        sizes = [max(float(np.abs(g).max()) for g in seen.claimed) or 1.0 for seen in self.seen]
        kinds: list[tuple[Fault, Any, list[str]]] = []
        for fault in (RIGHT, *faults):
            predicted = [
                g.ravel() / size
                for seen, size in zip(self.seen, sizes, strict=True)
                for g in predict(self.rows, fault, seen)
            ]
            all_of_it = np.concatenate(predicted)
            for _, other, names in kinds:
                same = all_of_it.size == other.size
                if same and np.abs(all_of_it - other).max() <= SAME * NEGLIGIBLE:
                    names.append(fault.name)
                    break
            else:
                kinds.append((fault, all_of_it, []))
        return {fault: names for fault, _, names in kinds[1:]}


def _one_constant(name: str, constants: list[tuple[float, int]]) -> str | None:
    """Say which constant, or constant over B, fits all networks; None if none does."""
    letter = {"decay": "λ", "learning_rate": "η", "limit": "a limit of"}[name]
    equals = "" if name == "limit" else " ="
    for over, values in (
        ("", [c for c, _ in constants]),
        ("/B", [c * samples for c, samples in constants]),
    ):
        if max(values) - min(values) <= ALIKE * max(values):
            said = f"{letter}{over}, {letter}" if over else letter
            return f"{said}{equals} {float(np.median(values)):.4g}"
    return None
