"""Results of one function: kept for several readers, told apart by value, dtype and mode."""

import pickle

import numpy as np
import pytest

from checks.estimation.narrowing import Narrowing
from checks.estimation.random_rounding import Operations
from checks.estimation.rounding_mode import call_toward_zero, toward_zero_is_available
from checks.evaluation.memo import Memo
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results, ResultsChanged

X = np.array([0.5, -2.0, 3.0])


def pair(x):
    return {"twice": 2 * x, "sum": [np.sum(x)]}


def test_results_are_named_and_flat():
    results = Results(pair, X)
    assert list(results.at_point) == ["f(x).twice", "f(x).sum[0]"]
    assert [cost(X) for cost in results.costs()] == [1.0, -4.0, 6.0, 1.5]
    assert results.memo.calls == 1  # the one that showed the nesting


def test_the_second_time_that_a_reader_asks_is_another_call():
    memo = Memo(lambda x: memo.calls, None)
    first, second = {}, {}
    assert [memo.read(X, first), memo.read(X, second)] == [1, 1]
    assert [memo.read(X, first), memo.read(X, second)] == [2, 2]
    assert [memo.read(X, first), memo.read(X + 1, first)] == [3, 4]


def test_what_a_function_raises_is_raised_for_every_reader():
    def refuse(x):
        raise ArithmeticError("no")

    memo = Memo(refuse, None)
    for asked in ({}, {}):
        with pytest.raises(ArithmeticError, match="no"):
            memo.read(X, asked)
    assert memo.calls == 1


def test_values_are_told_apart_by_dtype_sign_of_zero_and_rounding_mode():
    memo = Memo(lambda x: memo.calls, None)
    asked = {}
    points = [X, X.astype(np.float32), X.astype(complex), X.astype(np.longdouble), 0 * X, -0 * X]
    assert [memo.read(x, asked) for x in points] == [1, 2, 3, 4, 5, 6]
    if toward_zero_is_available():
        assert call_toward_zero(lambda x: memo.read(x, asked), X) == 7


def test_values_are_told_apart_by_how_operations_with_them_round():
    memo = Memo(lambda x: memo.calls, None)
    rounding = [Operations().follow, Operations(0).follow, Operations(1).follow]
    points = [X, X.view(Narrowing), *(follow(X) for follow in rounding)]
    assert [memo.read(x, {}) for x in points] == [1, 2, 3, 4, 5]
    assert [memo.read(x, {}) for x in (X.copy(), Operations(1).follow(X))] == [1, 5]


def test_a_closure_is_not_taken_for_a_function_of_copies():
    own = X.copy()
    memo, asked = Memo(lambda _: own.sum(), own), {}
    assert memo.read(own + 1, asked) == own.sum()  # a copy, which the closure ignores
    own += 1
    assert memo.read(own, asked) == own.sum() == X.sum() + 3


def test_bytes_of_a_long_double_that_hold_nothing_do_not_count():
    one, other = X.astype(np.longdouble) / 3, X.astype(np.longdouble) / 3
    if np.finfo(np.longdouble).nmant == 63:
        other.view(np.uint8).reshape(3, -1)[:, 10:] = 255
    memo = Memo(lambda x: memo.calls, None)
    assert memo.read(one, {}) == memo.read(other, {}) == 1
    assert memo.read(one + 1j, {}) == memo.read(other + 1j, {}) == 2


def test_costs_of_moved_entries_are_the_same_whoever_asked_first():
    steps = np.array([[0.5, 0.25], [0.5, 99.0], [1e-3, 0.125]])
    entries = np.arange(3)

    def sharp(x):
        return np.array([np.sum(x**2), np.sqrt(x[1] + 2.0), x[2]])

    results = Results(sharp, X)
    found = [Evaluations(cost, X).at_entries("params", entries, steps) for cost in results.costs()]
    calls = results.memo.calls
    for number, costs in enumerate(found):
        alone = Evaluations(lambda x, n=number: sharp(x)[n], X).at_entries("params", entries, steps)
        assert np.array_equal(costs, alone, equal_nan=True)
    assert calls == 1 + 5  # 99 is out of the box


def test_results_of_another_shape_pass_through():
    def grows(x):
        return x if x[0] == 0.5 else np.append(x, x)

    with pytest.raises(ResultsChanged, match=r"shape \(3,\) at the point, but has"):
        Evaluations(next(Results(grows, X).costs()), X).cost_moved({"params": X / 8})


def test_a_worker_process_gets_no_results():
    results = Results(np.sin, X)
    cost = next(results.costs())
    cost(X)
    copy = pickle.loads(pickle.dumps(cost))
    assert copy(X) == cost(X)
