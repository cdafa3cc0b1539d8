"""Nested parameters: their paths, the same nesting around other arrays, and claims of them."""

import dataclasses
from collections import namedtuple
from functools import cached_property

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from checks.parameters.claims import entry_name, flatten, flatten_claim, overlaps
from checks.parameters.nesting import Nesting, argument_name, rebuild

Pair = namedtuple("Pair", "w b")


@dataclasses.dataclass
class Layer:
    w: np.ndarray
    b: np.ndarray


class Bag(dict):
    """A mapping of the caller's own type."""


def ones(*shape):
    return np.ones(shape)


PATHS = {
    "an array": (ones(2), ["params"]),
    "a number": (1.5, ["params"]),
    "a list": ([ones(2), ones(3)], ["params[0]", "params[1]"]),
    "lists in a tuple": (([ones(2)], [ones(3)]), ["params[0][0]", "params[1][0]"]),
    "a dict": ({"w": ones(2), "b": 0.5}, ["w", "b"]),
    "other keys": ({"a b": ones(1), 3: ones(1)}, ["params['a b']", "params[3]"]),
    "dicts": ({"layer": {"w": ones(2), 0: ones(1)}}, ["layer.w", "layer[0]"]),
    "a named tuple": (Pair(ones(2), [ones(1)]), ["w", "b[0]"]),
    "a dataclass": (Layer([ones(2), ones(3)], ones(1)), ["w[0]", "w[1]", "b"]),
    "all": (
        {"net": [Layer(ones(2), Pair(ones(1), 1.0))]},
        ["net[0].w", "net[0].b.w", "net[0].b.b"],
    ),
}


@pytest.mark.parametrize("case", PATHS)
def test_paths_read_like_the_code_that_reaches_the_leaf(case):
    params, paths = PATHS[case]
    assert list(flatten(params)) == paths


def test_an_entry_is_named_by_path_and_index():
    assert entry_name("weights[1]", (0, 3)) == "weights[1][0, 3]"
    assert entry_name("scale", ()) == "scale"


def test_arrays_are_not_copied_but_numbers_are():
    array = ones(2)
    flat = flatten({"w": array, "scale": 1.5})
    assert flat["w"] is array
    assert flat["scale"] == 1.5
    assert not flat["scale"].flags.writeable


float_arrays = arrays.arrays(
    np.float64, arrays.array_shapes(max_dims=2, max_side=3), elements=st.floats(-9, 9)
)
nestings = st.recursive(
    float_arrays,
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=3),
        st.lists(parts, min_size=1, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.integers(0, 9), parts, min_size=1, max_size=3),
        st.builds(Pair, parts, parts),
        st.builds(Layer, parts, parts),
    ),
    max_leaves=6,
)


@given(nestings)
def test_rebuilding_keeps_containers_paths_and_arrays(params):
    flat = flatten(params)
    again = rebuild(params, flat)
    assert type(again) is type(params)
    assert list(flatten(again)) == list(flat)
    assert all(flatten(again)[path] is array for path, array in flat.items())


@given(nestings)
def test_a_claim_of_the_same_nesting_has_the_same_paths(params):
    doubled = rebuild(params, {path: 2 * array for path, array in flatten(params).items()})
    claims, findings = flatten_claim(params, doubled, "gradient")
    assert findings == []
    for path, array in flatten(params).items():
        np.testing.assert_array_equal(claims[path], 2 * array)


def test_containers_of_a_claim_are_matched_by_position_and_dicts_by_key():
    layer, claim = Layer([ones(2)], ones(3)), (2 * ones(3), [5 * ones(2)])
    claims, _ = flatten_claim(layer, ([5 * ones(2)], 2 * ones(3)), "gradient")
    assert claims["w[0]"].tolist() == [5, 5]
    claims, _ = flatten_claim([ones(3), Pair(ones(2), 1.0)], (claim[0], ((claim[1][0]), 7.0)), "g")
    assert claims["params[1].b"] == 7
    claims, _ = flatten_claim({"w": 1.0, "b": 2.0}, {"b": 3.0, "w": 4.0}, "gradient")
    assert list(claims.items()) == [("w", 4.0), ("b", 3.0)]


