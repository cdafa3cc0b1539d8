"""Options of functions with many results: by default those of a cost."""

from dataclasses import asdict
from inspect import signature

import numpy as np

from checks import check_gradient
from checks.derivatives.options import Options, symmetric_rows
from checks.estimation.estimates import Estimates
from checks.estimation.finite_differences import Estimate


def test_defaults_are_those_of_a_gradients_check():
    defaults = {name: p.default for name, p in signature(check_gradient).parameters.items()}
    for name, value in asdict(Options()).items():
        assert value == defaults[name], name


def test_halves_of_a_symmetric_matrix_that_do_not_meet_have_errors_to_reach_each_other():
    value = np.array([[1.0, 2.0, 3.0], [2.5, 4.0, -1.0], [3.2, 1.0, 6.0]])
    error = np.array([[0.1, 0.1, 0.1], [0.2, 0.1, np.inf], [0.15, 0.1, 0.1]])

    def row(k):
        parts = {"w": slice(0, 2), "b": slice(2, 3)}
        by_path = {path: Estimate(value[k, part], error[k, part]) for path, part in parts.items()}
        return f"evaluations {k}", Estimates(None, None, 1e-8, by_path, 0)

    found = list(symmetric_rows([row(k) for k in range(3)]))
    assert [given for given, _ in found] == ["evaluations 0", "evaluations 1", "evaluations 2"]
    joined = [np.concatenate([e.error for e in one.by_path.values()]) for _, one in found]
    # 2 ± 0.1 and 2.5 ± 0.2 do not meet; 3 ± 0.1 and 3.2 ± 0.15 do
    expected = np.array([[0.1, 0.7, 0.1], [0.6, 0.1, np.inf], [0.15, 0.1, 0.1]])
    np.testing.assert_allclose(joined, expected, rtol=1e-12)
    values = [np.concatenate([e.value for e in one.by_path.values()]) for _, one in found]
    np.testing.assert_array_equal(values, value)
