"""Input that `check_gradient` refuses, and input that it must take; arrays are never changed."""

import dataclasses
import re
import tempfile
import unittest
import warnings
from array import array
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis.errors import StopTest, UnsatisfiedAssumption
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from checks import Verdict, assert_gradient, check_gradient, numerical_gradient
from checks.parameters.claims import flatten

NAN, INF = np.nan, np.inf


def point():
    return [np.array([[1.0, -0.0, 5e-324], [3.0, 4.0, 5.0]]), np.array([0.5, -0.25])]


def square(params):
    return float(sum(np.sum(array**2) for array in flatten(params).values()))


def slope(params):
    return [2 * array for array in params]


def returning(value):
    return lambda _: value


def raising(error):
    def function(_):
        raise error

    return function


def changing(change, function=square):
    def changed(params):
        result = function(params)
        change(params)
        return result

    return changed


def assigning(leaf, index, value):
    def assign(params):
        params[leaf][index] = value

    return assign


def nan_at(array, index, value):
    array[index] = value
    return array


def complex_incapable(params):
    return sum(np.sum(np.abs(array) ** 2) for array in params)


class Scalar:
    """Another library's scalar: numpy sees an object, ``.item()`` gives the number."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


class Foreign:
    """Another library's array."""

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)


class Labelled(Foreign):
    """A column of pandas."""

    def to_numpy(self):
        return np.ones(2)


class Sparse:
    """A matrix of scipy.sparse."""

    def toarray(self):
        return np.ones((2, 2))


def matrix(array):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy advises against them
        return np.asmatrix(array)


A = np.arange(1.0, 13.0)
W, B = np.zeros((2, 3)), np.zeros(2)
MASKED = np.ma.array([1.0, 2.0], mask=[False, True])
RECORDS = np.zeros(2, [("w", "f8"), ("b", "f4")])

