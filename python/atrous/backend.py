"""Which module computes: ``_cpu`` (C++), ``reference`` (NumPy) or, on a GPU's arrays, ``_cuda``: the same functions.

``kernels_for(array)`` returns it. The choice is per thread, by ``with atrous.backend("reference"):``; where none was
made it is the environment variable ATROUS_BACKEND, and "cpu" where that is unset. Nothing falls back in silence.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import os
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from . import gpu

__all__ = ["array_module", "backend", "backend_name", "kernels_for", "on_cpu", "quiet"]


class _Choice(threading.local):
    kernels: Any = None  # None: this thread made no choice


class _Quiet(threading.local):
    """``quiet.run(f, *args)`` calls NumPy's f without its floating-point warnings: 1 / 0 is inf, as in PyTorch.

    It costs 50 ns where ``np.errstate`` costs 1 µs: NumPy 2 keeps that state in a context variable, so that a context
    in which it was set once can be entered again and again (by one thread at a time).
    """

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_choice = _Choice()
quiet = _Quiet()


def kernels_for(array: Any) -> Any:
    """The module whose functions compute on ``array`` in this thread: ``kernels_for(x).relu_forward(x.data)``.

    Raises:
        ImportError: the extension is missing or broken.
    Example:
        >>> with backend("reference"):
        ...     kernels_for(np.zeros(2)).__name__
        'atrous.reference'
    """
    if gpu.kernels is not None:
        kind = type(array)
        if kind is gpu.ndarray or (kind is not np.ndarray and _on_gpu(array)):
            return gpu.kernels
    return _choice.kernels or default_kernels()


def _on_gpu(array: Any) -> bool:
    """Whether an array, a tensor's, or the one that a pending call will make, is a GPU's."""
    if array is None:
        return False
    if gpu.holds(array):
        return True
    pending = getattr(array, "_pending", None) or array  # a tensor's, if it waits
    kernels = getattr(pending, "kernels", None)
    return kernels is gpu.kernels if kernels is not None else gpu.holds(array.data)


def array_module(array: Any) -> ModuleType:
    """The array library of ``array`` (or of a tensor's array); code composed of ops reaches it through here alone.

    Example:
        >>> array_module(np.zeros(2)).__name__
        'numpy'
    """
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    if gpu.holds(array):
        return gpu.cupy
    if hasattr(array, "__array_namespace__"):  # asked before .data, which is a pointer of CuPy's arrays
        return array.__array_namespace__()
    return array_module(array.data)  # a tensor's array


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Runs the ops inside, of this thread, on the backend named "cpu" or "reference"; tensors on a GPU stay there.

    Raises:
        ImportError: the extension is missing or broken.
        RuntimeError: "cuda", which is a device and not chosen here.
        ValueError: another name.
    Example:
        >>> import atrous as at
        >>> with at.backend("reference"):
        ...     y = at.ones(2, 3) @ at.ones(3, 4)
    """
    before = _choice.kernels
    _choice.kernels = load(name)
    try:
        yield
    finally:
        _choice.kernels = before


def backend_name() -> str:
    """The name of the backend that computes in this thread.

    Example:
        >>> with backend("reference"):
        ...     backend_name()
        'reference'
    """
    return kernels_for(None).__name__.rpartition(".")[2].lstrip("_")


def on_cpu(kernels: Any) -> bool:
    """Whether ``kernels`` is the compiled CPU module, which owns pooled memory.

    Example:
        >>> with backend("reference"):
        ...     on_cpu(kernels_for(None))
        False
    """
    return kernels.__name__.endswith("._cpu")


@functools.cache
def default_kernels() -> Any:
    """The module that ATROUS_BACKEND names, "cpu" where it is unset; read once.

    Raises:
        ImportError, RuntimeError, ValueError: as ``backend``.
    """
    return load(os.environ.get("ATROUS_BACKEND") or "cpu")


def load(name: str) -> Any:
    """The module of one backend by name.

    Raises:
        ImportError, RuntimeError, ValueError: as ``backend``.
    """
    if name == "reference":
        return importlib.import_module("atrous.reference")
    if name == "cpu":
        try:
            return importlib.import_module("atrous._cpu")
        except ImportError as error:
            raise ImportError(
                f"atrous: the compiled extension atrous._cpu cannot be loaded ({error}). Reinstall the package where a "
                "C++17 compiler is at hand, or choose the slow NumPy backend by ATROUS_BACKEND=reference."
            ) from error
    if name == "cuda":
        raise RuntimeError(
            "atrous: 'cuda' is where tensors are, not a backend for those in host memory: move them by x.to('cuda') "
            "and model.to('cuda')"
        )
    raise ValueError(f"atrous: backend {name!r} does not exist; expected 'cpu' or 'reference'")
