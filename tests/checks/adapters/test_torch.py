"""PyTorch's own gradients match, planted mistakes do not, and the model is as before."""

import warnings

import numpy as np
import pytest

from backprop import Network
from checks import Verdict, assert_gradient, check_gradient

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import check_function, from_loss  # noqa: E402
from tests.checks.adapters import torch_net  # noqa: E402

nn = torch.nn


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Use one thread: with several, waiting takes longer than such small models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(make, dtype=torch.float64):
    """Return a new module, the same in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().to(dtype)


def random(*shape, dtype=torch.float64, requires_grad=False):
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return torch.tensor(values, dtype=dtype, requires_grad=requires_grad)


class Scaled(torch.autograd.Function):
    """tanh(x w) with a derivative by w that is wrong by `factor`."""

    @staticmethod
    def forward(ctx, x, w, factor):
        a = torch.tanh(x * w)
        ctx.save_for_backward(a, x, w)
        ctx.factor = factor
        return a

    @staticmethod
    def backward(ctx, u):
        a, x, w = ctx.saved_tensors
        delta = u * (1 - a**2)
        return delta * w, ctx.factor * (delta * x).sum(0), None


class Layer(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.w = factor, nn.Parameter(torch.rand(3))

    def forward(self, x):
        return Scaled.apply(x, self.w, self.factor)


def network(*extra):
    return nn.Sequential(nn.Linear(5, 4), *extra, nn.Sigmoid(), nn.Linear(4, 2), nn.Sigmoid())


def loss_of(module, x):
    return lambda: nn.functional.mse_loss(module(x), torch.full_like(module(x), 0.25))


def state(module):
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def test_a_module_matches_under_its_own_names_and_is_as_before():
    module = seeded(network)
    before = state(module)
    report = assert_gradient(*from_loss(loss_of(module, random(6, 5)), module))
    names = ["params[0].weight", "params[0].bias", "params[2].weight", "params[2].bias"]
    assert list(report.arrays) == names
    assert state(module) == before
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_and_the_memory_are_the_modules(dtype):
    module = seeded(network, dtype)
    cost, gradient, params = from_loss(loss_of(module, random(6, 5, dtype=dtype)), module)
    numpy_dtype = torch.empty(0, dtype=dtype).numpy().dtype
    assert np.shares_memory(params[0]["weight"], module[0].weight.detach().numpy())
    assert {params[0]["weight"].dtype, gradient(params)[2]["bias"].dtype} == {numpy_dtype}
    assert cost(params).dtype == numpy_dtype


def test_float32_is_judged_by_its_noise():
    x = random(6, 3, dtype=torch.float32)
    right, wrong = (seeded(lambda f=f: Layer(f), torch.float32) for f in (1, 1.01))
    report = check_gradient(*from_loss(lambda: right(x).sum(), right))
    assert report.verdict is Verdict.MATCH, str(report)
    assert report.rtol > 1e-5
    report = check_gradient(*from_loss(lambda: wrong(x).sum(), wrong))
    assert report.verdict is Verdict.MISMATCH, str(report)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_of_a_module_is_checked_in_float64(dtype):
    x, loss = random(6, 3), lambda net: net(x).sum()
    for factor, verdict in ((1, Verdict.MATCH), (1.001, Verdict.MISMATCH)):
        make = lambda f=factor: nn.Sequential(nn.BatchNorm1d(3), Layer(f))  # noqa: E731
        module = seeded(make, dtype)
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        report = check_gradient(*from_loss(loss, module, precision="float64"))
        assert report.verdict is verdict
        assert report.rtol < 1e-7
        after = module.state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
        assert after["1.w"].dtype is dtype
    assert report.worst.path == "params[1].w"


def test_a_copy_in_float64_says_what_it_needs():
    module, x = seeded(network, torch.float32), random(6, 5, dtype=torch.float32)
    for loss, parameters, precision, message in (
        (lambda net: net(x).sum(), module, "double", "precision is 'double', wanted None or 'flo"),
        (lambda net: net(x).sum(), {"w": x}, "float64", "parameters is dict, wanted a module"),
        (lambda: module(x).sum(), module, "float64", "the loss takes no argument, wanted the mod"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            from_loss(loss, parameters, precision=precision)
    cost, _, params = from_loss(lambda net: net(x).sum(), module, precision="float64")
    with pytest.raises(RuntimeError) as info:
        cost(params)
    assert "x.double()" in info.value.__notes__[0]


def test_a_wrong_backward_inside_a_module_is_found():
    module = seeded(lambda: nn.Sequential(nn.Linear(5, 3), Layer(1.001), nn.Linear(3, 2)))
    report = check_gradient(*from_loss(loss_of(module, random(6, 5)), module))
    assert report.verdict is Verdict.MISMATCH
    assert report.worst.path == "params[1].w"
    assert report.arrays["params[0].weight"].verdict is Verdict.MATCH


def test_a_gradient_by_hand_is_checked_against_the_module():
    module, x = seeded(lambda: nn.Linear(3, 1)), random(6, 3)
    cost, _, params = from_loss(lambda: module(x).sum(), module)
    by_hand = {"weight": x.sum(0, keepdim=True), "bias": torch.tensor([6.0])}
    assert_gradient(cost, by_hand, params)
    by_hand["bias"] /= 6  # wrong on purpose
    assert check_gradient(cost, by_hand, params).worst.path == "bias"


def test_frozen_parameters_are_left_out_with_a_warning():
    module = seeded(network)
    module[0].requires_grad_(False)
    loss = loss_of(module, random(6, 5))
    with pytest.warns(UserWarning, match=r"0\.weight, 0\.bias are frozen and left out"):
        problem = from_loss(loss, module)
    assert list(assert_gradient(*problem).arrays) == ["params[2].weight", "params[2].bias"]
    named = dict(module[2].named_parameters())  # as the warning advises
    assert list(assert_gradient(*from_loss(loss, named)).arrays) == ["weight", "bias"]


def test_dropout_is_unresolved_until_it_is_switched_off():
    module, x = seeded(lambda: network(nn.Dropout(0.5))), random(6, 5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        report = check_gradient(*from_loss(loss_of(module, x), module))
    assert report.verdict is Verdict.UNRESOLVED
    assert "switch dropout off" in report.arrays["params[0].weight"].reason
    module.eval()
    assert_gradient(*from_loss(loss_of(module, x), module))


def test_running_means_are_put_back():
    module = seeded(lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2), nn.Tanh()))
    before = state(module)
    assert_gradient(*from_loss(loss_of(module, random(6, 5)), module))
    assert state(module) == before


def test_buffers_that_the_loss_depends_on_leave_it_a_function():
    norm = nn.utils.parametrizations.spectral_norm
    # every forward pass makes a step of a power iteration and keeps it in buffers
    module = seeded(lambda: nn.Sequential(norm(nn.Linear(5, 4)), nn.Tanh()))
    cost, _, params = from_loss(loss_of(module, random(6, 5)), module)
    assert cost(params) == cost(params)


def test_parameters_need_not_be_contiguous_and_may_be_unused():
    w = random(4, 5).T.requires_grad_()
    unused = random(2, requires_grad=True)
    x = random(6, 5)
    report = assert_gradient(*from_loss(lambda: torch.tanh(x @ w).sum(), {"w": w, "u": unused}))
    assert "u: zero in every entry" in str(report)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: seeded(network, torch.bfloat16), r"0\.weight is torch\.bfloat16 .*\.float\(\)"),
        (lambda: {"w": torch.empty(2, device="meta")}, r"w is torch\.float32 on meta.*and values"),
    ],
)
def test_an_error_names_tensors_that_are_no_arrays_of_floats(make, message):
    with pytest.raises(TypeError, match=message):
        check_gradient(*from_loss(lambda: torch.tensor(0.0), make()))


def test_a_complex_parameter_of_a_loss():
    w = torch.tensor([1 + 2j, -0.5 + 0.3j], dtype=torch.complex128, requires_grad=True)
    before = w.detach().clone()
    cost, gradient, params = from_loss(lambda: (w.abs() ** 3).sum() + (w**2).sum().real, {"w": w})
    assert check_gradient(cost, gradient, params).verdict is Verdict.MATCH
    wrong = check_gradient(cost, lambda p: {"w": gradient(p)["w"].conj()}, params)
    assert wrong.diagnosis[0].name == "conjugate"
    assert torch.equal(w, before)


def test_a_loss_of_many_elements_is_refused():
    module = seeded(network)
    with pytest.raises(TypeError, match=r"shape \(6, 2\), wanted one number"):
        check_gradient(*from_loss(lambda: module(random(6, 5)), module))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_right_function_matches_and_a_wrong_one_does_not(dtype):
    x = random(6, 3, dtype=dtype, requires_grad=True)
    w = random(3, dtype=dtype, requires_grad=True)
    before = x.detach().numpy().tobytes()
    report = check_function(Scaled.apply, x, w, 1.0)
    assert report.verdict is Verdict.MATCH, str(report)
    report = check_function(Scaled.apply, x, w, 1.01)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH, str(report)
    assert report.worst.path == "inputs[1]"
    assert report.arrays["inputs[0]"].verdict is Verdict.MATCH
    assert x.detach().numpy().tobytes() == before
    # w is a constant here, so that its derivative is not checked
    assert check_function(Scaled.apply, x, w.detach(), 1.01)


class Forgets(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x**2

    @staticmethod
    def backward(ctx, u):
        return None  # wrong on purpose


def test_a_backward_that_returns_nothing_is_a_mismatch():
    report = check_function(Forgets.apply, random(3, requires_grad=True))
    assert report.verdict is Verdict.MISMATCH


def test_outputs_without_a_gradient_are_constants():
    x = random(4, 3, requires_grad=True)
    assert check_function(lambda x: torch.max(torch.tanh(x), dim=1), x)  # values and indices
    with pytest.raises(ValueError, match=r"call requires_grad_\(\)"):
        check_function(torch.tanh, x.detach())


def test_no_warnings_reach_the_caller():
    x, w = random(6, 3, requires_grad=True), random(3, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_function(lambda x, w: torch.relu(x * w).abs(), x, w)
        check_function(lambda x, w: torch.real(x * w), x, w)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_notes_network_is_the_references(dtype):
    rng = np.random.default_rng(0)
    net = Network((784, 30, 10))
    theta = net.random_parameters(rng, dtype=dtype)
    x, y = rng.random((5, 784)).astype(dtype), rng.random((5, 10)).astype(dtype)
    weights, biases = torch_net.gradient(theta.weights, theta.biases, x, y)
    reference = net.gradient(theta, x, y)
    for torch_array, expected in zip(
        (*weights, *biases), (*reference.weights, *reference.biases), strict=True
    ):
        assert torch_array.dtype == dtype
        largest = np.abs(expected).max()
        assert np.abs(torch_array - expected).max() <= 50 * np.finfo(dtype).eps * largest


def test_the_notes_network_is_a_target():
    rng = np.random.default_rng(0)
    theta = Network((12, 7, 3)).random_parameters(rng)
    x, y = rng.random((5, 12)), rng.random((5, 3))
    point = [list(theta.weights), list(theta.biases)]
    report = assert_gradient(
        lambda p: torch_net.cost(*p, x, y), lambda p: torch_net.gradient(*p, x, y), point
    )
    assert report.method == "complex-step"
