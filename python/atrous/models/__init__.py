"""Networks ready to train."""

from .build import NAMES, build
from .lenet import LeNet5, lenet5
from .macs import count_macs
from .resnet import BasicBlock, Bottleneck, ResNet, resnet8, resnet18, resnet34, resnet50, resnet101, resnet152
from .unet import UNet, unet

__all__ = [
    "NAMES",
    "BasicBlock",
    "Bottleneck",
    "LeNet5",
    "ResNet",
    "UNet",
    "build",
    "count_macs",
    "lenet5",
    "resnet8",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "unet",
]
