"""Residual networks, under torchvision's names, so that its weights fit."""

from __future__ import annotations

from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Identity, Linear, MaxPool2d, Module, ReLU, Sequential, init
from ..nn.sizes import check_sizes
from ..tensor import Tensor


class BasicBlock(Module):
    """Two 3×3 convolutions around which the input goes: ``relu(bn(conv(relu(bn(conv(x))))) + shortcut(x))``.

    The shortcut is the input itself or, where the shape changes, a 1×1 convolution with batch-norm.
    """

    expansion = 1  # output channels per `width`

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(Module):
    """`BasicBlock` of three convolutions: 1×1 to `width` channels, 3×3 with the stride, 1×1 to four times as many."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = BatchNorm2d(4 * width)
        self.relu = ReLU()
        self.downsample = _shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 4·width, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return Sequential(Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))


class ResNet(Module):
    """What the functions of this file build.

    Args:
        name: the function, for messages.
        block: `BasicBlock` or `Bottleneck`.
        depths: blocks a stage; stage i works at `width`·2ⁱ channels and, but for the first, halves the image.
        width: channels of the stem and of the first stage.
        large: a stem for large images, a 7×7 convolution and a max-pool of stride 2 each; else a 3×3 convolution.
        num_classes, in_channels: sizes of output and input.
    """

    def __init__(
        self,
        name: str,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        width: int,
        large: bool,
        num_classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        check_sizes(name, num_classes=num_classes, in_channels=in_channels)
        self.conv1 = Conv2d(in_channels, width, 7 if large else 3, 2 if large else 1, 3 if large else 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, 2, padding=1) if large else Identity()
        channels = width
        self.stages = len(depths)
        for i, depth in enumerate(depths):
            stage = Sequential()
            for j in range(depth):
                stage.append(block(channels, width << i, 2 if i > 0 and j == 0 else 1))
                channels = (width << i) * block.expansion
            self.add_module(f"layer{i + 1}", stage)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc = Linear(channels, num_classes)
        for module in self.modules():  # batch-norms begin at 1 and 0 as they are
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def resnet8(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """ResNet-8, for small images of any size from 8×8 on, such as those of CIFAR-10 (32×32).

    conv 3×3 (16) → three stages of one basic block with 16, 32 and 64 channels → global average → linear. He et al.
    2015, "Deep residual learning for image recognition", section 4.2 with n = 1; there the shortcuts that change
    shape pad with zeros, here they are 1×1 convolutions. 78,042 parameters at the default arguments.

    Args:
        num_classes: logits an image.
        in_channels: channels of an image.
    Example:
        >>> models.resnet8()(at.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """
    return ResNet("resnet8", BasicBlock, (1, 1, 1), 16, False, num_classes, in_channels)


def resnet18(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-18, for images of about 224×224: 11,689,512 parameters, 1.81 G multiply-adds an image at that size.

    conv 7×7 stride 2 (64) → max-pool 3 stride 2 → stages of 2, 2, 2, 2 basic blocks with 64, 128, 256, 512 channels →
    global average → linear. He et al. 2015, "Deep residual learning for image recognition", table 1. Names and initial
    distributions are torchvision's, so that its weights load; docs/weights.md says how.

    Args:
        num_classes: logits an image.
        in_channels: channels of an image.
    Example:
        >>> model = models.resnet18()
        >>> sum(p.numel() for p in model.parameters()), "layer2.0.downsample.0.weight" in model.state_dict()
        (11689512, True)
    """
    return ResNet("resnet18", BasicBlock, (2, 2, 2, 2), 64, True, num_classes, in_channels)


def resnet34(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-34: `resnet18` with 3, 4, 6, 3 blocks. 21,797,672 parameters, 3.66 G multiply-adds at 224×224."""
    return ResNet("resnet34", BasicBlock, (3, 4, 6, 3), 64, True, num_classes, in_channels)


def resnet50(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-50: `resnet34` with bottleneck blocks. 25,557,032 parameters, 4.09 G multiply-adds at 224×224.

    A block's stride is in its 3×3 convolution, as in torchvision; the paper had it in the first 1×1.
    """
    return ResNet("resnet50", Bottleneck, (3, 4, 6, 3), 64, True, num_classes, in_channels)


def resnet101(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-101: `resnet50` with 3, 4, 23, 3 blocks. 44,549,160 parameters, 7.80 G multiply-adds at 224×224."""
    return ResNet("resnet101", Bottleneck, (3, 4, 23, 3), 64, True, num_classes, in_channels)


def resnet152(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-152: `resnet50` with 3, 8, 36, 3 blocks. 60,192,808 parameters, 11.51 G multiply-adds at 224×224."""
    return ResNet("resnet152", Bottleneck, (3, 8, 36, 3), 64, True, num_classes, in_channels)
