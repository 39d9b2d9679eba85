"""What computes here, in words."""

from __future__ import annotations

from ..backend import kernels_for, on_cpu
from ..config import get_num_threads


def kernel_level() -> str:
    """``CPU level v3``, or ``NumPy reference`` where that was chosen.

    Example:
        >>> with at.backend("reference"):
        ...     kernel_level()
        'NumPy reference'
    """
    kernels = kernels_for(None)
    return f"CPU level {kernels.isa()}" if on_cpu(kernels) else "NumPy reference"


def threads() -> str:
    """``1 thread``, ``2 threads``."""
    n = get_num_threads()
    return f"{n} thread" if n == 1 else f"{n} threads"
