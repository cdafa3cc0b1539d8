"""What a target has to have, and the advice where it has not."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

__all__ = [
    "EXAMPLE",
    "SIGNATURES",
    "Function",
    "TargetError",
    "find_function",
    "find_table_row",
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
"""A whole target, and a right one."""

PROBLEM = ("weights", "biases", "x", "y")
SIGNATURES = {"cost": PROBLEM, "gradient": PROBLEM, "step": (*PROBLEM, "learning_rate")}
# What people call them.
ALIASES = {
    "cost": ("loss", "loss_fn", "loss_function", "objective", "error", "mse"),
    "gradient": ("grad", "grads", "gradients", "backward", "backprop", "backpropagation"),
    "step": ("update", "train_step", "training_step", "sgd_step", "train"),
}


class TargetError(Exception):
    """A target cannot be used. The text says what to change, and ends with a whole target."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}\n\nA target in a dozen lines:\n\n{EXAMPLE}")
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem,)


def find_function(thing: Any, wanted: str, name: str) -> Function | None:
    """Return the function `wanted` of a target, or None if it has none.

    Raises
    ------
    TargetError
        It cannot be called as it will be. Where Python knows no signature nothing is said.
    """
    function: Function | None = getattr(thing, wanted, None)
    if function is None:
        return None
    names = SIGNATURES[wanted]
    call = f"{wanted}({', '.join(names)})"
    if not callable(function):
        raise TargetError(f"{name}: {wanted} is {_said(function)}: wanted a function, {call}")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return function
    if isinstance(thing, type) and parameters and parameters[0].name == "self":
        raise TargetError(
            f"{name} is a class, and its {wanted} takes self: make an instance in the module, "
            f"net = {thing.__name__}(), and name that, mynet:net"
        )
    problem = _wrong_with(parameters, names)
    if problem:
        has = f"({', '.join(map(str, parameters))})"
        raise TargetError(f"{name}: {wanted}{has} {problem}: it is called {call}")
    return function


def _wrong_with(parameters: list[inspect.Parameter], names: tuple[str, ...]) -> str:
    """Return what is wrong with parameters that are to take `names` by position, or nothing."""
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


def find_table_row(
    thing: Any, attribute: str, name: str, known: Iterable[str], default: str
) -> str:
    """Return the row of one of the reference's tables that a target names.

    Raises
    ------
    TargetError
        There is no such row.
    """
    value = getattr(thing, attribute, default)
    if isinstance(value, str) and value in known:
        return value
    raise TargetError(
        f"{name}: {attribute} is {_said(value)}: wanted the name of one of the reference's, "
        f"{', '.join(known)}"
        + ("" if isinstance(value, str) else "; give another name to what is none")
    )


def misspelt(thing: Any, wanted: str) -> str:
    """Return the advice to rename whatever looks like the function that is missing."""
    there = public_names(thing)
    close = [name for name in ALIASES[wanted] if name in there]
    close += difflib.get_close_matches(wanted, there, cutoff=0.7)
    return f"; it has {close[0]}: rename it, or add the line {wanted} = {close[0]}" if close else ""


def public_names(thing: Any) -> list[str]:
    """Return the attributes that somebody may have meant."""
    return [name for name in dir(thing) if not name.startswith("_")]


def nearest(name: str, there: list[str]) -> str:
    """Return which of the names that there are was meant, or else all, as the end of a sentence."""
    close = difflib.get_close_matches(name, there, n=1)
    return f"; did you mean {close[0]!r}?" if close else listed(there)


def listed(names: list[str]) -> str:
    """Return the first few names, as the end of a sentence."""
    some = ", ".join(sorted(names)[:10])
    return f"; there is {some}{', …' if len(names) > 10 else ''}" if some else ""


def _said(value: Any) -> str:
    return f"a {type(value).__name__}" if callable(value) else repr(value)
