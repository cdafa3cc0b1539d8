"""Shapes of convolutions whose kernel fits into the padded input."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from checks.strategies.arguments import check_bounds, unlike

__all__ = ["Convolution", "convolutions"]

Lengths = tuple[int, ...]  # one for each dimension of space


@dataclass(frozen=True)
class Convolution:
    """The shapes of a convolution in one to three dimensions, channels first.

    Attributes
    ----------
    batch, in_channels, out_channels : int
    space, kernel, stride, padding, dilation : tuple of int
        One number for each dimension. `space` is the input's; zeros are padded on both sides; taps
        of the kernel are `dilation` apart.
    """

    batch: int
    in_channels: int
    out_channels: int
    space: Lengths
    kernel: Lengths
    stride: Lengths
    padding: Lengths
    dilation: Lengths

    @property
    def shapes(self) -> dict[str, Lengths]:
        """Shapes of "x" (B, C_in, …), "weight" (C_out, C_in, …) and "bias" (C_out,)."""
        return {
            "x": (self.batch, self.in_channels, *self.space),
            "weight": (self.out_channels, self.in_channels, *self.kernel),
            "bias": (self.out_channels,),
        }

    @property
    def output_shape(self) -> Lengths:
        """The shape (B, C_out, …) of the result, as PyTorch counts it."""
        # ⌊(n + 2p − d (k − 1) − 1)/s⌋ + 1 places of the kernel
        axes = zip(self.space, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        places = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in axes)
        return (self.batch, self.out_channels, *places)


def convolutions(
    *,
    min_dims: int = 1,
    max_dims: int = 3,
    min_batch: int = 1,
    max_batch: int = 3,
    min_channels: int = 1,
    max_channels: int = 3,
    min_space: int = 1,
    max_space: int = 6,
    min_kernel: int = 1,
    max_kernel: int = 3,
    min_stride: int = 1,
    max_stride: int = 2,
    min_padding: int = 0,
    max_padding: int = 2,
    min_dilation: int = 1,
    max_dilation: int = 2,
) -> st.SearchStrategy[Convolution]:
    """Draw the shapes of a convolution; the kernel fits into the padded input.

    No array is square by chance: lengths above 1 of one array differ, if the bounds allow. Padding
    is at most what the kernel reaches over, so that every output sees an input, unless
    `min_padding` is more. Often the stride leaves a part of the input out.

    Shrinks towards one dimension with everything of length 1, without padding.

    Parameters
    ----------
    min_dims, max_dims
        Bounds of the number of dimensions of space, 1 to 3.
    min_batch, max_batch, min_channels, max_channels
        Bounds of B, and of C_in and C_out.
    min_space, max_space, min_kernel, max_kernel
        Bounds of the lengths of the input and of the kernel, in every dimension.
    min_stride, max_stride, min_padding, max_padding, min_dilation, max_dilation
        Bounds of these, in every dimension.

    Raises
    ------
    InvalidArgument
        A bound is no whole number, or too small, a minimum is above its maximum, or no kernel
        fits.
    """
    for name, low, high in (
        ("dims", min_dims, max_dims),
        ("batch", min_batch, max_batch),
        ("channels", min_channels, max_channels),
        ("space", min_space, max_space),
        ("kernel", min_kernel, max_kernel),
        ("stride", min_stride, max_stride),
        ("dilation", min_dilation, max_dilation),
    ):
        check_bounds(name, low, high)
    check_bounds("padding", min_padding, max_padding, least=0)
    if max_dims > 3:
        raise InvalidArgument(f"max_dims={max_dims}: pass 1, 2 or 3.")

    def most_padding(reach: int) -> int:
        return max(min_padding, min(max_padding, reach))

    def fits(kernel: int, dilation: int) -> bool:
        reach = dilation * (kernel - 1)
        return reach < max_space + 2 * most_padding(reach)

    kernels = [k for k in range(min_kernel, max_kernel + 1) if fits(k, min_dilation)]
    if not kernels:
        raise InvalidArgument(
            f"min_kernel={min_kernel} with min_dilation={min_dilation} is longer than "
            f"max_space={max_space} with max_padding={max_padding} on both sides: raise the "
            "space or the padding, or lower the kernel or the dilation."
        )

    @st.composite
    def drawn(draw: st.DrawFn) -> Convolution:
        dims = draw(st.integers(min_dims, max_dims))
        batch = unlike(draw, min_batch, max_batch)
        in_channels = unlike(draw, min_channels, max_channels, batch)
        out_channels = unlike(draw, min_channels, max_channels, batch, in_channels)
        weight, x = [out_channels, in_channels], [batch, in_channels]
        axes = []
        for _ in range(dims):
            kernel = unlike(draw, kernels[0], kernels[-1], *weight)
            dilations = range(min_dilation, max_dilation + 1)
            dilation = draw(st.sampled_from([d for d in dilations if fits(kernel, d)]))
            stride = draw(st.integers(min_stride, max_stride))
            reach = dilation * (kernel - 1)
            lacking = max(0, reach + 1 - max_space)  # what the longest input needs as padding
            least = max(min_padding, (lacking + 1) // 2)
            padding = draw(st.integers(least, most_padding(reach)))
            space = unlike(draw, max(min_space, reach + 1 - 2 * padding), max_space, *x)
            weight.append(kernel)
            x.append(space)
            axes.append((space, kernel, stride, padding, dilation))
        return Convolution(batch, in_channels, out_channels, *zip(*axes, strict=True))

    return drawn()
