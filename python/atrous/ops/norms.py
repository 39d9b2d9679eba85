"""Normalisation by a sample's own statistics, over its last axes, groups of channels or each channel.

All are one function, over other axes:
``y = (x − mean) / sqrt(var + eps) · weight + bias``, where mean and var (the biased one, divided by the count) are
those of x along the axes. The variance is that of x − mean, in a second pass, and sums are kept in float64: a mean
that is large beside the deviation does no harm. Numbers of 16 bits are computed in float32. They raise a TypeError for
another input than a float tensor, and for arguments of another dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .. import fusion
from ..autocast import raised
from ..autograd import Backward, increment_version, record
from ..backend import array_module, quiet
from ..checks import floats_of_one_dtype, require
from ..dtypes import compute_dtype, float64, widened
from ..layout import empty_like, reshape
from ..tensor import Tensor
from .batch_norm import batch_norm

__all__ = ["group_norm", "instance_norm", "layer_norm", "rms_norm"]

Shape = tuple[int, ...]


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Brings the last axes of each sample to mean 0 and variance 1, then scales and shifts each element.

    Args:
        input: shape (..., *normalized_shape).
        normalized_shape: the sizes of the axes to normalise over, one or more.
        weight, bias: of that shape, or None for 1 and 0.
        eps: added to the variance.
    Raises:
        ValueError: the shapes disagree.
    Example:
        >>> [round(v, 3) for v in layer_norm(at.tensor([1.0, 3.0]), (2,)).tolist()]
        [-1.0, 1.0]

    Source:
        Ba, Kiros and Hinton, Layer normalization, 2016 (arXiv 1607.06450).
    """
    input = raised(input)
    axes, affine = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    return _normalized(input, input.shape, axes, weight, bias, affine, eps)[0]


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """``x / sqrt(mean(x²) + eps) · weight`` over the last axes: layer norm without its mean.

    Args:
        input: shape (..., *normalized_shape).
        normalized_shape: the sizes of the axes to normalise over, one or more.
        weight: of that shape, or None for 1.
        eps: None for the dtype's, 2⁻²³ or 2⁻⁵².
    Raises:
        ValueError: the shapes disagree.
    Example:
        >>> [round(v, 3) for v in rms_norm(at.tensor([1.0, 7.0]), (2,)).tolist()]
        [0.2, 1.4]

    Source:
        Zhang and Sennrich, Root mean square layer normalization, 2019 (arXiv 1910.07467).
    """
    input = raised(input)
    axes, affine = _last_axes("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = float(array_module(input.data).finfo(compute_dtype(input.dtype)).eps)
    return _normalized(input, input.shape, axes, weight, None, affine, eps, centred=False)[0]


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Brings each group of a sample's channels to mean 0 and variance 1, then scales and shifts each channel.

    Args:
        input: shape (N, C, ...).
        num_groups: a divisor of C; C itself is instance norm, 1 is layer norm over all but the first axis.
        weight, bias: shape (C,), or None for 1 and 0.
        eps: added to the variance.
    Raises:
        ValueError: the shapes disagree, or there is one value a group in all.
    Example:
        >>> [round(v, 3) for v in group_norm(at.tensor([[1.0, 3.0, 5.0, 9.0]]), 2)[0].tolist()]
        [-1.0, 1.0, -1.0, 1.0]

    Source:
        Wu and He, Group normalization, 2018 (arXiv 1803.08494).
    """
    op, G, input = "group_norm", num_groups, raised(input)
    floats_of_one_dtype(op, ("input", "weight?", "bias?"), input, weight, bias)
    N, C, *rest = _channels(op, input)
    _check_shapes(op, (C,), weight, bias)
    require(G > 0 and C % G == 0, op, f"num_groups is {G}; expected a divisor of the {C} channels")
    require(N * C // G * prod(rest) != 1, op, f"the input {input.shape} has one value a group; expected more")
    view = (N, G, C // G, *rest)
    axes = tuple(range(2, len(view)))
    return _normalized(input, view, axes, weight, bias, (1, G, C // G, *[1] * len(rest)), eps)[0]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Brings each channel of each sample to mean 0 and variance 1, then scales and shifts each channel.

    Args:
        input: shape (N, C, ...).
        running_mean, running_var: shape (C,), moved in place towards the samples' average statistics (the unbiased
            variance), ``running = (1 − momentum) · running + momentum · average``; both None to keep none.
        weight, bias: shape (C,), or None for 1 and 0.
        use_input_stats: False normalises by the running statistics instead, as batch norm does in evaluation.
        momentum: share of the new in the running statistics.
        eps: added to the variance.
    Raises:
        ValueError: the shapes disagree, one value a channel, or no running statistics where they are to be used.
        RuntimeError: a running statistic requires grad.
    Example:
        >>> [round(v, 3) for v in instance_norm(at.tensor([[[1.0, 3.0]]])).flatten().tolist()]
        [-1.0, 1.0]

    Source:
        Ulyanov, Vedaldi and Lempitsky, Instance normalization, 2016 (arXiv 1607.08022).
    """
    op = "instance_norm"
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    names = ("input", "running_mean?", "running_var?", "weight?", "bias?")
    floats_of_one_dtype(op, names, input, running_mean, running_var, weight, bias)
    C, *rest = _channels(op, input)[1:]
    require(prod(rest) != 1, op, f"the input {input.shape} has one value a channel; expected more")
    _check_shapes(op, (C,), weight, bias, running_mean, running_var)
    require(
        (running_mean is None) == (running_var is None),
        op,
        "one of running_mean and running_var is None; expected both or neither",
    )
    for running in (running_mean, running_var):
        if running is not None and running.requires_grad:
            raise RuntimeError(f"{op}: the running statistics require grad; they have no gradient, detach() them")
    axes, affine = tuple(range(2, input.ndim)), (1, C, *[1] * len(rest))
    y, mean, var = _normalized(input, input.shape, axes, weight, bias, affine, eps)
    if running_mean is not None and running_var is not None and input.numel():
        unbiased = var * (prod(rest) / (prod(rest) - 1))
        for held, found in ((running_mean.data, mean), (running_var.data, unbiased)):
            fusion.finish(held)
            held[...] = (1 - momentum) * held + momentum * found.mean(axis=0).reshape(C)
        increment_version(running_mean, running_var)
    return y


def _normalized(
    input: Tensor,
    view: Shape,
    axes: Shape,
    weight: Tensor | None,
    bias: Tensor | None,
    affine: Shape,
    eps: float,
    centred: bool = True,
) -> tuple[Tensor, Any, Any]:
    """The formula at the top over some axes of the input in shape `view`, and the statistics (arrays).

    Args:
        affine: the shape in which weight and bias stand beside `view`.
        centred: False takes 0 for the mean.
    """
    x = widened(reshape(input.data, view))
    xp, y = array_module(x), empty_like(x)
    mean = _mean(x, axes).astype(x.dtype) if centred else None
    if mean is not None:
        quiet.run(xp.subtract, x, mean, out=y)
    var = _mean(quiet.run(xp.square, x if mean is None else y), axes)
    rstd = quiet.run(lambda: 1 / xp.sqrt(var + eps)).astype(x.dtype)
    quiet.run(xp.multiply, x if mean is None else y, rstd, out=y)
    if weight is not None:
        quiet.run(xp.multiply, y, weight.data.reshape(affine), out=y)
    if bias is not None:
        quiet.run(xp.add, y, bias.data.reshape(affine), out=y)
    learned = next((t.shape for t in (weight, bias) if t is not None), ())
    attributes = {"view": view, "axes": axes, "affine": affine, "learned": learned}
    saved = (input, weight, mean, rstd)
    y = reshape(y.astype(input.dtype, copy=False), input.shape)
    y = record(y, NormalizationBackward, (input, weight, bias), saved, **attributes)
    return y, mean, var


class NormalizationBackward(Backward):
    """Gradients of a normalisation, with ``x̂ = (x − mean) · rstd`` and ``g = grad_y · weight``.

    ``grad_x = rstd · (g − mean(g) − x̂ · mean(g · x̂))``, without mean(g) where no mean was subtracted; ``grad_weight``
    and ``grad_bias`` are the sums of ``grad_y · x̂`` and ``grad_y`` over what shares a weight.
    """

    view: Shape
    axes: Shape
    affine: Shape
    learned: Shape  # of weight and bias

    def __call__(self, grad_y):
        x, weight, mean, rstd = self.saved
        needs_x, needs_weight, needs_bias = self.needs
        shape, x, grad_y = x.shape, widened(reshape(x, self.view)), widened(reshape(grad_y, self.view))
        dtype = x.dtype
        normal = x * rstd if mean is None else (x - mean) * rstd
        shared = tuple([axis for axis, extent in enumerate(self.affine) if extent == 1])
        grad_x = grad_weight = grad_bias = None
        if needs_weight:
            grad_weight = _sum(grad_y * normal, shared).astype(dtype).reshape(self.learned)
        if needs_bias:
            grad_bias = _sum(grad_y, shared).astype(dtype).reshape(self.learned)
        if needs_x:
            grad_x = grad_y if weight is None else grad_y * weight.reshape(self.affine)
            slope = _mean(grad_x * normal, self.axes).astype(dtype)
            offset = 0 if mean is None else _mean(grad_x, self.axes).astype(dtype)
            grad_x = reshape((grad_x - offset - normal * slope) * rstd, shape)
        return grad_x, grad_weight, grad_bias


def _sum(x: Any, axes: Shape) -> Any:
    """The sum in float64, axis by axis from the last: NumPy is slow at several that are not neighbours in memory."""
    for axis in reversed(axes):
        x = quiet.run(array_module(x).add.reduce, x, axis, float64, None, True)
    return x


def _mean(x: Any, axes: Shape) -> Any:
    count = prod(x.shape[axis] for axis in axes)
    return quiet.run(array_module(x).divide, _sum(x, axes), count)


def _last_axes(
    op: str, input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None
) -> tuple[Shape, Shape]:
    """The last axes of the input, which must have that shape, and the shape of weight and bias beside all axes."""
    floats_of_one_dtype(op, ("input", "weight?", "bias?"), input, weight, bias)
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(f"{op}: normalized_shape is {normalized_shape!r}; expected a tuple of ints")
    last, D = tuple(normalized_shape), len(normalized_shape)
    require(D > 0, op, "normalized_shape is empty; expected one axis or more")
    require(input.shape[-D:] == last, op, f"the input has shape {input.shape}; expected (..., {str(last)[1:]}")
    _check_shapes(op, last, weight, bias)
    return tuple(range(input.ndim - D, input.ndim)), (1,) * (input.ndim - D) + last


def _channels(op: str, input: Tensor) -> Shape:
    require(input.ndim >= 2, op, f"the input has shape {input.shape}; expected (N, C, ...)")
    return input.shape


def _check_shapes(op: str, shape: Shape, weight: Any, bias: Any, running_mean: Any = None, running_var: Any = None):
    for name, t in zip(
        ("weight", "bias", "running_mean", "running_var"), (weight, bias, running_mean, running_var), strict=True
    ):
        if t is not None:
            require(t.shape == shape, op, f"{name} has shape {t.shape}; expected {shape}")
