"""Noise at the steps of differences: found where a cost has it, and not where it is smooth."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import step_noise
from checks.estimation.difference_table import DifferenceTable
from checks.estimation.noise import Noise
from checks.estimation.step_noise import _is_noise, noise_at_steps
from checks.evaluation.pointwise import Evaluations

SIGNS = [1, -1]
KNOWN = Noise(1e-15, 1e-15, False, False)


def rng(seed=0):
    return np.random.default_rng(seed)


def found_at(cost, x=1.0, discrepancy=0.1, known=KNOWN, seed=0, bounds=None):
    """Return the noise that is found, and the calls that it took."""
    evaluations = Evaluations(lambda p: cost(float(p[1])), np.array([5.0, x]), bounds=bounds)
    before = evaluations.count
    found = noise_at_steps(evaluations, "params", 1, known, discrepancy, rng(seed))
    return found, evaluations.count - before


def interpolated(x, width=0.03):
    """Return exp between nodes of a table, by straight lines."""
    low = math.floor(x / width) * width
    part = (x - low) / width
    return (1 - part) * math.exp(low) + part * math.exp(low + width)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 2.0**30])
def test_a_smooth_cost_takes_seven_calls(sign, scale):
    for cost in (math.exp, math.sin, lambda x: x**3 - 2 * x):
        found, calls = found_at(lambda x, cost=cost: sign * cost(x / scale), scale, 1.0 / scale)
        assert found is KNOWN
        assert calls == 7


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("scale", [2.0**-30, 1.0, 2.0**30])
@pytest.mark.parametrize("height", [1e-2, 1e-4])
def test_errors_that_differ_from_piece_to_piece_are_noise(sign, scale, height):
    pieces = rng(7).standard_normal(1000)

    def cost(x):
        x = x / scale
        return sign * (3.0 + math.exp(x) + height * pieces[math.floor(500 * (x - 0.5)) % 1000])

    levels = []
    for seed in range(8):
        found, _ = found_at(cost, scale, 100 * height / scale, seed=seed)
        assert found is not KNOWN
        levels.append(found.level)
        assert found.relative == pytest.approx(found.level / abs(cost(scale)))
        assert not found.stochastic
    assert height / 4 < np.median(levels) < 4 * height


def test_noise_too_small_for_the_discrepancy_or_known_already_is_left_out():
    pieces = rng(7).standard_normal(1000)
    cost = lambda x: math.exp(x) + 1e-3 * pieces[math.floor(500 * (x - 0.5)) % 1000]  # noqa: E731
    assert found_at(cost, discrepancy=1.0)[0] is not KNOWN
    # pieces of the finest spacing, 0.1/64, explain at most 32 times their noise over that
    found, calls = found_at(cost, discrepancy=1e-2 * 32 * 640)
    assert (found is KNOWN, calls) == (True, 7)
    loud = Noise(1e-2, 1e-2, False, False)
    assert found_at(cost, known=loud) == (loud, 7)


def test_a_relative_noise_that_is_larger_is_kept():
    pieces = rng(7).standard_normal(1000)
    cost = lambda x: math.exp(x) + 1e-3 * pieces[math.floor(500 * (x - 0.5)) % 1000]  # noqa: E731
    known = Noise(1e-15, 0.5, False, False)
    found, _ = found_at(cost, discrepancy=1.0, known=known)
    assert found.level > 1e-4
    assert found.relative == 0.5
    at_zero = lambda x: cost(x) - cost(1.0)  # noqa: E731
    assert found_at(at_zero, discrepancy=1.0)[0].relative == 1


@pytest.mark.parametrize("sign", SIGNS)
def test_a_jump_is_noise_and_a_kink_is_not(sign):
    for where in (0.93, 1.06, 1.21):
        kink = lambda x, where=where: math.exp(x) + sign * abs(x - where)  # noqa: E731
        for seed in range(4):
            assert found_at(kink, seed=seed)[0] is KNOWN
    jumped = [
        found_at(lambda x, w=w: math.exp(x) / 64 + sign * 0.3 * (x > w), seed=seed)[0].level
        for seed in range(4)
        for w in (0.93, 1.06, 1.21)
    ]
    assert np.mean(np.array(jumped) > 0.03) > 0.5


def test_a_pole_is_no_noise():
    for where in (0.82, 1.11, 1.3):
        for power in (1, 2, 3):
            pole = lambda x, where=where, power=power: (x - where) ** -power  # noqa: E731
            assert all(found_at(pole, seed=seed)[0] is KNOWN for seed in range(8))


def test_an_interpolated_table_is_noise():
    levels = [found_at(interpolated, seed=seed)[0].level for seed in range(8)]
    # lines between nodes are off by up to h² f''/8
    largest = 0.03**2 * math.e / 8
    found = [level for level in levels if level > 1e-12]
    assert len(found) >= 6
    assert all(largest / 30 < level < 3 * largest for level in found)


def test_only_the_entry_is_moved_by_at_most_a_third_of_its_size():
    seen = []

    def cost(p):
        seen.append(p.copy())
        return float(np.sin(40 * p[1]))

    for x in (2.0, -2.0, 0.0):
        seen.clear()
        evaluations = Evaluations(cost, np.array([3.0, x]))
        noise_at_steps(evaluations, "params", 1, KNOWN, 0.1, rng())
        moved = np.array(seen)
        assert (moved[:, 0] == 3).all()
        size = abs(x) or math.sqrt(4.5)
        assert np.abs(moved[:, 1] - x).max() == pytest.approx(0.35 * size)


def planted(monkeypatch, within, jump=True, levels=(1.0, 1.0, 1.0)):
    """Return what is said of a table of noise 1 with planted noise within its intervals."""
    nodes = np.arange(8.0)
    table = DifferenceTable(nodes, np.zeros(8))
    table.levels = list(levels)
    table.rough_intervals = lambda k: [(4.0, 5.0), (2.0, 3.0), (5.0, 6.0), (1.0, 2.0)]
    asked = []

    def noises(line, place, finest, rng):
        asked.append(place)
        return within.get(place, []), (place[0] + 0.25, place[1]), 7.0

    def has_jump(line, place, slope, height, finest):
        assert slope == 7.0
        assert height == levels[0] / 4
        return jump is True or place == jump

    monkeypatch.setattr(step_noise, "noise_within", noises)
    monkeypatch.setattr(step_noise, "has_jump", has_jump)
    return _is_noise(None, table, 1, 1e-9, rng()), asked


FIRST, MIDDLE, LAST = (0.0, 1.0), (3.0, 4.0), (6.0, 7.0)


def test_noise_within_most_of_three_places_is_noise(monkeypatch):
    dense = [0.3, 0.2]
    for places in ((FIRST, MIDDLE), (FIRST, LAST), (MIDDLE, LAST)):
        found, asked = planted(monkeypatch, dict.fromkeys(places, dense), jump=False)
        assert found
        assert asked == [FIRST, MIDDLE, LAST]
    # it may shrink, but not vanish in all of them, nor be small from the start
    assert not planted(monkeypatch, {FIRST: [0.3, 0.0], LAST: [0.3, 0.0]}, jump=False)[0]
    assert planted(monkeypatch, {FIRST: [0.3, 0.0], LAST: [0.3, 0.1]}, jump=False)[0]
    assert not planted(monkeypatch, {FIRST: [0.24, 0.2], LAST: [0.24, 0.2]}, jump=False)[0]
    assert planted(monkeypatch, {FIRST: [0.25, 0.2], LAST: [0.25, 0.2]}, jump=False)[0]
    assert not planted(monkeypatch, {FIRST: dense}, jump=False)[0]
    # nor grow by more than a factor of 16, as beside a pole
    assert planted(monkeypatch, {FIRST: [0.3, 0.0], LAST: [0.3, 4.7]}, jump=False)[0]
    assert not planted(monkeypatch, {FIRST: [0.3, 0.0], LAST: [0.3, 5.0]}, jump=False)[0]


def test_a_jump_in_one_of_the_three_roughest_intervals_is_noise(monkeypatch):
    for k, place in enumerate([(4.0, 5.0), (2.0, 3.0), (5.0, 6.0)]):
        found, asked = planted(monkeypatch, {place: [0.5]}, jump=(place[0] + 0.25, place[1]))
        assert found
        assert len(asked) == 3 + k + 1
    assert not planted(monkeypatch, {}, jump=(1.25, 2.0))[0]  # the fourth is not searched
    # a table there that shows nothing has no jump
    smooth = {(n, n + 1.0): [0.5, 0.0] for n in (4.0, 2.0, 5.0)}
    assert not planted(monkeypatch, smooth)[0]


def test_tables_are_narrower_each_until_an_order_shows_no_noise(monkeypatch):
    levels, reaches = [1.0] * 7, []

    def take_table(line, first, last, rng):
        assert first == -last
        reaches.append(last)
        return SimpleNamespace(levels=levels, agreeing_order=lambda: 0)

    monkeypatch.setattr(step_noise, "take_table", take_table)
    evaluations, known = Evaluations(np.sum, np.array([2.0, 8.0])), Noise(1e-16, 1e-16, 0, 0)
    for smooth, tables in ((None, 4), (6, 4), (5, 1), (0, 1)):
        levels, reaches = [float(k != smooth) for k in range(7)], []
        assert step_noise.noise_at_steps(evaluations, "params", 1, known, 0.1, rng()) is known
        expected = 8 * 0.35 * 0.25 ** np.arange(tables)
        np.testing.assert_allclose(reaches, expected)
