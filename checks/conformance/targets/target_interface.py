"""The functions that a target has to have, and what to do if they are missing or do not fit."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

__all__ = [
    "EXAMPLE",
    "SIGNATURES",
    "Function",
    "TargetError",
    "declared_takes",
    "find_function",
    "find_known_name",
    "listed",
    "misspelt",
    "nearest",
    "public_names",
]

Function: TypeAlias = Callable[..., Any]

EXAMPLE = """\
import numpy as np

def forward(weights, biases, x):  # w is (n_l, n_{l-1}), b is (n_l,), x holds one sample per row
    return [x := 1 / (1 + np.exp(-(x @ w.T + b))) for w, b in zip(weights, biases)]

def cost(weights, biases, x, y):
    return np.mean((forward(weights, biases, x)[-1] - y) ** 2)

def gradient(weights, biases, x, y):  # and/or: step(weights, biases, x, y, learning_rate)
    a, dw, db = [x, *forward(weights, biases, x)], [], []
    delta = 2 * (a[-1] - y) / y.size
    for w, before, after in zip(weights[::-1], a[-2::-1], a[::-1]):
        delta = delta * after * (1 - after)
        dw, db, delta = [delta.T @ before, *dw], [delta.sum(axis=0), *db], delta @ w
    return dw, db
"""
"""A complete target that is right."""

PROBLEM = ("weights", "biases", "x", "y")
SIGNATURES = {"cost": PROBLEM, "gradient": PROBLEM, "step": (*PROBLEM, "learning_rate")}
# Other names that people give to these functions.
ALIASES = {
    "cost": ("loss", "loss_fn", "loss_function", "objective", "error", "mse"),
    "gradient": ("grad", "grads", "gradients", "backward", "backprop", "backpropagation"),
    "step": ("update", "train_step", "training_step", "sgd_step", "train"),
}


class TargetError(Exception):
    """A target cannot be used. The text says what to change, and ends with a complete target."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}\n\nA target in a dozen lines:\n\n{EXAMPLE}")
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem,)


