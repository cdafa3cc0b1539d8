"""Losses that are called for many points at once, where that gives what single calls do."""

from functools import partial

import numpy as np
import pytest

from checks import Verdict, check_gradient

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from benchmarks.torch_adapter import of_network, of_operator  # noqa: E402
from checks.adapters import torch_loss  # noqa: E402
from checks.adapters.torch import from_loss  # noqa: E402
from checks.evaluation.pointwise import Evaluations  # noqa: E402
from checks.parameters.nesting import leaves  # noqa: E402

torch.set_num_threads(1)  # of so small tensors, threads only wait for each other
nn, F = torch.nn, torch.nn.functional
RNG = np.random.default_rng(0)
X, IMAGES = torch.tensor(RNG.uniform(size=(6, 5))), torch.tensor(RNG.uniform(size=(2, 1, 6, 5)))
LABELS = torch.tensor([0, 1, 1, 0, 1, 0])


def leaf(*shape):
    values = np.random.default_rng(shape).normal(size=shape)
    return torch.tensor(values, requires_grad=True)


class Twice(torch.autograd.Function):
    """2 x, with support for vmap."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, u):
        return 2 * u


class WithoutVmap(torch.autograd.Function):
    """2 x, without support for vmap."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, u):
        return 2 * u


class First(nn.Module):
    """The outputs of a recurrent network."""

    def forward(self, results):
        return results[0]


def network(*layers):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 4), *layers, nn.Linear(4, 2)).double()
    return module, lambda: F.cross_entropy(module(X), LABELS)


def convolution():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 1)).double()
    return module, lambda: module(IMAGES).square().mean()


def attention():
    torch.manual_seed(0)
    module = nn.MultiheadAttention(4, 2, batch_first=True).double()
    x = X.reshape(2, 3, 5)[..., :4]
    return module, lambda: module(x, x, x, need_weights=False)[0].square().sum()


def alias(tensor, known):
    """Return the memory of a tensor as it was seen first: another tensor, which nobody moves."""
    known.append(tensor.detach())
    return known[0]


def of_tensors(loss, *shapes):
    tensors = {name: leaf(*shape) for name, shape in zip("wvu", shapes, strict=False)}
    return tensors, lambda: loss(*tensors.values())


TOGETHER = {
    "a network": lambda: network(nn.Tanh()),
    "a network in float32": lambda: (lambda m: (m, lambda: m(X.float()).square().sum()))(
        network(nn.Sigmoid())[0].float()
    ),
    "normalised": lambda: network(nn.LayerNorm(4), nn.GELU()),
    "statistics": lambda: network(nn.BatchNorm1d(4)),
    "a penalty": lambda: of_tensors(lambda w: (X @ w).tanh().sum() + (w**2).sum(), (5, 3)),
    "a convolution": convolution,
    "attention": attention,
    "x @ w": lambda: of_tensors(lambda w, v: ((X @ w).tanh() @ v).sin().sum(), (5, 3), (3,)),
    "x @ w.T": lambda: of_tensors(lambda w: torch.matmul(X, w.T).tanh().sum(), (3, 5)),
    "w.t() of w.mT": lambda: of_tensors(lambda w: X.mm(w.mT.t().t()).tanh().sum(), (3, 5)),
    "w @ x": lambda: of_tensors(lambda w: (w @ X.T).tanh().sum(), (3, 5)),
    "w @ w": lambda: of_tensors(lambda w: (w @ w).tanh().sum(), (3, 3)),
    "stacks of matrices": lambda: of_tensors(lambda w: (X @ w).tanh().sum(), (2, 5, 3)),
    "in a list": lambda: of_tensors(
        lambda w, v: torch.cat([w, v.T], 1).sin().sum(), (2, 3), (1, 2)
    ),
    "as an option": lambda: of_tensors(lambda w: F.linear(X, weight=w).sin().sum(), (3, 5)),
    "einsum": lambda: of_tensors(lambda w: torch.einsum("bi,oi->bo", X, w).sin().sum(), (3, 5)),
    "custom functions": lambda: of_tensors(
        lambda w: Twice.apply(X @ Twice.apply(w)).sin().sum() + Twice.apply(w.T)[0].sum(), (5, 3)
    ),
}
ALONE = {
    "dropout": lambda: network(nn.Dropout(0.5)),
    "data": lambda: of_tensors(lambda w: w.sum() if w.sum() > 0 else 2 * w.sum(), (5, 3)),
    "an array": lambda: of_tensors(lambda w: w.sum() * float(w.detach().numpy().max()), (5, 3)),
    "an old function": lambda: of_tensors(lambda w: WithoutVmap.apply(w).sin().sum(), (5, 3)),
    "an alias": lambda: of_tensors(lambda w, a=[]: (w.sin() + alias(w, a)).sum(), (5, 3)),
}


