"""What a network is worth on data that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .. import gpu
from ..checks import require
from ..grad_mode import no_grad
from ..metrics import Mean
from ..nn import Module
from ..random import Generator, get_rng_state, using
from ..tensor import Tensor


def evaluate(
    model: Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    batches: Iterable[Any],
    metrics: Mapping[str, Any] | None = None,
    forward: Callable[[Any], tuple[Tensor, Tensor]] | None = None,
    on_batch: Callable[[], None] | None = None,
) -> dict[str, float]:
    """The mean loss and the metrics on a data set, in eval mode and without gradients.

    The model's mode and the default generator are left as they were, so that looking does not change the training.

    Args:
        model: maps inputs to an output.
        loss_fn: mean loss of (output, target).
        batches: of (inputs, target).
        metrics: by name, as `Trainer` takes them.
        forward: computes (output, target) of a batch of another form.
        on_batch: called after each batch.
    Returns:
        ``{"loss": ..., name: ...}``.
    Raises:
        ValueError: there are no batches.
    Example:
        >>> batches = [(at.tensor([[2.0, 0.0], [0.0, 2.0]]), at.tensor([0, 0]))]
        >>> evaluate(nn.Identity(), F.cross_entropy, batches, {"accuracy": at.metrics.Accuracy()})["accuracy"]
        0.5
    """
    loss = Mean()
    measured = {name: as_metric(metric) for name, metric in (metrics or {}).items()}
    for metric in measured.values():
        metric.reset()
    samples = 0
    with evaluating(model), using(generator_at(get_rng_state())):
        for batch in batches:
            if forward:
                output, target = forward(batch)
            else:
                inputs, target = on_device_of(model, batch)
                output = model(inputs)
            loss.update(loss_fn(output, target).item(), len(output))
            samples += len(output)
            for metric in measured.values():
                metric.update(output, target)
            if on_batch:
                on_batch()
    require(samples > 0, "evaluate", "there are no batches")
    return {"loss": loss.compute(), **{name: float(metric.compute()) for name, metric in measured.items()}}


def on_device_of(model: Module, batch: Any) -> tuple[Any, Any]:
    """A batch's inputs and target where the model's parameters are, if these are tensors."""
    inputs, target = batch
    if gpu.kernels is None:
        return inputs, target
    device = next((parameter.device for parameter in model.parameters()), "cpu")
    inputs, target = (
        part.to(device, non_blocking=True) if isinstance(part, Tensor) else part for part in (inputs, target)
    )
    return inputs, target


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Inside, the model is in eval mode and nothing is recorded; then each layer has its own mode back.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.ReLU())
        >>> with evaluating(model):
        ...     model[0].training
        False
        >>> model[0].training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


class Averaged:
    """A function of (output, target) as a metric: its mean over the samples."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any]) -> None:
        self.function, self.mean = function, Mean()

    def reset(self) -> None:
        self.mean.reset()

    def update(self, output: Tensor, target: Tensor) -> None:
        self.mean.update(float(self.function(output, target)), len(output))

    def compute(self) -> float:
        return self.mean.compute()


def as_metric(metric: Any) -> Any:
    """A metric object as it is, a function as its mean over the samples."""
    if all(hasattr(metric, name) for name in ("update", "compute", "reset")):
        return metric
    if callable(metric):
        return Averaged(metric)
    raise TypeError(
        f"evaluate: a metric is a {type(metric).__name__}; expected a function, or update(), compute() and reset()"
    )


def generator_at(state: dict[str, int]) -> Generator:
    """A generator of its own in the given state."""
    generator = Generator(0)
    generator.set_state(state)
    return generator
