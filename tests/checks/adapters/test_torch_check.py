"""Backward passes that autograd calls without cotangents, and assertions."""

import numpy as np
import pytest

from checks import GradientMismatch, GradientUnresolved, Verdict
from checks.report import session

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import assert_function, check_function  # noqa: E402


def draw(*shape, dtype=torch.float64, seed=0):
    values = np.random.default_rng(seed).uniform(0.3, 1.5, shape)
    return torch.tensor(values).to(dtype).requires_grad_()


class Pair(torch.autograd.Function):
    """sin x and x², with a backward pass that gets None for an output that is not used."""

    fault = ""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        return x.sin(), x * x

    @classmethod
    def backward(cls, ctx, u, v):
        (x,) = ctx.saved_tensors
        if cls.fault == "first" and u is None:
            return torch.zeros_like(x)  # wrong on purpose
        if cls.fault == "all" and u is None and v is None:
            return torch.ones_like(x)  # wrong on purpose
        if cls.fault == "raises":
            return u * x.cos() + v * 2 * x  # wrong on purpose
        first = 0 if u is None else u * x.cos()
        second = 0 if v is None else v * 2 * x
        return None if u is None and v is None else first + second


def pair(name):
    return type("Pair", (Pair,), {"fault": name}).apply


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_outputs_that_no_loss_uses_have_no_cotangent(dtype):
    x = draw(3, dtype=dtype)
    assert check_function(pair(""), x)
    report = check_function(pair("first"), x)
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "undefined cotangent"
    assert "here of output[0]. " in report.diagnosis[0].text
    assert check_function(lambda x: pair("first")(x)[0], x)  # the only output, which is used


def test_no_output_is_used():
    report = check_function(pair("all"), draw(3))
    assert report.verdict is Verdict.MISMATCH
    assert "here of output[0], output[1]. " in str(report).replace("\n  ", " ")
    assert report.worst.numeric == 0


def test_an_error_says_that_a_cotangent_was_none():
    with pytest.raises(TypeError) as info:
        check_function(pair("raises"), draw(3))
    assert "let it treat None as zeros" in info.value.__notes__[0]


def test_group_normalisation_without_its_first_output():
    # PyTorch's own backward returns zeros where only the mean or the deviation is used
    x = draw(1, 2, 3)
    norm = lambda x: torch.native_group_norm(x, None, None, 1, 2, 3, 1, 0.5)  # noqa: E731
    report = check_function(norm, x)
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "undefined cotangent"
    assert check_function(lambda x: norm(x)[0], x)
    assert check_function(lambda x: torch.native_layer_norm(x, [3], None, None, 0.5), x)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sin()

    @staticmethod
    def backward(ctx, u):
        return 2 * u  # wrong on purpose


def test_an_assertion_raises_the_whole_report_and_is_recorded(monkeypatch):
    reports, x = [], draw(3)
    monkeypatch.setattr(session, "listeners", [reports.append])
    assert assert_function(torch.sin, x) is reports[-1]
    with pytest.raises(GradientMismatch, match=r"inputs\[0\]  +3 ") as info:
        assert_function(Doubled.apply, x)
    assert str(info.value) == str(reports[-1])
    with pytest.raises(GradientUnresolved):
        assert_function(torch.floor, x)
