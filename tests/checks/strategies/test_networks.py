from itertools import pairwise

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from checks.strategies import (
    REGIMES,
    Problem,
    batches,
    generate_arrays,
    layer_sizes,
    parameters,
    problems,
)
from tests.checks.strategies.finding import smallest

DTYPES = ("float64", "float32")
NO_SHRINKING = settings(max_examples=600, phases=[Phase.generate])


def bits(arrays):
    """Return arrays in a form that differs if a dtype, a shape or any bit does."""
    return [(array.dtype.name, array.shape, array.tobytes()) for array in arrays]


def weighted_inputs(problem):
    """Return the z^l of the notes' network, one array a layer."""
    a, zs = problem.x, []
    for w, b in zip(problem.weights, problem.biases, strict=True):
        zs.append(a @ w.T + b)
        a = 1 / (1 + np.exp(-zs[-1]))
    return zs


# Shapes and types


@given(layer_sizes(min_layers=2, max_layers=3, min_width=4, max_width=5))
def test_sizes_keep_their_bounds(sizes):
    assert isinstance(sizes, tuple)
    assert 3 <= len(sizes) <= 4
    assert all(4 <= n <= 5 for n in sizes)


@given(problems(min_samples=2, max_samples=3))
def test_a_problem_has_the_shapes_of_the_notes(problem):
    n = problem.sizes
    assert [w.shape for w in problem.weights] == [(m, k) for k, m in pairwise(n)]
    assert [b.shape for b in problem.biases] == [(m,) for m in n[1:]]
    assert problem.x.shape == (len(problem.x), n[0])
    assert problem.y.shape == (len(problem.x), n[-1])
    assert 2 <= len(problem.x) <= 3


@pytest.mark.parametrize(
    "dtype", [*DTYPES, pytest.param(np.float32, id="type"), np.dtype(np.float64)]
)
@given(data=st.data())
def test_every_array_has_the_dtype(data, dtype):
    problem = data.draw(problems(dtype=dtype))
    assert {array.dtype for array in problem.arrays} == {np.dtype(dtype)}
    assert all(np.isfinite(array).all() for array in problem.arrays)


@given(parameters((3, 2), dtype="float32"), batches((3, 2), min_samples=4, dtype="float32"))
def test_parameters_and_batches_have_the_shapes_of_the_notes(theta, batch):
    weights, biases = theta
    assert [w.shape for w in weights] == [(2, 3)]
    assert [b.shape for b in biases] == [(2,)]
    x, y = batch
    assert x.shape == (len(x), 3)
    assert y.shape == (len(x), 2)
    assert 4 <= len(x) <= 6
    assert {a.dtype for a in (*weights, *biases, x, y)} == {np.dtype(np.float32)}


@given(parameters(layer_sizes(min_layers=3)), problems(np.array([2, 3])))
def test_sizes_may_be_a_strategy_or_any_iterable(theta, problem):
    assert len(theta[0]) >= 3
    assert problem.sizes == (2, 3)
    assert all(type(n) is int for n in problem.sizes)


# Regimes


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("regime", REGIMES)
def test_every_regime_is_drawn_tiny_and_seeded(regime, seeded):
    def is_drawn(problem):
        return problem.regime == regime and (problem.seed is not None) == seeded

    small = layer_sizes(max_layers=2, max_width=2)
    assert is_drawn(find(problems(small), is_drawn, settings=NO_SHRINKING))


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_ordinary_problems_are_not_degenerate(data, dtype):
    problem = data.draw(problems(regime="ordinary", dtype=dtype))
    assert all(array.all() for array in (*problem.weights, *problem.biases, problem.x))
    assert ((problem.y >= 0) & (problem.y <= 1)).all()


