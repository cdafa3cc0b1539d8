"""No cost is called far from the point, nor out of the caller's bounds, by any check."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import (
    Verdict,
    check_gradient,
    check_jacobian,
    check_jvp,
    check_step,
    check_vjp,
    numerical_gradient,
)
from checks.evaluation.box import Box
from checks.evaluation.step_sizes import entry_sizes
from checks.parameters.claims import flatten
from tests.checks.functions import rough

METHODS = ("auto", "central")
COVERAGES = ("every", "projected")


class Recorder:
    """A cost that remembers how far each entry was moved down and up, by real moves."""

    def __init__(self, cost, params):
        self.cost = cost
        self.point = {path: array.astype(np.longdouble) for path, array in flatten(params).items()}
        self.lowest, self.highest = dict(self.point), dict(self.point)

    def __call__(self, params):
        arrays = params if isinstance(params, dict) else {"params": params}
        for path, array in arrays.items():
            # some costs take many sets at once
            moved = np.real(array).reshape(-1, *self.point[path].shape)
            self.lowest[path] = np.minimum(self.lowest[path], moved.min(axis=0))
            self.highest[path] = np.maximum(self.highest[path], moved.max(axis=0))
        return self.cost(params)

    @property
    def down(self):
        return {path: x - self.lowest[path] for path, x in self.point.items()}

    @property
    def up(self):
        return {path: self.highest[path] - x for path, x in self.point.items()}

    def farthest(self, sizes):
        """Return the largest move of any entry over its size."""
        down, up = self.down, self.up
        return max(
            float(np.max(np.maximum(down[path], up[path]) / sizes[path], initial=0))
            for path in self.point
        )


def own_sizes(params, residue=2.0**-44):
    """Return the size of each entry, or that of its array where it may be a residue of zero."""
    sizes = {}
    for path, array in flatten(params).items():
        x = np.abs(array.astype(np.longdouble))
        rms = np.sqrt(np.mean(x**2)) or 1
        sizes[path] = np.where(x > residue * rms, x, rms)
    return sizes


def array_sizes(params):
    """Return the typical size of an array for each of its entries."""
    sizes = {}
    for path, array in flatten(params).items():
        x = array.astype(np.longdouble)
        sizes[path] = np.full(x.shape, np.sqrt(np.mean(x**2)) or 1)
    return sizes


def point(dtype):
    """Return ordinary entries, zeros, small and large ones, of either sign."""
    return {
        "w": np.array([[0.7, -1.3, 0.0], [1e-4, -300.0, 2.0]], dtype),
        "b": np.array([-1e-9, 0.5], dtype),
        "c": np.zeros(3, dtype),
        "s": np.array(-0.02, dtype),
    }


def flat(p):
    return np.concatenate([np.ravel(p[name] / (1 + abs(p[name].real))) for name in "wbcs"])


def where_positive(function):
    def cost(p):
        z = flat(p)
        if not (z.real < 0.72).all():
            raise ArithmeticError("outside")
        return function(z)

    return cost


SOAK = settings().max_examples > 1000
COSTS = {
    "smooth": lambda p: np.sum(np.exp(flat(p))),
    "real": lambda p: np.sum(np.exp(flat(p).real)),
    "saturated": lambda p: np.sum(1 / (1 + np.exp(-40 - flat(p)))),
    "flat": lambda p: np.sum(1 / (1 + np.exp(-1e3 - flat(p)))),
    "dead": lambda p: np.sum(np.maximum(flat(p) - 5, 0)),
    "kinks": lambda p: np.sum(np.abs(flat(p))) + np.maximum(flat(p)[0], flat(p)[5]),
    "steps": lambda p: np.sum(np.floor(8 * flat(p).real)),
    "rounded": lambda p: np.round(np.sum(np.exp(flat(p).real)), 3),
    "float32": lambda p: np.float32(np.sum(np.exp(flat(p).real.astype(np.float32)))),
    "noise 1e-3": lambda p: np.sum(flat(p).real ** 2) + 1e-3 * rough(flat(p)),
    "noise 1e-9": lambda p: np.sum(flat(p).real ** 2) + 1e-9 * rough(flat(p)),
    "large noise": lambda p: np.sum(flat(p).real) + rough(flat(p)),
    "constant": lambda p: 2.5,
    "one array": lambda p: np.sum(np.sin(p["w"])),
    "one entry": lambda p: np.sin(p["b"][1]),
    "oscillating": lambda p: np.sum(np.sin(400 * flat(p))),
    "edge": where_positive(lambda z: np.sum(np.exp(z))),
    "fractional power": lambda p: np.sum(np.abs(flat(p).real) ** 0.3),
    "nan": lambda p: np.sum(np.log(flat(p).real + 0.01)) if flat(p)[0].real < 0 else flat(p)[0],
    "offset": lambda p: 1e4 + np.sum(np.exp(flat(p))),
}


def claims(params):
    """Return zeros, and a wrong claim."""
    yield {name: 0 * array for name, array in params.items()}
    yield {name: array + 1 for name, array in params.items()}  # wrong on purpose


@pytest.mark.parametrize(("number", "name"), list(enumerate(COSTS)))
@np.errstate(all="ignore")
def test_no_entry_is_moved_by_more_than_its_own_size(number, name):
    kinds = list(product(METHODS, ["float16", "float32", "float64"]))
    # one of the six kinds for each cost; all of them over the costs
    for method, dtype in kinds if SOAK else kinds[number % 6 :: 6]:
        params = point(dtype)
        for seed, claim in enumerate(claims(params)):
            cost = Recorder(COSTS[name], params)
            check_gradient(cost, claim, params, method=method, seed=seed)
            assert cost.farthest(own_sizes(params)) <= 1 + 1e-15, (cost.down, cost.up)


@pytest.mark.parametrize(("number", "name"), list(enumerate(COSTS)))
@np.errstate(all="ignore")
def test_projected_checks_move_no_entry_by_more_than_the_size_of_its_array(number, name):
    kinds = list(product(METHODS, ["float32", "float64"]))
    for method, dtype in kinds if SOAK else kinds[number % 4 :: 4]:
        params = point(dtype)
        for claim in claims(params):
            cost = Recorder(COSTS[name], params)
            check_gradient(cost, claim, params, method=method, coverage="projected")
            assert cost.farthest(array_sizes(params)) <= 1 + 1e-15, (cost.down, cost.up)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_other_checks_move_no_entry_by_more_than_its_own_size(size):
    x = size * np.array([0.5, -2.0, 0.0, 3.0, 1e-7])

    def function(x):
        return np.tanh(x / size)

    def slope(x):
        return (1 - np.tanh(x / size) ** 2) / size

    record = Recorder(function, x)
    assert check_vjp(record, lambda x, u: slope(x) * u, x)
    assert check_jvp(record, lambda x, v: slope(x) * v, x)
    assert not check_jvp(record, lambda x, v: slope(x) * v * 1.01, x)  # wrong on purpose
    scalar = Recorder(lambda x: np.sum(function(x)), x)
    assert check_step(scalar, lambda x, eta: x - eta * slope(x), x, learning_rates=[size**2])
    numerical_gradient(scalar, x)
    with ThreadPoolExecutor(1) as pool:
        assert check_gradient(scalar, slope, x, executor=pool)
    stacked = Recorder(lambda x: np.sum(function(x), axis=-1), x)
    assert check_gradient(stacked, slope, x, stacked=True)
    for recorded in (record, scalar, stacked):
        assert 1e-3 < recorded.farthest(own_sizes(x)) <= 1 + 1e-15


def test_a_vector_in_mixed_units_is_moved_in_its_own_units():
    x = np.array([1e3, 5.0, -0.3, 1e-12])

    def cost(x):
        return np.sum(np.exp(x / [1e3, 5, 0.3, 1e-12]).real)

    recorder = Recorder(cost, x)
    claim = np.exp(np.sign(x)) / [1e3, 5, 0.3, 1e-12]
    assert check_gradient(recorder, claim, x).verdict is not Verdict.MISMATCH
    assert recorder.farthest(own_sizes(x, 0)) <= 1 + 1e-15  # a root mean square is rounded
    assert (recorder.up["params"] > 0).all()


@pytest.mark.parametrize("residue", [2e-16, -1e-17, 1e-23])
@pytest.mark.parametrize("offset", [0, 1e3])
def test_what_rounding_leaves_of_zero_is_moved_as_a_zero_is(residue, offset):
    x = np.array([1.0, residue, -2.0])
    recorder = Recorder(lambda x: offset + np.sum(np.maximum(x, 0) ** 2), x)
    assert check_gradient(recorder, lambda x: 2 * np.maximum(x, 0), x)
    typical = {"params": np.array([np.inf, np.sqrt(5 / 3), np.inf])}
    assert 1e-7 < recorder.farthest(typical) <= 1 + 1e-15
    assert not check_gradient(recorder, lambda x: 2 * np.maximum(x, 0) + (x == residue), x)


@pytest.mark.parametrize("unit", [1e-14, -1e-25, 1e-34])
def test_an_entry_in_a_far_larger_unit_keeps_its_size(unit):
    x = np.array([3.0, unit])
    recorder = Recorder(lambda x: np.sum(np.abs(np.exp(x / [3.0, unit]))), x)
    assert check_gradient(recorder, lambda x: np.exp(x / [3.0, unit]) / [3.0, unit], x)
    assert recorder.farthest(own_sizes(x, 0)) <= 1 + 1e-15


def test_entries_of_a_function_are_measured_by_all_its_results():
    x = np.arange(-1, 1.05, 0.1)
    assert 0 < -x[10] < 1e-15
    relu = partial(np.maximum, 0)
    assert check_jacobian(relu, lambda x: np.diag((x > 0).astype(float)), x)
    assert check_vjp(relu, lambda x, u: u * (x > 0), x)
    assert not check_vjp(relu, lambda x, u: u * (x > -0.15), x)  # wrong on purpose


def test_sizes_are_those_of_entries_and_of_arrays_where_these_are_zero():
    assert entry_sizes(np.array([3.0, -4.0])).tolist() == [3, 4]
    assert entry_sizes(np.array([0.0, 0.0])).tolist() == [1, 1]
    assert entry_sizes(np.array([0.0, -2.0])).tolist() == [2**0.5, 2]
    assert entry_sizes(np.array([1e-30, 2, 1e-9])) == pytest.approx([2 / 3**0.5, 2, 1e-9])
    assert entry_sizes(np.array(-0.25)).tolist() == 0.25


def test_a_solver_that_does_not_come_back_from_afar_is_answered_within_a_second():
    start = np.array([1.1, 0.9, 1.3])

    def cost(p, steps=300):
        # Lotka and Volterra, by Heun's method with steps that a far point makes far too many
        a, b, k = p
        steps *= 1 + int(1e3 * (np.abs(np.real(p) - start).max() > 2))
        x, y, h = 1.0, 0.5, 8 / steps
        for _ in range(steps):
            dx, dy = a * x - b * x * y, x * y - k * y
            u, v = x + h * dx, y + h * dy
            x, y = x + h / 2 * (dx + a * u - b * u * v), y + h / 2 * (dy + u * v - k * v)
        return x * x + y * y

    h = 1e-30
    claim = np.array([cost(start + 1j * h * unit).imag / h for unit in np.eye(3)])
    for method in METHODS:
        cost(start)
        began = time.perf_counter()
        recorder = Recorder(cost, start)
        assert check_gradient(recorder, claim, start.copy(), method=method)
        assert time.perf_counter() - began < 1
        assert recorder.farthest(own_sizes(start)) <= 1


# bounds


def within(recorder, lower, upper):
    """Whether no evaluation left the bounds, and by how much of their room the entries moved."""
    for path, x in recorder.point.items():
        assert (x - recorder.down[path] >= lower[path]).all()
        assert (x + recorder.up[path] <= upper[path]).all()


@st.composite
def boxes(draw):
    """Draw a point, and bounds around it: far, near, very near, at it, on one side or on both."""
    n = draw(st.integers(1, 4))
    size = 10.0 ** draw(st.integers(-9, 9))
    x = size * np.array(draw(st.lists(st.floats(-4, 4), min_size=n, max_size=n)))
    room = st.sampled_from([0.0, 1e-14, 1e-9, 1e-4, 0.1, 1.0, 1e3, np.inf])
    lower = x - np.array(draw(st.lists(room, min_size=n, max_size=n))) * size
    upper = x + np.array(draw(st.lists(room, min_size=n, max_size=n))) * size
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return tuple(array.astype(dtype) for array in (x, lower, upper)), size


CURVED = {
    "smooth": (lambda z: np.sum(np.exp(z / 4)), lambda z: np.exp(z / 4) / 4),
    "real": (lambda z: np.sum(np.exp(z.real / 4)), lambda z: np.exp(z / 4) / 4),
    "quadratic": (lambda z: np.sum((z - 1) ** 2), lambda z: 2 * (z - 1)),
    "constant": (lambda z: 1.5, lambda z: 0 * z),
    "noisy": (lambda z: np.sum(z.real) + 1e-6 * rough(z), lambda z: z**0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CURVED)
@given(drawn=boxes(), seed=st.integers(0, 9), factor=st.sampled_from([1, 1, -1, 1.1]))
def test_no_evaluation_lies_outside_of_random_boxes(name, method, drawn, seed, factor):
    (x, lower, upper), size = drawn
    function, slope = CURVED[name]
    recorder = Recorder(lambda p: function(p / size), x)
    claim = (slope(x / size) / size).astype(x.dtype)
    report = check_gradient(
        recorder, claim * x.dtype.type(factor), x, bounds=(lower, upper), method=method, seed=seed
    )
    within(recorder, {"params": lower}, {"params": upper})
    assert recorder.farthest(own_sizes(x)) <= 1 + 1e-15  # a root mean square is rounded
    if factor == 1:
        assert report.verdict is not Verdict.MISMATCH, str(report)
    elif report.verdict is Verdict.MATCH:  # of what can be moved, an error was seen
        assert np.abs(claim).max() == 0 or report.detectable > 0.05, str(report)
    fixed = lower == upper
    assert (report.arrays["params"].verdicts[fixed] == Verdict.UNRESOLVED).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sides", [(1, 0), (0, 1)], ids=["lower", "upper"])
@pytest.mark.parametrize("room", [0, 1e-12, 1e-9, 1e-6, 1e-3, 1e-1])
def test_at_and_beside_a_bound_derivatives_are_as_good_as_elsewhere(method, sides, room):
    x = np.array([1.5, -0.5, 2.5, 0.25])
    lower = np.where([1, 0, 1, 0], x - room, -np.inf) if sides[0] else -np.inf
    upper = np.where([0, 1, 1, 0], x + room, np.inf) if sides[1] else np.inf
    cost = Recorder(lambda p: np.sum(np.exp(p) * np.cos(p[::-1])), x)
    claim = np.exp(x) * np.cos(x[::-1]) - np.sin(x) * np.exp(x[::-1])
    report = check_gradient(cost, claim, x, bounds=(lower, upper), method=method)
    within(cost, {"params": lower}, {"params": upper})
    assert report.verdict is Verdict.MATCH, str(report)
    assert report.detectable < 1e-7
    wrong = claim * [1, 1, 1 + 1e-5, 1]  # wrong on purpose
    assert check_gradient(cost, wrong, x, bounds=(lower, upper), method=method).verdict is (
        Verdict.MISMATCH
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_at_a_bound_a_kink_has_one_slope(method, sign):
    # |x| at 0 has the slopes −1 and 1; within the bounds only one of them
    bounds = (0, None) if sign > 0 else (None, 0)
    x = np.array([0.0, 3.0 * sign])
    report = check_gradient(
        lambda p: np.sum(np.abs(p)), np.full(2, 1.0 * sign), x, bounds=bounds, method=method
    )
    assert report.verdict is Verdict.MATCH, str(report)
    assert report.kinks == 0
    for claim in ([0.0, sign], [-1.0 * sign, sign]):
        wrong = check_gradient(
            lambda p: np.sum(np.abs(p)), np.array(claim), x, bounds=bounds, method=method
        )
        assert wrong.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_complex_step_is_not_believed_at_a_bound_where_the_cost_drops_it(sign):
    # the complex step sees a slope of 0 at the bound; the slope within is 1
    def cost(p):
        return np.sum(np.where(sign * p.real > 0, p, 0)) + p[1]

    bounds = (0, None) if sign > 0 else (None, 0)
    x = np.array([0.0, 3.0 * sign])
    assert check_gradient(cost, np.array([1.0, 2.0]), x, bounds=bounds)
    claim = np.array([0.0, 2.0])  # wrong on purpose
    assert check_gradient(cost, claim, x, bounds=bounds).verdict is Verdict.MISMATCH


@pytest.mark.parametrize("method", METHODS)
def test_an_entry_without_room_is_unresolved_with_that_reason_and_no_accusation(method):
    x = np.array([1.0, -2.0, 0.0])
    for claim in (2 * x, 2 * x + [0, 5, 0]):  # wrong on purpose, where nothing can be known
        report = check_gradient(
            lambda p: np.sum(p**2), claim, x, bounds=([0, -2, -1], [2, -2, 1]), method=method
        )
        verdicts = report.arrays["params"].verdicts
        assert verdicts.tolist() == [Verdict.MATCH, Verdict.UNRESOLVED, Verdict.MATCH]
        text = " ".join(str(report).split())
        assert "params: bounds leave params[1] no room for a step" in text
    for claim in (2 * x, 0 * x):
        report = check_gradient(lambda p: np.sum(p**2), claim, x, bounds=(x, x), method=method)
        assert report.verdict is Verdict.UNRESOLVED
        text = " ".join(str(report).split())
        assert "bounds leave params[0] and 2 other entries no room for a step" in text
    wrong = check_gradient(lambda p: np.sum(p**2), [0.0, 4, 0], x, bounds=([0, -2, -1], [2, -2, 1]))
    assert wrong.verdict is Verdict.MISMATCH  # by what can be moved
    found = numerical_gradient(lambda p: np.sum(p**2), x, bounds=(x, x), method=method)
    assert np.isinf(found.error).all()


def test_float32_parameters_may_stand_on_a_bound_that_is_rounded_to_their_dtype():
    x = np.array([0.1, 0.7], np.float32)
    recorder = Recorder(lambda p: np.sum(p**2), x)
    assert check_gradient(recorder, 2 * x, x, bounds=(0.1, 0.7))
    within(recorder, {"params": x[0]}, {"params": x[1]})


X = np.array([1.0, 2.0, 3.0])


def test_projected_checks_refuse_bounds():
    with pytest.raises(ValueError, match="neither executor nor stacked nor bounds"):
        check_gradient(np.sum, np.ones(3), X, bounds=(0, 9), coverage="projected")


@pytest.mark.parametrize("bounds", [(-3, 2), ([1, -9, -3], [9, 2, 0]), (None, None)])
def test_products_take_bounds(bounds):
    x = np.array([1.0, 2.0, -3.0])
    lower, upper = (
        np.where(b is None, sign * np.inf, b) for sign, b in zip((-1, 1), bounds, strict=True)
    )
    recorder = Recorder(np.sin, x)
    options = {"bounds": bounds, "method": "central"}
    assert check_vjp(recorder, lambda x, u: u * np.cos(x), x, **options)
    assert check_jvp(recorder, lambda x, v: v * np.cos(x), x, **options)
    assert not check_jvp(recorder, lambda x, v: v * np.sin(x), x, **options)  # wrong on purpose
    within(recorder, {"params": lower.astype(float)}, {"params": upper.astype(float)})


def test_executors_and_stacks_keep_within_bounds():
    x = np.array([1.0, 2.0, -3.0])
    options = {"bounds": (-3, 2), "method": "central"}
    alone = check_gradient(lambda p: np.sum(p**3, axis=-1), 3 * x**2, x, **options)
    recorder = Recorder(lambda p: np.sum(p**3, axis=-1), x)
    with ThreadPoolExecutor(1) as pool:
        there = check_gradient(recorder, 3 * x**2, x, executor=pool, **options)
    together = check_gradient(recorder, 3 * x**2, x, stacked=True, **options)
    within(recorder, {"params": -3}, {"params": 2})
    for report in (there, together):
        assert report.verdict is alone.verdict is Verdict.MATCH
        np.testing.assert_array_equal(
            report.arrays["params"].numeric, alone.arrays["params"].numeric
        )


class TestBox:
    x = np.array([1.0, -2.0, 0.0, 4.0])

    def box(self, lower=-np.inf, upper=np.inf):
        bounds = tuple({"x": np.broadcast_to(b, 4).astype(float)} for b in (lower, upper))
        return Box({"x": self.x}, bounds)

    def test_the_room_is_the_size_within_bounds(self):
        size = [1, 2, (21 / 4) ** 0.5, 4]
        for array in self.box().room("x"):
            assert array.tolist() == size
        below, above = self.box(lower=-2, upper=[1, 0, 1, 9]).room("x")
        assert below.tolist() == [1, 0, 2, 4]
        assert above.tolist() == [0, 2, 1, 4]

    def test_ends_are_drawn_on_both_sides_and_away_from_bounds(self):
        box, rng = self.box(lower=[1, -np.inf, 0, -np.inf], upper=[9, -2, 0, 9]), np.random
        drawn = np.array([box.ends(rng.default_rng(seed))["x"] for seed in range(40)])
        assert [sorted({*column}) for column in drawn.T] == [[1], [-2], [0], [-4, 4]]

    def test_moves_are_reflected_at_bounds(self):
        box = self.box(lower=[1, -3, 0, 4], upper=[2, -2, 0, 9])
        moves = np.array([[-0.5, -0.5, 1.0, -1.0], [0.5, 0.5, -1.0, 1.0]])
        assert box.reflected("x", moves).tolist() == [[0.5, -0.5, 0, 1], [0.5, -0.5, 0, 1]]

    def test_points_are_judged_by_their_real_parts(self):
        box = self.box(upper=[1, 0, 1, 9])
        inside = np.array([[1.0, -2, 0, 4], [0, 0, 1, 8], [1.1, -2, 0, 4], [1, -5, 0, 4]])
        assert box.holds(inside).tolist() == [True, True, False, False]
        assert box.holds(inside + 100j).tolist() == [True, True, False, False]
        entries, steps = np.array([0, 1]), np.array([[-1.0, 0.1, 0.0], [2.0, -2.0, -2.1]])
        expected = [[True, False, True], [True, True, False]]
        assert box.holds_entries("x", entries, steps).tolist() == expected

    def test_there_is_no_room_beyond_the_largest_float(self):
        for dtype in ("float16", "float32", "float64"):
            x = np.array([np.finfo(dtype).max, -np.finfo(dtype).max])
            below, above = Box({"x": x.astype(dtype)}).room("x")
            assert above[0] == below[1] == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("right", [True, False])
def test_calls_in_a_wider_dtype_stay_in_the_box(dtype, right):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, w = rng.normal(size=5).astype(dtype), rng.normal(size=(2, 3)).astype(dtype)
        x[:2] = 0, 1e-3
        params, above = {"x": x, "w": w}, {"x": x + dtype(0.01), "w": w + dtype(0.01)}
        for bounds in ((params, None), (params, above), ({"x": x, "w": None}, {"x": x, "w": None})):
            cost = Recorder(lambda p: np.sum(np.tanh(9 * p["x"])) + np.sum(np.exp(p["w"])), params)
            claim = Recorder(
                lambda p: {
                    "x": 9 * (1 - np.tanh(9 * p["x"]) ** 2),
                    "w": np.exp(p["w"]) if right else p["w"],
                },
                params,
            )
            check_gradient(cost, claim, params, bounds=bounds)
            for calls in (cost, claim):
                assert calls.farthest(own_sizes(params)) <= 1
                for path, start in calls.point.items():
                    lower, upper = (side and side[path] for side in bounds)
                    if lower is not None:
                        assert (start - calls.down[path] >= lower).all()
                    if upper is not None:
                        assert (start + calls.up[path] <= upper).all()
