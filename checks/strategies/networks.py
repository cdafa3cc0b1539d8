"""Hypothesis strategies for random networks: layer sizes, parameters, batches, whole problems.

Parameters are `(weights, biases)`, two lists of arrays in the shapes of the symbol table in
`backprop/__init__.py`.
"""

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

import numpy as np
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.vendor.pretty import RepresentationPrinter
from numpy.typing import DTypeLike

from checks.strategies.arguments import TINY, check_bounds, check_regime, checked_dtype, seeds

__all__ = [
    "REGIMES",
    "Problem",
    "batches",
    "generate_arrays",
    "layer_sizes",
    "parameters",
    "problems",
]

Sizes = Iterable[int] | st.SearchStrategy[tuple[int, ...]]

REGIMES = ("ordinary", "saturated", "vanishing", "zeros", "targets")
"""Kinds of networks, the plainest first; comments in `generate_arrays` say what each one is."""


def generate_arrays(
    sizes: tuple[int, ...],
    samples: int = 1,
    regime: str = "ordinary",
    seed: int = 0,
    dtype: str = "float64",
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]:
    """Return random weights (n_l, n_{l-1}), biases (n_l,), x (B, n_0), y (B, n_L); B samples."""
    rng = np.random.default_rng(seed)
    # ordinary: w^l ~ N(0, 1/n_{l-1}), b^l ~ N(0, 1), x ~ N(0, 1), y ~ U(0, 1)
    weights = [rng.standard_normal((m, n)) / np.sqrt(n) for n, m in pairwise(sizes)]
    biases = [rng.standard_normal(m) for m in sizes[1:]]
    x = rng.standard_normal((samples, sizes[0]))
    y = rng.uniform(0, 1, (samples, sizes[-1]))
    if regime == "saturated":  # |z| is typically 20 to 40
        weights = [10 * w for w in weights]
        biases = [np.copysign(rng.uniform(20, 40, b.shape), b) for b in biases]
    elif regime == "vanishing":  # each layer passes back about a hundredth of δ, or less
        weights = [w / 100 for w in weights]
    elif regime == "zeros":  # about half of the arrays w^l and b^l are zero, at least one
        zero = rng.uniform(size=2 * len(biases)) < 0.5
        zero[rng.integers(len(zero))] = True
        for array, is_zero in zip(biases + weights, zero, strict=True):
            if is_zero:
                array.fill(0)
    elif regime == "targets":  # y lies 0.5 to 2.5 outside [0, 1], on either side
        y = 0.5 + np.copysign(rng.uniform(1, 3, y.shape), y - 0.5)
    elif regime != "ordinary":
        raise ValueError(f"regime={regime!r} is not known")
    return (
        [w.astype(dtype) for w in weights],
        [b.astype(dtype) for b in biases],
        x.astype(dtype),
        y.astype(dtype),
    )


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """A network's sizes and parameters together with a batch of B samples.

    `repr` gives an expression, and `snippet` a script, that make the same arrays bit for bit: from
    the seed if the arrays are still those that it generates, otherwise number by number.

    Attributes
    ----------
    sizes
        The widths n_0 … n_L.
    weights, biases
        Lists of the w^l, each (n_l, n_{l-1}), and of the b^l, each (n_l,), for l = 1 … L.
    x, y
        The batch, one sample per row: (B, n_0) and (B, n_L). All arrays have one dtype.
    regime
        One of `REGIMES`.
    seed
        The seed of `generate_arrays`, or None for numbers drawn one by one.
    """

    sizes: tuple[int, ...]
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray
    regime: str = "ordinary"
    seed: int | None = None

    @classmethod
    def generate(
        cls,
        sizes: Iterable[int],
        samples: int = 1,
        regime: str = "ordinary",
        seed: int = 0,
        dtype: DTypeLike = np.float64,
    ) -> "Problem":
        """Return the problem with the arrays that `generate_arrays` returns for these arguments.

        Raises
        ------
        InvalidArgument
            The sizes, samples or dtype are impossible, or the regime does not exist for the sizes.
        """
        sizes, name = _checked_sizes(sizes, regime), checked_dtype(dtype)
        check_bounds("samples", samples, samples)
        return cls(sizes, *generate_arrays(sizes, samples, regime, seed, name), regime, seed)

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every array: w^1 … w^L, b^1 … b^L, x, y."""
        return [*self.weights, *self.biases, self.x, self.y]

    def __repr__(self) -> str:
        if self._is_generated():
            return f"Problem.generate({self._arguments()})"
        fields = ", ".join(f"{name}={value}" for name, value in self._literals().items())
        return f"Problem({fields}, regime={self.regime!r})"

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        printer.text(repr(self))  # not field by field, as Hypothesis prints a dataclass

    def snippet(self) -> str:
        """Return a script that needs numpy only and sets sizes, weights, biases, x and y.

        If the script uses the seed, the numbers are the same as long as `numpy.random.default_rng`
        draws the same stream; numpy may change that between releases.
        """
        if self._is_generated():
            return (
                "from itertools import pairwise\n\nimport numpy as np\n\n\n"
                f"{inspect.getsource(generate_arrays)}\n\n"
                f"sizes = {self.sizes}\n"
                f"weights, biases, x, y = generate_arrays({self._arguments()})\n"
            )
        lines = [f"{name} = {value}\n" for name, value in self._literals().items()]
        return f"import numpy as np\n\n# regime: {self.regime}\n{''.join(lines)}"

    def _is_generated(self) -> bool:
        if self.seed is None:
            return False
        weights, biases, x, y = generate_arrays(
            self.sizes, len(self.x), self.regime, self.seed, self.x.dtype.name
        )
        generated = [*weights, *biases, x, y]
        return [a.tobytes() for a in self.arrays] == [a.tobytes() for a in generated]

    def _arguments(self) -> str:
        return (
            f"{self.sizes}, samples={len(self.x)}, regime={self.regime!r}, seed={self.seed}, "
            f"dtype={self.x.dtype.name!r}"
        )

    def _literals(self) -> dict[str, str]:
        def literal(array: np.ndarray) -> str:
            dtype = "" if array.dtype == np.float64 else f", dtype=np.{array.dtype.name}"
            return f"np.array({array.tolist()}{dtype})"

        return {
            "sizes": repr(self.sizes),
            "weights": f"[{', '.join(map(literal, self.weights))}]",
            "biases": f"[{', '.join(map(literal, self.biases))}]",
            "x": literal(self.x),
            "y": literal(self.y),
        }


def layer_sizes(
    *, min_layers: int = 1, max_layers: int = 4, min_width: int = 1, max_width: int = 8
) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw the widths n_0 … n_L of a network.

    Shrinks towards few layers, then towards narrow ones.

    Parameters
    ----------
    min_layers, max_layers
        Bounds of L, the number of layers; the input is not counted, so L layers are L + 1 widths.
    min_width, max_width
        Bounds of every width, the input's included.

    Raises
    ------
    InvalidArgument
        A bound is not a whole number of at least 1, or a minimum is above its maximum.
    """
    check_bounds("layers", min_layers, max_layers)
    check_bounds("width", min_width, max_width)
    widths = st.integers(min_width, max_width)
    return st.lists(widths, min_size=min_layers + 1, max_size=max_layers + 1).map(tuple)


