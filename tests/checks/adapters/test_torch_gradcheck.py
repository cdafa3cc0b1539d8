"""`gradcheck` and `gradgradcheck` answer as PyTorch's do where these are right, and see more."""

import inspect
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from torch.autograd.gradcheck import GradcheckError  # noqa: E402

from checks.adapters import torch_gradcheck  # noqa: E402
from checks.adapters.torch import gradcheck, gradgradcheck  # noqa: E402

functional = torch.nn.functional


def draw(*shape, dtype=torch.float64, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.3, 1.5, shape) * rng.choice([-1, 1], shape)
    if dtype.is_complex:
        values = values + 1j * rng.uniform(0.3, 1.5, shape)
    return torch.tensor(values).to(dtype).requires_grad_()


def function(forward, backward, keep=None):
    """Return a function with a backward pass that takes all inputs and the cotangents.

    `keep` of the inputs, hidden from autograd, comes after them.
    """

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            ctx.save_for_backward(*inputs)
            ctx.kept = () if keep is None else (keep(*inputs),)
            return forward(*inputs)

        @staticmethod
        def backward(ctx, *cotangents):
            return backward(*ctx.saved_tensors, *ctx.kept, *cotangents)

    return Function.apply


def rms(x):
    return x.square().mean(-1, keepdim=True).sqrt()


def rms_norm(x, w):
    return x / rms(x) * w


def rms_norm_backward(x, w, u):
    by_x = u * w / rms(x) - x * (u * w * x).mean(-1, keepdim=True) / rms(x) ** 3
    return by_x, (u * x / rms(x)).sum(0)


def without_a_term(x, w, u):
    return u * w / rms(x), (u * x / rms(x)).sum(0)


class Drifts:
    def __init__(self, factor=2.0, size=1e-7):
        self.factor, self.size, self.calls = factor, size, 0

    def __call__(self, x, u):
        self.calls += 1
        return self.factor * x * u * (1 + self.size * (self.calls % 5))


def overwrites_what_was_kept(x, kept, u):
    slope = kept * u
    kept *= 1.5
    return slope


SQUARE = torch.square
RIGHT = {
    "a square": (function(SQUARE, lambda x, u: 2 * x * u), draw(4)),
    "of two tensors": (torch.atan2, (draw(3), draw(3, seed=1))),
    "a list of inputs": (torch.matmul, [draw(2, 3), draw(3, 2)]),
    "a constant input": (lambda x, y, n: x * y * n, (draw(3), draw(3).detach(), 2)),
    "several outputs": (lambda x: (x.sin(), x.sum(), x.argmax()), draw(3)),
    "an unused input": (lambda x, y: 2 * x, (draw(3), draw(2))),
    "no derivative": (lambda x: x.argmax(), draw(3)),
    "no entry": (torch.sin, torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)),
    "one number": (torch.exp, torch.tensor(0.7, dtype=torch.float64, requires_grad=True)),
    "complex": (lambda z: (z * z, z.abs(), z.conj()), draw(3, dtype=torch.complex128)),
    "None": (
        function(lambda x, y: x * y.round(), lambda x, y, u: (u * y.round(), None)),
        (draw(3), draw(3)),
    ),
    "a norm": (function(rms_norm, rms_norm_backward), (draw(3, 4), draw(4))),
    "kinks beside": (torch.relu, draw(8)),
    "transposed": (torch.sin, draw(3, 4).detach().T.requires_grad_()),
    "cross entropy": (lambda x: functional.cross_entropy(x, torch.tensor([1, 0])), draw(2, 3)),
}
WRONG = {
    "a factor": (function(SQUARE, lambda x, u: x * u), draw(4)),
    "a sign": (function(torch.cos, lambda x, u: x.sin() * u), draw(4)),
    "zeros": (function(SQUARE, lambda x, u: 0 * u), draw(4)),
    "None": (function(SQUARE, lambda x, u: None), draw(4)),
    "one entry": (function(SQUARE, lambda x, u: 2 * x * u * torch.tensor([1, 1, 0, 1.0])), draw(4)),
    "without cotangent": (function(SQUARE, lambda x, u: 2 * x * (0 * u + 1)), draw(4)),
    "a constant": (function(SQUARE, lambda x, u: 2 * x * u + 0.01), draw(4)),
    "transposed": (
        function(torch.matmul, lambda a, b, u: (u @ b, a.T @ u)),
        (draw(2, 2), draw(2, 2, seed=1)),
    ),
    "a mean": (function(torch.add, lambda x, b, u: (u, u.mean(0))), (draw(3, 2), draw(2))),
    "no conjugate": (function(SQUARE, lambda z, u: 2 * z * u), draw(3, dtype=torch.complex128)),
    "a detached factor": (lambda x: x * x.detach(), draw(3)),
    "all detached": (lambda x: x.detach() * 2, draw(3)),
    "a term": (function(rms_norm, without_a_term), (draw(3, 4), draw(4))),
    "a mask": (function(torch.relu, lambda x, u: u), draw(8)),
    "drifts": (function(SQUARE, Drifts()), draw(4)),
    "second pass": (
        function(SQUARE, overwrites_what_was_kept, lambda x: 2 * x.detach().clone()),
        draw(4),
    ),
    "first output": (
        function(
            lambda x: (x.sin(), SQUARE(x)), lambda x, u, v: u.any() * (u * x.cos() + 2 * x * v)
        ),
        draw(3),
    ),
}
# What PyTorch's own check does not see.
HIDDEN = {
    "0.1 %": (function(SQUARE, lambda x, u: 2.001 * x * u), draw(4)),
    "small zeros": (function(lambda x: 1e-6 * x.sin(), lambda x, u: 0 * u), draw(4)),
    "strides": (
        function(torch.exp, lambda x, u: x.exp() * u.as_strided(u.shape, (u.shape[1], 1))),
        draw(4, 3),
    ),
    "in place": (function(torch.exp, lambda x, u: u.mul_(x.exp())), draw(4)),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["gradcheck", "gradgradcheck"])
