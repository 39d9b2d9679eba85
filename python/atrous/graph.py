"""The graph that ops leave behind: nodes, what they save, versions of memory, views and writes in place.

An op computes with arrays and calls ``record``, which wraps the result in a Tensor and, where an input requires grad,
hangs a ``Backward`` object (a node) on it. The node holds what its formula needs (``saved``), and for each input where
that input's gradient goes (``inputs``): the node that made it, the leaf tensor itself, or None. Input tensors are not
held: their arrays die as soon as nobody's backward needs them. ``autograd.py`` walks the graph.
"""

from __future__ import annotations

import itertools
import re
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import capturing, fusion
from .dtypes import FLOATS, is_half
from .grad_mode import mode

if TYPE_CHECKING:
    from .tensor import Tensor
else:
    Tensor = None  # tensor.py, which imports this module, puts its class here

__all__ = ["Backward", "check_inplace", "increment_version", "record", "record_inplace", "record_view"]

_made = itertools.count()


class Backward:
    """One op in the graph, called with the gradient of its output (arrays) to give the gradients of its inputs.

    A subclass stands under its op's forward and defines ``__call__(self, grad_y)``, which returns an array, or a tuple
    with an array or None for each input; ops with several outputs take several gradients, None for outputs that none
    reached.

    Attributes:
        inputs: where each input's gradient goes: a node, a leaf tensor, or None.
        needs: per input, whether its gradient is wanted.
        saved: the arrays given to ``record``.
    """

    inputs: Sequence[Any] = ()
    _order = 0  # minus the number of nodes made before
    _outputs = 1
    hooks: dict[int, Callable] | None = None
    retained: weakref.ref | None = None  # a tensor that asked to keep its gradient
    masks: bool = False  # whether it takes a MaskedGradient
    half: Any = None  # the output's dtype where that has 16 bits, to which a gradient of more is rounded
    rounds: bool = True  # whether that is to be done before the call
    _saved: tuple | None = ()
    _versions: Sequence[tuple[list[int], int]] = ()

    if TYPE_CHECKING:  # the attributes given to record

        def __getattr__(self, name: str) -> Any: ...

    def __call__(self, *grads: Any) -> Any:
        raise NotImplementedError

    @property
    def needs(self) -> list[bool]:
        """For each input, whether its gradient is wanted."""
        return [edge is not None for edge in self.inputs]

    @property
    def saved(self) -> tuple:
        """The arrays given to ``record``.

        Raises:
            RuntimeError: they were freed by an earlier walk, or one was written since.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self.name()}: backward a second time through the same graph, whose saved arrays are freed already; "
                "give the first backward retain_graph=True"
            )
        for version, count in self._versions:
            if version[0] != count:
                raise RuntimeError(
                    f"{self.name()}: a tensor that its gradient needs was changed in place after the op ran "
                    f"(it is at version {version[0]}, the op saw {count}); change a clone instead"
                )
        return self._saved

    @classmethod
    def name(cls) -> str:
        """The op's name: "max_pool2d" of MaxPool2dBackward."""
        return re.sub(r"(?<=[a-z\d])(?=[A-Z])", "_", cls.__name__.removesuffix("Backward")).lower()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class OutputBackward(Backward):
    """Stands between one of several outputs and the node that made them all."""

    index: int

    def __call__(self, grad: Any) -> Any:
        grads = [None] * self._outputs
        grads[self.index] = grad
        return (grads,)


def recorded(*tensors: Tensor | None) -> bool:
    """Whether an op on these tensors would be recorded."""
    if mode.enabled:
        for tensor in tensors:
            if tensor is not None and (tensor._requires_grad if tensor._view is None else tensor.requires_grad):
                return True
    return False


def edge_of(tensor: Tensor | None) -> Any:
    """Where the gradient of this tensor goes."""
    if tensor is None:
        return None
    if tensor._view is not None:
        refresh(tensor)
    return (tensor._node or tensor) if tensor._requires_grad else None


def connect(
    backward: type[Backward], edges: Sequence, saved: Sequence = (), attributes: dict | None = None
) -> Backward:
    """A new node, whose inputs' gradients go to ``edges``."""
    node = backward()
    node.inputs = edges
    node._order = -next(_made)
    if saved:
        arrays, versions = [], []
        for item in saved:
            if isinstance(item, Tensor):
                version = item._version
                versions.append((version, version[0]))
                item = item.data
            arrays.append(item)
        node._saved = tuple(arrays)
        node._versions = versions
    if attributes:
        node.__dict__.update(attributes)
    return node


def record(
    data: Any, backward: type[Backward], inputs: Sequence[Tensor | None], saved: Sequence = (), **attributes: Any
) -> Any:
    """Wraps an op's result and, where an input requires grad, makes the node that differentiates it.

    Args:
        data: the result, an array, or a tuple of arrays (the node then has several outputs).
        backward: the node's class.
        inputs: the op's tensors, in the order in which ``backward`` returns gradients; None where one was left out.
        saved: what ``self.saved`` gives back to the backward. Tensors, and the result itself, are checked: changed in
            place before the walk, they raise a RuntimeError that names the op.
        attributes: set on the node; plain values, no arrays.
    Returns:
        A Tensor, or a tuple of Tensors.
    """
    if capturing.active:
        capturing.use(*inputs)
    if mode.enabled:
        edges: list[Any] = []
        needed = False
        for tensor in inputs:  # edge_of, written out: every op comes here
            if tensor is None:
                edges.append(None)
                continue
            if tensor._view is not None:
                refresh(tensor)
            if tensor._requires_grad:
                edges.append(tensor._node or tensor)
                needed = True
            else:
                edges.append(None)
        if needed:
            node = connect(backward, edges, saved, attributes)
            if type(data) is not tuple:
                return _output(data, node, node, saved)
            node._outputs = len(data)
            return tuple([_output(array, _output_node(node, i), node, saved) for i, array in enumerate(data)])
    return tuple([Tensor(array) for array in data]) if type(data) is tuple else Tensor(data)


