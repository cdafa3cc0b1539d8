"""Claims about functions with many results: the rows of a Jacobian, products with cotangents."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from checks._types import FloatArray
from checks.evaluation.memo import Memo
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.results import Results
from checks.judgement.claim import Claim
from checks.parameters.claims import describe, entry_name, flatten_claim
from checks.parameters.jacobian_claims import flatten_jacobian
from checks.parameters.layouts import LAYOUTS, expanded, overwritten
from checks.parameters.nesting import argument_name

__all__ = ["Cotangent", "RowClaims", "Sum", "VjpClaims", "draw_cotangents"]

MOST = 8  # at most so many arrays of results get a cotangent that is zero in all others


class RowClaims:
    """The rows of a claimed Jacobian, which share its calls."""

    def __init__(self, jacobian: Any, results: Results, x: Any, name: str) -> None:
        self._point, self._results = results.point, results
        self._nesting, self._x, self._is_function = results.nesting.params, x, callable(jacobian)
        self._name = name
        self._source = f"{name}(x)" if self._is_function else name
        self._jacobian = jacobian
        self._memo = Memo(self._blocks, x)
        self._shapes = {path: array.shape for path, array in results.point.arrays.items()}
        # of each result: the number of its array, and its row in the blocks of that array
        arrays = enumerate(results.at_point.values())
        self._places = [(n, row) for n, array in arrays for row in range(array.size)]
        self.first = self._called_once()

    def _called_once(self) -> list[dict[str, FloatArray]]:
        if not self._is_function:
            return flatten_jacobian(self._nesting, self._x, self._jacobian, self._source)
        with self._point.unchanged(self._name):
            blocks: list[dict[str, FloatArray]] = self._memo.read(self._x, {})
        return blocks

    def _blocks(self, x: Any) -> list[dict[str, FloatArray]]:
        self._results.renew(x)
        return flatten_jacobian(self._nesting, self._x, self._jacobian(x), self._source)

    def arrays(
        self, number: int, blocks: list[dict[str, FloatArray]] | None = None
    ) -> dict[str, FloatArray]:
        """Return a row by the paths of x, in the shapes of its arrays."""
        place, row = self._places[number]
        by_path = (blocks or self.first)[place]
        return {path: by_path[path][row].reshape(shape) for path, shape in self._shapes.items()}

    def of_row(self, number: int, evaluations: Evaluations) -> Claim:
        """Return one row as the claimed gradient of its result, at the caller's own point."""
        asked: dict[Any, int] = {}
        if not self._is_function:
            return Claim(evaluations, self.arrays(number))
        first = evaluations.call_at_point(lambda x: self._memo.read(x, asked))
        return Claim(
            evaluations,
            self.arrays(number, first),
            lambda x: self.arrays(number, self._memo.read(x, asked)),
        )


@dataclass(frozen=True, eq=False)
class Cotangent:
    """A cotangent with which a vector–Jacobian product is tried.

    Attributes
    ----------
    name : str
        Completes "With …".
    values : dict of str to ndarray
        By the path of the results.
    layout : callable
        Makes, from one of `values`, the array that is handed over.
    """

    name: str
    values: Mapping[str, FloatArray]
    layout: Callable[[FloatArray], FloatArray] = np.array

    def laid_out(self, how: str) -> "Cotangent":
        """Return the same values in one of `LAYOUTS`."""
        return replace(self, name=f"{self.name} {how}", layout=LAYOUTS[how])


@dataclass(frozen=True, eq=False)
class Sum:
    """Cotangents that, each times a factor, add up to another, so that their products must too."""

    parts: tuple[Cotangent, ...]
    factors: tuple[float, ...]


