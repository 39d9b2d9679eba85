"""What ops, optimizers and generators have to know while a step is captured as a CUDA graph (cuda_graph.py).

A graph replays launches with the arguments that they had. So what differs from step to step is read from memory that
the host fills before each replay, what the graph uses is kept alive, and what it cannot do is refused.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import gpu

if TYPE_CHECKING:
    from .optim.optimizer import Optimizer
    from .tensor import Tensor

__all__ = ["Capture", "current", "replay_numbers", "use"]

NUMBERS = 1 << 16  # bytes: room for some thousand calls of optimizers and generators
CHECKS = 256  # checks of classes

active = 0  # captures of all threads; where it is 0, nobody need ask for current()
_lock = threading.Lock()  # of that number


class _Thread(threading.local):
    capture: Capture | None = None


_thread = _Thread()


def current() -> Capture | None:
    """The capture that this thread's ops belong to.

    Example:
        >>> current() is None
        True
    """
    return _thread.capture


def use(*tensors: Any) -> None:
    """Tells the capture of this thread, if there is one, what an op reads; numbers and None do not matter.

    Example:
        >>> import atrous as at
        >>> use(at.ones(2), 3.0)
    """
    capture = current()
    if capture is not None:
        capture.use([tensor for tensor in tensors if hasattr(tensor, "_pending")])


class Capture:
    """What belongs to one graph, collected while the step runs as Python: ``with capture:``.

    Args:
        rehearsal: the step is done as well, by the kernels that will be captured, and may still allocate what lasts.
    """

    def __init__(self, rehearsal: bool) -> None:
        xp = gpu.load()
        self.rehearsal = rehearsal
        self.host, self.device = bytearray(), xp.empty(NUMBERS, "uint8")
        self.again: list[tuple[int, Callable[[], bytes]]] = []  # where in ``host``, and what makes the bytes anew
        pinned = xp.cuda.alloc_pinned_memory(16 * CHECKS)
        self.found = np.frombuffer(pinned, np.int64, 2 * CHECKS).reshape(CHECKS, 2)  # whether, and which class
        self.found[...] = 0
        self.checks: list[str] = []
        self.blocks: list[Any] = []  # memory of the graph's own pool
        self._starts: list[int] = []
        self.kept: dict[int, Any] = {}  # other arrays that it uses, by id
        self.written: dict[int, list[int]] = {}  # versions of what it writes, by id
        self.grads: dict[Tensor, Any] = {}  # leaves that got a gradient, and the one they had before
        self.optimizers: dict[int, Frozen] = {}
        self.generators: dict[int, tuple[Any, dict]] = {}  # and their states before

    def __enter__(self) -> Capture:
        global active
        with _lock:
            active += 1
        _thread.capture = self
        gpu.kernels.set_capturing(True)
        return self

    def __exit__(self, *_: object) -> None:
        global active
        gpu.kernels.set_capturing(False)
        _thread.capture = None
        with _lock:
            active -= 1

    def block(self, size: int) -> Any:
        """Memory for the graph's pool, which stays as long as the graph does."""
        memory = gpu.cupy.cuda.Memory(size)
        at = bisect_right(self._starts, memory.ptr)
        self._starts.insert(at, memory.ptr)
        self.blocks.insert(at, memory)
        return gpu.cupy.cuda.MemoryPointer(memory, 0)

    def owns(self, array: Any) -> bool:
        """Whether an array lies in the graph's pool."""
        at = bisect_right(self._starts, array.data.ptr) - 1
        return at >= 0 and array.data.ptr < self.blocks[at].ptr + self.blocks[at].size

    def use(self, tensors: Iterable[Tensor | None]) -> None:
        """Keeps alive what the graph reads."""
        for tensor in tensors:
            if tensor is None or tensor._pending is not None:
                continue
            if gpu.holds(tensor.data) and not self.owns(tensor.data):
                self.kept[id(tensor.data)] = tensor.data

    def write(self, tensors: Iterable[Tensor]) -> None:
        """Keeps alive what the graph writes, and notes that each replay does."""
        for tensor in tensors:
            self.written[id(tensor._version)] = tensor._version
        self.use(tensors)

    def gradient(self, leaf: Tensor) -> None:
        """A gradient is about to be added to a leaf's."""
        if leaf in self.grads or self.rehearsal:
            return
        if leaf._grad is not None:
            raise RuntimeError(
                "a gradient from before the step is added to; call optimizer.zero_grad() in the step, which must set "
                "gradients to None"
            )
        self.grads[leaf] = None

    def numbers(self, first: bytes, again: Callable[[], bytes]) -> None:
        """The next kernel reads ``first``, and at each replay what ``again`` returns then."""
        gpu.kernels.capture_numbers(self.device.data.ptr + self._room(first, again))

    def _room(self, first: bytes, again: Callable[[], bytes]) -> int:
        """Where in ``device`` there is ``first``, and at each replay what ``again`` returns then."""
        start = (len(self.host) + 15) // 16 * 16
        if start + len(first) > NUMBERS:
            raise RuntimeError("too many calls of optimizers and random numbers in one step")
        self.host += bytes(start - len(self.host)) + first
        self.again.append((start, again))
        if self.rehearsal:
            gpu.kernels.store(self.device.data.ptr + start, first)
        return start

    def scalars(self, values: Callable[[], tuple], dtype: Any) -> list[Any]:
        """Arrays without axes that hold ``values()``, those of each replay then."""

        def pack() -> bytes:
            return np.array(values(), dtype).tobytes()

        first = pack()
        start = self._room(first, pack)
        return list(self.device[start : start + len(first)].view(dtype))

    def generator(self, generator: Any) -> None:
        """Random numbers are about to be drawn."""
        self.generators.setdefault(id(generator), (generator, generator.get_state()))

    def optimizer(self, optimizer: Optimizer) -> None:
        """An optimizer is about to step."""
        if not optimizer.capturable:
            raise RuntimeError(
                f"{type(optimizer).__name__}: its step takes numbers that a graph could not update; all but Adafactor, "
                "Muon, LBFGS and Newton can be captured"
            )
        self.optimizers.setdefault(id(optimizer), Frozen(optimizer))

    def require_on_gpu(self, result: Tensor) -> None:
        """Raises a RuntimeError for a result that the graph does not compute."""
        if not gpu.holds(result.data):
            raise RuntimeError("a result is on the CPU, where it would stay as it is")
        self.use([result])

    def legal_classes(self, op: str, classes: Any, C: int, ignore_index: int) -> Any:
        """The classes, those out of range as ignored ones; `raise_found` tells of these later."""
        if len(self.checks) == CHECKS:
            raise RuntimeError("too many losses over classes in one step")
        address = self.found[len(self.checks)].ctypes.data
        self.checks.append(f"{op}: target had class {{}} in an earlier call of a captured step; expected 0 to {C - 1}")
        return gpu.kernels.legal_classes(classes, C, ignore_index, address)

    def raise_found(self) -> None:
        """Raises a ValueError where a replay that is done met a class out of range."""
        if self.found[: len(self.checks), 0].any():
            which = int(self.found[:, 0].argmax())
            message = self.checks[which].format(int(self.found[which, 1]))
            self.found[...] = 0
            raise ValueError(message)

    def check_unchanged(self) -> None:
        """Raises a RuntimeError where a replay would step other parameters than the optimizers have now."""
        for frozen in self.optimizers.values():
            frozen.check()

    def refresh(self) -> None:
        """The numbers of the next replay, to the device."""
        for start, again in self.again:
            data = again()
            self.host[start : start + len(data)] = data
        self.send()

    def send(self) -> None:
        """The numbers as they are, to the device."""
        if self.host:
            gpu.kernels.store(self.device.data.ptr, bytes(self.host))

    def undo(self) -> None:
        """Takes back what the step did in Python, where its capture failed; nothing was computed."""
        for generator, state in self.generators.values():
            generator.set_state(state)
        for frozen in self.optimizers.values():
            frozen.restore()
        for leaf in self.grads:
            leaf._grad = None


