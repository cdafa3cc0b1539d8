"""Faults of the catalogue in a network of exactly two layers, with biases and without."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings

from benchmarks.two_layers import COSTS, judge
from checks.conformance.naming.faults import FAULTS, together

SOAK = settings().max_examples > 1000
EVERY = list(FAULTS.values())
# What is updated in the midst of it is no gradient; with a penalty it is not affine in λ.
TOGETHER = [fault for fault in EVERY if "gradient" not in fault.steps]


@pytest.mark.parametrize("biases", [True, False], ids=["biases", "no biases"])
def test_every_fault_that_makes_a_difference_is_named(biases):
    rng = np.random.default_rng(int(biases))
    for fault in EVERY if SOAK else EVERY[int(biases) :: 3]:
        cost = COSTS[rng.integers(len(COSTS))]
        outcome, found = judge((fault,), cost, biases)
        assert outcome in ("right", "harmless"), (fault.name, cost, found)


@pytest.mark.parametrize(("count", "draws", "rate"), [(2, 10, 0.9), (3, 4, 0.6)])
def test_faults_together_are_named_and_no_other_is(count, draws, rate):
    rng, counts = np.random.default_rng(count), Counter()
    while counts.total() < draws:
        faults = tuple(TOGETHER[i] for i in rng.choice(len(TOGETHER), count, replace=False))
        if together(*faults) is None:
            continue
        cost = COSTS[rng.integers(len(COSTS))]
        outcome, found = judge(faults, cost, bool(rng.integers(2)))
        counts[outcome] += outcome != "harmless"
        assert outcome != "false", ([fault.name for fault in faults], cost, found)
    assert counts["right"] >= rate * draws
