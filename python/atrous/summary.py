"""What a model is made of, layer by layer, and how far each layer sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from .backend import array_module
from .checks import require
from .grad_mode import enable_grad
from .models.macs import dtype_of, macs_of
from .nn import Module
from .nn.observe import observe
from .ops import zeros
from .ops.shape import sizes
from .tensor import Tensor

__all__ = ["Row", "Summary", "summary"]


@dataclass(frozen=True)
class Row:
    """One call of one layer.

    Attributes:
        name: the dotted name of the layer in the model, "" for the model itself.
        kind: its class and essentials, such as "Conv2d 3×3 s2".
        output_shape: of its first output tensor; None where it returned none.
        parameters: how many numbers it learns or holds frozen; 0 where an earlier row counted them.
        macs: multiply-adds, of convolutions and linear layers.
        receptive_field: height and width, in pixels of the input, of what an element of the output can depend on:
            math.inf for all, None where unknown.
        bytes: memory of its outputs; 0 where they lie in its input's memory.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int
    macs: int
    receptive_field: tuple[float, float] | None
    bytes: int


@dataclass(frozen=True)
class Summary:
    """What `summary` returns; printing it shows the table."""

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    macs: int
    parameter_bytes: int
    activation_bytes: int
    input_bytes: int

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "MACs", "field", "memory")
        table = aligned([head, *(_cells(row, self.model) for row in self.rows)], left=3)
        table.insert(1, "─" * max(map(len, table)))
        elsewhere = self.parameters - sum(row.parameters for row in self.rows)
        inside = f", of which {elsewhere:,} in no layer above" if elsewhere else ""
        totals = [
            ("parameters", f"{self.parameters:,} ({self.trainable:,} trainable{inside})"),
            ("MACs", f"{self.macs:,}"),
            ("memory", f"parameters {readable(self.parameter_bytes)}, activations {readable(self.activation_bytes)}"),
            ("input", f"{self.input_shape}, {readable(self.input_bytes)}"),
        ]
        return "\n".join([*table, table[1], *(f"{name:<12}{value}" for name, value in totals)])

    __repr__ = __str__


def summary(model: Module, *shape: Any) -> Summary:
    """Runs a model once and tells, for each layer in order of execution, sizes, cost, and receptive field.

    The receptive field of an element is the height × width of input pixels, from the first to the last, that it can
    depend on, in the middle of an image large enough: a field larger than the image is told in full, "all" is that of
    linear layers over a flattened image, global pooling and the like. It is read off the autograd graph, through sums,
    concatenations and whatever ops stand between layers; what the model computes under no_grad or detaches counts as
    constant, and after an op that may do anything (a user's autograd.Function) it is unknown.

    The pass is in evaluation mode, on zeros of the parameters' dtype. Parameters, buffers, modes, hooks and the random
    state stay as they are. A layer is a module that holds no others; one called twice has two rows.

    Args:
        model: any module that takes one tensor.
        shape: the input's, as ints or one tuple: ``1, 3, 224, 224``.
    Returns:
        A `Summary`, whose ``rows`` and totals are attributes; ``activation_bytes`` adds up the rows.
    Raises:
        TypeError: model is no Module. ValueError: a size is negative; and whatever the model raises.
    Example:
        >>> found = at.summary(nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)), 1, 3, 32, 32)
        >>> [(row.kind, row.receptive_field) for row in found.rows]
        [('Conv2d 3×3', (3, 3)), ('MaxPool2d 2×2 s2', (4, 4)), ('Conv2d 3×3', (8, 8))]
        >>> print(at.summary(nn.Linear(4, 2), 1, 4))
        layer   kind        output  parameters  MACs  field  memory
        ───────────────────────────────────────────────────────────
        Linear  Linear 4→2  1×2             10     8      –     8 B
        ───────────────────────────────────────────────────────────
        parameters  10 (10 trainable)
        MACs        8
        memory      parameters 40 B, activations 8 B
        input       (1, 4), 16 B

    Source:
        Araujo, Norris and Sim, Computing receptive fields of convolutional neural networks, Distill 2019.
    """
    from .receptive_field import Fields  # here, so that importing atrous stays quick

    if not isinstance(model, Module):
        raise TypeError(f"summary: model is a {type(model).__name__}; expected an nn.Module")
    extents = sizes(shape)
    require(extents and min(extents) >= 0, "summary", f"shape is {extents}; expected sizes such as 1, 3, 224, 224")
    rows: list[Row] = []
    counted: set[int] = set()
    with enable_grad():
        x = zeros(*extents, dtype=dtype_of(model), requires_grad=True).clone()  # no leaf: layers may write to it
        fields = Fields(x)

        def add_row(name: str, layer: Module, args: tuple, output: Any) -> None:
            new = [param for param in layer.parameters() if id(param) not in counted]
            counted.update(map(id, new))
            outputs = list(tensors_in(output))
            rows.append(
                Row(
                    name,
                    kind_of(layer),
                    outputs[0].shape if outputs else None,
                    sum(param.numel() for param in new),
                    macs_of(layer, args, output),
                    fields.of(outputs[0]) if outputs else None,
                    _new_bytes(outputs, list(tensors_in(args))),
                )
            )

        observe(model, add_row, x)
    parameters = list(model.parameters())
    return Summary(
        type(model).__name__,
        extents,
        tuple(rows),
        parameters=sum(param.numel() for param in parameters),
        trainable=sum(param.numel() for param in parameters if param.requires_grad),
        macs=sum(row.macs for row in rows),
        parameter_bytes=sum(param.data.nbytes for param in parameters),
        activation_bytes=sum(row.bytes for row in rows),
        input_bytes=x.data.nbytes,
    )


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in an output or in arguments: a tensor, or tuples, lists and dicts of them.

    Example:
        >>> [tensor.shape for tensor in tensors_in({"a": at.zeros(2), "b": (1, at.zeros(3))})]
        [(2,), (3,)]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def _new_bytes(outputs: list[Tensor], inputs: list[Tensor]) -> int:
    new = [y.data for y in outputs if not any(array_module(y).may_share_memory(y.data, x.data) for x in inputs)]
    return sum(data.nbytes for data in new)