def draw_cotangents(
    results: Mapping[str, FloatArray], rng: np.random.Generator
) -> tuple[Cotangent, Sum, list[Sum]]:
    """Return a random cotangent u, a sum of others that is u, and more such sums.

    The others are those for which a product that is right for u may be wrong: -1000 times as large,
    zero but for one array of results (or one entry, if there is one array), of equal entries with
    stride 0, and another random one. The first sum has all of them, two of them in other memory
    layouts, so that one product for each shows whether all are right. If they are not, the other
    sums, of one kind each, and u itself in these layouts show which.
    """

    def random() -> dict[str, FloatArray]:
        return {
            path: np.asarray(rng.standard_normal(array.shape), array.dtype)
            for path, array in results.items()
        }

    u = random()
    sums, kinds = list[Sum](), list[Cotangent]()

    def split(part: Cotangent, other: str) -> None:
        rest = {path: np.asarray(array - part.values[path]) for path, array in u.items()}
        sums.append(Sum((part, Cotangent(other, rest)), (1, 1)))

    def alone(part: Mapping[str, FloatArray], place: str) -> None:
        kinds.append(Cotangent(f"a cotangent that is zero but for {place}", part))
        split(kinds[-1], f"a cotangent that is zero in {place}")

    large = {path: np.asarray(-1000 * array) for path, array in u.items()}
    scaled = Cotangent("a random cotangent times -1000", large)
    sums.append(Sum((scaled,), (-1 / 1000,)))
    other = Cotangent("another random cotangent", random())
    split(other, "the difference of two random ones")
    filled = [path for path, array in results.items() if array.size]
    for path in filled[:MOST] if len(filled) > 1 else []:
        alone({p: a if p == path else np.zeros_like(a) for p, a in u.items()}, path)
    (path, one), *others = u.items()
    if not others and one.size > 1:
        entry = int(rng.integers(one.size))
        index = [int(i) for i in np.unravel_index(entry, one.shape)]
        part = np.where(np.arange(one.size).reshape(one.shape) == entry, one, np.zeros_like(one))
        alone({path: part}, f"{path}{index}")
    if any(array.size > 1 for array in results.values()):
        equal = {p: np.full_like(a, a.dtype.type(rng.normal())) for p, a in u.items()}
        name = "a cotangent of equal entries, with stride 0"
        kinds.append(Cotangent(name, equal, expanded))
        split(kinds[-1], "another random cotangent")
    mixed = {p: np.asarray(2 * a + sum(k.values[p] for k in kinds), a.dtype) for p, a in u.items()}
    in_order, strided = LAYOUTS
    mixture = replace(other, values=mixed).laid_out(strided)
    whole = Sum((scaled.laid_out(in_order), *kinds, mixture), (1 / 1000, *(-1 for _ in kinds), 1))
    return Cotangent("a random cotangent", u), whole, sums


