"""Inputs and results that are infinite, as those of masks, are constants in a check."""

import pytest

from checks import Verdict

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import check_function  # noqa: E402

INF = torch.inf
FUTURE = torch.ones(3, 3, dtype=torch.bool).triu(1)
MASKED = {
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "logsumexp": lambda x: torch.logsumexp(x, -1),
    "a product beside it": lambda x: torch.softmax(x, -1) @ x.exp(),
    "the mask in the function": lambda x: x.exp().masked_fill(FUTURE, -INF),
    "a filled row": lambda x: torch._safe_softmax(x.masked_fill(FUTURE | (x[:, :1] < 0), -INF), -1),
}


def scores(dtype=torch.float64):
    x = torch.tensor([[0.5, 0.0, 1.0], [-1.0, 2.0, 0.25], [0.75, -0.5, 1.5]], dtype=dtype)
    return x.masked_fill(FUTURE, -INF).requires_grad_()


def masked(function, wrong):
    """Return a function whose gradient is `wrong(x, g)` where g is right."""

    class Masked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return function(x)

        @staticmethod
        def backward(ctx, u):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                (g,) = torch.autograd.grad(function(x), x, u)
            return wrong(x, g)

    return Masked.apply


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("function", MASKED.values(), ids=MASKED)
def test_what_is_not_finite_is_a_constant(function, dtype):
    report = check_function(function, scores(dtype))
    assert report, str(report)
    assert any(
        "Not finite: 3 entries of inputs[0], as inputs[0][0, 1]" in f for f in report.findings
    )


def test_in_forward_mode_too():
    for mode in ("forward", "batched", "batched forward"):
        assert check_function(MASKED["log_softmax"], scores(), mode=mode)
    x = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    assert check_function(
        MASKED["the mask in the function"], x, reference=lambda x: x.exp().masked_fill(FUTURE, -INF)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, g: 1.01 * g,
        lambda x, g: torch.where(x.isinf(), 1e-3, g),
        lambda x, g: torch.where(x.isinf(), torch.nan, g),
        lambda x, g: torch.where(x.isinf(), INF, g),
    ],
    ids=["elsewhere", "not zero", "nan", "infinite"],
)
def test_mistakes_are_found_there_and_elsewhere(wrong):
    function = masked(MASKED["softmax"], wrong)
    assert check_function(function, scores()).verdict is Verdict.MISMATCH


def test_a_result_that_is_infinite_in_the_reference_alone_is_wrong():
    x = torch.rand(3, 3, dtype=torch.float32, requires_grad=True)
    report = check_function(torch.exp, x, reference=MASKED["the mask in the function"])
    assert report.arrays["output"].verdict is Verdict.MISMATCH


def test_what_is_not_a_number_is_no_constant():
    x = torch.full((2, 2), -INF, dtype=torch.float64).requires_grad_()
    with pytest.raises(ValueError, match=r"is nan, wanted finite results"):
        check_function(MASKED["softmax"], x)