def test_a_claim_of_another_shape_is_read_row_by_row_and_is_a_finding():
    claims, findings = flatten_claim([ones(1, 4)], [np.arange(4.0)], "gradient")
    assert claims["params[0]"].tolist() == [[0, 1, 2, 3]]
    assert len(findings) == 1
    assert findings[0].startswith("params[0] has shape (1, 4) but its gradient (4,)")


MEMORY = np.arange(12.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MEMORY, MEMORY),
        (MEMORY, MEMORY[3:4]),
        (MEMORY[:7], MEMORY[6:]),
        (MEMORY[::2], MEMORY[::3]),
        (MEMORY.reshape(3, 4), MEMORY.reshape(3, 4).T),
        (MEMORY[::-1], MEMORY[:2]),
    ],
    ids=["same", "part", "overlap", "strides", "transposed", "reversed"],
)
def test_shared_memory_is_refused(first, second):
    with pytest.raises(ValueError, match=r"params\[0\] and params\[2\] share memory"):
        flatten([first, ones(2), second])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MEMORY[:6], MEMORY[6:]),
        (MEMORY[::2], MEMORY[1::2]),
        (MEMORY.reshape(3, 4)[:, :2], MEMORY.reshape(3, 4)[:, 2:]),
        (MEMORY, MEMORY[:0]),
    ],
    ids=["halves", "interleaved", "columns", "empty"],
)
def test_other_parts_of_one_memory_are_taken(first, second):
    assert len(flatten([first, second])) == 2


def test_a_nesting_puts_back_what_was_replaced_added_or_removed():
    params = Bag(w=ones(2), b=[ones(1), ones(3)], layer=Layer(ones(2), 0.5))
    before, nesting = dict(params), Nesting(params)
    assert nesting.restore() == ""
    changes = {
        "w": lambda: params.update(w=ones(2)),
        "b[1]": params["b"].pop,
        "b[2]": lambda: params["b"].append(ones(1)),
        "layer.b": lambda: setattr(params["layer"], "b", 0.25),
        "new": lambda: params.update(new=1),
        "layer": lambda: params.pop("layer"),
    }
    for path, change in changes.items():
        flat = flatten(params)
        change()
        assert nesting.restore() == path
        assert list(params) == list(before)
        assert all(flatten(params)[p] is a or p == "layer.b" for p, a in flat.items())
    assert type(params) is Bag


def test_cached_properties_are_not_copied_to_a_rebuilt_dataclass():
    @dataclasses.dataclass(frozen=True)
    class Caching:
        a: np.ndarray

        @cached_property
        def twice(self):
            return 2 * self.a

    params = Caching(np.array([0.5, -1.0]))
    assert params.twice[0] == 1.0
    twin = rebuild(params, {"a": np.array([3.0, 4.0])})
    assert twin.twice[0] == 6.0
    assert params.twice[0] == 1.0


def test_a_dataclass_with_slots_can_be_rebuilt():
    @dataclasses.dataclass(slots=True)
    class Slotted:
        a: np.ndarray

        @cached_property
        def twice(self):
            return 2 * self.a

    assert rebuild(Slotted(ones(2)), {"a": ones(3)}).a.size == 3


def test_an_order_that_was_changed_is_put_back():
    params = {"w": ones(2), "b": ones(1)}
    nesting = Nesting(params)
    params["w"] = params.pop("w")
    assert nesting.restore() == "params"
    assert list(params) == ["w", "b"]


