"""What the report of an interrupted check says of each array."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from checks.judgement.interruption import CheckInterrupted, finish, recorded_once
from checks.report import session
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Rule, Verdict

MATCH, UNRESOLVED, MISMATCH = Verdict


def array_of(path, errors, method="central", verdicts=None):
    errors = np.array(errors, float)
    ones = np.ones(errors.shape)
    array = ArrayReport.judged(path, ones, ones, errors, Rule(1e-3), method=method)
    if verdicts:
        array.verdicts[:] = verdicts
    return array


def report_of(*arrays, method="mixed"):
    return Report(
        arrays={array.path: array for array in arrays}, rtol=1e-3, resolution=1e-3, method=method,
        noise=1e-16, evaluations=7, seconds=0.1, seed=0, findings=("first.",),
    )  # fmt: skip


def finished(*arrays, interrupted=True):
    with pytest.raises(CheckInterrupted) as stop:
        finish(report_of(*arrays), SimpleNamespace(interrupted=interrupted))
    return stop.value.report


def test_a_check_that_was_not_interrupted_is_returned():
    report = report_of(array_of("a", [1e-9, np.inf]))
    assert finish(report, SimpleNamespace(interrupted=False)) is report


def test_arrays_say_how_much_of_them_was_compared():
    report = finished(
        array_of("a", [1e-9, 1e-9]),
        array_of("b", [1e-9, np.inf, np.inf]),
        array_of("c", [np.inf, np.inf]),
        array_of("d", [np.inf, 1e-9], verdicts=[MATCH, UNRESOLVED]),
    )
    assert [array.reason for array in report.arrays.values()] == [
        "",
        "interrupted: 1 of 3 entries were compared.",
        "interrupted: not compared.",
        "",  # what is unresolved there was compared
    ]
    assert report.findings == ("first.", "Interrupted: 4 of 9 entries were compared.")


@pytest.mark.parametrize("other", ["central", "complex-step"])
def test_the_method_is_that_of_the_arrays_compared(other):
    compared = array_of("a", [1e-9, np.inf], "complex-step")
    report = finished(compared, array_of("b", [np.inf], "central"))
    assert report.method == "complex-step"
    report = finished(compared, array_of("b", [1e-9], other))
    assert report.method == ("complex-step" if other == "complex-step" else "mixed")
    assert finished(array_of("b", [np.inf])).method == "mixed"


def test_it_can_be_sent_to_another_process():
    with pytest.raises(CheckInterrupted) as stop:
        finish(report_of(array_of("a", [np.inf])), SimpleNamespace(interrupted=True))
    again = pickle.loads(pickle.dumps(stop.value))
    assert str(again) == str(stop.value)
    assert again.report.findings == stop.value.report.findings


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_check_that_consists_of_others_is_recorded_once(interrupted, monkeypatch):
    reports, stop = [], SimpleNamespace(interrupted=interrupted)
    monkeypatch.setattr(session, "listeners", [reports.append])

    @recorded_once
    def check(name):
        finish(report_of(array_of("part", [1e-9])), SimpleNamespace(interrupted=False))
        return finish(report_of(array_of(name, [1e-9])), stop)

    try:
        report = check("whole")
    except CheckInterrupted as interruption:
        report = interruption.report
    assert [r is report for r in reports] == [True]
    assert list(report.arrays) == ["whole"]
    assert recorded_once(lambda: report_of(array_of("empty", [])))().entries == 0
    assert len(reports) == 1  # a record names the worst entry
