"""Estimates along directions, against derivatives by hand, and what they cost."""

from types import SimpleNamespace

import numpy as np
import pytest

from checks.estimation import directional
from checks.estimation.complex_step import PROOF
from checks.estimation.directional import DirectionalDerivative, DirectionalEstimator, _eps
from checks.estimation.finite_differences import Estimate
from checks.evaluation.directional import DirectionalEvaluations

EPS = np.finfo(float).eps
SIGNS = [1, -1]
SIZES = [2.0**-40, 1.0, 2.0**40]
X = np.array([[0.5, -1.25, 0.75], [1.0, 0.25, -0.5]])


def estimator(cost, claim=None, x=X, method="auto", rtol=None, seed=0):
    claim = np.ones(x.shape) if claim is None else claim
    return DirectionalEstimator(DirectionalEvaluations(cost, x.copy(), claim, seed), method, rtol)


def moves_of(found):
    """Return moves along a direction of the whole array, and its entries."""
    array = found.evaluations.arrays["params"]
    moves = found.evaluations.directions({"params": array.scale})
    return moves, moves["params"].values_in(array.whole)


@pytest.mark.parametrize(("claimed", "numeric"), [(3.0, 5.5), (5.5, 3.0), (-3.0, -5.5), (-1, 1.5)])
def test_the_discrepancy_is_an_absolute_value(claimed, numeric):
    assert DirectionalDerivative(claimed, numeric, 0.0, "central").discrepancy == 2.5


# Agreement of a complex step with differences.


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", SIZES)
def test_two_steps_tell_by_how_much_the_slopes_on_both_sides_are_off(sign, size):
    # The slopes by a step h are off by ± h/2 times the curvature: a sum that is rounding.
    found = estimator(lambda p: size * (np.sum(p) + sign * 0.5 * np.sum(p**2)))
    moves, v = moves_of(found)
    slope = size * float(np.sum((1 + sign * X) * v))
    curvature = size * float(np.sum(v**2))
    before = found.evaluations.count
    h = EPS**0.4
    closely = found.agreement(moves, slope, enough=curvature * h)
    assert closely == pytest.approx(curvature * h / 2, rel=0.05)
    assert found.evaluations.count - before == 2
    # more is not enough here: differences of order 6 are tried, and agree more closely
    closely = found.agreement(moves, slope, enough=curvature * h / 8)
    assert 0 < closely < curvature * h / 16
    assert found.evaluations.count - before >= 10


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("off", [0.5, -0.5, 1e-4, -1e-4])
def test_a_step_that_is_off_does_not_agree(sign, size, off):
    found = estimator(lambda p: sign * size * np.sum(np.exp(p)))
    moves, v = moves_of(found)
    slope = sign * size * float(np.sum(np.exp(X) * v))
    unit = size * float(np.sum(np.exp(X) * np.abs(v)))
    assert found.agreement(moves, slope, enough=1e-5 * unit) <= 1e-5 * unit
    assert found.agreement(moves, slope + off * unit, enough=1e-5 * unit) == np.inf


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("side", SIGNS)
def test_at_a_kink_no_slope_agrees(sign, side):
    # along the direction the cost is sign · c |t|, with one-sided slopes ± c
    found = estimator(lambda p: sign * abs(np.sum(p) - np.sum(X)))
    moves, v = moves_of(found)
    kink = abs(float(np.sum(v)))
    for slope in (side * kink, 0.0):
        assert found.agreement(moves, slope, enough=0.1 * kink) == np.inf


def test_agreement_ends_with_the_first_step_that_is_enough():
    found = estimator(lambda p: np.sum(np.sin(3 * p)))
    moves, v = moves_of(found)
    slope = float(np.sum(3 * np.cos(3 * X) * v))
    counts = []
    for enough in (1.0, 1e-7, 0.0):
        before = found.evaluations.count
        closely = found.agreement(moves, slope, enough)
        assert closely <= enough or not enough
        counts.append(found.evaluations.count - before)
    assert counts[0] == 2
    assert 8 <= counts[1] < counts[2] == 2 + 3 * 6  # three steps at most


