"""Reverse-mode differentiation, define by run: the walk from a result back to the leaves.

``walk`` visits nodes from the latest to the earliest, which is a topological order, since inputs are made before
outputs. It adds only into buffers that it allocated itself, and drops each node's saved arrays as it passes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import generic

from . import capturing, fusion, graph, layout
from .autocast import current, off
from .backend import array_module, kernels_for
from .function import Function
from .fusion import MaskedGradient
from .grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .graph import Backward, check_inplace, edge_of, increment_version, record, record_inplace, record_view
from .hessian import hessian
from .layout import is_dense_float

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "Backward",
    "Function",
    "backward",
    "check_inplace",
    "enable_grad",
    "grad",
    "hessian",
    "increment_version",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "record",
    "record_inplace",
    "record_view",
    "set_grad_enabled",
]


class _Watcher(threading.local):
    note: Callable[[], None] | None = None


_watcher = _Watcher()


@contextlib.contextmanager
def watched(note: Callable[[], None]) -> Iterator[None]:
    """Calls ``note`` after the backward of every op in this thread: a look from outside that hooks would disturb.

    Example:
        >>> import atrous as at
        >>> ops = []
        >>> x = at.ones(2, requires_grad=True)
        >>> with watched(lambda: ops.append(1)):
        ...     (x * x).sum().backward()
        >>> len(ops)
        2
    """
    before, _watcher.note = _watcher.note, note
    try:
        yield
    finally:
        _watcher.note = before


def walk(
    roots: Iterable[tuple[Tensor, Any]], retain_graph: bool, wanted: dict[Any, Any]
) -> dict[Any, tuple[Any, bool]]:
    """Carries gradients from the roots down to the leaves.

    Args:
        roots: tensors and the gradients (arrays) to start from.
        retain_graph: keep the saved arrays for another walk.
        wanted: the nodes whose gradient is asked for, as keys; the values are filled in.
    Returns:
        The gradient of every leaf reached: ``{leaf: (array, whether nothing else holds it)}``.
    """
    fusion.finish()
    dtype, current.dtype = current.dtype, None  # the ops in a user's own backward cast nothing
    try:
        with np.errstate(all="ignore"):  # 1 / 0 is inf in a gradient, too, without NumPy's warning
            return _walk(roots, retain_graph, wanted)
    finally:
        current.dtype = dtype


def _walk(roots: Iterable[tuple[Tensor, Any]], retain_graph: bool, wanted: dict[Any, Any]) -> dict:
    pending: dict[Any, Any] = {}  # gradients of the nodes in the heap, and of leaves
    owned: set[Any] = set()  # keys of ``pending`` whose buffer is the walk's own
    heap: list[tuple[int, Backward]] = []
    node, note = Backward(), _watcher.note
    node.inputs = [edge_of(tensor) for tensor, _ in roots]
    grads = saved = tuple([grad for _, grad in roots])  # the caller's own: nothing is added into them
    grad = None
    while True:
        for edge, part in zip(node.inputs, grads):  # noqa: B905
            if edge is None or part is None:
                continue
            if edge in pending:
                fresh = _is_fresh(part, grad, grads, saved)
                _add(edge, part, fresh, pending, owned)
                continue
            pending[edge] = np.asarray(part) if isinstance(part, generic) else part
            if isinstance(edge, Backward):
                heappush(heap, (edge._order, edge))
            elif _is_fresh(part, grad, grads, saved):
                owned.add(edge)
        part, grads, saved = None, (), ()  # so that what was added or passed on is freed before the next kernel runs
        if not heap:
            return {
                leaf: (array, leaf in owned)
                if array.dtype == leaf.data.dtype
                else (array.astype(leaf.data.dtype), True)
                for leaf, array in pending.items()  # of a weight of 16 bits, kernels give the gradient in float32
            }
        node = heappop(heap)[1]
        grad = pending.pop(node)
        if owned:
            owned.discard(node)
        if node.half is not None and node.rounds:
            grad = _rounded(grad, node.half)
        if node.hooks is not None or node.retained is not None or wanted:
            grad = _shown(node, grad, wanted)
        saved = node._saved or ()
        grads = node(*grad) if type(grad) is list else node(grad)
        if note is not None:
            note()
        if type(grads) is not tuple:
            grads = (grads,)
        if saved and not retain_graph:
            node._saved = None


def _rounded(grad: Any, dtype: Any) -> Any:
    """The gradient in the dtype of what it is the gradient of."""
    if type(grad) is MaskedGradient or type(grad) is list:
        return grad
    own = grad.dtype
    return grad if own is dtype or own == dtype else grad.astype(dtype)


def _shown(node: Backward, grad: Any, wanted: dict[Any, Any]) -> Any:
    """The gradient that a node is called with, once whoever asked to see it did; hooks may replace it."""
    if type(grad) is MaskedGradient and (node.hooks or node.retained or node in wanted):
        grad = grad.array()
    if node.hooks is not None:
        grad = run_hooks(node.hooks, grad)
    if node.retained is not None:
        tensor = node.retained()
        if tensor is not None and tensor._node is node:
            accumulate(tensor, grad, owned=False)
    if node in wanted:
        wanted[node] = grad
    return grad


def _add(edge: Any, part: Any, fresh: bool, pending: dict, owned: set) -> None:
    """Adds a gradient to one that came before, in place where the walk owns either: no third array then."""
    held = pending[edge]
    if type(held) is list:  # of an op with several outputs, each of which fills its own place
        pending[edge] = [b if a is None else a if b is None else a + b for a, b in zip(held, part, strict=True)]
        return
    held, part = (p.array() if type(p) is MaskedGradient else p for p in (held, part))
    if edge in owned:
        _add_into(held, part)
        return
    owned.add(edge)
    if fresh and part.dtype == held.dtype and part.ndim:
        _add_into(part, held)
        pending[edge] = part
    else:
        total = held + part
        pending[edge] = np.asarray(total) if isinstance(total, generic) else total


def _add_into(total: Any, part: Any) -> None:
    same = total.strides == part.strides and total.dtype == part.dtype
    if same and total.nbytes >= layout.LARGE and is_dense_float(total):
        kernels_for(total).add_into(total, part)
    else:
        total += part


def _is_fresh(part: Any, grad: Any, parts: tuple, saved: tuple) -> bool:
    """Whether a backward made this array for its one receiver: no view, not its own input, not given to two inputs."""
    kind = type(part)
    if part is grad or kind is MaskedGradient or kind is list or type(part.base) is kind:
        return False
    for array in saved:
        if part is array:
            return False
    receivers = 0
    for other in parts:
        receivers += other is part
    return receivers == 1


def run_hooks(hooks: dict[int, Callable], grad: Any) -> Any:
    """What the hooks make of a gradient (an array), each seeing the result of the one before."""
    with no_grad(), off():
        for hook in list(hooks.values()):
            result = hook(graph.Tensor(grad))
            if result is not None:
                array = result.data if isinstance(result, graph.Tensor) else np.asarray(result)
                if array.shape != grad.shape:
                    raise ValueError(f"register_hook: the hook returned shape {array.shape}; expected {grad.shape}")
                grad = array.astype(grad.dtype, copy=False)
    return grad


def accumulate(tensor: Tensor, grad: Any, owned: bool) -> None:
    """Adds to ``tensor.grad`` in the tensor's own memory order; never into a buffer that somebody else may hold."""
    data = tensor.data
    if grad.shape != data.shape:
        raise RuntimeError(f"backward: a gradient of shape {grad.shape} reached a tensor of shape {data.shape}")
    if capturing.active and (capture := capturing.current()) is not None:
        capture.gradient(tensor)
    if tensor._grad is not None:
        held = tensor._grad.data
        if tensor._grad_owned:
            _add_into(held, grad)
            tensor._grad._version[0] += 1
            return
        grad, owned = held + grad, True
    if owned and grad.dtype == data.dtype:
        grad = layout.like(grad, data)
    else:
        copy = layout.empty_like(data)
        copy[...] = grad
        grad = copy
    tensor._grad = graph.Tensor(grad)
    tensor._grad_owned = True


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Adds to the ``grad`` of every leaf the gradient of the tensors' sum, each weighted by its ``grad_tensors``.

    Args:
        tensors: one tensor or several.
        grad_tensors: the gradient to start from, for each; left out for tensors of one element.
        retain_graph: keep what a second walk through the same graph would need.
        create_graph: not supported.
    Raises:
        RuntimeError: no graph, a graph already walked, ``create_graph=True``.
    Example:
        >>> import atrous as at
        >>> x = at.tensor([3.0], requires_grad=True)
        >>> backward(x * x)
        >>> x.grad.tolist()
        [6.0]
    """
    roots = _roots("backward", tensors, grad_tensors, create_graph)
    for leaf, (array, owned) in walk(roots, retain_graph, {}).items():
        if leaf._hooks:
            array, owned = run_hooks(leaf._hooks, array), False
        accumulate(leaf, array, owned)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs' sum with respect to the inputs, without touching any ``.grad``.

    Args:
        outputs, inputs: one tensor or several.
        grad_outputs: as ``grad_tensors`` of ``backward``.
        retain_graph: keep what a second walk would need.
        create_graph: not supported.
        allow_unused: give None, instead of raising, for inputs that the outputs do not depend on.
    Returns:
        A gradient for each input. One that passes through unchanged, as through a sum, is in the memory of
        ``grad_outputs``.
    Raises:
        RuntimeError: no graph, an unused input, ``create_graph=True``.
    Example:
        >>> import atrous as at
        >>> x = at.tensor([1.0, 2.0], requires_grad=True)
        >>> grad((x * x).sum(), x)[0].tolist()
        [2.0, 4.0]
    """
    roots = _roots("grad", outputs, grad_outputs, create_graph)
    targets = [inputs] if isinstance(inputs, graph.Tensor) else list(inputs)
    edges = [edge_of(tensor) for tensor in targets]
    if None in edges:
        raise RuntimeError(f"grad: input {edges.index(None)} does not require grad")
    wanted = {edge: None for edge in edges if isinstance(edge, Backward)}
    leaves = walk(roots, bool(retain_graph), wanted)
    given = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    results: list[Tensor | None] = []
    for index, (tensor, edge) in enumerate(zip(targets, edges, strict=True)):
        array, owned = (wanted[edge], False) if edge in wanted else leaves.get(edge, (None, False))
        if array is None and not allow_unused:
            raise RuntimeError(f"grad: the outputs do not depend on input {index}; allow_unused=True gives None for it")
        if array is not None and edge not in wanted and tensor._hooks:
            array, owned = run_hooks(tensor._hooks, array), False
        results.append(None if array is None else _result(array, owned, tensor.dtype, given))
        if owned:  # once; an input that is asked for twice gets a copy
            leaves[edge] = (array, False)
    return tuple(results)


