"""Grids of steps for costs that share their evaluations."""

import numpy as np
import pytest

from checks.estimation.coordinates import Grid


@pytest.mark.parametrize("spacing", [1, 3])
def test_steps_of_a_grid_are_powers_of_two_with_a_jitter_of_up_to_a_quarter(spacing):
    grid = Grid(np.random.default_rng(0), spacing)
    jitters = []
    for k in range(12):
        power = 2.0 ** -(spacing * k)
        (taken,) = grid(np.array([power]))
        assert power <= taken <= 1.25 * power
        jitters.append(taken / power)
        # the grid step just below
        above = power * 2.0**spacing
        assert grid(np.array([0.999 * above])) == (taken if k else grid(np.array([2.0])))
    assert max(jitters) - min(jitters) > 0.1
    # no longer than 1, and short steps end far below any last place
    assert 1 <= grid(np.array([64.0])) <= 1.25
    assert 2.0 ** -(spacing * 95) <= grid(np.array([0.0])) <= 1.25 * 2.0 ** -(spacing * 95)


def test_a_grid_does_not_depend_on_what_was_drawn_before():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    other.uniform(size=5)
    steps = np.geomspace(1e-9, 1, 20)
    assert np.array_equal(Grid(rng, 1)(steps), Grid(other, 1)(steps))
    assert not np.array_equal(Grid(rng, 1)(steps), Grid(np.random.default_rng(4), 1)(steps))
