"""Shapes of layers: what is drawn, and what mistakes of a layer shrink to."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from checks import Verdict, check_vjp
from checks.parameters.nesting import leaves
from checks.strategies import (
    Attention,
    Convolution,
    Normalisation,
    Recurrence,
    attentions,
    broadcasting_pairs,
    convolutions,
    generate_points,
    nested_shapes,
    normalisations,
    points,
    recurrences,
    shapes,
)
from tests.checks.strategies import layers
from tests.checks.strategies.finding import smallest

# name: (strategy, function, its vjp, the shapes of what it takes)
LAYERS = {
    "convolution": (convolutions(), layers.convolution, layers.convolution_vjp),
    "attention": (attentions(), layers.attention, layers.attention_vjp),
    "recurrence": (recurrences(), layers.recurrence, layers.recurrence_vjp),
    "normalisation": (normalisations(), layers.normalisation, layers.normalisation_vjp),
    "product": (broadcasting_pairs(), layers.product, layers.product_vjp),
}
ONE = (1,)
# (layer, mistake): the smallest shapes that show it
SMALLEST = {
    ("convolution", "taps overwrite each other"): Convolution(1, 1, 1, (3,), (2,), ONE, (0,), ONE),
    ("convolution", "the kernel is flipped"): Convolution(1, 1, 1, (2,), (2,), ONE, (0,), ONE),
    ("convolution", "the bias gets a mean"): Convolution(2, 1, 1, (1,), ONE, ONE, (0,), ONE),
    ("attention", "the scale is forgotten"): Attention(1, 1, 1, 2, 3, 1, (2,), False),
    ("attention", "the sum is over queries"): Attention(1, 1, 1, 2, 1, 1, (2,), False),
    ("attention", "the mask is forgotten"): Attention(1, 1, 2, 3, 1, 1, (3,), True),
    ("recurrence", "cut after a step"): Recurrence(1, 2, 1, 1, 1, (2,)),
    ("recurrence", "padding is a step"): Recurrence(1, 2, 1, 1, 1, (1,)),
    ("normalisation", "the variance is a constant"): Normalisation("layer", (1, 3)),
    ("normalisation", "the scale of the last sample"): Normalisation("layer", (2, 3)),
    ("product", "only the first is summed"): ((2,), ONE),
}


def wanted(drawn):
    """Return the shapes of a layer's arguments."""
    return drawn if isinstance(drawn, tuple) else drawn.shapes


def cotangent(result):
    return generate_points(result.shape, seed=9)


