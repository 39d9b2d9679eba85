"""A training step as a CUDA graph: ``at.cuda.capture``."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import capturing, fusion, gpu
from .capturing import Capture
from .tensor import Tensor

__all__ = ["CapturedStep", "capture"]

PACKAGE = str(Path(__file__).parent)
Plain = (int, float, str, bool, bytes, type(None))


def capture(function: Callable[..., Any]) -> CapturedStep:
    """Makes a step whose work on the GPU is launched as one CUDA graph: for networks so small that Python limits them.

    The first call runs the function as it is. The second runs it once more while the GPU's stream is captured, which
    computes nothing, and launches the graph. Further calls run no Python of the function: they copy their tensors into
    the graph's, bring learning rates, step counts and random numbers up to date, and launch. Each call is one step.

    Args:
        function: takes tensors on the GPU, and numbers or strings that stay the same; returns tensors, or tuples, lists
            or dicts of them, or None. Typically: ``optimizer.zero_grad()``, the forward pass, ``loss.backward()``,
            ``optimizer.step()``, ``return loss.detach()``.
    Returns:
        A `CapturedStep`, called as the function is. Results are copies, and detached.
    Raises:
        RuntimeError: what cannot be captured, with the line: reading a value (``item``, ``cpu``, printing), copies from
            host memory, the optimizers Adafactor, Muon, LBFGS and Newton, gradients that were there before; nothing was
            computed then. From the third call on, arguments of another shape, dtype or device, or an optimizer that was
            changed.
        ValueError: an earlier call met a class out of range in `cross_entropy` or `nll_loss`.
    Example:
        >>> if at.cuda.is_available():
        ...     step = at.cuda.capture(lambda x: x * 2)
        ...     y = [step(at.ones(2, device="cuda")) for _ in range(3)]

    Source:
        NVIDIA, CUDA C++ programming guide, "CUDA graphs".
    Differs from PyTorch: ``torch.cuda.make_graphed_callables`` has no optimizer in it, and ``torch.cuda.graph`` leaves
    copies, warm-up and learning rates to the caller.
    """
    return CapturedStep(function)


class CapturedStep:
    """A step that runs as a CUDA graph from its second call on; see `capture`.

    The graph has memory of its own as long as this object lives. ``function`` is the step as it is in Python: call it
    for a batch of another size.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._rehearsed = False
        self._capture: Capture | None = None
        self._graph: Any = None
        self._inputs: list[Any] = []  # tensors of the graph's, or plain values
        self._outputs: Any = None
        self._pool: Any = None
        self._grads: list[tuple[Tensor, Tensor]] = []

    def __call__(self, *args: Any) -> Any:
        if capturing.current() is not None:
            raise RuntimeError(f"{self._name()}: a captured step is called within another")
        if self._graph is None:
            for number, arg in enumerate(args):
                _check_argument(f"{self._name()}: argument {number}", arg)
            if not self._rehearsed:
                return self._rehearse(args)
            self._record(args)
            state: Any = self._capture
            state.send()
        else:
            state = self._capture
            state.raise_found()
            self._check(args)
            state.check_unchanged()
            state.refresh()
        for own, arg in zip(self._inputs, args, strict=True):
            if isinstance(own, Tensor):
                own.data[...] = arg.data
        self._graph.launch()
        for leaf, grad in self._grads:
            leaf._grad, leaf._grad_owned = grad, True
            grad._version[0] += 1
        for version in state.written.values():
            version[0] += 1
        return _each(self._outputs, _copy)

    def check(self) -> None:
        """Waits for the GPU, and raises what `cross_entropy` found in the calls so far.

        Raises:
            ValueError: a class out of range.
        """
        if self._capture is not None:
            gpu.cupy.cuda.get_current_stream().synchronize()
            self._capture.raise_found()

    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def _rehearse(self, args: tuple) -> Any:
        """The first step: done as it is, by the kernels that the next will be captured with."""
        with Capture(rehearsal=True) as state:
            outputs = self.function(*args)
            fusion.finish()
        gpu.cupy.cuda.get_current_stream().synchronize()
        state.raise_found()
        result = _each(outputs, lambda tensor: tensor.detach())
        self._rehearsed = True
        return result

    def _record(self, args: tuple) -> None:
        """Runs the function once, to capture what it gives to the GPU; nothing is computed."""
        xp = gpu.cupy
        state, stream = Capture(rehearsal=False), xp.cuda.Stream(non_blocking=True)
        pool = xp.cuda.MemoryPool(state.block)
        inputs = [arg.detach().clone() if isinstance(arg, Tensor) else arg for arg in args]
        state.use([tensor for tensor in inputs if isinstance(tensor, Tensor)])
        graph = None
        try:
            with stream, xp.cuda.using_allocator(pool.malloc), state:
                stream.begin_capture()
                try:
                    outputs = _each(self.function(*inputs), lambda tensor: tensor.detach())
                    fusion.finish()
                finally:
                    graph = _end(stream)
                _each(outputs, state.require_on_gpu)
        except BaseException as error:
            state.undo()
            if isinstance(error, RuntimeError):
                raise RuntimeError(f"{self._name()}: cannot be captured: {_line(error)}{error}") from error
            raise
        if graph is None:
            state.undo()
            raise RuntimeError(f"{self._name()}: cannot be captured: CUDA gave the capture up")
        self._capture, self._graph, self._pool, self._inputs, self._outputs = state, graph, pool, inputs, outputs
        self._grads = [(leaf, leaf._grad) for leaf in state.grads if leaf._grad is not None]

    def _check(self, args: tuple) -> None:
        """Raises a RuntimeError unless the arguments are like those that were captured."""
        if len(args) != len(self._inputs):
            raise RuntimeError(f"{self._name()}: got {len(args)} arguments; captured with {len(self._inputs)}")
        for number, (own, arg) in enumerate(zip(self._inputs, args, strict=True)):
            what = f"{self._name()}: argument {number}"
            _check_argument(what, arg)
            if not isinstance(own, Tensor):
                if type(own) is not type(arg) or own != arg:
                    raise RuntimeError(f"{what} is {arg!r}; captured with {own!r}")
            elif not isinstance(arg, Tensor) or arg.shape != own.shape or arg.dtype != own.dtype:
                raise RuntimeError(
                    f"{what} is {_kind(arg)}; captured with {_kind(own)}. A graph takes one size: leave the last batch "
                    "out (drop_last=True), or call the step's `function` for it"
                )


