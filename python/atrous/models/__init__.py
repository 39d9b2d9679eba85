"""Networks ready to train."""

from .lenet import LeNet5, lenet5
from .macs import count_macs

__all__ = ["LeNet5", "count_macs", "lenet5"]
