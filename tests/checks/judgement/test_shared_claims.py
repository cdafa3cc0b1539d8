"""The cotangents that products are tried with, and what is asked of the products."""

import numpy as np
import pytest

from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results
from checks.judgement.shared_claims import Cotangent, Sum, VjpClaims, draw_cotangents
from checks.parameters.layouts import LAYOUTS

X = np.array([[0.5, -1.0, 2.0]])
RESULTS = {
    "f(x)[0]": np.zeros((2, 3), np.float32),
    "f(x)[1]": np.zeros(4),
    "f(x)[2]": np.zeros(()),
    "empty": np.zeros(0),
}


def drawn(results, seed=0):
    return draw_cotangents(results, np.random.default_rng(seed))


@pytest.mark.parametrize("results", [RESULTS, {"f(x)": np.zeros((3, 2))}, {"f(x)": np.zeros(())}])
def test_the_parts_of_each_sum_add_up(results):
    first, together, sums = drawn(results)
    u = first.values
    assert {path: (a.shape, a.dtype) for path, a in u.items()} == {
        path: (a.shape, a.dtype) for path, a in results.items()
    }
    for one_sum in (together, *sums):
        for path, array in u.items():
            pairs = list(zip(one_sum.parts, one_sum.factors, strict=True))
            total = sum(factor * part.values[path] for part, factor in pairs)
            np.testing.assert_allclose(total, array, rtol=1e-5, atol=1e-6)
            assert all(part.values[path].dtype == array.dtype for part in one_sum.parts)
    (large,) = sums[0].parts
    assert all((large.values[path] == -1000 * a).all() for path, a in u.items())
    # each kind of cotangent is in the sum of all, so that one product for each shows all mistakes
    kinds = {id(one_sum.parts[0].values) for one_sum in sums[2:]} | {id(large.values)}
    assert kinds <= {id(part.values) for part in together.parts}
    # and so are both layouts
    laid_out = [part.layout for part in together.parts if part.layout in LAYOUTS.values()]
    assert laid_out == [*LAYOUTS.values()]
    assert len(together.parts) == len(kinds) + 1
    assert sums[1].parts[0].name == "another random cotangent"
    assert all((sums[1].parts[0].values[path] != u[path]).all() for path in u)


def test_each_array_of_results_is_tried_alone():
    first, _, sums = drawn(RESULTS)
    alone = [s for s in sums if "zero but for" in s.parts[0].name]
    for one_sum, path in zip(alone, ["f(x)[0]", "f(x)[1]", "f(x)[2]"], strict=True):
        only, rest = one_sum.parts
        assert only.name == f"a cotangent that is zero but for {path}"
        assert rest.name == f"a cotangent that is zero in {path}"
        for other, array in first.values.items():
            np.testing.assert_array_equal(only.values[other], array if other == path else 0 * array)
            np.testing.assert_array_equal(rest.values[other], 0 * array if other == path else array)
    for arrays, tried in ((2, 2), (12, 8)):
        _, _, sums = drawn({f"f(x)[{i}]": np.zeros(1) for i in range(arrays)})
        assert sum("zero but for" in s.parts[0].name for s in sums) == tried


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(2, 3), (2,)])
def test_one_entry_of_a_single_array_is_tried_alone(shape, seed):
    first, _, sums = drawn({"f(x)": np.zeros(shape)}, seed)
    (only,) = [s.parts[0] for s in sums if "zero but for" in s.parts[0].name]
    index = tuple(np.argwhere(only.values["f(x)"])[0].tolist())
    assert only.name == f"a cotangent that is zero but for f(x){list(index)}"
    assert np.count_nonzero(only.values["f(x)"]) == 1
    assert only.values["f(x)"][index] == first.values["f(x)"][index]


def test_equal_entries_are_handed_over_with_stride_0():
    _, _, sums = drawn(RESULTS)
    equal, rest = sums[-1].parts
    assert equal.name == "a cotangent of equal entries, with stride 0"
    assert rest.name == "another random cotangent"
    values = equal.values["f(x)[0]"]
    assert np.unique(values).size == 1
    assert equal.layout(values).strides == (0, 0)
    for small in ({"f(x)": np.zeros(())}, {"f(x)": np.zeros(1)}):
        _, _, sums = drawn(small)
        assert [s.parts[0].name for s in sums] == [
            "a random cotangent times -1000",
            "another random cotangent",
        ]
    assert "stride 0" in drawn({"f(x)": np.zeros(2)})[2][-1].parts[0].name


class Planted:
    """A product that returns planted values, one after the other."""

    def __init__(self, *values):
        self.values = iter(values)

    def __call__(self, x, u):
        return np.array([next(self.values)])


def are_linear(parts, whole, factor=1.0, rtol=0.0, rounding=0.0):
    claims = VjpClaims(Planted(*parts), Results(np.exp, np.ones(1)))
    u = {"f(x)": np.ones(1)}
    one_sum = Sum(tuple(Cotangent("one", u) for _ in parts), (factor,) * len(parts))
    by_path = {"params": np.array([whole])}
    return claims.are_linear(one_sum, by_path, rtol, {"params": np.array([rounding])})


