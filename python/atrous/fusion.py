"""Fusion that plain code gets: a kernel call that waits for the op after it, which may come along at no cost.

In a forward pass, which is the outermost call of a module, ``conv2d``, ``linear``, ``batch_norm`` and ``add`` return a
tensor without values, whose ``Pending`` is the kernel call that would compute them. An op after it that the kernel can
do in the same pass (relu, an addition, in evaluation a batch-norm) does not read them: its own tensor gets a longer
``Pending``. Whatever else touches ``tensor.data`` runs the call. Checks, randomness, running statistics and the graph
are done when the op is called: only the values come later, and from the same arrays.

So that nobody can tell, the calls run before memory that they read is written, before a hook, and when the outermost
call returns (``finish``). What died by then is never computed. docs/fusion.md explains it with examples.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from . import layout
from .backend import array_module, kernels_for

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["MaskedGradient", "Pending", "current", "finish", "forward_pass", "replace", "with_relu", "with_residual"]

SMALLEST = 1 << 15  # bytes of a result below which a pass over it costs less than to put it off


class _Thread(threading.local):
    """What this thread's forward pass knows."""

    def __init__(self) -> None:
        self.running = False
        self.waiting: list[weakref.ref] = []  # tensors; some are dead or have their values by now
        self.lock = threading.RLock()  # of all Pendings made here: another thread may ask for their values


current = _Thread()


class Pending:
    """A kernel call that has not happened: ``function(*arguments, **epilogue)``, in the place of an array.

    Args:
        kernels: the backend that ``function`` is of.
        function: the kernel.
        arguments: its arguments, the first an array of the result's dtype.
        shape: the result's.
        takes: the optional arguments for what may follow: some of scale, relu, residual, relu_last.
        cheap: it is one pass over memory, which is done again rather than kept for a second reader.
        epilogue: the optional arguments given.
        parent: the Pending that this one continues, if its values may not be computed twice.
        rest: what makes of the parent's values those of this one.
    """

    __slots__ = (
        "arguments",
        "cheap",
        "dtype",
        "epilogue",
        "function",
        "kernels",
        "kind",  # the class of its arrays
        "lock",
        "owner",  # a weak reference to the tensor that will get the values
        "parent",
        "rest",
        "result",
        "shape",
        "takes",
        "uses",  # how many others continue this one
    )

    def __init__(
        self,
        kernels: Any,
        function: Callable,
        arguments: tuple,
        shape: tuple[int, ...],
        takes: tuple[str, ...],
        cheap: bool,
        epilogue: dict[str, Any] | None = None,
        parent: Pending | None = None,
        rest: Callable | None = None,
    ) -> None:
        self.kernels, self.function, self.arguments, self.epilogue = kernels, function, arguments, epilogue or {}
        self.shape, self.takes, self.cheap = shape, takes, cheap
        self.dtype, self.kind = arguments[0].dtype, type(arguments[0])
        self.parent, self.rest, self.uses = parent, rest, 0
        self.result: Any = None
        self.lock = current.lock
        self.owner: Callable[[], Any] = _nobody

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def attach(self, tensor: Tensor) -> None:
        """Makes the tensor the one that gets the values; from here on ``finish`` knows of it."""
        self.owner = reference = weakref.ref(tensor)
        current.waiting.append(reference)

    def takes_also(self, kernels: Any, stage: str) -> bool:
        """Whether a stage may be added, by an op of this thread that would run on these kernels."""
        return (
            stage in self.takes
            and stage not in self.epilogue
            and self.result is None
            and self.kernels is kernels
            and self.lock is current.lock
        )

    def followed_by(self, stages: dict[str, Any], rest: Callable, bias: Any = None) -> Pending:
        """The same call with further stages, and with another bias (the third argument) where one is given."""
        self.uses += 1
        arguments = self.arguments if bias is None else (*self.arguments[:2], bias, *self.arguments[3:])
        parent = (None, None) if self.cheap else (self, rest)
        epilogue = self.epilogue | stages
        return Pending(self.kernels, self.function, arguments, self.shape, self.takes, self.cheap, epilogue, *parent)

    def values(self) -> Any:
        """The result, computed at the first call."""
        with self.lock:
            if self.result is None:
                if self.parent is not None and self.parent.kept():
                    self.result = self.rest(self.parent.values())  # type: ignore[misc]
                else:
                    self.result = self.function(*self.arguments, **self.epilogue)
                self.arguments, self.epilogue, self.parent, self.rest = (), {}, None, None  # frees what they hold
            return self.result

    def kept(self) -> bool:
        """Whether the values are there, or somebody may still ask for them, here or further up."""
        if self.result is not None or self.uses > 1 or self.owner() is not None:
            return True
        return self.parent is not None and self.parent.kept()

    def reads(self, written: Any) -> bool:
        """Whether the call reads memory of an array."""
        given = (*self.arguments, *self.epilogue.values(), self.result)
        shares = array_module(written).may_share_memory
        if any(shares(array, written) for array in given if type(array) is type(written)):
            return True
        return self.parent is not None and self.parent.reads(written)