def kind_of(layer: Module) -> str:
    """A layer's class and what matters of its settings.

    Example:
        >>> kind_of(nn.Conv2d(8, 8, (3, 5), stride=2, dilation=2, groups=8)), kind_of(nn.Linear(4, 3))
        ('Conv2d 3×5 s2 d2 g8', 'Linear 4→3')
    """
    words = [type(layer).__name__]
    for name, sign in (("kernel_size", ""), ("output_size", ""), ("stride", "s"), ("dilation", "d"), ("groups", "g")):
        setting = getattr(layer, name, None)
        sizes = (setting,) * (1 if words[0].endswith("1d") else 2) if isinstance(setting, int) else setting
        if not isinstance(sizes, tuple) or len(sizes) > 2 or (sign and set(sizes) == {1}):
            continue
        words.append(sign + ("×".join(map(str, sizes)) if len(set(sizes)) > 1 or not sign else str(sizes[0])))
    if hasattr(layer, "in_features") and hasattr(layer, "out_features"):
        words.append(f"{layer.in_features}→{layer.out_features}")
    return " ".join(words)


def readable(size: float) -> str:
    """A number of bytes as text.

    Example:
        >>> readable(40), readable(3 * 2**20 + 2**18)
        ('40 B', '3.2 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def aligned(rows: Iterable[Iterable[str]], left: int) -> list[str]:
    """Lines of a table: the first ``left`` columns to the left, the others to the right.

    Example:
        >>> aligned([("a", "bc"), ("def", "1")], left=1)
        ['a    bc', 'def   1']
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(f"{cell:{'<' if i < left else '>'}{widths[i]}}" for i, cell in enumerate(row)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _cells(row: Row, model: str) -> tuple[str, ...]:
    return (
        row.name or model,
        row.kind,
        "–" if row.output_shape is None else "×".join(map(str, row.output_shape)) or "()",
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.macs:,}" if row.macs else "",
        field_text(row.receptive_field),
        readable(row.bytes) if row.bytes else "",
    )


def field_text(field: tuple[float, float] | None) -> str:
    """A receptive field as text.

    Example:
        >>> field_text((5, 5)), field_text((3, 5)), field_text((float("inf"), 7)), field_text(None)
        ('5', '3×5', 'all×7', '–')
    """
    if field is None:
        return "–"
    height, width = ("all" if size == inf else str(size) for size in field)
    return height if height == width else f"{height}×{width}"