@pytest.mark.parametrize("sign", [1, -1])
def test_products_of_the_parts_add_up_within_the_tolerance_of_the_terms(sign):
    assert are_linear([sign * 2.0, sign * -1.0], sign * 1.0)
    for total in (1.5, 0.5):  # off by ½, beside terms of 1 + 2 + 1 and so on
        parts, terms = [sign * 2.0, sign * (total - 2)], 1 + 2 + abs(total - 2)
        assert are_linear(parts, sign * 1.0, rtol=0.501 / terms)
        assert not are_linear(parts, sign * 1.0, rtol=0.499 / terms)
        # twice the rounding of each of the three products
        assert are_linear(parts, sign * 1.0, rounding=0.501 / 6)
        assert not are_linear(parts, sign * 1.0, rounding=0.499 / 6)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_part_counts_by_its_factor(sign):
    part, whole, factor = sign * -3072.0, sign * 2.875, -1 / 1024  # off by an eighth, of 3
    assert are_linear([sign * -2944.0], whole, factor)
    assert are_linear([part], whole, factor, rtol=0.126 / 5.875)
    assert not are_linear([part], whole, factor, rtol=0.124 / 5.875)
    assert are_linear([part], whole, factor, rounding=0.126 / 4)
    assert not are_linear([part], whole, factor, rounding=0.124 / 4)


def test_all_entries_of_all_arrays_have_to_add_up():
    results = Results(lambda p: p[0], [np.ones(2), np.ones(1)])
    for off in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        made = [np.ones(2) + off[:2], np.ones(1) + off[2]]
        claims = VjpClaims(lambda x, u, made=made: made, results)
        whole = {"params[0]": np.ones(2), "params[1]": np.ones(1)}
        one_sum = Sum((Cotangent("one", {"f(x)": np.ones(2)}),), (1,))
        zero = {path: 0 * array for path, array in whole.items()}
        assert claims.are_linear(one_sum, whole, 0.0, zero) == (not any(off))


def test_layouts_in_which_the_product_differs():
    seen = []

    def vjp(x, u):
        seen.append((u.flags.c_contiguous, u.flags.writeable))
        return 2 * x * u if u.flags.c_contiguous else 3 * x * u

    u = Cotangent("a random cotangent", {"f(x)": np.arange(6.0).reshape(2, 3)})

    def layouts(claims, u=u):
        return [other.name for other in claims.other_layouts(u, claims.at_point(u)[0])]

    claims = VjpClaims(vjp, Results(np.square, np.ones((2, 3))))
    assert layouts(claims) == [
        "a cotangent in Fortran order",
        "a cotangent that is a read-only slice of a larger array",
    ]
    assert claims.overwritten == ""
    results = Results(lambda p: p[0] * p[1], [np.ones((2, 3)), np.ones((2, 3))])
    second = VjpClaims(lambda x, u: [np.ones((2, 3)), vjp(x[1], u)], results)
    assert len(layouts(second)) == 2
    nan = VjpClaims(lambda x, u: np.full(x.shape, np.nan), Results(np.square, np.ones((2, 3))))
    assert layouts(nan) == []
    seen.clear()
    flat = Cotangent("a random cotangent", {"f(x)": np.ones(3)})
    layouts(VjpClaims(vjp, Results(np.square, np.ones(3))), flat)
    assert seen == [(True, True), (False, False)]  # Fortran order is the usual one of a vector


def test_a_cotangent_that_is_changed_is_not_tried_in_further_layouts():
    seen = []

    def vjp(x, u):
        seen.append(u.flags.f_contiguous)
        u += 1
        return x

    u = Cotangent("a random cotangent", {"f(x)": np.zeros((2, 3))})
    claims = VjpClaims(vjp, Results(np.square, np.ones((2, 3))))
    assert claims.other_layouts(u, claims.at_point(u)[0]) == []
    assert claims.overwritten == "f(x)[0, 0] from 0.0 to 1.0"
    assert seen == [False]
    claims.products(np.ones((2, 3)), Cotangent("another", {"f(x)": np.ones((2, 3))}))
    assert claims.overwritten == "f(x)[0, 0] from 0.0 to 1.0"  # the first change


def test_what_raises_is_told_the_cotangent():
    def vjp(x, u):
        raise RuntimeError("no")

    claims = VjpClaims(vjp, Results(np.square, X))
    with pytest.raises(RuntimeError, match="no") as caught:
        claims.products(X, Cotangent("a random cotangent", {"f(x)": X}))
    assert caught.value.__notes__ == ["raised by vjp(x, u) with a random cotangent"]
    with pytest.raises(TypeError, match="pass the function, not its value"):
        VjpClaims(X, Results(np.square, X))


def split(x):
    """Return arrays of results: entry 1 moves one, entry 2 three of them, and entry 0 none."""
    return [x[0, 1:] ** 2, x[0, 2] * np.ones(()), x[0, [1, 2, 1]]]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((0, 0), None),
        ((0, 1), [[5.0, 0.0], 0.0, [1.0, 0.0, 3.0]]),
        ((0, 2), [[0.0, 6.0], 7.0, [0.0, 2.0, 0.0]]),
    ],
)
def test_a_cotangent_for_the_results_that_an_entry_moves(index, expected):
    results = Results(split, X)
    values = {
        path: np.asarray(v)
        for path, v in zip(results.at_point, ([5.0, 6.0], 7.0, [1.0, 2.0, 3.0]), strict=True)
    }
    u = Cotangent("a random cotangent", values)
    claims = VjpClaims(lambda x, u: x, results)
    evaluations = Evaluations(results.contractions([values])[0], X)
    with evaluations.restoring_parameters():
        alone = claims.alone(u, evaluations, "params", index)
    if expected is None:
        assert alone is None
        return
    assert [array.tolist() for array in alone.values.values()] == expected
    assert alone.name == f"a cotangent that is zero but for what x{list(index)} moves"


def test_no_cotangent_is_zero_for_nothing():
    results = Results(lambda x: x.sum() * np.ones(2), X)
    u = Cotangent("a random cotangent", {path: np.ones(2) for path in results.at_point})
    evaluations = Evaluations(results.contractions([u.values])[0], X)
    with evaluations.restoring_parameters():
        assert VjpClaims(np.multiply, results).alone(u, evaluations, "params", (0, 1)) is None
