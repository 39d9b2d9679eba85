"""The networks that whole training steps and inference are measured on: one text each, run by atrous and by PyTorch.

Each function takes the library, `atrous` or `torch`, and returns a new module. The first three are networks of
atrous.models, under the same names; a test compares them.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

import atrous as at
from harness import normal
from peers import torch

LAYOUTS = {"nchw": "contiguous_format", "channels-last": "channels_last"}


@dataclass(frozen=True)
class Network:
    """A network and the batch that it is measured on: images (batch, channels, size, size).

    Labels are one of `classes` an image; where `stride` is given one a pixel, of a map smaller by that factor.
    """

    name: str
    make: Callable[[Any], Any]
    batch: int
    channels: int
    size: int
    classes: int
    stride: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.channels, self.size, self.size

    @property
    def labels_shape(self) -> tuple[int, ...]:
        side = self.size // self.stride if self.stride else 0
        return (self.batch, side, side) if self.stride else (self.batch,)


def lenet5(library: Any) -> Any:
    """LeNet-5 as atrous.models.lenet5 has it."""
    nn = library.nn

    class LeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
            self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.relu(self.conv1(x)))
            x = self.pool(self.relu(self.conv2(x)))
            x = self.relu(self.fc1(x.flatten(1)))
            return self.fc3(self.relu(self.fc2(x)))

    return LeNet5()


def _block(nn: Any) -> type:
    """ResNet's basic block; a dilated one keeps the size of its map."""

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int = 1, dilation: int = 1) -> None:
            super().__init__()
            around = {"padding": dilation, "dilation": dilation, "bias": False}
            self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, **around), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, **around), nn.BatchNorm2d(width)
            self.relu, self.downsample = nn.ReLU(), None
            if stride > 1 or before != width:
                shortcut = nn.Conv2d(before, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    return Block


def resnet18(library: Any, large: bool, classes: int) -> Any:
    """ResNet-18: for large images as atrous.models.resnet18 has it, for small ones with a 3×3 convolution first."""
    nn = library.nn
    Block = _block(nn)

    class ResNet18(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = {"kernel_size": 7, "stride": 2, "padding": 3} if large else {"kernel_size": 3, "padding": 1}
            self.conv1, self.bn1 = nn.Conv2d(3, 64, **first, bias=False), nn.BatchNorm2d(64)
            self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
            self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
            self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128))
            self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256))
            self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512))
            self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(512, classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(self.avgpool(x).flatten(1))

    return ResNet18()


def unet(library: Any, width: int, depth: int, classes: int) -> Any:
    """U-Net as atrous.models.unet has it: padded, with batch-norm; the paper's has a width of 64 and a depth of 4."""
    nn = library.nn

    def level(before: int, width: int) -> Any:
        layers: list[Any] = []
        for channels in (before, width):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [width << i for i in range(depth + 1)]
            self.down = nn.ModuleList([level(a, b) for a, b in zip([3, *widths], widths, strict=False)])
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1]])
            self.merge = nn.ModuleList([level(2 * w, w) for w in widths[-2::-1]])
            self.head = nn.Conv2d(width, classes, 1)

        def forward(self, x: Any) -> Any:
            skipped = []
            for down in list(self.down)[:-1]:
                skipped.append(down(x))
                x = self.pool(skipped[-1])
            x = self.down[-1](x)
            for up, merge in zip(self.up, self.merge, strict=True):
                x = merge(library.cat([skipped.pop(), up(x)], 1))
            return self.head(x)

    return UNet()


def deeplab(library: Any, classes: int) -> Any:
    """DeepLab on ResNet-18: from an eighth of the size on, dilations 2 and 4 replace strides (arXiv:1606.00915).

    Then DeepLab v3's pyramid of dilations 6, 12 and 18 (arXiv:1706.05587) without its image pooling. As in the first
    versions the loss is taken at an eighth of the size.
    """
    nn = library.nn
    Block = _block(nn)

    def branch(kernel: int, before: int, width: int, dilation: int = 1) -> Any:
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(before, width, kernel, padding=padding, dilation=dilation, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())

    class DeepLab(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stem = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
            self.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
            self.layer1 = nn.Sequential(Block(64, 64), Block(64, 64))
            self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128))
            self.layer3 = nn.Sequential(Block(128, 256, dilation=2), Block(256, 256, dilation=2))
            self.layer4 = nn.Sequential(Block(256, 512, dilation=4), Block(512, 512, dilation=4))
            wide = [branch(3, 512, 128, dilation) for dilation in (6, 12, 18)]
            self.pyramid = nn.ModuleList([branch(1, 512, 128), *wide])
            self.project, self.head = branch(1, 512, 128), nn.Conv2d(128, classes, 1)

        def forward(self, x: Any) -> Any:
            x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
            x = library.cat([branch(x) for branch in self.pyramid], 1)
            return self.head(self.project(x))

    return DeepLab()