class Frozen:
    """An optimizer as a graph knows it."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.state = optimizer, optimizer.state
        self.numbers = {param: dict(state) for param, state in optimizer.state.items()}
        self.stepped = optimizer._stepped
        self.groups = [(group, list(group["params"]), optimizer._structure(group)) for group in optimizer.param_groups]
        self.arrays = [(param, param.data) for _, params, _ in self.groups for param in params]

    def restore(self) -> None:
        """Sets the state back, whose tensors did not change."""
        self.optimizer.state.update({param: dict(state) for param, state in self.numbers.items()})
        self.optimizer._stepped = self.stepped

    def check(self) -> None:
        """Raises a RuntimeError where the optimizer is another by now."""
        groups = self.optimizer.param_groups
        same = self.optimizer.state is self.state and len(groups) == len(self.groups)
        for (group, params, structure), now in zip(self.groups, groups):  # noqa: B905
            same = same and group is now and structure == self.optimizer._structure(now)
            same = same and list(map(id, params)) == list(map(id, now["params"]))
        if not same or any([param.data is not array for param, array in self.arrays]):
            raise RuntimeError(
                f"the captured step would update other memory than {type(self.optimizer).__name__} has now: its state "
                "was loaded, or parameters were added, moved or replaced; capture the step again"
            )


def replay_numbers(
    function: str, param: Tensor, values: Callable[[], dict[str, Any]], after: Callable[[], None]
) -> None:
    """While a step is captured: the kernel called next, ``function``, takes ``values()`` anew at each replay.

    Args:
        function: "adam_step", "sgd_step", "rmsprop_step" or "adagrad_step".
        param: one of the parameters that it will change.
        values: its arguments that are numbers.
        after: called at each replay after that, where the step itself would count.
    """
    capture = current()
    if capture is None:
        return
    _require_on_gpu(function, param)
    pack, double = getattr(gpu.kernels, function.replace("step", "numbers")), param.data.dtype == "float64"

    def again() -> bytes:
        data = pack(double, **values())
        after()
        return data

    capture.numbers(pack(double, **values()), again)


def replayed(name: str, param: Tensor, values: Callable[[], tuple]) -> tuple:
    """``values()``; while a step is captured, arrays without axes that hold them, anew at each replay.

    Args:
        name: the optimizer's.
        param: one of the parameters that it will change.
        values: numbers; called once each step.
    """
    capture = current() if active else None
    if capture is None:
        return values()
    _require_on_gpu(name, param)
    return tuple(capture.scalars(values, param.dtype))


def _require_on_gpu(name: str, param: Tensor) -> None:
    if not gpu.holds(param.data):
        raise RuntimeError(f"{name}: parameters are on the CPU; a captured step must have all on the GPU")
