"""A loss of tensors that it closes over, as a cost of arrays that takes many points at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from checks._types import IntArray
from checks.adapters.torch_function import restored, vmap
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.stacked import is_close
from checks.parameters.nesting import leaves

__all__ = ["LossCost", "shared_array"]

# At most so many numbers in one intermediate result of all points together, 4 MiB in float64.
MAX_NUMBERS, MAX_POINTS = 2**19, 2**12

# Functions that need no copy of a matrix where one entry of it moves.
TENSOR: Any = torch.Tensor
LINEAR = {torch.nn.functional.linear}
PRODUCT = {torch.matmul, TENSOR.matmul, torch.mm, TENSOR.mm}
TRANSPOSE = {torch.t, TENSOR.t, TENSOR.T.__get__, TENSOR.mT.__get__}


class LossCost:
    """A loss as a cost of arrays, see `checks.evaluation.pointwise.Evaluations`.

    The loss is called for many points at once, by `torch.func.vmap`, where that gives the same.

    Parameters
    ----------
    loss
        Takes nothing, returns a tensor of one element.
    tensors : dict of str to tensor
        The parameters, by path.
    arrays : dict of str to ndarray
        They share the memory of the tensors.
    buffers
        Tensors that are restored after every call.
    """

    def __init__(
        self,
        loss: Callable[[], Any],
        tensors: Mapping[str, Any],
        arrays: Mapping[str, Any],
        buffers: Sequence[Any],
    ) -> None:
        self._loss, self._tensors, self._arrays, self._buffers = loss, tensors, arrays, buffers
        self._takes_many: bool | None = None  # not known yet
        self._largest: dict[str, int] = {}  # by path: numbers in the largest intermediate tensor

    def __call__(self, params: Any) -> Any:
        """Return the loss of the tensors as they are."""
        with restored(self._buffers):
            return shared_array(self._loss(), "the loss")

    def at_points(self, params: Any) -> Any:
        """Return the losses at many points, (S,); every array is (S, ...).

        Raises
        ------
        ValueError
            The loss does not take these points at once.
        """
        stacks, found = leaves(params), None
        if self._takes_many is not False and all(
            stacks[path].dtype == array.dtype for path, array in self._arrays.items()
        ):
            tensors = self._tensors

            def loss(*moved: Any) -> Any:
                with _Substituted(map(_Whole, tensors.values(), moved)):
                    return self._loss().reshape(())

            found = self._vmap(loss, [stacks[path] for path in tensors])
        if self._takes_many is None and found is not None:
            points = [{path: stack[k] for path, stack in stacks.items()} for k in (0, -1)]
            self._takes_many = is_close(np.array(list(map(self._alone, points))), found[[0, -1]])
        if found is None or not self._takes_many:
            raise ValueError("the loss does not take these points at once")
        return found

    @property
    def at_entries(self) -> Any:
        """The losses where single entries move, as a function; None if it is not known to work."""
        return self._at_entries if self._takes_many else None

    def _at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        flat, first = self._arrays[path].reshape(-1), 0
        while first < len(entries):
            # at first one entry, as its points are also tried one by one, to see that both agree
            points = min(MAX_POINTS, MAX_NUMBERS // self._largest.get(path, MAX_NUMBERS))
            part = slice(first, min(len(entries), first + max(1, points // steps.shape[1])))
            places = np.repeat(entries[part], steps.shape[1])
            values = (flat[places] + steps[part].reshape(-1)).astype(flat.dtype)
            yield part, self._at_values(path, places, values).reshape(-1, steps.shape[1])
            first = part.stop

    def _at_values(self, path: str, places: IntArray, values: Any) -> Any:
        """Return the losses (S,) where one entry at a time has another value."""
        array, is_first, found = self._arrays[path], path not in self._largest, None

        def loss(*change: Any) -> Any:
            with _Substituted([_Entry(self._tensors[path], *change)]) as substituted:
                result = self._loss()
            self._largest[path] = substituted.largest
            return result.reshape(())

        if self._takes_many:
            found = self._vmap(loss, [places, values, values - array.reshape(-1)[places]])
        if found is not None and not is_first:
            return found
        alone = []
        for place, value in zip(places, values, strict=True):
            moved = array.copy()
            moved.reshape(-1)[place] = value
            alone.append(self._alone({path: moved}))
        self._takes_many = found is not None and is_close(np.array(alone), found)
        return np.array(alone)

    def _alone(self, values: Mapping[str, Any]) -> Any:
        """Return the loss where some arrays have other values; nan if it raises."""
        saved = {path: self._arrays[path].copy() for path in values}
        try:
            for path, value in values.items():
                self._arrays[path][...] = value
            return self(None).reshape(())
        except Exception as error:
            if is_control_flow(error):
                raise
            return np.array(np.nan)
        finally:
            for path, value in saved.items():
                self._arrays[path][...] = value

    def _vmap(self, loss: Callable[..., Any], changes: Sequence[Any]) -> Any:
        """Return the losses (S,) of changes of S points; None where vmap does not take the loss."""
        stacks = [torch.from_numpy(np.ascontiguousarray(change)) for change in changes]
        try:
            with restored(self._buffers), torch.no_grad():
                return vmap(loss, stacks).numpy()
        except Exception as error:
            if is_control_flow(error):
                raise
            self._takes_many = False
            return None


@dataclass(frozen=True, eq=False)
class _Whole:
    """A tensor that has other values."""

    tensor: Any
    moved: Any


@dataclass(frozen=True, eq=False)
class _Entry:
    """A tensor of which one entry has another value.

    Attributes
    ----------
    tensor
    entry, value, step
        The flat index of the entry, its value, and by how much that differs.
    """

    tensor: Any
    entry: Any
    value: Any
    step: Any

    @property
    def moved(self) -> Any:
        """The tensor with the other value."""
        entries = torch.arange(self.tensor.numel()).reshape(self.tensor.shape)
        return torch.where(entries == self.entry, self.value, self.tensor)

    @property
    def index(self) -> tuple[Any, Any]:
        """The row and the column of the entry of a matrix."""
        columns = self.tensor.shape[1]
        return torch.div(self.entry, columns, rounding_mode="floor"), self.entry % columns

    @property
    def transposed(self) -> "_Entry":
        """The transposed matrix."""
        row, column = self.index
        entry = column * self.tensor.shape[0] + row
        return _Entry(self.tensor.T, entry, self.value, self.step)

    def times(self, x: Any) -> Any:
        """Return what the step adds to x @ the matrix."""
        row, column = self.index
        unit = torch.arange(self.tensor.shape[1]) == column
        return (self.step * x.movedim(-1, 0)[row])[..., None] * unit


class _Substituted(TorchFunctionMode):
    """Calls functions of PyTorch with changed tensors in the place of those that they are given.

    Attributes
    ----------
    largest : int
        The most numbers in a result, at one point.
    """

    def __init__(self, changed: Iterable[_Whole | _Entry]) -> None:
        super().__init__()
        self._changed = {id(one.tensor): one for one in changed}
        self._kept: list[Any] = []  # so that no other tensor gets the id of one of these
        self.largest = 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = self._result(func, args, kwargs or {})
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.numel())
        return result

    def _result(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        first, second = (self._matrix(args[k]) if len(args) > k else None for k in (0, 1))
        if func in TRANSPOSE and first:
            # nan, so that code unseen by this mode, as in C++, cannot read unmoved values
            unreadable = first.tensor.new_full((), torch.nan).expand(first.tensor.shape[::-1])
            self._changed[id(unreadable)] = first.transposed
            self._kept.append(unreadable)
            return unreadable
        if func in LINEAR and second and not kwargs:
            x, *bias = map(self._given, (args[0], *args[2:]))
            return func(x, second.tensor, *bias) + second.transposed.times(x)
        if func in PRODUCT and second and not kwargs and first is None:
            x = self._given(args[0])
            return func(x, second.tensor) + second.times(x)
        return func(*map(self._given, args), **{k: self._given(v) for k, v in kwargs.items()})

    def _matrix(self, given: Any) -> _Entry | None:
        """Return the change of a matrix of which one entry moves; None of anything else."""
        one = self._changed.get(id(given))
        return one if isinstance(one, _Entry) and one.tensor.ndim == 2 else None

    def _given(self, given: Any) -> Any:
        """Return what an argument is changed to, also inside of lists and tuples."""
        if type(given) in (list, tuple):
            return type(given)(map(self._given, given))
        one = self._changed.get(id(given))
        return given if one is None else one.moved


def shared_array(tensor: Any, name: str = "a tensor") -> Any:
    """Return a numpy array that shares the memory of a tensor."""
    if tensor.dtype is torch.bfloat16 or tensor.device.type != "cpu":
        raise TypeError(
            f"{name} is {tensor.dtype} on {tensor.device}, wanted a dtype that numpy has, on the "
            "CPU: convert with .float() and .cpu()"
        )
    return tensor.detach().numpy()