# id: ({arguments that replace those of a right call}, error, fragments of its text)
CASES = {
    # cost
    "cost a number": ({"cost": 3.0}, TypeError, "cost is a float", "pass the function"),
    "cost None": ({"cost": None}, TypeError, "cost is a NoneType"),
    "cost of two": ({"cost": returning(B)}, TypeError, "and shape (2,)", "one number", ".mean()"),
    "cost of none": ({"cost": returning([])}, TypeError, "a list, [], wanted one number"),
    "cost ragged": ({"cost": returning([[1.0], [2.0, 3.0]])}, TypeError, "a list", "one number"),
    "cost returns None": (
        {"cost": returning(None)},
        TypeError,
        "returned None",
        "a return forgotten",
    ),
    "cost str": ({"cost": returning("1.0")}, TypeError, "returned a str, '1.0'", "a float"),
    "cost bool": ({"cost": returning(True)}, TypeError, "returned a bool, True", "one number"),
    "cost object": ({"cost": returning(object)}, TypeError, "returned a type, <class 'object'>"),
    "cost and more": (
        {"cost": returning((0.5, 0.9))},
        TypeError,
        "cost(params) returned a tuple, (0.5, 0.9), wanted one number",
        "its value alone",
    ),
    "cost and gradient": ({"cost": returning((np.array(0.5), [B]))}, TypeError, "its value alone"),
    "swapped": (
        {"cost": returning({"w": W}), "gradient": square},
        TypeError,
        "cost(params) returned a dict, {'w': array([[0., 0., 0.], [0., 0., 0..., wanted",
        "is it the gradient? The cost comes first: check_gradient(cost, gradient, params)",
    ),
    "cost nan": ({"cost": returning(NAN)}, ValueError, "cost(params) is nan", "finite"),
    "cost inf": ({"cost": returning(-INF)}, ValueError, "cost(params) is -inf", "finite"),
    "cost complex": ({"cost": returning(1j)}, TypeError, "cost(params) is 1j", "a real number"),
    "cost raises": ({"cost": raising(ZeroDivisionError("a/0"))}, ZeroDivisionError, "a/0"),
    "cost raises KeyError": ({"cost": raising(KeyError("w1"))}, KeyError, "w1"),
    "cost assigns": (
        {"cost": changing(assigning(0, (1, 2), 9.0))},
        ValueError,
        "cost changes its argument (params[0][1, 2] from 5.0 to 9.0)",
        "restored",
    ),
    "cost assigns -0.0": (
        {"cost": changing(assigning(0, (0, 1), 0.0))},
        ValueError,
        "params[0][0, 1] from -0.0 to 0.0",
    ),
    "cost assigns nan": ({"cost": changing(assigning(1, 0, NAN))}, ValueError, "from 0.5 to nan"),
    "cost assigns moved": (
        {"cost": lambda p: p[1].fill(7) or 1.0 if p[0][0, 0] != 1 else square(p)},
        ValueError,
        "cost changes its argument (params[1][0] from 0.5 to 7.0)",
    ),
    "cost rebinds": (
        {"cost": changing(lambda p: p.__setitem__(1, p[1] * 2))},
        ValueError,
        "cost changes its argument (params[1] is replaced)",
    ),
    "cost appends": ({"cost": changing(lambda p: p.append(B))}, ValueError, "params[2] is replac"),
    "cost rebinds a key": (
        {"params": {"w": B}, "cost": changing(lambda p: p.update(w=p["w"] * 2))},
        ValueError,
        "cost changes its argument (w is replaced)",
    ),
    "cost masked": (
        {"cost": returning(np.ma.masked)},
        TypeError,
        "returned a masked array of shape ()",
        "is every entry of it masked?",
    ),
    "cost a masked mean": ({"cost": returning(MASKED[1:].mean())}, TypeError, "a masked array"),
    # gradient
    "gradient None": ({"gradient": None}, TypeError, "gradient is None, wanted 2 parts"),
    "gradient returns None": (
        {"gradient": returning(None)},
        TypeError,
        "(params) is None",
        "return forg",
    ),
    "gradient raises": ({"gradient": raising(LookupError("no"))}, LookupError, "no"),
    "gradient too short": ({"gradient": [W]}, ValueError, "gradient has 1 part", "wanted 2"),
    "gradient too long": ({"gradient": (W, B, B)}, ValueError, "gradient has 3 parts, wanted 2"),
    "gradient a dict": ({"gradient": {"w": W, "b": B}}, TypeError, "gradient is a dict", "2 parts"),
    "gradient an array": ({"gradient": np.zeros(8)}, TypeError, "dtype float64 and shape (8,)"),
    "gradient too short by keys": (
        {"params": {"w": W, "b": B}, "gradient": {"w": W}},
        ValueError,
        "gradient lacks 'b', wanted",
    ),
    "gradient flat": (
        {"gradient": np.zeros(8)},
        TypeError,
        "it has as many entries, so nest it as params",
        "params[0] is g.ravel()[:6].reshape(2, 3)",
    ),
    "gradient flat for a dict": (
        {"params": {"b": B, "w": W}, "gradient": np.zeros(8)},
        TypeError,
        "wanted a dict of 'b', 'w'",
        "b is g.ravel()[:2].reshape(2,)",
    ),
    "gradient a generator": (
        {"gradient": lambda p: (2 * a for a in p)},
        TypeError,
        "gradient(params) is a generator, <generator",
        "with list()",
    ),
    "gradient's leaf a generator": ({"gradient": [W, (b for b in B)]}, TypeError, "with list()"),
    "gradient a matrix": (
        {"gradient": [matrix(W), B]},
        TypeError,
        "gradient[0] is a np.matrix of shape (2, 3), wanted",
        "np.asarray",
    ),
    "gradient masked": (
        {"gradient": [W, MASKED]},
        TypeError,
        "gradient[1] is a masked array of shape (2,), wanted an array of real floats",
        "or all of them, .data",
    ),
    "gradient of records": ({"gradient": [W, RECORDS]}, TypeError, "dtype [('w', '<f8'), ('b'"),
    "gradient of strings": ({"gradient": [W, np.array(["a", "b"])]}, TypeError, "dtype <U1"),
    "gradient sparse": (
        {"gradient": [Sparse(), B]},
        TypeError,
        "gradient[0] is a Sparse, <",
        "make it dense with .toarray()",
    ),
    "gradient a set": ({"gradient": [W, {0.0}]}, TypeError, "gradient[1] is a set, {0.0}"),
    "gradient a list": (
        {"params": W, "gradient": [W, B]},
        TypeError,
        "gradient is a list",
        "wanted an array of real floats of shape (2, 3)",
    ),
    "gradient ragged": ({"gradient": [[[1.0], [2.0, 3.0]], B]}, TypeError, "gradient[0] is a list"),
    "gradient's keys": (
        {"params": {"w": W, "b": B}, "gradient": {"w": W, "bias": B}},
        ValueError,
        "gradient lacks 'b' and has 'bias', wanted the keys of params: 'w', 'b'",
    ),
    "gradient's size": (
        {"gradient": [W, np.zeros(3)]},
        ValueError,
        "gradient[1] has shape (3,), wanted (2,)",
        "nothing is broadcast",
    ),
    "gradient a scalar": ({"gradient": [W, 0.0]}, ValueError, "gradient[1] has shape (), wanted"),
    "gradient int": ({"gradient": [W.astype(int), B]}, TypeError, "dtype int64", "fractions"),
    "gradient complex": ({"gradient": [W, B * 1j]}, TypeError, "gradient[1]", "complex128"),
    "gradient object": ({"gradient": [W.astype(object), B]}, TypeError, "gradient[0]", "object"),
    "gradient's leaf None": (
        {"gradient": [W, None]},
        TypeError,
        "gradient[1] is None, wanted",
        "zeros",
    ),
    "gradient assigns": (
        {"gradient": changing(assigning(1, 1, 3.0), slope)},
        ValueError,
        "gradient changes its argument (params[1][1] from -0.25 to 3.0)",
        "restored",
    ),
    "gradient rebinds": (
        {"gradient": changing(lambda p: p.reverse(), slope)},
        ValueError,
        "gradient changes its argument (params[0] is replaced)",
    ),
    # params
    "no leaves": ({"params": []}, ValueError, "params has no entries (a list, [])"),
    "no keys": ({"params": {}}, ValueError, "params has no entries", "at least one float array"),
    "empty array": ({"params": np.empty(0)}, ValueError, "no entries", "and shape (0,)"),
    "empty arrays": ({"params": [np.empty((0, 3)), []]}, ValueError, "params has no entries"),
    "int leaf": ({"params": [B, np.arange(3)]}, TypeError, "params[1] has dtype int64", ".astype("),
    "bool leaf": ({"params": np.array([True])}, TypeError, "params has dtype bool", ".astype("),
    "python int": ({"params": {"w": 3}}, TypeError, "w is an int, 3, wanted", "write 3.0"),
    "matrix leaf": (
        {"params": [matrix(W)]},
        TypeError,
        "params[0] is a np.matrix of shape (2, 3), wanted an array of floats",
        "np.asarray",
    ),
    "an object": (
        {"params": Scalar(B)},
        TypeError,
        "params is a Scalar, <",
        "nested in lists, tuples, dicts or dataclasses",
        "the arrays that it holds",
    ),
    "another library's": ({"params": [Foreign()]}, TypeError, "a Foreign", 'coverage="projected"'),
    "object leaf": ({"params": B.astype(object)}, TypeError, "params has dtype object", ".astype"),
    "masked": (
        {"params": [MASKED]},
        TypeError,
        "params[0] is a masked array of shape (2,), wanted an array of floats",
        ".compressed()",
    ),
    "masked nowhere": ({"params": np.ma.array([1.0])}, TypeError, "params is a masked array of"),
    "masked constant": ({"params": {"w": np.ma.masked}}, TypeError, "w is a masked array of sh"),
    "pandas": (
        {"params": {"w": Labelled()}},
        TypeError,
        "w is a Labelled, <",
        "wanted an array of floats: make it a numpy array with .to_numpy()",
    ),
    "pandas alone": ({"params": Labelled()}, TypeError, "params is a Labelled", ".to_numpy()"),
    "sparse": (
        {"params": [Sparse()]},
        TypeError,
        "params[0] is a Sparse, <",
        "the numbers that it stores, .data, or make it dense",
    ),
    "records": (
        {"params": RECORDS},
        TypeError,
        "params has dtype [('w', '<f8'), ('b', '<f4')], wanted a real float dtype",
        "give its fields one by one, as {'w': array['w'], …}",
    ),
    "recarray": ({"params": RECORDS.view(np.recarray)}, TypeError, "fields one by one"),
    "void": ({"params": np.zeros(2, "V8")}, TypeError, "params has dtype |V8", "by numbers"),
    "bytes array": ({"params": [np.array([b"a"])]}, TypeError, "params[0] has dtype |S1"),
    "dates": (
        {"params": {"t": np.array(["2020-01-01"], "M8[D]")}},
        TypeError,
        "t has dtype datetime64[D], wanted a real float dtype",
    ),
    "durations": (
        {"params": {"t": np.array([1], "m8[s]")}},
        TypeError,
        "t has dtype timedelta64[s]",
        "divide it by a unit, such as np.timedelta64(1, 's')",
    ),
    "unsigned": ({"params": np.arange(3, dtype=np.uint8)}, TypeError, "dtype uint8", ".astype("),
    "truth values": (
        {"params": np.ones(2, bool)},
        TypeError,
        "dtype bool, wanted",
        "a truth value",
    ),
    "a python bool": ({"params": [True]}, TypeError, "params[0] is a bool, True, wanted"),
    "decimal": ({"params": [Decimal(1)]}, TypeError, "params[0] is a Decimal", "Python floats"),
    "fraction": ({"params": Fraction(1, 2)}, TypeError, "params is a Fraction, Fraction(1, 2)"),
    "array.array": ({"params": array("d", [1.0])}, TypeError, "params is an array, array('d'"),
    "bytes": ({"params": [b"ab"]}, TypeError, "params[0] is a bytes, b'ab'"),
    "set": ({"params": {1.0}}, TypeError, "params is a set, {1.0}, wanted"),
    "generator": ({"params": (a for a in [W])}, TypeError, "params is a generator"),
    "values of a dict": ({"params": {"w": W}.values()}, TypeError, "params is a dict_values"),
    "a function": ({"params": [len]}, TypeError, "params[0] is a builtin_function_or_method"),
    "a class": ({"params": {"w": float}}, TypeError, "w is a type, <class 'float'>"),
    "string leaf": ({"params": ["abc"]}, TypeError, "params[0] is a str, 'abc'", "array of floats"),
    "string array": ({"params": np.array(["a"])}, TypeError, "params has dtype <U1"),
    "None leaf": ({"params": {"w": {"x": None}}}, TypeError, "w.x is None, wanted", "dataclasses"),
    "nan": ({"params": {"w": nan_at(W.copy(), (1, 2), NAN)}}, ValueError, "w[1, 2] is nan, wanted"),
    "inf": ({"params": [nan_at(B.copy(), 1, -INF)]}, ValueError, "params[0][1] is -inf", "finite"),
    "one array twice": ({"params": {"w": A, "v": A}}, ValueError, "w and v share memory", "copy()"),
    "overlapping": ({"params": [A[:6], A[5:]]}, ValueError, "params[0] and params[1] share memory"),
    "transposed": (
        {"params": [A.reshape(3, 4), B, A.reshape(3, 4).T]},
        ValueError,
        "params[0] and params[2] share memory",
    ),
    # options
    "rtol zero": ({"rtol": 0}, ValueError, "rtol is 0, wanted a number between 0 and 1"),
    "rtol nan": ({"rtol": NAN}, ValueError, "rtol is nan, wanted"),
    "rtol a string": ({"rtol": "1e-6"}, ValueError, "rtol is '1e-6', wanted"),
    "resolution one": ({"resolution": 1}, ValueError, "resolution is 1, wanted", "between 0 and 1"),
    "resolution None": ({"resolution": None}, ValueError, "resolution is None, wanted"),
    "method": (
        {"method": "complex"},
        ValueError,
        "method is 'complex'",
        "auto, complex-step, cent",
    ),
    "coverage": ({"coverage": "some"}, ValueError, "coverage is 'some', wanted 'every'"),
    "seed negative": ({"seed": -1}, ValueError, "seed is -1, wanted a non-negative integer"),
    "seed a float": ({"seed": 1.0}, ValueError, "seed is 1.0, wanted a non-negative integer"),
    "no complex step": (
        {"cost": complex_incapable, "method": "complex-step"},
        ValueError,
        "method is 'complex-step'",
        "params[0]",
        "use method='auto' or 'central'",
    ),
}


