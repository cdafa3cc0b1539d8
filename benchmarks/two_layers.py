"""Faults of the catalogue in a network of exactly two layers, alone, in pairs and in threes.

``python -m benchmarks.two_layers 200 50`` plants every fault, 200 random pairs and 50 random
triples in a network with biases and in one without, and counts what `name_fault` says of them.
A name is right if the faults named return the gradient on networks that naming has not seen.
"""

import argparse
import time
from collections import Counter
from itertools import chain, combinations
from typing import Any

import numpy as np

from checks.conformance.naming import name_fault
from checks.conformance.naming.agreement import NO_FAULT, TOLERANCE, compare
from checks.conformance.naming.faults import FAULTS, Fault, together
from checks.conformance.naming.observations import NETWORKS, TextbookCost, observe
from checks.conformance.targets.probe import probed
from checks.conformance.targets.target import Target

__all__ = ["COSTS", "judge", "planted"]


COSTS = (
    TextbookCost("logistic", "mean_squared"),
    TextbookCost("tanh", "softmax_cross_entropy"),
    TextbookCost("relu", "half_squared", "linear"),
    TextbookCost("tanh", "cross_entropy"),
    TextbookCost("tanh", "mean_squared", "logistic"),
)


def planted(fault: Fault, cost: TextbookCost, biases: bool = True) -> Target:
    """Return a target of two layers that has a fault, and that reads biases or does not."""
    book = fault.textbook(*cost)

    def read(weights: Any, given: Any) -> Any:
        w1, w2 = weights
        return [w1, w2], [b if biases else 0 * b for b in given]

    def value(weights: Any, given: Any, x: Any, y: Any) -> Any:
        return book.cost(*read(weights, given), x, y)

    def gradient(weights: Any, given: Any, x: Any, y: Any) -> Any:
        dw, db = book.gradient(*read(weights, given), x, y)
        return dw, db if biases else [0 * b for b in given]

    return Target(fault.name, value, gradient, None, names=frozenset())


def judge(faults: tuple[Fault, ...], cost: TextbookCost, biases: bool = True) -> tuple[str, Any]:
    """Return what became of some faults together, and the diagnosis.

    "right", "false", "unnamed", "structure" if it is described without a name of the catalogue, or
    "harmless" if the gradient is right.
    """
    both = together(*faults)
    if both is None:
        return "impossible", ()
    target = planted(both, cost, biases)
    with np.errstate(all="ignore"):
        fresh = list(observe(probed(target), cost, "gradient", NETWORKS, seed=1000))
        fresh += list(observe(probed(target), cost, "gradient", NETWORKS, seed=2000))
        found = name_fault(target)
        names = [mistake.name for mistake in found if mistake.name in FAULTS]

        def reproduced(fault: Fault | None) -> bool:
            return fault is not None and all(
                compare(cost, "gradient", fault, observation)[0] <= TOLERANCE
                for observation in fresh
            )

        if reproduced(NO_FAULT) and not found:
            return "harmless", found
        if {*names} == {fault.name for fault in faults}:
            return "right", found
        if not names:
            return "structure" if found else "unnamed", found
        subsets = chain.from_iterable(combinations(names[:6], k) for k in (1, 2, 3, 4))
        if any(reproduced(together(*(FAULTS[name] for name in s))) for s in subsets):
            return "right", found
        planted_names = {fault.name for fault in faults}
        # what is said of the last layer alone is right if it was planted
        return "partly" if {*names} <= planted_names else "false", found


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=int, nargs="?", default=100)
    parser.add_argument("triples", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    every = list(FAULTS.values())
    for count, total in ((1, 0), (2, args.pairs), (3, args.triples)):
        for biases in (True, False):
            counts: Counter[str] = Counter()
            longest = 0.0
            if count == 1:
                drawn = [((fault,), cost) for fault in every for cost in COSTS]
            else:
                drawn = []
                while len(drawn) < total:
                    some = tuple(every[i] for i in rng.choice(len(every), count, replace=False))
                    if together(*some) is not None:
                        drawn.append((some, COSTS[rng.integers(len(COSTS))]))
            for faults, cost in drawn:
                start = time.perf_counter()
                outcome, found = judge(faults, cost, biases)
                longest = max(longest, time.perf_counter() - start)
                counts[outcome] += 1
                if outcome == "false" or (args.verbose and outcome not in ("right", "harmless")):
                    print(outcome, [f.name for f in faults], cost, biases, "->",
                          [m.name for m in found], *(m.text[:200] for m in found[:1]))  # fmt: skip
            kind = f"{count} together, {'with' if biases else 'without'} biases"
            print(f"{kind}: {dict(counts)}, longest {longest:.1f} s", flush=True)


if __name__ == "__main__":
    main()