def at_random(evaluations):
    """Evaluate random moves of every array, and of single entries; return the losses."""
    rng, values = np.random.default_rng(0), evaluations.values
    directions = {p: rng.uniform(-1, 1, value.shape) * value for p, value in values.items()}
    found = [
        evaluations.costs_moved(
            2.0 ** -np.arange(3, 7),
            lambda t: {p: np.multiply.outer(t, d).astype(d.dtype) for p, d in directions.items()},
        )
    ]
    for path, value in values.items():
        entries = rng.permutation(value.size)[:20]
        steps = np.outer(value.reshape(-1)[entries], [2.0**-5, -(2.0**-5), 2.0**-6])
        found.append(evaluations.at_entries(path, entries, steps).ravel())
    return np.concatenate(found)


def both(make):
    """Return the losses at many points at once and alone, and whether they were so."""
    parameters, loss = make()
    cost, _, params = from_loss(loss, parameters)
    evaluations = Evaluations(cost, params)
    with np.errstate(all="ignore"):
        together = at_random(evaluations)
        takes_many = cost.at_entries is not None
        alone = at_random(Evaluations(partial(cost), params))
    return together, alone, takes_many, evaluations.at_point.dtype


@pytest.mark.parametrize("make", TOGETHER.values(), ids=TOGETHER)
def test_losses_at_many_points_are_those_of_single_calls(make):
    together, alone, takes_many, dtype = both(make)
    assert takes_many
    assert np.abs(together - alone).max() <= 64 * np.finfo(dtype).eps * np.abs(alone).max()
    assert np.ptp(alone) > 1e-4


@pytest.mark.parametrize("make", ALONE.values(), ids=ALONE)
def test_losses_that_cannot_be_are_called_one_by_one(make, monkeypatch):
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: x * torch.bernoulli(x * 0 + 0.999))
    torch.manual_seed(0)
    together, alone, takes_many, _ = both(make)
    assert not takes_many
    if make is not ALONE["dropout"]:
        assert np.array_equal(together, alone)


@pytest.mark.parametrize("name", ["a network", "attention", "x @ w", "a penalty"])
def test_few_calls_check_all_entries(name):
    parameters, loss = TOGETHER[name]()
    calls = 0

    def counting():
        nonlocal calls
        calls += 1
        return loss()

    cost, gradient, params = from_loss(counting, parameters)
    report = check_gradient(cost, gradient, params)
    assert report
    assert calls < report.evaluations / 2


def test_a_wrong_gradient_is_found_at_many_points_too():
    cost, gradient, params = from_loss(*network(nn.Tanh())[::-1])

    def wrong(p):
        g = gradient(p)
        g[0]["weight"][1, 2] *= 1.001  # wrong on purpose
        return g

    report = check_gradient(cost, wrong, params)
    assert report.verdict is Verdict.MISMATCH
    assert (report.worst.path, report.worst.index) == ("params[0].weight", (1, 2))


def test_memory_is_bounded_and_parameters_are_restored(monkeypatch):
    sizes = []

    def recorded(function, **options):
        def vmapped(*stacks):
            sizes.append(len(stacks[0]))
            return vmap(function, **options)(*stacks)

        return vmapped

    vmap = torch.func.vmap
    monkeypatch.setattr(torch.func, "vmap", recorded)
    monkeypatch.setattr(torch_loss, "MAX_NUMBERS", 24 * 60)
    module, loss = network(nn.Tanh())
    before = {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}
    assert check_gradient(*from_loss(loss, module))
    assert max(sizes) == 60  # 6 samples of 4 units
    after = {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}
    assert after == before


def test_points_stay_within_bounds():
    w = leaf(3, 2)
    lower = w.detach().numpy() - 1e-3
    report = check_gradient(
        *from_loss(lambda: (w - torch.tensor(lower)).sqrt().sum(), {"w": w}),
        bounds=({"w": lower}, None),
    )
    assert report
    assert not report.findings