def bits(params):
    """Return containers and leaves in a form that differs if any bit does."""
    if isinstance(params, dict):
        return [(key, bits(part)) for key, part in params.items()]
    if dataclasses.is_dataclass(params):
        return bits(vars(params))
    if isinstance(params, (list, tuple)):
        return [bits(part) for part in params]
    if isinstance(params, np.ndarray):
        return params.dtype.str, repr(params.tolist())  # the shortest digits that round-trip
    return repr(params)


def takes(function, options):
    """Whether a function takes all of these arguments."""
    return function is not numerical_gradient or not set(options) & {
        "gradient",
        "rtol",
        "resolution",
        "coverage",
    }


@pytest.mark.parametrize(
    ("function", "case"),
    [
        pytest.param(function, case, id=f"{function.__name__}-{case}")
        for function in (check_gradient, assert_gradient, numerical_gradient)
        for case in CASES
        if takes(function, CASES[case][0])
    ],
)
def test_an_error_names_the_cause_and_nothing_of_the_callers_is_changed(function, case):
    changed, error, *fragments = CASES[case]
    arguments = {"cost": square, "gradient": slope, "params": point()} | changed
    if function is numerical_gradient:
        del arguments["gradient"]
    params = arguments["params"]
    before = bits(params)
    with pytest.raises(error) as raised:
        function(**arguments)
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", ())])
    for fragment in fragments:
        assert fragment in text
    assert bits(params) == before