def test_ordinary_weights_have_variance_one_over_the_width_below():
    problem = Problem.generate((400, 300, 200), regime="ordinary")
    for w, b, n in zip(problem.weights, problem.biases, problem.sizes, strict=False):
        assert w.std() == pytest.approx(n**-0.5, rel=0.02)
        assert b.std() == pytest.approx(1, rel=0.2)


def test_ordinary_y_lie_anywhere_from_0_to_1():
    y = Problem.generate((2, 3, 50), 40, seed=3).y
    assert 0 <= y.min() < 0.01
    assert 0.99 < y.max() <= 1
    assert abs(y.mean() - 0.5) < 0.05


def test_saturated_weighted_inputs_are_typically_20_to_40():
    zs = weighted_inputs(Problem.generate((50, 40, 30, 20), 10, "saturated"))
    assert all(20 < np.median(abs(z)) < 40 for z in zs)
    assert all(np.mean(abs(z) > 10) > 0.9 for z in zs)
    assert all((z > 0).any() and (z < 0).any() for z in zs)


@given(problems(regime="saturated"))
def test_saturated_biases_are_20_to_40(problem):
    assert all(((abs(b) > 19) & (abs(b) < 41)).all() for b in problem.biases)


@given(problems(regime="vanishing"))
def test_vanishing_problems_are_deep_and_pass_little_back(problem):
    assert len(problem.sizes) > 2
    for w in problem.weights:
        assert np.linalg.norm(w, 2) / 4 < 0.02  # σ' ≤ 1/4
    assert all(b.all() for b in problem.biases)


@given(problems(regime="zeros"))
def test_zeros_fill_whole_arrays(problem):
    zero = [not array.any() for array in (*problem.weights, *problem.biases)]
    assert any(zero)
    assert all(array.all() or not array.any() for array in problem.arrays[: len(zero)])
    assert not any(np.signbit(array[array == 0]).any() for array in problem.arrays)


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("kind", ["weights", "biases"])
def test_zeros_may_fill_weights_or_biases_alone(kind, seeded):
    def only_this_kind(problem):
        other = {"weights": problem.biases, "biases": problem.weights}[kind]
        return all(array.all() for array in other) and (problem.seed is not None) == seeded

    small = layer_sizes(max_layers=2, max_width=2)
    problem = find(problems(small, regime="zeros"), only_this_kind, settings=NO_SHRINKING)
    assert not all(array.any() for array in getattr(problem, kind))


@given(problems(regime="targets"))
def test_targets_lie_outside_the_range_of_a_logistic(problem):
    assert ((problem.y <= -0.5) | (problem.y >= 1.5)).all()


@given(problems((1, 1)).filter(lambda problem: problem.regime != "zeros"))
def test_z_of_a_tiny_network_of_one_layer_is_neither_0_nor_the_target(problem):
    z = problem.x @ problem.weights[0].T + problem.biases[0]
    assert z.all()
    assert (z != problem.y).all()


# Shrinking


def test_sizes_shrink_to_few_layers_then_to_narrow_ones():
    assert smallest(layer_sizes()) == (1, 1)
    assert smallest(layer_sizes(min_layers=3)) == (1, 1, 1, 1)
    assert smallest(layer_sizes(min_width=3)) == (3, 3)
    assert smallest(layer_sizes(), lambda sizes: max(sizes) > 4) == (1, 5)
    assert smallest(layer_sizes(), lambda sizes: len(sizes) > 2 and sizes[1] > 4) == (1, 5, 1)


