"""The sizes that the benchmarks run: layers of real networks, fixed before any kernel was tuned. Data, no code.

Batch sizes are those of training on a CPU (16, smaller where maps are large), and 1 where a network is served.
"""

from dataclasses import dataclass, replace

Size = int | tuple[int, int]


@dataclass(frozen=True)
class Conv:
    """A convolution: N images of IC channels and size × size pixels, OC filters; one number is that of both axes.

    A transposed one has an output of stride · size pixels.
    """

    name: str
    N: int
    IC: int
    size: int
    OC: int
    kernel: Size = 3
    stride: int = 1
    padding: Size = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False


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


# The convolutions, by the line of the table (table.py) for which they count.
CONV = {
    "3×3": [
        # ResNet-18 and -34 (He et al., 2015, arXiv:1512.03385)
        Conv("ResNet-18 layer1 3×3", 16, 64, 56, 64),
        Conv("ResNet-18 layer2 3×3", 16, 128, 28, 128),
        Conv("ResNet-18 layer3 3×3", 16, 256, 14, 256),
        Conv("ResNet-18 layer4 3×3", 16, 512, 7, 512),
        Conv("ResNet-18 layer1 3×3", 1, 64, 56, 64),
        Conv("ResNet-18 layer2 3×3", 1, 128, 28, 128),
        Conv("ResNet-18 layer3 3×3", 1, 256, 14, 256),
        Conv("ResNet-18 layer4 3×3", 1, 512, 7, 512),
        Conv("CIFAR ResNet-18 layer1 3×3", 128, 64, 32, 64),
        Conv("CIFAR ResNet-18 layer3 3×3", 64, 256, 8, 256),
        # VGG-16 (Simonyan and Zisserman, 2014, arXiv:1409.1556)
        Conv("VGG-16 conv1_2 3×3", 4, 64, 224, 64),
        Conv("VGG-16 conv3_2 3×3", 4, 256, 56, 256),
        Conv("VGG-16 conv5_1 3×3", 4, 512, 14, 512),
        # U-Net (Ronneberger et al., 2015, arXiv:1505.04597): on 256×256, and without padding as in the paper, where a
        # map of 138² becomes one of 136²
        Conv("U-Net enc1 3×3", 2, 64, 256, 64),
        Conv("U-Net dec1 3×3", 2, 128, 256, 64),
        Conv("U-Net dec3 3×3", 2, 512, 64, 256),
        Conv("U-Net enc3 3×3 unpadded", 1, 256, 138, 256, padding=0),
        Conv("U-Net enc5 3×3 unpadded", 1, 512, 32, 1024, padding=0),
        # odd sizes: Inception v3 (Szegedy et al., 2015, arXiv:1512.00567) has 35² and 147², others come from odd images
        Conv("Inception-v3 5b 3×3", 16, 64, 35, 96),
        Conv("Inception-v3 stem 3×3", 4, 32, 147, 64),
        Conv("odd map 3×3", 8, 64, 57, 64),
    ],
    "atrous": [
        # À trous: DeepLab v2 and v3 (Chen et al., 2016 and 2017, arXiv:1606.00915 and 1706.05587)
        Conv("DeepLab layer3 3×3 d2", 16, 256, 28, 256, padding=2, dilation=2),
        Conv("DeepLab layer4 3×3 d4", 4, 512, 28, 512, padding=4, dilation=4),
        Conv("DeepLab layer4 3×3 d2", 4, 512, 33, 512, padding=2, dilation=2),
        Conv("DeepLab layer4 3×3 d4", 4, 512, 33, 512, padding=4, dilation=4),
        Conv("DeepLab layer3 3×3 d2", 2, 256, 65, 256, padding=2, dilation=2),
        Conv("context module 3×3 d2", 4, 64, 56, 64, padding=2, dilation=2),  # Yu and Koltun, 2015, arXiv:1511.07122
        Conv("context module 3×3 d4", 4, 64, 64, 64, padding=4, dilation=4),
    ],
    "dense": [
        # first layers: RGB or grey images
        Conv("ResNet-18 stem 7×7 s2", 16, 3, 224, 64, kernel=7, stride=2, padding=3),
        Conv("CIFAR ResNet-18 stem 3×3", 128, 3, 32, 64),
        Conv("VGG-16 conv1_1 3×3", 4, 3, 224, 64),
        Conv("MobileNet stem 3×3 s2", 16, 3, 224, 32, stride=2),
        # those that halve the map
        Conv("ResNet-18 layer2 3×3 s2", 16, 64, 56, 128, stride=2),
        Conv("ResNet-18 layer3 3×3 s2", 16, 128, 28, 256, stride=2),
        Conv("ResNet-18 layer4 3×3 s2", 16, 256, 14, 512, stride=2),
        Conv("ResNet-18 shortcut 1×1 s2", 16, 64, 56, 128, kernel=1, stride=2, padding=0),
        Conv("ResNet-50 shortcut 1×1 s2", 16, 256, 56, 512, kernel=1, stride=2, padding=0),
        # ResNet-50 and MobileNet: 1×1
        Conv("ResNet-50 layer1 1×1", 16, 64, 56, 256, kernel=1, padding=0),
        Conv("ResNet-50 layer1 1×1", 16, 256, 56, 64, kernel=1, padding=0),
        Conv("ResNet-50 layer2 1×1", 16, 512, 28, 128, kernel=1, padding=0),
        Conv("ResNet-50 layer3 1×1", 16, 256, 14, 1024, kernel=1, padding=0),
        Conv("ResNet-50 layer4 1×1", 1, 2048, 7, 512, kernel=1, padding=0),
        Conv("MobileNet pw8 1×1", 16, 512, 14, 512, kernel=1, padding=0),
        # Inception v3 factors: 5×5, and 7×7 as 1×7 and 7×1
        Conv("Inception-v3 5b 5×5", 16, 48, 35, 64, kernel=5, padding=2),
        Conv("Inception-v3 6c 1×7", 16, 160, 17, 160, kernel=(1, 7), padding=(0, 3)),
        Conv("Inception-v3 6c 7×1", 16, 160, 17, 192, kernel=(7, 1), padding=(3, 0)),
        # DeepLab v3's pyramid, where most taps of the wide ones fall into padding
        Conv("DeepLab ASPP 3×3 d6", 2, 2048, 33, 256, padding=6, dilation=6),
        Conv("DeepLab ASPP 3×3 d12", 2, 2048, 33, 256, padding=12, dilation=12),
        Conv("DeepLab ASPP 3×3 d18", 2, 2048, 33, 256, padding=18, dilation=18),
        # LeNet-5 (LeCun et al., 1998, doi:10.1109/5.726791) on 32×32
        Conv("LeNet-5 C1 5×5", 64, 1, 32, 6, kernel=5, padding=0),
        Conv("LeNet-5 C3 5×5", 64, 6, 14, 16, kernel=5, padding=0),
        Conv("LeNet-5 C1 5×5", 1, 1, 32, 6, kernel=5, padding=0),
        Conv("LeNet-5 C3 5×5", 1, 6, 14, 16, kernel=5, padding=0),
    ],
    "grouped": [
        # ResNeXt-50 32×4d (Xie et al., 2016, arXiv:1611.05431); AlexNet's two groups (Krizhevsky et al., 2012)
        Conv("ResNeXt-50 layer1 3×3 g32", 16, 128, 56, 128, groups=32),
        Conv("ResNeXt-50 layer2 3×3 g32", 16, 256, 28, 256, groups=32),
        Conv("ResNeXt-50 layer4 3×3 g32", 16, 1024, 7, 1024, groups=32),
        Conv("AlexNet conv2 5×5 g2", 16, 96, 27, 256, kernel=5, padding=2, groups=2),
        Conv("AlexNet conv4 3×3 g2", 16, 384, 13, 384, groups=2),
        # depthwise: MobileNet (Howard et al., 2017, arXiv:1704.04861) and EfficientNet-B0 (arXiv:1905.11946)
        Conv("MobileNet dw2 3×3", 16, 32, 112, 32, groups=32),
        Conv("MobileNet dw3 3×3 s2", 16, 64, 112, 64, stride=2, groups=64),
        Conv("MobileNet dw8 3×3", 16, 512, 14, 512, groups=512),
        Conv("MobileNet dw8 3×3", 1, 512, 14, 512, groups=512),
        Conv("EfficientNet-B0 dw 5×5", 16, 240, 28, 240, kernel=5, padding=2, groups=240),
        Conv("EfficientNet-B0 dw 5×5 s2", 16, 144, 56, 144, kernel=5, stride=2, padding=2, groups=144),
        # transposed: U-Net's 2×2, and the 3×3 with which other decoders double a map; the sizes are those of the input
        Conv("U-Net up1 2×2 s2 transposed", 2, 128, 128, 64, kernel=2, stride=2, padding=0, transposed=True),
        Conv("U-Net up3 2×2 s2 transposed", 2, 512, 32, 256, kernel=2, stride=2, padding=0, transposed=True),
        Conv("decoder 3×3 s2 transposed", 4, 128, 32, 64, stride=2, transposed=True),
        Conv("decoder 3×3 s2 transposed", 4, 256, 14, 128, stride=2, transposed=True),
    ],
}

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

