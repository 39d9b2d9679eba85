"""`atrous.data` under PyTorch's name: ``from atrous.utils.data import DataLoader``."""

from ..data import *  # noqa: F403
from ..data import __all__ as __all__
