"""The walk through the graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from ..graph import Backward, OutputBackward, edge_of
from ..nn.hooks import TapBackward
from ..tensor import Tensor
from .reach import UNKNOWN, Axis, Reach
from .rules import Sizes, input_shape, plan

Field = tuple[Axis, Axis]  # along the image's height and width


class Fields:
    """The receptive fields of what one forward pass makes of ``x``, images (N, C, H, W) whose graph begins here.

    The walk frees what the nodes it passes had saved: the memory of a pass in evaluation, but no gradients after it.

    Example:
        >>> x = at.zeros(1, 1, 8, 8, requires_grad=True).clone()
        >>> fields = Fields(x)
        >>> y = F.max_pool2d(F.conv2d(x, at.ones(1, 1, 3, 3)), 2)
        >>> fields.of(y), fields.of(y.mean((2, 3)))
        ((4, 4), (inf, inf))
    """

    def __init__(self, x: Tensor) -> None:
        pixel = Reach(1, (0,), (0,))
        start = (Axis(2, None, pixel), Axis(3, None, pixel)) if x.ndim == 4 else (UNKNOWN, UNKNOWN)
        self._known: dict[Backward, Field | None] = {edge_of(x): start}  # None: does not depend on x

    def of(self, tensor: Tensor) -> tuple[float, float] | None:
        """Height and width of the field in pixels, inf for all; None where unknown, or the tensor depends on no x."""
        rows, columns = self.axes(tensor)
        return (rows.reach.size, columns.reach.size) if rows.reach and columns.reach else None

    def axes(self, tensor: Tensor) -> Field:
        """Which pixels each position of the tensor sees, along the height and the width of the images."""
        root = edge_of(tensor)
        if not isinstance(root, Backward):
            return UNKNOWN, UNKNOWN
        if root not in self._known:
            self._walk(root, tensor.shape)
        return self._known[root] or (UNKNOWN, UNKNOWN)

    def _walk(self, root: Backward, root_shape: tuple[int, ...]) -> None:
        shapes: dict[Backward, Sizes | None] = {root: root_shape}
        found, stack = {root}, [root]
        while stack:
            for _, edge in _edges(stack.pop()):
                if edge not in self._known and edge not in found:
                    found.add(edge)
                    stack.append(edge)
        nodes = sorted(found, key=lambda node: node._order)  # the latest first
        for node in nodes:  # down the graph: ops know the shapes of their inputs
            for i, edge in _edges(node):
                if shapes.get(edge) is None or None in (shapes[edge] or ()):
                    shapes[edge] = input_shape(node, i, shapes[node])
        for node in reversed(nodes):  # and up again
            self._known[node] = self._result(node, shapes)
            node._saved = None

    def _result(self, node: Backward, shapes: dict[Backward, Sizes | None]) -> Field | None:
        moved = []
        for i, edge in _edges(node):
            field, old, new = self._known[edge], shapes[edge], shapes[node]
            if field is not None:
                moves = plan(node, i, old, new)
                moved.append((field[0].moved(moves), field[1].moved(moves)))
        return reduce(lambda a, b: (a[0].joined(b[0]), a[1].joined(b[1])), moved) if moved else None


def _edges(node: Backward) -> Iterator[tuple[int, Backward]]:
    """The nodes that made the inputs, with their position; full backward hooks are seen through."""
    if isinstance(node, OutputBackward) and isinstance(node.inputs[0], TapBackward):
        tapped = node.inputs[0].inputs[node.index]
        return iter([(0, tapped)] if isinstance(tapped, Backward) else [])
    return ((i, edge) for i, edge in enumerate(node.inputs) if isinstance(edge, Backward))
