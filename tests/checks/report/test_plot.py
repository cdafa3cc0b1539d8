"""The picture of a report: what it shows, and that it touches nothing of the caller's."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.report.array_report import ArrayReport
from checks.report.report import Report
from checks.report.verdict import Rule

pytest.importorskip("matplotlib", reason="pictures need the extra gradient-gate[plot]")

RNG = np.random.default_rng(0)
RTOL = 1e-6


def array(path, claimed, numeric, error=1e-12):
    claimed, numeric = np.asarray(claimed, float), np.asarray(numeric, float)
    error = np.broadcast_to(np.asarray(error, float), claimed.shape)
    return ArrayReport.judged(path, claimed, numeric, error, Rule(RTOL))


def report_of(*arrays):
    return Report({a.path: a for a in arrays}, RTOL, 1e-3, "central", 1e-16, 99, 0.1, 0)


def one_wrong(shape, index, path="w"):
    numeric = RNG.standard_normal(shape)
    claimed = numeric.copy()
    claimed[index] += 1  # wrong on purpose
    return array(path, claimed, numeric)


def panels(figure):
    """Return the axes with a heat map."""
    return [axis for axis in figure.findobj(match=lambda a: hasattr(a, "images")) if axis.images]


def marks(axis):
    """Return {label: set of (row, column)} of the marks of a heat map."""
    return {
        mark.get_label(): {(float(y), float(x)) for x, y in mark.get_offsets()}
        for mark in axis.collections
    }


def test_a_cell_is_the_discrepancy_over_the_tolerance():
    numeric = np.array([[1.0, -2.0], [4.0, 0.5]])
    claimed = numeric + np.array([[1e-5, 0], [-1, 1e-9]])
    report = report_of(array("w", claimed, numeric, 1e-6))
    (axis,) = panels(report.plot())
    # the limit is rtol of each entry; 1e-8 is the smallest ratio that has a colour
    expected = [
        [1e-5 / (1e-6 + RTOL * (1 + 1e-5)), 1e-8],
        [1 / (1e-6 + 4 * RTOL), 1e-9 / (1e-6 + RTOL / 2)],
    ]
    assert np.asarray(axis.images[0].get_array()) == pytest.approx(np.array(expected))
    norm = axis.images[0].norm
    assert norm(1.0) == pytest.approx(0.5)


def test_verdicts_are_marked_so_that_they_read_without_colour():
    numeric = RNG.standard_normal((3, 4))
    claimed, error = numeric.copy(), np.full((3, 4), 1e-12)
    claimed[2, 1] += 1  # wrong on purpose
    error[0, 3] = np.inf
    (axis,) = panels(report_of(array("w", claimed, numeric, error)).plot())
    assert marks(axis) == {"MISMATCH": {(2, 1)}, "UNRESOLVED": {(0, 3)}}
    cross, circle = (mark.get_paths()[0].vertices for mark in axis.collections)
    assert len(cross) != len(circle)
    unknown = np.ma.getmaskarray(axis.images[0].get_array())
    assert np.argwhere(unknown).tolist() == [[0, 3]]
    assert axis.get_title(loc="left") == "w\n3 × 4: 1 MISMATCH"


@pytest.mark.parametrize("claim", [np.nan, np.inf, -np.inf])
def test_a_claim_that_is_not_finite_is_as_wrong_as_can_be(claim):
    (axis,) = panels(report_of(array("w", [1.0, claim], [1.0, 2.0])).plot())
    assert axis.images[0].get_array()[0, 1] == axis.images[0].norm.vmax
    assert marks(axis) == {"MISMATCH": {(0, 1)}}


@pytest.mark.parametrize(
    ("shape", "cells", "index", "at"),
    [
        ((), (1, 1), (), (0, 0)),
        ((5,), (1, 5), (3,), (0, 3)),
        ((5, 1), (5, 1), (3, 0), (3, 0)),
        ((3, 2, 2, 2), (3, 8), (1, 1, 0, 1), (1, 5)),
        ((30, 784), (30, 61), (7, 400), (7, 396)),
        ((200, 100), (50, 50), (199, 0), (197.5, 0.5)),
        ((65,), (1, 33), (64,), (0, 64)),
        ((100_000,), (1, 64), (99_999,), (0, 99_237)),
    ],
    ids=str,
)
def test_arrays_of_any_shape_keep_their_worst_entry(shape, cells, index, at):
    (axis,) = panels(report_of(one_wrong(shape, index)).plot())
    assert axis.images[0].get_array().shape == cells
    (places,) = marks(axis).values()
    assert len(places) == 1
    assert places.pop() == pytest.approx(at, abs=0.5 if max(shape, default=1) < 1000 else 800)
    left, right = axis.get_xlim()
    below, above = axis.get_ylim()
    assert (right - left) * (below - above) == max(1, np.prod(shape))


def test_empty_arrays_are_left_out_and_of_many_the_worst_are_shown():
    arrays = [one_wrong((2, 2), (0, 0), f"wrong[{i}]") for i in (0, 1)]
    right = [array(f"right[{i}]", np.ones((2, 2)), np.ones((2, 2))) for i in range(30)]
    empty = array("empty", np.empty((0, 3)), np.empty((0, 3)))
    figure = report_of(*right[:28], arrays[0], empty, *right[28:], arrays[1]).plot()
    titles = [axis.get_title(loc="left") for axis in panels(figure)]
    assert len(titles) == 24
    assert sum("MISMATCH" in title for title in titles) == 2
    assert titles[-1].startswith("wrong[1]")  # in the order of the parameters
    assert not any("empty" in title for title in titles)
    assert "the worst 24 of 33 arrays" in figure.get_suptitle()


def test_a_match_has_no_curve_and_no_marks():
    report = check_gradient(lambda p: np.sum(p**3), lambda p: 3 * p**2, np.ones((2, 2)))
    figure = report.plot()
    assert len(figure.axes) == 2  # the array and the colour bar
    assert [marks(axis) for axis in panels(figure)] == [{}]
    assert "gradient check: MATCH, 4 entries" in figure.get_suptitle()


def test_the_curve_shows_claim_and_estimate_against_differences():
    report = check_gradient(lambda p: np.sum(p**3), lambda p: 3.1 * p**2, np.array([1.0, 2.0]))
    axis = report.plot().axes[-1]
    lines = {line.get_label(): line.get_ydata() for line in axis.lines}
    assert list(lines) == [
        "|claimed − difference|",
        "|numeric − difference|",
        "noise of the cost / h",
        "error of the estimate",
        "limit of a MISMATCH",
    ]
    claimed, numeric, *_ = lines.values()
    assert np.nanmin(claimed) > 0.1
    assert np.nanmin(numeric) < 1e-7
    assert axis.get_title(loc="left").startswith("params[1]: claimed 12.4, numeric 12 ± ")
    assert axis.get_xscale() == axis.get_yscale() == "log"


def test_at_a_kink_the_claim_is_compared_with_both_sides():
    report = check_gradient(lambda p: np.sum(np.abs(p)), np.array([4.0]), np.array([0.0]))
    assert report.verdict is Verdict.UNRESOLVED
    axis = report.plot().axes[-1]
    labels = [line.get_label() for line in axis.lines]
    assert labels[:2] == ["|claimed − left|", "|claimed − right|"]
    assert axis.lines[0].get_ydata()[0] == pytest.approx(5)
    assert axis.lines[1].get_ydata()[0] == pytest.approx(3)


def long_paths(count):
    return [f"model.encoder.layers.{i // 3}.attention.{'qkv'[i % 3]}_weights" for i in range(count)]


@pytest.mark.parametrize("count", [1, 4, 6, 12, 30])
def test_titles_are_different_and_do_not_overlap(count):
    shapes = [(30, 200), (), (5,), (4, 4), (100, 100, 1, 2), (40, 1)]
    arrays = [
        one_wrong(shapes[i % 6], tuple(n - 1 for n in shapes[i % 6]), path)
        for i, path in enumerate(long_paths(count))
    ]
    figure = report_of(*arrays).plot()
    figure.draw_without_rendering()
    texts = [axis.get_title(loc="left") for axis in panels(figure)]
    assert len(set(texts)) == len(texts) == min(count, 24)
    boxes = [axis.get_tightbbox() for axis in panels(figure)]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_a_single_number_is_drawn_small():
    figure = report_of(one_wrong((40, 50), (0, 0), "w"), one_wrong((), (), "b")).plot()
    figure.draw_without_rendering()
    matrix, number = (axis.get_window_extent() for axis in panels(figure))
    assert max(number.width, number.height) <= 0.5 * figure.dpi
    assert min(matrix.width, matrix.height) > 2 * figure.dpi


def test_the_colour_bar_says_its_unit():
    _, bar = report_of(one_wrong((2, 2), (0, 0))).plot().axes
    unit = "|claimed − numeric| / (limit + error)"
    assert bar.get_xlabel() == f"{unit}      above 1: MISMATCH"


def test_names_are_not_read_as_formulas():
    figure = report_of(one_wrong((2, 2), (0, 0), "params['$x^$']")).plot()
    figure.draw_without_rendering()
    assert panels(figure)[0].get_title(loc="left").startswith("params['$x^$']")


STRANGE = {
    "jump": (lambda x: np.sum(x > 0), np.zeros(2), np.zeros(2)),
    "unseen": (lambda _: 7.0, np.zeros(2), np.ones(2)),
    "noisy": (lambda x: np.sum(x) + np.random.default_rng().random(), np.ones(2), np.ones(2)),
    "edge": (lambda x: np.sum(np.sqrt(x)), np.ones(2), np.zeros(2)),
    "all claims nan": (np.sum, np.full(2, np.nan), np.ones(2)),
    "half precision": (np.sum, np.zeros(2, np.float16), np.ones(2, np.float16)),
    "0-d": (lambda x: x**2, 2.1, 1.0),
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_a_report_says_can_be_drawn(name):
    report = check_gradient(*STRANGE[name])
    assert report.verdict is not Verdict.MATCH
    report.plot().draw_without_rendering()  # warnings are errors here
    replace(report, step_curve=None).plot()


def test_the_callers_backend_and_pyplot_are_left_alone():
    program = """
import io, sys
import matplotlib, numpy as np
from checks import check_gradient
report = check_gradient(lambda x: np.sum(x**2), lambda x: 3 * x, np.ones(2))
assert "matplotlib.figure" not in sys.modules  # only a picture imports it
before = matplotlib.rcParams.copy()
png = io.BytesIO()
report.plot().savefig(png)
assert png.getvalue().startswith(bytes([0x89]) + b"PNG")
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    run = partial(subprocess.run, check=False, capture_output=True, text=True)
    done = run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    report = report_of(one_wrong((2,), (0,)))
    monkeypatch.delitem(sys.modules, "checks.report.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"gradient-gate\[plot\]"):
        report.plot()