@pytest.mark.parametrize("offset", [2.0**20, -(2.0**20)])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("off", [0.9, -0.9, 1.1, -1.1])
def test_the_mean_of_both_sides_may_be_off_by_64_last_places(offset, sign, off):
    h, level = EPS**0.4, 64 * EPS * 2.0**20
    curvature = 6 * level / h**2  # each side alone is off by three times as much
    found = estimator(lambda p: offset + sign * curvature / 2 * (np.sum(p) - np.sum(X)) ** 2)
    moves, v = moves_of(found)
    slope, squared = off * level / h, float(np.sum(v)) ** 2
    with np.errstate(divide="ignore"):  # as in a check
        closely = found.agreement(moves, slope, enough=100 * level / h)
    if abs(off) < 1:
        assert closely == pytest.approx((3 * squared + 0.9) * level / h, rel=0.02)
    else:
        assert closely == np.inf


@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_rounding_of_the_cost_is_allowed_for(offset):
    found = estimator(lambda p: offset + np.sum(np.sin(p)))
    moves, v = moves_of(found)
    slope = float(np.sum(np.cos(X) * v))
    # by 64 last places of the cost over a step of about 5e-7, in the mean of both sides
    closely = found.agreement(moves, slope, enough=1e-2)
    assert closely <= 1e-2
    assert found.agreement(moves, slope + 0.5, enough=1e-2) == np.inf


# Complex steps.


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", SIZES)
def test_a_complex_step_is_proven_and_its_error_is_that_of_rounding(sign, size):
    x = X.copy()
    for seed in range(5):
        claim = sign * size * np.cos(x)
        found = estimator(lambda p: sign * size * np.sum(np.sin(p)), claim, seed=seed)
        moves, v = moves_of(found)
        derivative = found.complex_step("params", moves)
        exact = float(np.sum(claim * v))
        assert derivative.method == "complex-step"
        assert not derivative.kink
        assert not derivative.on_stairs
        assert derivative.claimed == pytest.approx(exact, rel=1e-12)
        assert abs(derivative.numeric - exact) <= derivative.error
        # at least 16 eps ‖claim‖ · scale, and not much more where nothing is lost
        least = 16 * EPS * float(np.linalg.norm(claim)) * float(np.sqrt(np.mean(x**2)))
        assert least <= derivative.error <= 16 * least


@pytest.mark.parametrize("sign", SIGNS)
def test_the_error_is_eight_times_the_largest_spread_of_slopes_near_by(sign, monkeypatch):
    # what rounding does to slopes at −4, −2, 2 and 4 last places, planted
    planted = sign * np.array([1e-9, -3e-9, 2e-9, 0.5e-9])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 0, 1], [2, 3, 1, 0]):
        found = estimator(lambda p: np.sum(np.sin(p)))
        offsets = dict(zip((-4, -2, 2, 4), planted[order], strict=True))
        slopes = found.slopes

        def shaken(several, nudge=0.0, slopes=slopes, offsets=offsets):
            true = slopes(several)
            return true if nudge == 0 else true + offsets[round(nudge / EPS)]

        monkeypatch.setattr(found, "slopes", shaken)
        moves, _ = moves_of(found)
        derivative = found.complex_step("params", moves)
        assert derivative.error == pytest.approx(8 * 3e-9, rel=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_the_error_is_at_least_the_rounding_of_the_sum(size, monkeypatch):
    found = estimator(np.sum, x=size * X)
    slopes = found.slopes
    monkeypatch.setattr(found, "slopes", lambda several, nudge=0.0: slopes(several))
    derivative = found.complex_step("params", moves_of(found)[0])
    # 16 eps of the norm of the claim, of ones, times the typical size of the entries
    typical = size * np.sqrt(np.mean(X**2))
    assert derivative.error == pytest.approx(16 * EPS * typical * np.sqrt(6), rel=1e-12)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, -1.0])
def test_a_step_that_sees_another_imaginary_part_is_not_proven(sign, factor):
    # wrong on purpose: the cost scales the imaginary part of its argument
    def cost(p):
        seen = p.real + 1j * factor * p.imag if np.iscomplexobj(p) else p
        return sign * np.sum(np.exp(seen))

    found = estimator(cost)
    assert found.complex_step("params", moves_of(found)[0]) is None


def test_a_cost_that_refuses_complex_numbers_has_no_complex_step():
    def refuses(p):
        if np.iscomplexobj(p):
            raise TypeError("real numbers only")
        return np.sum(p**2)

    for cost in (refuses, lambda p: np.sum(np.floor(p.real)), lambda p: np.sum(p.real**2)):
        found = estimator(cost)
        moves, _ = moves_of(found)
        assert found.slopes([moves]) is None
        assert found.complex_step("params", moves) is None


