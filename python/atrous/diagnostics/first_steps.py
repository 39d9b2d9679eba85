"""Two checks before a long run: is the first loss that of chance, and can a few samples be learned by heart?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..checks import require
from ..grad_mode import no_grad
from ..nn import Module
from ..nn import functional as F
from ..nn.observe import unchanged
from ..optim.optimizer import Optimizer
from ..tensor import Tensor
from .restore import restored

Loss = Callable[[Tensor, Tensor], Tensor]


class InitialLoss(NamedTuple):
    """The loss before training, and ``log C``, that of guessing among C classes."""

    loss: float
    expected: float

    @property
    def plausible(self) -> bool:
        """Whether the two agree within a tenth of the expected one."""
        return abs(self.loss - self.expected) <= 0.1 * self.expected


def check_initial_loss(model: Module, inputs: Tensor, target: Tensor, loss_fn: Loss = F.cross_entropy) -> InitialLoss:
    """Compares the loss of a network that has learned nothing with ``log C``.

    Above it, the network is sure of wrong answers: weights or inputs are too large. A loss that includes a penalty on
    the weights must be above it, and above the loss without the penalty; if it is not, the penalty is not in it.

    Args:
        model: the network, fresh; it is left as it is.
        inputs, target: a batch with all classes.
        loss_fn: mean loss of (output, target); the axis after the batch's is that of the C classes.
    Raises:
        ValueError: the output has no classes.
    Example:
        >>> check_initial_loss(nn.Linear(4, 10), 0.1 * at.randn(64, 4), at.arange(64) % 10).plausible
        True

    Source:
        Karpathy, CS231n Convolutional Neural Networks for Visual Recognition, "Neural Networks Part 3", 2015.
    """
    with unchanged(model), no_grad():
        output = model(inputs)
        loss = loss_fn(output, target).item()
    require(output.ndim > 1, "check_initial_loss", f"the output has shape {output.shape}; expected (N, C, ...)")
    return InitialLoss(loss, math.log(output.shape[1]))


class TinyBatch(NamedTuple):
    """The losses of each step on a few samples; ``learned`` if the last is below a twentieth of the first."""

    losses: list[float]

    @property
    def learned(self) -> bool:
        return self.losses[-1] < 0.05 * self.losses[0]


def overfit_batch(
    model: Module,
    optimizer: Optimizer,
    inputs: Tensor,
    target: Tensor,
    loss_fn: Loss = F.cross_entropy,
    steps: int = 100,
) -> TinyBatch:
    """Trains on a few samples only: a network, a loss and an optimizer that fit together learn them by heart.

    If the loss does not come near 0, something is wrong that more data will not mend. Everything is left as it was.

    Args:
        model, optimizer: as for a real run; better without dropout and penalties.
        inputs, target: a few samples, such as 4 to 32.
        loss_fn: mean loss of (output, target).
        steps: how often the optimizer steps.
    Raises:
        ValueError: no steps.
    Example:
        >>> model = nn.Linear(8, 3)
        >>> x, t = at.randn(4, 8), at.tensor([0, 1, 2, 0])
        >>> overfit_batch(model, optim.Adam(model.parameters(), lr=0.1), x, t).learned
        True

    Source:
        Karpathy, CS231n Convolutional Neural Networks for Visual Recognition, "Neural Networks Part 3", 2015.
    """
    require(steps >= 1, "overfit_batch", f"steps is {steps}; expected 1 or more")
    losses = []
    with restored(model, optimizer):
        model.train()
        for _ in range(steps):
            loss = loss_fn(model(inputs), target)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with no_grad():
            losses.append(loss_fn(model(inputs), target).item())
    return TinyBatch(losses)
