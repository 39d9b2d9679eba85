"""Data sets: two that come with the package, the usual ones that are fetched once, and folders of your own images."""

from .digits import digits, prepare_digits
from .folder import CorruptImage, ImageFolder
from .shapes import Shapes, shapes

__all__ = ["CorruptImage", "ImageFolder", "Shapes", "digits", "prepare_digits", "shapes"]
