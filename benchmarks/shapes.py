"""The sizes that the benchmarks run: layers of real networks, fixed before any kernel was tuned. Data, no code.

Batch sizes are those of training on a CPU (16, smaller where maps are large), and 1 where a network is served.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Conv:
    """A convolution: N images of IC channels and size × size pixels, OC filters of kernel × kernel."""

    name: str
    N: int
    IC: int
    size: int
    OC: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    groups: int = 1


@dataclass(frozen=True)
class Pool:
    """A pooling layer; kernel 0 stands for global average pooling, which is adaptive pooling to 1 × 1."""

    name: str
    N: int
    C: int
    size: int
    kind: str = "max"
    kernel: int = 2
    stride: int = 2
    padding: int = 0


@dataclass(frozen=True)
class Resize:
    """A map (N, C, size, size) brought to (N, C, to, to)."""

    name: str
    N: int
    C: int
    size: int
    to: int
    mode: str = "bilinear"
    align_corners: bool = False


@dataclass(frozen=True)
class Map:
    """A feature map (N, C, size, size): what batch normalisation and activations see."""

    name: str
    N: int
    C: int
    size: int


@dataclass(frozen=True)
class Dense:
    """A linear layer: M rows of IN numbers, OUT outputs."""

    name: str
    M: int
    IN: int
    OUT: int


CONV = [
    # ResNet-18 and -34 (He et al., 2015, arXiv:1512.03385): 3×3, stride 1
    Conv("ResNet-18 layer1 3×3", 16, 64, 56, 64),
    Conv("ResNet-18 layer2 3×3", 16, 128, 28, 128),
    Conv("ResNet-18 layer3 3×3", 16, 256, 14, 256),
    Conv("ResNet-18 layer4 3×3", 16, 512, 7, 512),
    Conv("ResNet-18 layer1 3×3", 1, 64, 56, 64),
    Conv("ResNet-18 layer4 3×3", 1, 512, 7, 512),
    Conv("CIFAR ResNet-18 layer1 3×3", 128, 64, 32, 64),
    # the first layers, and those that halve the map
    Conv("ResNet-18 stem 7×7 s2", 16, 3, 224, 64, kernel=7, stride=2, padding=3),
    Conv("CIFAR ResNet-18 stem 3×3", 128, 3, 32, 64),
    Conv("ResNet-18 layer2 3×3 s2", 16, 64, 56, 128, stride=2),
    Conv("ResNet-18 layer3 3×3 s2", 16, 128, 28, 256, stride=2),
    Conv("ResNet-18 layer4 3×3 s2", 16, 256, 14, 512, stride=2),
    Conv("ResNet-18 shortcut 1×1 s2", 16, 64, 56, 128, kernel=1, stride=2, padding=0),
    # ResNet-50: 1×1
    Conv("ResNet-50 layer1 1×1", 16, 64, 56, 256, kernel=1, padding=0),
    Conv("ResNet-50 layer1 1×1", 16, 256, 56, 64, kernel=1, padding=0),
    Conv("ResNet-50 layer2 1×1", 16, 512, 28, 128, kernel=1, padding=0),
    Conv("ResNet-50 layer3 1×1", 16, 256, 14, 1024, kernel=1, padding=0),
    Conv("ResNet-50 shortcut 1×1 s2", 16, 256, 56, 512, kernel=1, stride=2, padding=0),
    # VGG-16 (Simonyan and Zisserman, 2014, arXiv:1409.1556)
    Conv("VGG-16 conv1_1", 4, 3, 224, 64),
    Conv("VGG-16 conv1_2", 4, 64, 224, 64),
    Conv("VGG-16 conv3_2", 4, 256, 56, 256),
    Conv("VGG-16 conv5_1", 4, 512, 14, 512),
    # U-Net (Ronneberger et al., 2015, arXiv:1505.04597) on 256×256; "up" is its 2×2 transposed convolution, whose
    # forward is the input gradient of this one
    Conv("U-Net enc1 3×3", 2, 64, 256, 64),
    Conv("U-Net dec1 3×3", 2, 128, 256, 64),
    Conv("U-Net dec3 3×3", 2, 512, 64, 256),
    Conv("U-Net up 2×2 s2 (transposed)", 2, 128, 128, 256, kernel=2, stride=2, padding=0),
    # À trous: DeepLab v3 (Chen et al., 2017, arXiv:1706.05587)
    Conv("DeepLab layer3 3×3 d2", 16, 256, 28, 256, padding=2, dilation=2),
    Conv("DeepLab layer4 3×3 d4", 4, 512, 33, 512, padding=4, dilation=4),
    Conv("DeepLab ASPP 3×3 d6", 2, 2048, 33, 256, padding=6, dilation=6),
    Conv("DeepLab ASPP 3×3 d12", 2, 2048, 33, 256, padding=12, dilation=12),
    # grouped: ResNeXt-50 32×4d (Xie et al., 2016, arXiv:1611.05431)
    Conv("ResNeXt-50 layer1 3×3 g32", 16, 128, 56, 128, groups=32),
    Conv("ResNeXt-50 layer2 3×3 g32", 16, 256, 28, 256, groups=32),
    # depthwise: MobileNet (Howard et al., 2017, arXiv:1704.04861) and EfficientNet-B0 (arXiv:1905.11946)
    Conv("MobileNet dw2 3×3", 16, 32, 112, 32, groups=32),
    Conv("MobileNet dw3 3×3 s2", 16, 64, 112, 64, stride=2, groups=64),
    Conv("MobileNet dw8 3×3", 16, 512, 14, 512, groups=512),
    Conv("EfficientNet-B0 dw 5×5", 16, 240, 28, 240, kernel=5, padding=2, groups=240),
    # LeNet-5 (LeCun et al., 1998, doi:10.1109/5.726791) on 32×32
    Conv("LeNet-5 C1 5×5", 64, 1, 32, 6, kernel=5, padding=0),
    Conv("LeNet-5 C3 5×5", 64, 6, 14, 16, kernel=5, padding=0),
    Conv("LeNet-5 C1 5×5", 1, 1, 32, 6, kernel=5, padding=0),
    Conv("LeNet-5 C3 5×5", 1, 6, 14, 16, kernel=5, padding=0),
]

POOL = [
    Pool("LeNet-5 S2 2×2", 64, 6, 28),
    Pool("LeNet-5 S4 2×2", 64, 16, 10),
    Pool("VGG-16 pool1 2×2", 4, 64, 224),
    Pool("U-Net pool1 2×2", 2, 64, 256),
    Pool("feature map 2×2", 32, 64, 56),
    Pool("ResNet stem 3×3 s2", 16, 64, 112, kernel=3, padding=1),
    Pool("GoogLeNet 4a 3×3 s1", 16, 480, 14, kernel=3, stride=1, padding=1),
    Pool("LeNet-5 S2 2×2", 64, 6, 28, "average"),
    Pool("DenseNet transition1 2×2", 16, 128, 56, "average"),
    Pool("ResNet-18 head", 16, 512, 7, "average", kernel=0),
    Pool("ResNet-50 head", 16, 2048, 7, "average", kernel=0),
]

RESIZE = [
    Resize("U-Net dec2", 2, 128, 64, 128),
    Resize("U-Net dec1", 2, 64, 128, 256),
    Resize("DeepLab head", 4, 21, 33, 257),
    Resize("DeepLab head, corners", 4, 21, 33, 257, align_corners=True),
    Resize("FPN top-down", 16, 256, 14, 28),
    Resize("U-Net served", 1, 64, 112, 224),
    Resize("FPN top-down", 16, 256, 14, 28, "nearest"),
    Resize("U-Net dec2", 2, 128, 64, 128, "nearest"),
]

MAP = [
    Map("ResNet stem", 16, 64, 112),
    Map("ResNet-18 layer1", 16, 64, 56),
    Map("ResNet-18 layer2", 16, 128, 28),
    Map("ResNet-18 layer4", 16, 512, 7),
    Map("ResNet-50 layer1", 16, 256, 56),
    Map("CIFAR ResNet-18 layer1", 128, 64, 32),
    Map("U-Net enc1", 2, 64, 256),
    Map("LeNet-5 C1", 64, 6, 28),
    Map("LeNet-5 C1", 1, 6, 28),
]

DENSE = [
    Dense("LeNet-5 F5", 64, 400, 120),
    Dense("LeNet-5 F6", 64, 120, 84),
    Dense("LeNet-5 output", 64, 84, 10),
    Dense("LeNet-5 F5", 1, 400, 120),
    Dense("ResNet-18 head", 16, 512, 1000),
    Dense("ResNet-50 head", 64, 2048, 1000),
    Dense("VGG-16 fc7", 16, 4096, 4096),
    Dense("square 512", 512, 512, 512),
    Dense("square 1024", 1024, 1024, 1024),
    Dense("square 2048", 2048, 2048, 2048),
]

# Class scores (N, C, H, W): classifiers have one pixel, segmentation networks a map of them.
SCORES = [
    ("digits", (64, 10, 1, 1)),
    ("ImageNet", (256, 1000, 1, 1)),
    ("Pascal VOC segmentation", (4, 21, 256, 256)),
    ("U-Net segmentation", (2, 2, 256, 256)),
]

COUNTS = [1_000, 100_000, 10_000_000]  # random numbers: a dropout mask of a small layer, a large one, a data set

LENET5 = [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84), (10,)]


def _resnet18() -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    for IC, OC in [(64, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]:
        shapes += [(OC, IC, 3, 3), (OC,), (OC,), (OC, OC, 3, 3), (OC,), (OC,)]
        if IC != OC:
            shapes += [(OC, IC, 1, 1), (OC,), (OC,)]
    return [*shapes, (1000, 512), (1000,)]


PARAMETERS = [("LeNet-5", LENET5), ("ResNet-18", _resnet18())]

# What `--quick` runs: a few kinds of each, small.
QUICK_CONV = [
    replace(CONV[0], N=1),
    Conv("ResNet-18 shortcut 1×1 s2", 1, 64, 56, 128, kernel=1, stride=2, padding=0),
    Conv("DeepLab layer3 3×3 d2", 1, 256, 28, 256, padding=2, dilation=2),
    Conv("MobileNet dw8 3×3", 4, 512, 14, 512, groups=512),
    Conv("LeNet-5 C3 5×5", 64, 6, 14, 16, kernel=5, padding=0),
]
QUICK_POOL = [POOL[0], replace(POOL[5], N=2), POOL[7], POOL[9]]
QUICK_RESIZE = [replace(RESIZE[0], N=1, C=64), replace(RESIZE[6], N=1)]
QUICK_MAP = [replace(MAP[1], N=2), MAP[7]]
QUICK_DENSE = [DENSE[0], DENSE[4], DENSE[7]]
QUICK_SCORES = [SCORES[0], ("Pascal VOC segmentation", (1, 21, 64, 64))]
