"""Arrays that are judged together get the verdicts that each gets alone."""

from dataclasses import replace

import numpy as np
import pytest

from checks.report.array_report import ArrayReport, joined, judge_by_rule
from checks.report.verdict import Rule, Verdict

SHAPES = [(), (3,), (0, 2), (2, 4), (1,), (5, 0)]


def arrays_of(seed, scale="entry"):
    """Draw arrays in different units, with claims off by about what decides their verdict."""
    rng = np.random.default_rng(seed)
    arrays = []
    for k, shape in enumerate(SHAPES):
        numeric = np.asarray(10.0 ** rng.uniform(-6, 6) * rng.normal(size=shape))
        error = np.asarray(np.abs(numeric) * 10.0 ** rng.uniform(-9, 0.5, shape))
        claimed = np.asarray(numeric * (1 + 10.0 ** rng.uniform(-6, 0, shape)))
        jump = np.asarray(np.where(rng.random(shape) < 0.2, error / 2, 0))
        if claimed.size and rng.random() < 0.2:
            claimed.flat[0] = rng.choice([np.nan, np.inf])
        rounding = 0.0
        if rng.random() < 0.5:
            rounding = np.where(rng.random(shape) < 0.3, np.nan, 1e-5 * np.abs(numeric))
        lost = rng.choice([0.0, 1e-3])
        rule = Rule(1e-4, 0.1, scale, eps=2.0**-52, largest=1e6, lost=float(lost))
        verdicts = np.full(shape, 7, np.int8)
        parts = (claimed, numeric, error, verdicts, jump, rule, rounding)
        arrays.append(ArrayReport(f"array {k}", *parts))
    return arrays


@pytest.mark.parametrize("seed", range(60))
def test_arrays_are_judged_together_as_each_alone(seed):
    arrays = arrays_of(seed, "array" if seed % 3 == 0 else "entry")
    alone = [replace(array, verdicts=array.verdicts.copy()) for array in arrays]
    for array in alone:
        judge_by_rule([array])
    flat = judge_by_rule(arrays)
    for array, expected in zip(arrays, alone, strict=True):
        assert array.verdicts.tolist() == expected.verdicts.tolist()
        assert array.verdict is expected.verdict
    assert flat.verdict is max(array.verdict for array in alone)
    filled = [array for array in alone if array.claimed.size]
    for name in ("tolerance", "limit", "detectable_errors", "scales", "verdicts"):
        parts = [np.broadcast_to(getattr(a, name), a.claimed.shape).ravel() for a in filled]
        np.testing.assert_array_equal(getattr(flat, name), np.concatenate(parts))
    assert flat.detectable == max(a.detectable for a in filled if a.differentiable.any())


def test_all_verdicts_are_met():
    met = {v for seed in range(60) for a in arrays_of(seed) for v in _judged(a).ravel().tolist()}
    assert met == {int(verdict) for verdict in Verdict}


def _judged(array):
    judge_by_rule([array])
    return array.verdicts


def test_one_array_is_itself_and_none_is_a_match():
    array = arrays_of(0)[1]
    assert joined([array]) is array
    empty = arrays_of(0)[2]
    assert judge_by_rule([empty, arrays_of(0)[5]]).verdict is Verdict.MATCH
