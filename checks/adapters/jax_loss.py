"""A loss of JAX as a cost, which is evaluated at many points at once."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from checks.adapters.jax_function import JaxFunction
from checks.adapters.jax_leaves import FLOAT32_EPS, as_array, eps_of, name_of
from checks.adapters.keyed_nesting import leaf_at, nest
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.cost_value import not_a_number
from checks.parameters.nesting import Nesting

__all__ = ["LossCost"]

AT_ONCE = 2**12  # moved points between two updates of the progress bar


class LossCost:
    """A loss of a pytree as a cost of nested arrays.

    It moves single entries itself: see `checks.evaluation.pointwise.Evaluations`.

    Parameters
    ----------
    loss
        Returns a real scalar.
    parameters
        A pytree; leaves that are not of floats are constants.

    Attributes
    ----------
    params
        Copies of its arrays, nested as these.

    Raises
    ------
    TypeError
        An array has 16 bits, or the loss is no real scalar.
    """

    def __init__(self, loss: Callable[[Any], Any], parameters: Any) -> None:
        self._checked = checked = JaxFunction.of(loss, parameters)
        for keys, leaf in zip(checked.keys, checked.leaves, strict=True):
            if eps_of(leaf.dtype) > FLOAT32_EPS:
                raise TypeError(
                    f"{name_of(keys)} has dtype {leaf.dtype}, wanted 32 bits or more: "
                    "check_function(loss, parameters) judges fewer by float64, or convert it"
                )
        outputs = checked.outputs
        if list(outputs) != [()] or outputs[()].shape or jnp.iscomplexobj(outputs[()]):
            found = ", ".join(f"{a.dtype}{list(a.shape)}" for a in outputs.values())
            raise TypeError(
                f"the loss returns arrays of {found}, wanted one real number: if it returns a pair "
                "of that and others, take has_aux=True"
            )
        self.params = self._joined(checked.params)
        self._judged: JaxFunction | None = None if checked.is_large else checked
        if checked.is_large:
            self.at_entries = self._at_entries

    def __call__(self, arrays: Any) -> Any:
        """Return the loss."""
        return self._checked.values(self._pairs(arrays))

    def gradient(self, arrays: Any) -> Any:
        """Return the gradient that JAX has; of a complex z = x + iy it is ∂C/∂x + i ∂C/∂y.

        That of many entries is compiled, in the first call.
        """
        self._judged = self._judged or self._checked.compiled()
        return self._joined(self._judged.vjp(self._pairs(arrays), np.ones(())))

    def _at_entries(
        self, params: Any, path: str, entries: Any, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        """Yield slices of rows of `steps`, with the losses there."""
        nesting = Nesting(params)
        arrays = {p: np.array(leaf) for p, leaf in nesting.leaves.items()}
        if steps.dtype.kind == "c":
            arrays = {p: a.astype(np.result_type(a, np.complex64)) for p, a in arrays.items()}
        copies, flat = nesting.rebuild(arrays), arrays[path].reshape(-1)
        number, columns = list(arrays).index(path), steps.shape[1]
        values = (flat[entries][:, None] + steps).astype(flat.dtype)
        rows = max(1, AT_ONCE // columns)
        for first in range(0, len(entries), rows):
            part = slice(first, min(first + rows, len(entries)))
            places, moved = np.repeat(entries[part], columns), values[part].reshape(-1)
            found = self._checked.values_at_entries(copies, number, places, moved)
            if found is None:
                found = [
                    self._moved(copies, flat, *move) for move in zip(places, moved, strict=True)
                ]
            yield part, np.reshape(found, (-1, columns))

    def _moved(self, copies: Any, flat: Any, entry: int, value: Any) -> Any:
        """Return the loss with one entry moved; nan where that raises."""
        saved = flat[entry]
        try:
            flat[entry] = value
            return self(copies)
        except Exception as error:
            if is_control_flow(error):
                raise
            return not_a_number(flat.dtype)
        finally:
            flat[entry] = saved

    def _pairs(self, arrays: Any) -> Any:
        """Return arrays with pairs of real numbers in the place of complex parameters."""
        return self._checked.nested(
            as_array(leaf_at(arrays, keys)) if leaf.is_complex else leaf_at(arrays, keys)
            for keys, leaf in zip(self._checked.keys, self._checked.leaves, strict=True)
        )

    def _joined(self, arrays: Any) -> Any:
        """Return arrays with complex parameters in the place of pairs."""
        checked = self._checked
        return nest(
            (keys, as_complex(leaf_at(arrays, keys)) if leaf.is_complex else leaf_at(arrays, keys))
            for keys, leaf in zip(checked.keys, checked.leaves, strict=True)
        )


def as_complex(pairs: Any) -> Any:
    return np.ascontiguousarray(pairs).view(np.result_type(pairs.dtype, np.complex64))[..., 0]
