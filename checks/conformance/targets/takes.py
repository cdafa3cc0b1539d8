"""What a target takes: which networks, and in which form their arrays are handed over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from checks.conformance.targets.problems import labelled, rounded_problem
from checks.strategies import Problem

__all__ = ["LABELS", "MOST_LAYERS", "Form", "Takes"]

MOST_LAYERS = 7  # the deepest network of the suite
MANY = 10**6

LABELS = {
    "numbers": "y of any numbers",
    "from 0 to 1": "y from 0 to 1",
    "shares": "y whose rows sum to 1",
    "one-hot": "y one-hot (0 or 1)",
    "±1": "y of ±1",
    "integers": "y of integer classes (B,)",
}
"""Kinds of y, from the most general to the most special, with their descriptions."""


@dataclass(frozen=True)
class Form:
    """How the arrays of a network are handed to a target.

    Attributes
    ----------
    transposed : bool
        Whether a weight matrix is (n_{l−1}, n_l), so that z = x @ w + b.
    samples : {"rows", "columns", "vector"}
        Whether x is (B, n_0) or (n_0, B), or (n_0,) for one sample at a time.
    bias : {"(n,)", "(1, n)", "(n, 1)"}
        The shape of a bias.
    flat : bool
        Whether y of one output is (B,), and for one sample at a time a number.
    integers : bool
        Whether y holds the class of each sample, (B,) integers.
    """

    transposed: bool = False
    samples: str = "rows"
    bias: str = "(n,)"
    flat: bool = False
    integers: bool = False

    def weights(self, weights: Sequence[Any]) -> Sequence[Any]:
        """Return matrices in this form, as views; the same call brings them back."""
        return [w.T for w in weights] if self.transposed else weights

    def biases(self, biases: Sequence[Any]) -> Sequence[Any]:
        """Return biases in this form, as views."""
        if self.bias == "(n,)":
            return biases
        return [b[None] if self.bias == "(1, n)" else b[:, None] for b in biases]

    def batch(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return x and y in this form, as views wherever y are no integers."""
        if self.integers:
            y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(int)
        elif self.flat:
            y = y[:, 0]
        elif self.samples == "columns":
            y = y.T
        if self.samples == "vector":
            return x[0], y[0]
        return x.T if self.samples == "columns" else x, y

    def given(self, weights: Any, biases: Any, x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
        """Return the four arguments of a target in this form."""
        return self.weights(weights), self.biases(biases), *self.batch(x, y)

    def lines(self) -> list[str]:
        """Return the same changes as lines of Python."""
        lines = []
        if self.transposed:
            lines.append("weights = [w.T for w in weights]")
        if self.bias != "(n,)":
            index = "None" if self.bias == "(1, n)" else ":, None"
            lines.append(f"biases = [b[{index}] for b in biases]")
        if self.integers:
            lines.append("y = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0].astype(int)")
        elif self.flat:
            lines.append("y = y[:, 0]")
        if self.samples == "columns":
            lines.append("x = x.T" if self.integers or self.flat else "x, y = x.T, y.T")
        elif self.samples == "vector":
            lines.append("x, y = x[0], y[0]")
        return lines

    def __str__(self) -> str:
        parts = []
        if self.transposed:
            parts.append("w of (n_{l−1}, n_l)")
        if self.bias != "(n,)":
            parts.append(f"b of {self.bias}")
        if self.samples == "columns":
            parts.append("samples as columns")
        elif self.samples == "vector":
            parts.append("x and y of one sample as vectors")
        if self.flat and self.samples != "vector":
            parts.append("y of (B,)")
        return ", ".join(parts)


@dataclass(frozen=True)
class Takes:
    """The networks that a target takes, and the form in which it takes them.

    Attributes
    ----------
    layers, outputs, samples : (int, int)
        The smallest and the largest number.
    sizes : tuple of int or None
        The only widths n_0 … n_L that it takes; None if it takes others.
    labels : str
        One of `LABELS`.
    biases : bool
        Whether the cost reads any bias.
    form : Form
    reasons : mapping of str to str
        What it does not take, with the reason: ``{"1 layer": "ValueError: …"}``.
    declared : frozenset of str
        Which of the attributes the target declares: where it raises on those, it is a failure.
    known : bool
        Whether any network was found that the target takes.
    """

    layers: tuple[int, int] = (1, MOST_LAYERS)
    outputs: tuple[int, int] = (1, MANY)
    samples: tuple[int, int] = (1, MANY)
    sizes: tuple[int, ...] | None = None
    labels: str = "numbers"
    biases: bool = True
    form: Form = field(default_factory=Form)
    reasons: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()
    known: bool = True

    def nearest(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the widths of a network that is taken, as like these as possible."""
        if self.sizes is not None:
            return self.sizes
        n_0, *hidden, n_L = sizes  # noqa: N806
        least, most = self.layers
        hidden = hidden[: most - 1]
        while len(hidden) < least - 1:
            hidden.append(hidden[-1] if hidden else max(sizes))
        return (n_0, *hidden, min(max(n_L, self.outputs[0]), self.outputs[1]))

    def suited(self, problem: Problem) -> Problem:
        """Return a problem with y of the kind that is taken, and biases of 0 if none is read."""
        if not self.biases:
            problem = replace(problem, biases=[0 * b for b in problem.biases])
        return labelled(problem, self.labels)

    def example(self, sizes: tuple[int, ...], samples: int, number: int = 0) -> Problem:
        """Return a problem that is taken, as like these sizes as possible, of short numbers.

        The rows of y sum to 1 where y may be any numbers, because the gradient may require it.
        """
        samples = min(max(samples, self.samples[0]), self.samples[1])
        problem = rounded_problem(self.nearest(sizes), samples, number=number)
        labels = self.labels
        if labels in ("numbers", "from 0 to 1"):
            labels = "shares" if problem.sizes[-1] > 1 else "from 0 to 1"
        return replace(self, labels=labels).suited(problem)

    def why_not(self, noun: str, least: int, most: int) -> str:
        """Return why no network of so many layers, outputs or samples is taken."""
        if noun == "layer":
            names = ["1 layer" if n == 1 else f"{n} layers" for n in range(least, most + 1)]
        else:
            names = [f"one {noun}" if most == 1 else f"several {noun}s"]
        for name in names:
            if name in self.reasons:
                return f"with {name}: {self.reasons[name]}"
        return f"with {names[0]}: it {self}"

    def with_declared(self, declared: Mapping[str, Any]) -> "Takes":
        """Return these with what a target declares that it takes."""
        own = {name: value for name, value in declared.items() if name not in ("weights", "x")}
        return replace(self, **own, declared=frozenset(declared))

    def __str__(self) -> str:
        if not self.known:
            return "takes none of the networks that the suite draws"
        networks = [_layers(self.layers), _one_or_several(self.outputs, "output")]
        parts = [
            *([f"sizes {self.sizes} alone"] if self.sizes else networks),
            "one sample at a time"
            if self.samples[1] == 1
            else _one_or_several(self.samples, "sample"),
            "" if self.biases else "no biases are read",
            LABELS[self.labels],
            str(self.form),
        ]
        return f"takes {'; '.join(filter(None, parts))}"


def _layers(bounds: tuple[int, int]) -> str:
    least, most = bounds
    if least < most:
        return f"{least} to {most} layers"
    return "1 layer" if most == 1 else f"{most} layers"


def _one_or_several(bounds: tuple[int, int], noun: str) -> str:
    least, most = bounds
    if most == 1:
        return f"one {noun}"
    if most < MANY:
        return f"{least} to {most} {noun}s"
    return f"one {noun} or several" if least == 1 else f"several {noun}s"
