"""Data that comes with the package."""

from .digits import digits, prepare_digits

__all__ = ["digits", "prepare_digits"]
