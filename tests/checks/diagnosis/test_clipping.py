"""Gradients that are clipped, of one array and of two: which limit, and how many entries."""

import numpy as np
import pytest

from checks import Verdict, check_gradient

RNG = np.random.default_rng(3)
SLOPES = {"v": RNG.uniform(1, 3, 30) * RNG.choice([-1, 1], 30), "w": RNG.uniform(0.1, 0.4, (4, 3))}
POINT = {path: RNG.standard_normal(g.shape) for path, g in SLOPES.items()}


def named(claim, slopes=SLOPES):
    point = {path: POINT[path] for path in slopes}
    cost = lambda p: sum(np.sum(slopes[path] * p[path]) for path in slopes)  # noqa: E731
    report = check_gradient(cost, claim, point)
    assert report.verdict is Verdict.MISMATCH
    return {d.name: d.text for d in report.diagnosis}


@pytest.mark.parametrize("limit", [0.25, 1.5, 2.25])
def test_the_limit_and_the_number_of_entries_are_named(limit):
    claim = {path: np.clip(g, -limit, limit) for path, g in SLOPES.items()}  # wrong on purpose
    found = named(claim)
    cut = int(np.sum(np.abs(SLOPES["v"]) > limit))
    assert set(found) == {"clipped"}
    assert f"cut to ±{limit:.4g} in {cut} of 30 entries" in found["clipped"]


def test_a_limit_of_two_arrays_shows_in_the_one_that_it_cuts():
    for first in (1, -1):  # in any order of the arrays
        slopes = dict(list({"v": SLOPES["v"], "w": 10 * SLOPES["w"]}.items())[::first])
        claim = {path: np.clip(g, -2.0, 2.0) for path, g in slopes.items()}  # wrong on purpose
        found = named(claim, slopes)
        assert set(found) == {"clipped"}
        assert "cut to ±2 in" in found["clipped"]


@pytest.mark.parametrize(("sign", "which"), [(1, "negative"), (-1, "positive")])
def test_entries_of_one_sign_are_cut_at_zero(sign, which):
    claim = {"v": sign * np.maximum(sign * SLOPES["v"], 0), "w": SLOPES["w"]}  # wrong on purpose
    found = named(claim)
    cut = int(np.sum(sign * SLOPES["v"] < 0))
    assert f"cut at 0: {cut} of 30 entries, the {which} ones, are zero" in found["clipped"]
