"""What the tests of training share: two clouds of points, and a small network with everything that has a state."""

import os
import signal

import numpy as np

import atrous as at
from atrous import metrics, nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.nn.functional import cross_entropy
from atrous.training import Callback, Trainer
from atrous.training.saving import TIMES


def clouds(N=64, seed=0, **options):
    """Points around (−1, −1) and (1, 1), as a loader of batches of 16 (the last of 4 where N is 68)."""
    generator = at.Generator(seed)
    labels = np.arange(N) % 2
    points = (2.0 * labels[:, None] - 1 + 0.6 * generator.normal((N, 2))).astype(np.float32)
    dataset = TensorDataset(at.from_numpy(points), at.from_numpy(labels))
    return DataLoader(dataset, 16, shuffle=True, generator=at.Generator(seed, stream=1), **options)


def network():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.25), nn.Linear(8, 2))


def trainer(folder=None, seed=0, model=None, **options):
    at.manual_seed(seed)
    model = model or network()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    options.setdefault("scheduler", optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5))
    options.setdefault("metrics", {"accuracy": metrics.Accuracy()})
    return Trainer(model, optimizer, cross_entropy, folder=folder, **options)


make_trainer = trainer  # for tests that wrap it under its name


def fit(it, epochs, train=None, **options):
    return it.fit(clouds(68) if train is None else train, clouds(32, seed=5), epochs, progress=False, **options)


def bits(it):
    """All that must not depend on stops."""
    measured = [{k: v for k, v in row.items() if k not in TIMES} for row in it.history]
    weights = {name: value.numpy().tobytes() for name, value in it.model.state_dict().items()}
    best = {name: value.numpy().tobytes() for name, value in it.best_weights.items()}
    state = it.optimizer.state_dict()["state"]
    moments = [
        value.numpy().tobytes() for entry in state.values() for value in entry.values() if hasattr(value, "numpy")
    ]
    return measured, weights, best, moments, it.best["epoch"], at.get_rng_state()


class StopAt(Callback):
    """Ctrl-C after so many batches of the whole run."""

    def __init__(self, batch, hits=1):
        self.left, self.hits = batch, hits

    def on_batch(self, trainer, loss):
        self.left -= 1
        if self.left == 0:
            for _ in range(self.hits):
                os.kill(os.getpid(), signal.SIGINT)