def mobilenet(library: Any, classes: int) -> Any:
    """MobileNet of width 1: depthwise 3×3 and 1×1 convolutions in turn (Howard et al., 2017, arXiv:1704.04861)."""
    nn = library.nn

    def step(before: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Any]:
        conv = nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(width), nn.ReLU()]

    layers, before = step(3, 32, 3, stride=2), 32
    strides = {64: [1], 128: [2, 1], 256: [2, 1], 512: [2, 1, 1, 1, 1, 1], 1024: [2, 1]}
    for width, stride in ((width, stride) for width, many in strides.items() for stride in many):
        layers += step(before, before, 3, stride, groups=before) + step(before, width, 1)
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


NETWORKS = [
    Network("LeNet-5, batch 1", lenet5, 1, 1, 32, 10),
    Network("LeNet-5, batch 64", lenet5, 64, 1, 32, 10),
    Network("ResNet-18, 32², batch 64", partial(resnet18, large=False, classes=10), 64, 3, 32, 10),
    Network("ResNet-18, 224², batch 8", partial(resnet18, large=True, classes=1000), 8, 3, 224, 1000),
    Network("U-Net, 256², batch 2", partial(unet, width=32, depth=4, classes=2), 2, 3, 256, 2, stride=1),
    Network("DeepLab-like, 192², batch 2", partial(deeplab, classes=21), 2, 3, 192, 21, stride=8),
    Network("MobileNet-like, 128², batch 16", partial(mobilenet, classes=1000), 16, 3, 128, 1000),
]
QUICK_NETWORKS = [NETWORKS[0], NETWORKS[1], NETWORKS[6]]


@cache
def weights(network: Network) -> dict[str, Any]:
    """The state that every copy starts from: random weights, and the batch's own statistics for evaluation."""
    at.manual_seed(0)
    model = network.make(at)
    norms = [layer for layer in model.modules() if isinstance(layer, at.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with at.no_grad():
        model(at.tensor(images(network)))
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def images(network: Network) -> Any:
    return normal(*network.shape)


def labels(network: Network) -> Any:
    return np.random.default_rng(1).integers(0, network.classes, network.labels_shape)


def ours(network: Network, dtype: Any = at.float32) -> tuple[Any, Any, Any]:
    """atrous's model, images and labels."""
    model = network.make(at).to(dtype)
    model.load_state_dict(weights(network))
    return model, at.tensor(images(network), dtype=dtype), at.tensor(labels(network))


def theirs(network: Network, layout: str) -> tuple[Any, Any, Any]:
    """PyTorch's model, images and labels, in a layout of LAYOUTS."""
    memory_format = getattr(torch(), LAYOUTS[layout])
    model = network.make(torch()).to(memory_format=memory_format)
    model.load_state_dict({name: torch().tensor(array) for name, array in weights(network).items()})
    return (
        model,
        torch().tensor(images(network)).contiguous(memory_format=memory_format),
        torch().tensor(labels(network)),
    )


def variants(compiled: bool) -> list[tuple[str, str, bool]]:
    """How PyTorch competes: name, layout, and whether torch.compile makes code for the network; not, if missing."""
    if torch() is None:
        return []
    plain = [(f"pytorch {layout}", layout, False) for layout in LAYOUTS]
    return plain + [(f"pytorch compiled {layout}", layout, True) for layout in LAYOUTS if compiled]


def compiled_or_none(name: str, model: Any, warm_up: Callable[[Any], Any]) -> Any:
    """torch.compile(model) after a call that makes it compile; None, and the reason on stderr, where that fails."""
    fast = torch().compile(model)
    try:
        warm_up(fast)
    except Exception as error:  # its C++ compiler may be missing or fail, in many ways
        reason = " ".join(str(error).split())[:200]
        print(f"{name} is left out: {type(error).__name__}: {reason}", file=sys.stderr)
        return None
    return fast
