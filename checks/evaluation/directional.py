"""The cost along random directions of whole arrays or parts of them, and the claim along them."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np

from checks._types import FloatArray
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import as_finite_real, as_number
from checks.evaluation.pointwise import Evaluations
from checks.evaluation.restoring import RestoresParameters
from checks.evaluation.step_sizes import imaginary_step
from checks.parameters.arrays import is_foreign, parameter_array
from checks.parameters.claims import entry_name, flatten_claim, float_arrays
from checks.parameters.nesting import leaves
from checks.parameters.random_directions import Direction, Region

__all__ = ["DirectionalEvaluations", "Directions"]

Directions: TypeAlias = Mapping[str, Direction]  # by the paths of the arrays that move


class _Line(Evaluations):
    """A cost as a function of one number t; `describe(t)` is what messages say of the move by t."""

    def __init__(
        self, cost: Callable[[Any], Any], params: Any, describe: Callable[[float], str]
    ) -> None:
        self._describe = describe
        super().__init__(cost, params)

    def _where(self, path: str, entry: int, is_complex: bool) -> tuple[str, str]:
        return path, self._describe(float(self._arrays(is_complex)[0][path].flat[entry].real))


class DirectionalEvaluations(RestoresParameters):
    """Values of a cost, and of a claimed gradient, along directions through a point θ.

    Parameters
    ----------
    cost
        Takes parameters nested as `params`, returns one number. A cost of numpy arrays may supply
        its own directional derivatives: a method ``slopes(params)`` returns a function that takes
        a sequence of `Directions` and returns the derivative along each.
    params
        Nested arrays of numpy, or of PyTorch or JAX, which stay on their devices.
    gradient
        As in `check_gradient`.
    seed : int
        Determines the random directions.

    Attributes
    ----------
    arrays : dict of str to NumpyArray
        The arrays of the parameters by path; those without entries are left out.
    claims : dict
        The claimed gradient of each array, by path.
    largest, norms : dict of str to float
        The largest |g_i| of each claim g, and ‖g‖₂; nan or inf where an entry is not finite.
    findings : list of str
        What the report says about the shapes of the claim.
    count : int
        Calls of the cost so far.
    """

    def __init__(self, cost: Callable[[Any], Any], params: Any, gradient: Any, seed: int) -> None:
        super().__init__(params)
        self.cost, self.seed = cost, int(seed)
        self.round = 0
        self._slopes: Any = getattr(cost, "slopes", None)
        given = self.nesting.leaves
        self._all_numpy = not any(map(is_foreign, given.values()))
        arrays: Mapping[str, Any] = float_arrays(self.nesting) if self._all_numpy else given
        if not self._all_numpy:
            _refuse_repeated(given)
        self.arrays = {path: parameter_array(a, path) for path, a in arrays.items() if _size(a)}
        self._empty = {path: a for path, a in arrays.items() if not _size(a)}
        self.in_place = all(self.arrays[path].real is arrays[path] for path in self.arrays)
        self._real_params = self._nested({path: array.real for path, array in self.arrays.items()})
        # a copy to restore from; a cost that supplies slopes is trusted to change no parameters
        if callable(gradient) or not self.supplies_slopes:
            for array in self.arrays.values():
                array.save_point()
        if not self.supplies_slopes:
            _ = self.at_point  # raises if the cost returns no finite number
        claim, source = gradient, "gradient"
        if callable(gradient):
            source = "gradient(params)"
            with self.unchanged(source):
                claim = gradient(self._real_params)
        self.claims, self.findings = self._match_claim(claim, source)
        self.largest = {
            path: array.largest(self.claims[path]) for path, array in self.arrays.items()
        }
        self.norms = {p: array.norm(self.claims[p]) for p, array in self.arrays.items()}

    @property
    def supplies_slopes(self) -> bool:
        """Whether the cost supplies its own directional derivatives."""
        return self._all_numpy and self._slopes is not None

    def directions(self, scales: Mapping[str, float], region: Region | None = None) -> Directions:
        """Return for each path in `scales` a new direction of that scale; zero outside `region`."""
        self.round += 1
        numbers = {path: number for number, path in enumerate(self.arrays)}
        return {
            path: Direction(
                self.seed, numbers[path], self.round, region or self.arrays[path].whole, scale
            )
            for path, scale in scales.items()
        }

    def claimed_slope(self, moves: Directions) -> float:
        """Return the directional derivative g·v of the claimed gradient."""
        return sum(self.arrays[p].project(self.claims[p], v) for p, v in moves.items())

    @cached_property
    def at_point(self) -> Any:
        """The cost at the point."""
        with self.unchanged("cost"):
            result = self._value({}, 0.0)
        return as_finite_real(result)

    def on_line(self, moves: Directions) -> Evaluations:
        """Return the cost as a function of one number t, at θ + t·v."""
        dtype = min((self.arrays[path].dtype for path in moves), key=lambda d: d.itemsize)
        known = [self.at_point]  # what the first call by `Evaluations` asks for

        def cost(t: FloatArray) -> Any:
            return known.pop() if known else self._value(moves, float(t[0]))

        return _Line(cost, np.zeros(1, dtype), partial(self._where, moves))

    def _where(self, moves: Directions, step: float) -> str:
        """Say from which value to which the farthest moved entry goes at θ + step·v."""
        path = max(moves, key=lambda path: moves[path].scale)
        array, direction = self.arrays[path], moves[path]
        r, c = (np.abs(factor).argmax() for factor in direction.factors)
        place = direction.region.entry(int(r) * direction.region.shape[1] + int(c))
        start = array.at_point(place.top, place.left)
        start, moved = map(
            array.dtype.type, (start, start + step * float(direction.values_in(place).item()))
        )
        name = entry_name(path, place.index(array.shape))
        return f"with {name} moved from {start} to {moved}, the farthest of all entries moved"

    def complex_slopes(self, directions: Sequence[Directions], nudge: float = 0.0) -> FloatArray:
        """Return Im C(θ + (nudge + ih)·v)/h along each direction v."""
        if self.supplies_slopes:
            return self._own_slopes(directions, nudge)
        h = min(imaginary_step(array.dtype) for array in self.arrays.values())
        return np.array([self._complex_slope(moves, nudge, h) for moves in directions])

    def _complex_slope(self, moves: Directions, nudge: float, h: float) -> float:
        try:
            return float(as_number(self._value(moves, complex(nudge, h))).imag / h)
        except Exception as error:
            if is_control_flow(error):
                raise
            return np.nan  # the cost takes no complex numbers, or not at this point

    @cached_property
    def _slopes_at_point(self) -> Callable[[Sequence[Directions]], FloatArray]:
        slopes: Callable[[Sequence[Directions]], FloatArray] = self._slopes(self._real_params)
        return slopes

    def _own_slopes(self, directions: Sequence[Directions], nudge: float) -> FloatArray:
        self.count += len(directions)
        self._place({}, 0.0)
        if not nudge:
            return self._slopes_at_point(directions)
        slopes = []
        for moves in directions:
            self._place(moves, nudge)
            slopes += list(self._slopes(self._real_params)([moves]))
        return np.array(slopes)

    def _value(self, moves: Directions, step: float | complex) -> Any:
        """Return the cost at θ + step·v."""
        self.count += 1
        result = self.cost(self._place(moves, step))
        return result.detach() if hasattr(result, "detach") else result

    def _place(self, moves: Directions, step: float | complex) -> Any:
        """Move the parameters to θ + step·v, where they stay until the next move; return them."""
        is_complex = isinstance(step, complex)
        return self._nested(
            {
                path: array.moved(moves[path], step) if path in moves else array.unmoved(is_complex)
                for path, array in self.arrays.items()
            }
        )

    def _nested(self, arrays: Mapping[str, Any]) -> Any:
        """Return the parameters with these arrays: the caller's own object if it holds them."""
        if self.in_place and all(arrays[p] is array.real for p, array in self.arrays.items()):
            return self.nesting.params
        return self.nesting.rebuild({**self._empty, **arrays})

    def _restore_arrays(self) -> str:
        changed = [path for path, array in self.arrays.items() if array.restore()]
        return changed[0] if changed else ""

    def _match_claim(self, claim: Any, source: str) -> tuple[dict[str, Any], list[str]]:
        """Return the claimed arrays by path, and findings about their shapes."""
        findings: list[str] = []
        if self._all_numpy:
            claims, findings = flatten_claim(self.nesting.params, claim, source)
        else:
            claims = leaves(claim)
            shapes = {path: tuple(getattr(part, "shape", ())) for path, part in claims.items()}
            wanted = {path: tuple(part.shape) for path, part in self.nesting.leaves.items()}
            if shapes != wanted:
                raise ValueError(
                    f"{source} has arrays {shapes}, wanted {wanted}: nested as params, with the "
                    "same shapes"
                )
        return {
            path: array.accept_claim(claims[path]) for path, array in self.arrays.items()
        }, findings


def _size(array: Any) -> int:
    return math.prod(getattr(array, "shape", ()))


def _refuse_repeated(arrays: Mapping[str, Any]) -> None:
    """Refuse an array that stands in two places, because it would move twice."""
    first_path: dict[int, str] = {}
    for path, array in arrays.items():
        other = first_path.setdefault(id(array), path)
        if other != path:
            raise ValueError(
                f"{other} and {path} are the same array, wanted separate ones: pass a tied array "
                "once"
            )
