"""Numbers of few digits, ratios of small numbers, and choices, each with its bits."""

import math

import numpy as np
import pytest

from checks.diagnosis.short_numbers import choices, decimal, digits, ratio

DIGIT = math.log2(10)
TOO_MANY = (1.5 + 3 * np.spacing(1.5), 1.5 + 2 * np.spacing(1.5))  # by 4.4e-16, and by 3.0e-16


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("value", "uncertainty", "short", "count"),
    [
        (0.4, 0, 0.4, 1),
        (0.25, 0, 0.25, 2),
        (0.125, 0, 0.125, 3),
        (1234.0, 0, 1234.0, math.inf),
        (TOO_MANY[1], 0, 1.5, 2),
        (TOO_MANY[0], 0, TOO_MANY[0], math.inf),
        (3.125, 0.125, 3.0, 1),
        (3.13, 0.125, 3.1, 2),
        (2.0, 0.15, 2.0, 1),
        (2.0, 0.2, 2.0, math.inf),  # its last digit is not known
        (5e-7, 1e-9, 5e-7, 1),
    ],
)
def test_a_decimal_has_three_digits_at_most(sign, value, uncertainty, short, count):
    bits = 2 + count * DIGIT
    assert decimal(sign * value, uncertainty) == (sign * short, pytest.approx(bits))


@pytest.mark.parametrize(
    ("value", "uncertainty", "found"),
    [
        (2.0, 0, (2, 1)),
        (0.5, 0, (1, 2)),
        (12 / 11, 0, (12, 11)),
        (7 / 12, 0, (7, 12)),
        (13 / 11, 0, None),
        (5 / 13, 0, None),
        (13.0, 0, (13, 1)),
        (1 / 13, 0, (1, 13)),
        (3.3, 0, None),
        (1e5, 0, (100_000, 1)),
        (1e-5, 0, (1, 100_000)),
        (100_001.0, 0, None),
        (1 / 100_001, 0, None),
        (150_000.0, 0, None),
        (1 / 150_000, 0, None),
        (1e-300, 0, None),
        (math.inf, 0, None),
        (TOO_MANY[1], 0, (3, 2)),
        (TOO_MANY[0], 0, None),
        (100.4, 0.5, (100, 1)),
        (99.6, 0.5, (100, 1)),
        (2.0, 0.015, (2, 1)),
        (2.0, 0.02, None),
        (2.0, 0.03, None),
    ],
)
def test_a_ratio_is_of_small_numbers_or_one_over_a_whole_one(value, uncertainty, found):
    if found is not None:
        p, q = found
        found = pytest.approx(p / q, rel=1e-15), pytest.approx(1.5 * math.log2(p * q))
    assert ratio(value, uncertainty) == found


@pytest.mark.parametrize(
    ("value", "other", "text"),
    [
        (1.23456789, 1.0, "1.23457"),
        (1.0000003, 1.0, "1.0000003"),
        (1.00000000049, 1.0, "1.0000000005"),
        (np.nextafter(1, 2), 1.0, "1.0000000000000002"),
        (2.0, 2.0, "2.0"),
        (-3.5, 3.5, "-3.5"),
    ],
)
def test_a_number_is_shown_to_be_another(value, other, text):
    assert digits(float(value), other) == text


def test_a_number_is_told_from_1_unless_another_is_given():
    assert digits(1.0000003) == "1.0000003"


@pytest.mark.parametrize(("total", "chosen"), [(12, 4), (5, 5), (7, 0), (40, 1)])
def test_choices_are_counted_in_bits(total, chosen):
    bits = math.log2(math.comb(total, chosen))
    assert choices(total, chosen) == pytest.approx(bits, abs=1e-12)
