"""What a projected check has found, as text, and what it would have seen."""

import math
from types import SimpleNamespace

import pytest

from checks import Verdict
from checks.parameters.random_directions import Region
from checks.report.array_report import WorstEntry
from checks.report.blocks import Block, Entry
from checks.report.projected_report import (
    ProjectedArray,
    ProjectedReport,
    _block_text,
    _place,
    _verdict,
)


@pytest.mark.parametrize(
    ("largest", "error", "smallest"),
    [(2.0, 0.25, 1e-3 + 1), (8, 0.5, 1e-3 + 0.5), (0, 1, math.inf)],
)
def test_an_error_of_one_entry_changes_the_product_by_a_quarter_of_it(largest, error, smallest):
    array = SimpleNamespace(largest=largest, error=error)
    assert ProjectedArray.detectable(array, 1e-3) == pytest.approx(smallest)


def test_arrays_that_show_nothing_are_not_counted():
    class Array(SimpleNamespace):
        def detectable(self, rtol):
            return rtol + self.size

    arrays = [Array(size=0.25, compared_nothing=False), Array(size=9, compared_nothing=True),
              Array(size=0.5, compared_nothing=False)]  # fmt: skip
    report = SimpleNamespace(arrays=dict(enumerate(arrays)), rtol=0.125)
    assert ProjectedReport.detectable.fget(report) == 0.625
    report.arrays = {0: arrays[1]}
    assert ProjectedReport.detectable.fget(report) == math.inf


def entry(claimed, numeric, error=0.0, wrong=True):
    return Entry(Region(0, 1, 0, 1), claimed, numeric, error, wrong)


@pytest.mark.parametrize(
    ("entries", "factor"),
    [
        ([entry(6, 2)], 3),
        ([entry(6, 2), entry(-9, -3)], 3),
        ([entry(-6, 2), entry(9, -3)], -3),
        ([entry(6, 2), entry(10, 3)], None),
        ([entry(6, 2), entry(0, 0)], None),
        ([entry(6, 2), entry(6, math.nan)], None),
        # ratios of 3 and 3.25, known to 3 · 0.125/2 and to 3.25 · 0.0625/4
        ([entry(6, 2, 0.125), entry(13, 4, 0.0625)], 3.25),
        ([entry(6, 2, 0.01), entry(13, 4, 0.01)], None),
        ([entry(6, 2), entry(3 * (1 + 0.9e-9), 1)], 3),
        ([entry(6, 2), entry(3 * (1 + 1.1e-9), 1)], None),
        ([entry(6, 2), entry(3 * (1 - 1.1e-9), 1)], None),
        ([entry(-6, 2), entry(-3 * (1 + 0.9e-9), 1)], -3),
    ],
)
def test_a_block_has_a_factor_if_its_entries_agree_on_it(entries, factor):
    assert Block(Region(0, 1, 0, 2), tuple(entries)).factor == factor


@pytest.mark.parametrize(
    ("claimed", "numeric", "discrepancy"), [(1, 3, 2), (3, 1, 2), (math.nan, 1, math.inf)]
)
def test_the_discrepancy_of_an_entry(claimed, numeric, discrepancy):
    assert entry(claimed, numeric).discrepancy == discrepancy


@pytest.mark.parametrize(
    ("shape", "region", "place"),
    [
        ((4, 3), Region(0, 4, 0, 3), "w"),
        ((4, 3), Region(1, 2, 2, 3), "w[1, 2]"),
        ((4, 3), Region(1, 2, 0, 3), "w[1, :]"),
        ((4, 3), Region(1, 3, 0, 3), "w[1:3, :]"),
        ((4, 3), Region(0, 4, 1, 2), "w[:, 1]"),
        ((4, 3), Region(0, 4, 1, 3), "w[:, 1:3]"),
        ((4, 3), Region(1, 3, 0, 2), "w[1:3, 0:2]"),
        ((5,), Region(0, 1, 1, 3), "w[1:3]"),
        ((5,), Region(0, 1, 4, 5), "w[4]"),
        ((), Region(0, 1, 0, 1), "w"),
        ((4, 3, 2), Region(1, 2, 0, 6), "w[1, ...]"),
        ((4, 3, 2), Region(1, 2, 2, 4), "w.reshape(4, -1)[1, 2:4]"),
        ((4, 3, 2), Region(1, 2, 3, 4), "w[1, 1, 1]"),
    ],
)
def test_a_block_is_named_by_its_place(shape, region, place):
    assert _place("w", shape, region) == place


ONE, ROW = Region(0, 1, 0, 1), Region(0, 1, 0, 2)
OFF = "claimed 6, numeric 2 ± 1e-03, off by 5.0e-01 of the largest"


@pytest.mark.parametrize(
    ("block", "largest", "text"),
    [
        (Block(ROW, (), False), 8, "wrong in many entries, too many to list."),
        (Block(ONE, (entry(6, 2, 1e-3),)), 8, f"{OFF}."),
        (Block(ONE, (entry(6, 2, 1e-3),)), 0, "claimed 6, numeric 2 ± 1e-03."),
        (Block(ROW, (entry(6, 2, 1e-3), entry(9, 3, 1e-3))), 8,
         "2 of 2 entries tried are wrong, by the factor 3."),
        (Block(ROW, (entry(6, 2, 1e-3), entry(9, 4, 1e-3))), 8,
         f"2 of 2 entries tried are wrong; the worst: {OFF}."),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_block(block, largest, text):
    assert _block_text(block, largest) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "MISMATCH, 3 of 1,200"),
        ({"wrong": 1200}, "MISMATCH, all entries"),
        ({"blocks": ()}, "MISMATCH"),
        ({"compared_nothing": True}, "MISMATCH, all zero"),
    ],
)
def test_the_verdict_of_an_array_says_how_many_entries(changes, text):
    array = {"verdict": Verdict.MISMATCH, "blocks": (1,), "wrong": 3, "entries": 1200,
             "compared_nothing": False}  # fmt: skip
    assert _verdict(SimpleNamespace(**(array | changes))) == text


@pytest.mark.parametrize(
    ("claimed", "numeric", "error", "texts"),
    [
        (1.5, 2.0, 3e-7, ("1.5000000e+00", "2.0000000e+00 ± 3e-07")),  # 6.8 digits are certain
        (1.5, -2.0, 3e-7, ("1.5000000e+00", "-2.0000000e+00 ± 3e-07")),
        (1.5, 2.0, 2e-20, ("1.50000000e+00", "2.00000000e+00 ± 2e-20")),
        (1.5, 2.0, 0.0, ("1.50000000e+00", "2.00000000e+00 ± 0e+00")),
        (1.5, 0.0, 1e-3, ("1.50000000e+00", "0.00000000e+00 ± 1e-03")),
        (1.5, 2.0, 1.0, ("1.5000e+00", "2.0000e+00 ± 1e+00")),
        (1.5, math.nan, math.inf, ("1.5000e+00", "nan ± inf")),
    ],
)
def test_numbers_have_the_digits_that_are_certain(claimed, numeric, error, texts):
    worst = SimpleNamespace(claimed=claimed, numeric=numeric, error=error)
    assert WorstEntry.numbers(worst) == texts
