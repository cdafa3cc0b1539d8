"""Functions whose steps are as short as last places of the parameters, and casts, which are not."""

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.estimation.precision import wider_dtype

pytestmark = pytest.mark.skipif(
    wider_dtype(np.float64) is None, reason="long double is float64 on this platform"
)

# function, slope between its jumps, the distance of these
STEPS = {
    "floor": (np.floor, 0, 1.0),
    "ceil": (np.ceil, 0, 1.0),
    "trunc": (np.trunc, 0, 1.0),
    "rint": (np.rint, 0, 1.0),
    "fmod": (lambda z: np.fmod(z, 0.25), 1, 0.25),
    "round": (lambda z: np.round(z, 2), 0, 0.01),
    "an integer cast": (lambda z: z.astype(np.int64).astype(z.dtype), 0, 1.0),
}
WEIGHTS = np.array([1.5, -2.0, 0.75])
# cost of f(x), and the right gradient, of f'(x) and x
FORMS = {
    "mean": (lambda f, x: np.mean(f), lambda f, slope, x: slope / 3),
    "weighted": (lambda f, x: np.dot(f, WEIGHTS), lambda f, slope, x: slope * WEIGHTS),
    "of the residual": (
        lambda f, x: np.sum((x - f) * WEIGHTS) + np.sum(x),
        lambda f, slope, x: (1 - slope) * WEIGHTS + 1,
    ),
    "a factor": (lambda f, x: np.sum(f * x), lambda f, slope, x: f + slope * x),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", STEPS)
def test_right_gradients_are_not_accused_where_steps_are_last_places(name, form, dtype):
    (function, slope, step), (cost, gradient) = STEPS[name], FORMS[form]
    for places in (0.5, 1.4) if dtype == "float32" else (1,):
        # the numbers around x are step / places apart, times up to 2
        size = step / places / float(np.finfo(dtype).eps)
        x = (size * np.array([1.0123, -1.7, 1.33])).astype(dtype)
        right = gradient(np.asarray(function(x), float), np.full(3, slope), x.astype(float))
        report = check_gradient(
            lambda x: cost(function(x), x), right.astype(dtype), x, method="central"
        )
        assert report.verdict is not Verdict.MISMATCH, str(report)


@pytest.mark.parametrize(
    ("inner", "slope"),
    [
        (lambda z: 3 * z, lambda z: 3 + 0 * z),
        (lambda z: z * z, lambda z: 2 * z),
        (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        (np.sin, np.cos),
    ],
    ids=["3x", "x²", "tanh", "sin"],
)
def test_steps_of_a_cast_excuse_no_claim_that_forgets_it(inner, slope):
    for size in (0.7, 1.3, 40.0) if inner(20.0) > 2 else (0.7, 1.3):
        x = (size * np.array([1.0, -0.6, 0.45])).astype(np.float32)

        def cost(x):
            return np.dot(inner(x).astype(np.float32), WEIGHTS) + np.sum(x)

        right = WEIGHTS * slope(x.astype(float)) + 1
        assert check_gradient(cost, right.astype(np.float32), x).verdict is Verdict.MATCH
        wrong = np.ones(3, np.float32)  # wrong on purpose
        assert check_gradient(cost, wrong, x).verdict is Verdict.MISMATCH