@pytest.mark.parametrize("case", [name for name in CASES if list(CASES[name][0]) == ["params"]])
def test_a_projected_check_refuses_params_as_clearly(case):
    changed, error, *fragments = CASES[case]
    with pytest.raises(error) as raised:
        check_gradient(square, slope, **changed, coverage="projected")
    for fragment in fragments:
        assert fragment in str(raised.value)


def test_a_gradient_given_as_arrays_is_refused_before_the_parameters_are_moved():
    calls = []
    with pytest.raises(ValueError, match="wanted"):
        check_gradient(lambda p: calls.append(p) or square(p), [W, np.zeros(3)], point())
    assert len(calls) == 1


# Input that must work


class Layers(list):
    """A subclass of a container."""


@dataclasses.dataclass
class Layer:
    w: np.ndarray
    b: np.ndarray


@dataclasses.dataclass(frozen=True)
class Frozen:
    w: np.ndarray
    b: np.ndarray


Pair = namedtuple("Pair", "w b")


def read_only(array):
    array.setflags(write=False)
    return array


def interleaved():
    whole = A.copy()
    return [whole[::2], whole[1::2]]


class Measured(np.ndarray):
    """A subclass with an attribute that slices and copies keep."""

    def __array_finalize__(self, other):
        self.unit = getattr(other, "unit", "m")