def find_function(thing: Any, function_name: str, target_name: str) -> Function | None:
    """Return a function of a target, None if the target has none of that name.

    Parameters
    ----------
    thing
        A module or an object.
    function_name : {"cost", "gradient", "step"}
    target_name : str
        How an error names the target.

    Raises
    ------
    TargetError
        The function's signature does not fit the call. A function whose signature Python cannot
        tell is accepted.
    """
    function: Function | None = getattr(thing, function_name, None)
    if function is None:
        return None
    names = SIGNATURES[function_name]
    call = f"{function_name}({', '.join(names)})"
    if not callable(function):
        raise TargetError(
            f"{target_name}: {function_name} is {_described(function)}: wanted a function, {call}"
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function
    if isinstance(thing, type) and parameters and parameters[0].name == "self":
        raise TargetError(
            f"{target_name} is a class, and its {function_name} takes self: make an instance in "
            f"the module, net = {thing.__name__}(), and name that, mynet:net"
        )
    problem = _signature_problem(parameters, names)
    if problem:
        has = f"({', '.join(map(str, parameters))})"
        raise TargetError(
            f"{target_name}: {function_name}{has} {problem}: the suite calls it as {call}"
        )
    return function


def _signature_problem(parameters: list[inspect.Parameter], names: tuple[str, ...]) -> str:
    """Return why a function cannot take these arguments by position; empty if it can."""
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty:
            return f"has the keyword-only parameter {p.name!r}, wanted all by position"
    if len(positional) < len(names) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return f"takes {len(positional)} arguments, wanted {len(names)}"
    if len(required) > len(names):
        return f"needs {len(required)} arguments, wanted {len(names)}"
    for place, p in enumerate(positional):
        if p.name in names and names.index(p.name) != place:
            return f"takes its arguments in another order ({p.name!r} is number {place + 1})"
    return ""


def find_known_name(
    thing: Any, attribute: str, target_name: str, known: Iterable[str], default: str
) -> str:
    """Return the name of the activation or cost that a target declares, one of the reference's.

    Raises
    ------
    TargetError
        The reference has no activation or cost of that name.
    """
    value = getattr(thing, attribute, default)
    if isinstance(value, str) and value in known:
        return value
    raise TargetError(
        f"{target_name}: {attribute} is {_described(value)}: wanted one of the reference's "
        f"names: {', '.join(known)}"
        + ("" if isinstance(value, str) else f"; if your {attribute} is something else, rename it")
    )


# What a target may declare that it takes: a number or (least, most), or one of some texts.
TAKES: dict[str, tuple[str, ...]] = {
    "layers": (),
    "outputs": (),
    "samples": (),
    "sizes": (),
    "biases": (),
    "labels": ("numbers", "from 0 to 1", "shares", "one-hot", "±1", "integers"),
    "weights": ("(out, in)", "(in, out)"),
    "x": ("rows", "columns", "vector"),
}


def declared_takes(thing: Any, target_name: str) -> dict[str, Any]:
    """Return what a target declares in ``takes``: ``{"layers": 2, "labels": "integers"}``.

    Of layers, outputs and samples the value is (least, most).

    Raises
    ------
    TargetError
        A key is not known, or its value is of another kind.
    """
    declared = getattr(thing, "takes", {})
    if not isinstance(declared, dict):
        raise TargetError(
            f"{target_name}: takes is {_described(declared)}: wanted a dict, such as "
            '{"layers": 2, "labels": "integers"}'
        )
    read = {}
    for key, value in declared.items():
        if key not in TAKES:
            raise TargetError(
                f"{target_name}: takes has {key!r}: wanted some of {', '.join(TAKES)}"
            )
        read[key], wanted = _read_takes(key, value)
        if wanted:
            raise TargetError(f"{target_name}: takes[{key!r}] is {value!r}: wanted {wanted}")
    return read


def _read_takes(key: str, value: Any) -> tuple[Any, str]:
    """Return a declared value as the suite uses it, and what was wanted if it cannot be read."""
    texts = TAKES[key]
    if texts:
        return value, "" if value in texts else f"one of {', '.join(map(repr, texts))}"
    if key == "biases":
        return value, "" if isinstance(value, bool) else "True or False"
    numbers = (value,) if isinstance(value, int) else value
    is_tuple = isinstance(numbers, (tuple, list)) and all(
        isinstance(n, int) and n > 0 for n in numbers
    )
    if key == "sizes":
        fits = is_tuple and len(numbers) > 1
        return tuple(value) if fits else value, "" if fits else "the widths (n_0, …, n_L)"
    fits = is_tuple and 1 <= len(numbers) <= 2 and list(numbers) == sorted(numbers)
    return (
        (numbers[0], numbers[-1]) if fits else value,
        "" if fits else "a number, or (least, most)",
    )


def misspelt(thing: Any, missing: str) -> str:
    """Return the advice to rename a function that looks like the one that is missing."""
    names = public_names(thing)
    close = [name for name in ALIASES[missing] if name in names]
    close += difflib.get_close_matches(missing, names, cutoff=0.7)
    return (
        f"; it has {close[0]}: rename it, or add the line {missing} = {close[0]}" if close else ""
    )


def public_names(thing: Any) -> list[str]:
    """Return the attributes of an object that do not start with an underscore."""
    return [name for name in dir(thing) if not name.startswith("_")]


def nearest(name: str, names: list[str]) -> str:
    """Return the end of a sentence: the name that was probably meant, or else the first ten."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else listed(names)


def listed(names: list[str]) -> str:
    """Return the end of a sentence: the first ten names."""
    first = ", ".join(sorted(names)[:10])
    return f"; there is {first}{', …' if len(names) > 10 else ''}" if first else ""


def _described(value: Any) -> str:
    return f"a {type(value).__name__}" if callable(value) else repr(value)
