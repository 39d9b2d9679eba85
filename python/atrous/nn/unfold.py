"""Windows as columns, and the layer that needs them: a convolution whose every position has weights of its own."""

from __future__ import annotations

import math
from typing import Any

from ..autocast import lowered
from ..checks import floats_of_one_dtype, require
from ..ops import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import check_sizes, pair_of_at_least

Pair = int | tuple[int, int]


class _Windows(Module):
    def __init__(self, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1) -> None:
        super().__init__()
        op = type(self).__name__
        for name, value, least in (
            ("kernel_size", kernel_size, 1),
            ("dilation", dilation, 1),
            ("padding", padding, 0),
            ("stride", stride, 1),
        ):
            pair_of_at_least(least, value, op, name)
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def extra_repr(self) -> str:
        """Sizes."""
        names = ("kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class Unfold(_Windows):
    """Makes a column of each window of images: (N, C, IH, IW) to (N, C·KH·KW, OH·OW); see `F.unfold`.

    Example:
        >>> nn.Unfold(3, padding=1)(at.zeros(2, 4, 8, 8)).shape
        (2, 36, 64)
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, IH, IW) to (N, C·KH·KW, OH·OW)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """Adds columns back to the windows of images: (N, C·KH·KW, L) to (N, C, OH, OW); see `F.fold`.

    Example:
        >>> nn.Fold((8, 8), 3, padding=1)(at.zeros(2, 36, 64)).shape
        (2, 4, 8, 8)
    """

    def __init__(
        self, output_size: Pair, kernel_size: Pair, dilation: Pair = 1, padding: Pair = 0, stride: Pair = 1
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        pair_of_at_least(1, output_size, "Fold", "output_size")
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C·KH·KW, L) to (N, C, OH, OW)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"output_size={self.output_size}, {super().extra_repr()}"


class LocallyConnected2d(Module):
    """A `Conv2d` that does not share its weights: each output pixel has a filter bank and biases of its own.

    ``y[n, oc, oh, ow] = bias[oc, oh, ow] + Σ_{ic, kh, kw} weight[oh, ow, oc, ic, kh, kw] · x[n, ic, ih, iw]`` with
    ``ih = oh·sh − ph + kh·dh``. So ``weight[oh, ow]`` has a `Conv2d`'s shape: OH·OW times as many weights, for as many
    multiplications.

    Args:
        in_channels, out_channels: IC and OC.
        input_size: IH and IW, one integer for both; other images are refused.
        kernel_size, stride, padding, dilation: as `Conv2d`.
        bias: whether to add learned biases (OC, OH, OW).
    Raises:
        ValueError: a size is out of range, or the filter exceeds the padded image.
    Example:
        >>> layer = nn.LocallyConnected2d(3, 8, input_size=9, kernel_size=3, stride=2)
        >>> layer(at.zeros(2, 3, 9, 9)).shape, layer.weight.shape
        ((2, 8, 4, 4), (4, 4, 8, 3, 3, 3))

    Source:
        LeCun, Generalization and network design strategies, 1989; Taigman et al., DeepFace, 2014. Keras' layer of this
        name has the axes of its kernel in another order. PyTorch has none.
    """

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Pair,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        op = "LocallyConnected2d"
        check_sizes(op, in_channels=in_channels, out_channels=out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.input_size = pair_of_at_least(1, input_size, op, "input_size")
        self.kernel_size = pair_of_at_least(1, kernel_size, op, "kernel_size")
        self.stride = pair_of_at_least(1, stride, op, "stride")
        self.padding = pair_of_at_least(0, padding, op, "padding")
        self.dilation = pair_of_at_least(1, dilation, op, "dilation")
        OH, OW = (
            (L + 2 * p - d * (K - 1) - 1) // s + 1
            for L, K, s, p, d in zip(
                self.input_size, self.kernel_size, self.stride, self.padding, self.dilation, strict=True
            )
        )
        message = f"kernel_size {kernel_size} exceeds input_size {input_size} with padding {padding}"
        require(min(OH, OW) >= 1, op, message)
        self.output_size = (OH, OW)
        self.weight = Parameter(empty(OH, OW, out_channels, in_channels, *self.kernel_size))
        self.bias = Parameter(empty(out_channels, OH, OW)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights and biases, uniform on ±1/√(IC·KH·KW), as those of `Conv2d` are."""
        bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(N, IC, IH, IW) to (N, OC, OH, OW), or (IC, IH, IW) to (OC, OH, OW)."""
        input, weight = lowered(input), lowered(self.weight)
        floats_of_one_dtype("LocallyConnected2d", ("input", "weight"), input, weight)
        expected = (self.in_channels, *self.input_size)
        good = input.ndim in (3, 4) and input.shape[-3:] == expected
        require(good, "LocallyConnected2d", f"input has shape {input.shape}; expected {expected} or a batch of them")
        if input.ndim == 3:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        (OH, OW), OC = self.output_size, self.out_channels
        columns = F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)  # (N, IC·KH·KW, OH·OW)
        filters = weight.reshape(OH * OW, OC, -1)
        y = filters @ columns.permute(2, 1, 0)  # (OH·OW, OC, N)
        y = y.permute(2, 1, 0).reshape(-1, OC, OH, OW)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        defaults: dict[str, Any] = {"padding": (0, 0), "dilation": (1, 1)}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"