# Maps that decoders double: U-Net's, and those of a feature pyramid (Lin et al., 2016, arXiv:1612.03144).
UPSAMPLE = [
    Map("U-Net dec1", 2, 64, 128),
    Map("U-Net dec3", 2, 256, 32),
    Map("pyramid top-down", 16, 256, 14),
    Map("class scores", 4, 21, 64),
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
QUICK_CONV = {
    "3×3": [replace(CONV["3×3"][0], N=1), Conv("ResNet-18 layer4 3×3", 4, 512, 7, 512)],
    "atrous": [Conv("DeepLab layer3 3×3 d2", 1, 256, 28, 256, padding=2, dilation=2)],
    "dense": [
        Conv("ResNet-18 shortcut 1×1 s2", 1, 64, 56, 128, kernel=1, stride=2, padding=0),
        Conv("Inception-v3 6c 1×7", 1, 160, 17, 160, kernel=(1, 7), padding=(0, 3)),
        Conv("LeNet-5 C3 5×5", 64, 6, 14, 16, kernel=5, padding=0),
    ],
    "grouped": [
        Conv("MobileNet dw8 3×3", 4, 512, 14, 512, groups=512),
        Conv("decoder 3×3 s2 transposed", 1, 64, 14, 32, stride=2, transposed=True),
    ],
}
QUICK_POOL = [POOL[0], replace(POOL[5], N=2), POOL[7], POOL[9]]
QUICK_RESIZE = [replace(RESIZE[0], N=1, C=64), replace(RESIZE[6], N=1)]
QUICK_MAP = [replace(MAP[1], N=2), MAP[7]]
QUICK_DENSE = [DENSE[0], DENSE[4], DENSE[7]]
QUICK_SCORES = [SCORES[0], ("Pascal VOC segmentation", (1, 21, 64, 64))]
