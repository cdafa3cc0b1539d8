"""Training steps: the gradient that an update implies, at every learning rate."""

import numpy as np
import pytest

from checks import (
    GradientMismatch,
    GradientUnresolved,
    Verdict,
    assert_step,
    check_step,
)
from checks.conformance.naming.faults import FAULTS, right_target
from checks.strategies import Problem

TEXTBOOK = right_target()
PROBLEM = Problem.generate((4, 5, 3), samples=3, seed=1)


def network(dtype="float64"):
    """Return a cost and its parameters, (weights, biases)."""
    problem = Problem.generate(PROBLEM.sizes, samples=3, seed=1, dtype=dtype)
    params = (problem.weights, problem.biases)
    return lambda params: TEXTBOOK.cost(*params, problem.x, problem.y), params


def gradient(params):
    return TEXTBOOK.gradient(*params, PROBLEM.x, PROBLEM.y)


def functional(params, eta):
    return tuple(
        [p - eta * g for p, g in zip(part, slopes, strict=True)]
        for part, slopes in zip(params, gradient(params), strict=True)
    )


def in_place(params, eta):
    for part, slopes in zip(params, gradient(params), strict=True):
        for p, g in zip(part, slopes, strict=True):
            p[...] = p - eta * g


def in_place_and_returned(params, eta):
    in_place(params, eta)
    return params


def other_nesting(params, eta):
    weights, biases = functional(params, eta)
    return [tuple(weights), tuple(biases)]


RIGHT = [functional, in_place, in_place_and_returned, other_nesting]


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("step", RIGHT, ids=lambda step: step.__name__)
def test_a_right_step_matches(step, method):
    cost, params = network()
    report = assert_step(cost, step, params, method=method)
    assert report.verdict is Verdict.MATCH
    assert report.detectable < 1e-5


@pytest.mark.parametrize("step", RIGHT, ids=lambda step: step.__name__)
@pytest.mark.parametrize("method", ["auto", "central"])
def test_the_parameters_are_as_before_bit_for_bit(step, method):
    cost, params = network()
    before = [p.tobytes() for part in params for p in part]
    arrays = [p for part in params for p in part]
    check_step(cost, step, params, method=method)
    assert [p.tobytes() for part in params for p in part] == before
    assert all(p is q for p, q in zip((p for part in params for p in part), arrays, strict=True))


def test_the_parameters_are_restored_if_the_step_raises():
    cost, params = network()
    before = params[0][0].copy()

    def step(params, eta):
        params[0][0] -= eta
        raise RuntimeError("the optimizer is broken")

    with pytest.raises(RuntimeError, match="the optimizer is broken"):
        check_step(cost, step, params)
    np.testing.assert_array_equal(params[0][0], before)


def test_cost_and_step_may_close_over_the_parameters():
    cost, params = network()
    report = assert_step(lambda _: cost(params), lambda _, eta: in_place(params, eta), params)
    assert report.verdict is Verdict.MATCH


def test_a_step_that_replaces_arrays_in_their_list():
    cost, params = network()
    first = params[0][0]

    def step(params, eta):
        for part, slopes in zip(params, gradient(params), strict=True):
            part[:] = [p - eta * g for p, g in zip(part, slopes, strict=True)]

    assert assert_step(cost, step, params)
    assert params[0][0] is first


def test_read_only_parameters_match():
    cost, params = network()
    for part in params:
        for p in part:
            p.flags.writeable = False
    assert assert_step(cost, functional, params)


def test_float32_is_a_match_or_a_mismatch():
    cost, params = network("float32")
    report = assert_step(cost, functional, params)
    assert report.verdict is Verdict.MATCH
    assert report.detectable < 1e-2

    def doubled(params, eta):
        return functional(params, 2 * eta)  # wrong on purpose

    assert check_step(cost, doubled, params).verdict is Verdict.MISMATCH


def updated_too_early():
    """Return a step whose backward pass uses weights that it has already updated."""

    def step(params, eta):
        early = FAULTS["updated w in the backward pass"].textbook(learning_rate=eta)
        slopes = early.gradient(*params, PROBLEM.x, PROBLEM.y)
        return tuple(
            [p - eta * g for p, g in zip(part, parts, strict=True)]
            for part, parts in zip(params, slopes, strict=True)
        )

    return step