def test_a_network_is_checked_faster_than_by_gradcheck():
    entries, ours, theirs = of_network(2, sizes=(200, 20, 5))
    assert entries == 4125
    assert ours < theirs


def test_operators_are_timed_beside_gradcheck():
    assert of_operator(torch.tanh, [(2, 3)], 1)[0] == 6
    with pytest.raises(AssertionError, match="UNRESOLVED"):
        of_operator(torch.floor, [(2, 3)], 1)


def in_float32(*layers):
    torch.manual_seed(0)
    for layer in layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return nn.Sequential(*layers)


IMAGES32 = IMAGES.float()
NARROW = {
    "recurrent": in_float32(nn.Flatten(0, 1), nn.GRU(5, 3), First()),
    "convolution": in_float32(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Flatten(), nn.Linear(24, 3)),
    "normalised": in_float32(nn.Flatten(), nn.LayerNorm(30), nn.Linear(30, 4), nn.Tanh()),
}


@pytest.mark.parametrize("name", NARROW)
def test_a_network_in_float32_is_judged_in_float64(name):
    net = NARROW[name]
    before = [tensor.clone() for tensor in net.parameters()]
    cost, gradient, params = from_loss(lambda: net(IMAGES32).square().sum(), net)
    claim = gradient(params)
    report = check_gradient(cost, claim, params)
    assert report, str(report)
    assert "central in float64" in str(report)
    path, array = max(leaves({"params": claim}).items(), key=lambda item: item[1].size)
    array.flat[np.abs(array).argmax()] *= 1.02  # wrong on purpose
    report = check_gradient(cost, claim, params)
    assert [path for path, a in report.arrays.items() if a.verdict is Verdict.MISMATCH] == [path]
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert all(tensor.dtype is torch.float32 for tensor in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_that_computes_in_16_bits_inside_is_not_accused(dtype):
    net = in_float32(nn.Flatten(), nn.Linear(30, 6), nn.Tanh(), nn.Linear(6, 3))

    def loss():
        with torch.autocast("cpu", dtype=dtype):
            return net(IMAGES32).float().square().sum()

    cost, gradient, params = from_loss(loss, net)
    for claim in gradient, gradient(params):  # the rounding of arrays is not measured
        report = check_gradient(cost, claim, params)
        assert report.verdict is not Verdict.MISMATCH
        reasons = {array.reason for array in report.arrays.values()}
        assert any("with fewer digits inside, as under autocast" in reason for reason in reasons)
        assert check_gradient(cost, claim, params, rtol=0.05, scale="array")
    wrong = gradient(params)
    wrong[1]["weight"] *= 1.25
    report = check_gradient(cost, wrong, params, rtol=0.05, scale="array")
    assert report.arrays["params[1].weight"].verdict is Verdict.MISMATCH


def test_a_view_that_stays_in_float32_is_never_a_match():
    w, x = leaf(4, 3).detach().float().requires_grad_(), IMAGES32[0, 0, :4, :4]
    alias = w.detach().view(12)  # moved in place with w, but not part of it in float64
    report = check_gradient(*from_loss(lambda: (x @ w).tanh().sum() + alias.sin().sum(), {"w": w}))
    assert report.verdict is not Verdict.MATCH


DRAWS = {
    "like": torch.randn_like,
    "of a shape": lambda x: torch.randn(x.shape),
    "in place": lambda x: torch.empty_like(x).normal_(),
    "of a dtype": lambda x: torch.rand(x.shape, dtype=torch.float32),
    "two": lambda x: torch.bernoulli(torch.full_like(x, 0.5)) + x.new_empty(x.shape).uniform_(),
    "dropout": lambda x: F.dropout(torch.ones_like(x), 0.25),
    "complex": lambda x: torch.randn_like(x + 1j).abs(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_random_numbers_of_a_seed_are_the_same_in_float64(draw):
    w, x = leaf(5, 4).detach().float().requires_grad_(), IMAGES32[0, 0, :3, :5]

    def loss():
        torch.manual_seed(0)
        y = torch.tanh(x @ w)
        return (y * draw(y)).sum()

    cost, gradient, params = from_loss(loss, {"w": w})
    report = check_gradient(cost, gradient, params)
    assert report, str(report)
    assert "in float64" in str(report)
