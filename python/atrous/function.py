"""A user's own differentiable op: ``autograd.Function``, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import gpu, graph
from .backend import array_module
from .grad_mode import no_grad
from .graph import Backward, record

__all__ = ["Function"]


class Context:
    """What ``forward`` hands to ``backward``: tensors by ``save_for_backward``, anything else as plain attributes."""

    needs_input_grad: tuple[bool, ...] = ()
    node: Backward | None = None

    def __init__(self) -> None:
        self.to_save: tuple = ()
        self.not_differentiable: tuple = ()
        self.materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors (or None) until the walk has passed; one changed in place before then raises a RuntimeError."""
        self.to_save = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Says that these outputs never require grad."""
        self.not_differentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """False: ``backward`` sees None instead of zeros for outputs that no gradient reached."""
        self.materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple:
        """The tensors given to ``save_for_backward``."""
        if self.node is None:
            return self.to_save
        return tuple([None if array is None else graph.Tensor(array) for array in self.node.saved])


class FunctionBackward(Backward):
    """Calls a user's ``backward`` with tensors, and checks what it returns."""

    function: type[Function]
    context: Context
    input_shapes: list[tuple[int, ...] | None]
    templates: list[tuple[Any, tuple[int, ...], Any]]  # array library, shape and dtype of each output

    def __call__(self, *grads: Any) -> tuple:
        tensors = []
        for grad, (xp, shape, dtype) in zip(grads, self.templates, strict=True):
            if grad is None and self.context.materialize:
                grad = xp.zeros(shape, dtype)
            tensors.append(None if grad is None else graph.Tensor(grad))
        self.context.node = self
        with no_grad():
            results = self.function.backward(self.context, *tensors)
        results = results if isinstance(results, tuple) else (results,)
        name = self.function.__name__
        if len(results) != len(self.inputs):
            raise RuntimeError(
                f"{name}: backward returned {len(results)} gradients; expected one per input, {len(self.inputs)}"
            )
        arrays = [result.data if isinstance(result, graph.Tensor) else result for result in results]
        for index, (array, expected) in enumerate(zip(arrays, self.input_shapes, strict=True)):
            if array is not None and expected is not None and array.shape != expected:
                shapes = f"{array.shape} for input {index}; expected {expected}"
                raise RuntimeError(f"{name}: backward returned shape {shapes}")
        return tuple([array.copy() if isinstance(array, np.ndarray) or gpu.holds(array) else None for array in arrays])


class Function:
    """Base of a user's own op: define ``forward`` and ``backward`` as static methods, call it through ``apply``.

    Example:
        >>> import atrous as at
        >>> class Square(at.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def backward(ctx, grad_y):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * grad_y
        >>> x = at.tensor([3.0], requires_grad=True)
        >>> Square.apply(x).backward()
        >>> x.grad.tolist()
        [6.0]
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """Computes the result, a Tensor or a tuple of Tensors; nothing inside is recorded."""
        raise NotImplementedError("autograd.Function: define forward as a static method")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Turns the gradient of each output into that of each argument of ``forward``, None for what has none."""
        raise NotImplementedError("autograd.Function: define backward as a static method")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs ``forward`` and records ``backward``.

        Raises:
            TypeError: ``forward`` returned something else than tensors.
            RuntimeError: in the walk, when ``backward`` returned too few gradients, too many, or of a wrong shape.
        """
        context = Context()
        inputs = [arg if isinstance(arg, graph.Tensor) else None for arg in args]
        context.needs_input_grad = tuple([tensor is not None and tensor.requires_grad for tensor in inputs])
        with no_grad():
            result = cls.forward(context, *args)
        outputs = result if isinstance(result, tuple) else (result,)
        for output in outputs:
            if not isinstance(output, graph.Tensor):
                raise TypeError(f"{cls.__name__}: forward returned {type(output).__name__}; expected Tensors")
        arrays = tuple([output.data for output in outputs])
        recorded = record(
            arrays if isinstance(result, tuple) else arrays[0],
            FunctionBackward,
            inputs,
            saved=[_saved(item, outputs) for item in context.to_save],
            function=cls,
            context=context,
            input_shapes=[None if tensor is None else tensor.shape for tensor in inputs],
            templates=[(array_module(array), array.shape, array.dtype) for array in arrays],
        )
        for output, tensor in zip(outputs, recorded if isinstance(result, tuple) else (recorded,), strict=True):
            if any(output is other for other in context.not_differentiable):
                tensor._node, tensor._requires_grad = None, False
        return recorded


def _saved(item: Any, outputs: tuple) -> Any:
    """A saved output goes in as its array, from which ``record`` recognises the tensor that it makes of it."""
    return item.data if any(item is output for output in outputs) else item