def _nobody() -> None:
    """The owner of a Pending that no tensor waits for."""


def pend(
    kernels: Any, function: Callable, arguments: tuple, shape: tuple[int, ...], takes: tuple[str, ...], cheap: bool
) -> Pending | None:
    """A kernel call that waits; None outside a forward pass, and where the result is too small to be worth it."""
    if not current.running or _small(shape, arguments[0].dtype):
        return None
    return Pending(kernels, function, arguments, shape, takes, cheap)


def _small(shape: tuple[int, ...], dtype: Any) -> bool:
    return prod(shape) * dtype.itemsize < SMALLEST


def with_relu(x: Tensor, kernels: Any) -> Pending | None:
    """What x waits for, then relu; None where the kernel cannot do that as well, or where it is not worth it."""
    pending = x._pending
    stage = "relu_last" if "residual" in pending.epilogue else "relu"
    if _small(pending.shape, pending.dtype) or not pending.takes_also(kernels, stage):
        return None
    return pending.followed_by({stage: True}, kernels.relu_forward)


def with_residual(x: Tensor, other: Tensor, kernels: Any) -> Pending | None:
    """What x waits for, then the addition of another tensor of its shape and dtype; None where the kernel cannot."""
    pending = x._pending
    if pending is None or not pending.takes_also(kernels, "residual"):
        return None
    if pending.epilogue.get("relu") and x._requires_grad:  # the gradient of relu needs relu's result
        return None
    residual = other.data
    if not layout.is_channels_last(residual) or pending.result is not None:
        return None
    return pending.followed_by({"residual": residual}, lambda array: kernels.add_forward(array, residual))


def replace(x: Tensor, pending: Pending) -> None:
    """Puts off a write in place to x, which has no values yet."""
    pending.owner, x._pending.owner = x._pending.owner, _nobody
    x._pending = pending


def forward_pass(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Calls the function; ops inside may wait, none does so any more when it returns."""
    current.running = True
    try:
        return function(*args, **kwargs)
    finally:
        current.running = False
        finish()


def finish(*written: Any) -> None:
    """Runs the calls that wait in this thread: all, or those that read memory of arrays about to be written."""
    waiting = current.waiting
    if not waiting:
        return
    current.waiting = left = []
    done = 0
    try:
        for reference in waiting:
            tensor = reference()
            if tensor is not None and tensor._pending is not None:
                if not written or any(map(tensor._pending.reads, written)):
                    tensor.data  # noqa: B018  reading it is what runs the call
                else:
                    left.append(reference)
            done += 1
    finally:
        left += waiting[done:]  # after an error: they wait on


class MaskedGradient:
    """In the place of a gradient: ``grad`` where ``y`` is positive. A batch-norm before the relu masks it by itself."""

    __slots__ = ("grad", "y")

    def __init__(self, grad: Any, y: Any) -> None:
        self.grad, self.y = grad, y

    def array(self) -> Any:
        """The gradient, for whoever else wants it."""
        return kernels_for(self.grad).relu_backward(self.grad, self.y)
