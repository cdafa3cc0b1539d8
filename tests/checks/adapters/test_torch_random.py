"""Random functions of tensors, with right and wrong derivatives of both orders."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import gradcheck, gradgradcheck  # noqa: E402

STEPS = [
    torch.sin,
    torch.tanh,
    torch.sigmoid,
    torch.atan,
    lambda x: torch.exp(-x * x),
    torch.nn.functional.softplus,
    lambda x: x.softmax(-1),
    lambda x: x.cumsum(0),
    lambda x: x / (1 + x * x),
    lambda x: x.flip(0) * x,
    lambda x: x.logsumexp(-1, keepdim=True) + x,
    lambda x: x @ x.T @ x,
]
JOINTS = [
    torch.mul,
    torch.add,
    lambda x, y: x / (1 + y * y),
    lambda x, y: torch.atan2(x, 1 + y * y),
    lambda x, y: x * y.sum(),
]


def steeper(gradient, factor=1.001):
    """Return a gradient of the same values whose own derivative is wrong by a factor."""
    return gradient.detach() + factor * (gradient - gradient.detach())


def without_its_largest(gradient):
    return gradient * (gradient.abs() < gradient.abs().max())


# Gradients that are wrong on purpose: g and h by x and y, for the cotangent u.
FIRST = {
    "a factor": lambda g, h, u, x, y: (1.001 * g, 1.001 * h),
    "a zero": lambda g, h, u, x, y: (without_its_largest(g), without_its_largest(h)),
    "the cotangent": lambda g, h, u, x, y: (g, h + 1e-3 * u),
    "a penalty": lambda g, h, u, x, y: (g + 1e-4 * x, h),
    "of each other": lambda g, h, u, x, y: (h, 2 * g),
}
SECOND = {
    "a factor": lambda g, h, u, x, y: (steeper(g), steeper(h)),
    "by an input": lambda g, h, u, x, y: (g, h + 1e-3 * (y - y.detach())),
    "by the cotangent": lambda g, h, u, x, y: (g + 1e-3 * (u - u.detach()), h),
    "detached": lambda g, h, u, x, y: (g.detach(), h.detach()),
}


def with_gradient(function, change):
    """Return the function with the gradients that `change` makes of its own."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return function(x, y)

        @staticmethod
        def backward(ctx, u):
            with torch.enable_grad():
                x, y = ctx.saved_tensors
                g, h = torch.autograd.grad(function(x, y), (x, y), u, create_graph=True)
                return change(g, h, u, x, y)

    return Function.apply


@example(torch.add, [], [], [], ("by an input", SECOND["by an input"]), 0)  # g is u itself
@given(
    st.sampled_from(JOINTS),
    *(st.lists(st.sampled_from(STEPS), max_size=2) for _ in range(3)),
    st.sampled_from([*FIRST.items(), *SECOND.items()]),
    st.integers(0, 2**16),
)
def test_right_ones_pass_and_wrong_ones_raise(joint, of_x, of_y, after, mistake, seed):
    def function(x, y):
        both = joint(reduce(lambda z, f: f(z), of_x, x), reduce(lambda z, f: f(z), of_y, y))
        return reduce(lambda z, f: f(z), after, both)

    rng = np.random.default_rng(seed)
    x, y = (torch.tensor(rng.uniform(-1, 1, (2, 3)), requires_grad=True) for _ in range(2))
    _, change = mistake
    first = mistake in FIRST.items()
    right = with_gradient(function, lambda g, h, u, x, y: (g, h))
    wrong = with_gradient(function, change)
    check = gradcheck if first else gradgradcheck
    assert check(right, (x, y))
    assert not check(wrong, (x, y), raise_exception=False)
    if not first:
        assert gradcheck(wrong, (x, y))
