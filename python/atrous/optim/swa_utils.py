"""Averages of a network's weights along training: SWA (all count the same) and EMA (older ones fade)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..autograd import no_grad
from ..checks import require
from ..nn import Module
from ..nn.batchnorm import _BatchNorm
from ..ops import tensor
from ..tensor import Tensor
from .lr_scheduler.swa import SWALR
from .optimizer import check_range

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[list[Tensor], list[Tensor], Any], None]


class AveragedModel(Module):
    """A copy of a network that holds an average of its weights: of all that `update_parameters` saw.

    Without avg_fn every update counts the same: stochastic weight averaging, ``w̄ ← w̄ + (w − w̄) / (n + 1)``. With
    `get_ema_avg_fn` older ones fade: an exponential moving average (EMA), updated after every step.

    Args:
        model: the network, which is copied.
        device: where the copy lives; None for where the network is.
        avg_fn: takes the average, the new parameter and ``n_averaged``; returns the new average.
        multi_avg_fn: instead, takes two lists of tensors of one dtype and ``n_averaged``; changes the first in place.
        use_buffers: average the buffers too; else they are the network's own at the last update. Batch-norm's
            statistics are not those of averaged weights then: see `update_bn`.
    Raises:
        ValueError: both functions are given.
    Example: the average of 1 and 3, in a network with the weight 3.
        >>> model = nn.Linear(1, 1, bias=False)
        >>> averaged = optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 3.0):
        ...     _ = nn.init.constant_(model.weight, value)  # here an epoch of training
        ...     averaged.update_parameters(model)
        >>> averaged(at.ones(1, 1)).item(), list(averaged.state_dict())
        (2.0, ['n_averaged', 'module.weight'])

    Source:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018; EMA: Polyak and
        Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        both = avg_fn is not None and multi_avg_fn is not None
        require(not both, "AveragedModel", "both avg_fn and multi_avg_fn are given; expected one of them")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device=device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged network computes."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the present weights of the network into the average; the first time they are copied.

        Raises:
            ValueError: the network has other parameters or buffers than the copy; nothing was changed then.
        """
        pairs, buffers = self._pairs("parameters", model), self._pairs("buffers", model)
        if self.use_buffers:
            pairs, buffers = pairs + buffers, []
        if self.n_averaged.item() == 0:
            buffers += pairs
        elif self.multi_avg_fn is not None:
            for averages, values in alike(pairs):
                self.multi_avg_fn(averages, values, self.n_averaged)
        else:
            average = self.avg_fn or get_swa_avg_fn()
            for own, new in pairs:
                own.copy_(average(own, new, self.n_averaged))
        for own, new in buffers:
            own.copy_(new)
        self.n_averaged += 1

    def _pairs(self, kind: str, model: Module) -> list[tuple[Tensor, Tensor]]:
        """The parameters or buffers of the copy, each with the network's, detached and on the device of the copy."""
        own = [value.detach() for value in getattr(self.module, kind)()]
        new = [value.detach() for value in getattr(model, kind)()]
        shapes, expected = [v.shape for v in new], [v.shape for v in own]
        require(
            shapes == expected,
            "update_parameters",
            f"model has {kind} of shapes {shapes}; expected {expected}, as the network had that was copied",
        )
        return [(a, b.to(device=a.device)) for a, b in zip(own, new, strict=True)]


def alike(pairs: list[tuple[Tensor, Tensor]]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Pairs as two lists, for each dtype and device.

    Example:
        >>> [len(own) for own, new in alike([(at.ones(2), at.ones(2)), (at.ones(1), at.ones(1))])]
        [2]
    """
    found: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
    for own, new in pairs:
        lists = found.setdefault((own.dtype, own.device), ([], []))
        lists[0].append(own)
        lists[1].append(new)
    yield from found.values()


def get_swa_avg_fn() -> Average:
    """The average in which all count the same, for `AveragedModel`: ``w̄ + (w − w̄) / (n + 1)``. It is the default.

    Example:
        >>> optim.swa_utils.get_swa_avg_fn()(at.tensor(1.0), at.tensor(4.0), 2)
        tensor(2.)
    """

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average, for `AveragedModel`: ``decay · w̄ + (1 − decay) · w``.

    Args:
        decay: 0 to 1; an update fades to 1/e of its share after about ``1 / (1 − decay)`` more.
    Raises:
        TypeError, ValueError: decay is no number, or out of range.
    Example:
        >>> ema = optim.swa_utils.AveragedModel(nn.Linear(2, 2), avg_fn=optim.swa_utils.get_ema_avg_fn(0.99))
        >>> optim.swa_utils.get_ema_avg_fn(0.75)(at.tensor(1.0), at.tensor(5.0), 2)
        tensor(2.)
    """
    check_decay("get_ema_avg_fn", decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_multi_avg_fn() -> MultiAverage:
    """`get_swa_avg_fn` for lists of tensors, in place.

    Example:
        >>> w = at.tensor([1.0])
        >>> optim.swa_utils.get_swa_multi_avg_fn()([w], [at.tensor([4.0])], 2)
        >>> w
        tensor([2.])
    """
    return in_place(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """`get_ema_avg_fn` for lists of tensors, in place.

    Example:
        >>> w = at.tensor([1.0])
        >>> optim.swa_utils.get_ema_multi_avg_fn(0.75)([w], [at.tensor([5.0])], 2)
        >>> w
        tensor([2.])
    """
    check_decay("get_ema_multi_avg_fn", decay)
    return in_place(get_ema_avg_fn(decay))


def in_place(average: Average) -> MultiAverage:
    """A function of two tensors as one of two lists, the first of which it overwrites."""

    @no_grad()
    def update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged: Any) -> None:
        for own, new in zip(averaged_param_list, current_param_list, strict=True):
            own.copy_(average(own, new, num_averaged))

    return update


def check_decay(op: str, decay: Any) -> None:
    """Raises unless it is a number from 0 to 1."""
    check_range(op, decay=decay)
    require(decay <= 1, op, f"decay is {decay}; expected a number from 0 to 1")


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Computes batch-norm's running mean and variance anew: their averages over all batches of one pass.

    Averaged weights need it, whose statistics no network ever had in training.

    Args:
        loader: batches; of one that is a tuple or list, its first entry is the input.
        model: the network, `AveragedModel` or other; without batch-norm nothing is done.
        device: where to move the inputs, if anywhere.
    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(1))
        >>> optim.swa_utils.update_bn([at.tensor([[1.0], [3.0]]), at.tensor([[5.0], [7.0]])], model)
        >>> model[0].running_mean, model[0].running_var
        (tensor([4.]), tensor([2.]))
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    momenta, was_training = [layer.momentum for layer in layers], model.training
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # every batch counts the same
        model.train()
        for batch in loader:
            x = batch[0] if isinstance(batch, (tuple, list)) else batch
            model(x if device is None else x.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)
