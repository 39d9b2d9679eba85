"""One whole training step of LeNet-5: forward, cross-entropy, backward, Adam."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import atrous as at
from atrous import models, optim
from atrous.nn import functional
from harness import Case, Outcome, normal, run
from peers import torch

TOLERANCE = 1e-5  # of the loss, and of the largest gradient of each parameter
RATE = 1e-6  # the same batch again and again: the weights hardly move, so that the work stays that of early training


def cases(quick: bool) -> Iterator[Case]:
    """A single image, where calls cost more than arithmetic, and a batch."""
    for batch in (1, 64):
        yield Case(f"LeNet-5, batch {batch}", "training step", batch, "images/s", TOLERANCE, partial(lenet5, batch))


def lenet5(batch: int) -> Outcome:
    """The truth is one step of the reference in float64; each competitor starts from the same weights."""
    images, labels = normal(batch, 1, 32, 32), np.random.default_rng(1).integers(0, 10, batch)
    at.manual_seed(0)
    weights = {name: tensor.numpy() for name, tensor in models.lenet5().state_dict().items()}

    def ours(dtype: Any) -> Callable[[], Any]:
        model = models.lenet5().to(dtype)
        model.load_state_dict(weights)
        adam = optim.Adam(model.parameters(), lr=RATE)
        return step(model, adam, functional.cross_entropy, at.tensor(images, dtype=dtype), at.tensor(labels))

    on_reference = at.backend("reference")  # as a decorator
    calls = {"atrous": ours(at.float32), "reference": on_reference(ours(at.float32))}
    if torch() is not None:
        calls["pytorch nchw"] = torch_step(weights, images, labels, torch().contiguous_format)
        calls["pytorch channels-last"] = torch_step(weights, images, labels, torch().channels_last)
    return on_reference(ours(at.float64))(), calls


def step(model: Any, adam: Any, cross_entropy: Callable[..., Any], x: Any, labels: Any) -> Callable[[], Any]:
    """A training step, in the same lines for both libraries. It returns the loss and all gradients."""
    parameters = list(model.parameters())

    def call() -> list[Any]:
        adam.zero_grad()
        loss = cross_entropy(model(x), labels)
        loss.backward()
        adam.step()
        return [loss.item(), *(parameter.grad for parameter in parameters)]

    return call


def torch_step(weights: dict[str, Any], images: Any, labels: Any, layout: Any) -> Callable[[], Any]:
    """PyTorch with its fused Adam."""
    nn = torch().nn

    class LeNet5(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
            self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.relu(self.conv1(x)))
            x = self.pool(self.relu(self.conv2(x)))
            x = self.relu(self.fc1(x.flatten(1)))
            return self.fc3(self.relu(self.fc2(x)))

    model = LeNet5().to(memory_format=layout)
    model.load_state_dict({name: torch().tensor(array) for name, array in weights.items()})
    adam = torch().optim.Adam(model.parameters(), lr=RATE, fused=True)
    x = torch().tensor(images).contiguous(memory_format=layout)
    return step(model, adam, nn.functional.cross_entropy, x, torch().tensor(labels))


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
