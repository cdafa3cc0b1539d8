"""Projected checks of arrays of PyTorch and JAX, sharded ones too, which stay where they are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.parameters.arrays import parameter_array
from checks.parameters.random_directions import Direction, Region

ROOT = Path(__file__).parents[3]
DIRECTION = Direction(5, 1, 2, Region(1, 6, 2, 9), scale=0.5)


def dense(shape):
    """Return DIRECTION as a whole numpy array."""
    v = np.zeros(Region.whole(shape).shape)
    v[DIRECTION.region.rows, DIRECTION.region.columns] = DIRECTION.values_in(DIRECTION.region)
    return v.reshape(shape)


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason="needs the extra gradient-gate[torch]")
    threads = found.get_num_threads()
    found.set_num_threads(1)  # with several, waiting takes longer than these small models
    yield found
    found.set_num_threads(threads)


@pytest.fixture
def jax():
    found = pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")
    with found.enable_x64(True):
        yield found


SHAPES = [(7, 9), (7, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_moves_in_the_same_directions_as_numpy(torch, shape):
    values = np.random.default_rng(0).standard_normal(shape)
    tensor = torch.tensor(values, requires_grad=True)
    parameter = parameter_array(tensor, "w")
    moved = parameter.moved(DIRECTION, 1.0).detach().numpy().copy()
    assert np.array_equal(moved, values + dense(shape))
    assert not parameter.restore()  # the cost has not moved it
    assert np.array_equal(tensor.detach().numpy(), values)
    assert np.isclose(parameter.project(tensor.detach(), DIRECTION), np.sum(values * dense(shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_jax_moves_in_the_same_directions_as_numpy(jax, shape):
    values = np.random.default_rng(0).standard_normal(shape)
    parameter = parameter_array(jax.numpy.asarray(values), "w")
    assert np.array_equal(parameter.moved(DIRECTION, 1.0), values + dense(shape))
    assert np.isclose(parameter.project(parameter.real, DIRECTION), np.sum(values * dense(shape)))


@pytest.mark.parametrize("sign", [1, -1])
def test_norm_and_largest_of_a_claim_are_those_of_numpy(sign, torch, jax):
    claim = sign * np.array([[3.0, -4.0, 0.5], [0.0, 12.0, 0.25]])
    for array in (torch.from_numpy(claim), jax.numpy.asarray(claim)):
        parameter = parameter_array(array, "w")
        assert parameter.norm(array) == pytest.approx(np.linalg.norm(claim), rel=1e-12)
        assert parameter.largest(array) == 12


LAYOUTS = {
    "transposed": lambda tensor: tensor.reshape(6, 4).t(),
    "permuted": lambda tensor: tensor.reshape(2, 3, 2, 2).permute(3, 1, 0, 2),
    "strided": lambda tensor: tensor.reshape(4, 6)[::2, 1::2],
    "expanded": lambda tensor: tensor[:6].expand(4, 6),
    "overlapping": lambda tensor: tensor.unfold(0, 3, 1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_of_any_layout_come_back_unchanged(torch, layout):
    whole = torch.arange(1.0, 25.0, dtype=torch.float64)
    tensor = LAYOUTS[layout](whole)
    weights = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)

    def cost(p):
        return torch.sum(p["w"] ** 3 * (weights + 1))

    gradient = {"w": 3 * tensor**2 * (weights + 1)}
    report = check_gradient(cost, gradient, {"w": tensor}, coverage="projected")
    assert report.verdict is Verdict.MATCH, str(report)
    wrong = {"w": gradient["w"] + (weights == 5) * gradient["w"]}  # wrong on purpose
    assert not check_gradient(cost, wrong, {"w": tensor}, coverage="projected")
    assert torch.equal(whole, torch.arange(1.0, 25.0, dtype=torch.float64))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_are_checked_where_they_are(torch, dtype):
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, dtype)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    x = draw(20, 30)
    params = {"w": draw(40, 30).requires_grad_(), "u": draw(1, 40).requires_grad_()}
    before = {name: tensor.detach().clone() for name, tensor in params.items()}

    def cost(p):
        a = torch.tanh(x.to(p["w"].dtype) @ p["w"].T / 5)
        return torch.mean((a @ p["u"].T) ** 2)

    slopes = torch.autograd.grad(cost(params), list(params.values()))
    gradient = dict(zip(params, slopes, strict=True))
    report = check_gradient(cost, gradient, params, coverage="projected")
    assert report.verdict is Verdict.MATCH, str(report)
    assert report.method == "complex-step"
    gradient["w"][17, 4] += 0.02 * gradient["w"].abs().max()  # wrong on purpose
    gradient["u"] *= 2  # wrong on purpose
    report = check_gradient(cost, gradient, params, coverage="projected")
    assert report.verdict is Verdict.MISMATCH, str(report)
    (entry,), (block,) = report.arrays["w"].blocks, report.arrays["u"].blocks
    assert entry.region.index((40, 30)) == (17, 4)
    assert block.region == Region(0, 1, 0, 40)
    assert block.factor == pytest.approx(2, rel=1e-3)
    assert all(bool((params[name] == before[name]).all()) for name in params)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from checks import check_gradient
import checks.parameters.jax_arrays

assert len(jax.devices()) == 8
jax.config.update("jax_enable_x64", True)
mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("rows", "columns"))
rng = np.random.default_rng(0)
put = lambda array, *spec: jax.device_put(array, NamedSharding(mesh, P(*spec)))
params = {
    "w": put(rng.standard_normal((64, 32)) / 6, "rows", "columns"),
    "u": put(rng.standard_normal((8, 64)) / 8, None, "rows"),
}
x = rng.standard_normal((10, 32))
loss = jax.jit(lambda p: jnp.mean(jnp.tanh(jnp.tanh(x @ p["w"].T) @ p["u"].T) ** 2))
gradient = jax.jit(jax.grad(loss))(params)

sizes_on_host = []
original = np.asarray
def asarray(array, *arguments, **options):
    if isinstance(array, jax.Array):
        sizes_on_host.append(array.size)
    return original(array, *arguments, **options)
np.asarray = asarray
moved = checks.parameters.jax_arrays.JaxArray.moved
def watched(parameter, direction, step):
    result = moved(parameter, direction, step)
    assert result.sharding.is_equivalent_to(parameter.real.sharding, result.ndim), result.sharding
    return result
checks.parameters.jax_arrays.JaxArray.moved = watched

report = check_gradient(loss, gradient, params, coverage="projected")
assert report and report.method == "complex-step", str(report)
wrong = gradient["w"].at[41, 7].add(1e-3)  # wrong on purpose
report = check_gradient(loss, {**gradient, "w": wrong}, params, coverage="projected")
(block,) = report.arrays["w"].blocks
assert block.region.index((64, 32)) == (41, 7), str(report)
assert report.arrays["u"].verdict.name == "MATCH"
assert max(sizes_on_host) <= 64, sizes_on_host  # sums of rows, but no array of parameters
print(report)
"""


def test_parameters_sharded_over_eight_devices_stay_there():
    pytest.importorskip("jax", reason="needs the extra gradient-gate[jax]")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", SHARDED],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "w[41, 7]: claimed" in ran.stdout


def test_a_tensor_in_two_places_is_refused(torch):
    w = torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"params\[0\] and params\[1\] are the same array"):
        check_gradient(lambda p: (p[0] * p[1]).sum(), [w, w], [w, w], coverage="projected")


def test_an_empty_tensor_is_left_out(torch):
    params = {"w": torch.ones(3, 2, dtype=torch.float64), "none": torch.zeros(0, 2).double()}
    claim = {"w": 2 * params["w"], "none": params["none"].clone()}
    assert check_gradient(lambda p: (p["w"] ** 2).sum(), claim, params, coverage="projected")


def test_an_array_of_numpy_is_no_claim_of_a_tensor(torch):
    w = torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(TypeError, match="gradient has a ndarray of float64, wanted a tensor"):
        check_gradient(lambda p: (p**2).sum(), 2 * w.numpy(), w, coverage="projected")