def test_the_signatures_are_those_of_pytorch(name):
    ours = inspect.signature(getattr(torch_gradcheck, name)).parameters
    theirs = inspect.signature(getattr(torch.autograd, name)).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_right_functions_pass_as_in_pytorch(case):
    assert torch.autograd.gradcheck(*case) is True
    assert gradcheck(*case) is True


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_functions_raise_as_in_pytorch(case):
    for check in (torch.autograd.gradcheck, gradcheck):
        with pytest.raises(GradcheckError):
            check(*case)
    assert gradcheck(*case, raise_exception=False) is False


@pytest.mark.parametrize("case", HIDDEN.values(), ids=HIDDEN)
def test_mistakes_that_pytorch_does_not_see_raise(case):
    assert torch.autograd.gradcheck(*case)
    with pytest.raises(GradcheckError, match=r"(?s)in reverse mode:\nvjp check: MISMATCH .*inputs"):
        gradcheck(*case)


def test_an_error_holds_the_whole_report():
    with pytest.raises(GradcheckError) as info:
        gradcheck(*WRONG["a factor"])
    assert "inputs[0]        4  [" in str(info.value)
    assert "inputs[0] is 0.500 × the numerical gradient" in str(info.value)


def test_what_pytorch_allows_and_what_it_does_not():
    assert gradcheck(torch.sin, draw(3, 1).detach().expand(3, 2).requires_grad_())  # overlapping
    assert gradcheck(lambda x: {"a": (x.sin(), [x])}, draw(3))  # nested
    assert gradcheck(torch.sin, draw(3, dtype=torch.float32))
    assert gradcheck(lambda x: 1e8 + x.sin(), draw(3))
    with pytest.raises(ValueError, match=r"call requires_grad_\(\) on those"):
        gradcheck(torch.sin, draw(3).detach())
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: x * (1 // 0), draw(3), raise_exception=False)
    for modes in (
        {"check_backward_ad": False},
        {"check_batched_forward_grad": True},
        {"check_backward_ad": False, "check_forward_ad": True, "check_batched_grad": True},
    ):
        with pytest.raises(AssertionError, match="wanted"):
            gradcheck(torch.sin, draw(3), **modes)


def test_what_is_ignored_is_said_once(monkeypatch):
    torch_gradcheck._warn_once.cache_clear()
    for name, value in (("eps", 1e-3), ("atol", 1e-2), ("fast_mode", True)):
        with pytest.warns(UserWarning, match=f"^{name} ") as caught:
            assert gradcheck(torch.sin, draw(2), **{name: value})
        assert caught[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert gradcheck(torch.sin, draw(2), **{name: value})
            assert gradcheck(torch.sin, draw(2), eps=1e-6, rtol=1e-3)


def test_of_sparse_inputs_the_values_are_compared():
    x = torch.eye(3, dtype=torch.float64).to_sparse().requires_grad_()
    torch_gradcheck._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="masked=True is assumed"):
        assert gradcheck(lambda x: x.to_dense() ** 2, x)
    assert gradcheck(lambda x: x.to_dense() ** 2, x, masked=True)


def test_a_given_tolerance_is_kept_to():
    off_by_one_percent = function(SQUARE, lambda x, u: 2.02 * x * u)
    assert gradcheck(off_by_one_percent, draw(4), rtol=0.02)
    assert gradcheck(function(SQUARE, lambda x, u: 2.001 * x * u), draw(4), rtol=1e-3)
    for rtol in ({"rtol": 0.005}, {"rtol": 0}, {}):
        assert not gradcheck(off_by_one_percent, draw(4), raise_exception=False, **rtol)


def test_backward_passes_may_differ_by_a_tolerance():
    with pytest.raises(GradcheckError, match="differ"):
        gradcheck(function(SQUARE, Drifts()), draw(4))
    assert gradcheck(function(SQUARE, Drifts()), draw(4), nondet_tol=1e-5)
    with pytest.raises(GradcheckError, match="MISMATCH"):
        gradcheck(function(SQUARE, Drifts(2.01)), draw(4), nondet_tol=1e-5)
    with pytest.raises(GradcheckError, match=r"differ by .*wanted at most nondet_tol = 0\.0"):
        gradcheck(function(SQUARE, Drifts(2, 1e-15)), draw(4))


def test_what_cannot_be_told_is_decided_by_the_tolerances():
    x = torch.tensor([1e-3, 1.0], dtype=torch.float64, requires_grad=True)
    open_entry = lambda x: x * 0 + torch.floor(x * 1e6) * 1e-6  # noqa: E731
    with pytest.raises(GradcheckError, match="UNRESOLVED"):
        gradcheck(open_entry, x)
    assert gradcheck(lambda x: 1e12 + 1e3 * x.sin(), draw(3), rtol=0.5)


class Both(torch.autograd.Function):
    """x y, whose derivatives in all modes have a factor of their own."""

    generate_vmap_rule = True
    factors: dict[str, float] = {}  # noqa: RUF012

    @staticmethod
    def forward(x, y):
        return x * y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(*inputs)
        ctx.save_for_backward(*inputs)

    @classmethod
    def jvp(cls, ctx, u, v):
        x, y = ctx.saved_tensors
        return cls.factors.get("forward", 1) * (u * y + x * v)

    @classmethod
    def backward(cls, ctx, u):
        x, y = ctx.saved_tensors
        factor = cls.factors.get("second", 1)
        # the factor of the second derivative does not show in the first
        x = x.detach() + factor * (x - x.detach())
        return u * y, u * x


MODES = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}


