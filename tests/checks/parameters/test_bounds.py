"""How bounds are given, and which are refused; `evaluation.test_box` has what they do."""

import re
from functools import partial

import numpy as np
import pytest

from checks import assert_gradient, assert_step, check_gradient, numerical_gradient
from checks.parameters.bounds import flatten_bounds
from checks.parameters.claims import flatten


def nested(params):
    return np.sum(np.sqrt(1 + params["w"])) + params["b"][0] ** 2 - params["b"][1]


NESTED = {"w": np.array([[0.5, -0.25], [2.0, -1 + 1e-3]]), "b": (np.float64(0.5), 0.0)}
NESTED_CLAIM = {"w": 0.5 / np.sqrt(1 + NESTED["w"]), "b": (1.0, -1.0)}
SPELLINGS = {
    "numbers": (-1, 4),
    "integers and None": ([-1, None][0], None),
    "numpy numbers": (np.float32(-1), np.int64(4)),
    "infinities": (-1.0, np.inf),
    "a list": [-1, None],
    "by array": ({"w": -1, "b": None}, None),
    "nested": ({"w": np.full((2, 2), -1.0), "b": (0, -np.inf)}, {"w": None, "b": [0.5, None]}),
    "lists for arrays": ({"w": [[-1, -1], [-1, -1]], "b": (None, 0)}, None),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_bounds_are_numbers_or_nested_as_the_parameters(name):
    def cost(params):
        if (np.real(params["w"]) < -1).any():
            raise RuntimeError("outside")
        return nested(params)

    bounds = SPELLINGS[name]
    assert assert_gradient(cost, NESTED_CLAIM, NESTED, bounds=bounds)
    assert numerical_gradient(cost, NESTED, bounds=bounds).error["w"].max() < 1e-3
    step = partial(step_of, NESTED_CLAIM)
    assert assert_step(cost, step, NESTED, bounds=bounds)


def step_of(claim, params, eta):
    w = params["w"] - eta * claim["w"]
    return {"w": w, "b": [b - eta * g for b, g in zip(params["b"], claim["b"], strict=True)]}


def test_bounds_of_arrays_have_their_shapes_and_dtypes():
    params = {"w": np.ones((2, 3), np.float32), "ww": np.ones(2), "v": [np.ones(1), 1.0]}
    bounds = ({"w": 0, "ww": None, "v": [[-1], -2]}, {"w": 0.1 + np.ones((2, 3)), "ww": 3, "v": 4})
    lower, upper = flatten_bounds(params, flatten(params), bounds)
    assert {path: array.tolist() for path, array in lower.items()} == {
        "w": [[0] * 3] * 2,
        "ww": [-np.inf] * 2,
        "v[0]": [-1],
        "v[1]": -2,
    }
    assert upper["w"].dtype == lower["w"].dtype == np.float32
    assert upper["w"].tolist() == [[np.float32(1.1)] * 3] * 2
    assert [upper[path].tolist() for path in ("ww", "v[0]", "v[1]")] == [[3, 3], [4], 4]
    for array in (*lower.values(), *upper.values()):
        assert array.size


X = np.array([1.0, 2.0, 3.0])
REFUSED = {
    # name: (params, bounds, error, what the message says)
    "no pair": (X, 0.0, TypeError, "bounds is a float, 0.0, wanted a pair: give bounds=(lower,"),
    "an array": (X, np.zeros((3, 2)), TypeError, "bounds is an array of dtype float64 and shape"),
    "a pair of each entry": (X, [(0, 4)] * 3, ValueError, "bounds has 3 parts, wanted a pair"),
    "crossed": (X, (0, [4, 1, 4]), ValueError, "params[1] is 2.0, above its upper bound 1.0"),
    "swapped": (X, (4, 0), ValueError, "the bounds of params[0] are 4.0 and 0.0, wanted lower"),
    "below": (X, ([0, 2.5, 0], None), ValueError, "params[1] is 2.0, below its lower bound 2.5, w"),
    "nan": (X, (None, [4, np.nan, 4]), ValueError, "bounds[1][1] is nan, wanted a number: None"),
    "nan for all": (X, (np.nan, 4), ValueError, "bounds[0] is nan, wanted a number"),
    "shape": (X, (np.zeros(2), None), ValueError, "bounds[0] has shape (2,), wanted (3,), the sha"),
    "a column": (X, (np.zeros((3, 1)), None), ValueError, "nothing is broadcast here"),
    "text": (X, ("0", None), TypeError, "bounds[0] is a str, '0', wanted None, a number, or numb"),
    "complex": (X, (0j, None), TypeError, "bounds[0] is a complex, 0j, wanted None, a number, or"),
    "bool": (X, (False, None), TypeError, "bounds[0] is a bool, False, wanted None, a number, or"),
    "ragged": (X, ([[0], [0, 1]], None), TypeError, "bounds[0] is a list, [[0], [0, 1]], wanted"),
    "keys": (
        {"w": X, "b": 2 * X},
        (None, {"w": 9}),
        ValueError,
        "bounds[1] has the keys [\"'w'\"], wanted those of params, [\"'b'\", \"'w'\"]",
    ),
    "no dict": (
        {"w": X},
        ([0], None),
        TypeError,
        "bounds[0] is a list, [0], wanted None, a number",
    ),
    "a dict": ([X], ({"w": 0}, None), TypeError, "wanted None, a number, or 1 parts nested as"),
    "too few": (
        [X, 2 * X],
        ([0], None),
        ValueError,
        "bounds[0] has 1 parts, wanted 2, nested as in",
    ),
    "array of all": ([X, 2 * X], (np.zeros(6), None), TypeError, "bounds[0] is an array of dtype"),
    "deep": (
        {"w": [X, 2 * X]},
        ({"w": [0, np.zeros(4)]}, None),
        ValueError,
        "bounds[0].w[1] has shape (4,), wanted (3,), the shape of w[1], or one number",
    ),
    "nothing within": (X, (5, 6), ValueError, "params[0] is 1.0, below its lower bound 5.0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_bounds_are_named(name):
    params, bounds, error, message = REFUSED[name]

    def cost(_):
        raise AssertionError("called")

    for check in (partial(check_gradient, cost, params), partial(numerical_gradient, cost)):
        with pytest.raises(error, match=re.escape(message)):
            check(params, bounds=bounds)


def test_an_entry_may_be_fixed_by_its_bounds():
    point = np.array([1.0, -2.0])
    lower, upper = flatten_bounds(point, {"params": point}, (point, [1.0, 3.0]))
    assert lower["params"].tolist() == [1.0, -2.0]
    assert upper["params"].tolist() == [1.0, 3.0]
