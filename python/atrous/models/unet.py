"""U-Net."""

from __future__ import annotations

from ..checks import require
from ..nn import BatchNorm2d, Conv2d, ConvTranspose2d, MaxPool2d, Module, ModuleList, ReLU, Sequential
from ..nn.sizes import check_sizes
from ..ops import cat
from ..tensor import Tensor


class UNet(Module):
    """The network that `unet` describes."""

    def __init__(self, num_classes: int = 2, in_channels: int = 3, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        check_sizes("unet", num_classes=num_classes, in_channels=in_channels, width=width, depth=depth)
        widths = [width << level for level in range(depth + 1)]  # from the full resolution down
        self.depth = depth
        self.down = ModuleList(_level(a, b) for a, b in zip([in_channels, *widths], widths, strict=False))
        self.pool = MaxPool2d(2)
        self.up = ModuleList(ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = ModuleList(_level(2 * w, w) for w in widths[-2::-1])
        self.head = Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) to logits (N, num_classes, H, W)."""
        step = 2**self.depth
        fits = x.ndim == 4 and x.shape[2] % step == x.shape[3] % step == 0
        message = f"x has shape {tuple(x.shape)}; expected (N, C, H, W) with H and W multiples of {step}"
        require(fits, "unet", message)
        skipped = []
        for level in list(self.down)[:-1]:
            skipped.append(level(x))
            x = self.pool(skipped[-1])
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(cat([skipped.pop(), up(x)], 1))
        return self.head(x)


def _level(in_channels: int, width: int) -> Sequential:
    layers: list[Module] = []
    for channels in (in_channels, width):
        layers += [Conv2d(channels, width, 3, padding=1, bias=False), BatchNorm2d(width), ReLU()]
    return Sequential(*layers)


def unet(num_classes: int = 2, in_channels: int = 3, width: int = 16, depth: int = 3) -> UNet:
    """U-Net, which gives each pixel a class: logits (N, num_classes, H, W) of images (N, in_channels, H, W).

    On the way down, `depth` times: two 3×3 convolutions → max-pool 2, and twice as many channels; on the way up:
    transposed convolution 2×2 of stride 2 → concatenation with the map of that size from the way down → two 3×3
    convolutions; last a 1×1 convolution. Each 3×3 convolution is followed by batch-norm and relu.

    Ronneberger et al. 2015, "U-Net: convolutional networks for biomedical image segmentation", in today's usual
    variant, and small by default, so that a CPU trains it in minutes: 482,754 parameters, and 31,037,698 with the
    paper's width of 64 and depth of 4. The paper has no batch-norm but biases, one input channel (31,030,658
    parameters), and no padding, so that its output is smaller than its input (388² of 572²) and the maps from the way
    down are cropped.

    Args:
        num_classes: logits a pixel.
        in_channels: channels of an image.
        width: channels at full resolution, 64 in the paper; each level below has twice as many.
        depth: levels below the full resolution, 4 in the paper; H and W are multiples of 2 to this power.
    Raises:
        ValueError: in the call, when H or W is no such multiple.
    Example:
        >>> models.unet(num_classes=5, width=4, depth=2)(at.zeros(1, 3, 16, 24)).shape
        (1, 5, 16, 24)
    """
    return UNet(num_classes, in_channels, width, depth)
