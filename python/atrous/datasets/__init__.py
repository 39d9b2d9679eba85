"""Data that comes with the package."""

from .digits import digits, prepare_digits
from .folder import CorruptImage, ImageFolder

__all__ = ["CorruptImage", "ImageFolder", "digits", "prepare_digits"]
