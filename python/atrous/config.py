"""Threads, and what this installation is made of."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import numpy as np

from . import gpu
from .backend import backend_name, kernels_for, load, on_cpu
from .checks import require

__all__ = [
    "get_float32_matmul_precision",
    "get_num_threads",
    "get_winograd",
    "set_float32_matmul_precision",
    "set_num_threads",
    "set_winograd",
    "show_config",
]


def get_num_threads() -> int:
    """How many threads the kernels use; 1 on the reference backend.

    Example:
        >>> get_num_threads() >= 1
        True
    """
    kernels = kernels_for(None)
    return kernels.get_num_threads() if on_cpu(kernels) else 1


def set_num_threads(n: int) -> None:
    """Sets how many threads the kernels use. The results do not depend on it, not in their last bit.

    Raises:
        ValueError: below 1.
    Example:
        >>> set_num_threads(get_num_threads())
    """
    require(n >= 1, "set_num_threads", f"n is {n}; expected 1 or more")
    kernels = kernels_for(None)
    if on_cpu(kernels):
        kernels.set_num_threads(n)


def get_winograd() -> bool:
    """Whether 3×3 convolutions may run by Winograd's algorithm; see `set_winograd`."""
    kernels = kernels_for(None)
    return kernels.get_winograd() if on_cpu(kernels) else False


def set_winograd(enabled: bool) -> None:
    """Lets 3×3 convolutions of stride 1 run by Winograd's algorithm (the default), or makes all run as direct sums.

    Winograd's takes down to a quarter of the multiplications. Its rounding errors are about twice those of a direct
    sum, and an Inf or NaN in the input makes up to 4×4 pixels around it NaN where a direct sum makes 3×3. The
    environment variable ATROUS_WINOGRAD=0 starts without it.

    Example:
        >>> set_winograd(False)  # every sum term by term
        >>> get_winograd()
        False
        >>> set_winograd(True)

    Source:
        Lavin and Gray, Fast algorithms for convolutional neural networks, 2015 (arXiv 1509.09308).
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"set_winograd: enabled is {enabled!r}; expected True or False")
    kernels = kernels_for(None)
    if on_cpu(kernels):
        kernels.set_winograd(enabled)


def get_float32_matmul_precision() -> str:
    """How exactly a GPU multiplies float32 numbers; see `set_float32_matmul_precision`."""
    return gpu.matmul_precision


def set_float32_matmul_precision(precision: str) -> None:
    """How exactly a GPU multiplies float32 numbers in convolutions and linear layers.

    ``"highest"``, the default, multiplies float32 as it is. ``"high"`` and ``"medium"`` let tensor cores do it: they
    round both factors to TF32, which has 10 explicit bits of mantissa instead of 23 (an error of up to 2^-11 of each),
    and add up in float32. That is several times faster. The CPU is always exact to float32.

    PyTorch's function of this name speaks of products of matrices alone; its convolutions round to TF32 unless
    ``torch.backends.cudnn.allow_tf32`` forbids it.

    Raises:
        ValueError: another word.
    Example:
        >>> set_float32_matmul_precision("high")
        >>> get_float32_matmul_precision()
        'high'
        >>> set_float32_matmul_precision("highest")
    """
    words = ("highest", "high", "medium")
    require(precision in words, "set_float32_matmul_precision", f"precision is {precision!r}; expected one of {words}")
    gpu.set_matmul_precision(precision)


def show_config() -> str:
    """Versions, backend, instruction-set level, threads and build, a line each.

    Example:
        >>> show_config().splitlines()[0].startswith("atrous ")
        True
    """
    from . import __version__

    lines: dict[str, Any] = {
        "python": f"{platform.python_version()} on {sys.platform} {platform.machine()}",
        "numpy": np.__version__,
        "backend": backend_name() + (" (ATROUS_BACKEND)" if os.environ.get("ATROUS_BACKEND") else ""),
    }
    try:
        cpu = load("cpu")
    except ImportError as error:
        lines["extension"] = f"not loaded: {error.__cause__ or error}"
    else:
        lines["level"] = f"{cpu.isa()} (usable here: {', '.join(cpu.isa_levels())})"
        lines["threads"] = cpu.get_num_threads()
        lines["winograd"] = "on" if cpu.get_winograd() else "off"
        lines.update(cpu.build_info())
    lines["cuda"] = gpu.describe()
    return "\n".join([f"atrous {__version__}", *[f"  {name:<10} {value}" for name, value in lines.items()]])
