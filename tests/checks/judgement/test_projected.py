"""Projected checks: directions, planted mistakes and where they are found, UNRESOLVED arrays."""

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest

from backprop import Network, Parameters
from checks import GradientMismatch, Verdict, assert_gradient, check_gradient
from checks.conformance.reference_cost import RestartedCost
from checks.estimation.directional import DirectionalEstimator
from checks.judgement.interruption import CheckInterrupted
from checks.parameters.numpy_arrays import NumpyArray
from checks.parameters.random_directions import Direction, Region

SIZES = (30, 40, 8)
WHOLE = Region(0, 40, 0, 30)


def make_problem(seed=0, dtype=np.float64, activation="logistic", sizes=SIZES):
    """Return a network, its parameters and a batch."""
    rng = np.random.default_rng(seed)
    net = Network(sizes, activation)
    theta = net.random_parameters(rng, dtype=dtype)
    return net, theta, rng.random((5, sizes[0])), rng.random((5, sizes[-1]))


def checked(gradient, restarted=False, problem=None, **options):
    """Check a gradient of the problem, and that the parameters are as before."""
    net, theta, x, y = problem or make_problem()
    before = theta.ravel().tobytes()
    cost = RestartedCost(net, x, y) if restarted else lambda p: net.cost(p, x, y)
    report = check_gradient(cost, gradient, theta, coverage="projected", **options)
    assert theta.ravel().tobytes() == before
    return report


def right_gradient(problem=None):
    """Return the right gradient as lists of arrays that may be altered."""
    net, theta, x, y = problem or make_problem()
    gradient = net.gradient(theta, x, y)
    return Parameters([w.copy() for w in gradient.weights], [b.copy() for b in gradient.biases])


METHODS = pytest.mark.parametrize(
    "options",
    [{"method": "auto"}, {"method": "central"}, {"restarted": True}],
    ids=["complex step", "central", "restarted"],
)


# Directions.


def test_a_direction_is_the_same_in_pieces_of_any_size():
    direction = Direction(3, 1, 2, Region(0, 50, 0, 7000))
    whole = direction.values_in(direction.region)
    for piece in direction.region.pieces():
        assert np.array_equal(direction.values_in(piece), whole[piece.rows, piece.columns])
    entry = direction.region.entry(7000 * 20 + 11)
    assert direction.values_in(entry) == whole[20, 11]


def test_entries_have_unequal_sizes_and_directions_are_independent():
    numbers = [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2), (2**32, 0, 1)]
    n = 200_000
    drawn = [Direction(*three, Region(0, n, 0, n)).factors for three in numbers]
    vectors = [vector for factors in drawn for vector in factors]  # of rows and of columns
    for v in vectors:
        assert 0.5 <= np.abs(v).min() < 0.501
        assert 0.999 < np.abs(v).max() <= 1
        share = np.histogram(v, np.r_[np.linspace(-1, -0.5, 6), np.linspace(0.5, 1, 6)])[0]
        assert np.abs(share[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]] / v.size - 0.1).max() < 0.004
        # neighbours are not correlated: 5 standard deviations of chance
        assert abs(np.corrcoef(v[1:], v[:-1])[0, 1]) < 5 / n**0.5
    correlations = np.corrcoef(vectors) - np.eye(len(vectors))
    assert np.abs(correlations).max() < 5 / n**0.5


# Right gradients.


