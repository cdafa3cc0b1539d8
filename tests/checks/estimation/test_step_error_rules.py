"""The error of complex steps from what was measured, sampled and changed, which is planted."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from checks import numerical_gradient
from checks.estimation import step_error as module
from checks.estimation.finite_differences import Estimate
from checks.estimation.precision import Lift
from checks.estimation.rounding_mode import toward_zero_is_available
from checks.estimation.step_error import (
    ComplexSteps,
    _keeps_digits,
    _last_places,
    _lifted,
    _sampled,
    _some,
    cover_factors,
    step_errors,
)
from checks.evaluation.pointwise import Evaluations

# the numbers are small: only relative differences count
approx = partial(pytest.approx, rel=1e-6, abs=0)
EPS = 2.0**-52
INF, NAN = np.inf, np.nan
SIGNS = [1, -1]


def rng(seed=0):
    return np.random.default_rng(seed)


def steps_of(slopes, known=None):
    slopes = np.asarray(slopes, float)
    known = np.ones(slopes.shape, bool) if known is None else np.array(known)
    return ComplexSteps(2.0**-100, slopes, known, float(np.abs(slopes).max()), np.ones(1))


class Planted:
    """Errors of arrays "a" and "b" at a cost of 4 and parameters of size 2."""

    def __init__(
        self, monkeypatch, slopes, lifted=None, narrow=None, changes=None, sampled=0.0,
        keeps=True, known=None, size=None, shared=False, cost=4.0, whole=(), unsteady=None,
    ):  # fmt: skip
        self.asked = {}
        values = {p: np.full(np.shape(g), 2.0) for p, g in slopes.items()}
        self.evaluations = SimpleNamespace(
            values=values, cost=SimpleNamespace(), shared=shared, at_point=cost,
            scales=dict.fromkeys(values, 2.0), complex_dtype=lambda path: np.complex128,
        )  # fmt: skip
        self.steps = {p: steps_of(g, (known or {}).get(p)) for p, g in slopes.items()}
        changes = changes or {}

        def toward_zero(evaluations, steps, entries):
            self.asked["changes"] = sorted(steps)
            return {
                p: np.broadcast_to(changes.get(p, 0.0), entries[p].shape).astype(float)
                for p in steps
            }

        def samples(evaluations, steps, rng):
            self.asked["sampled"] = sorted(steps)
            return dict.fromkeys(steps, sampled)

        def lift(evaluations, steps, entries, rng):
            self.asked["entries"] = {p: e.tolist() for p, e in entries.items()}
            return (
                {p: np.broadcast_to(e, entries[p].shape) for p, e in (lifted or {}).items()},
                {p: np.asarray(e, float) for p, e in (narrow or {}).items()},
                set(whole),
            )

        monkeypatch.setattr(module, "_lifted", lift)
        monkeypatch.setattr(module, "_changes_toward_zero", toward_zero)
        monkeypatch.setattr(module, "_sampled", samples)

        def unsteady_part(evaluations, steps, rng):
            self.asked.setdefault("unsteady", []).append(sorted(steps))
            return max((unsteady or {}).get(path, 0.0) for path in steps)

        monkeypatch.setattr(module, "_unsteady_part", unsteady_part)
        monkeypatch.setattr(module, "_keeps_digits", lambda *_: keeps)
        self.monkeypatch = monkeypatch

    def found(self):
        return step_errors(self.evaluations, self.steps, rng())


def test_nothing_is_asked_without_steps(monkeypatch):
    assert step_errors(None, {}, rng()) == {}


@pytest.mark.parametrize("sign", SIGNS)
def test_where_all_arrays_lift_the_measured_errors_count(monkeypatch, sign):
    slopes = {"a": [[sign * 1.0, 2.0]], "b": [3.0]}
    case = Planted(monkeypatch, slopes, lifted={"a": [1e-9, 2e-9], "b": [3e-9]})
    found = case.found()
    assert found["a"][0].tolist() == [1e-9, 2e-9]
    assert found["b"][0].tolist() == [3e-9]
    assert {how for _, how in found.values()} == {"lifted"}
    assert case.asked["sampled"] == case.asked["changes"] == []


@pytest.mark.parametrize("sign", SIGNS)
def test_beside_an_array_that_does_not_lift_changes_and_samples_are_added(monkeypatch, sign):
    slopes = {"a": sign * np.array([1.0, 2.0]), "b": [3.0]}
    case = Planted(
        monkeypatch, slopes, lifted={"a": [1e-9, 2e-9]}, changes={"a": [5e-9, 0.0]}, sampled=1e-8
    )
    found = case.found()
    # four times the change, or what samples show of a factor, relative to the entry
    assert found["a"][0] == approx([1e-9 + 4 * 5e-9, 2e-9 + 4 * 1e-8])
    assert found["a"][1] == "lifted"
    assert found["b"][1] == "estimated"
    assert case.asked["changes"] == case.asked["sampled"] == ["a", "b"]
    # four times the change, or four last places, where the other array is too small to tell
    case = Planted(
        monkeypatch, slopes, lifted={"a": [1e-9, 2e-9]}, changes={"a": [5e-9, 0.0]}, sampled=1e-8,
        whole="b",
    )  # fmt: skip
    assert case.found()["a"][0] == approx([1e-9 + 4 * 5e-9, 2e-9 + 4 * EPS * 2])
    assert case.asked["sampled"] == ["b"]


@pytest.mark.parametrize("sign", SIGNS)
def test_what_steps_leave_of_a_smooth_function_widens_the_arrays_that_show_it(monkeypatch, sign):
    slopes = {"a": sign * np.array([1.0, 2.0]), "b": [sign * 3.0], "c": [4.0]}
    lifted = {"a": [1e-9, 2e-9], "b": [3e-9]}
    case = Planted(monkeypatch, slopes, lifted=lifted, unsteady={"b": 1e-8}, sampled=1e-12)
    found, as_before = case.found(), Planted(monkeypatch, slopes, lifted=lifted, sampled=1e-12)
    assert case.asked["unsteady"] == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    as_before = as_before.found()
    assert found["b"][0] == approx([4 * 3e-8])
    assert found["a"][0] == approx(as_before["a"][0])
    assert found["c"][0] == approx(as_before["c"][0])
    # less than half of an error is in it already
    case = Planted(monkeypatch, slopes, lifted=lifted, unsteady={"b": 2e-10}, sampled=1e-12)
    assert case.found()["b"][0] == approx(as_before["b"][0])
    assert case.asked["unsteady"] == [["a", "b", "c"], ["c"]]
    # where all arrays lift, there is no narrow stage
    case = Planted(monkeypatch, slopes, lifted=lifted | {"c": [1e-9]}, unsteady={"b": 1e-8})
    assert case.found()["b"][0] == approx(3e-9)
    assert "unsteady" not in case.asked


@pytest.mark.parametrize("sign", SIGNS)
def test_digits_that_a_factor_has_lost_widen_the_arrays_that_show_it(monkeypatch, sign):
    slopes = {"a": sign * np.array([1.0, 2.0]), "b": [sign * 3.0], "c": [4.0]}
    before, asked, part = {"a": [1e-9, 2e-9], "b": [3e-9], "c": [1e-12]}, [], {"b": 1e-4}

    def truncated_part(evaluations, steps, rng):
        asked.append(sorted(steps))
        return max(part.get(path, 0.0) for path in steps)

    monkeypatch.setattr(module, "_truncated_part", truncated_part)

    def covered(lifted="ab", shared=False, size=4):
        asked.clear()
        values = {p: np.ones(np.shape(g)) for p, g in slopes.items()}
        evaluations = SimpleNamespace(values=values, shared=shared, size=size)
        estimates = {
            p: Estimate(
                np.array(g),
                np.array(before[p]),
                precision="lifted" if p in lifted else "estimated",
            )
            for p, g in slopes.items()
        }
        cover_factors(evaluations, {p: steps_of(g) for p, g in slopes.items()}, estimates, rng())
        return {p: e.error.tolist() for p, e in estimates.items()}

    if toward_zero_is_available():
        assert covered() == before | {"b": approx([4 * 3e-4])}
        assert asked == [["a", "b"], ["a"], ["b"]]
        part["b"] = 4e-10  # up to half of an error is in it already
        assert covered() == before
        assert asked == [["a", "b"]]
        part["b"] = 1e-4
    # where all arrays lift, there is no narrow stage
    for options in ({"lifted": "abc"}, {"lifted": ""}, {"shared": True}, {"size": 1000}):
        assert covered(**options) == before
        assert asked == []


@pytest.mark.skipif(not toward_zero_is_available(), reason="the mode is fixed here")
def test_a_factor_that_is_rounded_toward_zero_by_chance_is_seen_beside_the_point():
    """1 − σ(z) of a Python float z has few digits at z = 31, and none of them lifts."""

    def cost(p):
        z = float(p["z"][0])
        return (1 - 1 / (1 + np.exp(-z))) * np.sum(np.cosh(p["c"]))

    c = np.array([0.6, 1.7])
    for z in np.linspace(24.0, 31.0, 15):
        point = {"z": np.array([z]), "c": c}
        found = numerical_gradient(cost, point, progress=False)
        slopes = np.exp(-z) / (1 + np.exp(-z)) * np.sinh(c)  # with all digits
        assert (np.abs(found.value["c"] - slopes) <= found.error["c"]).all()


@pytest.mark.parametrize("sign", SIGNS)
def test_estimated_errors_grow_with_the_size_of_the_entry(monkeypatch, sign):
    g = sign * np.array([4.0, 1.0, 2.0])
    case = Planted(monkeypatch, {"a": g}, sampled=1e-9)
    error, how = case.found()["a"]
    assert how == "estimated"
    assert error == approx((2.5 + 3.4 * np.abs(g) / 4) * 1e-9)
    # at least four times the change, and 1.5 times that in the wider dtype
    case = Planted(
        monkeypatch, {"a": g}, sampled=1e-9, changes={"a": [1e-8, 0, 0]}, narrow={"a": [0, 1e-7, 0]}
    )
    assert case.found()["a"][0] == approx([4e-8, 1.5e-7, (2.5 + 1.7) * 1e-9])


def test_entries_that_are_not_known_have_no_error(monkeypatch):
    case = Planted(
        monkeypatch, {"a": [1.0, 0.0, 2.0]}, lifted={"a": [1e-9, 2e-9]},
        known={"a": [True, False, True]},
    )  # fmt: skip
    assert case.found()["a"][0].tolist() == [1e-9, INF, 2e-9]
    assert case.asked["entries"] == {"a": [0, 2]}


@pytest.mark.parametrize("sign", SIGNS)
def test_of_many_entries_a_few_are_measured(monkeypatch, sign):
    n = 257
    g = sign * np.linspace(1, 4, n)
    case = Planted(monkeypatch, {"a": g}, lifted={"a": [1e-9, 3e-9, 2e-9, 0, 0, 0]}, sampled=1e-12)
    error, how = case.found()["a"]
    assert how == "sampled"
    probed = case.asked["entries"]["a"]
    assert len(set(probed)) == 6
    # the worst relative to its size and a 16th of the largest gives the factor
    worst = max(
        e / (abs(g[k]) + 4 / 16) for k, e in zip(probed, [1e-9, 3e-9, 2e-9, 0, 0, 0], strict=True)
    )
    assert error == approx(4 * worst * (np.abs(g) + 4 / 16))
    assert case.asked["changes"] == []
    # of one fewer, all are
    case = Planted(monkeypatch, {"a": g[1:]}, lifted={"a": np.full(256, 1e-9)})
    assert case.found()["a"][1] == "lifted"
    # the largest change of a few counts for all
    case = Planted(monkeypatch, {"a": g}, changes={"a": [1e-8, 0, 2e-8, 0, 0, 0]})
    assert case.found()["a"][0] == approx(np.full(n, 8e-8))
    # samples may show more than what was measured
    case = Planted(monkeypatch, {"a": g}, lifted={"a": np.zeros(6)}, sampled=1e-9)
    assert case.found()["a"][0] == approx((2.5 + 3.4 * np.abs(g) / 4) * 1e-9)
    # a cost that takes many entries at once is not called in the wider dtype
    case = Planted(monkeypatch, {"a": g}, lifted={"a": np.zeros(6)}, sampled=1e-9)
    case.evaluations.cost.at_entries = len
    assert case.found()["a"][1] == "estimated"
    assert "entries" not in case.asked
    # unless it is analytic: then up to 1,024 entries take one call
    for n, how in ((1024, "lifted"), (1025, "estimated")):
        case = Planted(monkeypatch, {"a": np.ones(n)}, lifted={"a": 1e-9}, sampled=1e-9)
        case.evaluations.cost.at_entries, case.evaluations.cost.analytic = len, True
        assert case.found()["a"][1] == how


def test_small_derivatives_may_be_lost_below_a_floor(monkeypatch):
    # the floor is a last place of the cost, 4, over a typical parameter, 2
    floor = EPS * 4 / 2
    limit = EPS ** (-2 / 3) * floor
    g = np.array([1.0, 1.01 * limit, 0.99 * limit, 1e-30])
    for cost in (4.0, -4.0):
        case = Planted(monkeypatch, {"a": g}, cost=cost)
        assert case.found()["a"][0] == approx([0, 0, floor, floor])
    case = Planted(monkeypatch, {"a": g[:2]}, keeps=False)
    assert case.found()["a"][0].tolist() == [0, 0]
    # a floor above 1e-4 of the largest would blur them: it counts where digits are lost
    for factor, keeps, counts in ((0.99, True, True), (1.01, True, False), (1.01, False, True)):
        g = np.array([floor / (factor * 1e-4), 0.0])
        error = Planted(monkeypatch, {"a": g}, keeps=keeps).found()["a"][0]
        assert error == approx([floor, floor] if counts else [0, 0])


def test_some_entries_are_drawn():
    assert _some(np.array([3, 8]), rng()).tolist() == [3, 8]
    drawn = [tuple(_some(np.arange(100), rng(seed))) for seed in range(10)]
    assert len(set(drawn)) == 10
    for six in drawn:
        assert sorted(set(six)) == list(six)
        assert len(six) == 6


def test_errors_in_the_wider_dtype_are_rounded_up(monkeypatch):
    lifts = {"a": Lift.LIFTS, "b": Lift.NARROW, "c": Lift.HIDDEN, "d": Lift.NARROW}
    error = {path: np.array([1e-9, 0.0]) for path in lifts}
    change = {path: np.array([2e-9, 1e-10]) for path in lifts}
    change["d"] = np.array([1.0, NAN])
    found = SimpleNamespace(error=error, lifts=lifts, change=change)
    asked = {}

    def rounding(slopes, at_point, copies, rng, entries):
        asked.update(slopes=slopes, copies=copies)
        copies.calls = 5
        return found

    monkeypatch.setattr(module, "complex_step_rounding", rounding)
    monkeypatch.setattr(module, "wider_dtype", lambda dtype: np.dtype(np.longdouble))
    point = {path: np.ones(3) for path in lifts}
    evaluations = Evaluations(lambda p: 1.0, point)
    before = evaluations.count
    entries = {path: np.array([2, 0]) for path in lifts}
    steps = {path: steps_of([1.0, 2.0, 3.0]) for path in lifts}
    lifted, others, whole = _lifted(evaluations, steps, entries, rng())
    assert (list(lifted), list(others), whole) == (["a"], ["b", "c"], {"a", "c"})
    assert others["c"].tolist() == [2e-9, 1e-10]
    assert lifted["a"].tolist() == [np.nextafter(1e-9, INF), 5e-324]
    assert asked["slopes"]["a"].tolist() == [3.0, 1.0]
    assert evaluations.count == before + 5
    monkeypatch.setattr(module, "wider_dtype", lambda dtype: None)
    assert _lifted(evaluations, steps, entries, rng()) == ({}, {}, set())


def test_last_places_of_entries_and_of_zeros():
    values = np.array([[1.0, -8.0], [0.0, 1e-3]], np.float32)
    evaluations = SimpleNamespace(values={"a": values}, scales={"a": 4.5})
    expected = [np.spacing(np.float32(x)) for x in (1, -8, 4.5, 1e-3)]
    assert _last_places(evaluations, "a").tolist() == expected


class Shrunken:
    """Copies whose steps at smaller parameters, and the change toward zero, are planted."""

    eps, calls = EPS, 3

    def __init__(self, slopes, off=0.0, cost=4.0):
        self.planted, self.off, self.cost, self.asked = slopes, off, cost, []

    def slopes(self, entries, moves, toward_zero=False):
        ((path, entries),) = entries.items()
        self.asked.append((entries.tolist(), moves, toward_zero))
        found = np.array(self.planted[min(len(self.asked), len(self.planted)) - 1], float)[entries]
        if toward_zero:
            found = found + np.array(self.off)[entries]
        return {path: found}, {path: np.full(entries.size, self.cost)}


@pytest.mark.parametrize("sign", SIGNS)
def test_digits_are_kept_where_rounding_toward_zero_changes_few_last_places(monkeypatch, sign):
    monkeypatch.setattr(module, "toward_zero_is_available", lambda: True)
    evaluations = SimpleNamespace(
        box=SimpleNamespace(shrunken=lambda shrink: shrink), scales={"a": 2.0}, count=0
    )
    steps = steps_of(sign * np.array([1e-20, 3e-20, 2e-20]))
    # at half of the parameters the floor is a last place of the cost, 4, over 1
    floor = EPS * 4
    size = 4 * floor
    for off, kept in ((0.99 * 64 * EPS * size, True), (1.01 * 64 * EPS * size, False)):
        for side in SIGNS:
            planted = [[size / 4, size, size / 2]]
            copies = Shrunken(sign * np.array(planted), [0, side * off, 0], cost=sign * 4.0)
            monkeypatch.setattr(module, "copies_of", lambda evaluations, copies=copies: copies)
            assert _keeps_digits(evaluations, "a", steps) == kept
            # the largest first, with both ways of rounding, at half of the parameters
            assert copies.asked == [([1, 2, 0], 0.5, False), ([1, 2, 0], 0.5, True)]
    # below the floor the next smaller parameters are tried, down to a 32nd
    copies = Shrunken([[0.0, 0.9 * floor, 0.0]])
    monkeypatch.setattr(module, "copies_of", lambda evaluations: copies)
    assert not _keeps_digits(evaluations, "a", steps)
    assert [shrink for _, shrink, _ in copies.asked] == [2.0**-k for k in range(1, 6)]
    # derivatives far above it show nothing
    for factor, kept in ((0.99, True), (1.01, False)):
        copies = Shrunken([[0.0, factor * 2.0**30 * floor, 0.0]], [0.0] * 3)
        assert _keeps_digits(evaluations, "a", steps) == kept
    assert evaluations.count > 0
    monkeypatch.setattr(module, "toward_zero_is_available", lambda: False)
    assert not _keeps_digits(evaluations, "a", steps)


# Samples.

G = {"a": np.array([3.0, -2.0]), "b": np.array([[0.5], [4.0], [-1.0]])}
POINT = {"a": np.array([2.0, -1.0]), "b": np.array([[1.0], [0.0], [4.0]])}


def sampled(error, known=None, bounds=None, seed=0, shared=False):
    """Sample a linear cost, of whose imaginary part `error` takes the moves, and adds to it."""
    moves = []

    def cost(p):
        exact = sum(np.sum(G[path] * p[path]) for path in G)
        if not np.iscomplexobj(p["a"]) and not np.iscomplexobj(p["b"]):
            return exact
        moves.append({path: np.array(p[path]) for path in G})
        return exact + 1j * error(exact.imag, {path: p[path] - POINT[path] for path in G})

    evaluations = Evaluations(cost, POINT, bounds=bounds)
    evaluations.shared = shared
    steps = {p: steps_of(g, None if known is None else known[p]) for p, g in G.items()}
    return _sampled(evaluations, steps, rng(seed)), moves


def test_samples_without_deviations_have_the_rounding_of_a_last_place():
    found, moves = sampled(lambda imaginary, moves: 0.0)
    for path, largest in (("a", 3), ("b", 4)):
        assert EPS * largest <= found[path] < 20 * EPS * largest
    assert len(moves) == 16
    # the imaginary parts are uneven by a factor of two, and h by another; those of b, whose sums
    # are larger, are so much smaller
    for path, part in (("a", 1.0), ("b", math.sqrt(2) * 3 / (math.sqrt(3) * 4))):
        sizes = [np.abs(moved[path].imag) * 2.0**100 / part for moved in moves]
        assert np.min(sizes) >= 0.75
        assert np.max(sizes) < 3
    # the two points of a pair lie on opposite sides
    for first, second in zip(moves[::2], moves[1::2], strict=True):
        for path in G:
            off = first[path].real - POINT[path], second[path].real - POINT[path]
            assert np.array_equal(off[0], -off[1])
            assert (off[0] != 0).all()
    # by one last place at first, and by more and more of them
    distances = [abs(moved["a"].real[0] - 2) / 2.0**-51 for moved in moves[::2]]
    assert distances[0] == 1
    assert distances == sorted(distances)
    assert distances[-1] == approx(EPS ** (-1 / 3), abs=1)


@pytest.mark.parametrize("sign", SIGNS)
def test_the_largest_deviation_of_a_pair_counts_for_one_entry(sign):
    found, moves = sampled(lambda imaginary, moves: sign * 1e-6 * imaginary)
    # all arrays together first; as that shows more than a few last places, then one by one
    assert len(moves) == 3 * 16
    for path, other, first in (("a", "b", 16), ("b", "a", 32)):
        # relative to h, the mean of both points of a pair; a sum of m entries is off by √m
        h, its = 2.0**-100, moves[first : first + 16]
        assert not any(moved[other].imag.any() for moved in its)
        sums = [np.sum(G[path] * moved[path].imag) / h for moved in its]
        root = math.sqrt(G[path].size)
        # h is drawn from one to two steps
        assert (
            1e-6 * np.abs(sums).max() / 2 / root <= found[path] <= 1e-6 * np.abs(sums).max() / root
        )


@pytest.mark.parametrize("wrong", G)
def test_what_one_of_two_arrays_rounds_is_not_blamed_on_the_other(wrong):
    found, _ = sampled(lambda imaginary, moves: 1e-6 * np.sum(np.abs(moves[wrong].imag)))
    for path, largest in (("a", 3), ("b", 4)):
        if path == wrong:
            assert found[path] > 1e-7
        else:
            assert found[path] < 20 * EPS * largest


def test_a_few_last_places_are_said_of_every_array():
    found, moves = sampled(lambda imaginary, moves: 4 * EPS * np.sum(G["a"] * moves["a"].imag))
    assert len(moves) == 16
    assert found["a"] / 3 == approx(found["b"] / 4)
    assert 2 * EPS < found["a"] / 3 < 64 * EPS


def test_results_that_share_evaluations_are_sampled_array_by_array():
    _, moves = sampled(lambda imaginary, moves: 0.0, shared=True)
    assert len(moves) == 2 * 16
    for moved in moves[:16]:
        assert not moved["b"].imag.any()
        assert (np.abs(moved["a"].imag) * 2.0**100 >= 0.75).all()


def test_unknown_steps_are_not_moved_and_infinite_samples_are_not_believed():
    known = {"a": np.array([True, False]), "b": np.array([[True], [True], [False]])}
    _, moves = sampled(lambda imaginary, moves: 0.0, known)
    for moved in moves:
        assert moved["a"].imag[1] == 0
        assert moved["b"].imag[2] == 0
    for bad in (NAN, INF):
        found, _ = sampled(lambda imaginary, moves, bad=bad: bad)
        assert found == {"a": INF, "b": INF}
    assert _sampled(None, {}, rng()) == {}


def test_beside_a_bound_entries_move_by_one_last_place():
    bounds = ({"a": np.array([2.0, -9.0]), "b": None}, {"a": None, "b": None})
    _, moves = sampled(lambda imaginary, moves: 0.0, bounds=bounds)
    off = np.array([moved["a"].real[0] - 2 for moved in moves])
    assert set(off.tolist()) <= {0.0, 2.0**-51}
