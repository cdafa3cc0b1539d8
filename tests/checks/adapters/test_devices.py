"""Tensors are checked on the device where they are; without an accelerator, on the CPU alone."""

import pytest

from checks import Verdict, check_gradient

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from benchmarks.fused_kernels import KERNELS, draw_inputs  # noqa: E402
from checks.adapters import torch_loss  # noqa: E402
from checks.adapters.torch import check_function, from_loss, gradcheck  # noqa: E402

AVAILABLE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
DEVICES = [
    "cpu",
    *(
        pytest.param(name, marks=pytest.mark.skipif(not found, reason=f"no {name} device here"))
        for name, found in AVAILABLE.items()
    ),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def dtype_of(device):
    return torch.float32 if device == "mps" else torch.float64  # mps has no float64


class Traced(torch.autograd.Function):
    """x w + c, which notes the devices that it meets, with a factor in the gradient by w."""

    met: list[str] = []  # noqa: RUF012 — emptied by each test

    @staticmethod
    def forward(ctx, x, w, c, factor):
        ctx.save_for_backward(x, w)
        ctx.factor = factor
        Traced.met += [part.device.type for part in (x, w, c)]
        return x * w + c

    @staticmethod
    def backward(ctx, u):
        x, w = ctx.saved_tensors
        Traced.met += [part.device.type for part in (x, w, u)]
        return u * w, ctx.factor * (u * x).sum(0), None, None


def traced_inputs(device):
    options = {"dtype": dtype_of(device), "device": device}
    x, w = torch.linspace(-1, 2, 12, **options).reshape(4, 3), torch.linspace(1, 2, 3, **options)
    return x.T.contiguous().T.requires_grad_(), w.requires_grad_(), torch.ones(3, **options)


def test_inputs_cotangents_and_constants_stay_on_their_device(device):
    Traced.met.clear()
    x, w, c = traced_inputs(device)
    before = x.detach().clone()
    assert check_function(Traced.apply, x, w, c, 1)
    report = check_function(Traced.apply, x, w, c, 1.25)  # wrong on purpose
    assert [str(a.verdict) for a in report.arrays.values()] == ["MATCH", "MISMATCH"]
    assert set(Traced.met) == {device}
    assert torch.equal(x, before)
    assert x.device.type == device


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_in_bfloat16(device, name):
    kernel = KERNELS[name]
    inputs = [
        part.detach().to(device).requires_grad_(part.requires_grad)
        for part in draw_inputs(kernel, torch.bfloat16, "transposed", seed=3)
    ]
    if device == "mps":
        with pytest.raises(ValueError, match="fails in float64"):
            check_function(kernel.fused, *inputs, "", reference=kernel.eager)
        return
    assert check_function(kernel.fused, *inputs, "", reference=kernel.eager)
    mistake, where = next(item for item in kernel.where.items() if item[1] == "inputs[0]")
    report = check_function(kernel.fused, *inputs, mistake, reference=kernel.eager)
    assert report.arrays[where].verdict is Verdict.MISMATCH


class Atomic(torch.autograd.Function):
    """The sum of rows, with a gradient that rounds otherwise in every call, as atomic sums do."""

    @staticmethod
    def forward(ctx, x, spread):
        ctx.shape, ctx.spread = x.shape, spread
        return x.sum(0)

    @staticmethod
    def backward(ctx, u):
        noise = torch.rand(ctx.shape, dtype=u.dtype).to(u.device)
        return u * (1 + ctx.spread * noise), None


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradients_that_round_otherwise_in_every_call_match_and_are_named(device, deterministic):
    x = traced_inputs(device)[0]
    eps = torch.finfo(x.dtype).eps
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        report = check_function(Atomic.apply, x, 8 * eps)
        assert report, str(report)
        assert any("two calls of the gradient" in finding for finding in report.findings)
        report = check_function(Atomic.apply, x, 0.1)  # wrong on purpose
        assert [found.name for found in report.diagnosis] == ["not repeatable"]
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    finally:
        torch.use_deterministic_algorithms(before)


def test_gradcheck_on_a_device(device):
    x, w, c = traced_inputs(device)
    assert gradcheck(Traced.apply, (x, w, c, 1))


@pytest.mark.parametrize("apart", [False, True])
def test_a_network_is_checked_where_it_is(device, apart, monkeypatch):
    if apart:  # as on an accelerator, whose memory no array can share
        monkeypatch.setattr(torch_loss, "shares_memory", lambda tensor: False)
    torch.manual_seed(0)
    options = {"dtype": dtype_of(device), "device": device}
    layers = torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Tanh(), torch.nn.Linear(7, 2)
    net, x = torch.nn.Sequential(*layers).to(**options), torch.rand(6, 5, **options)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def loss():
        met.add(net[0].weight.device.type)
        return net(x).square().mean()

    met = set()
    cost, gradient, params = from_loss(loss, net)
    assert check_gradient(cost, gradient, params)
    claim = gradient(params)
    claim[3]["weight"][1, 4] *= 1.25
    report = check_gradient(cost, claim, params)
    assert report.arrays["params[3].weight"].worst.index == (1, 4)
    assert report.arrays["params[3].weight"].verdict is Verdict.MISMATCH
    assert report.arrays["params[0].weight"].verdict is Verdict.MATCH
    assert met == {device}
    after = net.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.filterwarnings("ignore:Sparse CSC tensor support")
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc"])
def test_sparse_inputs_stay_on_their_device(device, layout):
    dense = torch.tensor([[0, 1.5, 0], [2.0, 0, -1]], dtype=dtype_of(device), device=device)
    sparse = dense.to_sparse(layout=getattr(torch, layout)).requires_grad_()
    x = torch.linspace(-1, 2, 3, dtype=dtype_of(device), device=device).requires_grad_()
    report = check_function(lambda a, b: torch.tanh(a @ b), sparse, x)
    assert report, str(report)
