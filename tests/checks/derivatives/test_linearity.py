"""What products owe besides their values: zeros for zeros, and vectors left as they are."""

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.derivatives.linearity import compared_with_zeros, overwriting, with_vector

MATCH, MISMATCH = Verdict.MATCH, Verdict.MISMATCH


@pytest.mark.parametrize("sign", [1, -1])
def test_only_exact_zeros_are_right(sign):
    products = {"w": np.array([[0.0, sign * 5e-324], [np.nan, -0.0]]), "b": np.zeros(2)}
    arrays = compared_with_zeros(products)
    assert arrays["w"].verdicts.tolist() == [[MATCH, MISMATCH], [MISMATCH, MATCH]]
    assert arrays["b"].verdict is MATCH


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_what_overwrites_its_argument_is_wrong_whatever_its_values_are(factor):
    x = np.array([0.5, 2.0])
    before = check_gradient(lambda x: np.sum(x**2), lambda x: factor * 2 * x, x)
    report = overwriting(before, "vjp", "cotangent", "u[0] from 1 to 0")
    assert (report.arrays["params"].verdicts == MISMATCH).all()
    assert report.diagnosis[0].name == "overwritten cotangent"
    assert "u[0] from 1 to 0" in report.diagnosis[0].text
    right = "Let it work on a copy. Apart from that, its values are right."
    other = "Let it work on a copy. The check went on with copies."
    assert report.diagnosis[0].text.endswith(right if factor == 1 else other)
    assert report.diagnosis[1:] == before.diagnosis
    # the report that was given is left as it was
    assert before.verdict is (MATCH if factor == 1 else MISMATCH)


def test_a_vector_comes_before_x():
    assert with_vector(lambda x, v: x - 10 * v, 2, 3) == -17
