"""Shapes of normalising layers."""

import math
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from checks.strategies.arguments import check_bounds, unlike

__all__ = ["Normalisation", "normalisations"]

KINDS = ("layer", "batch", "instance", "group")
# How many numbers have one mean and one variance, at least. Two become ±1 whatever they are, so
# that their derivatives vanish, and mistakes with them.
LEAST = 3


@dataclass(frozen=True)
class Normalisation:
    """The shapes of a layer that subtracts a mean and divides by a standard deviation.

    Attributes
    ----------
    kind : {"layer", "batch", "instance", "group"}
    shape : tuple of int
        Of x: (B, …, features) for "layer", otherwise (B, channels, …).
    groups : int
        Of "group", into how many groups the channels fall; 1 for the others.
    """

    kind: str
    shape: tuple[int, ...]
    groups: int = 1

    @property
    def grouped_shape(self) -> tuple[int, ...]:
        """The shape to give x before the mean; of "group" (B, groups, channels of a group, …)."""
        if self.kind != "group":
            return self.shape
        batch, channels, *space = self.shape
        return (batch, self.groups, channels // self.groups, *space)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of `grouped_shape` over which mean and variance are taken."""
        dims = len(self.grouped_shape)
        if self.kind == "layer":
            return (dims - 1,)
        return (0, *range(2, dims)) if self.kind == "batch" else tuple(range(2, dims))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """The shape of scale and shift, which broadcasts with `shape`."""
        if self.kind == "layer":
            return self.shape[-1:]
        return (self.shape[1], *[1] * (len(self.shape) - 2))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of "x", "scale" and "shift"."""
        return {"x": self.shape, "scale": self.parameter_shape, "shift": self.parameter_shape}


def normalisations(
    *,
    kind: str | None = None,
    min_dims: int = 2,
    max_dims: int = 4,
    min_length: int = 1,
    max_length: int = 5,
) -> st.SearchStrategy[Normalisation]:
    """Draw the shapes of a normalising layer.

    At least three numbers have a mean in common: of two, what is normalised does not depend on
    them. Lengths above 1 differ, if the bounds allow. Shrinks towards a layer normalisation of
    one sample of three features.

    Parameters
    ----------
    kind : {"layer", "batch", "instance", "group"}, optional
        Default: drawn too.
    min_dims, max_dims
        Bounds of the number of axes of x, at least 2; "instance" needs 3.
    min_length, max_length
        Bounds of every length, the number of samples included. The longest is at least 3.

    Raises
    ------
    InvalidArgument
        A bound is no whole number, or too small, a minimum is above its maximum, or the kind is
        not known, or needs more axes.
    """
    check_bounds("dims", min_dims, max_dims, least=2)
    check_bounds("length", min_length, max_length)
    if max_length < LEAST:
        raise InvalidArgument(
            f"max_length={max_length}: pass at least {LEAST}, because the derivative of two "
            "normalised numbers vanishes."
        )
    if kind is not None and kind not in KINDS:
        raise InvalidArgument(f"kind={kind!r} is not known: pass one of {', '.join(KINDS)}.")
    if kind == "instance" and max_dims < 3:
        raise InvalidArgument(f"kind='instance' needs 3 axes, max_dims={max_dims}: raise it.")
    kinds = [kind] if kind else [k for k in KINDS if k != "instance" or max_dims > 2]

    @st.composite
    def drawn(draw: st.DrawFn) -> Normalisation:
        chosen = draw(st.sampled_from(kinds))
        dims = draw(st.integers(max(min_dims, 3) if chosen == "instance" else min_dims, max_dims))
        groups, shape = 1, [1] * dims
        # the axis drawn last makes up for the others, so that enough numbers have one mean
        last = 0 if chosen == "batch" and dims == 2 else dims - 1
        order = [*(axis for axis in range(dims) if axis != last), last]
        for axis in order:
            low = min_length
            layer = Normalisation(chosen, tuple(shape), groups)
            if axis == last:
                together = math.prod(layer.grouped_shape[a] for a in layer.axes) // shape[last]
                low = max(low, -(-LEAST // together))
            others = [shape[a] for a in order[: order.index(axis)]]
            shape[axis] = unlike(draw, low, max_length, *others)
            if chosen == "group" and axis == 1:
                of_channels = range(1, shape[1] + 1)
                divisors = [g for g in of_channels if shape[1] % g == 0]
                # without further axes a group of channels is all that has one mean
                enough = [g for g in divisors if dims > 2 or shape[1] // g >= LEAST]
                groups = draw(st.sampled_from(enough))
        return Normalisation(chosen, tuple(shape), groups)

    return drawn()
