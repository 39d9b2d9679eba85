"""Mixed precision, under PyTorch's names: `autocast` and, for float16, `GradScaler` (docs/mixed-precision.md)."""

from ..autocast import autocast, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "is_autocast_available"]
