"""Rows of a Jacobian, planted, are joined to blocks."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from checks.judgement.by_rows import Row, join_rows, unknown_row
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Rule, Verdict
from checks.report.wording import UNSEEN

MATCH, UNRESOLVED, MISMATCH = Verdict
EMPTY = Report({}, 0.0, 1e-3, "", 0.0, 7, 0.0, 3, findings=("First.",), kind="Jacobian")
HIDDEN = 2.0**-26  # √eps: the error of a derivative that no move shows, beside the largest


def row(claimed, numeric, error=1e-9, **options):
    """Return the row of one result by one array, or by several if lists are given by path."""
    if not isinstance(claimed, dict):
        claimed, numeric = {"w": claimed}, {"w": numeric}
    unseen, movable = options.pop("unseen", ()), options.pop("movable", True)
    noise, difference = options.pop("noise", 0.0), options.pop("difference", 0.0)
    reason, rtol = options.pop("reason", ""), options.pop("rtol", 2.0**-10)
    arrays = {}
    for path, claim in claimed.items():
        g, n = np.array(claim, float), np.array(numeric[path], float)
        e = np.broadcast_to(np.asarray(error, float), g.shape).copy()
        rule = Rule(rtol, 1e-3, largest=float(np.max(np.abs(n))))
        array = ArrayReport.judged(path, g, n, e, rule, **options)
        arrays[path] = replace(array, reason=reason)
    full = {path: np.full(a.claimed.shape, difference) for path, a in arrays.items()}
    can_move = {path: np.broadcast_to(movable, a.claimed.shape) for path, a in arrays.items()}
    method = options.get("method", "central")
    return Row(arrays, full, can_move, frozenset(unseen), noise, method)


def joined(rows, results=None, started=None, **options):
    results = results or {"f(x)": np.zeros(len(rows))}
    x = {path: np.zeros(array.claimed.shape) for path, array in rows[0].arrays.items()}
    x = options.pop("x", x)
    with np.errstate(all="ignore"):  # as around the whole check
        return join_rows(rows, results, x, EMPTY, started or time.perf_counter(), **options)


def verdicts(report, name="f(x) by w"):
    return report.arrays[name].verdicts.tolist()


def test_rows_become_a_block_for_each_array_of_results_and_of_x():
    rows = [
        row({"w": [[k, 2.0]], "x": 3.0 * k}, {"w": [[k, 2.0]], "x": 3.0 * k}, noise=n, rtol=rtol)
        for k, n, rtol in ((1.0, 1e-16, 0.01), (2.0, 3e-16, 0.02), (4.0, 2e-16, 0.01))
    ]
    results = {"f": np.zeros((1, 2)), "empty": np.zeros(0), "g": np.zeros(())}
    report = joined(rows, results, time.perf_counter() - 100)
    expected = {
        "f by w": [[1, 2], [2, 2]],
        "f by x": [[3], [6]],
        "g by w": [[4, 2]],
        "g by x": [[12]],
    }
    assert list(report.arrays) == list(expected)
    for name, claimed in expected.items():
        array = report.arrays[name]
        assert array.path == name
        assert array.claimed.tolist() == array.numeric.tolist() == claimed
        assert array.error.tolist() == np.full_like(claimed, 1e-9, float).tolist()
        assert array.by_rows
    assert report.arrays["f by w"].rule.rtol.tolist() == [[0.01], [0.02]]
    assert report.arrays["f by w"].rule.largest.tolist() == [[2], [2]]
    assert (report.rtol, report.noise, report.method) == (0.02, 3e-16, "central")
    assert report.verdict is MATCH
    assert (report.findings, report.diagnosis) == (("First.",), ())
    assert 100 <= report.seconds < 110
    named = joined(rows, results, name_of=lambda result, path: f"{path} of {result}")
    assert next(iter(named.arrays)) == "w of f"


def test_methods_precision_and_dtype_of_a_block():
    one = row([1.0], [1.0], method="complex-step", precision="lifted", dtype="float64")
    other = row([1.0], [1.0], method="central", precision="estimated")
    unknown = unknown_row({"w": np.ones(1)}, Rule(1e-3))
    assert joined([one, other, unknown]).method == "mixed"
    assert joined([one, one, unknown]).method == "complex-step"
    for rows, method, precision, dtype in (
        ([one, one], "complex-step", "", "float64"),
        ([other, one], "mixed", "estimated", "float64"),
        ([other, other], "central", "estimated", ""),
    ):
        array = joined(rows).arrays["f(x) by w"]
        assert (array.method, array.precision, array.dtype) == (method, precision, dtype)


def test_nothing_is_known_of_a_row_that_an_interruption_left():
    unknown = unknown_row({"w": np.array([0.0, 5.0])}, Rule(1e-3))
    assert not unknown.seen
    assert (unknown.method, unknown.noise, unknown.unseen) == ("", 0.0, frozenset())
    report = joined([row([1.0, 1.0], [1.0, 1.0]), unknown])
    assert verdicts(report) == [[MATCH, MATCH], [UNRESOLVED, UNRESOLVED]]
    assert report.arrays["f(x) by w"].error[1].tolist() == [math.inf, math.inf]
    assert np.isnan(report.arrays["f(x) by w"].numeric[1]).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_that_nothing_changes_is_hidden_below_the_largest_of_its_block(sign):
    seen = row([sign * 4.0, 1.0, 1.0], [sign * 4.0, 1.0, 1.0])
    error = 4 * HIDDEN
    claimed = sign * np.array([2 * error, 2.01 * error, 0.0])
    unseen = row(claimed, np.zeros(3), 0.0, unseen=["w"])
    report = joined([seen, unseen])
    assert verdicts(report) == [[MATCH] * 3, [UNRESOLVED, MISMATCH, MATCH]]
    np.testing.assert_array_equal(report.arrays["f(x) by w"].error, [[1e-9] * 3, [error] * 3])
    assert report.arrays["f(x) by w"].reason == UNSEEN
    # a row that is zero within its errors counts as one that nothing changes
    zero = row(claimed, [sign * 1e-9, -sign * 1e-9, 0.0], 1e-9)
    assert verdicts(joined([seen, zero]))[1] == [UNRESOLVED, MISMATCH, UNRESOLVED]
    known = row(claimed, [sign * 1.1e-9, 0.0, 0.0], 1e-9)
    report = joined([seen, known])
    assert verdicts(report)[1] == [MISMATCH, MISMATCH, UNRESOLVED]
    assert report.arrays["f(x) by w"].error[1].tolist() == [1e-9] * 3
    # an error that is larger stays as it is
    unseen = row(claimed, np.zeros(3), 1e-3, unseen=["w"])
    assert joined([seen, unseen]).arrays["f(x) by w"].error[1].tolist() == [1e-3] * 3
    # with nothing beside it, a row is judged as it is
    report = joined([row(claimed, np.zeros(3), 0.0), row([0.0] * 3, [0.0] * 3)])
    assert verdicts(report)[0] == [MISMATCH, MISMATCH, MATCH]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_claimed_to_be_zero_is_right_where_others_show_the_scale(sign):
    seen = row([2.0, 1.0], [2.0, 1.0])
    for numeric, error, options, expected in (
        # no more than a thousandth of the largest
        (sign * 1e-5, 2e-3, {}, MATCH),
        (sign * 1e-5, 2.1e-3, {}, UNRESOLVED),
        (sign * 2e-5, 1e-5, {}, UNRESOLVED),  # not zero
        (sign * 1e-5, 1e-5, {}, MATCH),
        # no move changes it
        (0.0, math.inf, {"unseen": ["w"]}, MATCH),
        (math.nan, math.inf, {"unseen": ["w"]}, MATCH),
        (0.0, math.inf, {"unseen": ["w"], "movable": [True, False]}, UNRESOLVED),
        (sign * 1e-5, 2.1e-3, {"unseen": ["w"]}, UNRESOLVED),
    ):
        zero = row([0.0, 0.0], [numeric, 0.0], error, **options)
        zero.arrays["w"].verdicts[:] = UNRESOLVED
        found = verdicts(joined([seen, zero]))
        assert max(found[1]) == expected, (numeric, error, options)
        assert found[0] == [MATCH, MATCH]
        if "movable" in options:
            assert found[1] == [MATCH, UNRESOLVED]
    # also where the scale is that of another array
    seen = {"w": [0.0], "b": [3.0]}
    assert verdicts(joined([row(seen, seen)])) == [[MATCH]]
    seen = row([2.0, 1.0], [2.0, 1.0])
    # one entry claimed, or wrong, and the others are no longer known to be zero
    for claimed, verdict in (([1e-9, 0.0], UNRESOLVED), ([0.0, 0.0], MISMATCH)):
        zero = row(claimed, [0.0, 0.0], 1e-6)
        zero.arrays["w"].verdicts[:] = [verdict, UNRESOLVED]
        assert verdicts(joined([seen, zero]))[1][1] == UNRESOLVED


def test_the_reason_is_that_of_the_first_row_with_unresolved_entries():
    right = row([1.0], [1.0], reason="of a row that matches")
    first, second = (row([1.0], [1.0], 0.5, reason=reason) for reason in ("first", "second"))
    nameless = row([1.0], [1.0], 0.5)
    for rows, reason in (
        ([right, first, second], "first"),
        ([nameless, second, first], "second"),
        ([right, right], ""),
        ([right, row([1.0], [0.0], 0.5, unseen=["w"])], UNSEEN),
        ([row([1.0], [0.0], 0.5, unseen=["w"], reason="own"), right], "own"),
    ):
        assert joined(rows).arrays["f(x) by w"].reason == reason


@pytest.mark.parametrize("claimed", [0.0, 1.0, -1e-9])
@pytest.mark.parametrize("others_seen", [True, False])
def test_of_an_array_that_no_result_sees_only_zeros_are_accepted(claimed, others_seen):
    beside, unseen = 3.0 if others_seen else 0.0, ["w"] if others_seen else ["w", "b"]
    rows = [
        row({"w": [claimed], "b": [beside]}, {"w": [0.0], "b": [beside]}, 1e-9, unseen=unseen)
        for _ in range(2)
    ]
    report = joined(rows)
    accepted = others_seen and not claimed
    assert verdicts(report) == [[MATCH if accepted else UNRESOLVED]] * 2
    array = report.arrays["f(x) by w"]
    assert array.error.tolist() == [[math.inf]] * 2
    assert array.reason == ("" if accepted else UNSEEN)
    if others_seen:
        assert verdicts(report, "f(x) by b") == [[MATCH]] * 2
    # seen by one result, an array is seen
    rows[0] = row({"w": [5.0], "b": [beside]}, {"w": [5.0], "b": [beside]}, unseen=[])
    assert verdicts(joined(rows))[0] == [MATCH]


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_in_the_same_units_are_judged_on_one_scale(sign):
    t = 2.0**-10  # rtol, and the largest entry is 1
    for numeric, off, options, expected, error in (
        (1.0, t, {}, MATCH, 0.0),
        (2.0**-20, 1.01 * t * 2.0**-20, {"rounding": math.nan}, UNRESOLVED, 0.0),
        (2.0**-20, t, {"rounding": math.nan}, UNRESOLVED, 0.0),
        (2.0**-20, 1.01 * t, {"rounding": math.nan}, MISMATCH, 0.0),
        (2.0**-20, 1.1 * t, {"rounding": math.nan}, UNRESOLVED, 0.2 * t),
        (2.0**-20, 1.01 * t, {"rounding": t}, UNRESOLVED, 0.0),
        (2.0**-20, 2.1 * t, {"rounding": t}, MISMATCH, 0.0),
        (2.0**-20, t, {"rounding": t}, MATCH, 0.0),
    ):
        claimed = np.array([sign * numeric - sign * off])
        small = row(claimed, [sign * numeric], error, **options)
        small.arrays["w"].verdicts[:] = MISMATCH  # beside its own size
        for rows in ([row([1.0], [1.0], 0.0), small], [small, row([1.0], [1.0], 0.0)]):
            report = joined(rows, same_units=True)
            assert max(verdicts(report)) == [expected], (numeric, off, options)
            array = report.arrays["f(x) by w"]
            assert not array.by_rows
            assert ("rounding" in array.reason) == (expected is UNRESOLVED)


def test_in_the_same_units_blurred_entries_match_by_the_largest():
    for error, expected in ((4e-3, MATCH), (4.01e-3, UNRESOLVED)):
        blurred = row([1e-6], [1e-6], error, reason="blurred")
        report = joined([row([4.0], [4.0], 0.0), blurred], same_units=True)
        assert verdicts(report) == [[MATCH], [expected]]
        assert report.arrays["f(x) by w"].reason == ("" if expected is MATCH else "blurred")
    assert joined([row([1.0], [1.0], 0.0), blurred]).arrays["f(x) by w"].reason == "blurred"
    at_kink = row([1.0], [0.75], 0.5, slope_jump=np.array([0.5]))
    at_kink.arrays["w"].verdicts[:] = MISMATCH
    report = joined([at_kink, row([1.0], [1.0], 0.0)], same_units=True)
    assert verdicts(report) == [[MISMATCH], [MATCH]]


def test_the_scale_is_the_largest_of_all_blocks():
    rows = [row({"w": [1.0], "b": [9.0]}, {"w": [1.0], "b": [9.0]}) for _ in range(2)]
    report = joined(rows, same_units=True)
    assert [array.rule.largest for array in report.arrays.values()] == [9.0, 9.0]


def test_findings_on_calls_that_differ_and_on_kinks():
    jump = np.array([0.0, 0.5, 0.25])
    claimed, numeric = [1.0, 0.0, 2.0], [1.0, 0.5, 2.0]
    kinked = row(claimed, numeric, 1e-9 + jump, slope_jump=jump)
    report = joined([row([1.0] * 3, [1.0] * 3), kinked])
    assert report.findings == (
        "First.",
        "f(x) by w[1, 1] lies on a kink: the slopes on its two sides are 0 and 1 (and 1 more "
        "entry).",
    )
    single = row([0.0], [0.5], 0.5, slope_jump=np.array([0.5]))
    assert joined([single]).findings[1].endswith("are 0 and 1.")
    little = row({"w": [1.0, 2.0], "b": [1.0]}, {"w": [1.0, 2.0], "b": [1.0]})
    little.differences["w"][1] = 1e-9
    report = joined([little])
    assert report.findings[1].startswith("two calls of the gradient")
    assert not report.diagnosis
    large = row([1.0, 3.0], [1.0, 2.0], difference=1.0)
    report = joined([large])
    assert len(report.findings) == 1
    assert [mistake.name for mistake in report.diagnosis] == ["not repeatable"]


def test_a_mistake_is_named_with_the_values_of_x():
    x, rng = np.array([1.0, -2.0, 3.5, 0.7]), np.random.default_rng(0)
    numeric = rng.normal(size=(3, 4))
    rows = [row(n + 0.25 * x, n) for n in numeric]
    report = joined(rows, x={"w": x})
    assert report.verdict is MISMATCH
    assert "0.25" in report.diagnosis[0].text
    rows = [row(-n, n) for n in numeric]
    assert "numerical Jacobian" in joined(rows, x={"w": x}).diagnosis[0].text
