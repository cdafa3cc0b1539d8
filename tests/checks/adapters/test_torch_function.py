"""Functions of tensors as users have them: nested, strided, complex, with constants that change."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from checks import Verdict

torch = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")

from checks.adapters.torch import check_function  # noqa: E402
from checks.adapters.torch_function import TensorFunction  # noqa: E402

torch.set_num_threads(1)  # of so small tensors, threads only wait for each other


def draw(*shape, dtype=torch.float64, seed=0):
    values = np.random.default_rng(seed).uniform(0.3, 1.5, shape)
    if dtype.is_complex:
        values = values + 1j * np.random.default_rng(seed + 1).uniform(0.3, 1.5, shape)
    return torch.tensor(values).to(dtype)


class Times(torch.autograd.Function):
    """2 x, with a backward pass that multiplies by `factor`."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return 2 * x

    @staticmethod
    def backward(ctx, u):
        return ctx.factor * u, None


@dataclass
class Output:
    hidden: Any
    state: Any = None


NESTED = {
    "a tuple in a tuple": lambda a, b: (a, (b, a.cos())),
    "a dict": lambda a, b: {"a": a, "b": b},
    "a dict in a list": lambda a, b: [{"b": b}, a],
    "a dataclass": lambda a, b: Output(a, (None, b)),
    "with other things": lambda a, b: (b, "text", 3, None, a.argmax(), a.detach()),
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_every_output_is_checked_however_it_is_nested(nested):
    x = draw(3).requires_grad_()
    assert check_function(lambda x: nested(x.sin(), Times.apply(x, 2)), x)
    report = check_function(lambda x: nested(x.sin(), Times.apply(x, 3)), x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def test_inputs_may_be_nested_and_named():
    w, b, scale = draw(2, 3).requires_grad_(), draw(2, seed=1).requires_grad_(), draw()
    function = lambda p, x, *, scale: x @ p["w"].T + Times.apply(p["b"][0], 3) * scale["s"]  # noqa: E731
    kwargs = {"scale": {"s": scale.requires_grad_()}}
    report = check_function(function, {"w": w, "b": (b, "text")}, draw(4, 3), kwargs=kwargs)
    assert list(report.arrays) == ["inputs[0].w", "inputs[0].b[0]", "kwargs.scale.s"]
    wrong = [path for path, array in report.arrays.items() if array.verdict is Verdict.MISMATCH]
    assert wrong == ["inputs[0].b[0]"]


class RowMajor(torch.autograd.Function):
    """x², with a backward pass that takes x for row-major, beginning where its storage does."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return 2 * torch.as_strided(x, x.shape, (x.shape[1], 1), 0) * u  # wrong on purpose


LAYOUTS = {
    "transposed": lambda: draw(3, 4).T,
    "with an offset": lambda: draw(5, 3)[1:],
    "every other column": lambda: draw(4, 6)[:, ::2],
    "channels last": lambda: draw(2, 4, 3).permute(0, 2, 1)[0],
}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_the_strides_and_the_offset_of_an_input_are_kept(make):
    x = make().requires_grad_()
    assert check_function(lambda x: x**2, x)
    assert check_function(RowMajor.apply, x).verdict is Verdict.MISMATCH
    dense = x.detach().clone(memory_format=torch.contiguous_format)
    assert check_function(RowMajor.apply, dense.requires_grad_())


def test_entries_of_an_expanded_input_are_moved_one_by_one():
    x = draw(3, 1).expand(3, 4).requires_grad_()
    seen = []

    def function(x):
        seen.append(x.stride())
        return x.sin()

    assert check_function(function, x)
    assert seen[0] == (1, 0)  # at the point, where the values are the same
    report = check_function(lambda x: Times.apply(x, 3), x)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def test_the_bits_of_conjugate_and_negative_views_are_kept():
    z = draw(3, dtype=torch.complex128).conj().requires_grad_()
    assert z.is_conj()
    bits = set()

    def function(z):
        bits.add(z.is_conj())
        return z * z

    assert check_function(function, z)
    assert bits == {True}
    negative = torch._neg_view(draw(3)).requires_grad_()
    assert check_function(lambda x: (x.is_neg() and x**3) + 0, negative)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
def test_complex_inputs_and_outputs(dtype):
    z, x = draw(3, dtype=dtype).requires_grad_(), draw(3, seed=3).requires_grad_()
    report = check_function(lambda z, x: (z * z.conj() * x, z.abs(), torch.exp(z)), z, x)
    assert report, str(report)
    assert report.arrays["inputs[0]"].claimed.shape == (3, 2)

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, u):
            return 2 * ctx.saved_tensors[0] * u  # wrong on purpose: not the conjugate

    assert check_function(Square.apply, z).verdict is Verdict.MISMATCH


def test_an_error_says_that_no_output_has_a_gradient():
    x = draw(3).requires_grad_()
    for function in (torch.argmax, torch.Tensor.detach, lambda x: None):
        with pytest.raises(ValueError, match="no output of the function is a tensor that requires"):
            check_function(function, x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.empty(2, device="meta"), r"inputs\[0\] is torch.float32 on meta"),
    ],
)
def test_an_error_names_an_input_that_cannot_be_moved(make, message):
    with pytest.raises(TypeError, match=message):
        check_function(lambda x: x * 2, make().requires_grad_())


def test_empty_outputs_are_fine():
    x = draw(3).requires_grad_()
    assert check_function(lambda x: (x[:0], x.sin()), x)
    assert "All outputs are empty" in str(check_function(lambda x: x[:0] * 2, x))

    class Constant(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x[:0].clone()

        @staticmethod
        def backward(ctx, u):
            return torch.ones(3, dtype=torch.float64)  # wrong on purpose

    assert check_function(Constant.apply, x).verdict is Verdict.MISMATCH


def test_sparse_gradients_are_compared():
    table, rows = draw(4, 3).requires_grad_(), torch.tensor([2, 0, 2])
    look_up = lambda table: torch.nn.functional.embedding(rows, table, sparse=True)  # noqa: E731
    assert check_function(look_up, table)


def test_constants_and_buffers_are_given_back():
    x, mean, variance = draw(6, 3).requires_grad_(), draw(3), draw(3)
    before = mean.clone(), variance.clone()
    weight = draw(3, seed=2).requires_grad_()

    def given(x, weight, mean, variance):
        return torch.native_batch_norm(x, weight, None, mean, variance, True, 0.1, 1e-5)[0]

    assert check_function(given, x, weight, mean, variance)
    assert torch.equal(mean, before[0])
    assert torch.equal(variance, before[1])
    module = torch.nn.BatchNorm1d(3).double()
    buffers = [buffer.clone() for buffer in module.buffers()]
    assert check_function(module, x)
    assert all(map(torch.equal, module.buffers(), buffers))


def test_float32_constants_do_not_keep_a_function_from_float64():
    x = draw(5, dtype=torch.float32).requires_grad_()
    report = check_function(torch.matmul, draw(2, 5, dtype=torch.float32), x)
    assert report.arrays["inputs[1]"].dtype == "float64"
    module = torch.nn.Linear(5, 2)
    assert check_function(module, x).arrays["inputs[0]"].dtype == "float64"


class Product(torch.autograd.Function):
    """x y, with forward mode wrong by a factor."""

    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_forward(x, y)
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return x * y

    @staticmethod
    def jvp(ctx, u, v, _):
        x, y = ctx.saved_tensors
        return ctx.factor * (u * y + x * v)

    @staticmethod
    def backward(ctx, u):
        x, y = ctx.saved_tensors
        return u * y, u * x, None


def test_forward_mode():
    x, y = draw(3).requires_grad_(), draw(3, seed=1).requires_grad_()
    assert check_function(Product.apply, x, y, 1, mode="forward")
    wrong = check_function(Product.apply, x, y, 1.01, mode="forward")  # wrong on purpose
    assert wrong.verdict is Verdict.MISMATCH
    assert check_function(lambda x: (x.sin(), [x.exp()]), x, mode="forward")


class Unbatched(torch.autograd.Function):
    """x³, with a backward pass that under vmap mixes the samples."""

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, u):
        return Tripled.apply(*ctx.saved_tensors, u)


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(x, u):
        return 3 * x**2 * u

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, x, u):
        return 3 * x**2 * u.flip(0), 0  # wrong on purpose


def test_gradients_in_a_batch():
    x = draw(3).requires_grad_()
    assert check_function(lambda x: (x.sin(), x**3), x, mode="batched")
    assert check_function(Unbatched.apply, x)
    assert check_function(Unbatched.apply, x, mode="batched").verdict is Verdict.MISMATCH


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode is 'fwd', wanted one of 'reverse', 'batched'"):
        check_function(torch.sin, draw(3).requires_grad_(), mode="fwd")


class Cubed(torch.autograd.Function):
    """x³, without support for vmap."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, u):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * u


def in_place(x):
    y = torch.zeros_like(x, requires_grad=False)
    y += x**2
    return y


def by_its_values(x):
    return x.sin() if x.sum() > 0 else x.cos()


def by_numpy(x):
    return x.sin() * float(np.ceil(x.detach().numpy().max()))


def with_memory(x):
    return x * len(str(x.data_ptr()))


def of_its_gradient(x):
    with torch.enable_grad():
        y = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad((y**2).sum(), y)
    return x * slope.detach() / slope.detach() + x


def dropped_out(x):
    """Dropout with the same random numbers in every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.functional.dropout(x, 0.3)


ALONE = [Cubed.apply, by_its_values, by_numpy, with_memory, of_its_gradient]
TOGETHER = {
    "elementwise": (torch.sin, [(3, 4)]),
    "in place": (in_place, [(3, 4)]),
    "a reduction": (lambda x: torch.logsumexp(x, 1), [(3, 4)]),
    "a product": (torch.matmul, [(3, 4), (4, 2)]),
    "a convolution": (torch.nn.functional.conv1d, [(2, 3, 7), (2, 3, 3)]),
    "sorted": (lambda x: x.sort().values[:, :2], [(3, 4)]),
    "random numbers": (dropped_out, [(3, 4)]),
    "a loop": (lambda x: torch.stack([row * row for row in x]), [(3, 4)]),
    "a constant output": (lambda x: (x.exp(), torch.ones(2, requires_grad=True) * 2), [(3, 4)]),
    "nothing by one input": (lambda x, y: (x.exp(), y.sum()), [(3,), (2,)]),
}


def counted(function):
    def counting(*inputs):
        counting.calls += 1
        return function(*inputs)

    counting.calls = 0
    return counting


REAL_ONLY = ("sorted", "a reduction", "random numbers")
KINDS = [(name, dtype) for name in TOGETHER for dtype in (torch.float64, torch.float32)]
KINDS += [(name, torch.complex128) for name in TOGETHER if name not in REAL_ONLY]


def test_random_numbers_that_differ_from_call_to_call_are_noise():
    report = check_function(
        lambda x: torch.nn.functional.dropout(x, 0.3), draw(3, 4).requires_grad_()
    )
    assert report.verdict is Verdict.UNRESOLVED
    assert "two calls at one point differ" in report.arrays["inputs[0]"].reason


@pytest.mark.parametrize(("name", "dtype"), KINDS)
def test_many_points_are_one_call_where_the_function_agrees(name, dtype, monkeypatch):
    function, shapes = TOGETHER[name]
    function = counted(function)
    inputs = [draw(*s, dtype=dtype, seed=k).requires_grad_() for k, s in enumerate(shapes)]
    together, calls = check_function(function, *inputs, method="central"), function.calls
    function.calls = 0
    monkeypatch.setattr(TensorFunction, "values_at_points", lambda *args: 1 / 0)
    alone = check_function(function, *inputs, method="central")
    assert together.verdict is alone.verdict is Verdict.MATCH
    for path, array in together.arrays.items():
        other = alone.arrays[path]
        assert (np.abs(array.numeric - other.numeric) <= array.error + other.error).all()
    assert calls < function.calls


@pytest.mark.parametrize("function", ALONE)
def test_functions_that_cannot_be_called_at_many_points_are_checked_all_the_same(function):
    x = draw(5).requires_grad_()
    report = check_function(function, x)
    assert report
    assert check_function(lambda x: Times.apply(function(x), 3), x).verdict is Verdict.MISMATCH


def test_moved_tensors_have_the_strides_of_the_one_given_at_many_points_too():
    strides = set()

    def function(x):
        strides.add(x.stride())
        return x.sin()

    x = torch.as_strided(draw(40), (3, 4), (12, 2), 5).requires_grad_()
    assert check_function(function, x)
    assert strides == {x.stride()}


def sparse(layout):
    """Return a sparse tensor of 8 values, two of one entry as COO, or of 4 blocks."""
    if layout == "coo":
        places = torch.tensor([[0, 1, 3, 3, 2, 1, 1, 2], [3, 3, 0, 1, 1, 0, 0, 2]])
        matrix = torch.sparse_coo_tensor(places, draw(8), (4, 6), check_invariants=True)
        return matrix.requires_grad_()
    dense = draw(4, 6) * torch.tensor(np.tri(4, 6, -1))
    dense[0, 3] = dense[1, 3] = 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the layout is in beta state
        size = {"blocksize": (2, 2)} if layout.startswith("bs") else {}
        return getattr(dense, f"to_sparse_{layout}")(**size).requires_grad_()


class SparseSquare(torch.autograd.Function):
    """The sum of x² over rows, with a gradient that is wrong by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return (x.to_dense() ** 2).sum(0)

    @staticmethod
    def backward(ctx, u):
        slope = 2 * ctx.factor * ctx.saved_tensors[0].to_dense() * u
        slope[1, 3] *= ctx.factor
        return slope, None


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "bsr", "bsc"])
def test_the_values_of_sparse_inputs_are_checked(layout):
    x, size = sparse(layout), 16 if layout.startswith("bs") else 8
    report = check_function(lambda x: x.to_dense() ** 2, x)
    assert report, str(report)
    assert report.arrays["inputs[0]"].entries == size
    assert check_function(lambda x, y: (2 * x, x @ y), x.to_sparse(), draw(6, 2))
    assert check_function(SparseSquare.apply, x, 1)
    assert check_function(SparseSquare.apply, x, 1.001).verdict is Verdict.MISMATCH
    assert check_function(lambda x: x.to_dense() ** 3, x, order=2)
    with pytest.raises(TypeError, match="PyTorch has no forward mode of sparse tensors"):
        check_function(lambda x: x.to_dense(), x, mode="forward")


