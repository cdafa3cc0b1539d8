"""A loss of tensors that it closes over, as a cost of arrays that takes many points at once."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from checks._types import IntArray
from checks.adapters.torch_float64 import InFloat64
from checks.adapters.torch_function import are_equal, restored, vmap
from checks.evaluation.control_flow import is_control_flow
from checks.evaluation.stacked import is_close
from checks.parameters.nesting import Nesting, leaves

__all__ = ["LossCost", "array_of"]

# At most so many numbers in one intermediate result of all points together, 4 MiB in float64. An
# accelerator gets more, since it takes about as long for few numbers as for many.
MAX_NUMBERS, MAX_POINTS = 2**19, 2**12
TIMES_ON_ACCELERATOR = 2**6

# Functions that need no copy of a matrix where one entry of it moves.
TENSOR: Any = torch.Tensor
LINEAR = {torch.nn.functional.linear}
PRODUCT = {torch.matmul, TENSOR.matmul, torch.mm, TENSOR.mm}
TRANSPOSE = {torch.t, TENSOR.t, TENSOR.T.__get__, TENSOR.mT.__get__}


class LossCost:
    """A loss as a cost of arrays, see `checks.evaluation.pointwise.Evaluations`.

    Where it is called with wider arrays than those of the tensors, it computes in float64. It is
    called for many points at once, by `torch.func.vmap`, where that gives the same.

    Parameters
    ----------
    loss
        Takes nothing, returns a tensor of one element.
    tensors : dict of str to tensor
        The parameters, by path.
    arrays : dict of str to ndarray
        As `array_of` returns them: they share the memory of tensors on the CPU.
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
        # by whether it computes in float64: it takes many points, as far as that is known
        self._takes_many: dict[bool, bool] = {}
        self._written: list[Any] | None = None  # buffers to which a call writes, once it is known
        # by path, and whether in float64: numbers in the largest intermediate tensor
        self._largest: dict[tuple[str, bool], int] = {}
        is_on_cpu = all(tensor.device.type == "cpu" for tensor in tensors.values())
        self._times = 1 if is_on_cpu else TIMES_ON_ACCELERATOR

    def __call__(self, params: Any) -> Any:
        """Return the loss of the tensors with the values of arrays."""
        with self.placed(params):
            before = [tensor.clone() for tensor in self._buffers] if self._written is None else []
            value = array_of(self._loss(), "the loss")
            if self._written is None:
                pairs = zip(self._buffers, before, strict=True)
                self._written = [tensor for tensor, old in pairs if not are_equal(tensor, old)]
            return value

    @contextlib.contextmanager
    def placed(self, params: Any) -> Iterator[None]:
        """Give the tensors the values of arrays for a while, and restore what changes.

        Arrays that share the memory of the tensors are there already. Complex ones, which many
        functions of PyTorch do not take together with real ones, are passed over.
        """
        given = leaves(params)
        moved = {
            self._tensors[path]: array
            for path, array in given.items()
            if array.dtype.kind != "c"
            and not (array is self._arrays[path] and shares_memory(self._tensors[path]))
        }
        before = {tensor: tensor.data for tensor in moved}
        wide = self._is_wide(given)
        try:
            with restored([*self._buffers, *moved]):
                for tensor, array in moved.items():
                    values = torch.from_numpy(np.array(array)).to(tensor.device)
                    if wide:
                        tensor.data = values
                    else:  # in place, so that views of the tensor move as well
                        tensor.data.copy_(values)
                lifted: Any = InFloat64 if wide else contextlib.nullcontext
                with lifted():
                    yield
        finally:
            for tensor, data in before.items():
                tensor.data = data

    def _is_wide(self, arrays: Mapping[str, Any]) -> bool:
        """Whether arrays are in a wider dtype than that of their tensors."""
        return any(
            array.dtype.kind != "c" and array.itemsize > self._arrays[path].itemsize
            for path, array in arrays.items()
        )

    def at_points(self, params: Any) -> Any:
        """Return the losses at many points, (S,); every array is (S, ...).

        Raises
        ------
        ValueError
            The loss does not take these points at once.
        """
        nesting, found = Nesting(params), None
        stacks, tensors = nesting.leaves, self._tensors
        wide = self._is_wide(stacks)
        if self._takes_many.get(wide, True) and all(a.dtype.kind != "c" for a in stacks.values()):

            def loss(*moved: Any) -> Any:
                with _Substituted(map(_Whole, tensors.values(), moved)):
                    return self._loss().reshape(())

            changes = [(stacks[path], tensor.device) for path, tensor in tensors.items()]
            found = self._vmap(loss, changes, self._point(nesting, 0))
        if wide not in self._takes_many and found is not None:
            alone = [self._alone(self._point(nesting, k)) for k in (0, -1)]
            self._takes_many[wide] = is_close(np.array(alone), found[[0, -1]])
        if found is None or not self._takes_many[wide]:
            raise ValueError("the loss does not take these points at once")
        return found

    @staticmethod
    def _point(nesting: Nesting, k: int) -> Any:
        """Return one of the points of a nesting of stacks."""
        return nesting.rebuild({path: np.array(stack[k]) for path, stack in nesting.leaves.items()})

    @property
    def at_entries(self) -> Any:
        """The losses where single entries move, as a function; None if it is not known to work."""
        return self._at_entries if any(self._takes_many.values()) else None

    def _at_entries(
        self, params: Any, path: str, entries: IntArray, steps: Any
    ) -> Iterator[tuple[slice, Any]]:
        given, first = leaves(params), 0
        flat, key = given[path].reshape(-1), (path, self._is_wide(given))
        while first < len(entries):
            # at first one entry, as its points are also tried one by one, to see that both agree
            numbers = self._times * MAX_NUMBERS
            points = min(self._times * MAX_POINTS, numbers // self._largest.get(key, numbers))
            part = slice(first, min(len(entries), first + max(1, points // steps.shape[1])))
            places = np.repeat(entries[part], steps.shape[1])
            values = (flat[places] + steps[part].reshape(-1)).astype(flat.dtype)
            yield part, self._at_values(params, path, places, values).reshape(-1, steps.shape[1])
            first = part.stop

    def _at_values(self, params: Any, path: str, places: IntArray, values: Any) -> Any:
        """Return the losses (S,) where one entry at a time has another value."""
        nesting, tensor, found = Nesting(params), self._tensors[path], None
        array, wide = nesting.leaves[path], self._is_wide(nesting.leaves)
        is_first = (path, wide) not in self._largest

        def loss(*change: Any) -> Any:
            with _Substituted([_Entry(tensor, *change)]) as substituted:
                result = self._loss()
            self._largest[path, wide] = substituted.largest
            return result.reshape(())

        if self._takes_many.get(wide, False) and values.dtype.kind != "c":
            changes = places, values, values - array.reshape(-1)[places]
            found = self._vmap(loss, [(change, tensor.device) for change in changes], params)
        if found is not None and not is_first:
            return found
        alone = []
        for place, value in zip(places, values, strict=True):
            moved = np.array(array)
            moved.reshape(-1)[place] = value
            alone.append(self._alone(nesting.rebuild({**nesting.leaves, path: moved})))
        self._takes_many[wide] = found is not None and is_close(np.array(alone), found)
        return np.array(alone)

    def _alone(self, params: Any) -> Any:
        """Return the loss at a point; nan if it raises."""
        try:
            return self(params).reshape(())
        except Exception as error:
            if is_control_flow(error):
                raise
            return np.array(np.nan)

    def _vmap(
        self, loss: Callable[..., Any], changes: Sequence[tuple[Any, Any]], params: Any
    ) -> Any:
        """Return the losses (S,) of changes of S points; None where vmap does not take the loss.

        Each change comes with the device to which it goes. The rest is as in `params`.
        """
        wide = self._is_wide(leaves(params))
        written = self._written or []

        def loss_of(*stacks: Any) -> Any:
            with _Substituted(map(_Whole, written, stacks)):
                return loss(*stacks[len(written) :])

        try:
            stacks = [torch.from_numpy(np.ascontiguousarray(a)).to(device) for a, device in changes]
            # each point has its own buffers, to which batch statistics are written
            kept = [b.repeat(len(stacks[0]), *([1] * b.ndim)) for b in written]
            with self.placed(params), torch.no_grad():
                return vmap(loss_of, [*kept, *stacks]).cpu().numpy()
        except Exception as error:
            if is_control_flow(error):
                raise
            self._takes_many[wide] = False
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
        entries = torch.arange(self.tensor.numel(), device=self.tensor.device)
        entries = entries.reshape(self.tensor.shape)
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
        unit = torch.arange(self.tensor.shape[1], device=self.tensor.device) == column
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


def shares_memory(tensor: Any) -> bool:
    """Whether an array of numpy can share the memory of a tensor."""
    return bool(tensor.device.type == "cpu")


def array_of(tensor: Any, name: str = "a tensor") -> Any:
    """Return an array of numpy that shares the memory of a tensor; a copy of one on a device."""
    if tensor.dtype is torch.bfloat16 or tensor.device.type == "meta":
        raise TypeError(
            f"{name} is {tensor.dtype} on {tensor.device}, wanted a dtype that numpy has, and "
            'values: convert with .float(), or check a module by precision="float64"'
        )
    found = tensor.detach()
    return (found if shares_memory(found) else found.cpu().clone()).numpy()