def _result(array: Any, owned: bool, dtype: Any, given: Iterable[Any]) -> Tensor:
    """A gradient for the caller of `grad`; a copy, unless nobody else holds the array or the caller gave it."""
    for tensor in given:
        if isinstance(tensor, graph.Tensor) and tensor.data is array and array.dtype == dtype:
            return tensor.detach()
    if not owned or array.dtype != dtype:
        copy = layout.empty_like(array, dtype)
        copy[...] = array
        array = copy
    return graph.Tensor(array)


def _roots(op: str, tensors: Any, grads: Any, create_graph: bool) -> list[tuple[Tensor, Any]]:
    """The tensors to start from, with a gradient (array) for each."""
    if create_graph:
        raise RuntimeError(f"{op}: create_graph=True is not supported; there are no gradients of gradients")
    if isinstance(tensors, graph.Tensor):
        tensors, grads = [tensors], [grads]
    elif grads is None:
        grads = [None] * len(tensors)
    roots = []
    for tensor, grad in zip(tensors, grads, strict=True):
        if not tensor.requires_grad:
            raise RuntimeError(
                f"{op}: the tensor does not require grad: nothing it came from does, or it was made under no_grad"
            )
        roots.append((tensor, _first_gradient(op, tensor.data, grad)))
    return roots


def _first_gradient(op: str, data: Any, grad: Any) -> Any:
    if grad is None:
        if data.size != 1:
            raise RuntimeError(
                f"{op}: the result has shape {data.shape}; give a gradient of that shape, or reduce it to one number"
            )
        return array_module(data).ones_like(data)
    array = grad.data if isinstance(grad, graph.Tensor) else np.asarray(grad)
    if array.shape != data.shape:
        raise ValueError(f"{op}: gradient has shape {array.shape}; expected {data.shape}")
    return array.astype(data.dtype, copy=False)