def test_every_mode():
    inputs = draw(3), draw(3, seed=1)
    assert gradcheck(Both.apply, inputs, **MODES)
    wrong = type("Wrong", (Both,), {"factors": {"forward": 1.01}}).apply  # wrong on purpose
    assert gradcheck(wrong, inputs)
    for check in (torch.autograd.gradcheck, gradcheck):
        with pytest.raises(GradcheckError, match="forward mode"):
            check(wrong, inputs, check_forward_ad=True)
    assert gradcheck(torch.sin, draw(3), check_forward_ad=True, check_backward_ad=False)


class Undefined(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2

    @staticmethod
    def backward(ctx, u):
        if u is None:
            raise RuntimeError("no cotangent")  # wrong on purpose
        return u * 2


def test_undefined_cotangents_are_tried_if_asked_for():
    for check in (torch.autograd.gradcheck, gradcheck):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of its option
            with pytest.raises(GradcheckError):
                check(Undefined.apply, draw(3))
        assert check(Undefined.apply, draw(3), check_undefined_grad=False)


def test_second_derivatives():
    inputs = draw(3), draw(3, seed=1)
    for check in (torch.autograd.gradgradcheck, gradgradcheck):
        assert check(Both.apply, inputs)
        assert check(torch.sin, inputs[0], torch.ones(3, dtype=torch.float64))
        assert check(torch.sin, inputs[0], gen_non_contig_grad_outputs=True)
        assert check(torch.sin, inputs[0], check_fwd_over_rev=True, check_batched_grad=True)
        wrong = type("Wrong", (Both,), {"factors": {"second": 1.01}}).apply
        with pytest.raises(GradcheckError):
            check(wrong, inputs)
        assert check(lambda x: 2 * x, inputs[0], torch.ones(3, dtype=torch.float64))
    assert gradcheck(wrong, inputs)
    once = function(SQUARE, lambda x, u: (2 * x * u).detach())  # wrong on purpose
    for check in (torch.autograd.gradgradcheck, gradgradcheck):
        with pytest.raises(GradcheckError):
            check(once, inputs[0])