def test_a_gradient_of_sparse_values_in_another_order():
    class Shuffled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.to_dense()

        @staticmethod
        def backward(ctx, u):
            (x,) = ctx.saved_tensors
            values = u[tuple(x._indices())]
            values = values.flip(0)  # wrong on purpose
            return torch.sparse_coo_tensor(x._indices(), values, x.shape, check_invariants=True)

    assert check_function(Shuffled.apply, sparse("coo")).verdict is Verdict.MISMATCH


def test_sparse_constants_are_given_back():
    matrix, y = sparse("coo").detach(), draw(6, 2).requires_grad_()
    before = matrix.to_dense()

    def function(matrix, y):
        result = matrix.to_dense() @ y
        matrix._values().mul_(2)
        return result

    assert check_function(function, matrix, y)
    assert torch.equal(matrix.to_dense(), before)


@pytest.mark.parametrize("size", [{"size": 3}, {"size": 7}, {"scale_factor": 0.6}])
@pytest.mark.parametrize("mode", ["nearest-exact", "nearest", "bilinear"])
def test_interpolation_copies_or_mixes_entries_whatever_the_rounding(mode, size):
    # toward zero, nearest-exact copies other entries, and 0.6 times 5 are two of them
    x = torch.tensor(np.random.default_rng(0).normal(size=(1, 2, 5, 4)), requires_grad=True)
    interpolate = lambda x: torch.nn.functional.interpolate(x, mode=mode, **size)  # noqa: E731
    assert check_function(interpolate, x).verdict is Verdict.MATCH


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_complex_numbers_of_32_bits():
    z = torch.tensor([0.5 + 1j, -1 + 0.25j], dtype=torch.complex128, requires_grad=True)
    kept = torch.tensor([2 - 1j, 0.5j], dtype=torch.complex32)
    half = lambda z: z.chalf()  # noqa: E731
    assert check_function(half, z).verdict is not Verdict.MISMATCH
    assert check_function(lambda z: z * kept.to(z.dtype), z, progress=False)
    assert check_function(lambda z, k: z * k.to(z.dtype), z, kept)


def test_random_numbers_that_are_others_in_float64_are_not_lifted():
    def dropout(x):  # on an accelerator a seed gives other numbers in another dtype
        generator = torch.Generator().manual_seed(int(x.dtype is torch.float64))
        return 2 * x * (torch.rand(20, generator=generator) > 0.5)

    x = torch.linspace(-1, 2, 20).requires_grad_()
    report = check_function(dropout, x)
    assert report, str(report)
    assert check_function(lambda x: dropout(Doubled.apply(x)), x).verdict is Verdict.MISMATCH


class Doubled(torch.autograd.Function):
    """x, with twice its gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, u):
        return 2 * u  # wrong on purpose
