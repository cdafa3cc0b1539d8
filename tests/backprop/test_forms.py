"""The three forms: against exact gradients, against each other, and by the properties of ∇C."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backprop import Network, Parameters, chain_form, index_form, matrix_form
from backprop.activations import ACTIVATIONS, Activation
from tests.backprop.problems import arrays, as_complex, problems
from tests.exact import exact_gradient

FORMS = [
    pytest.param(form, id=form.__name__.split(".")[-1])
    for form in (index_form, chain_form, matrix_form)
]


def largest(array):
    return abs(array).max()


def exact_arrays(problem):
    weights, biases = exact_gradient(*problem)
    return weights + biases


def moved(problem, rng):
    """Return the problem with every number moved by one unit in the last place, up or down."""
    net, theta, x, y = problem

    def move(v):
        return np.nextafter(v, np.where(rng.random(v.shape) < 0.5, np.inf, -np.inf))

    return net, Parameters(map(move, theta.weights), map(move, theta.biases)), move(x), move(y)


def blur(problem, exact):
    """Say what the last place of the given numbers decides, per array: terms may cancel."""
    # of so few moves up or down, two numbers may always make the same
    neighbours = [exact_arrays(moved(problem, np.random.default_rng(seed))) for seed in range(8)]
    return [max(map(largest, g - np.array(n))) for g, *n in zip(exact, *neighbours, strict=True)]


def assert_close(claimed, exact, rtol, problem):
    """Every array of `claimed` within rtol of the largest entry of `exact`, and some blurs.

    Four for each layer: all layers round for every sample, but only x and y are moved for each.
    Where samples cancel in a bias, those roundings are all that is left of its error.
    """
    off = [largest(g - n) - rtol * largest(n) for g, n in zip(claimed, exact, strict=True)]
    if all(more <= 0 for more in off):
        return
    for i, (more, spread) in enumerate(zip(off, blur(problem, exact_arrays(problem)), strict=True)):
        assert more <= 4 * problem[0].L * spread, f"array {i} of {len(claimed)}"


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=300, deadline=None)
@given(problem=problems())
def test_exact_to_1e_14_times_depth(form, problem):
    net, theta, x, y = problem
    claimed, exact = arrays(form.gradient(net, theta, x, y)), exact_arrays(problem)
    assert_close(claimed, exact, 1e-14 * net.L, problem)


def saturated(z, seed=0):
    """Return a 3-4-2 logistic network whose layers have every |z| about `z`, of mixed signs."""
    rng = np.random.default_rng(seed)
    net = Network((3, 4, 2), "logistic")
    theta = net.random_parameters(rng, 0.1)
    for b in theta.biases:
        b[...] = z * np.resize([1, -1], b.shape)
    return net, theta, rng.uniform(-1, 1, (2, 3)), rng.uniform(0.2, 0.8, (2, 2))


def digits(claimed, exact):
    """Correct digits of the worst entry."""
    error = max(largest(g / n - 1) for g, n in zip(claimed, exact, strict=True))
    return -np.log10(max(error, 1e-17))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("z", [20, 37, 50, 100, 300])
def test_saturation_loses_at_most_four_digits_where_the_textbook_loses_all(form, z, monkeypatch):
    problem = saturated(z)
    exact = exact_arrays(problem)
    assert digits(arrays(form.gradient(*problem)), exact) > 15.9 - 4

    def textbook(z):
        a = 1 / (1 + np.exp(-z))
        return a, a * (1 - a)  # wrong on purpose

    row = Activation("logistic", lambda z: textbook(z)[0], textbook)
    monkeypatch.setitem(ACTIVATIONS, "logistic", row)
    assert digits(arrays(form.gradient(*problem)), exact) < (8 if z == 20 else 1)


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems(scale=300.0))
def test_no_warning_nothing_infinite_however_saturated(form, problem):
    net, theta, x, y = problem
    assert all(np.isfinite(g).all() for g in arrays(form.gradient(net, theta, x, y)))


@given(problem=problems())
def test_three_forms_agree(problem):
    net, theta, x, y = problem
    index = arrays(index_form.gradient(net, theta, x, y))
    assert_close(arrays(chain_form.gradient(net, theta, x, y)), index, 2e-14 * net.L, problem)
    assert_close(arrays(matrix_form.gradient(net, theta, x, y)), index, 2e-14 * net.L, problem)


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems())
def test_batch_is_the_mean_of_its_samples(form, problem):
    net, theta, x, y = problem
    samples = [form.gradient(net, theta, *sample).ravel() for sample in zip(x, y, strict=True)]
    batch = form.gradient(net, theta, x, y).ravel()
    np.testing.assert_allclose(
        batch, np.mean(samples, 0), rtol=0, atol=1e-14 * largest(np.array(samples))
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, complex])
@pytest.mark.parametrize("form", FORMS)
def test_dtype_is_kept(form, dtype):
    for activation in ACTIVATIONS:
        for cost in ("mean_squared", "half_squared", "cross_entropy", "softmax_cross_entropy"):
            net = Network((2, 3, 2), activation, cost)
            theta = net.random_parameters(np.random.default_rng(0))
            theta = Parameters(
                *([v.astype(dtype) for v in p] for p in (theta.weights, theta.biases))
            )
            grad = form.gradient(net, theta, [[1, 2]], [[True, False]])
            assert {g.dtype for g in arrays(grad)} == {np.dtype(dtype)}
            assert net.forward(theta, [1, 2]).dtype == dtype


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems())
def test_out_is_written_and_returned(form, problem):
    net, theta, x, y = problem
    fresh, out = form.gradient(net, theta, x, y), form.gradient(net, theta, 0 * x, y)
    assert form.gradient(net, theta, x, y, out=out) is out
    np.testing.assert_array_equal(out.ravel(), fresh.ravel())


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems())
def test_nothing_given_is_changed(form, problem):
    net, theta, x, y = problem
    before = theta.ravel(), x.copy(), y.copy()
    form.gradient(net, theta, x, y)
    for one, other in zip(before, (theta.ravel(), x, y), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems(), seed=st.integers(0, 99))
def test_complex_gradient_is_the_real_one_and_its_derivative(form, problem, seed):
    # g(θ + ihv) = g(θ) + ih H v: the real part is the gradient, the imaginary part the Hessian's
    # product with v, which is symmetric: u·(H v) = v·(H u)
    net, theta, x, y = problem
    rng, h = np.random.default_rng(seed), 1e-30
    u, v = rng.uniform(-1, 1, (2, theta.ravel().size))

    def at(direction):
        point = Parameters.unravel(theta.ravel() + 1j * h * direction, net.sizes)
        return form.gradient(net, point, x, y).ravel()

    real = Parameters.unravel(at(v).real, net.sizes)
    assert_close(arrays(real), exact_arrays(problem), 1e-14 * net.L, problem)
    hu, hv = at(u).imag / h, at(v).imag / h
    np.testing.assert_allclose(u @ hv, v @ hu, rtol=0, atol=1e-11 * (abs(u) @ abs(hv) + 1e-300))


@pytest.mark.parametrize("form", FORMS)
@given(problem=problems(activations=("logistic", "tanh", "identity")), seed=st.integers(0, 99))
def test_holomorphic_at_a_truly_complex_point(form, problem, seed):
    # ∇C·v = dC(θ + sv)/ds by a sixth-order difference, s real or imaginary: Cauchy and Riemann
    net, theta, x, y = problem
    rng = np.random.default_rng(seed)
    v, im = rng.uniform(-1, 1, (2, theta.ravel().size))
    point = theta.ravel() + 0.1j * im
    slope = form.gradient(net, Parameters.unravel(point, net.sizes), x, y).ravel() @ v

    for unit in (1, 1j):
        step = 1e-3 * unit

        def odd(k, step=step):
            ends = (Parameters.unravel(point + s * k * step * v, net.sizes) for s in (1, -1))
            plus, minus = (net.cost(end, x, y) for end in ends)
            return (plus - minus) / (2 * step)

        fourth = (8 * odd(1) - odd(2)) / 6
        difference = (45 * odd(1) - 9 * odd(2) + odd(3)) / 30
        scale = abs(net.cost(as_complex(theta), x, y)) + abs(difference)
        assume(abs(difference - fourth) <= 1e-6 * scale)  # else near a pole of σ
        assert abs(difference - slope) <= 1e-8 * scale
