"""The noise of every result, planted in functions of many."""

import numpy as np
import pytest

from checks.estimation import result_noise
from checks.estimation.noise import CostNoise
from checks.estimation.result_noise import measure_result_noise
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.result import UNKNOWN
from checks.evaluation.results import Results

X = np.random.default_rng(0).uniform(0.5, 2, 40)


def evaluations_of(f, x=X):
    """Return the evaluations of a sum over the results of f."""
    results = Results(f, x)
    u = np.random.default_rng(1).uniform(0.5, 1, x.size)
    return Evaluations(results.contractions([{"f(x)": u}])[0], x)


def levels_of(f, level=1.0):
    evaluations = evaluations_of(f)
    with evaluations.restoring_parameters():
        measure_result_noise(evaluations, level, 0)
    return evaluations.cost.results.noise


def noisy(x, level):
    """Return sin x with a noise of that standard deviation."""
    return np.sin(x) + np.sqrt(2) * level * np.sin(1e20 * x)


def test_every_result_has_its_own_noise():
    planted = 10.0 ** np.random.default_rng(2).uniform(-12, -3, X.size)
    found = levels_of(lambda x: noisy(x, planted)).level
    assert (planted / 2 <= found).all()
    assert np.median(found / planted) < 2


@pytest.mark.parametrize("narrow", [np.float32, np.float16])
def test_rounding_inside_is_noise(narrow):
    found = levels_of(lambda x: np.sin(x.astype(narrow).astype(float)))
    rounding = np.spacing(X.astype(narrow)) * np.abs(np.cos(X)) / np.sqrt(12)
    assert (found.level >= rounding / 3).all()
    assert (found.level <= 8 * np.finfo(narrow).eps).all()
    assert not found.is_narrow
    assert levels_of(lambda x: np.sin(x.astype(narrow)).astype(float)).is_narrow


def test_a_kink_close_by_is_no_noise():
    kinks = X * (1 + 1e-4)
    found = levels_of(lambda x: np.abs(x - kinks) + noisy(x, 1e-9))
    assert np.median(found.level) < 4e-9


def test_noise_that_blurs_nothing_is_not_measured():
    evaluations = evaluations_of(np.sin)
    measure_result_noise(evaluations, 1e-15, 0)
    assert evaluations.cost.results.noise is None


def test_a_result_that_is_not_finite_beside_the_point_has_no_known_noise():
    first = float(X[0])
    found = levels_of(lambda x: noisy(np.where(x[0] == first, x, np.nan), 1e-9))
    assert (found.level == UNKNOWN).all()


def test_an_entry_meets_the_noise_of_the_results_that_it_moves():
    planted = np.where(np.arange(X.size) == 3, 1e-4, 1e-9)
    evaluations = evaluations_of(lambda x: noisy(x, planted))
    with evaluations.restoring_parameters():
        noise = CostNoise(evaluations, 0).measured
        entries = np.arange(X.size)
        assert evaluations.noise_of("params", entries, noise.level) == noise.level  # not moved yet
        evaluations.at_entries("params", entries, 1e-3 * X[:, None] * [1, -1])
        found = evaluations.noise_of("params", entries, noise.level)
    assert 2e-5 < found[3] <= noise.level
    # what another entry may hide of the noisy result counts, by the part that entries move of it
    assert (np.delete(found, 3) < noise.level / 8).all()
    assert (np.delete(found, 3) > 1e-9 / 2).all()


def test_a_result_that_an_entry_does_not_move_counts_less():
    results = Results(lambda x: x.astype(np.float32), X)
    evaluations = Evaluations(next(results.costs()), X)
    with evaluations.restoring_parameters():
        evaluations.at_entries("params", np.arange(X.size), 1e-3 * X[:, None] * [1, -1])
    found = evaluations.noise_of("params", np.arange(X.size), 1.0)
    assert found[0] == 1
    assert (found[1:] < 1 / 8).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_wider_dtype_or_rounding_toward_zero_changes_counts(monkeypatch, sign):
    deltas = {}

    def vector(evaluations, dtype, toward_zero):
        off = deltas.get("toward zero" if toward_zero else "wider", 0.0)
        return evaluations.cost.results.vector(X) + sign * off

    monkeypatch.setattr(result_noise, "_vector", vector)
    monkeypatch.setattr(result_noise, "toward_zero_is_available", lambda: True)
    found = lambda: levels_of(lambda x: noisy(x, 1e-9)).level  # noqa: E731
    alone = found()
    for name, factor in (("wider", 1), ("toward zero", 1024)):
        deltas = {name: 0.9 * factor * alone}
        np.testing.assert_allclose(found(), alone)
        deltas = {name: 1.1 * factor * alone}
        np.testing.assert_allclose(found(), 1.1 * factor * alone, rtol=1e-6)
    deltas = {"wider": np.nan}
    np.testing.assert_array_equal(found(), alone)
    deltas = {"toward zero": np.nan}  # as large as the results are
    np.testing.assert_array_equal(found(), np.abs(noisy(X, 1e-9)))


def test_the_last_place_is_that_of_the_narrowest_dtype_that_holds_a_result():
    wide = np.array([0.1, 0.2, 0.3])
    single, half = wide.astype(np.float32), wide.astype(np.float16)
    two = np.array([0.5, 0.25, 0.5])  # so few numbers may be short by chance
    holes = np.where([0, 0, 0, 1], np.nan, [0.5, 0.25, -0.75, 0])
    columns = [np.append(c, c[0]).astype(float) for c in (wide, -single, half, two)]
    places, is_narrow = result_noise._last_places(np.stack([*columns, holes], axis=1))
    spacing = [np.spacing(0.3), np.spacing(single[2]), np.spacing(half[2])]
    assert places.tolist() == [*spacing, np.spacing(0.5), np.spacing(np.float16(0.75))]
    assert not is_narrow
    _, is_narrow = result_noise._last_places(np.stack(columns[1:], axis=1))
    assert is_narrow
