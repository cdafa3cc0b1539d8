"""Where a Hessian is not symmetric, and entries small beside those of another cotangent."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from checks import Verdict
from checks.derivatives.cotangents import _on_scale_of
from checks.derivatives.slopes import _asymmetry

MATCH, MISMATCH, UNRESOLVED = Verdict.MATCH, Verdict.MISMATCH, Verdict.UNRESOLVED


def block(path, claimed, numeric=None, limit=0.125, error=0.0):
    claimed = np.array(claimed, float)
    numeric = claimed if numeric is None else np.array(numeric, float)
    limit, error = (np.broadcast_to(a, claimed.shape) for a in (limit, error))
    return SimpleNamespace(path=path, claimed=claimed, numeric=numeric, limit=limit, error=error)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("off", "seen"), [(0.24, False), (0.26, True), (-0.26, True)])
def test_two_entries_differ_by_more_than_both_limits(sign, off, seen):
    one = sign * np.array([[1.0, 4, 2], [4 + off, 3, 5], [2, 5, 6]])
    found = _asymmetry({"x by x": block("x by x", one)}, ["x"], True)
    assert bool(found) is seen
    if seen:
        a, b = (f"{v:.6g}" for v in (sign * 4, sign * (4 + off)))
        assert found == f"x by x[0, 1] is {a}, and x by x[1, 0] is {b}"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_pair_that_differs_most_relatively_is_shown(sign):
    one = sign * np.array([[1.0, 4, 20], [5, 3, 5], [22, 5, 6]])
    found = _asymmetry({"x by x": block("x by x", one)}, ["x"], True)
    assert found.startswith("x by x[0, 1] is")


@pytest.mark.parametrize(("off", "seen"), [(0.7, False), (0.8, True)])
def test_blocks_of_two_arrays_are_compared_with_each_others_transposes(off, seen):
    mixed = np.array([[1.0, 2, 3], [4, 5, 6]])
    other = mixed.T + off * np.array([[0, 0], [0, 1], [0, 0]])
    blocks = {
        "w by w": block("w by w", np.eye(2)),
        "w by b": block("w by b", 0 * mixed, mixed, limit=0.125, error=0.25),
        "b by w": block("b by w", 0 * other, other, limit=0.0625, error=0.25),
        "b by b": block("b by b", np.eye(3)),
    }
    found = _asymmetry(blocks, ["w", "b"], False)
    assert bool(found) is seen
    if seen:
        assert found == "w by b[1, 1] is 5, and b by w[1, 1] is 5.8"
    assert _asymmetry(blocks, ["w", "b"], True) == ""


def test_what_is_nan_is_not_compared():
    assert _asymmetry({"x": block("x", [[1, np.nan], [2, 3]])}, ["x"], True) == ""


@dataclass
class Array:
    claimed: np.ndarray
    numeric: np.ndarray
    error: np.ndarray
    rounding: np.ndarray
    verdicts: np.ndarray
    largest: float = 0.0
    reason: str = "noise"


@dataclass
class Report:
    arrays: dict
    rtol: float = 2.0**-10
    resolution: float = 2.0**-6


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("off", "error", "rounding", "verdict", "expected"),
    [
        (2.9, 1, 1, UNRESOLVED, MATCH),  # the error, and twice the rounding
        (3.1, 1, 1, UNRESOLVED, UNRESOLVED),
        (8.9, 1, 9, UNRESOLVED, MATCH),  # but no more than rtol of the largest, which is 8
        (9.1, 1, 9, UNRESOLVED, UNRESOLVED),
        (0.9, 1, np.nan, UNRESOLVED, MATCH),
        (1.1, 1, np.nan, UNRESOLVED, UNRESOLVED),
        (0, 128, 1, UNRESOLVED, MATCH),
        (0, 129, 1, UNRESOLVED, UNRESOLVED),  # more than the resolution
        (0, 1, 1, MISMATCH, MISMATCH),
        (9, 1, 1, MATCH, MATCH),
        (np.nan, 1, 1, UNRESOLVED, UNRESOLVED),
    ],
)
def test_entries_that_are_small_beside_those_of_another_cotangent(
    sign, off, error, rounding, verdict, expected
):
    unit = 2.0**-3
    array = Array(*(np.array([unit * v]) for v in (sign * off, 0.0, error, rounding)),
                  np.array([verdict]))  # fmt: skip
    first = Report({"x": Array(*[np.zeros(1)] * 5, largest=unit * 8192)})
    found = _on_scale_of(first, Report({"x": array})).arrays["x"]
    assert Verdict(found.verdicts[0]) is expected
    assert found.verdicts.dtype == np.int8
    assert found.reason == "noise" * (expected is UNRESOLVED)
