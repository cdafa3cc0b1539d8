"""The measured noise of costs whose noise is known."""

import numpy as np
import pytest

from checks import Verdict, check_gradient
from checks.estimation.difference_table import DifferenceTable
from checks.estimation.noise import measure_noise
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.step_sizes import typical_size
from tests.checks.functions import rough

X = np.array([0.7, -1.3, 0.2, 1.9])
SEEDS = range(20)
EPS = np.finfo(float).eps


def smooth(x):
    return 1 + np.sum(np.exp(x))


def measured(cost, x=X):
    return [
        measure_noise(Evaluations(cost, x.copy()), np.random.default_rng(seed)) for seed in SEEDS
    ]


def rms_rounding(cost, x=X):
    """Return the root mean square of the rounding errors of a cost around x."""
    rng = np.random.default_rng(0)
    points = x * (1 + 1e-6 * rng.standard_normal((200, x.size))).astype(x.dtype)
    errors = [float(cost(p)) - smooth(p.astype(np.longdouble)) for p in points]
    return float(np.sqrt(np.mean(np.square(errors))))


ULP32 = float(np.spacing(np.float32(smooth(X))))
# id: (cost, its noise)
KNOWN = {
    "gaussian 1e-3": (lambda x: smooth(x) + 1e-3 * rough(x), 1e-3),
    "gaussian 1e-6": (lambda x: smooth(x) + 1e-6 * rough(x), 1e-6),
    "gaussian 1e-12": (lambda x: smooth(x) + 1e-12 * rough(x), 1e-12),
    "quantised to 1e-6": (lambda x: round(smooth(x), 6), 1e-6 / 12**0.5),
    "quantised to 1e-3": (lambda x: round(smooth(x), 3), 1e-3 / 12**0.5),
    "rounded to float32": (lambda x: np.float32(smooth(x)), ULP32 / 12**0.5),
    "rounded to float32, a float": (lambda x: float(np.float32(smooth(x))), ULP32 / 12**0.5),
    "float64": (smooth, rms_rounding(smooth)),
    "float32 inside": (
        lambda x: float(smooth(x.astype(np.float32))),
        rms_rounding(lambda x: smooth(x.astype(np.float32))),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_noise_is_found_within_a_factor(name):
    cost, true = KNOWN[name]
    levels = np.array([noise.level for noise in measured(cost)]) / true
    assert 1 / 4 <= np.median(levels) <= 4
    assert 1 / 10 <= levels.min() <= levels.max() <= 10


def test_relative_noise_is_the_level_over_the_cost():
    noise = measured(KNOWN["gaussian 1e-3"][0])[0]
    assert noise.relative == pytest.approx(noise.level / smooth(X), rel=0.1)


def test_noise_of_float32_parameters_is_that_of_float32():
    x = X.astype(np.float32)
    true = rms_rounding(smooth, x)
    assert all(true / 10 <= noise.level <= 10 * true for noise in measured(smooth, x))


@pytest.mark.parametrize("size", [1e-9, 1e-3])
def test_a_cost_that_differs_between_two_calls_is_stochastic(size):
    rng = np.random.default_rng(0)
    noises = measured(lambda x: smooth(x) + size * rng.standard_normal())
    assert all(noise.stochastic for noise in noises)
    assert all(size / 10 <= noise.level <= 10 * size for noise in noises)


def test_other_costs_are_not_stochastic():
    assert not any(noise.stochastic for cost, _ in KNOWN.values() for noise in measured(cost))


@pytest.mark.parametrize("value", [0.0, 1.5, -1e300])
def test_a_constant_is_unseen_and_has_the_noise_of_its_last_place(value):
    for noise in measured(lambda _: value):
        assert noise.is_constant
        assert noise.level <= np.spacing(abs(value))


def test_a_cost_of_only_one_entry_of_many_is_seen():
    assert not any(noise.is_constant for noise in measured(lambda x: x[0] ** 2, np.ones(300)))


def test_a_perfect_fit_has_the_noise_of_its_neighbours():
    # the cost is exactly 0 at the point, and rounded at the points around it
    for noise in measured(lambda x: np.sum((np.exp(x) - np.exp(X)) ** 2)):
        assert 0 < noise.level < 1e-15


def test_the_parameters_are_as_before():
    x = X.copy()
    measure_noise(Evaluations(smooth, x), np.random.default_rng(0))
    assert x.tobytes() == X.tobytes()


def test_a_difference_table_tells_noise_from_a_function():
    rng = np.random.default_rng(0)
    t = np.arange(9)
    level, unsuitable = DifferenceTable(t, 5 + 1e-3 * t + 1e-6 * rng.standard_normal(9)).noise()
    assert unsuitable == ""
    assert 2e-7 < level < 5e-6
    assert DifferenceTable(t, np.exp(t)).noise() == (None, "too large")
    assert DifferenceTable(t, np.ones(9)).noise() == (None, "too small")


@pytest.mark.parametrize(
    ("values", "size"),
    [([3.0, 4.0], 12.5**0.5), ([0.0, 0.0], 1), ([], 1), ([1e300] * 3, 1e300), ([5e-324], 5e-324)],
)
def test_typical_size_is_the_root_mean_square(values, size):
    assert typical_size(np.array(values)) == pytest.approx(size)


class TestNoiseIsMeasured:
    def check(self, cost, gradient, **options):
        return check_gradient(cost, gradient, X.copy(), **options)

    def test_not_where_complex_steps_suffice(self):
        report = self.check(smooth, np.exp)
        assert report.method == "complex-step"
        assert report.noise == EPS
        assert report.evaluations < 40  # a measurement takes 28

    def test_for_differences(self):
        report = self.check(lambda x: smooth(x.real), np.exp)
        assert report.method == "central"
        assert report.evaluations > 4 * 6 + 28

    def test_where_the_cost_does_not_repeat_itself(self):
        rng = np.random.default_rng(0)
        report = self.check(lambda x: smooth(x) * (1 + 1e-9 * rng.standard_normal()), np.exp)
        assert report.noise > 1e-10

    @pytest.mark.parametrize("seed", range(20))
    def test_where_float32_rounds_complex_steps_too(self, seed):
        def single(x):
            dtype = np.complex64 if np.iscomplexobj(x) else np.float32
            return smooth(np.asarray(x * (1 + seed / 8), dtype)).item()

        claim = np.exp((X * (1 + seed / 8)).astype(np.float32)) * np.float32(1 + seed / 8)
        report = self.check(single, claim.astype(float))
        assert report.verdict is not Verdict.MISMATCH
        assert report.rtol > 1e-4