@pytest.mark.parametrize(
    ("regime", "sizes", "weights", "biases", "x", "y"),
    [
        (None, (1, 1), [[[0.5]]], [[0.125]], [[0.5]], [[0.0]]),
        ("ordinary", (1, 1), [[[0.5]]], [[0.125]], [[0.5]], [[0.0]]),
        ("saturated", (1, 1), [[[0.5]]], [[20.125]], [[0.5]], [[0.0]]),
        ("vanishing", (1, 1, 1), [[[0.001]]] * 2, [[0.125]] * 2, [[0.5]], [[0.0]]),
        ("zeros", (1, 1), [[[0.5]]], [[0.0]], [[0.5]], [[0.0]]),
        ("targets", (1, 1), [[[0.5]]], [[0.125]], [[0.5]], [[1.5]]),
    ],
)
def test_problems_shrink_to_one_layer_of_width_one_and_one_sample(
    regime, sizes, weights, biases, x, y
):
    problem = smallest(problems(regime=regime))
    assert problem.regime == (regime or "ordinary")
    assert problem.sizes == sizes
    assert [w.tolist() for w in problem.weights] == weights
    assert [b.tolist() for b in problem.biases] == biases
    assert problem.x.tolist() == x
    assert problem.y.tolist() == y


@pytest.mark.parametrize(
    ("condition", "sizes", "samples"),
    [
        (lambda problem: len(problem.sizes) == 4, (1, 1, 1, 1), 1),
        (lambda problem: problem.sizes[1] == 3, (1, 3), 1),
        (lambda problem: len(problem.x) == 3, (1, 1), 3),
        (lambda problem: problem.sizes[0] > 6 and problem.sizes[-1] > 6, (7, 7), 1),
    ],
)
def test_problems_shrink_to_the_smallest_that_still_fails(condition, sizes, samples):
    problem = smallest(problems(), condition)
    assert (problem.sizes, len(problem.x)) == (sizes, samples)
    assert problem.regime == "ordinary"


def test_the_numbers_of_a_tiny_problem_shrink_one_by_one():
    problem = smallest(problems((1, 1), max_samples=1), lambda problem: problem.weights[0] > 1.3)
    assert [array.item() for array in problem.arrays] == [1.5, 0.125, 0.5, 0.0]


def test_a_seed_shrinks_to_zero():
    assert smallest(problems((6, 6))).seed == 0


# What a failure prints


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_the_snippet_gives_the_arrays_bit_for_bit(data, dtype):
    problem = data.draw(problems(dtype=dtype))
    script = problem.snippet()
    assert "hypothesis" not in script
    assert "checks" not in script
    names = {}
    exec(script, names)
    given = [*names["weights"], *names["biases"], names["x"], names["y"]]
    assert names["sizes"] == problem.sizes
    assert bits(given) == bits(problem.arrays)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_the_repr_evaluates_to_the_problem(data, dtype):
    problem = data.draw(problems(dtype=dtype))
    again = eval(repr(problem), {"np": np, "Problem": Problem})
    assert bits(again.arrays) == bits(problem.arrays)
    assert (again.sizes, again.regime, again.seed) == (problem.sizes, problem.regime, problem.seed)
    assert repr(again) == repr(problem)


def test_the_repr_has_the_seed_only_if_the_arrays_are_those_of_the_seed():
    problem = Problem.generate((2, 3), samples=4, regime="targets", seed=7, dtype=np.float32)
    assert repr(problem) == (
        "Problem.generate((2, 3), samples=4, regime='targets', seed=7, dtype='float32')"
    )
    problem.weights[0][1, 1] = 0.75
    again = eval(repr(problem), {"np": np, "Problem": Problem})
    assert bits(again.arrays) == bits(problem.arrays)


@pytest.mark.parametrize("draw", [problems, parameters, batches])
def test_a_failing_test_prints_the_problem_as_an_expression(draw):
    @given(draw((6, 6)))
    def fails(_):
        raise AssertionError

    with pytest.raises(AssertionError) as failure:
        fails()
    printed = "\n".join(failure.value.__notes__)
    assert (
        "Problem.generate((6, 6), samples=1, regime='ordinary', seed=0, dtype='float64')" in printed
    )


# The generator


