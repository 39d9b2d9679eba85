"""Trying something with a model and its optimizer, and leaving no trace."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from ..grad_mode import no_grad
from ..nn import Module
from ..nn.observe import unchanged
from ..optim.optimizer import Optimizer
from ..tensor import Tensor


@contextlib.contextmanager
def restored(model: Module, optimizer: Optimizer | None = None, batches: Any = None) -> Iterator[None]:
    """Runs what is inside, then puts weights, gradients, modes, buffers, optimizer and random state back.

    After an error, too. Gradients are cleared at the start. Of a loader, its own generators and its place in the epoch
    are put back as well.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> before = model.weight.tolist()
        >>> with restored(model):
        ...     _ = model.weight.detach().fill_(7.0)
        >>> model.weight.tolist() == before
        True
    """
    params = {id(p): p for p in model.parameters()}
    if optimizer is not None:
        params |= {id(p): p for group in optimizer.param_groups for p in group["params"]}
    saved = [(p, p.detach().clone(), p.grad) for p in params.values()]
    generators = [(g, g.get_state()) for g in getattr(batches, "_generators", tuple)()]
    position = copy.copy(getattr(batches, "_position", None))
    with unchanged(model), _kept(optimizer):
        try:
            for p in params.values():
                p.grad = None
            yield
        finally:
            with no_grad():
                for p, values, grad in saved:
                    p.copy_(values)
                    p.grad = grad
            for generator, state in generators:
                generator.set_state(state)
            if hasattr(batches, "_position"):
                batches._position = position


@contextlib.contextmanager
def _kept(optimizer: Optimizer | None) -> Iterator[None]:
    """Puts settings and state of the optimizer back; the dicts of its groups stay the same ones."""
    if optimizer is None:
        yield
        return
    groups = [dict(group) for group in optimizer.param_groups]
    state, stepped = optimizer.state, optimizer._stepped
    optimizer.state = {p: {key: _copy(value) for key, value in entries.items()} for p, entries in state.items()}
    try:
        yield
    finally:
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(settings)
        optimizer.state, optimizer._stepped = state, stepped


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
