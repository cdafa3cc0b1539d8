"""What a cost or a gradient keeps of its argument is the caller's own after a check."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from checks import (
    CheckInterrupted,
    Verdict,
    check_gradient,
    check_hessian,
    check_hvp,
    check_jacobian,
    check_jvp,
    check_step,
    check_vjp,
    numerical_gradient,
    numerical_hessian,
    numerical_jacobian,
)

X = np.array([[1.0, 2.0], [0.5, -1.0]])


class Net:
    """A network as people write it: cost and gradient set its weights and keep what they compute.

    Parameters
    ----------
    wrong : float
        The gradient is off by this factor, so that its rounding is measured too.
    """

    def __init__(self, dtype="float64", wrong=1.0):
        self.W = np.array([[0.3, -0.8], [0.5, 0.2]], dtype)
        self.x, self.wrong = X.astype(dtype), wrong
        self.calls = self.gradients = 0

    def cost(self, p):
        self.calls += 1
        self.params, self.W = p, p["W"]
        self.z = self.x @ self.W
        return np.mean(self.z**2)

    def gradient(self, p):
        self.gradients += 1
        self.seen = p["W"]
        return {"W": self.wrong * (2 * self.x.T @ (self.x @ p["W"]) / self.x.size)}


def read_only(array):
    array.flags.writeable = False
    return array


ARRAYS = {
    "in place": lambda array: array,
    "Fortran": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "read-only": read_only,
    "broadcast": lambda array: np.broadcast_to(array[:1], (2, 2)),
}


def net_and_params(kind, dtype="float64", wrong=1.0):
    net = Net(dtype, wrong)
    net.W = ARRAYS[kind](net.W)
    return net, {"W": net.W}


def assert_own(net, params):
    assert net.params is params
    assert net.W is params["W"]
    np.testing.assert_array_equal(net.z, net.x @ params["W"])


@pytest.mark.parametrize("coverage", ["every", "projected"])
@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("wrong", [1.0, 1.5, 1 + 1e-7])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_what_cost_and_gradient_keep_is_the_callers(kind, dtype, wrong, method, coverage):
    net, params = net_and_params(kind, dtype, wrong)
    report = check_gradient(net.cost, net.gradient, params, method=method, coverage=coverage)
    assert_own(net, params)
    assert net.seen is params["W"]
    assert report.evaluations == net.calls


@pytest.mark.parametrize("kind", ARRAYS)
def test_what_a_cost_keeps_in_other_checks_is_the_callers(kind):
    net, params = net_and_params(kind)
    assert numerical_gradient(net.cost, params).evaluations == net.calls
    assert_own(net, params)

    def step(p, eta):
        return {"W": p["W"] - eta * net.gradient(p)["W"]}

    assert check_step(net.cost, step, params).verdict is Verdict.MATCH
    assert_own(net, params)


def products(net):
    """Return checks of what a function keeps, by name: each takes it, a claim, and the params."""
    slope = lambda p: 2 * net.x.T @ net.x / net.x.size  # noqa: E731  (of each column of W)
    zeros = lambda p, *_: {"W": 0 * p["W"]}  # noqa: E731
    return {
        "jacobian": lambda p: check_jacobian(net.cost, net.gradient, p),
        "numerical jacobian": lambda p: numerical_jacobian(net.cost, p),
        "vjp": lambda p: check_vjp(net.cost, lambda p, u: {"W": u * net.gradient(p)["W"]}, p),
        "jvp": lambda p: check_jvp(net.cost, lambda p, v: np.sum(net.gradient(p)["W"] * v["W"]), p),
        "hvp": lambda p: check_hvp(net.cost, lambda p, v: {"W": slope(p) @ v["W"]}, p),
        "hvp of zeros": lambda p: check_hvp(net.cost, zeros, p),
        "hvp by gradient": lambda p: check_hvp(net.cost, zeros, p, gradient=net.gradient),
        "diagonal": lambda p: check_hessian(net.cost, zeros, p),
        "numerical hessian": lambda p: numerical_hessian(net.cost, p),
    }


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", products(None))
def test_what_a_function_keeps_in_checks_of_products_is_the_callers(name, kind):
    net, params = net_and_params(kind)
    products(net)[name](params)
    assert_own(net, params)


def test_stacked_costs_and_executors_hand_back_too():
    net, params = net_and_params("in place")
    with ThreadPoolExecutor(2) as pool:
        check_gradient(net.cost, net.gradient, params, executor=pool)
    assert_own(net, params)

    def costs(p):
        net.W = p["W"]
        return np.mean((net.x @ net.W) ** 2, axis=(1, 2))

    check_gradient(costs, net.gradient, params, stacked=True)
    assert net.W.dtype == np.float64
    assert np.shares_memory(net.W, params["W"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
@pytest.mark.parametrize("number", [1, 2, 3, 5, 9, 14, 20, 30])
def test_what_is_kept_after_an_interruption_is_the_callers(number, error):
    net, params = net_and_params("in place", wrong=1.5)

    def cost(p):
        result = net.cost(p)
        if net.calls == number:
            raise error
        return result

    before = params["W"].copy()
    with pytest.raises((CheckInterrupted, error)):
        check_gradient(cost, net.gradient, params)
    assert_own(net, params)
    assert params["W"].tobytes() == before.tobytes()


@pytest.mark.parametrize("number", range(1, 9))
def test_what_an_interrupted_gradient_keeps_is_the_callers(number):
    net, params = net_and_params("in place", wrong=1.5)

    def gradient(p):
        result = net.gradient(p)
        if net.gradients == number:
            raise KeyboardInterrupt
        return result

    with pytest.raises(KeyboardInterrupt):
        check_gradient(net.cost, gradient, params)
    assert net.seen is params["W"]
    assert_own(net, params)


@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_a_cost_that_raises_in_the_last_call_does_not_lose_the_report(coverage):
    params = {"W": read_only(X.copy())}

    def cost(p):
        if p is params:
            raise RuntimeError
        return np.sum(p["W"] ** 2)

    report = check_gradient(cost, {"W": 2 * X}, params, coverage=coverage)
    assert report.verdict is Verdict.MATCH


def test_a_gradient_is_called_no_more_often_than_before():
    net, params = net_and_params("in place")
    check_gradient(net.cost, net.gradient, params, coverage="projected")
    assert net.gradients == 1
    check_gradient(net.cost, net.gradient, params)
    assert net.gradients == 3


@dataclasses.dataclass
class Parameters:
    W: np.ndarray
    b: float


def test_a_nesting_with_numbers_is_handed_back_as_it_is():
    params, kept = Parameters(X.copy(), 0.5), []

    def cost(keep, p):
        kept[:] = [p]
        return np.sum(p.W**2) * p.b

    cost = partial(cost, kept)
    check_gradient(cost, Parameters(X, np.sum(X**2)), params)
    assert kept[0] is params
    assert type(params.b) is float


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="all bytes hold values here")
def test_bytes_that_hold_no_value_come_back_too():
    x = np.array([1, -2, 3], np.longdouble)
    x.view(np.uint8).reshape(3, -1)[:, 10:] = 7  # a long double of x86 has ten bytes
    before = x.tobytes()
    check_gradient(lambda p: np.sum(p**2), lambda p: 3 * p, x)  # wrong on purpose
    assert x.tobytes() == before