@pytest.mark.parametrize("regime", REGIMES)
def test_the_generator_is_a_function_of_its_arguments(regime):
    def arrays(**changed):
        arguments = {"samples": 3, "regime": regime, "seed": 5, "dtype": "float64"} | changed
        return bits(Problem.generate((4, 3, 2), **arguments).arrays)

    assert arrays() == arrays()
    for changed in ({"samples": 2}, {"seed": 6}, {"dtype": "float32"}):
        assert arrays() != arrays(**changed)


def test_the_generator_leaves_the_global_state_alone():
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002  (the state it must not touch)
    Problem.generate((4, 3, 2))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


def test_float32_is_float64_rounded():
    wide, narrow = (Problem.generate((3, 2), dtype=dtype) for dtype in DTYPES)
    for a, b in zip(wide.arrays, narrow.arrays, strict=True):
        np.testing.assert_array_equal(a.astype(np.float32), b)


def test_arrays_are_chained():
    weights, biases, x, y = generate_arrays((5, 4, 3), samples=2, seed=1)
    assert [w.shape for w in weights] == [(m, n) for n, m in pairwise((5, 4, 3))]
    assert [len(b) for b in biases] == [4, 3]
    assert (x.shape, y.shape) == ((2, 5), (2, 3))


# Bad input


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: layer_sizes(min_layers=0), "0 as a bound of layers: pass a whole number"),
        (lambda: layer_sizes(max_layers=2.0), "2.0 as a bound of layers: pass a whole number"),
        (lambda: layer_sizes(min_layers=5), "min_layers=5 is above max_layers=4: lower"),
        (lambda: layer_sizes(min_width=-1), "-1 as a bound of width: pass a whole number"),
        (lambda: layer_sizes(max_width=None), "None as a bound of width: pass a whole number"),
        (lambda: layer_sizes(min_width=3, max_width=2), "min_width=3 is above max_width=2"),
        (lambda: problems(min_samples=0), "0 as a bound of samples: pass a whole number"),
        (lambda: batches((1, 1), max_samples="6"), "'6' as a bound of samples"),
        (lambda: batches((1, 1), min_samples=7), "min_samples=7 is above max_samples=6"),
        (lambda: problems(()), "sizes=(): pass the widths n_0 … n_L, at least two"),
        (lambda: problems((3,)), "sizes=(3,): pass the widths"),
        (lambda: parameters(3), "sizes=3: pass the widths"),
        (lambda: parameters("32"), "sizes='32': pass the widths"),
        (lambda: parameters((3, 0)), "sizes=(3, 0): pass the widths"),
        (lambda: parameters((3, 2.5)), "or draw them from layer_sizes()"),
        (lambda: problems(regime="wild"), "regime='wild' is not known: pass one of ordinary, sat"),
        (lambda: problems((3, 2), regime="wild"), "regime='wild' is not known"),
        (lambda: problems((3, 2), regime="vanishing"), "sizes=(3, 2) has one: add a width"),
        (lambda: problems(dtype=int), "dtype=int64: pass np.float32 or np.float64"),
        (lambda: problems(dtype=np.float16), "dtype=float16: pass np.float32 or np.float64"),
        (lambda: problems(dtype=None), "dtype=None: pass np.float32 or np.float64"),
        (lambda: problems(dtype="fast"), "dtype='fast': pass np.float32 or np.float64"),
        (lambda: Problem.generate((3, 2), samples=0), "0 as a bound of samples"),
        (lambda: Problem.generate((3, 2), regime="vanishing"), "needs two layers or more"),
        (lambda: Problem.generate((3, 2), dtype=complex), "dtype=complex128"),
        (lambda: smallest(problems(st.just((3,)))), "sizes=(3,): pass the widths n_0"),
    ],
)
def test_impossible_arguments_name_the_remedy(call, fragment):
    with pytest.raises(InvalidArgument) as error:
        call()
    assert fragment in str(error.value)


def test_the_bare_generator_refuses_an_unknown_regime():
    with pytest.raises(ValueError, match="regime='wild' is not known"):
        generate_arrays((3, 2), regime="wild")