class VjpClaims:
    """What a vector–Jacobian product returns for some cotangents.

    Attributes
    ----------
    overwritten : str
        The first change that it made to a cotangent; empty if it made none.
    last : dict of str to ndarray
        The product that was returned last, by path.
    """

    def __init__(self, vjp: Callable[[Any, Any], Any], results: Results) -> None:
        if not callable(vjp):
            raise TypeError(
                f"vjp is {describe(vjp)}, wanted a function of x and a cotangent: pass the "
                "function, not its value"
            )
        self._vjp, self._results = vjp, results
        self.overwritten = ""
        self.last: dict[str, FloatArray] = {}

    def products(self, x: Any, cotangent: Cotangent) -> tuple[dict[str, FloatArray], list[str]]:
        """Return the product at `x`, by path and copied, and findings about its shapes."""
        handed = {path: cotangent.layout(array) for path, array in cotangent.values.items()}
        self._results.renew(x)
        try:
            result = self._vjp(x, self._results.nesting.rebuild(handed))
        except Exception as error:
            error.add_note(f"raised by vjp(x, u) with {cotangent.name}")
            raise
        self.overwritten = self.overwritten or overwritten(cotangent.values, handed)
        nested = self._results.point.nesting.params
        arrays, findings = flatten_claim(nested, result, "vjp(x, u)", root=".x")
        self.last = {path: array.copy() for path, array in arrays.items()}
        return self.last, findings

    def at_point(self, cotangent: Cotangent) -> tuple[dict[str, FloatArray], list[str]]:
        """Return `products` at the caller's own arrays, which it must not change."""
        point = self._results.point
        with point.unchanged("vjp"):
            return self.products(point.nesting.params, cotangent)

    def other_layouts(
        self, cotangent: Cotangent, right: Mapping[str, FloatArray]
    ) -> list[Cotangent]:
        """Return the cotangent in those layouts in which the product is not `right`, bit for bit.

        A layout that does not change how the cotangent lies in memory is not tried.
        """
        different = list[Cotangent]()
        for how, layout in LAYOUTS.items():
            laid_out = map(layout, cotangent.values.values())
            if self.overwritten or not any(map(_is_unusual, laid_out)):
                continue
            same = replace(cotangent, name="a cotangent").laid_out(how)
            products, _ = self.at_point(same)
            if not all(np.array_equal(products[p], g, equal_nan=True) for p, g in right.items()):
                different.append(same)
        return different

    def alone(
        self, cotangent: Cotangent, evaluations: Evaluations, path: str, index: tuple[int, ...]
    ) -> Cotangent | None:
        """Return a cotangent that is zero but for the results that an entry of x moves.

        The product with it is small where the entry does not matter, and so is what may be rounding
        of the claim. None if the entry moves no result or all of them.
        """
        at_point = evaluations.call_at_point(self._results.vector)
        ends = evaluations.box.ends(np.random.default_rng(0))
        move = np.zeros(ends[path].shape)
        move[index] = ends[path][index] / 64
        evaluations.cost_moved({path: move})
        moved = np.concatenate(self._results.latest) != at_point
        if moved.all() or not moved.any():
            return None
        values, first = {}, 0
        for result, array in cotangent.values.items():
            part = moved[first : first + array.size].reshape(array.shape)
            values[result] = np.where(part, array, np.zeros_like(array))
            first += array.size
        name = entry_name(argument_name(path), index)
        return Cotangent(f"a cotangent that is zero but for what {name} moves", values)

    def are_linear(
        self,
        one_sum: Sum,
        whole: Mapping[str, FloatArray],
        rtol: float,
        rounding: Mapping[str, FloatArray],
    ) -> bool:
        """Whether the products of the parts, each times its factor, add up to `whole`.

        Within rtol of the terms, and twice the own `rounding` of each of them.
        """
        calls = 1 + len(one_sum.parts)
        total = {path: np.zeros(g.shape) for path, g in whole.items()}
        terms = {path: np.abs(g) for path, g in whole.items()}
        for part, factor in zip(one_sum.parts, one_sum.factors, strict=True):
            products, _ = self.at_point(part)
            for path, product in products.items():
                total[path] = total[path] + factor * product
                terms[path] = terms[path] + np.abs(factor * product)
        return all(
            bool((np.abs(total[p] - g) <= rtol * terms[p] + 2 * calls * rounding[p]).all())
            for p, g in whole.items()
        )

    def with_cotangent(
        self, cotangent: Cotangent, evaluations: Evaluations
    ) -> tuple[Claim, list[str]]:
        """Return the product as the claimed gradient of ⟨u, f(x)⟩, at the caller's own point."""
        with evaluations.unchanged("vjp"):
            arrays, findings = evaluations.call_at_point(lambda x: self.products(x, cotangent))
        return self.claim(arrays, cotangent, evaluations), findings

    def claim(
        self, arrays: dict[str, FloatArray], cotangent: Cotangent, evaluations: Evaluations
    ) -> Claim:
        """Return a product that is known at the point as a claimed gradient."""
        return Claim(evaluations, arrays, lambda x: self.products(x, cotangent)[0])


def _is_unusual(array: FloatArray) -> bool:
    return not (array.flags.c_contiguous and array.flags.writeable)