def test_one_nearby_slope_that_is_not_finite_leaves_no_complex_step(monkeypatch):
    for bad in (-4, -2, 2, 4):
        found = estimator(lambda p: np.sum(np.sin(p)))
        slopes = found.slopes

        def fails(several, nudge=0.0, slopes=slopes, bad=bad):
            return None if round(nudge / EPS) == bad else slopes(several, nudge)

        monkeypatch.setattr(found, "slopes", fails)
        assert found.complex_step("params", moves_of(found)[0]) is None


@pytest.mark.parametrize("tries", [1, 2, 3, 4])
def test_another_direction_is_tried_where_differences_are_inaccurate(tries, monkeypatch):
    found = estimator(lambda p: np.sum(np.sin(p)))
    differences, seen = found._differences, []

    def inaccurate(moves, goal, start=1.0):
        seen.append(moves)
        derivative = differences(moves, goal, start)
        wide = 2 * PROOF * abs(derivative.numeric)
        return derivative if len(seen) == tries else DirectionalDerivative(
            derivative.claimed, derivative.numeric, wide, "central"
        )  # fmt: skip

    monkeypatch.setattr(found, "_differences", inaccurate)
    moves, _ = moves_of(found)
    derivative = found.complex_step("params", moves)
    assert (derivative is None) == (tries > 3)
    assert len(seen) == min(tries, 3)
    assert seen[0] is moves
    assert len({moves["params"].round for moves in seen}) == len(seen)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("error", "proven"), [(1.0, True), (1.01, False)])
def test_the_proof_is_relative_to_the_slope(sign, error, proven, monkeypatch):
    found = estimator(lambda p: sign * 2.0**20 * np.sum(np.sin(p)))

    def of(moves, goal, start=1.0):
        slope = float(found.slopes([moves])[0])
        return DirectionalDerivative(0.0, slope, error * PROOF * abs(slope), "central")

    monkeypatch.setattr(found, "_differences", of)
    assert (found.complex_step("params", moves_of(found)[0]) is not None) == proven


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("off", [0.9, -0.9, 1.1, -1.1, np.nan])
def test_differences_beyond_their_error_refute_a_complex_step(sign, off, monkeypatch):
    found = estimator(lambda p: sign * np.sum(np.sin(p)))

    def of(moves, goal, start=1.0):
        slope = float(found.slopes([moves])[0])
        error = PROOF / 2 * abs(slope)
        return DirectionalDerivative(0.0, slope + off * error, error, "central")

    monkeypatch.setattr(found, "_differences", of)
    assert (found.complex_step("params", moves_of(found)[0]) is None) == (not abs(off) < 1)


def test_differences_that_do_not_converge_refute_a_complex_step(monkeypatch):
    found, goals = estimator(lambda p: np.sum(np.sin(p))), []

    def of(moves, goal, start=1.0):
        goals.append(goal)
        return DirectionalDerivative(0.0, 0.0, np.inf, "central")

    monkeypatch.setattr(found, "_differences", of)
    assert found.complex_step("params", moves_of(found)[0]) is None
    assert goals == [PROOF / 10]  # accurate enough to prove a slope in nearly every direction


# Differences.


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", SIZES)
def test_central_differences_hold_the_derivative_to_what_is_wanted(sign, size):
    for seed in range(3):
        claim = sign * size * np.exp(X)
        found = estimator(lambda p: sign * size * np.sum(np.exp(p)), claim, rtol=1e-6, seed=seed)
        moves, v = moves_of(found)
        derivative = found.central("params", moves)
        exact = float(np.sum(claim * v))
        assert derivative.method == "central"
        assert not derivative.kink
        assert not derivative.on_stairs
        # the noise takes 26 evaluations, and the slope a step of 6, its check, and 3 more
        assert found.evaluations.count <= 1 + 26 + 2 * 6 + 3
        assert derivative.claimed == pytest.approx(exact, rel=1e-12)
        assert abs(derivative.numeric - exact) <= derivative.error
        # a sixteenth of what an entry may be off by, along the direction
        scale = float(np.sqrt(np.mean(X**2)))
        assert derivative.error <= 1e-6 * scale * float(np.abs(claim).max()) / 16


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("largest", [0.5, 4.0])
def test_the_goal_of_central_differences(sign, largest, monkeypatch):
    claim = np.zeros(X.shape)
    claim[1, 2] = sign * largest
    found = estimator(np.sum, claim, rtol=1e-3)
    goals = []
    monkeypatch.setattr(found, "_differences", lambda moves, goal: goals.append(goal))
    moves, v = moves_of(found)
    found.central("params", moves)
    scale = float(np.sqrt(np.mean(X**2)))
    wanted = 1e-3 * scale * largest / 16 / abs(float(v[1, 2]) * largest)
    assert goals == [pytest.approx(wanted)]
    # never looser than the proof, nor below rounding
    for rtol, goal in ((0.5, PROOF), (1e-16, 1e-14)):
        found.given_rtol = rtol
        found.central("params", moves)
        assert goals[-1] == goal
    # nothing claimed: a hundredth of rtol
    found = estimator(np.sum, np.zeros(X.shape), rtol=1e-3)
    monkeypatch.setattr(found, "_differences", lambda moves, goal: goals.append(goal))
    found.central("params", moves_of(found)[0])
    assert goals[-1] == pytest.approx(1e-5)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("claimed", [1.0, -1.0])
