"""Kernels in low precision beside an eager reference: right ones match, wrong ones are found."""

import numpy as np
import pytest

from checks import Verdict

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import check_function  # noqa: E402

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


class Normalised(torch.autograd.Function):
    """x / √(mean x² + ε) · w, computed in float32 as fused kernels do, with a mistake."""

    @staticmethod
    def forward(ctx, x, w, mistake):
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)
        ctx.save_for_backward(x, w, scale)
        ctx.mistake = mistake
        y = wide * scale * w.float()
        return (1.1 * y if mistake == "values" else y).to(x.dtype)

    @staticmethod
    def backward(ctx, u):
        x, w, scale = ctx.saved_tensors
        wide, v = x.float(), u.float() * w.float()
        mean = (v * wide).mean(-1, keepdim=True)
        if ctx.mistake == "a dropped term":
            mean = 0
        dx = scale * v - scale**3 * wide * mean
        dw = (u.float() * wide * scale).sum(0)
        if ctx.mistake == "the wrong reduction":
            dw = dw / len(x)
        if ctx.mistake == "strides":
            dx = torch.as_strided(dx, dx.shape, (1, len(dx)))
        if ctx.mistake == "one entry":
            dx[1, 2] *= -1
        return dx.to(x.dtype), dw.to(w.dtype), None


def eager(x, w, mistake):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * w


def draw(dtype, *shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.tensor(values).to(dtype).requires_grad_()


def inputs(dtype):
    return draw(dtype, 4, 6), draw(dtype, 6, seed=1)


def test_the_reference_is_called_at_many_points_at_once():
    calls = 0

    def counted(*inputs):
        nonlocal calls
        calls += 1
        return eager(*inputs)

    options = {"reference": counted, "method": "central"}
    report = check_function(Normalised.apply, *inputs(torch.bfloat16), "", **options)
    assert report
    assert calls < report.evaluations / 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_kernel_matches(dtype):
    report = check_function(Normalised.apply, *inputs(dtype), "", reference=eager)
    assert report, str(report)
    assert list(report.arrays) == ["output", "inputs[0]", "inputs[1]"]
    assert report.rtol == (4 * torch.finfo(dtype).eps if dtype.itemsize < 4 else report.rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("mistake", "where"),
    [
        ("values", "output"),
        ("a dropped term", "inputs[0]"),
        ("the wrong reduction", "inputs[1]"),
        ("strides", "inputs[0]"),
        ("one entry", "inputs[0]"),
    ],
)
def test_a_wrong_kernel_is_found(dtype, mistake, where):
    report = check_function(Normalised.apply, *inputs(dtype), mistake, reference=eager)
    wrong = [path for path, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    assert wrong == [where], str(report)
    assert ("The values are wrong before" in str(report)) == (mistake == "values")


class Half(torch.autograd.Function):
    """The softmax in float64 if asked for; in 16 bits, with a factor that may be wrong."""

    @staticmethod
    def forward(ctx, x, factor):
        y = torch.softmax(x, -1)
        ctx.save_for_backward(y)
        ctx.factor = factor
        return y

    @staticmethod
    def backward(ctx, u):
        (y,) = ctx.saved_tensors
        return ctx.factor * y * (u - (u * y).sum(-1, keepdim=True)), None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_without_a_reference_the_function_itself_is_evaluated_in_float64(dtype):
    x = draw(dtype, 5, 4)
    assert check_function(Half.apply, x, 1)
    assert check_function(Half.apply, x, 1.2).verdict is Verdict.MISMATCH
    with pytest.raises(ValueError, match=r"fails in float64 .*refuses.*give reference="):
        check_function(refuses_float64, x)


def refuses_float64(x):
    if x.dtype is torch.float64:
        raise RuntimeError("this kernel refuses float64")
    return x.sin()


def test_a_reference_may_take_float64_alone():
    def reference(x):
        assert x.dtype is torch.float64
        return x.sin()

    x = draw(torch.bfloat16, 8)
    assert check_function(refuses_float64, x, reference=reference)
    wrong = check_function(refuses_float64, x, reference=lambda x: 1.2 * reference(x))
    assert wrong.verdict is Verdict.MISMATCH


def test_a_reference_in_float64_compares_values_too():
    x = draw(torch.float64, 4)
    assert check_function(torch.sin, x, reference=lambda x: torch.cos(x - np.pi / 2))
    report = check_function(torch.sin, x, reference=lambda x: torch.sin(x) + 1e-3)
    assert [p for p, a in report.arrays.items() if a.verdict is Verdict.MISMATCH] == ["output"]


def test_an_error_says_that_the_reference_has_other_outputs():
    with pytest.raises(ValueError, match=r"the shapes \[\(\)\], wanted \[\(3,\)\]"):
        check_function(torch.sin, draw(torch.float32, 3), reference=lambda x: x.sin().sum())


def test_other_modes_are_refused_in_16_bits():
    with pytest.raises(ValueError, match="mode is 'forward', wanted 'reverse' for 16 bits"):
        check_function(torch.sin, draw(torch.bfloat16, 3), mode="forward")


def both(x):
    return x.sin(), x.cos()


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (both, lambda x: list(both(x))),
        (both, lambda x: {"sin": x.sin(), "cos": x.cos()}),
        (lambda x: {"a": x.sin(), "b": x.cos()}, lambda x: {"b": x.cos(), "a": x.sin()}),
        (lambda x: (x.argmax(), *both(x)), both),
        (lambda x: {"sin": x.sin(), "order": x.argsort()}, torch.sin),
    ],
    ids=["a list", "a dict", "another order", "after whole numbers", "beside whole numbers"],
)
def test_the_reference_may_nest_its_outputs_otherwise(function, reference):
    assert check_function(function, draw(torch.bfloat16, 4), reference=reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (refuses_float64, r"the reference fails in float64 \(RuntimeError: this kernel refuses"),
        (lambda x: x.detach().sin(), r"the reference fails .* requires a gradient"),
        (
            both,
            r"the outputs of the reference have the shapes \[\(4,\), \(4,\)\], wanted \[\(4,\)\]",
        ),
        (lambda x: x.sin()[:, None], r"have the shapes \[\(4, 1\)\], wanted \[\(4,\)\]"),
    ],
    ids=["refuses float64", "detaches", "more outputs", "another shape"],
)
def test_errors_say_what_a_reference_has_to_be(reference, message):
    with pytest.raises(ValueError, match=message):
        check_function(torch.sin, draw(torch.float32, 4), reference=reference)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_is_named(dtype):
    def dropped(x):
        return torch.nn.functional.dropout(x.sin(), 0.5)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        report = check_function(dropped, draw(dtype, 40), reference=torch.sin)
    assert report.verdict is Verdict.MISMATCH
    assert [found.name for found in report.diagnosis] == ["not repeatable"]
    assert "two calls at one point return other values" in report.arrays["output"].reason


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_module_with_buffers_matches_although_a_constant_cotangent_has_gradient_zero(dtype):
    module = torch.nn.BatchNorm1d(3).to(dtype)
    before = [buffer.clone() for buffer in module.buffers()]
    assert check_function(module, draw(dtype, 6, 3, seed=1), reference=module)
    assert all(map(torch.equal, module.buffers(), before))


