"""Bad input: each case names the argument, what it was and what was wanted."""

import re

import numpy as np
import pytest

from backprop import Network, Parameters, chain_form, index_form, matrix_form

NET = Network((2, 3, 1))
THETA = NET.random_parameters(np.random.default_rng(0))
X, Y = np.ones((4, 2)), np.ones((4, 1))
NAN, INF = np.nan, np.inf


def w(*shapes, dtype=float):
    return [np.ones(shape, dtype) for shape in shapes]


def parameters(weights, biases):
    return lambda: Parameters(weights, biases)


def network(*arguments, **keywords):
    return lambda: Network(*arguments, **keywords)


def gradient(theta=THETA, x=X, y=Y, out=None):
    return lambda: NET.gradient(theta, x, y, out)


def holding(array, value):
    array = array.copy()
    array[1, 0] = value
    return array


def of(sizes, dtype=float):
    return Network(sizes).random_parameters(np.random.default_rng(1), dtype=dtype)


CASES = {
    "sizes empty": (network(()), ValueError, "sizes is (), of 0 entries"),
    "sizes of one": (network((784,)), ValueError, "sizes is (784,), of 1 entries"),
    "sizes with zero": (network((2, 0, 1)), ValueError, "sizes[1] is 0"),
    "sizes negative": (network((2, -3)), ValueError, "sizes[1] is -3"),
    "sizes of float": (network((2, 3.0)), TypeError, "sizes is (2, 3.0), not integers"),
    "sizes of bool": (network((True, 3)), TypeError, "sizes is (True, 3), not integers"),
    "sizes of str": (network("abc"), TypeError, "sizes is 'abc', not integers"),
    "sizes a number": (network(3), TypeError, "sizes is 3, not integers"),
    "activation": (network((2, 1), "sigmoid"), ValueError, "wanted one of ['logistic', 'tanh'"),
    "cost": (network((2, 1), cost="mse"), ValueError, "cost is 'mse', which is unknown: wanted"),
    "cost a list": (network((2, 1), cost=[]), ValueError, "cost is [], which is unknown"),
    "scale zero": (lambda: NET.random_parameters(rng(), 0), ValueError, "scale is 0"),
    "scale nan": (lambda: NET.random_parameters(rng(), NAN), ValueError, "scale is nan"),
    "scale inf": (lambda: NET.random_parameters(rng(), INF), ValueError, "scale is inf"),
    "scale text": (lambda: NET.random_parameters(rng(), "1"), ValueError, "scale is '1'"),
    "dtype int": (lambda: NET.random_parameters(rng(), 1, int), TypeError, "wanted a float dtype"),
    "rng a seed": (lambda: NET.random_parameters(0), TypeError, "np.random.default_rng(seed)"),
    "no layers": (parameters([], []), ValueError, "weights has 0 arrays and biases 0"),
    "one bias short": (parameters(w((3, 2)), []), ValueError, "weights has 1 arrays and biases 0"),
    "no chain": (parameters(w((3, 2), (1, 4)), w(3, 1)), ValueError, "weights[1] has shape (1, 4)"),
    "weights 1-d": (parameters(w(3), w(3)), ValueError, "weights[0] has shape (3,): wanted 2-d"),
    "first columns": (parameters(w(3), w(3)), ValueError, "for each of its inputs (n_0)"),
    "later columns": (
        parameters(w((3, 2), (1, 4)), w(3, 1)),
        ValueError,
        "for each of its inputs (3, the width of the layer before)",
    ),
    "weights empty": (parameters(w((3, 0)), w(3)), ValueError, "weights[0] has shape (3, 0)"),
    "bias a column": (parameters(w((3, 2)), w((3, 1))), ValueError, "(3,), one for each row"),
    "bias of wrong width": (parameters(w((3, 2)), w(2)), ValueError, "biases[0] has shape (2,)"),
    "weights of int": (parameters(w((3, 2), dtype=int), w(3)), TypeError, ".astype(np.float64)"),
    "biases of bool": (parameters(w((3, 2)), w(3, dtype=bool)), TypeError, "biases[0] has dtype b"),
    "weights of object": (parameters(w((3, 2), dtype=object), w(3)), TypeError, "dtype object"),
    "two dtypes": (parameters(w((3, 2)), w(3, dtype="f4")), ValueError, "wanted one dtype for all"),
    "weight nan": (parameters([holding(X, NAN)], w(4)), ValueError, "weights[0][1, 0] is nan"),
    "bias inf": (parameters(w((1, 2)), [[-INF]]), ValueError, "biases[0][0] is -inf"),
    "vector length": (lambda: Parameters.unravel(w(5)[0], (2, 3)), ValueError, "take (9,)"),
    "vector 2-d": (lambda: Parameters.unravel(w((9, 1))[0], (2, 3)), ValueError, "shape (9, 1)"),
    "theta a tuple": (gradient((THETA.weights, THETA.biases)), TypeError, "theta is a tuple"),
    "theta of other sizes": (gradient(of((2, 4, 1))), ValueError, "theta has sizes (2, 4, 1)"),
    "x too wide": (gradient(x=w((4, 3))[0]), ValueError, "x has shape (4, 3): wanted (B, 2)"),
    "y too wide": (gradient(y=w((4, 2))[0]), ValueError, "y has shape (4, 2): wanted (B, 1)"),
    "x transposed": (gradient(x=X.T), ValueError, "x has shape (2, 4): wanted (B, 2)"),
    "x 3-d": (gradient(x=X[None]), ValueError, "x has shape (1, 4, 2)"),
    "x a number": (gradient(x=1.0), ValueError, "x has shape ()"),
    "y 1-d": (gradient(y=Y[0]), ValueError, "x has shape (4, 2) and y (1,)"),
    "batch sizes": (gradient(y=Y[:3]), ValueError, "wanted as many rows in both"),
    "x empty": (gradient(x=X[:0], y=Y[:0]), ValueError, "x has shape (0, 2)"),
    "x nan": (gradient(x=holding(X, NAN)), ValueError, "x[1, 0] is nan"),
    "y inf": (gradient(y=holding(Y, INF)), ValueError, "y[1, 0] is inf"),
    "x complex": (gradient(x=X + 0j), TypeError, "x has dtype complex128"),
    "y of objects": (gradient(y=Y.astype(object)), TypeError, "y has dtype object"),
    "x of text": (gradient(x=[["1", "2"]] * 4), TypeError, "wanted real numbers"),
    "x overflows float32": (gradient(of((2, 3, 1), "f4"), x=X * 1e300), ValueError, "is inf"),
    "out an array": (gradient(out=THETA.ravel()), TypeError, "out is a ndarray"),
    "out of other sizes": (gradient(out=of((2, 4, 1))), ValueError, "out has sizes (2, 4, 1)"),
    "out of other dtype": (gradient(out=of((2, 3, 1), "f4")), ValueError, "out has dtype float32"),
    "out is theta": (gradient(out=THETA), ValueError, "out shares memory with theta or x"),
    "out views theta": (
        gradient(out=Parameters([v[:] for v in THETA.weights], of((2, 3, 1)).biases)),
        ValueError,
        "out shares memory with theta or x",
    ),
    "out is x": (
        gradient(x=X[:3], y=Y[:3], out=Parameters([X[:3], Y[:3].T], of((2, 3, 1)).biases)),
        ValueError,
        "out shares memory with theta or x",
    ),
}


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("call", "error", "fragment"), [*CASES.values()], ids=[*CASES])
def test_error_names_the_argument(call, error, fragment):
    with pytest.raises(error, match=re.escape(fragment)):
        call()


@pytest.mark.parametrize("form", [index_form, chain_form, matrix_form])
def test_every_form_checks(form):
    with pytest.raises(ValueError, match="x has shape"):
        form.gradient(NET, THETA, X.T, Y)


@pytest.mark.parametrize("method", ["forward", "cost"])
def test_every_method_checks(method):
    with pytest.raises(ValueError, match=r"x\[1, 0\] is nan"):
        getattr(NET, method)(THETA, holding(X, NAN), *([Y] if method == "cost" else []))