def _check_argument(what: str, arg: Any) -> None:
    if isinstance(arg, Tensor):
        if arg.device.type != "cuda":
            raise RuntimeError(f"{what} is on {arg.device}; move it to the GPU first")
        if arg.requires_grad:
            raise RuntimeError(f"{what} requires grad; only leaves that the step holds itself get gradients")
    elif not isinstance(arg, Plain):
        raise RuntimeError(f"{what} is a {type(arg).__name__}; expected a Tensor, a number, a string or None")


def _kind(arg: Any) -> str:
    return f"{arg.dtype} of shape {tuple(arg.shape)}" if isinstance(arg, Tensor) else repr(arg)


def _end(stream: Any) -> Any:
    """The graph that the stream captured; None where an error gave the capture up, which ends all the same."""
    try:
        return stream.end_capture()
    except RuntimeError:
        return None


def _line(error: BaseException) -> str:
    """ "train.py, line 12, `print(loss)`: ", the innermost line that is neither ours nor CuPy's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(PACKAGE) and "cupy" not in Path(frame.filename).parts:
            return f"{Path(frame.filename).name}, line {frame.lineno}, `{frame.line}`: "
    return ""


def _each(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """The function of each tensor in a result."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in (tuple, list):
        return type(value)([_each(item, function) for item in value])
    if type(value) is dict:
        return {name: _each(item, function) for name, item in value.items()}
    if value is None:
        return None
    raise RuntimeError(f"it returns a {type(value).__name__}; expected tensors, in tuples, lists or dicts, or None")


def _copy(tensor: Tensor) -> Tensor:
    return tensor.clone()
