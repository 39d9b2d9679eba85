"""Mixed precision: inside ``with at.autocast("cuda"):`` ops choose for themselves between float32 and 16 bits.

That concerns tensors on a GPU alone. What an op does is said where it is defined:

- ``lowered(x)``: what multiplies (convolutions, linear layers, matrix products) goes to the 16 bits that tensor cores
  take. Biases stay float32, in which the kernels add up.
- ``raised(x)`` or ``@in_float32``: what needs the digits or the range of float32 (exponentials, powers, sums, norms,
  losses) goes there.
- neither: it runs in the dtype that arrives, as relu, pooling, batch norm and additions do.

The lists are PyTorch's for CUDA (ATen/autocast_mode.h). A cast is the op ``to`` as any other, and recorded: gradients
run back through it, and reach float32 weights in float32; so do those of ``conv2d``, which casts its weights outside of
the graph. The backward pass itself casts nothing.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from . import dtypes, gpu, graph, layout

__all__ = ["autocast", "get_autocast_dtype", "is_autocast_available", "is_autocast_enabled"]

F = TypeVar("F", bound=Callable)
DEFAULTS = {"cuda": "float16", "cpu": "bfloat16"}  # PyTorch's


class _Thread(threading.local):
    dtype: Any = None  # what this thread's autocast lowers to; None outside of one


current = _Thread()


class autocast(contextlib.ContextDecorator):
    """Runs ops in 16 bits where that does no harm: as a context manager, or as a decorator of a function.

    Matrix products and convolutions of float32 tensors on a GPU are computed from copies of 16 bits, whatever needs
    more digits or range stays in float32 (docs/mixed-precision.md has the lists). Weights stay float32, and their
    gradients come in float32. It covers the forward pass and the loss; call ``backward`` outside.

    Args:
        device_type: "cuda". "cpu" is an error where it is enabled: the CPU has no kernels for 16 bits.
        dtype: at.float16 (the default, as in PyTorch), beside which gradients want a `GradScaler`, or at.bfloat16.
        enabled: False turns it off inside another one, and does nothing elsewhere.
        cache_enabled: without effect, for PyTorch's signature: casts of weights are not kept.
    Raises:
        RuntimeError: another device_type, or "cpu" and enabled.
        ValueError: another dtype.
    Example:
        >>> with at.autocast("cuda", dtype=at.float16, enabled=at.cuda.is_available()):
        ...     y = nn.functional.linear(at.ones(1, 2), at.ones(3, 2))
        >>> y.dtype  # on the CPU nothing changes
        dtype('float32')

    Source:
        Micikevicius et al., Mixed precision training, 2018 (arXiv 1710.03740).
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        kind = _kind("autocast", device_type)
        self.device, self.dtype, self.before = kind, None, []  # type: ignore[var-annotated]
        if not enabled:
            return
        if kind == "cpu":
            raise RuntimeError(
                "autocast: device_type is 'cpu', and the CPU has no kernels for 16 bits; give enabled=False there "
                "(such as enabled=device == 'cuda')"
            )
        self.dtype = dtypes.as_dtype(DEFAULTS[kind] if dtype is None else dtype, "autocast")
        if not dtypes.is_half(self.dtype):  # type: ignore[arg-type]
            raise ValueError(f"autocast: dtype is {self.dtype}; expected float16 or bfloat16")
        if gpu.kernels is None and not gpu.available():
            warnings.warn("autocast: there is no GPU that can be used; nothing is cast", stacklevel=2)
            self.dtype = None

    def __enter__(self) -> autocast:
        self.before.append(current.dtype)
        if self.device == "cuda":
            current.dtype = self.dtype
        return self

    def __exit__(self, *error: object) -> None:
        current.dtype = self.before.pop()

    def _recreate_cm(self) -> autocast:
        """A decorated function may run in several threads at once."""
        again = object.__new__(autocast)
        again.dtype, again.device, again.before = self.dtype, self.device, []
        return again


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Casts nothing inside: the backward pass runs so."""
    before, current.dtype = current.dtype, None
    try:
        yield
    finally:
        current.dtype = before


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether ops in this thread cast on such a device.

    Example:
        >>> is_autocast_enabled("cuda")
        False
    """
    return _kind("is_autocast_enabled", device_type) == "cuda" and current.dtype is not None


def get_autocast_dtype(device_type: str) -> Any:
    """What `autocast` lowers to on such a device: now, or where it would be entered without a dtype.

    Example:
        >>> get_autocast_dtype("cuda")
        dtype('float16')
    """
    kind = _kind("get_autocast_dtype", device_type)
    return current.dtype if kind == "cuda" and current.dtype is not None else dtypes.as_dtype(DEFAULTS[kind])


def is_autocast_available(device_type: str) -> bool:
    """Whether there are kernels for 16 bits on such a device.

    Example:
        >>> is_autocast_available("cpu")
        False
    """
    return device_type == "cuda"


def _kind(op: str, device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"{op}: device_type is a {type(device_type).__name__}; expected 'cuda' or 'cpu'")
    kind = device_type.partition(":")[0]
    if kind not in DEFAULTS:
        raise RuntimeError(f"{op}: device_type is {device_type!r}; expected 'cuda' or 'cpu'")
    return kind


# What ops use.


def lowered(x: Any) -> Any:
    """A tensor (or None) in autocast's dtype, where that is on."""
    return x if current.dtype is None else _cast(x, current.dtype)


def lowered_weight(weight: Any) -> Any:
    """`lowered` outside the graph: for ops whose kernels give the gradient in float32, and which record ``weight``."""
    dtype = current.dtype
    if dtype is None or not _is_cast(weight, dtype):
        return weight
    return graph.Tensor(layout.cast(weight.data, dtype))


def raised(x: Any) -> Any:
    """A tensor (or None) in float32, where autocast is on."""
    return x if current.dtype is None else _cast(x, dtypes.float32)


def in_float32(function: F) -> F:
    """Decorates an op that has no code for 16 bits: it computes in float32.

    In autocast the result stays so; else it is rounded to the dtype that was given.
    """

    @functools.wraps(function)
    def computing(*args: Any, **kwargs: Any) -> Any:
        inside = current.dtype is not None
        if not inside:
            first = args[0] if args else next(iter(kwargs.values()), None)
            if not isinstance(first, graph.Tensor) or not dtypes.is_half((first._pending or first.data).dtype):
                return function(*args, **kwargs)
        with off():
            y = function(*map(_wide, args), **{name: _wide(x) for name, x in kwargs.items()})
        if inside or not isinstance(y, graph.Tensor):
            return y
        given = [x.dtype for x in (*args, *kwargs.values()) if isinstance(x, graph.Tensor) and x.is_floating_point()]
        return y.to(functools.reduce(dtypes.promote_types, given))

    return computing  # type: ignore[return-value]


def _cast(x: Any, dtype: Any) -> Any:
    return x.to(dtype) if _is_cast(x, dtype) else x


def _is_cast(x: Any, dtype: Any) -> bool:
    if not isinstance(x, graph.Tensor):
        return False
    own = x.dtype
    if own is dtype or own == dtype:
        return False
    return (own == dtypes.float32 or dtypes.is_half(own)) and x.device != "cpu"  # float64 stays


def _wide(x: Any) -> Any:
    return x.to(dtypes.float32) if isinstance(x, graph.Tensor) and dtypes.is_half(x.dtype) else x
