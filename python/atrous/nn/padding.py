"""Padding layers, and layers that move channels and pixels about."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module

Padding = int | tuple[int, ...]


class _Pad(Module):
    mode, axes = "constant", 2

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        name, count = type(self).__name__, 2 * self.axes
        numbers = (padding,) * count if isinstance(padding, int) else padding
        if not isinstance(numbers, (tuple, list)) or not all(isinstance(n, int) for n in numbers):
            raise TypeError(f"{name}: padding is {padding!r}; expected an int or {count} of them")
        if len(numbers) != count:
            raise ValueError(f"{name}: padding has {len(numbers)} numbers; expected {count}")
        self.padding = tuple(numbers)

    def forward(self, input: Tensor) -> Tensor:
        """The input with more (or fewer) elements along its last axes."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The paddings."""
        return str(self.padding)


class ConstantPad1d(_Pad):
    """Puts a value before and after the last axis: padding is an int or (left, right)."""

    axes = 1

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """The input with more (or fewer) elements along its last axes."""
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """The paddings and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Puts a value around images: padding is an int or (left, right, top, bottom)."""

    axes = 2


class ZeroPad1d(_Pad):
    """Puts zeros before and after the last axis: padding is an int or (left, right)."""

    mode, axes = "constant", 1


class ZeroPad2d(_Pad):
    """Puts zeros around images: padding is an int or (left, right, top, bottom)."""

    mode = "constant"


class ReflectionPad1d(_Pad):
    """Mirrors the last axis at its outermost elements, without them: padding is an int or (left, right)."""

    mode, axes = "reflect", 1


class ReflectionPad2d(_Pad):
    """Mirrors images at their outermost pixels, without them: padding is an int or (left, right, top, bottom)."""

    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Puts the outermost element before and after the last axis: padding is an int or (left, right)."""

    mode, axes = "replicate", 1


class ReplicationPad2d(_Pad):
    """Puts the outermost element around images: padding is an int or (left, right, top, bottom)."""

    mode = "replicate"


class CircularPad1d(_Pad):
    """Puts what follows on the other side before and after the last axis: padding is an int or (left, right)."""

    mode, axes = "circular", 1


class CircularPad2d(_Pad):
    """Puts what follows on the other side around images: padding is an int or (left, right, top, bottom)."""

    mode = "circular"


class ChannelShuffle(Module):
    """Takes the channels of the groups in turns."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """As ``F.channel_shuffle``."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The factor or number."""
        return f"groups={self.groups}"


class PixelShuffle(Module):
    """Makes r × r pixels of r² channels."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """As ``F.pixel_shuffle``."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor or number."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Makes r² channels of r × r pixels."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """As ``F.pixel_unshuffle``."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor or number."""
        return f"downscale_factor={self.downscale_factor}"
