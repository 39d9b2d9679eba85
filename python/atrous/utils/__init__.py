"""PyTorch's name for a place where other things live: `atrous.utils.data` is `atrous.data`."""

from . import data

__all__ = ["data"]
