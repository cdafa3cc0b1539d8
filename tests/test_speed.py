"""The benchmark of speed, as far as it runs without the peers."""

import time
from functools import partial

import numpy as np
import pytest

from benchmarks.contest import CHECKERS, CHECKS, WARM, Case, compare, count, prepared
from benchmarks.timing import alone, exponent, in_turns


@pytest.mark.parametrize("name", [name for name in CHECKERS if name.startswith("ours")])
def test_our_checkers_accept_the_right_gradient(name):
    assert prepared(name, CHECKS[0])() is True


def test_a_wrong_gradient_is_no_part_of_the_comparison():
    right = Case.draw(*WARM).claim.gradient(None)
    compare("right", right, right)
    with pytest.raises(AssertionError, match="wrong"):
        compare("wrong", [1.001 * right[0], *right[1:]], right)  # wrong on purpose
    with pytest.raises(AssertionError, match="computes in float32"):
        compare("narrow", [g.astype(np.float32) for g in right], right)


def test_sizes_run_from_43_to_1_863_690_parameters():
    sizes = [count(sizes) for sizes, _ in CHECKS]
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (43, 1_863_690)
    assert sizes[0] == Case.draw(*CHECKS[0]).gradient.ravel().size


def test_the_exponent_of_a_power_law_is_found():
    sizes = np.array([10.0, 100, 1000])
    assert exponent(sizes, 3e-9 * sizes**1.5) == pytest.approx(1.5)


def test_calls_have_their_turn_in_every_round():
    turns = []
    calls = {"one": partial(turns.append, 1), "two": partial(turns.append, 2)}
    times = in_turns(calls, rounds=3, burst=0)
    assert turns == [1, 2] * 3
    assert times.keys() == calls.keys()


def busy(seconds):
    def call():
        started = time.process_time()
        while time.process_time() - started < seconds:
            pass

    return call


def sleeping(seconds):
    return partial(time.sleep, seconds)


def test_what_takes_too_long_is_left_out_alone():
    # 1 s would have been 0.1 s × 2 as far as one can tell: it is begun, and left out
    found = alone(busy, [0, 0, 0.1, 1, 0], [1, 1, 2, 4, 5], seconds=0.5)
    assert len(found) == 2
    assert found[1][1] >= 0.1
    # 100 times as large as what took 0.1 s: not begun
    assert len(alone(busy, [0, 0.1, 0], [1, 2, 200], seconds=0.5)) == 1


def test_what_waits_for_ever_is_ended():
    assert len(alone(sleeping, [0, 0, 60], [1, 1, 1], seconds=0.05)) == 1
