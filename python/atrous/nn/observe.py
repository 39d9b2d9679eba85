"""Watching a model's layers while it runs, without leaving a trace in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..random import Generator, using
from .containers import Sequential
from .module import Module

__all__ = ["leaf_layers", "observe", "unchanged"]


def leaf_layers(model: Module) -> Iterator[tuple[str, Module]]:
    """The modules that hold no others, with their dotted names: the layers, whatever they are built into.

    Example:
        >>> [name for name, _ in leaf_layers(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())))]
        ['0', '1.0']
    """
    for name, module in model.named_modules():
        if next(module.children(), None) is None and not isinstance(module, Sequential):  # an empty one does nothing
            yield name, module


@contextlib.contextmanager
def unchanged(model: Module) -> Iterator[None]:
    """Runs what is inside, then puts modes, buffers, hooks and the random state back, also after an error.

    Example:
        >>> model = nn.BatchNorm2d(3)
        >>> with unchanged(model):
        ...     _ = model(at.ones(2, 3, 4, 4))
        >>> model.num_batches_tracked.item()
        0
    """
    tables = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks")
    modules = [
        (m, m.training, dict(m._held("buffer")), {name: dict(getattr(m, name)) for name in tables})
        for m in model.modules()
    ]
    buffers = [(buffer, buffer.data.copy()) for buffer in model.buffers()]
    try:
        with using(Generator(seed=0)):
            yield
    finally:
        for module, training, held, hooks in modules:
            module.training = training
            for name in dict(module._held("buffer")).keys() - held.keys():
                delattr(module, name)
            for name, buffer in held.items():
                module._register("buffer", name, buffer)
            for name, entries in hooks.items():
                table = getattr(module, name)  # the handles of hooks know this very dict
                table.clear()
                table.update(entries)
        for buffer, values in buffers:
            buffer.data[...] = values


def observe(model: Module, hook: Callable[[str, Module, tuple, Any], None], *args: Any) -> Any:
    """Calls the model in evaluation mode, and ``hook(name, layer, args, output)`` after each call of a leaf layer.

    The model and the random state are left as they were.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        >>> _ = observe(model, lambda name, layer, args, y: print(name, y.shape), at.ones(1, 4))
        0 (1, 2)
        1 (1, 2)
    """
    with unchanged(model):
        for name, layer in leaf_layers(model):
            layer.register_forward_hook(partial(hook, name))
        model.eval()
        return model(*args)
