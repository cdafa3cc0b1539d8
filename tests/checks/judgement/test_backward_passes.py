"""A gradient may read what the cost kept of its last call, as a backward pass reads activations."""

import numpy as np
import pytest

from checks import (
    Verdict,
    check_gradient,
    check_hessian,
    check_hvp,
    check_jacobian,
    check_step,
    check_vjp,
)

X = np.array([[1.0, 2.0], [0.5, -1.0], [-0.3, 0.7]])


class Net:
    """A layer with a forward pass that keeps its results, and a backward pass that reads them."""

    def __init__(self, factor=1.0):
        self.factor, self.calls = factor, 0

    def forward(self, p):
        self.calls += 1
        self.p, self.a = p, np.tanh(X.astype(p["w"].dtype) @ p["w"])
        return self.a

    def backward(self, u):
        return {"w": self.factor * X.T.astype(self.p["w"].dtype) @ (u * (1 - self.a**2))}

    def cost(self, p):
        return np.mean(self.forward(p) ** 2)

    def gradient(self, _):
        return self.backward(2 * self.a / self.a.size)

    def jacobian(self, _):
        blocks = np.zeros((*self.a.shape, *self.p["w"].shape), self.a.dtype)
        for j in range(2):
            blocks[:, j, :, j] = self.factor * (1 - self.a[:, j, None] ** 2) * X
        return {"w": blocks}

    def hessian(self, _):
        """Return the second derivatives of Σ_ij a_ij² / size: a block for each column of w."""
        slope = (1 - self.a**2) * (1 - 3 * self.a**2) * 2 / self.a.size
        blocks = np.zeros((2, 2, 2, 2), self.a.dtype)
        for j in range(2):
            blocks[:, j, :, j] = self.factor * (X.T * slope[:, j]) @ X
        return {"w": {"w": blocks}}

    def hvp(self, p, v):
        return {"w": np.tensordot(self.hessian(p)["w"]["w"], v["w"], 2)}

    def step(self, p, eta):
        return {"w": p["w"] - eta * self.gradient(p)["w"]}


CHECKS = {
    "gradient": lambda net, p: check_gradient(net.cost, net.gradient, p),
    "central": lambda net, p: check_gradient(net.cost, net.gradient, p, method="central"),
    "projected": lambda net, p: check_gradient(net.cost, net.gradient, p, coverage="projected"),
    "step": lambda net, p: check_step(net.cost, net.step, p),
    "jacobian": lambda net, p: check_jacobian(net.forward, net.jacobian, p),
    "vjp": lambda net, p: check_vjp(net.forward, lambda _, u: net.backward(u), p),
    "hessian": lambda net, p: check_hessian(net.cost, net.hessian, p),
    "hvp": lambda net, p: check_hvp(net.cost, net.hvp, p),
}


def params(dtype=np.float64):
    return {"w": np.array([[0.3, -0.8], [0.5, 0.2]], dtype)}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, np.float64) for name in CHECKS] + [(name, np.float32) for name in CHECKS],
)
def test_a_backward_pass_that_reads_activations_is_judged(name, dtype):
    p = params(dtype)
    right = CHECKS[name](Net(), p)
    assert right.verdict is Verdict.MATCH, str(right)
    assert "two calls" not in str(right)
    assert CHECKS[name](Net(1.25), p).verdict is Verdict.MISMATCH


def test_its_rounding_is_measured_with_wider_activations():
    net = Net(1 + 1e-7)
    report = check_gradient(net.cost, net.gradient, params(), rtol=1e-9)
    assert report.verdict is Verdict.MISMATCH
    assert report.evaluations == net.calls
    assert check_gradient(net.cost, net.gradient, params()).arrays["w"].verdict is Verdict.MISMATCH


def test_a_gradient_that_differs_after_the_cost_too_is_not_repeatable():
    rng, net = np.random.default_rng(0), Net()

    def gradient(p):
        return {"w": net.gradient(p)["w"] * (1 + 1e-3 * rng.standard_normal())}

    report = check_gradient(net.cost, gradient, params())
    assert report.verdict is Verdict.MISMATCH
    assert "two calls" in " ".join(str(report).split())


def test_what_a_second_call_raises_after_the_cost_too_is_raised():
    net, calls = Net(), []

    def gradient(p):
        calls.append(p)
        if len(calls) > 1:
            raise LookupError("only once")
        return net.gradient(p)

    with pytest.raises(LookupError, match="only once"):
        check_gradient(net.cost, gradient, params())
    assert len(calls) == 3