def _output(array: Any, node: Backward, maker: Backward, saved: Sequence) -> Tensor:
    tensor = Tensor(array)
    if array.dtype.kind in FLOATS:
        tensor._node = node
        tensor._requires_grad = True
        if array.dtype.itemsize == 2:
            node.half = array.dtype
    for item in saved:
        if item is array:
            maker._versions.append((tensor._version, 0))  # type: ignore[attr-defined]
    return tensor


def _output_node(maker: Backward, index: int) -> Backward:
    return connect(OutputBackward, [maker], (), {"index": index, "_outputs": maker._outputs})


# Views and writes in place. A view shares memory and version with the tensor it was taken from, its parent. Its node
# goes stale when the parent is written, and is made anew when next needed; a write to it gives every parent a new node.


def record_view(
    x: Tensor, data: Any, take: Callable[[Any], Any], backward: type[Backward], **attributes: Any
) -> Tensor:
    """Records ``data``, a view of ``x.data``; ``take`` finds the same view in any C-ordered array of x's shape."""
    y = record(data, backward, (x,), **attributes)
    y._version = x._version
    if mode.enabled:
        y._view = (x, x._node, take, backward, attributes)
    return y


def refresh(view: Any) -> None:
    """Makes the view's node anew if a parent was written since."""
    x, seen, _, _, _ = view._view
    if x._view is None and x._node is seen:
        return
    stale = []
    while view is not None and view._view is not None:
        stale.append(view)
        view = view._view[0]
    for view in reversed(stale):  # from the oldest parent down
        x, seen, take, backward, attributes = view._view
        if x._node is not seen:
            edge = (x._node or x) if x._requires_grad else None
            view._node = None if edge is None else connect(backward, [edge], (), attributes)
            _tell_dtype(view._node, x)
            view._requires_grad = edge is not None
            view._view = (x, x._node, take, backward, attributes)


def check_inplace(x: Tensor, op: str) -> None:
    """Raises a RuntimeError unless ``x`` may be written: ops that write in place call it before any work."""
    if not getattr(x.data.flags, "writeable", True):  # CuPy's arrays always are
        raise RuntimeError(
            f"{op}: the memory is read-only (an expanded view, or an array that came so); write to a clone"
        )
    if mode.enabled:
        edge_of(x)
        tensor: Tensor | None = x
        while tensor is not None:  # x and what it is a view of
            if tensor._requires_grad and tensor._node is None:
                what = "a leaf" if tensor is x else "a view of a leaf"
                raise RuntimeError(f"{op}: {what} that requires grad is written in place; do so under no_grad()")
            tensor = tensor._view[0] if tensor._view is not None else None
    if fusion.current.waiting:
        fusion.finish(x.data)


def record_inplace(
    x: Tensor, backward: type[Backward], inputs: Sequence[Tensor | None], saved: Sequence = (), **attributes: Any
) -> Tensor:
    """Records a write that just happened to ``x.data``; x is among ``inputs`` where its old values still count."""
    x._version[0] += 1
    if capturing.active and (capture := capturing.current()) is not None:
        capture.write([x])
        capture.use(inputs)
    if mode.enabled:
        edges = [edge_of(tensor) for tensor in inputs]
        if edges.count(None) < len(edges):
            node = connect(backward, edges, saved, attributes)
            result = x._pending or x.data
            if any(item is result for item in saved):
                node._versions = [*node._versions, (x._version, x._version[0])]
            _rebase(x, node)
        elif x.requires_grad:
            _rebase(x, None)
    return x


def _rebase(x: Tensor, node: Backward | None) -> None:
    """Makes ``node`` the maker of x, and of what x is a view of."""
    if x._view is not None:
        parent, _, take, backward, attributes = x._view
        above = connect(WriteBackward, [edge_of(parent), node], (), {"take": take})
        _rebase(parent, above)
        x._view = (parent, above, take, backward, attributes)
    x._node, x._requires_grad = node, node is not None
    _tell_dtype(node, x)


def _tell_dtype(node: Backward | None, output: Tensor) -> None:
    """Tells a node the dtype of its output, as `_output` does, where that has 16 bits."""
    if node is not None and is_half(output.dtype):
        node.half = output.dtype


class WriteBackward(Backward):
    """A tensor of which a part was overwritten through a view: the part's gradient goes to what was written."""

    take: Callable[[Any], Any]

    def __call__(self, grad_y: Any) -> Any:
        rest = grad_y.copy()  # C order, in which every ``take`` is a view
        part = self.take(rest)
        grad_part = part.copy()
        part[...] = 0
        return rest, grad_part


def increment_version(*tensors: Tensor) -> None:
    """Tells the engine that the tensors' arrays were written behind its back, as an optimizer's kernel does.

    Example:
        >>> import atrous as at
        >>> x = at.zeros(2)
        >>> x.data[0] = 1.0
        >>> at.autograd.increment_version(x)
    """
    if capturing.active and (capture := capturing.current()) is not None:
        capture.write(tensors)
    for tensor in tensors:
        tensor._version[0] += 1
