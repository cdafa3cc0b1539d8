"""Single trials: which are wrong, in which ways, and what excuses them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from checks import Verdict
from checks.conformance.naming.faults import FAULTS, right_target
from checks.conformance.suite import failure
from checks.conformance.suite.failure import ConformanceError, _place, _target_lines, digits_problem
from checks.conformance.suite.trial import (
    Trial,
    _error_kinds,
    _nested,
    _wrong_in_the_same_way,
    digits_are_lost,
    is_clipped,
    try_out,
)
from checks.conformance.suite.verify import verify_problem
from checks.conformance.targets.takes import Form, Takes
from checks.strategies import Problem

P = Problem.generate((3, 4, 2), 3, seed=0)
RIGHT = right_target("tanh", "mean_squared")


def array_report(claimed, numeric, verdicts=None, error=1e-9):
    claimed, numeric = np.asarray(claimed, float), np.asarray(numeric, float)
    if verdicts is None:
        close = np.abs(claimed - numeric) <= 1e-6
        verdicts = np.where(close, Verdict.MATCH, Verdict.MISMATCH)
    verdicts = np.asarray(verdicts)
    return SimpleNamespace(
        claimed=claimed, numeric=numeric, verdicts=verdicts, verdict=Verdict(verdicts.max()),
        error=np.full(numeric.shape, error), largest=max(abs(claimed).max(), abs(numeric).max()),
        slope_jump=np.zeros(numeric.shape),
    )  # fmt: skip


N = np.array([1.0, -2, 4])


@pytest.mark.parametrize(
    ("claimed", "kinds"),
    [
        (N, set()),
        (2 * N, {"2", "B"}),
        (-N, {"−1"}),
        (0.3 * N, {"a factor"}),
        (0 * N, {"zero"}),
        ([np.nan, 1, 1], {"not finite"}),
        ([2, -2, 4], {"some entries"}),
        ([2, -3, 4.5], {"not proportional"}),
        (2 * N * [1, 1, 1 + 1e-5], {"2", "B"}),
        (2 * N * [1, 1, 1 + 1e-3], {"not proportional"}),
        (2 * N * (1 + 1e-5), {"2", "B"}),
        (2 * N * (1 + 1e-3), {"a factor"}),
    ],
)
def test_the_ways_in_which_an_array_is_wrong(claimed, kinds):
    factors = {"1": 1.0, "2": 2.0, "B": 2.0, "−1": -1.0}
    assert _error_kinds(array_report(claimed, N), factors, 1e-4) == kinds


def test_a_derivative_of_zero_has_no_factor():
    assert _error_kinds(array_report(N, 0 * N), {"2": 2.0}, 1e-4) == {"not proportional"}
    zero = array_report([0.0, 3.0], [0.0, 1.0])  # what is right at 0 is no part
    assert _error_kinds(zero, {"3": 3.0}, 1e-4) == {"3"}


@pytest.mark.parametrize(
    ("mine", "theirs", "single", "same"),
    [
        ({"2"}, {"2", "B"}, False, True),
        ({"2"}, {"B"}, False, False),
        (set(), set(), False, True),
        (set(), {"2"}, False, False),
        ({"2"}, set(), False, False),
        ({"a factor"}, {"not proportional"}, True, True),
        ({"a factor"}, {"not proportional"}, False, False),
        ({"a factor"}, {"2"}, True, False),
    ],
)
def test_two_groups_are_wrong_in_the_same_way(mine, theirs, single, same):
    assert _wrong_in_the_same_way(frozenset(mine), frozenset(theirs), single) is same


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, True),
        ({"not_taken": True}, False),
        ({"unfinished": True}, False),
        ({"excused": True}, False),
        ({"report": None}, True),
    ],
)
def test_what_excuses_a_wrong_trial(changes, wrong):
    trial = try_out(FAULTS["factor 2 extra"].target(), P)
    assert replace(trial, **changes).is_wrong is wrong
    assert not try_out(RIGHT, P).is_wrong


def test_arrays_are_grouped_by_layer():
    deep = Problem.generate((3, 4, 5, 2), 3, seed=0)
    trial = try_out(FAULTS["first layer zero"].target(), deep)
    sizes = {group: len(arrays) for group, arrays in trial.arrays().items()}
    assert sizes == {("last layer", "weights"): 1, ("last layer", "biases"): 1,
                     ("layers below", "weights"): 2, ("layers below", "biases"): 2}  # fmt: skip
    kinds = trial.error_kinds()
    assert kinds["layers below", "weights"] == kinds["layers below", "biases"] == {"zero"}
    assert not kinds["last layer", "weights"]
    assert Trial(P, "gradient").arrays() == {}


def test_a_smaller_network_shows_the_same_mistake_or_another():
    doubled = FAULTS["factor 2 extra"].target()
    first = try_out(doubled, Problem.generate((3, 4, 5, 2), 3, seed=0))
    assert try_out(doubled, Problem.generate((2, 2), 2, seed=1)).shows_the_mistake_of(first)
    assert not try_out(RIGHT, P).shows_the_mistake_of(first)
    for name in ("y − a for a − y", "biases forgotten", "first layer zero"):
        assert not try_out(FAULTS[name].target(), P).shows_the_mistake_of(first)
    # a small error is a poor example of a large one
    by = lambda c: replace(RIGHT, gradient=lambda *g: [[c * a for a in part]  # noqa: E731
                                                       for part in RIGHT.gradient(*g)])  # fmt: skip
    small = try_out(by(1.005), P)
    assert small.is_wrong
    assert not small.shows_the_mistake_of(try_out(by(1.7), P))
    assert try_out(by(1.02), P).shows_the_mistake_of(try_out(by(1.7), P))
    assert small.shows_the_mistake_of(try_out(by(1.03), P))


def test_errors_are_the_same_if_they_come_from_the_same_line():
    def one(*given):
        raise IndexError("one")

    def other(*given):
        raise IndexError("other")

    first, again, another = (
        try_out(replace(RIGHT, gradient=function), P) for function in (one, one, other)
    )
    assert first.raised_in == "gradient"
    assert again.shows_the_mistake_of(first)
    assert not another.shows_the_mistake_of(first)
    refused = try_out(replace(RIGHT, gradient=lambda *g: 3), P)
    assert (refused.raised_in, refused.report) == ("", None)
    assert not refused.shows_the_mistake_of(first)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (3, "gradient returned a int, wanted the pair"),
        ([1], "gradient returned a list of 1, wanted the pair"),
        ((P.biases, P.weights), "gradient returned the biases first"),
    ],
)
def test_what_is_no_pair_is_refused(result, said):
    with pytest.raises(TypeError, match=said):
        _nested(result, "gradient", (P.weights, P.biases), False)


def test_biases_that_are_not_read_have_no_gradient():
    given = (P.weights, P.biases)
    assert _nested((P.weights, P.biases), "gradient", given, False).keys() == {"weights", "biases"}
    for biases in (None, [], [None, None], [0 * b for b in P.biases]):
        assert _nested((P.weights, biases), "gradient", given, True).keys() == {"weights"}
    for biases in ([P.biases[0], None], [0 * P.biases[0], P.biases[1]]):
        with pytest.raises(ValueError, match="but the cost reads no biases"):
            _nested((P.weights, biases), "gradient", given, True)


# what saturated networks excuse


def saturated_report(*arrays):
    return SimpleNamespace(
        arrays={str(i): a for i, a in enumerate(arrays)}, verdict=Verdict.MISMATCH
    )


@pytest.mark.parametrize("form", [Form(), Form(transposed=True)])
@pytest.mark.parametrize(("places", "lost"), [(50, True), (80, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_digits_are_lost_to_last_places_of_what_another_label_gives(form, places, lost, sign):
    def gradient(weights, biases, x, y):
        # off by last places for the label given, 1 for another
        value = off if np.array_equal(y, P.y) else 1.0
        return [np.full(w.shape, value) for w in weights], [np.full(b.shape, value) for b in biases]

    off = sign * places * 2.0**-52
    n = [np.zeros(w.shape) for w in (*P.weights, *P.biases)]
    if form.transposed:
        n = [a.T if a.ndim == 2 else a for a in n]
    report = saturated_report(*(array_report(a + off, a, np.full(a.shape, 2)) for a in n))
    flagged = [np.full(a.shape, Verdict.MISMATCH) for a in n]
    for array, verdicts in zip(report.arrays.values(), flagged, strict=True):
        array.verdicts = verdicts
        array.error = np.zeros(verdicts.shape)
    target = replace(RIGHT, gradient=gradient, takes=Takes(form=form))
    assert digits_are_lost(target, Trial(P, "gradient", report)) is lost


@pytest.mark.parametrize(("share", "lost"), [(1 / 300, True), (1 / 200, False), (-1 / 300, True)])
@pytest.mark.parametrize("outputs", [1, 2])
def test_digits_are_lost_where_long_double_is_nearer_by_far(share, lost, outputs):
    p = Problem.generate((3, outputs), 3, seed=0)

    def gradient(weights, biases, x, y):
        dw, db = RIGHT.gradient(weights, biases, x, y)
        wide = weights[0].dtype == np.longdouble
        off = 1e-3 * (share if wide else 1)
        return [g + off for g in dw], [g + off for g in db]

    n = [g for part in RIGHT.gradient(*(p.weights, p.biases, p.x, p.y)) for g in part]
    arrays = [array_report(a + 1e-3, a, error=0) for a in n]
    trial = Trial(p, "gradient", saturated_report(*arrays))
    if np.finfo(np.longdouble).eps < np.finfo(float).eps:
        assert digits_are_lost(replace(RIGHT, gradient=gradient), trial) is lost


def test_what_cannot_be_asked_excuses_nothing():
    trial = Trial(P, "gradient", saturated_report())
    assert not digits_are_lost(replace(RIGHT, gradient=None), trial)
    assert not digits_are_lost(RIGHT, Trial(P, "gradient"))
    assert not digits_are_lost(replace(RIGHT, gradient=lambda *g: 1 / 0), trial)


@pytest.mark.parametrize("labels", ["±1", "from 0 to 1"])
def test_another_label_of_one_output_is_its_opposite(labels):
    seen = []
    p = replace(Problem.generate((3, 1), 2, seed=0), y=np.array([[1.0], [0.25]]))

    def gradient(weights, biases, x, y):
        seen.append(y)
        return RIGHT.gradient(weights, biases, x, y)

    n = [g for part in RIGHT.gradient(p.weights, p.biases, p.x, p.y) for g in part]
    report = saturated_report(*(array_report(a, a) for a in n))
    target = replace(RIGHT, gradient=gradient, takes=Takes(labels=labels))
    assert digits_are_lost(target, Trial(p, "gradient", report))
    expected = [[-1], [-0.25]] if labels == "±1" else [[0], [0.75]]
    np.testing.assert_array_equal(seen[0], expected)


def test_a_clipped_gradient_is_right_for_each_sample():
    trial = Trial(P, "gradient")
    assert is_clipped(RIGHT, trial)
    assert not is_clipped(FAULTS["factor 2 extra"].target(), trial)
    assert not is_clipped(replace(RIGHT, takes=Takes(samples=(2, 9))), trial)
    raising = replace(RIGHT, gradient=lambda *g: 1 / 0)
    assert not is_clipped(raising, trial)
    flat = replace(RIGHT, cost=lambda *g: 1.0)
    assert is_clipped(flat, trial)

    def last_is_wrong(weights, biases, x, y):
        dw, db = RIGHT.gradient(weights, biases, x, y)
        return ([2 * g for g in dw], db) if np.array_equal(x[-1], P.x[-1]) else (dw, db)

    assert not is_clipped(replace(RIGHT, gradient=last_is_wrong), trial)


# what is said


@pytest.mark.parametrize(
    ("wrong", "discrepancy", "biases", "said"),
    [
        ({("last layer", "biases")}, 0.5, True, "∂C/∂b^l, which is δ^l summed"),
        ({("last layer", "weights")}, 0.5, True, "∂C/∂w^l = δ^l a^{l−1}ᵀ: which"),
        ({("layers below", "weights"), ("layers below", "biases")}, 0.5, True, "how δ is passed"),
        ({("last layer", "weights"), ("layers below", "biases")}, 0.5, True, "the last layer fi"),
        ({("last layer", "weights")}, 0.5, False, "∂C/∂w^L first: it needs only"),
        ({("last layer", "weights")}, failure.SMALL_DISCREPANCY / 2, True, "something small: the "),
        ({("last layer", "weights")}, failure.SMALL_DISCREPANCY, True, "∂C/∂w^l = δ^l a^{l−1}ᵀ"),
    ],
)
def test_where_to_look_for_a_mistake_without_a_name(wrong, discrepancy, biases, said):
    trial = Trial(P, "gradient", SimpleNamespace(discrepancy=discrepancy))
    target = replace(RIGHT, takes=Takes(biases=biases))
    assert _place(target, trial, wrong).startswith(said)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("mynet", ["import mynet as target"]),
        ("pkg.mynet:net.inner", ["import pkg.mynet as target", "target = target.net.inner"]),
        ("mynet.py", ["from checks.conformance.targets import load_target",
                      "target = load_target('mynet.py')"]),
        ("there/mynet.py:net", ["from checks.conformance.targets import load_target",
                                "target = load_target('there/mynet.py:net')"]),
        ("the reference's matrix_form",
         ["from checks.conformance.targets import reference_target",
          "target = reference_target('matrix_form', 'tanh', 'mean_squared')"]),
    ],
)  # fmt: skip
def test_the_lines_that_load_a_target(name, lines):
    assert _target_lines(replace(RIGHT, name=name)) == lines


@pytest.mark.parametrize(
    ("takes", "sizes", "samples", "values"),
    [
        (Takes(), (64, 30, 10), 10, {0, 1}),
        (Takes(outputs=(1, 1)), (64, 30, 1), 10, {0, 1}),
        (Takes(outputs=(1, 1), labels="±1"), (64, 30, 1), 10, {-1, 1}),
        (Takes(samples=(1, 1)), (64, 30, 10), 1, {0, 1}),
        (Takes(layers=(1, 1)), (64, 10), 10, {0, 1}),
    ],
)
def test_digits_suit_what_is_taken(takes, sizes, samples, values):
    p = digits_problem(takes)
    assert (p.sizes, len(p.x), p.regime, p.seed) == (sizes, samples, "digits", 0)
    assert set(p.y.flat) == values or samples == 1
    assert len(digits_problem(takes, 3).x) == min(3, samples)
    own = Problem.generate(sizes, seed=0)
    np.testing.assert_array_equal(p.weights[0], own.weights[0])
    if sizes[-1] == 1:  # the first digits are 0 … 9 in turn
        assert p.y.ravel().tolist() == [min(values)] * 5 + [1] * 5


def test_one_problem_is_verified_as_many_are():
    verify_problem(RIGHT, "it is right", P)
    with pytest.raises(ConformanceError, match="textbook fails: it is right"):
        verify_problem(replace(FAULTS["factor 2 extra"].target(), name="textbook"), "it is right",
                       P)  # fmt: skip


@pytest.mark.parametrize(("share", "kinds"), [(0.9, {"−2"}), (1.1, {"not proportional"})])
def test_a_factor_is_judged_within_the_error_of_the_estimate(share, kinds):
    error = 1e-3
    off = share * 2 * error * np.array([0, 0, 1])  # the factor times the error, in one entry
    array = array_report(-2 * np.array([100.0, -200, 1]) + off, [100.0, -200, 1], error=error)
    array.largest = 0.0
    assert _error_kinds(array, {"−2": -2.0}, 1e-4) == kinds
