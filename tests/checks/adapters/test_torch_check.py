"""Backward passes without cotangents, double backward passes, and assertions."""

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


class Squares(torch.autograd.Function):
    """x² + x, with a factor on one entry of its gradient."""

    factor = 1.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x + x

    @classmethod
    def backward(cls, ctx, u):
        (x,) = ctx.saved_tensors
        g = u * (2 * x + 1)
        g[3, 17] = g[3, 17] * cls.factor  # wrong on purpose
        return g


@pytest.mark.parametrize("factor", [1.0, 1.001, 0.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_entries_that_move_different_results_share_calls(factor, dtype):
    x = draw(20, 20, dtype=dtype)
    report = check_function(type("Squares", (Squares,), {"factor": factor}).apply, x)
    assert report.verdict is (Verdict.MATCH if factor == 1 else Verdict.MISMATCH)
    assert report.evaluations < 400
    if report.verdict is Verdict.MISMATCH:
        (array,) = report.arrays.values()
        assert np.argwhere(array.verdicts == Verdict.MISMATCH).tolist() == [[3, 17]]


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


class Writes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        slope = 2 * x * u
        x.numpy()[...] = 0  # wrong on purpose
        return slope


MADE_OF_CHECKS = {
    "by a reference": lambda x: check_function(torch.sin, x, reference=torch.sin),
    "of an undefined cotangent": lambda x: check_function(pair("first"), x),
    "of what writes to its input": lambda x: check_function(Writes.apply, x),
    "with findings": lambda x: check_function(lambda x: torch.stack([x, torch.inf * x]), x),
    "in forward mode": lambda x: check_function(torch.sin, x, mode="forward"),
    "of empty outputs": lambda x: check_function(lambda x: x[:0], x),
}


@pytest.mark.parametrize("check", MADE_OF_CHECKS.values(), ids=MADE_OF_CHECKS)
def test_a_check_is_recorded_once(check, monkeypatch):
    reports = []
    monkeypatch.setattr(session, "listeners", [reports.append])
    assert check(draw(3)) is reports[-1]
    assert len(reports) == 1


KINDS = {
    ("reverse", 1): "vjp check: MATCH",
    ("batched", 1): "batched vjp check: MATCH",
    ("forward", 1): "jvp check: MATCH",
    ("batched forward", 1): "batched jvp check: MATCH",
    ("reverse", 2): "second-order vjp check: MATCH",
    ("forward", 2): "second-order jvp check: MATCH",
}


@pytest.mark.parametrize(("mode", "order"), KINDS)
def test_a_report_says_which_derivative_was_checked(mode, order):
    report = check_function(torch.sin, draw(3), mode=mode, order=order)
    assert str(report).startswith(KINDS[mode, order])


class Cube(torch.autograd.Function):
    """x³ w, with a backward pass that `CubeBackward` differentiates."""

    fault = ""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x**3 * w

    @classmethod
    def backward(cls, ctx, u):
        x, w = ctx.saved_tensors
        if cls.fault == "the input is detached":
            return 3 * x.detach() ** 2 * w * u, x**3 * u  # wrong on purpose
        if cls.fault == "all is detached":
            return (3 * x**2 * w * u).detach(), (x**3 * u).detach()  # wrong on purpose
        return CubeBackward.apply(x, w, u, cls.fault)


class CubeBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, u, fault):
        ctx.save_for_backward(x, w, u)
        ctx.fault = fault
        return 3 * x**2 * w * u, x**3 * u

    @staticmethod
    def backward(ctx, p, q):
        x, w, u = ctx.saved_tensors
        by_x, by_w = 6 * x * w * u * p + 3 * x**2 * u * q, 3 * x**2 * u * p
        by_u = 3 * x**2 * w * p + x**3 * q
        if ctx.fault == "a factor":
            by_x = 1.001 * by_x  # wrong on purpose
        elif ctx.fault == "a term is missing":
            by_x = by_x - 3 * x**2 * u * q  # wrong on purpose
        elif ctx.fault == "by the cotangent":
            by_u = 3 * x**2 * w * p  # wrong on purpose
        return by_x, by_w, by_u, None


def cube(fault):
    return type("Cube", (Cube,), {"fault": fault}).apply


SECOND = {
    "a factor": "inputs[0]",
    "a term is missing": "inputs[0]",
    "by the cotangent": "cotangents[0]",
    "the input is detached": "inputs[0]",
    "all is detached": "inputs[0], inputs[1], cotangents[0]",
}


@pytest.mark.parametrize("fault", SECOND)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_mistake_of_the_second_derivative(fault, dtype):
    x, w = draw(3, dtype=dtype), draw(3, dtype=dtype, seed=1)
    assert check_function(cube(fault), x, w)
    report = check_function(cube(fault), x, w, order=2)
    wrong = [path for path, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    assert ", ".join(wrong) == SECOND[fault]
    names = [mistake.name for mistake in report.diagnosis]
    assert ("detached backward pass" in names) == (fault == "all is detached")


def test_a_backward_pass_that_cannot_be_differentiated_is_named():
    backward = torch.autograd.function.once_differentiable(Cube.backward.__func__)
    once = type("Cube", (Cube,), {"backward": classmethod(backward)}).apply
    x, w = draw(3), draw(3, seed=1)
    assert check_function(once, x, w)
    report = check_function(once, x, w, order=2)
    assert report.verdict is Verdict.MISMATCH
    assert "it is marked once_differentiable" in " ".join(str(report).split())


@pytest.mark.parametrize("mode", ["reverse", "batched", "forward"])
def test_second_derivatives(mode):
    x, w = draw(3), draw(3, seed=1)
    function = lambda x, *, w: {"a": (x**3 * w).sum(), "b": [x.sin(), 2 * w, x.detach()]}  # noqa: E731
    report = check_function(function, x, kwargs={"w": w}, order=2, mode=mode)
    assert report, str(report)
    if mode == "reverse":
        names = ["inputs[0]", "kwargs.w", "cotangents[0]", "cotangents[1]", "cotangents[2]"]
        assert list(report.arrays) == names
        assert check_function(cube(""), x, w, order=2)


def test_second_derivatives_in_bfloat16_and_of_complex_numbers_and_modules():
    x, w = draw(3, dtype=torch.bfloat16), draw(3, dtype=torch.bfloat16, seed=1)
    assert check_function(cube(""), x, w, order=2)
    wrong = check_function(cube("by the cotangent"), x, w, order=2)
    assert wrong.verdict is Verdict.MISMATCH
    z = draw(2, dtype=torch.complex128)
    assert check_function(lambda z: z**3 * z.abs(), z, order=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh())
    report = check_function(module, draw(2, 3, dtype=torch.float32), order=2)
    assert report.arrays["inputs[0]"].dtype == "float64"
    assert report


def test_a_gradient_that_is_partly_detached():
    detached = type("Cube", (Cube,), {"backward": staticmethod(detached_backward)}).apply
    report = check_function(detached, draw(3), draw(3, seed=1), order=2)
    assert report.verdict is Verdict.MISMATCH


def detached_backward(ctx, u):
    x, w = ctx.saved_tensors
    return (3 * x**2 * w * u).detach(), x**3 * u  # wrong on purpose


def test_without_second_derivatives_there_is_an_error():
    with pytest.raises(ValueError, match="there is no second derivative to check"):
        check_function(torch.floor, draw(3), order=2)
    for order, reference in ((3, None), (2, torch.sin)):
        with pytest.raises(ValueError, match=f"order is {order}, wanted 1, or 2 for"):
            check_function(torch.sin, draw(3), order=order, reference=reference)


class Kept(torch.autograd.Function):
    """x², with a backward pass that overwrites what the forward pass kept."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = 2 * x.detach()
        return x * x

    @staticmethod
    def backward(ctx, u):
        return ctx.slope.mul_(u)  # wrong on purpose


class Freed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.is_spent = False
        return x * x

    @staticmethod
    def backward(ctx, u):
        if ctx.is_spent:
            raise RuntimeError("a second backward pass through one graph")
        ctx.is_spent = True
        return 2 * ctx.saved_tensors[0] * u


def test_a_second_backward_pass_gives_the_same():
    report = check_function(Kept.apply, draw(3))
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "second backward pass"
    assert check_function(Freed.apply, draw(3))  # what says that it has no second pass is right


class Remembers(torch.autograd.Function):
    """x², whose backward pass reads what the last forward pass kept."""

    last = None

    @staticmethod
    def forward(ctx, x):
        Remembers.last = x.detach().clone()  # wrong on purpose
        return x * x

    @staticmethod
    def backward(ctx, u):
        return 2 * Remembers.last * u


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_kept_outside_of_ctx_is_found(dtype):
    report = check_function(Remembers.apply, draw(3, dtype=dtype))
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "kept outside of ctx"
    assert "by save_for_backward" in report.diagnosis[0].text
    twice = lambda x: Remembers.apply(x) + Remembers.apply(3 * x)  # noqa: E731
    assert check_function(twice, draw(3, dtype=dtype)).verdict is Verdict.MISMATCH


MODULES = {
    "batch normalisation": lambda: torch.nn.BatchNorm1d(4),
    "spectral normalisation": lambda: torch.nn.utils.parametrizations.spectral_norm(
        torch.nn.Linear(4, 3)
    ),
    "old spectral normalisation": lambda: torch.nn.utils.spectral_norm(torch.nn.Linear(4, 3)),
    "a recurrent layer": lambda: torch.nn.GRU(4, 3),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_with_state_of_their_own_are_right(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = MODULES[name]().double()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    report = check_function(module, draw(5, 4))
    assert report.verdict is not Verdict.MISMATCH, str(report)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


class Tangents(torch.autograd.Function):
    """x y, whose forward mode gets None for an input that is not differentiated."""

    wrong_by = 0.0

    @staticmethod
    def forward(ctx, x, y):
        ctx.set_materialize_grads(False)
        ctx.save_for_forward(x, y)
        ctx.save_for_backward(x, y)
        return x * y

    @classmethod
    def jvp(cls, ctx, u, v):
        x, y = ctx.saved_tensors
        return (u * y if u is not None else 0) + (v * x if v is not None else cls.wrong_by * x)

    @staticmethod
    def backward(ctx, u):
        x, y = ctx.saved_tensors
        return u * y, u * x


def test_inputs_that_are_not_differentiated_have_no_tangent():
    inputs = draw(3), draw(3, seed=1)
    assert check_function(Tangents.apply, *inputs, mode="forward")
    wrong = type("Tangents", (Tangents,), {"wrong_by": 0.1}).apply  # wrong on purpose
    report = check_function(wrong, *inputs, mode="forward")
    assert report.verdict is Verdict.MISMATCH
    assert report.diagnosis[0].name == "undefined tangent"
    assert "here all but inputs[0]" in report.diagnosis[0].text


def test_forward_mode_in_a_batch():
    assert check_function(lambda x: (x.sin(), [x.sum()]), draw(3), mode="batched forward")


def test_without_entries_nothing_is_wrong():
    empty = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    report = check_function(torch.sum, empty)
    assert report
    assert "All inputs are empty" in str(report)
    assert "kink" not in str(report)


@pytest.mark.parametrize("seed", range(4))
def test_dropout_is_unresolved_whatever_the_cotangent(seed):
    x, w = draw(5, 4), draw(4, 3, seed=1).detach()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        report = check_function(lambda x: torch.nn.functional.dropout(x @ w), x)
    assert report.verdict is Verdict.UNRESOLVED
    assert "dropout" in report.arrays["inputs[0]"].reason


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid])
@pytest.mark.parametrize("steepness", [10, 20, 40, 80])
@pytest.mark.parametrize("seed", range(3))
def test_what_saturation_leaves_of_a_derivative_is_not_held_against_it(function, steepness, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 3, 5) * rng.choice([-1, 1], 5)
    x = torch.tensor(x, requires_grad=True)
    report = check_function(lambda x: function(steepness * x), x)
    assert report.verdict is not Verdict.MISMATCH, report


@pytest.mark.parametrize("steepness", [1, 5, 8])
def test_one_percent_of_a_small_derivative_is_held_against_it(steepness):
    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.tanh(steepness * x)

        @staticmethod
        def backward(ctx, u):
            (x,) = ctx.saved_tensors
            return 1.01 * u * steepness / torch.cosh(steepness * x) ** 2  # wrong on purpose

    x = torch.tensor([1.2, -1.5, 1.7], dtype=torch.float64, requires_grad=True)
    assert check_function(Steep.apply, x).verdict is Verdict.MISMATCH
