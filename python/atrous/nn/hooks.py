"""Hooks of modules: handles that remove them, and the taps in the graph that feed full backward hooks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from ..autograd import Backward, is_grad_enabled, no_grad, record
from ..tensor import Tensor

if TYPE_CHECKING:
    from .module import Module


class RemovableHandle:
    """Removes a hook again: ``handle.remove()``, or at the end of a ``with`` block.

    Example:
        >>> layer = nn.ReLU()
        >>> with layer.register_forward_hook(lambda module, args, output: print(output.tolist())):
        ...     _ = layer(at.tensor([-1.0, 2.0]))
        [0.0, 2.0]
    """

    _ids = count()

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        if not callable(hook):
            raise TypeError(f"a hook is a function, got {type(hook).__name__}")
        self._hooks, self.id = hooks, next(RemovableHandle._ids)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Removes the hook; a second time does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class BackwardTaps:
    """Feeds the full backward hooks of one call of a module.

    All inputs that require grad pass through one node of the graph, all outputs through another. In the backward walk
    the outputs' node notes their gradients, later the inputs' node gets the inputs' and calls the hooks with both.
    """

    def __init__(self, module: Module, hooks: list[Callable]) -> None:
        self.module, self.hooks = module, hooks
        self.grad_output: tuple = ()
        self.args: tuple = ()
        self.versions: list[int] = []
        self.tapped: list[int] = []  # positions of the inputs that pass through a node

    def on_inputs(self, args: tuple) -> tuple:
        """The arguments, with the tensors that require grad passed through a node."""
        self.args = args
        self.tapped = _differentiable(args)
        self.versions = [args[i]._version[0] for i in self.tapped]
        return _passed_through(args, self.tapped, self._on_grad_input)

    def on_outputs(self, output: Any) -> Any:
        """The output, a tensor or a tuple or list of them, passed through a node likewise."""
        if [self.args[i]._version[0] for i in self.tapped] != self.versions:
            name = type(self.module).__name__
            raise RuntimeError(f"{name}: changed its input in place under a full backward hook; use a clone there")
        outputs = tuple(output) if isinstance(output, (tuple, list)) else (output,)
        positions = _differentiable(outputs)

        def on_grad_output(grads: tuple) -> tuple:
            self.grad_output = _spread(grads, positions, len(outputs))
            if not self.tapped:  # no input's gradient will follow
                self._call_hooks((None,) * len(self.args))
            return grads

        outputs = _passed_through(outputs, positions, on_grad_output)
        return type(output)(outputs) if type(output) in (tuple, list) else outputs[0]

    def _on_grad_input(self, grads: tuple) -> tuple:
        grad_input = self._call_hooks(_spread(grads, self.tapped, len(self.args)))
        return tuple(grad_input[i] for i in self.tapped)

    def _call_hooks(self, grad_input: tuple) -> tuple:
        with no_grad():
            for hook in self.hooks:
                changed = hook(self.module, grad_input, self.grad_output)
                if changed is not None:
                    changed = changed if isinstance(changed, tuple) else (changed,)
                    if len(changed) != len(grad_input):
                        name = type(self.module).__name__
                        raise RuntimeError(
                            f"{name}: a backward hook returned {len(changed)} gradients; expected {len(grad_input)}"
                        )
                    grad_input = changed
        return grad_input


class TapBackward(Backward):
    """Passes gradients on through a function that sees and may replace them (as Tensors, None for none)."""

    tap: Callable[[tuple], tuple]

    def __call__(self, *grads: Any) -> tuple:
        passed = self.tap(tuple(None if grad is None else Tensor(grad) for grad in grads))
        return tuple(None if grad is None else grad.data.copy(order="K") for grad in passed)


def _differentiable(values: tuple) -> list[int]:
    if not is_grad_enabled():
        return []
    return [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]


def _passed_through(values: tuple, positions: list[int], tap: Callable[[tuple], tuple]) -> tuple:
    if not positions:
        return values
    inputs = [values[i] for i in positions]
    tapped = record(tuple(x.data for x in inputs), TapBackward, inputs, tap=tap)
    for x, y in zip(inputs, tapped, strict=True):
        y._version = x._version  # the same memory: what saved one sees writes to the other
    return _replaced(values, positions, tapped)


def _replaced(values: tuple, positions: list[int], new: tuple) -> tuple:
    result = list(values)
    for i, value in zip(positions, new, strict=True):
        result[i] = value
    return tuple(result)


def _spread(grads: tuple, positions: list[int], length: int) -> tuple:
    return _replaced((None,) * length, positions, grads)
