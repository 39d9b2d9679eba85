"""Several networks in place of one: their averaged answer, bagging, and snapshots of one training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import require
from ..data import bootstrap
from ..nn import Module, ModuleList
from ..nn.functional import log_softmax
from ..ops import logsumexp, stack
from ..random import Generator, using
from ..tensor import Tensor
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer


class Ensemble(Module):
    """Networks whose probabilities are averaged: ``log(Σ_m softmax(x_m) / M)``, which serve as logits anywhere.

    Args:
        models: M networks with the same classes along axis 1 of their logits.
    Raises:
        ValueError: there are none.
    Example:
        >>> ensemble = Ensemble([nn.Linear(4, 3), nn.Linear(4, 3)])
        >>> x = at.ones(2, 4)
        >>> p = [F.softmax(model(x), dim=1) for model in ensemble.models]
        >>> at.allclose(ensemble(x).exp(), (p[0] + p[1]) / 2)
        True

    Source:
        Hansen and Salamon, Neural network ensembles, 1990.
    """

    def __init__(self, models: Iterable[Module]) -> None:
        super().__init__()
        self.models = ModuleList(models)
        require(len(self.models) > 0, "Ensemble", "there are no models")

    def forward(self, *args: Any) -> Tensor:
        """Logarithms of the averaged probabilities, of the shape that each network gives."""
        answers = stack([log_softmax(model(*args), 1) for model in self.models])
        return logsumexp(answers, 0) - math.log(len(self.models))


def bagging(train: Callable[[np.ndarray], Module], samples: int, members: int, seed: int = 0) -> Ensemble:
    """Trains each network on as many samples as there are, drawn with replacement; about 63 % of them are in each draw.

    Args:
        train: makes and trains a network on the samples of these indices (int64). What it draws from the default
            generator depends on the seed and the member alone.
        samples: how many there are.
        members: how many networks.
        seed: chooses all.
    Raises:
        ValueError: samples or members is below 1.
    Example:
        >>> drawn = []
        >>> ensemble = bagging(lambda indices: drawn.append(indices) or nn.Linear(2, 2), samples=100, members=3)
        >>> [0.5 < len(np.unique(indices)) / 100 < 0.75 for indices in drawn]
        [True, True, True]

    Source:
        Breiman, Bagging predictors, 1996.
    """
    require(samples >= 1 and members >= 1, "bagging", f"samples is {samples}, members {members}; expected 1 or more")
    models = []
    for member, (drawn, _) in enumerate(bootstrap(range(samples), members, seed)):
        with using(Generator(seed, stream=(1 << 32) + member)):  # other numbers than those that drew
            models.append(train(drawn))
    return Ensemble(models)


class Snapshots(Callback):
    """Keeps the weights at the end of each round of a cyclic schedule: an ensemble for the price of one training.

    To be used with ``CosineAnnealingWarmRestarts(optimizer, T_0=length)``, whose rate is near 0 at the end of a round.
    A checkpoint holds the snapshots, too.

    Args:
        length: epochs of a round.
    Raises:
        ValueError: length is below 1.
    Example:
        >>> from atrous.training import Trainer
        >>> model, batches = nn.Linear(2, 2), [(at.randn(4, 2), at.tensor([0, 1, 0, 1]))]
        >>> optimizer, snapshots = optim.SGD(model.parameters(), lr=0.1), Snapshots(length=2)
        >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        >>> trainer = Trainer(model, optimizer, F.cross_entropy, scheduler=schedule, callbacks=[snapshots])
        >>> _ = trainer.fit(batches, epochs=6, progress=False)
        >>> len(snapshots.ensemble(model).models)
        3

    Source:
        Huang et al., Snapshot ensembles: train 1, get M for free, 2017 (arXiv 1704.00109).
    """

    def __init__(self, length: int) -> None:
        require(length >= 1, "Snapshots", f"length is {length}; expected 1 or more epochs")
        self.length = length
        self.weights: list[dict[str, Tensor]] = []

    def on_epoch(self, trainer: Trainer, row: dict[str, Any]) -> None:
        if trainer.epoch % self.length == 0:
            self.weights.append({name: value.clone() for name, value in trainer.model.state_dict().items()})

    def ensemble(self, model: Module, last: int | None = None) -> Ensemble:
        """Copies of the model with the weights of the last so many snapshots, or of all.

        Raises:
            ValueError: there are no snapshots.
        """
        require(self.weights, "Snapshots", "there are no snapshots; no round was finished")
        require(last is None or last >= 1, "Snapshots", f"last is {last}; expected 1 or more")
        models = []
        for weights in self.weights[-(last or 0) :]:
            models.append(copy.deepcopy(model))
            models[-1].load_state_dict(weights)
        return Ensemble(models)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = list(state["weights"])