def test_a_second_estimate_confirms_with_shorter_steps(sign, claimed, monkeypatch):
    found = estimator(np.sum)
    asked = []

    def second(moves, goal, start=1.0):
        asked.append((goal, start))
        return DirectionalDerivative(claimed, sign * 8.0, 0.01, "central", on_stairs=stairs)

    monkeypatch.setattr(found, "_differences", second)
    first = DirectionalDerivative(claimed, sign * 8.0, 0.01, "central")
    stairs = False
    assert found.is_confirmed({}, first, tolerance=0.64e-3)
    assert asked == [(pytest.approx(0.64e-3 / 64), 1 / 16)]
    apart = abs(claimed - sign * 8.0)
    assert not found.is_confirmed({}, first, tolerance=apart)
    # a complex step that is proven needs only to be agreed with
    proven = DirectionalDerivative(claimed, sign * 8.0, 0.01, "complex-step")
    assert found.is_confirmed({}, proven, tolerance=apart)
    stairs = True
    assert not found.is_confirmed({}, proven, tolerance=apart)
    stairs = False
    near = DirectionalDerivative(sign * 8.0 * (1 + PROOF / 2), sign * 8.0, 1e-9, "complex-step")
    assert not found.is_confirmed({}, near, tolerance=1.0)
    assert asked[-1][0] == PROOF  # not looser
    found.is_confirmed({}, near, tolerance=0.0)
    assert asked[-1][0] == 1e-14


def test_an_estimate_of_zero_can_be_confirmed(monkeypatch):
    found = estimator(np.sum)
    goals = []

    def second(moves, goal, start=1.0):
        goals.append(goal)
        return DirectionalDerivative(1.0, 0.0, 1e-9, "central")

    monkeypatch.setattr(found, "_differences", second)
    assert found.is_confirmed({}, DirectionalDerivative(1.0, 0.0, 0.0, "central"), 1e-6)
    assert goals == [1e-6]


# Tolerance and noise.


@pytest.mark.parametrize(
    ("dtypes", "eps"),
    [
        ((np.float64, np.float64), 2.0**-52),
        ((np.float32, np.float64), 2.0**-23),
        ((np.float64, np.float32), 2.0**-23),
        ((np.longdouble, np.longdouble), 2.0**-52),
    ],
)
def test_rtol_is_the_root_of_the_coarsest_eps(dtypes, eps):
    of_params, of_claim = dtypes
    found = estimator(np.sum, np.ones((2, 3), of_claim), X.astype(of_params))
    assert found.rtol == pytest.approx(eps**0.5)
    # noise of up to 64 eps is rounding; more than that counts, up to one percent
    for noise, counts in ((64 * eps, eps), (65 * eps, 65 * eps), (0.009, 0.009), (0.5, 0.01)):
        found.relative_noise = noise
        assert found.rtol == pytest.approx(counts**0.5)
    found.given_rtol = 0.125
    assert found.rtol == 0.125


@pytest.mark.parametrize("coarse", ["a", "b"])
def test_the_coarsest_array_of_several_counts(coarse):
    x = {name: X.astype(np.float32 if name == coarse else float) for name in "ab"}
    claim = {name: np.ones(X.shape) for name in "ab"}
    evaluations = DirectionalEvaluations(lambda p: np.sum(p["a"] + p["b"]), x, claim, 0)
    found = DirectionalEstimator(evaluations, "auto", None)
    assert found.eps == found.relative_noise == 2.0**-23