@pytest.mark.parametrize("method", ["auto", "central"])
def test_weights_updated_before_they_are_used_are_caught_and_named(method):
    cost, params = network()
    report = check_step(cost, updated_too_early(), params, method=method)
    assert report.verdict is Verdict.MISMATCH
    assert "depends on the learning rate" in str(report)
    assert [found.name for found in report.diagnosis] == ["updated weights"]
    text = "params[0][1] and params[1][1] are right at every rate"
    assert text in report.diagnosis[0].text
    assert report.worst.path.endswith("[0]")  # the layer below is wrong, the last is right
    assert report.arrays["params[0][1]"].verdict is Verdict.MATCH


def test_weights_updated_too_early_show_at_large_learning_rates_only():
    cost, params = network()
    step = updated_too_early()
    tiny = check_step(cost, step, params, learning_rates=[1e-7], rtol=1e-3)
    assert tiny.verdict is Verdict.MATCH
    both = check_step(cost, step, params, learning_rates=[1e-7, 10.0], rtol=1e-3)
    assert both.verdict is Verdict.MISMATCH
    assert "At learning rate 10." in str(both)


WRONG = {
    "twice": lambda params, eta: functional(params, 2 * eta),
    "ascent": lambda params, eta: functional(params, -eta),
    "a thousandth": lambda params, eta: functional(params, 1.001 * eta),
    "nothing": lambda params, eta: None,
    "not by the learning rate": lambda params, eta: functional(params, 0.1),
    "weights only": lambda params, eta: (functional(params, eta)[0], params[1]),
    "decay": lambda params, eta: tuple(
        [p - 1e-3 * eta * q for p, q in zip(part, old, strict=True)]
        for part, old in zip(functional(params, eta), params, strict=True)
    ),
    "momentum": lambda params, eta: functional(params, eta / (1 - 0.9)),
}  # wrong on purpose, each


def of_problem(problem):
    """Return the cost of a network, its gradient on some samples, and its parameters."""

    def cost(params):
        return TEXTBOOK.cost(*params, problem.x, problem.y)

    def gradient(params, rows=slice(None)):
        return TEXTBOOK.gradient(*params, problem.x[rows], problem.y[rows])

    return cost, gradient, (problem.weights, problem.biases)


def moved(params, gradient, eta, decay=lambda p: 0.0):
    return tuple(
        [(p - decay(p) - eta * g).astype(p.dtype) for p, g in zip(part, slopes, strict=True)]
        for part, slopes in zip(params, gradient, strict=True)
    )


def scaled(gradient, factor):
    return tuple([factor * g for g in part] for part in gradient)


def plus(one, other):
    return tuple(
        [a + b for a, b in zip(mine, theirs, strict=True)]
        for mine, theirs in zip(one, other, strict=True)
    )


def with_velocity(gradient, mu, inside=False, share=1.0):
    """Return v ← μ v + share · g and θ − η v; or, with η inside, v ← μ v + η g and θ − v."""
    velocity = None

    def step(params, eta):
        nonlocal velocity
        new = scaled(gradient(params), share * (eta if inside else 1))
        velocity = plus(scaled(velocity, mu), new) if velocity else new
        return moved(params, velocity, 1 if inside else eta)

    return step


def sample_by_sample(gradient, share):
    def step(params, eta):
        for k in range(PROBLEM.x.shape[0]):
            params = moved(params, gradient(params, [k]), share * eta)  # wrong on purpose
        return params

    return step


