"""The cost along random directions of whole arrays or parts of them, and the claim along them."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from checks._types import FloatArray
from checks.evaluation.pointwise import Evaluations, as_number, imaginary_step
from checks.parameters.arrays import parameter_array
from checks.parameters.claims import flatten_claim, float_arrays
from checks.parameters.nesting import Nesting, leaves
from checks.parameters.random_directions import Direction, Region

__all__ = ["DirectionalEvaluations", "Moves"]

Moves: TypeAlias = Mapping[str, Direction]


class DirectionalEvaluations:
    """Values of a cost, and of a claimed gradient, around a point.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number.
    params
        Nested arrays of numpy, or of PyTorch or JAX, which stay where they are.
    gradient
        As in `check_gradient`.
    seed : int
        Of the directions.

    Attributes
    ----------
    leaves : dict of str to Leaf
        By path, in order; those without entries are left out.
    claims : dict
        The claimed gradient of each.
    largest, norms : dict of str to float
        The largest entry of each claim and its ‖g‖₂, nan or inf where an entry is not finite.
    count : int
        Calls of the cost so far.
    """

    def __init__(self, cost: Callable[[Any], Any], params: Any, gradient: Any, seed: int) -> None:
        self.cost, self.seed, self.count = cost, int(seed), 0
        self.round = 0
        self._slopes: Any = getattr(cost, "slopes", None)
        self._nesting = Nesting(params)
        given = self._nesting.leaves
        self._hosted = all(
            isinstance(part, (np.ndarray, np.floating, float)) for part in given.values()
        )
        arrays: Mapping[str, Any] = float_arrays(self._nesting) if self._hosted else _apart(given)
        self.leaves = {
            path: parameter_array(a, path) for path, a in arrays.items() if math.prod(a.shape)
        }
        self._empty = {path: a for path, a in arrays.items() if not math.prod(a.shape)}
        self._own = all(self.leaves[path].real is given[path] for path in self.leaves)
        self._real_params = self._nested({path: leaf.real for path, leaf in self.leaves.items()})
        if callable(gradient) or not self.own_slopes:  # such a cost changes nothing
            for leaf in self.leaves.values():
                leaf.keep()
        if not self.own_slopes:
            _ = self.at_point  # refused at once if it is no cost
        claim, source = gradient, "gradient"
        if callable(gradient):
            source = "gradient(params)"
            with self.unchanged(source):
                claim = gradient(self._real_params)
        self.claims, self.findings = self._claims(claim, source)
        self.largest = {path: leaf.largest(self.claims[path]) for path, leaf in self.leaves.items()}
        self.norms = {path: leaf.norm(self.claims[path]) for path, leaf in self.leaves.items()}

    @property
    def own_slopes(self) -> bool:
        """Whether the cost has its own way with directional derivatives."""
        return self._hosted and self._slopes is not None

    def directions(self, scales: Mapping[str, float], region: Region | None = None) -> Moves:
        """Return a fresh direction of each of some arrays, or of a region of one."""
        self.round += 1
        numbers = {path: number for number, path in enumerate(self.leaves)}
        return {
            path: Direction(
                self.seed, numbers[path], self.round, region or self.leaves[path].whole, scale
            )
            for path, scale in scales.items()
        }

    def claimed(self, moves: Moves) -> float:
        """Return g·v."""
        return sum(self.leaves[p].project(self.claims[p], v) for p, v in moves.items())

    @cached_property
    def at_point(self) -> Any:
        """The cost at the point."""
        with self.unchanged("cost"):
            return Evaluations(lambda _: self._value({}, 0.0), np.zeros(1)).at_point

    def along(self, moves: Moves) -> Evaluations:
        """Return the cost as a function of one number t, at θ + t·v."""
        dtype = min((self.leaves[path].dtype for path in moves), key=lambda d: d.itemsize)
        known = [self.at_point]  # which is what is asked for first

        def cost(t: FloatArray) -> Any:
            return known.pop() if known else self._value(moves, float(t[0]))

        return Evaluations(cost, np.zeros(1, dtype))

    def slopes(self, several: Sequence[Moves], nudge: float = 0.0) -> FloatArray:
        """Return Im C(θ + (nudge + ih)·v)/h along several directions."""
        h = min(imaginary_step(leaf.dtype) for leaf in self.leaves.values())
        if self.own_slopes:
            return self._own_slopes(several, nudge)
        values = [self._value(moves, complex(nudge, h)) for moves in several]
        return np.array([as_number(value).imag / h for value in values], dtype=float)

    @cached_property
    def _slopes_here(self) -> Callable[[Sequence[Moves]], FloatArray]:
        slopes: Callable[[Sequence[Moves]], FloatArray] = self._slopes(self._real_params)
        return slopes

    def _own_slopes(self, several: Sequence[Moves], nudge: float) -> FloatArray:
        self.count += len(several)
        self._place({}, 0.0)
        if not nudge:
            return self._slopes_here(several)
        slopes = []
        for moves in several:
            self._place(moves, nudge)
            slopes += list(self._slopes(self._real_params)([moves]))
        return np.array(slopes)

    def _value(self, moves: Moves, step: float | complex) -> Any:
        """Return the cost at θ + step·v."""
        self.count += 1
        result = self.cost(self._place(moves, step))
        return result.detach() if hasattr(result, "detach") else result

    def _place(self, moves: Moves, step: float | complex) -> Any:
        """Return the parameters θ + step·v; the caller's own stay there until they move again."""
        is_complex = isinstance(step, complex)
        return self._nested(
            {
                path: leaf.moved(moves[path], step) if path in moves else leaf.at_point(is_complex)
                for path, leaf in self.leaves.items()
            }
        )

    def _nested(self, arrays: Mapping[str, Any]) -> Any:
        if self._own and all(arrays[p] is leaf.real for p, leaf in self.leaves.items()):
            return self._nesting.params
        return self._nesting.rebuild({**self._empty, **arrays})

    @contextmanager
    def restoring_parameters(self) -> Iterator[None]:
        """Keep the warnings of moved costs from the caller, and restore the parameters."""
        with self.unchanged("cost"), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    @contextmanager
    def unchanged(self, who: str) -> Iterator[None]:
        """Restore the parameters at the end, and refuse a function that has left them changed."""
        try:
            yield
        finally:
            try:
                replaced, changed = self._restore()
            except KeyboardInterrupt:  # it waits until the point is back
                self._restore()
                raise
        if replaced or changed:
            raise ValueError(
                f"{who} changes its argument ({replaced or changed[0]}); the parameters were "
                "restored: let it work on copies of what it assigns to"
            )

    def _restore(self) -> tuple[str, list[str]]:
        """Put the point back; return the paths of a part replaced and of arrays changed."""
        replaced = self._nesting.restore()
        return replaced, [path for path, leaf in self.leaves.items() if leaf.settle()]

    def _claims(self, claim: Any, source: str) -> tuple[dict[str, Any], list[str]]:
        """Return the claimed arrays by path, and findings about their shapes."""
        findings: list[str] = []
        if self._hosted:
            found, findings = flatten_claim(self._nesting.params, claim, source)
        else:
            found = leaves(claim)
            shapes = {path: tuple(getattr(part, "shape", ())) for path, part in found.items()}
            wanted = {path: tuple(part.shape) for path, part in self._nesting.leaves.items()}
            if shapes != wanted:
                raise ValueError(
                    f"{source} has arrays {shapes}, wanted {wanted}: nested as params, with the "
                    "same shapes"
                )
        return {path: leaf.claim(found[path]) for path, leaf in self.leaves.items()}, findings


def _apart(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return leaves, and refuse one that stands in two places: it would move twice."""
    first: dict[int, str] = {}
    for path, leaf in given.items():
        other = first.setdefault(id(leaf), path)
        if other != path:
            raise ValueError(
                f"{other} and {path} are the same array, wanted separate ones: pass a tied array "
                "once"
            )
    return given
