"""What a projected check would have seen."""

import math
from types import SimpleNamespace

import pytest

from checks.report.projected_report import ProjectedArray


@pytest.mark.parametrize(
    ("largest", "error", "smallest"),
    [(2.0, 0.25, 1e-3 + 1), (8, 0.5, 1e-3 + 0.5), (0, 1, math.inf)],
)
def test_an_error_of_one_entry_changes_the_product_by_a_quarter_of_it(largest, error, smallest):
    array = SimpleNamespace(largest=largest, error=error)
    assert ProjectedArray.detectable(array, 1e-3) == pytest.approx(smallest)