@pytest.mark.parametrize(
    ("params", "claim", "said"),
    [
        ([ones(2), ones(3)], [ones(2)], "g has 1 part, wanted 2, nested as in params: params[0], "),
        ([ones(2)], [ones(2), ones(3)], "g has 2 parts, wanted 1, nested as in params: params[0]"),
        ([ones(2)], [], "g has 0 parts, wanted 1"),
        ([ones(2)], 1.5, "g is a float, 1.5, wanted 1 part, nested as in params"),
        ([ones(2), 1.0], None, "g is None, wanted 2 parts, nested as in params: is a return forg"),
        ({"w": [ones(2)]}, {"w": None}, "g.w is None, wanted 1 part, nested as in"),
        (
            [ones(2, 3), ones(4)],
            ones(10),
            "wanted 2 parts, nested as in params: it has as many entries, so nest it as params, "
            "where params[0] is g.ravel()[:6].reshape(2, 3), and so on",
        ),
        ([ones(2, 3), ones(4)], ones(9), "wanted 2 parts, nested as in params"),
        ({"w": ones(2), "b": 1.0}, {"w": ones(2)}, "g lacks 'b', wanted the keys of params: 'w'"),
        ({"w": ones(2)}, {"w": ones(2), 3: 1.0}, "g has 3, wanted the keys of params: 'w'"),
        ({"w": ones(2)}, {"v": ones(2)}, "g lacks 'w' and has 'v', wanted the keys of params"),
        ({"w": ones(2)}, [ones(2)], "wanted a dict of 'w': name its arrays as in params"),
        (ones(2), ones(3), "g has shape (3,), wanted (2,), the shape of params: reduce or"),
        (
            ones(2),
            [1, 2],
            "g is a list, [1, 2], wanted an array of real floats of shape (2,): co",
        ),
        (ones(2), ones(2) + 0j, "wanted an array of real floats of shape (2,): take its real part"),
        (ones(2), [[1.0], [1.0, 2.0]], "wanted an array of real floats of shape (2,)"),
        (ones(2), (x for x in [1.0]), "make it a list, with list()"),
        (ones(2), 1j * ones(2), "g is an array of dtype complex128 and shape (2,), wanted an arr"),
    ],
)
def test_a_claim_that_is_nested_otherwise_is_named(params, claim, said):
    with pytest.raises((TypeError, ValueError)) as error:
        flatten_claim(params, claim, "g")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"w": 3}, "w is an int, 3, wanted an array of floats: an integer cannot be moved by a sm"),
        ({"w": "text"}, "w is a str, 'text', wanted an array of floats: give numpy arrays"),
        ({"w": None}, "w is None, wanted an array of floats"),
        (np.array([1, 2]), "params has dtype int64, wanted a real float dtype: an integer cannot"),
        (1j * ones(2), "wanted a real float dtype: give its real and imaginary parts as two"),
        (np.array([1.0], object), "wanted a real float dtype: give it a float dtype with .astype"),
        ([ones(2), np.array([1, np.nan])], "params[1][1] is nan, wanted finite parameters"),
        ([ones(0)], "params has no entries (a list, [array([], dtype=float64)]), wanted at least"),
        ({"w" * 50: []}, "a dict, {'" + "w" * 35 + "...), wanted at least one float array"),
    ],
)
def test_parameters_that_are_no_float_arrays_are_named(params, said):
    with pytest.raises((TypeError, ValueError)) as error:
        flatten(params)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("params", "u"),
        ("params[0]", "u[0]"),
        ("params[1].w", "u[1].w"),
        ("w[0]", "w[0]"),
        ("parameters", "parameters"),
        ("params_of.w", "params_of.w"),
    ],
)
def test_the_name_of_an_argument_stands_for_params(path, name):
    assert argument_name(path, "u") == name
    assert argument_name("params[2]") == "x[2]"


def test_an_array_of_a_subclass_is_rebuilt_as_one():
    class Tagged(np.ndarray):
        pass

    params = {"tagged": ones(2).view(Tagged), "plain": ones(2)}
    again = rebuild(params, {"tagged": np.array([3.0, 4.0]), "plain": np.array([5.0, 6.0])})
    assert type(again["tagged"]) is Tagged
    assert again["tagged"].tolist() == [3, 4]
    assert type(again["plain"]) is np.ndarray


@given(
    axes=st.lists(st.tuples(st.integers(0, 4), st.integers(-40, 40)), max_size=4),
    size=st.sampled_from([1, 4, 8]),
)
def test_entries_overlap_as_their_bytes_do(axes, size):
    shape, strides = [n for n, _ in axes], [s for _, s in axes]
    places = [
        sum(i * s for i, s in zip(index, strides, strict=True)) for index in np.ndindex(*shape)
    ]
    used = [place + byte for place in places for byte in range(size)]
    if 0 not in shape:
        assert overlaps(shape, strides, size) == (len(set(used)) < len(used))


def test_a_large_array_needs_no_list_of_its_places():
    assert not overlaps((2**40, 2, 1), (16, 8, 0), 8)
    assert not overlaps((2**40, 3), (-24, 8), 8)
