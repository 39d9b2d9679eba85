"""Data sets: two that need no download, and the usual ones that are fetched once."""

from .cifar import CIFAR10, CIFAR100
from .digits import digits, prepare_digits
from .idx import MNIST, FashionMNIST
from .shapes import Shapes, shapes

__all__ = ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "Shapes", "digits", "prepare_digits", "shapes"]
