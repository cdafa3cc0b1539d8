"""Moves of many entries in one call, where these move different results."""

import numpy as np
import pytest

from checks.evaluation.groups import MANY, TRIED, Groups

H = np.array([1, 2, 3, -1, -2, -3]) / 64


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


FUNCTIONS = {
    "of each entry": (np.sin, (20, 20)),
    "of each entry of a vector": (np.sin, (300,)),
    "of neighbours": (lambda x: np.diff(x**2), (400,)),
    "of neighbours that move alike": (np.diff, (400,)),
    "of rows": (softmax, (40, 8)),
    "in another order": (lambda x: np.swapaxes(x, -1, -2)[..., ::-1] ** 3, (20, 20)),
    "of products": (lambda x: x[..., :-1] * x[..., 1:], (20, 20)),
    "with a mean of all": (lambda x: x - 1e-3 * x.mean(axis=-1, keepdims=True), (20, 30)),
}


class Calls:
    """The results of a function at many points, as vectors; counts these."""

    def __init__(self, function):
        self.function, self.count = function, 0

    def __call__(self, points):
        self.count += len(points)
        return self.function(points).reshape(len(points), -1)


def wanted_moves(shape, rng):
    """Return a point, entries in any order, their steps, and those that are wanted: not all."""
    x = rng.normal(size=shape)
    entries = rng.permutation(x.size)[: x.size - 2]
    steps = np.abs(x.reshape(-1)[entries, None]) * H
    wanted = np.ones(steps.shape, bool)
    wanted[rng.integers(len(wanted), size=9), rng.integers(6, size=9)] = False
    return x, entries, steps, np.argwhere(wanted).T


def moved(x, entries, steps, wanted):
    """Return the points with one entry moved at a time."""
    rows, columns = wanted
    points = np.repeat(x.reshape(1, -1), rows.size, axis=0)
    points[np.arange(rows.size), entries[rows]] += steps[rows, columns]
    return points.reshape((rows.size, *x.shape))


@pytest.mark.parametrize("most", [50, 5000])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_results_are_those_of_single_moves(name, most):
    function, shape = FUNCTIONS[name]
    x, entries, steps, wanted = wanted_moves(shape, np.random.default_rng(0))
    calls = Calls(function)
    pieces = list(Groups(calls, lambda f: f).pieces(x, "params", entries, steps, wanted, most))
    alone = Calls(function)(moved(x, entries, steps, wanted))
    met = np.concatenate([numbers for numbers, _ in pieces])
    assert np.array_equal(np.sort(met), np.arange(wanted.shape[1]))
    for numbers, results in pieces:
        assert np.array_equal(results, alone[numbers])
    assert calls.count < wanted.shape[1] / 2


def none_of(function, shape, x=None):
    """Whether no move of a function is made in groups, and few calls are lost by trying."""
    at, entries, steps, wanted = wanted_moves(shape, np.random.default_rng(1))
    calls, x = Calls(function), at if x is None else x
    groups = Groups(calls, lambda f: f)
    found = [list(groups.pieces(x, "params", entries, steps, wanted, 999)) for _ in range(2)]
    assert calls.count < wanted.shape[1] / 2
    return found == [[], []]


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: x - x.mean(axis=(1, 2), keepdims=True), (20, 20)),
        (lambda x: np.sin(x).cumsum(axis=-1), (300,)),
        (np.sin, (MANY + 1,)),
        # entries pass each other: which one moves a result differs between steps
        (lambda x: np.sort(x, axis=-1), (300,)),
    ],
)
def test_functions_that_are_dense_or_small_or_change_their_pattern_are_left(function, shape):
    assert none_of(function, shape)


def test_entries_that_only_move_a_result_together_are_noticed():
    # no slab holds both entries, and each alone leaves the product at zero
    x = np.random.default_rng(2).normal(size=(20, 20))
    x[3, 4] = x[11, 15] = 0

    def product(points):
        return np.append(
            points.reshape(len(points), -1) ** 2,
            (points[:, 3, 4] * points[:, 11, 15])[:, None],
            axis=1,
        )

    entries = np.arange(400)
    steps = np.where(x.reshape(-1, 1), np.abs(x.reshape(-1, 1)), 1) * H
    groups = Groups(product, lambda f: f)
    assert not list(groups.pieces(x, "params", entries, steps, np.argwhere(steps).T, 999))


def test_a_result_that_is_nan_where_one_entry_moves_is_nan_there_only():
    x, entries, steps, wanted = wanted_moves((20, 20), np.random.default_rng(3))
    x[0, 0] = 1e-9

    def root(points):
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.where(np.abs(points) < 1e-6, points, np.abs(points)))

    steps[entries == 0] = 1e-7 * np.sign(H)
    pieces = list(Groups(Calls(root), lambda f: f).pieces(x, "params", entries, steps, wanted, 999))
    assert pieces
    for numbers, results in pieces:
        rows, columns = wanted[:, numbers]
        is_nan = (entries[rows] == 0) & (columns >= 3)
        assert np.array_equal(np.isnan(results[:, 0]), is_nan)
        assert not np.isnan(results[:, 1:]).any()


def test_results_that_depend_on_the_place_in_a_stack_are_not_grouped():
    def uneven(points):
        return np.sin(points) + 1e-3 * np.arange(len(points)).reshape(-1, 1, 1)

    assert none_of(uneven, (20, 20))


def test_few_entries_are_moved_alone():
    # a second estimate of flagged entries does not rely on groups
    x, entries, steps, _ = wanted_moves((20, 20), np.random.default_rng(4))
    calls = Calls(np.sin)
    groups = Groups(calls, lambda f: f)
    everything = np.argwhere(np.ones(steps.shape)).T
    assert list(groups.pieces(x, "params", entries, steps, everything, 999))
    few, before = everything[:, everything[0] < MANY - 1], calls.count
    assert not list(groups.pieces(x, "params", entries, steps, few, 999))
    assert calls.count == before
    assert not list(groups.pieces(x, "params", entries, steps, everything, TRIED))