def parameters(
    sizes: Sizes, *, dtype: DTypeLike = np.float64, regime: str | None = None
) -> st.SearchStrategy[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Draw `(weights, biases)` of a problem from `problems`, with a single sample.

    Shrinks as `problems` does. Parameters and errors are those of `problems`.
    """
    drawn = problems(sizes, max_samples=1, dtype=dtype, regime=regime)
    return drawn.map(_noted).map(lambda problem: (problem.weights, problem.biases))


def batches(
    sizes: Sizes,
    *,
    min_samples: int = 1,
    max_samples: int = 6,
    dtype: DTypeLike = np.float64,
    regime: str | None = None,
) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Draw `(x, y)`, of shapes (B, n_0) and (B, n_L), of a problem from `problems`.

    Shrinks as `problems` does. Parameters and errors are those of `problems`.
    """
    drawn = problems(
        sizes, min_samples=min_samples, max_samples=max_samples, dtype=dtype, regime=regime
    )
    return drawn.map(_noted).map(lambda problem: (problem.x, problem.y))


def problems(
    sizes: Sizes | None = None,
    *,
    min_samples: int = 1,
    max_samples: int = 6,
    dtype: DTypeLike = np.float64,
    regime: str | None = None,
) -> st.SearchStrategy[Problem]:
    """Draw a network's sizes, its parameters and a batch, together: a `Problem`.

    Shrinks towards an ordinary network of one layer, width 1 and one sample. Problems of up to
    twelve numbers are drawn number by number, as short decimals, each of which shrinks towards the
    smallest of its range. For larger problems a seed is drawn. A failing test prints the problem as
    an expression.

    Parameters
    ----------
    sizes
        The widths n_0 … n_L, or a strategy for them; default: `layer_sizes()`.
    min_samples, max_samples
        Bounds of B, the number of samples.
    dtype
        float64 or float32, of every array.
    regime
        One of `REGIMES`; default: drawn too. "vanishing" needs two layers or more, because δ
        vanishes from layer to layer.

    Raises
    ------
    InvalidArgument
        The bounds, sizes or dtype are impossible, or the regime does not exist for the sizes.
    """
    check_bounds("samples", min_samples, max_samples)
    name = checked_dtype(dtype)
    if sizes is None:
        sizes = layer_sizes()
    if not isinstance(sizes, st.SearchStrategy):
        sizes = st.just(_checked_sizes(sizes, regime))
    elif regime is not None:
        check_regime(regime, REGIMES)
        sizes = sizes.filter(lambda drawn: regime in _regimes(drawn))
    return _problems(sizes, st.integers(min_samples, max_samples), name, regime)


@st.composite
def _problems(
    draw: st.DrawFn,
    sizes: st.SearchStrategy[tuple[int, ...]],
    samples: st.SearchStrategy[int],
    dtype: str,
    regime: str | None,
) -> Problem:
    widths = _checked_sizes(draw(sizes), regime)
    drawn_samples = draw(samples)
    if regime is None:
        regime = draw(st.sampled_from(_regimes(widths)))
    numbers = sum((n + 1) * m for n, m in pairwise(widths)) + drawn_samples * (
        widths[0] + widths[-1]
    )
    if numbers <= TINY:
        return _tiny_problem(draw, widths, drawn_samples, dtype, regime)
    # A tiny problem takes TINY + 1 choices at most: its numbers, and which arrays are zero. A seed
    # takes more, so that a failure shrinks from it to a tiny problem.
    seed = draw(seeds(TINY + 1))
    return Problem.generate(widths, drawn_samples, regime, seed, dtype)


def _tiny_problem(
    draw: st.DrawFn, sizes: tuple[int, ...], samples: int, dtype: str, regime: str
) -> Problem:
    """Draw short decimals one by one, in the ranges of `generate_arrays`."""

    def nonzero(low: int, high: int) -> st.SearchStrategy[int]:
        # ±low … ±high, drawn as one choice that shrinks towards +low.
        return st.integers(low - high, high - low).map(lambda k: k - low if k < 0 else k + low)

    def array(elements: st.SearchStrategy[float], *shape: int) -> np.ndarray:
        size = math.prod(shape)
        drawn = draw(st.lists(elements, min_size=size, max_size=size))
        return np.array(drawn, dtype=dtype).reshape(shape)

    # w and x are multiples of 1/2, y of 1/4, and b odd multiples of 1/8. So z^1 = w^1 x + b^1 is
    # neither 0 nor y, except where b^1 is set to zero below: in a network of one layer no relu is
    # at its kink, and no gradient is zero by accident.
    halves = nonzero(1, 10).map(lambda k: k / 2)
    weight = nonzero(1, 10).map(lambda k: k / 1000) if regime == "vanishing" else halves
    eighths = nonzero(80, 160) if regime == "saturated" else st.integers(-16, 16)
    quarters = nonzero(4, 12).map(lambda k: k + 2) if regime == "targets" else st.integers(0, 4)
    bias, target = eighths.map(lambda k: (2 * k + 1) / 8), quarters.map(lambda k: k / 4)

    weights = [array(weight, m, n) for n, m in pairwise(sizes)]
    biases = [array(bias, m) for m in sizes[1:]]
    x, y = array(halves, samples, sizes[0]), array(target, samples, sizes[-1])
    if regime == "zeros":
        zero = draw(st.integers(1, 4 ** len(biases) - 1))  # bit k: whether array k is zero
        for bit, zeroed in enumerate(biases + weights):
            if zero >> bit & 1:
                zeroed.fill(0)
    return Problem(sizes, weights, biases, x, y, regime)


def _noted(problem: Problem) -> Problem:
    """Let a failing test print the whole problem, although it takes only a part of it."""
    note(problem)
    return problem


def _regimes(sizes: tuple[int, ...]) -> list[str]:
    """Return the regimes that exist for these sizes."""
    return [regime for regime in REGIMES if regime != "vanishing" or len(sizes) > 2]


def _checked_sizes(sizes: Iterable[int], regime: str | None) -> tuple[int, ...]:
    widths = tuple(sizes) if isinstance(sizes, Iterable) else ()
    if len(widths) < 2 or not all(isinstance(n, Integral) and n >= 1 for n in widths):
        raise InvalidArgument(
            f"sizes={sizes!r}: pass the widths n_0 … n_L, at least two, each a whole number of at "
            "least 1, or draw them from layer_sizes()."
        )
    if regime is not None:
        check_regime(regime, REGIMES)
        if regime not in _regimes(widths):
            raise InvalidArgument(
                f"regime={regime!r} needs two layers or more, sizes={widths} has one: add a "
                "width, or pass another regime."
            )
    return tuple(int(n) for n in widths)
