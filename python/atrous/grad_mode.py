"""Whether ops record for backward: a switch of each thread, on by default."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]


class _Mode(threading.local):
    enabled = True


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether ops in this thread record for backward.

    Example:
        >>> with no_grad():
        ...     is_grad_enabled()
        False
    """
    return mode.enabled


class _Switch(contextlib.ContextDecorator):
    """Sets the mode while a block or a decorated function runs; one object may be entered again inside itself."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = bool(enabled)
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *error: object) -> None:
        mode.enabled = self.before.pop()

    def _recreate_cm(self) -> _Switch:
        return _Switch(self.enabled)  # decorated functions may run in several threads at once


def no_grad(function: Callable | None = None) -> Any:
    """Ops record nothing: ``with no_grad():``, or ``@no_grad()`` above a function.

    Example:
        >>> import atrous as at
        >>> w = at.ones(2, requires_grad=True)
        >>> with at.no_grad():
        ...     w -= 0.5
    """
    return _Switch(False) if function is None else _Switch(False)(function)


def inference_mode(mode: Any = True) -> Any:
    """As `no_grad`: ``with inference_mode():``, or ``@inference_mode()`` above a function; with ``mode=False`` nothing.

    Differs from PyTorch: its results are ordinary tensors, which autograd takes later.

    Example:
        >>> with inference_mode():
        ...     is_grad_enabled()
        False
    """
    if callable(mode):
        return _Switch(False)(mode)
    return _Switch(is_grad_enabled() and not mode)


def enable_grad(function: Callable | None = None) -> Any:
    """Ops record again, inside a ``no_grad``; used as it is.

    Example:
        >>> with no_grad(), enable_grad():
        ...     is_grad_enabled()
        True
    """
    return _Switch(True) if function is None else _Switch(True)(function)


class set_grad_enabled(_Switch):
    """Sets the mode at once; as a context manager also sets it back at the end.

    Example:
        >>> with set_grad_enabled(False):
        ...     is_grad_enabled()
        False
    """

    def __init__(self, mode_: bool) -> None:
        super().__init__(mode_)
        self.outside = mode.enabled
        mode.enabled = self.enabled

    def __enter__(self) -> None:
        self.before.append(self.outside)
        mode.enabled = self.enabled

    def __call__(self, function: Callable) -> Any:
        mode.enabled = self.outside  # a decorator acts when the function runs, not when it is defined
        return super().__call__(function)