def differs(vjp, function, mistake, drawn):
    p = generate_points(wanted(drawn))
    u = cotangent(function(drawn, p))
    right, wrong = leaves(vjp(drawn, p, u)), leaves(vjp(drawn, p, u, mistake))
    return any(not np.allclose(right[path], wrong[path]) for path in right)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=max(5, settings().max_examples // 5))
@given(data=st.data())
def test_right_layers_pass_and_have_the_shapes_that_are_said(name, data):
    strategy, function, vjp = LAYERS[name]
    drawn = data.draw(strategy)
    p = data.draw(points(wanted(drawn)))
    if hasattr(drawn, "output_shape"):
        assert function(drawn, p).shape == drawn.output_shape
    report = check_vjp(partial(function, drawn), partial(vjp, drawn), p)
    note(str(report))
    assert report.verdict is Verdict.MATCH


@pytest.mark.parametrize(("name", "mistake"), SMALLEST)
def test_a_mistake_shrinks_to_the_smallest_layer_that_shows_it(name, mistake):
    strategy, function, vjp = LAYERS[name]
    drawn = smallest(strategy, partial(differs, vjp, function, mistake))
    assert drawn == SMALLEST[name, mistake]


@pytest.mark.parametrize(("name", "mistake"), SMALLEST)
def test_a_mistake_is_caught_at_the_smallest_layer_and_at_its_smallest_point(name, mistake):
    _, function, vjp = LAYERS[name]
    drawn = SMALLEST[name, mistake]
    p = smallest(points(wanted(drawn)))
    report = check_vjp(partial(function, drawn), partial(vjp, drawn, mistake=mistake), p)
    assert report.verdict is Verdict.MISMATCH


@given(convolutions(max_dims=2, max_channels=5, max_kernel=5, max_space=12))
def test_lengths_of_a_convolution_differ(drawn):
    for shape in drawn.shapes.values():
        above = [n for n in shape if n > 1]
        assert len(set(above)) == len(above)


@given(
    convolutions(
        min_dims=2,
        max_dims=2,
        min_space=4,
        max_space=5,
        min_kernel=3,
        max_kernel=4,
        min_dilation=2,
        max_dilation=3,
        min_padding=1,
        max_padding=3,
        min_stride=3,
        max_stride=3,
    )
)
def test_convolutions_keep_their_bounds_and_fit(drawn):
    assert len(drawn.space) == 2
    assert all(4 <= n <= 5 for n in drawn.space)
    assert all(3 <= k <= 4 for k in drawn.kernel)
    assert all(2 <= d <= 3 for d in drawn.dilation)
    assert all(1 <= p <= 3 for p in drawn.padding)
    assert drawn.stride == (3, 3)
    assert all(n >= 1 for n in drawn.output_shape)


@given(attentions())
def test_every_query_of_an_attention_sees_a_key(drawn):
    assert drawn.mask.shape == (drawn.batch, 1, drawn.queries, drawn.keys)
    assert drawn.mask.any(axis=-1).all()
    hidden = drawn.keys - np.array(drawn.lengths)
    assert (drawn.mask[:, 0, -1].sum(-1) <= drawn.keys - hidden).all()


@given(attentions(self_attention=True, causal=True, padded=False))
def test_self_attention_has_as_many_keys_as_queries(drawn):
    assert (drawn.queries, drawn.width) == (drawn.keys, drawn.value_width)
    tril = np.tril(np.ones((drawn.queries, drawn.keys), bool))
    assert (drawn.mask == tril).all()


@given(recurrences(min_steps=2, gates=4))
def test_recurrences_have_gates_and_lengths(drawn):
    assert drawn.shapes["w_x"] == (4 * drawn.hidden, drawn.inputs)
    assert len(drawn.lengths) == drawn.batch
    assert all(1 <= n <= drawn.steps for n in drawn.lengths)


@given(normalisations())
def test_three_numbers_or_more_have_a_mean_in_common(drawn):
    assert np.prod([drawn.grouped_shape[axis] for axis in drawn.axes]) >= 3
    assert np.broadcast_shapes(drawn.shape, drawn.parameter_shape) == drawn.shape
    assert drawn.kind == "group" or drawn.groups == 1


@pytest.mark.parametrize("kind", ["layer", "batch", "instance", "group"])
def test_every_kind_of_normalisation_is_drawn(kind):
    assert smallest(normalisations(), lambda drawn: drawn.kind == kind).kind == kind
    assert smallest(normalisations(kind=kind)).kind == kind


@given(broadcasting_pairs())
def test_pairs_broadcast(pair):
    assert max(map(len, pair)) <= 3
    np.broadcast_shapes(*pair)


@given(nested_shapes())
def test_nested_shapes_are_filled(nested):
    filled = generate_points(nested, seed=1)
    numbers = np.concatenate([np.abs(leaf).ravel() for leaf in leaves(filled).values()])
    assert len(np.unique(numbers)) == len(numbers)
    assert len(leaves(filled)) <= 4


def test_nested_shapes_shrink_to_what_still_fails():
    assert smallest(nested_shapes()) == ()
    assert smallest(nested_shapes(), lambda drawn: isinstance(drawn, dict)) == {"w": ()}
    several = smallest(nested_shapes(), lambda drawn: len(leaves(generate_points(drawn))) > 1)
    assert several == [(), ()]


def test_shapes_shrink_to_few_axes_then_to_short_ones():
    assert smallest(shapes()) == (1,)
    assert smallest(shapes(), lambda drawn: max(drawn) > 3) == (4,)
    assert smallest(shapes(min_length=2), lambda drawn: len(drawn) == 3) == (2, 3, 4)


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: convolutions(max_dims=4), "max_dims=4: pass 1, 2 or 3"),
        (lambda: convolutions(min_padding=-1), "-1 as a bound of padding: pass a whole number"),
        (lambda: convolutions(min_stride=0), "0 as a bound of stride"),
        (lambda: convolutions(min_kernel=4), "min_kernel=4 is above max_kernel=3"),
        (
            lambda: convolutions(min_kernel=3, max_space=2, max_padding=0),
            "min_kernel=3 with min_dilation=1 is longer than max_space=2 with max_padding=0",
        ),
        (lambda: attentions(min_heads=0), "0 as a bound of heads"),
        (lambda: attentions(min_keys=7), "min_keys=7 is above max_keys=6: lower"),
        (lambda: recurrences(gates=0), "0 as a bound of gates"),
        (lambda: recurrences(max_steps=1.5), "1.5 as a bound of steps"),
        (lambda: normalisations(kind="root"), "kind='root' is not known: pass one of layer,"),
        (lambda: normalisations(max_length=2), "max_length=2: pass at least 3"),
        (lambda: normalisations(kind="instance", max_dims=2), "needs 3 axes, max_dims=2"),
        (lambda: normalisations(min_dims=1), "1 as a bound of dims: pass a whole number of at"),
        (lambda: shapes(min_dims=-1), "-1 as a bound of dims"),
        (lambda: shapes(min_length=6), "min_length=6 is above max_length=5"),
        (lambda: nested_shapes(max_arrays=0), "0 as a bound of arrays"),
        (lambda: broadcasting_pairs(max_dims=0), "min_dims=1 is above max_dims=0"),
    ],
)
def test_impossible_bounds_name_the_remedy(call, fragment):
    with pytest.raises(InvalidArgument) as error:
        call()
    assert fragment in str(error.value)
