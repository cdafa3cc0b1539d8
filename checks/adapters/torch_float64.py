"""PyTorch's operations in float64, also where a function asks for a narrower dtype."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["InFloat64"]

NARROW = {torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64}
NARROW |= {torch.complex64: torch.complex128, torch.complex32: torch.complex128}
WIDE = frozenset(NARROW.values())
DRAWN = {torch.float64: torch.float32, torch.complex128: torch.complex64}
# Operations whose results are random numbers, also in place.
DRAWS = {"bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal"}
DRAWS |= {"poisson", "rand", "rand_like", "randn", "randn_like", "uniform"}


class InFloat64(TorchDispatchMode):  # type: ignore[misc,no-untyped-call,unused-ignore]
    """While it is entered, casts to narrower dtypes give float64, and so do new tensors.

    An operation on a tensor in float64 and a narrower one, such as a weight that a function closes
    over, is done in float64. What is written to memory from outside is rounded to its dtype. Random
    numbers are drawn in float32, because a seed gives others in float64.
    """

    def __enter__(self) -> Any:
        self._arguments = _Arguments()
        self._hook = register_module_forward_pre_hook(_widen_inputs)
        self._arguments.__enter__()  # type: ignore[no-untyped-call,unused-ignore]
        return super().__enter__()  # type: ignore[no-untyped-call,unused-ignore]

    def __exit__(self, *raised: Any) -> None:
        self._hook.remove()
        super().__exit__(*raised)  # type: ignore[no-untyped-call,unused-ignore]
        self._arguments.__exit__(*raised)  # type: ignore[no-untyped-call,unused-ignore]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operation with wider arguments."""
        kwargs = dict(kwargs or {})
        if _name(func) in DRAWS and kwargs.get("dtype") is not torch.float64:
            return _drawn(func, args, kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        if kwargs.get("dtype") in NARROW:
            is_complex = any(tensor.is_complex() for tensor in tensors)
            kwargs["dtype"] = torch.complex128 if is_complex else NARROW[kwargs["dtype"]]
        dtypes = {tensor.dtype for tensor in tensors}
        if dtypes & WIDE and dtypes & NARROW.keys():
            places, names = _written(func)
            args = tuple(a if n in places else _as_float64(a) for n, a in enumerate(args))
            kwargs = {k: a if k in names else _as_float64(a) for k, a in kwargs.items()}
        result = func(*args, **kwargs)
        return result if tensors else _as_float64(result)


class _Arguments(TorchFunctionMode):
    """Calls functions with wide arguments of which some are wide, as `InFloat64` does operations.

    Some, such as convolutions, refuse unequal dtypes before they begin with any operation.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        dtypes = {tensor.dtype for tensor in _tensors((*args, *kwargs.values()))}
        if dtypes & WIDE and dtypes & NARROW.keys() and not _writes(func) and "out" not in kwargs:
            args = tuple(map(_as_float64, args))
            kwargs = {k: _as_float64(argument) for k, argument in kwargs.items()}
        return func(*args, **kwargs)


@cache
def _written(func: Any) -> tuple[set[int], set[str]]:
    """Return to which arguments an operation writes, by their places and by their names."""
    arguments = enumerate(func._schema.arguments)
    written = [(n, a.name) for n, a in arguments if a.alias_info and a.alias_info.is_write]
    return {n for n, _ in written}, {name for _, name in written}


@cache
def _name(func: Any) -> str:
    """Return the name of an operation, without an underscore that says that it is in place."""
    return str(func._schema.name).removeprefix("aten::").removesuffix("_")


def _widen_inputs(module: Any, inputs: tuple[Any, ...]) -> Any:
    """Return wide inputs of a module with wide parameters: recurrent ones compare the dtypes."""
    is_wide = any(p is not None and p.dtype in WIDE for p in module._parameters.values())
    return tuple(map(_as_float64, inputs)) if is_wide else None


def _drawn(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return random numbers as a call with narrow arguments draws them, in float64."""
    narrow = tuple(
        arg.to(DRAWN[arg.dtype]) if isinstance(arg, torch.Tensor) and arg.dtype in WIDE else arg
        for arg in args
    )
    result = _as_float64(func(*narrow, **kwargs))
    return args[0].copy_(result) if 0 in _written(func)[0] else result


def _writes(func: Any) -> bool:
    """Whether a function writes to its first argument, which must stay the tensor that it is."""
    name = getattr(func, "__name__", "")
    is_private = name.endswith("__")
    return name in ("__set__", "__setitem__") or (name.endswith("_") and not is_private)


def _tensors(arguments: Any) -> Iterator[Any]:
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors(argument)


def _as_float64(argument: Any) -> Any:
    """Return an argument, or a list or tuple of some, with its narrow tensors in float64."""
    if isinstance(argument, torch.Tensor):
        wide = NARROW.get(argument.dtype)
        return argument if wide is None else argument.to(wide)
    if type(argument) in (list, tuple):
        return type(argument)(map(_as_float64, argument))
    return argument