def test_the_relative_noise_is_known_once_it_is_measured():
    rng = np.random.default_rng(0)
    found = estimator(lambda p: 10 + np.sum(p) + 1e-3 * rng.standard_normal())
    assert found.relative_noise == EPS
    assert found.noise.stochastic
    assert 1e-5 < found.relative_noise < 1e-3
    assert found.relative_noise == found.noise.relative
    quiet = estimator(np.sum)
    assert quiet.noise.relative <= 4 * EPS
    assert quiet.relative_noise == max(EPS, quiet.noise.relative)


def test_an_array_is_independent_if_no_move_changes_the_cost():
    x = {"a": X.copy(), "b": X.copy()}
    claim = {"a": np.ones(X.shape), "b": np.ones(X.shape)}
    found = DirectionalEstimator(
        DirectionalEvaluations(lambda p: np.sum(p["a"] ** 2), x, claim, 0), "auto", None
    )
    assert not found.is_independent("a")
    assert found.is_independent("b")


def test_one_slope_of_zero_among_others_is_a_slope():
    x = {"a": X.copy(), "b": X.copy()}
    claim = {"a": np.ones(X.shape), "b": np.ones(X.shape)}
    found = DirectionalEstimator(
        DirectionalEvaluations(lambda p: np.sum(p["a"] ** 2), x, claim, 0), "auto", None
    )
    moves = found.evaluations.directions({"a": 1.0, "b": 1.0})
    slopes = found.slopes([{"a": moves["a"]}, {"b": moves["b"]}])
    assert slopes[0] != 0
    assert slopes[1] == 0
    assert found.slopes([{"b": moves["b"]}]) is None


def test_one_slope_that_is_not_finite_makes_all_unknown():
    x, claim = ({path: a.copy() for path in "ab"} for a in (X, np.ones(X.shape)))

    def cost(p):
        return np.sum(p["a"]) + (complex(0, np.nan) if np.imag(p["b"]).any() else 0)

    found = DirectionalEstimator(DirectionalEvaluations(cost, x, claim, 0), "auto", None)
    moves = found.evaluations.directions({"a": 1.0, "b": 1.0})
    assert found.slopes([{"a": moves["a"]}]) is not None
    assert found.slopes([{"a": moves["a"]}, {"b": moves["b"]}]) is None


@pytest.mark.parametrize(
    ("dtype", "eps"),
    [
        ("torch.bfloat16", 2.0**-7),
        ("bfloat16", 2.0**-7),
        ("torch.float32", 2.0**-23),
        (np.dtype(np.float16), 2.0**-10),
    ],
)
def test_eps_of_the_dtypes_of_other_libraries(dtype, eps):
    assert _eps(SimpleNamespace(dtype=dtype)) == eps


def test_steps_of_the_proof_become_shorter_where_truncation_shows():
    for k in (40, 100, 200):
        found = estimator(lambda p, k=k: np.sum(np.sin(k * p)))
        moves, v = moves_of(found)
        slope = float(np.sum(k * np.cos(k * X) * v))
        with np.errstate(divide="ignore"):
            closely = found.agreement(moves, slope, enough=0.0)
        assert closely < 1e-9 * float(np.sum(k * np.abs(v)))


def test_differences_begin_with_the_first_step_and_keep_what_the_cost_said(monkeypatch):
    found, asked = estimator(np.sum), []

    def of(line, path, entries, noise, rng, goal, start):
        asked.append((path, entries.tolist(), goal, start))
        line.outside["params"] = "outside"
        slopes = np.array([[1.0, 3.0]] if kinked else [[np.nan, np.nan]])
        return Estimate(np.array([2.0]), np.array([1.5]), slopes, on_stairs=np.array([kinked]))

    monkeypatch.setattr(directional, "differences", of)
    moves, v = moves_of(found)
    for kinked in (False, True):
        derivative = found._differences(moves, 1e-3)
        assert (derivative.numeric, derivative.error) == (2.0, 1.5)
        assert derivative.claimed == pytest.approx(float(np.sum(v)))
        assert derivative.kink is derivative.on_stairs is kinked
        assert derivative.method == "central"
    assert asked == [("params", [0], 1e-3, 1.0)] * 2
    assert found.outside == "outside"