@METHODS
@pytest.mark.parametrize("activation", ["logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_right_gradient_matches(options, activation, dtype):
    problem = make_problem(dtype=dtype, activation=activation)
    report = checked(right_gradient(problem), problem=problem, **options)
    assert report.discrepancy < report.detectable
    if dtype is np.float32 and report.method != "complex-step":
        assert (
            report.verdict is not Verdict.MISMATCH
        )  # its noise may hide the derivatives of larger arrays
    else:
        assert report.verdict is Verdict.MATCH, str(report)
        # what a MATCH promises; in float64 it is far less
        assert report.detectable <= report.rtol + 2 * report.resolution
        assert report.detectable < 1e-6 or dtype is np.float32


def test_directional_derivatives_of_the_reference_cost_agree_with_the_gradient():
    for activation in ("logistic", "tanh", "relu"):
        net, theta, x, y = make_problem(activation=activation)
        grad = net.gradient(theta, x, y)
        cost = RestartedCost(net, x, y)
        regions = [WHOLE, Region(3, 11, 0, 30), Region(0, 40, 5, 6), Region(7, 8, 9, 10)]
        for region in regions:
            moves = {
                "weights[0]": Direction(0, 0, 1, region),
                "biases[1]": Direction(0, 3, 1, Region(0, 1, 2, 8), 0.5),
            }
            v, u = (move.values_in(move.region) for move in moves.values())
            of_weights = np.sum(grad.w[1][region.rows, region.columns] * v)
            of_both = of_weights + np.sum(grad.b[2][2:8] * u)
            directions = [moves, {"weights[0]": moves["weights[0]"]}]
            slopes = cost.slopes(theta)(directions)
            assert np.allclose(slopes, [of_both, of_weights], rtol=1e-12, atol=1e-16)


# Mistakes, and where they are found.


def add_error(gradient, path, index, amount):
    """Add to an entry of the first array so many times the largest of that array."""
    array = getattr(gradient, path)[0]
    array[index] += amount * np.abs(array).max()


PLANTED = {
    "an entry": (lambda g: add_error(g, "weights", (17, 4), 1e-3), Region(17, 18, 4, 5), None),
    "a row": (lambda g: g.weights[0].__setitem__(11, -g.weights[0][11]), Region(11, 12, 0, 30), -1),
    "two columns": (
        lambda g: g.weights[0].__imul__(np.where(np.isin(np.arange(30), [8, 9]), 3, 1)),
        Region(0, 40, 8, 10),
        3,
    ),
    "everything": (lambda g: g.weights[0].__imul__(0.5), WHOLE, 0.5),
    "everything is zero": (lambda g: g.weights[0].__imul__(0), WHOLE, 0),
    "everything is permuted": (
        lambda g: g.weights[0].__setitem__(slice(None), np.roll(g.weights[0], 1, axis=1)),
        WHOLE,
        None,
    ),
    "not a number": (
        lambda g: add_error(g, "weights", (3, 29), np.nan),
        Region(3, 4, 29, 30),
        None,
    ),
}


@METHODS
@pytest.mark.parametrize("name", PLANTED)
def test_a_mistake_is_found_in_its_place(options, name):
    plant, region, factor = PLANTED[name]
    gradient = right_gradient()
    plant(gradient)  # wrong on purpose
    report = checked(gradient, **options)
    assert report.verdict is Verdict.MISMATCH, str(report)
    (block,) = report.arrays["weights[0]"].blocks
    assert block.region == region
    assert block.throughout
    if factor is not None:
        assert block.factor == pytest.approx(factor, rel=1e-4)
    others = [a.verdict for path, a in report.arrays.items() if path != "weights[0]"]
    assert set(others) == {Verdict.MATCH}


def test_scattered_mistakes_are_all_found_and_printed_compactly():
    problem = make_problem(sizes=(200, 100, 5))
    gradient, rng = right_gradient(problem), np.random.default_rng(0)
    w = gradient.weights[0]
    places = rng.choice(w.size, 60, replace=False)
    w.reshape(-1)[places] += rng.uniform(1e-5, 1, 60) * np.abs(w).max()  # wrong on purpose
    report = checked(gradient, problem=problem, restarted=True)
    blocks = report.arrays["weights[0]"].blocks
    assert {block.region for block in blocks} == {
        Region(0, 100, 0, 200).entry(int(place)) for place in places
    }
    assert "MISMATCH, 60 of 20,000" in str(report)
    assert "weights[0]: 55 more entries." in str(report)
    assert max(map(len, str(report).splitlines())) <= 100


def test_one_mistake_takes_few_evaluations_and_a_wrong_array_too():
    problem = make_problem(sizes=(100, 120, 5))
    clean = checked(right_gradient(problem), problem=problem).evaluations
    for plant in (
        lambda g: add_error(g, "weights", (119, 99), 1e-6),  # wrong on purpose
        lambda g: g.weights[0].__imul__(2),  # wrong on purpose
    ):
        gradient = right_gradient(problem)
        plant(gradient)
        report = checked(gradient, problem=problem)
        assert len(report.arrays["weights[0]"].blocks) == 1
        assert report.evaluations - clean < 250


@pytest.mark.parametrize("restarted", [False, True])
def test_no_single_mistake_above_the_resolution_is_missed(restarted):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        problem = make_problem(seed, sizes=(6, 5, 3))
        gradient = right_gradient(problem)
        resolution = checked(gradient, problem=problem, restarted=restarted, seed=seed).detectable
        number = rng.integers(4)
        array = (*gradient.weights, *gradient.biases)[number]
        index = tuple(int(rng.integers(n)) for n in array.shape)
        # wrong on purpose, towards 0, so that the entry does not become the largest itself
        array[index] -= np.sign(array[index]) * 1.01 * resolution * np.abs(array).max()
        report = checked(gradient, problem=problem, restarted=restarted, seed=seed)
        path = list(report.arrays)[number]
        (block,) = report.arrays[path].blocks
        assert block.region.index(array.shape) == index, str(report)


def test_errors_that_cancel_pass_no_more_often_than_stated():
    rng = np.random.default_rng(0)
    slopes, w = rng.standard_normal((2, 12, 9))
    cost = lambda p: np.sum(slopes * p)  # noqa: E731
    options = {"coverage": "projected", "rtol": 1e-4}
    multiple, seeds = 10, 250  # F of the report, and how often it is tried
    claim = slopes.copy()
    resolution = check_gradient(cost, claim, w, **options).detectable
    # wrong on purpose: along a direction (r_2 + r_4)(c_3 + c_5) times the error is seen, and
    # either sum may be near 0
    claim[np.ix_([2, 4], [3, 5])] += multiple * resolution * np.abs(slopes).max()
    passed = [check_gradient(cost, claim, w, seed=seed, **options) for seed in range(seeds)]
    share = np.mean([report.verdict is Verdict.MATCH for report in passed])
    # about a fifth; with directions that are not of rank one it would be less than 1/F
    assert 1 / multiple < share <= (1 + np.log(multiple)) / multiple


@pytest.mark.parametrize("penalty", [1e-3, 1e-6])
def test_a_missing_penalty_that_complex_steps_do_not_see_is_found(penalty):
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((20, 10)), rng.standard_normal((10, 20))

    def cost(p):
        return np.mean(np.tanh(x @ p) ** 2) + penalty * np.sum(np.abs(p))

    a = np.tanh(x @ w)
    gradient = x.T @ (2 * a * (1 - a**2)) / a.size  # wrong on purpose: without the penalty
    report = check_gradient(cost, gradient, w, coverage="projected")
    assert report.verdict is Verdict.MISMATCH, str(report)
    assert report.method == "central"
    right = gradient + penalty * np.sign(w)
    assert check_gradient(cost, right, w, coverage="projected").verdict is Verdict.MATCH


def test_an_array_whose_imaginary_part_is_dropped_is_compared_by_differences():
    for drop in (np.abs, np.real):
        net, theta, x, y = make_problem()

        def cost(p, drop=drop, net=net, x=x, y=y):
            dropped = Parameters(p.weights, [drop(p.biases[0]), p.biases[1]])
            return net.cost(dropped, x, y)

        theta.biases[0][...] = np.abs(theta.biases[0])  # where |b| = b
        gradient = net.gradient(theta, x, y)
        report = check_gradient(cost, gradient, theta, coverage="projected")
        assert report.verdict is Verdict.MATCH, str(report)
        assert report.arrays["biases[0]"].method == "central"
        without = Parameters(gradient.weights, [np.zeros(40), gradient.biases[1]])
        report = check_gradient(cost, without, theta, coverage="projected")  # wrong on purpose
        assert report.arrays["biases[0]"].verdict is Verdict.MISMATCH


# The caller's arrays.


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("call", range(1, 8))
def test_arrays_come_back_whatever_a_cost_does(call, method):
    rng = np.random.default_rng(0)
    for harm in ("raises", "is interrupted", "assigns", "replaces"):
        params = {"w": rng.standard_normal((5, 4)), "b": rng.standard_normal(3)}
        params["w"][1, 1] = -0.0
        before = {name: (array, array.tobytes()) for name, array in params.items()}
        calls = 0

        def cost(p, harm=harm):
            nonlocal calls
            calls += 1
            if calls == call and harm == "raises":
                raise RuntimeError("half-way")
            if calls == call and harm == "is interrupted":
                raise KeyboardInterrupt
            if calls == call and harm == "assigns":
                p["w"][0, 2] = 7
                p["w"][1, 1] = 0.0
            if calls == call and harm == "replaces":
                p["b"] = np.zeros(3)
            return np.sum(np.sin(p["w"])) + np.sum(p["b"] ** 2)

        gradient = {"w": np.cos(params["w"]) * 1.5, "b": 2 * params["b"]}  # wrong on purpose
        with contextlib.suppress(RuntimeError, KeyboardInterrupt, ValueError):
            check_gradient(cost, gradient, params, coverage="projected", method=method)
        assert calls >= call
        for name, (array, content) in before.items():
            assert params[name] is array, (harm, name)
            assert array.tobytes() == content, (harm, name)


@pytest.mark.parametrize("order", ["F", "strided", "reversed", "F of three axes"])
def test_arrays_need_not_be_contiguous(order):
    rng = np.random.default_rng(0)
    w = {
        "F": np.asfortranarray(rng.standard_normal((6, 5))),
        "strided": rng.standard_normal((12, 10))[::2, ::2],
        "reversed": rng.standard_normal((6, 5))[::-1, ::-1],
        "F of three axes": np.asfortranarray(rng.standard_normal((6, 5, 4))),
    }[order]
    before, in_place = w.copy(), w.ndim <= 2
    for method in ("auto", "central"):
        slopes, place = np.asfortranarray(np.cos(w)), (4, 3, 2)[: w.ndim]

        def cost(p, method=method):
            # With differences the cost closes over w instead of taking p: w is moved in place, if
            # it has fewer than three axes.
            return np.sum(np.sin(w if in_place and method == "central" else p))

        assert check_gradient(cost, slopes, w, coverage="projected", method=method)
        slopes[place] += 0.1  # wrong on purpose
        report = check_gradient(cost, slopes, w, coverage="projected", method=method)
        assert report.worst.index == place, str(report)
    assert np.array_equal(w, before)


# UNRESOLVED.


def test_zeros_are_a_match_only_where_the_cost_does_not_depend_on_them():
    p = {"used": np.ones((3, 4)), "unused": np.ones((2, 3))}
    cost = lambda p: np.sum(p["used"] ** 2)  # noqa: E731
    gradient = {"used": 2 * p["used"], "unused": np.zeros((2, 3))}
    report = check_gradient(cost, gradient, p, coverage="projected")
    assert report.verdict is Verdict.MATCH, str(report)
    at_minimum = {"used": np.zeros((3, 4)), "unused": np.ones((2, 3))}
    zeros = {name: np.zeros_like(array) for name, array in p.items()}
    report = check_gradient(cost, zeros, at_minimum, coverage="projected")
    assert report.arrays["used"].verdict is Verdict.UNRESOLVED, str(report)


@pytest.mark.parametrize("claim", [1e-9, -1.0])
@pytest.mark.parametrize("method", ["auto", "central"])
def test_a_claim_for_an_array_that_the_cost_does_not_see_is_unresolved(claim, method):
    p = {"used": np.ones((3, 4)), "unused": np.ones((2, 3))}
    gradient = {"used": 2 * p["used"], "unused": np.full((2, 3), claim)}
    options = {"coverage": "projected", "method": method}
    report = check_gradient(lambda p: np.sum(p["used"] ** 2), gradient, p, **options)
    assert report.arrays["used"].verdict is Verdict.MATCH
    assert report.arrays["unused"].verdict is Verdict.UNRESOLVED
    assert "does not see" in report.arrays["unused"].reason


@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_a_right_gradient_of_a_quantised_cost_is_no_mismatch(decimals):
    for seed in range(10):
        p = np.random.default_rng(seed).uniform(-9, 9, (6, 5))
        cost = lambda p: np.sum(np.round(p, decimals))  # noqa: E731
        report = check_gradient(cost, np.zeros((6, 5)), p, coverage="projected", seed=seed)
        assert report.verdict is Verdict.UNRESOLVED
        # wrong on purpose: the slope of the trend
        report = check_gradient(cost, np.ones((6, 5)), p, coverage="projected", seed=seed)
        assert report.verdict is not Verdict.MATCH


@pytest.mark.parametrize("sign", [1, -1])
def test_a_witness_that_is_blurred_does_not_confirm(sign, monkeypatch):
    p = np.random.default_rng(0).uniform(1, 2, (4, 3))
    wrong = np.cos(p)
    wrong[1, 2] += sign * 0.1  # wrong on purpose
    cost = lambda p: np.sum(np.sin(p))  # noqa: E731
    options = {"coverage": "projected", "method": "central"}
    assert check_gradient(cost, wrong, p, **options).verdict is Verdict.MISMATCH
    differences = DirectionalEstimator._differences

    def blurred(self, moves, goal, start=1.0):
        found = differences(self, moves, goal, start)
        return found if start == 1 else replace(found, error=0.6 * found.discrepancy)

    monkeypatch.setattr(DirectionalEstimator, "_differences", blurred)
    assert check_gradient(cost, wrong, p, **options).verdict is Verdict.UNRESOLVED


def test_a_cost_that_does_not_see_its_parameters_or_is_noisy_is_unresolved():
    p, rng = np.ones((3, 4)), np.random.default_rng(0)
    report = check_gradient(lambda p: 2.0, np.ones((3, 4)), p, coverage="projected")
    assert "does not see" in report.arrays["params"].reason
    noisy = lambda p: np.sum(p**2) + rng.standard_normal()  # noqa: E731
    report = check_gradient(noisy, 2 * p, p, coverage="projected")
    assert "not a function of its parameters" in report.arrays["params"].reason


def test_an_assertion_raises_with_the_report_of_what_is_wrong():
    gradient = right_gradient()
    gradient.weights[1][2] *= 2  # wrong on purpose
    net, theta, x, y = make_problem()
    cost = lambda p: net.cost(p, x, y)  # noqa: E731
    with pytest.raises(GradientMismatch, match=r"weights\[1\]\[2, :\]: .*factor 2\.") as caught:
        assert_gradient(cost, gradient, theta, coverage="projected")
    report = caught.value.report
    assert report.worst.path == "weights[1]"
    assert report.worst.index[0] == 2
    assert report.worst.claimed == pytest.approx(2 * report.worst.numeric)
    (block,) = json.loads(report.to_json())["arrays"]["weights[1]"]["blocks"]
    assert block.pop("factor") == pytest.approx(2)
    assert block == {"rows": [2, 3], "columns": [0, 40], "throughout": True}


def test_arrays_may_be_read_only_of_any_rank_and_bare():
    for shape in ((), (1,), (7,), (3, 4), (2, 3, 4)):
        values = np.random.default_rng(0).standard_normal(shape)
        values.flags.writeable = False
        slopes = np.array(np.cos(values))
        assert check_gradient(lambda p: np.sin(p).sum(), slopes, values, coverage="projected")
        slopes[(-1,) * len(shape)] += 0.1  # wrong on purpose
        report = check_gradient(lambda p: np.sin(p).sum(), slopes, values, coverage="projected")
        assert report.worst.index == tuple(n - 1 for n in shape), str(report)


# Interruptions.


def interrupted(call, claim, **options):
    """Interrupt a check at a call of its cost; return what it raises, None if it ends before."""
    net, theta, x, y = make_problem()
    before, calls = theta.ravel().tobytes(), 0

    def cost(p):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return net.cost(p, x, y)

    try:
        check_gradient(cost, claim, theta, coverage="projected", **options)
    except KeyboardInterrupt as stop:
        return stop
    finally:
        assert theta.ravel().tobytes() == before
    return None


def with_one_wrong_entry():
    claim = right_gradient()
    claim.weights[1][3, 20] += np.abs(claim.weights[1]).max()
    return claim


@pytest.mark.parametrize("method", ["auto", "central"])
def test_an_interruption_reports_what_was_judged_by_then(method):
    stops, call = [], 1
    while (stop := interrupted(call, with_one_wrong_entry(), method=method)) is not None:
        stops.append(stop)
        call += 2 if method == "auto" else 5
    reported = [isinstance(stop, CheckInterrupted) for stop in stops]
    assert not reported[0]  # nothing was compared
    assert reported == sorted(reported)
    reports = [stop.report for stop in stops if isinstance(stop, CheckInterrupted)]
    arrays = [report.arrays["weights[1]"] for report in reports]
    verdicts = [array.verdict for array in arrays]
    assert verdicts == sorted(verdicts)  # a MISMATCH stays one
    assert set(verdicts) == {Verdict.UNRESOLVED, Verdict.MISMATCH}
    for array, report in zip(arrays, reports, strict=True):
        confirmed = "by two estimates; where was not found" in array.reason
        assert confirmed == (array.verdict is Verdict.MISMATCH and not array.blocks)
        assert report.verdict is array.verdict
        others = [a for path, a in report.arrays.items() if path != "weights[1]"]
        for other in others:
            assert other.verdict is Verdict.MATCH or other.reason == "interrupted: not compared."
        assert report.findings[-1].startswith("Interrupted: ")
    reasons = " ".join(array.reason for array in arrays)
    assert "one estimate; a second was not made" in reasons
    assert "interrupted: wrong along a random direction (claimed " in reasons


def test_an_interruption_is_a_mismatch_only_if_some_entry_must_exceed_its_tolerance():
    claim = right_gradient()
    for array in (*claim.weights, *claim.biases):
        array[...] += 0.9e-6 * np.abs(array).max() * np.sign(array)
    calls = range(60, 800, 120)
    stops = (interrupted(call, claim, rtol=1e-6, method="central") for call in calls)
    reports = [stop.report for stop in stops if isinstance(stop, CheckInterrupted)]
    assert {report.verdict for report in reports} == {Verdict.UNRESOLVED}
    assert "by two estimates; where was not found." in str(reports[-1].arrays)


def test_after_an_interruption_the_method_is_that_of_the_arrays_compared():
    stops = (interrupted(call, with_one_wrong_entry()) for call in range(1, 60))
    reports = [stop.report for stop in stops if isinstance(stop, CheckInterrupted)]
    assert reports
    assert {report.method for report in reports} == {"complex-step"}


def test_a_second_interruption_ends_the_check_once_the_point_is_restored(monkeypatch):
    restore, restored = NumpyArray.restore, []

    def interrupting(array):
        if interrupted_once:
            restored.append(array)
            if len(restored) == 2:
                raise KeyboardInterrupt
        return restore(array)

    monkeypatch.setattr(NumpyArray, "restore", interrupting)
    net, theta, x, y = make_problem()
    before, interrupted_once = theta.ravel().tobytes(), []

    def cost(p):
        if np.count_nonzero(p.weights[1] != theta_before.weights[1]) == 1:  # in the search
            interrupted_once.append(True)
            raise KeyboardInterrupt
        return net.cost(p, x, y)

    theta_before = Parameters([w.copy() for w in theta.weights], theta.biases)
    with pytest.raises(KeyboardInterrupt) as stop:
        check_gradient(cost, with_one_wrong_entry(), theta, coverage="projected")
    assert not isinstance(stop.value, CheckInterrupted)
    assert len(restored) > 2
    assert theta.ravel().tobytes() == before


def test_complex_steps_are_proven_also_if_the_caller_asks_for_them():
    w = np.random.default_rng(0).standard_normal((3, 4))
    with pytest.raises(ValueError, match="method is 'complex-step', but complex moves of params"):
        check_gradient(
            lambda p: np.sum(np.sin(p)) + np.sum(np.abs(p)),
            np.cos(w),
            w,
            coverage="projected",
            method="complex-step",
        )


def test_the_tolerance_is_that_of_the_dtype_of_the_claim():
    for seed in range(20):
        w = np.random.default_rng(seed).standard_normal((30, 20))
        claim = np.cos(w).astype(np.float32)
        report = check_gradient(
            lambda p: np.sum(np.sin(p)), claim, w, coverage="projected", seed=seed
        )
        assert report
        assert report.rtol > 1e-4


@pytest.mark.parametrize("coverage", ["every", "projected"])
def test_arrays_with_nothing_to_compare_are_named_and_the_others_judged(coverage):
    point = {"seen": np.ones(3), "unseen": np.ones(2)}
    claim = {"seen": 2 * point["seen"], "unseen": np.zeros(2)}
    report = check_gradient(lambda p: np.sum(p["seen"] ** 2), claim, point, coverage=coverage)
    assert report
    assert report.findings[0].startswith("unseen: zero in every entry")
    assert report.detectable < 1e-6


@pytest.mark.parametrize("claim", [0.5, 2.0, 5.0])
def test_a_kink_along_the_direction_is_the_reason(claim):
    report = check_gradient(
        lambda p: np.sum(np.maximum(p, 0)), np.full((3, 3), claim), np.zeros((3, 3)),
        coverage="projected",
    )  # fmt: skip
    assert report.verdict is Verdict.UNRESOLVED
    assert "meets a kink" in report.arrays["params"].reason
