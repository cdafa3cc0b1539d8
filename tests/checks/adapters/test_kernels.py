"""Fused kernels of the kinds that people write, right and wrong, each in its precision."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checks import Verdict

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from benchmarks.fused_kernels import (  # noqa: E402
    DTYPES,
    KERNELS,
    LAYOUTS,
    draw_inputs,
    effect,
    first_wrong,
)
from checks.adapters.torch import check_function  # noqa: E402

DTYPE, SEED = st.sampled_from(DTYPES), st.integers(0, 2**32 - 1)


@given(st.sampled_from(list(KERNELS)), DTYPE, st.sampled_from(list(LAYOUTS)), SEED)
def test_a_right_kernel_matches(name, dtype, layout, seed):
    kernel = KERNELS[name]
    report, _ = first_wrong(kernel, draw_inputs(kernel, dtype, layout, seed), "")
    assert report, str(report)


@given(
    st.sampled_from([(name, m) for name, kernel in KERNELS.items() for m in kernel.where]),
    DTYPE,
    st.sampled_from(["transposed", "sliced"]),
    SEED,
)
def test_a_mistake_is_found_where_it_is(name_and_mistake, dtype, layout, seed):
    name, mistake = name_and_mistake
    kernel = KERNELS[name]
    inputs = draw_inputs(kernel, dtype, layout, seed)
    report, wrong = first_wrong(kernel, inputs, mistake)
    assume(wrong or effect(kernel, inputs, mistake) > 0.1)
    assert wrong == kernel.where[mistake], str(report)
    assert ("The values are wrong before" in str(report)) == (wrong == "output")


@given(st.floats(0.5, 3), st.sampled_from(DTYPES[1:]), SEED)
def test_what_all_points_near_by_lose_alike_is_no_mistake(scale, dtype, seed):
    # Where one key has nearly all of the weight, the saved result is its value to the last place.
    rng, attention = np.random.default_rng(seed), KERNELS["attention"]
    q, k, v = (
        torch.tensor(c * rng.standard_normal((1, 2, 2))).to(dtype).requires_grad_()
        for c in (scale, scale, 1)
    )
    report = check_function(attention.fused, q, k, v, "", reference=attention.eager)
    assert report.verdict is not Verdict.MISMATCH, str(report)


class Overwrites(torch.autograd.Function):
    """2 x, with a backward pass that makes the gradient in the memory of the cotangent."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, u):
        return u.mul_(2)  # wrong on purpose


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cotangent_must_come_back_unchanged(dtype):
    x = torch.linspace(0.5, 2, 6).to(dtype).requires_grad_()
    report = check_function(Overwrites.apply, x, reference=lambda x: 2 * x)
    assert "overwritten cotangent" in [found.name for found in report.diagnosis]
    assert report.verdict is Verdict.MISMATCH


class Shared(torch.autograd.Function):
    """x, with a backward pass that is wrong where all entries of a cotangent share memory."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, u):
        return torch.zeros_like(u) if 0 in u.stride() else u  # wrong on purpose


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cotangent_with_stride_zero_is_one(dtype):
    x = torch.linspace(0.5, 2, 6).to(dtype).requires_grad_()
    report = check_function(Shared.apply, x, reference=lambda x: x + 0)
    assert report.verdict is Verdict.MISMATCH
    assert "with stride 0" in str(report)


@pytest.mark.parametrize("name", KERNELS)
def test_an_error_says_that_a_kernel_reads_between_entries(name):
    kernel = KERNELS[name]
    inputs = draw_inputs(kernel, torch.float32, "sliced", 0)
    with pytest.raises(ValueError, match=r"nan that are finite for dense inputs.*contiguous\(\)"):
        check_function(kernel.fused, *inputs, "strides of x")


class InPlace(torch.autograd.Function):
    """sin x, right, but for what it writes where x was."""

    @staticmethod
    def forward(ctx, x, when):
        ctx.save_for_backward(x, x.cos())
        ctx.when = when
        y = x.sin()
        if when == "forward":
            x.data[1] = 0  # wrong on purpose
        return y

    @staticmethod
    def backward(ctx, u):
        x, slope = ctx.saved_tensors
        if ctx.when == "backward":
            x.data[1] = 0  # wrong on purpose
        return u * slope, None


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES])
def test_a_kernel_must_not_write_to_its_input(when, dtype):
    x = torch.linspace(0.5, 2, 4).to(dtype).requires_grad_()
    assert check_function(InPlace.apply, x, "")
    report = check_function(InPlace.apply, x, when, reference=lambda x, _: x.sin())
    assert [str(a.verdict) for a in report.arrays.values()] == ["MATCH", "MISMATCH"]
    assert [found.name for found in report.diagnosis] == ["overwritten input"]
    assert f"the {when} pass changes its input (inputs[0][1] from 1" in report.diagnosis[0].text
    assert x[1] == 1