B = len(PROBLEM.x)
STEPS = [
    ("momentum", "μ = 0.9. ", lambda g: with_velocity(g, 0.9)),
    ("momentum", "μ = 0.5. ", lambda g: with_velocity(g, 0.5, inside=True)),
    ("momentum", "times 1 − μ = 0.2, which is right", lambda g: with_velocity(g, 0.8, share=0.2)),
    ("momentum", "μ = 0.1. ", lambda g: with_velocity(g, 0.1, inside=True)),
    ("sample by sample", "the step is right, and off", lambda g: sample_by_sample(g, 1 / B)),
    ("sample by sample", "the mean over 3 samples?", lambda g: sample_by_sample(g, 1)),
    ("scale", "as a sum over 7 samples", lambda g: lambda p, eta: moved(p, g(p), 7 * eta)),
    ("scale", "1.3 ×", lambda g: lambda p, eta: moved(p, g(p), 1.3 * eta)),
    ("sign", "opposite sign", lambda g: lambda p, eta: moved(p, g(p), -eta)),
    (
        "decay",
        "subtracts λ η × the parameters, in params[0][0], params[0][1], params[1][0] and",
        lambda g: lambda p, eta: moved(p, g(p), eta, lambda v: 0.01 * eta * v),
    ),
    (
        "decay",
        "in params[0][0] and params[0][1], λ = 0.001",
        lambda g: lambda p, eta: moved(p, g(p), eta, lambda v: 1e-3 * v * (v.ndim == 2)),
    ),
    ("learning rate", "0.1 × the gradient", lambda g: lambda p, eta: moved(p, g(p), 0.1)),
    ("learning rate", "η²", lambda g: lambda p, eta: moved(p, g(p), eta**2)),
]  # wrong on purpose, each


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "text", "wrong"), STEPS, ids=[f"{s[0]}: {s[1]}" for s in STEPS])
def test_a_mistake_that_only_steps_have_is_named(name, text, wrong, seed):
    problem = Problem.generate(PROBLEM.sizes, samples=B, seed=seed)
    cost, gradient, params = of_problem(problem)
    report = check_step(cost, wrong(gradient), params, seed=seed)
    assert [found.name for found in report.diagnosis] == [name], str(report)
    assert text in report.diagnosis[0].text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_looks_like_these_mistakes_is_not_called_so(dtype):
    """A right step, noise, other factors and steps that depend on η otherwise."""
    problem = Problem.generate(PROBLEM.sizes, samples=B, seed=4, dtype=dtype)
    cost, gradient, params = of_problem(problem)
    rng = np.random.default_rng(0)

    def noisy(params, eta):
        return moved(params, gradient(params, rng.choice(B, 1)), eta)

    def bent(params, eta):
        return moved(params, scaled(gradient(params), 1.2 + eta / (1 + eta)), eta)

    def partly(params, eta):
        slopes = gradient(params)
        return moved(params, tuple([g * (1 + g) for g in part] for part in slopes), eta)

    assert check_step(cost, lambda p, eta: moved(p, gradient(p), eta), params)
    names = {"noisy": ["not repeatable"], "bent": None, "partly": []}
    for step in (noisy, bent, partly):
        report = check_step(cost, step, params)
        assert report.verdict is Verdict.MISMATCH
        found = [mistake.name for mistake in report.diagnosis]
        if step is bent:  # at each rate it is a factor
            assert set(found) <= {"scale"}
        else:
            assert found == names[step.__name__]


@pytest.mark.parametrize("method", ["auto", "central"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_step_is_a_mismatch(name, method):
    cost, params = network()
    with pytest.raises(GradientMismatch, match="At learning rate"):
        assert_step(cost, WRONG[name], params, method=method)


def test_a_learning_rate_too_small_for_rounding_is_unresolved():
    cost, params = network()
    with pytest.raises(GradientUnresolved):
        assert_step(cost, functional, params, learning_rates=[1e-20])
    assert check_step(cost, WRONG["twice"], params, learning_rates=[1e-20]).verdict is not (
        Verdict.MATCH
    )


def test_a_learning_rate_too_small_does_not_count_beside_a_match():
    cost, params = network()
    assert assert_step(cost, functional, params, learning_rates=[1e-20, 1.0])


@pytest.mark.parametrize("rates", [[], [0.0], [-0.1], [np.inf], [np.nan], [0.1, 0.0]], ids=repr)
def test_learning_rates_that_are_not_positive_are_refused(rates):
    cost, params = network()
    with pytest.raises(ValueError, match=r"learning_rates is .*, wanted positive numbers"):
        check_step(cost, functional, params, learning_rates=rates)


def test_a_step_of_another_size_is_refused_with_both_shapes():
    cost, params = network()
    with pytest.raises(ValueError, match=r"step\(params, learning_rate\)\[0\]\[0\] has shape"):
        check_step(cost, lambda params, _: ([p[:1] for p in params[0]], params[1]), params)


def test_a_step_that_returns_nan_is_a_mismatch():
    cost, params = network()
    report = check_step(
        cost, lambda params, eta: functional(params, np.nan), params
    )  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH


def test_a_step_that_returns_nothing_and_moves_nothing_is_asked_for_its_return():
    cost, params = network()
    report = check_step(cost, lambda p, eta: None, params)  # wrong on purpose
    assert report.verdict is Verdict.MISMATCH
    assert any("is a return forgotten" in finding for finding in report.findings)
    assert not any(
        "forgotten" in finding for finding in check_step(cost, in_place, params).findings
    )