class Strict(np.ndarray):
    """A subclass that does not compute with plain arrays, as one with units."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        raise TypeError("no unit")


def mapped(mode):
    """Return an array in a file."""
    with tempfile.TemporaryFile() as file:
        file.write(A.tobytes())
        file.flush()
        return np.memmap(file, float, mode, shape=A.shape)


def unaligned():
    buffer = np.zeros(A.nbytes + 1, np.uint8)
    whole = buffer[1:].view(float)
    whole[:] = A
    return whole


def records():
    whole = np.zeros(3, [("w", "f8"), ("b", "f4")])
    whole["w"], whole["b"] = [1.0, 2.0, 3.0], [0.5, -0.5, 0.25]
    return {"w": whole["w"], "b": whole["b"]}


WORKING = {
    "an array": lambda: np.array([1.0, -2.0]),
    "0-d": lambda: np.array(1.5),
    "a python float": lambda: 1.5,
    "python floats": lambda: [1.5, {"w": -0.0, "b": 2.0}],
    "numpy scalars": lambda: (np.float64(1.5), np.float64(-2.0)),
    "read-only": lambda: [read_only(A.copy()), A.copy()],
    "broadcast": lambda: [np.broadcast_to(np.array([1.0, 2.0]), (1, 2))],
    "a float beside an array": lambda: {"scale": 1.5, "w": A.copy()},
    "strided": lambda: [A.copy()[::3], np.ones((4, 4))[1:3, ::-2]],
    "interleaved": interleaved,
    "Fortran": lambda: [np.asfortranarray(A.reshape(3, 4)), A.reshape(4, 3).copy().T],
    "byte-swapped": lambda: A.astype(">f8"),
    "byte-swapped float32": lambda: [A.astype(">f4")],
    "overlapping": lambda: as_strided(A.copy(), (3, 4), (0, 8)),
    "a sliding window": lambda: {"w": sliding_window_view(A.copy(), 3, writeable=True)},
    "partly overlapping": lambda: as_strided(A.copy(), (3, 2), (12, 24)),
    "read-only and Fortran": lambda: [read_only(np.asfortranarray(A.reshape(3, 4)))],
    "reversed": lambda: [A.copy()[::-1]],
    "unaligned": lambda: [unaligned()],
    "fields of records": records,
    "a file": lambda: mapped("r+"),
    "a read-only file": lambda: [mapped("r"), 2.5],
    "a file copied on write": lambda: [mapped("c")],
    "a subclass": lambda: [A.copy().view(Measured)],
    "a read-only subclass": lambda: [read_only(A.copy().view(Measured))],
    "a strict subclass": lambda: [A.reshape(3, 4).copy().view(Strict)],
    "a 0-d subclass": lambda: {"w": np.array(1.5).view(Measured)},
    "named tuple": lambda: Pair(A.copy(), np.array([0.5])),
    "dataclass": lambda: Layer(A.copy(), np.array([0.5])),
    "frozen dataclass": lambda: Frozen(A.copy(), np.array([0.5])),
    "nested": lambda: {"a": [A.copy(), (A.copy(), {"b c": A.copy()})], 3: Pair(A.copy(), 2.0)},
    "an empty leaf": lambda: [A.copy(), np.empty((0, 3))],
    "a list's subclass": lambda: Layers([A.copy()]),
    "denormals": lambda: [np.array([1.0, -0.0, 5e-324, -2e-310])],
    "float32": lambda: [A.astype(np.float32)],
    "float32 and float64": lambda: [A.astype(np.float32), A.copy()],
    "longdouble": lambda: A.astype(np.longdouble),
}


def weighted(params):
    """Return a cost in which every entry has a weight of its own."""
    leaves = [np.asarray(leaf) for leaf in leaves_of(params)]
    return sum(np.sum(leaf * (leaf + weights(leaf, k))) for k, leaf in enumerate(leaves))


def weights(leaf, k):
    return 1 + k + np.arange(leaf.size, dtype=leaf.real.dtype).reshape(leaf.shape)


def leaves_of(params):
    if isinstance(params, dict):
        return [leaf for part in params.values() for leaf in leaves_of(part)]
    if dataclasses.is_dataclass(params):
        return leaves_of(vars(params))
    if isinstance(params, (list, tuple)):
        return [leaf for part in params for leaf in leaves_of(part)]
    return [params]


def with_leaves(params, leaves):
    """Return `params` with its leaves replaced, in order, from the iterator `leaves`."""
    if isinstance(params, dict):
        return {key: with_leaves(part, leaves) for key, part in params.items()}
    if dataclasses.is_dataclass(params):
        return type(params)(**with_leaves(vars(params), leaves))
    if isinstance(params, Pair):
        return Pair(*(with_leaves(part, leaves) for part in params))
    if isinstance(params, (list, tuple)):
        return type(params)(with_leaves(part, leaves) for part in params)
    return next(leaves)


def slopes(params):
    leaves = [np.asarray(leaf) for leaf in leaves_of(params)]
    return with_leaves(params, iter([2 * leaf + weights(leaf, k) for k, leaf in enumerate(leaves)]))


@pytest.mark.parametrize("method", ["auto", "central", "complex-step"])
@pytest.mark.parametrize("case", WORKING)
def test_right_and_wrong_gradients_are_told_apart_and_nothing_is_changed(case, method):
    params = WORKING[case]()
    before, identity = bits(params), [id(leaf) for leaf in leaves_of(params)]
    report = check_gradient(weighted, slopes, params, method=method)
    assert report.verdict is Verdict.MATCH
    assert bits(params) == before
    assert [id(leaf) for leaf in leaves_of(params)] == identity
    twice = with_leaves(params, iter([2 * np.asarray(leaf) for leaf in leaves_of(slopes(params))]))
    assert check_gradient(weighted, twice, params, method=method).verdict is Verdict.MISMATCH
    estimate = numerical_gradient(weighted, params, method=method)
    for leaf, n, e in zip(
        leaves_of(slopes(params)), leaves_of(estimate.value), leaves_of(estimate.error), strict=True
    ):
        assert np.shape(n) == np.shape(leaf)
        assert np.all(abs(np.asarray(n) - leaf) <= np.asarray(e) + 1e-5 * abs(leaf))


@pytest.mark.parametrize("case", WORKING)
def test_projected_checks_take_the_same_and_change_nothing(case):
    params = WORKING[case]()
    before = bits(params)
    report = check_gradient(weighted, slopes, params, coverage="projected")
    assert report.verdict is Verdict.MATCH
    twice = with_leaves(params, iter([2 * np.asarray(leaf) for leaf in leaves_of(slopes(params))]))
    assert check_gradient(weighted, twice, params, coverage="projected").verdict is Verdict.MISMATCH
    assert bits(params) == before


@pytest.mark.parametrize(
    "number",
    [
        float,
        lambda c: np.array([c]),
        lambda c: np.array([[c]]),
        np.array,
        lambda c: [c],
        np.float32,
        np.longdouble,
    ],
    ids=["float", "(1,)", "(1, 1)", "0-d", "list", "float32", "longdouble"],
)
def test_any_one_number_is_a_cost(number):
    params = point()
    assert check_gradient(lambda p: number(square(p)), slope, params)
    assert not check_gradient(lambda p: number(square(p)), [W + 1, B], params)


def test_a_whole_number_is_a_cost():
    report = check_gradient(lambda p: int(1e6 * square(p)), lambda p: [2e6 * a for a in p], point())
    assert report.verdict is Verdict.UNRESOLVED  # the slope of the trend is no derivative
    assert "quantised" in str(report)


def test_another_librarys_scalar_is_a_cost():
    assert check_gradient(lambda p: Scalar(square(p)), slope, point())


def test_a_cost_of_a_subclass_gets_the_subclass():
    seen = set()

    def cost(params):
        seen.add((type(params[0]), params[0].unit, params[0].dtype.kind))
        return weighted(params)

    for values in (A.copy(), read_only(A.copy())):
        params = [values.view(Measured)]
        params[0].unit = "s"
        assert check_gradient(cost, slopes, params)
    assert seen == {(Measured, "s", "f"), (Measured, "s", "c")}


def test_closures_that_ignore_their_argument_see_the_callers_own_arrays():
    params = point()
    report = check_gradient(lambda _: square(params), lambda _: slope(params), params)
    assert report.verdict is Verdict.MATCH
    assert report.method == "central"


def test_costs_of_read_only_arrays_get_copies():
    params = [read_only(A.copy())]
    own = []
    check_gradient(lambda p: own.append(p[0] is params[0]) or weighted(p), slopes(params), params)
    *moved, last = own
    assert not any(moved)
    assert last  # what the cost keeps is the caller's


class LibraryError(Exception):
    """Derives from none of the errors that a cost is known to raise."""


MOVED = {
    "arithmetic": (ZeroDivisionError("a/0"), "ZeroDivisionError: a/0"),
    "value": (ValueError("log of -1"), "ValueError: log of -1"),
    "assertion": (AssertionError("x < 1"), "AssertionError: x < 1"),
    "runtime": (RuntimeError("no\n  convergence"), "RuntimeError: no convergence"),
    "lookup": (KeyError("w"), "KeyError: 'w'"),
    "linear algebra": (np.linalg.LinAlgError("singular"), "LinAlgError: singular"),
    "of a library": (LibraryError(), "LibraryError, with"),
    "long": (RuntimeError("solver " * 100), "RuntimeError: solver solver"),
}


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", MOVED)
def test_whatever_the_cost_raises_at_a_moved_point_is_quoted_with_the_move(name, sign, method):
    error, quoted = MOVED[name]
    at = [sign * np.array(3.0), np.array([sign * 0.5, 2.0])]

    def cost(params):
        if params[1][1] != 2:
            raise error
        return square(params)

    report = check_gradient(cost, slope(at), at, method=method)
    text = " ".join(str(report).split())
    assert report.arrays["params[0]"].verdict is Verdict.MATCH
    assert report.arrays["params[1]"].verdicts.tolist() == [Verdict.MATCH, Verdict.UNRESOLVED]
    assert f"leave the domain where the cost is finite ({quoted}" in text
    move = re.search(r", with params\[1\]\[1\] moved from 2.0 to (\S+)\)", text)
    assert 0 < abs(float(move[1]) - 2) <= 2
    assert len(text) < 2000


def test_where_every_move_raises_that_is_the_reason():
    def cost(params):
        raise_if = any((a != b).any() for a, b in zip(params, point(), strict=True))
        if raise_if:
            raise AssertionError("only here")
        return square(params)

    report = check_gradient(cost, slope, point())
    assert report.verdict is Verdict.UNRESOLVED
    assert str(report).count("AssertionError: only here") == 2  # of each array


def test_a_moved_cost_that_returns_no_number_is_outside():
    report = check_gradient(lambda p: square(p) if p[0][0, 0] == 1 else None, slope, point())
    assert report.verdict is Verdict.UNRESOLVED
    assert "returned None, wanted one number" in " ".join(str(report).split())


def test_a_moved_cost_that_is_nan_is_quoted_with_the_move():
    report = check_gradient(lambda p: NAN if p[1] != 2 else p[0], [1.0, 0.0], [1.0, 2.0])
    assert "(cost(params) is nan, with params[1] moved from 2.0 to " in " ".join(
        str(report).split()
    )


@pytest.mark.parametrize("error", [KeyError("w"), AssertionError("no"), ValueError("not here")])
def test_what_the_cost_raises_at_the_point_keeps_its_type(error):
    calls = []

    def at_once(p):
        raise error

    def later(p):
        calls.append(1)
        if len(calls) > 1 and all((a == b).all() for a, b in zip(p, point(), strict=True)):
            raise error
        return square(p)

    for cost in (at_once, later):
        with pytest.raises(type(error)) as raised:
            check_gradient(cost, slope, point(), method="central")
        assert raised.value is error


@pytest.mark.parametrize("coverage", ["every", "projected"])
@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        MemoryError("40 GiB"),
        UnsatisfiedAssumption(),
        StopTest(0),
        unittest.SkipTest("not today"),
        pytest.skip.Exception("not today"),
        pytest.fail.Exception("wrong"),
        pytest.xfail.Exception("known"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_control_flow_passes_through_and_the_parameters_come_back(error, coverage):
    params = point()

    def cost(p):
        if p[1][0] != 0.5:
            raise error
        return square(p)

    before = bits(params)
    with pytest.raises(type(error)) as raised:
        check_gradient(cost, slope, params, coverage=coverage, method="central")
    assert raised.value is error
    assert bits(params) == before


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_claimed_entry_that_is_not_finite_is_a_mismatch(value):
    claim = slope(point())
    claim[1][0] = value
    report = check_gradient(square, claim, point())
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.path == "params[1]"
    assert report.worst.index == (0,)
    assert report.arrays["params[1]"].verdicts.tolist() == [Verdict.MISMATCH, Verdict.MATCH]
    assert report.arrays["params[0]"].verdict is Verdict.MATCH


@pytest.mark.parametrize("reshape", [np.ravel, np.transpose, lambda a: a[None]])
def test_another_shape_of_the_same_size_is_a_finding(reshape):
    params = [np.full((2, 3), 1.5)]
    report = check_gradient(square, [reshape(2 * params[0])], params)
    assert report.verdict is Verdict.MATCH
    (finding,) = report.findings
    assert re.match(r"params\[0\] has shape \(2, 3\) but its gradient \(", finding)