def norm_in_float32(x):
    wide = x.float()
    scale = torch.zeros(len(x), 1)  # of the default dtype
    scale[:] = torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)
    return (wide * scale).to(x.dtype)


CASTS = {
    "inside": lambda dtype: norm_in_float32,
    "of the result": lambda dtype: lambda x: x.sin().float(),
    "in an operation": lambda dtype: lambda x: x.softmax(-1, dtype=torch.float32),
    "to its own dtype": lambda dtype: lambda x: (x.exp().to(dtype) * x).sum(-1),
    "by weights that it closes over": lambda dtype: torch.nn.Linear(4, 2, dtype=dtype).forward,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", CASTS.values(), ids=CASTS)
def test_casts_inside_do_not_keep_a_function_from_float64(dtype, make):
    x, function = draw(dtype, 3, 4), make(dtype)
    assert check_function(function, x)
    report = check_function(lambda x: scaled(function(x)), x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def scaled(y):
    """Return y, whose gradient comes out larger by 5 %."""
    return y + 0.05 * (y - y.detach())


def rounded(x, bits):
    """Return float32 with so many bits after the point, as TF32 (10) and bfloat16 (7) have."""
    if bits == 23:
        return x
    scale = torch.exp2(bits - torch.floor(torch.log2(x.abs().clamp(min=1e-30))))
    return torch.round(x * scale) / scale


class RoundedProduct(torch.autograd.Function):
    """A matrix product whose factors are rounded, as by tensor cores, with a mistake."""

    @staticmethod
    def forward(ctx, a, b, bits, mistake):
        ctx.save_for_backward(a, b)
        ctx.bits, ctx.mistake = bits, mistake
        return rounded(a, bits) @ rounded(b, bits) * (1.25 if mistake == "values" else 1)

    @staticmethod
    def backward(ctx, u):
        a, b, u = (rounded(part, ctx.bits) for part in (*ctx.saved_tensors, u))
        da, db = u @ b.T, a.T @ u
        if ctx.mistake == "factor":
            da = 1.25 * da
        return da, db.flip(0) if ctx.mistake == "rows" else db, None, None


@pytest.mark.parametrize("size", [3, 50])
@pytest.mark.parametrize("bits", [7, 10, 23])
def test_fewer_digits_inside_than_the_dtype_has_are_measured_and_said(bits, size):
    generator = torch.Generator().manual_seed(size)
    a, b = torch.randn(4, size, generator=generator), torch.randn(size, 5, generator=generator)
    inputs = a.requires_grad_(), b.requires_grad_(), bits

    def check(mistake, **options):
        eager = lambda a, b, *_: a @ b  # noqa: E731
        return check_function(RoundedProduct.apply, *inputs, mistake, reference=eager, **options)

    report = check("")
    assert report, str(report)
    assert ("with fewer digits than its dtype has" in str(report)) == (bits < 23)
    least = 2.0**-bits / 2 if bits < 23 else torch.finfo(torch.float32).eps ** 0.5
    assert least <= report.rtol < max(16 * 2.0**-bits, 4e-4)
    wrong = {"factor": "inputs[0]", "rows": "inputs[1]", "values": "output"}
    for mistake, path in wrong.items():
        assert check(mistake).arrays[path].verdict is Verdict.MISMATCH
    if bits < 23:  # whoever wants the digits asks for them
        assert check("", rtol=1e-4).verdict is not Verdict.MATCH
