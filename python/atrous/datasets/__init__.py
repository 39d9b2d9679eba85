"""Data sets: two that come with the package, and the usual ones that are fetched once."""

from .digits import digits, prepare_digits
from .shapes import Shapes, shapes

__all__ = ["Shapes", "digits", "prepare_digits", "shapes"]
