"""Data sets: two that come with the package, the usual ones that are fetched once, and folders of your own images."""

from .cifar import CIFAR10, CIFAR100
from .digits import digits, prepare_digits
from .folder import CorruptImage, ImageFolder
from .idx import MNIST, FashionMNIST
from .shapes import Shapes, shapes

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "CorruptImage",
    "FashionMNIST",
    "ImageFolder",
    "Shapes",
    "digits",
    "prepare_digits",
    "shapes",
]
