"""What passes through each layer: activations forward, gradients backward, units that are saturated or dead."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..backend import array_module
from ..nn.observe import leaf_layers, observe
from ..tensor import Tensor
from .restore import restored

LIMITS = {  # activations between two limits, at which their slope is 0
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.ReLU6: (0.0, 6.0),
}
NEAR = 0.025  # of the distance of the limits: tanh beyond 0.95


class LayerStatistics(NamedTuple):
    """A layer's output on one batch.

    Attributes:
        name: dotted, as in `named_modules`.
        kind: the class's name.
        mean, std: of the activations.
        saturated: the share of activations that are within 1/40 of the range of an end of it; NaN where there is none.
        dead: the share of units (features, or channels) that give 0 for all samples and places.
        grad_mean, grad_std: of the loss's gradient there; NaN without a loss, or where none arrived.
    """

    name: str
    kind: str
    mean: float
    std: float
    saturated: float
    dead: float
    grad_mean: float
    grad_std: float


def layer_statistics(
    model: nn.Module,
    inputs: Tensor,
    target: Tensor | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> list[LayerStatistics]:
    """Statistics of every layer's output on one batch, in the order of the calls; a layer called twice comes twice.

    The model runs in the mode that it is in, and is left as it was; so are gradients and random state.

    Args:
        model: the network.
        inputs: a batch.
        target: with it the loss's gradients are looked at, too.
        loss_fn: of (output, target).
    Example:
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        >>> rows = layer_statistics(model, at.randn(32, 8), at.randint(0, 3, (32,)))
        >>> [(row.name, row.kind, row.dead) for row in rows]
        [('0', 'Linear', 0.0), ('1', 'Tanh', 0.0), ('2', 'Linear', 0.0)]

    Source:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """
    rows: list[LayerStatistics] = []
    with restored(model):
        for name, layer in leaf_layers(model):
            layer.register_forward_hook(partial(_look, rows, name))
        output = model(inputs)
        if target is not None:
            loss_fn(output, target).backward()
    return rows


def feature_maps(model: nn.Module, image: Tensor) -> dict[str, np.ndarray]:
    """The maps (C, H, W) that each layer makes of one image, by the layer's name; of layers that make maps.

    The model runs in eval mode and is left as it was.

    Args:
        model: the network.
        image: (1, C, H, W).
    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        >>> {name: maps.shape for name, maps in feature_maps(model, at.randn(1, 1, 8, 8)).items()}
        {'0': (4, 6, 6), '1': (4, 6, 6)}
    """
    found: dict[str, np.ndarray] = {}

    def keep(name: str, layer: nn.Module, args: tuple, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            found[name] = output.detach().cpu().numpy()[0].copy()

    observe(model, keep, image)
    return found


def _look(rows: list[LayerStatistics], name: str, layer: nn.Module, args: tuple, output: Any) -> None:
    """A forward hook that appends a row, and has the backward walk fill in its gradient."""
    if not isinstance(output, Tensor) or not output.is_floating_point() or not output.numel():
        return
    mean, std = _moments(output.data)
    place = len(rows)
    saturated, dead = _saturated(layer, output.data), _dead(output.data)
    rows.append(LayerStatistics(name, type(layer).__name__, mean, std, saturated, dead, math.nan, math.nan))

    def note(grad: Tensor) -> None:
        mean, std = _moments(grad.data)
        rows[place] = rows[place]._replace(grad_mean=mean, grad_std=std)

    if output.requires_grad:
        output.register_hook(note)


def _moments(x: Any) -> tuple[float, float]:
    x = x.astype("float64")
    return float(x.mean()), float(x.std())


def _saturated(layer: nn.Module, y: Any) -> float:
    if type(layer) not in LIMITS:
        return math.nan
    low, high = (layer.min_val, layer.max_val) if type(layer) is nn.Hardtanh else LIMITS[type(layer)]
    edge = NEAR * (high - low)
    return float(((y < low + edge) | (y > high - edge)).mean())


def _dead(y: Any) -> float:
    """Units are counted along axis 1; all that there is of one unit must be 0."""
    units = array_module(y).moveaxis(y, 1, 0) if y.ndim > 1 else y.reshape(1, -1)
    return float((units.reshape(len(units), -1) == 0).all(axis=1).mean())
