"""The table of mistakes and near misses, drawn at random: named right, and never falsely."""

from collections import Counter

import pytest

from benchmarks.mistakes import MISTAKES, NEAR_MISSES, try_mistake, try_two
from checks.diagnosis.hypotheses import HYPOTHESES

DRAWS = 4


def test_the_table_has_enough_rows():
    assert len(MISTAKES) >= 60 + len(NEAR_MISSES)
    assert len(MISTAKES) > 3 * len(HYPOTHESES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{i} {m}" for i, m in enumerate(MISTAKES)])
def test_a_mistake_is_named_and_a_near_miss_is_not(mistake):
    outcomes = [try_mistake(mistake, seed) for seed in range(DRAWS)]
    reports = "\n".join(str(o.report) for o in outcomes if o and o.kind in ("false", "unnamed"))
    counts = Counter(outcome.kind for outcome in outcomes if outcome)
    assert counts["false"] == 0, reports
    # of all rows, far more than 95 % are named: a row of a few draws may miss one
    assert counts["unnamed"] <= 1, reports
    assert counts["right"]


def test_two_arrays_have_each_its_own_name():
    outcomes = [outcome for outcome in map(try_two, range(150)) if outcome]
    counts = Counter(outcome.kind for outcome in outcomes)
    assert counts["false"] == 0, [o.report.diagnosis for o in outcomes if o.kind == "false"]
    assert counts["right"] >= 0.95 * counts.total() > 40
