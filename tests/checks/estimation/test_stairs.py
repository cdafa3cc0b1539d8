"""Stairs beside a smooth part: jumps are found, kinks and poles are none, intervals hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import Verdict, check_gradient, check_vjp, numerical_gradient
from checks.estimation.coordinates import Coordinates
from checks.estimation.noise import Noise
from checks.estimation.stairs import slope_of_jumps, slope_where_straight

SIDES = [1, -1]
SCALES = [1e-9, 1.0, 1e9]


def coordinates(cost, x, noise=1e-15):
    """Return the coordinate of a cost of one number."""

    def costs(indices, steps):
        return np.vectorize(cost, otypes=[float])(x + steps)

    level = Noise(noise, noise, stochastic=False, is_constant=False)
    finest, longest = np.array([abs(x) * 1e-15]), np.array([abs(x)])
    return Coordinates(costs, np.array([x]), abs(x), finest, longest, cost(x), level)


def jumps(cost, slope, side, scale=1.0, far=0.1):
    at = coordinates(lambda x: cost(x / scale), 1.5 * scale)
    value, error = np.array([slope / scale]), np.array([1e-9 / scale])
    near, far = np.array([1e-5 * scale]), np.array([side * far * scale])
    return float(slope_of_jumps(at, np.array([0]), value, error, near, far)[0] * scale)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("height", [0.01, -0.01])
def test_a_jump_beside_a_smooth_part_is_found(side, scale, height):
    cost = lambda x: np.sin(x) + height * (x > 1.5 + side * 0.037)  # noqa: E731
    assert jumps(cost, np.cos(1.5), side, scale) == pytest.approx(0.01 / 0.1, rel=0.05)
    assert jumps(cost, np.cos(1.5), -side, scale) == 0


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("width", [0.001, 0.01, 0.03])
def test_stairs_have_the_slope_of_their_trend(side, scale, width):
    cost = lambda x: np.exp(x) - 2 * width * np.floor((x - 1.5) / width + 0.4)  # noqa: E731
    assert jumps(cost, np.exp(1.5), side, scale) == pytest.approx(2, rel=0.4)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("cost", "slope"),
    [
        (np.exp, np.exp(1.5)),
        (lambda x: x**7, 7 * 1.5**6),
        (lambda x: np.sin(300 * x), 300 * np.cos(450)),
        (lambda x: 2 * x + abs(x - 1.52) - 3 * abs(x - 1.47), 2 - 1 - 3),
        (lambda x: 1 / (x - 1.5371) - 1 / (x - 1.4629), -1 / 0.0371**2 + 1 / 0.0371**2),
        (lambda x: np.sqrt(abs(x - 1.53)) + np.sqrt(abs(x - 1.47)), 0.0),
    ],
    ids=["smooth", "curved", "oscillating", "kinks", "poles", "cusps"],
)
def test_what_is_no_jump_is_not_taken_for_one(side, cost, slope):
    for scale in SCALES:
        assert jumps(cost, slope, side, scale) == 0


@pytest.mark.parametrize("side", SIDES)
def test_it_is_not_known_where_the_cost_ends(side):
    cost = lambda x: x if side * (x - 1.5) < 0.05 else np.nan  # noqa: E731
    assert np.isnan(jumps(cost, 1.0, side))
    assert jumps(cost, 1.0, -side) == 0


@pytest.mark.parametrize("slope", [0.0, 3.0, -3.0])
@pytest.mark.parametrize("scale", SCALES)
def test_a_cost_of_much_noise_that_is_straight_close_by_is_on_stairs(slope, scale):
    def straight(cost):
        at = coordinates(lambda x: cost(x / scale), 1.5 * scale, noise=0.3)
        found, _, is_straight = slope_where_straight(at, np.array([0]), np.array([1.5 * scale]))
        return found[0] * scale, is_straight[0]

    found, is_straight = straight(lambda x: slope * x + np.floor(8 * x + 0.2))
    assert is_straight
    assert found == pytest.approx(slope, abs=1e-6)
    # a jump closer than the steps, on either side
    for beside in (1e-8, -1e-8, 0.0):
        found, is_straight = straight(lambda x, at=1.5 + beside: slope * x + (x > at))
        assert is_straight
        assert found == pytest.approx(slope, abs=1e-6)
    rng = np.random.default_rng(0)
    assert not straight(lambda x: slope * x + 0.3 * rng.standard_normal())[1]
    # float32 numbers are closer than the steps
    grid = 2.0**-24
    assert not straight(lambda x: 1e6 * np.round(x / grid) * grid)[1]


def logistic(z):
    return 1 / (1 + np.exp(-z))


def cross_entropy(rng):
    """Draw a cross entropy log(1 − σ(u + b)) of which one sample is saturated: cost, claim, b."""
    samples = rng.integers(2, 5)
    u = np.append(rng.uniform(3, 10), rng.uniform(-8, 2, samples - 1))
    y = rng.uniform(0, 1, samples) * rng.choice([0.05, 1])
    b = np.array(rng.uniform(20, 36 - u[0]))

    def cost(b):
        a = logistic(u + b)
        return np.mean(-y * np.log(a) - (1 - y) * np.log(1 - a))

    # exact: with s = 1 − σ, ∂C/∂b = mean(σ − y), which float64 has to the last place
    return cost, np.mean(logistic(u + b) - y), b


@pytest.mark.parametrize("method", ["auto", "central"])
def test_stairs_of_rounding_are_never_held_against_a_right_gradient(method):
    for seed in range(settings().max_examples):
        cost, claim, b = cross_entropy(np.random.default_rng(seed))
        for sign in (1, -1):
            signed = lambda b, sign=sign, cost=cost: sign * cost(b)  # noqa: E731
            report = check_gradient(signed, sign * claim, b, method=method, seed=seed)
            assert report.verdict is not Verdict.MISMATCH, f"{seed}: {report}"


@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_reason_names_the_stairs_and_their_interval_holds(method):
    u, y = np.array([6.553, -4.112]), np.array([0.0027, 0.034])

    def cost(b):
        a = logistic(u + b)
        return np.mean(-y * np.log(a) - (1 - y) * np.log(1 - a))

    exact = 0.9816499988472596707  # mpmath, 40 digits
    for seed in range(4):
        found = numerical_gradient(cost, 24.0, method=method, seed=seed)
        assert abs(found.value - exact) <= found.error
        report = check_gradient(cost, np.array(exact), 24.0, method=method, seed=seed)
        assert report.verdict is Verdict.UNRESOLVED
        assert "digits are lost" in report.arrays["params"].reason


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, -1.0])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_gross_errors_are_found_where_the_cross_entropy_is_smooth(factor, method):
    u, y = np.array([1.2, -0.7, 0.3]), np.array([0.1, 0.9, 0.6])

    def cost(b):
        a = logistic(u + b)
        return np.mean(-y * np.log(a) - (1 - y) * np.log(1 - a))

    exact = np.mean(logistic(u + 0.4) - y)
    assert check_gradient(cost, exact, 0.4, method=method)
    report = check_gradient(cost, factor * exact, 0.4, method=method)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


TABLE = np.random.default_rng(0).normal(size=64)
# id: (function, its derivative between the jumps, the slope of its trend or None)
STEP_FUNCTIONS = {
    "floor": (np.floor, 0.0, 1.0),
    "ceil": (np.ceil, 0.0, 1.0),
    "trunc": (np.trunc, 0.0, 1.0),
    "fmod": (lambda x: np.fmod(x, 1.0), 1.0, 0.0),
    "an integer cast": (lambda x: x.astype(int).astype(float), 0.0, 1.0),
    "a table": (lambda x: TABLE[np.floor(3 * x).astype(int) % 64], 0.0, None),
    **{f"round to {n}": (lambda x, n=n: np.round(x, n), 0.0, 1.0) for n in range(4)},
}


@pytest.mark.parametrize("name", STEP_FUNCTIONS)
@settings(max_examples=max(8, settings().max_examples * 8 // 25))
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 1, 2, 3, 6, 20]),
    scale=st.sampled_from([0.3, 1.0, 9.0, 100.0, 1000.0]),
    decimals=st.sampled_from([None, None, None, 1, 0]),
    method=st.sampled_from(["auto", "central"]),
)
def test_a_right_gradient_of_a_step_function_is_no_mismatch(
    name, seed, size, scale, decimals, method
):
    f, slope, trend = STEP_FUNCTIONS[name]
    x = np.random.default_rng(seed).uniform(-scale, scale, size)
    if decimals is not None:  # on jumps
        x = np.round(x, decimals)
    right = check_vjp(f, lambda x, u: slope * u, x, seed=seed, method=method)
    assert right.verdict is not Verdict.MISMATCH, f"{x!r}\n{right}"
    if trend is not None:
        wrong = check_vjp(f, lambda x, u: trend * u, x, seed=seed, method=method)
        assert wrong.verdict is not Verdict.MATCH, f"{x!r}\n{wrong}"  # wrong on purpose


@pytest.mark.parametrize(("seed", "name"), list(enumerate(STEP_FUNCTIONS)))
def test_a_step_function_of_many_entries_is_named(name, seed):
    f, slope, _ = STEP_FUNCTIONS[name]
    x = np.random.default_rng(seed).uniform(-9, 9, 100)
    report = check_vjp(f, lambda x, u: slope * u, x, seed=seed)
    assert report.verdict is Verdict.UNRESOLVED
    assert "quantised" in report.arrays["x"].reason


@pytest.mark.parametrize("seed", range(4))
def test_stairs_of_one_array_are_not_held_against_another(seed):
    point = {"smooth": np.array([0.3, -1.2]), "rounded": np.array([0.7, 2.21, 5.03])}
    cost = lambda p: np.sum(np.sin(p["smooth"])) + np.sum(np.round(p["rounded"], 2))  # noqa: E731
    claims = {"smooth": np.cos(point["smooth"]), "rounded": np.zeros(3)}
    report = check_gradient(cost, claims, point, seed=seed)
    assert report.verdict is not Verdict.MISMATCH
    assert "quantised" in report.arrays["rounded"].reason


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1, 2, 6]),
    scale=st.sampled_from([1.0, 9.0, 30.0]),
    method=st.sampled_from(["auto", "central"]),
    offset=st.sampled_from([0.0, 1.0]),
)
def test_a_step_function_within_a_saturating_one_is_no_mismatch(seed, size, scale, method, offset):
    rng = np.random.default_rng(seed)
    x, c = (
        rng.uniform(-scale, scale, size),
        rng.choice([-1, 1], size) * rng.uniform(0.05, 0.2, size),
    )

    def cost(x):
        return float(np.sum(np.tanh(c * np.round(x, 2))) + offset)

    report = check_gradient(cost, np.zeros(size), x, seed=seed, method=method)
    assert report.verdict is not Verdict.MISMATCH
