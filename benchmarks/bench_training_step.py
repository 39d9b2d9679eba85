"""One whole training step of a network: forward, cross-entropy, backward, Adam."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import atrous as at
from atrous import optim
from atrous.nn import functional
from harness import Case, Outcome, run
from networks import NETWORKS, QUICK_NETWORKS, Network, compiled_or_none, lenet5, ours, theirs, variants
from peers import torch

# Of the loss, and of the norm of each parameter's gradient. Where a sum falls on the other side of a relu's or a
# max-pool's corner in float32, a gradient changes by a whole term: deep ones are 1 % off in any library, the loss 1e-7.
TOLERANCE, DEEP = 1e-5, 5e-2
RATE = 1e-6  # the same batch again and again: the weights hardly move, so that the work stays that of early training


def cases(quick: bool) -> Iterator[Case]:
    """The short run leaves torch.compile out, which takes a minute a network."""
    for network in QUICK_NETWORKS if quick else NETWORKS:
        tolerance = TOLERANCE if network.make is lenet5 else DEEP
        setup = partial(training_step, network, compiled=not quick)
        yield Case(network.name, "training step", network.batch, "images/s", tolerance, setup, "training", by_norm=True)


def training_step(network: Network, compiled: bool) -> Outcome:
    """The truth is one step in float64, on our kernels: PyTorch has to agree with it too."""

    def atrous(dtype: Any) -> Callable[[], Any]:
        model, x, labels = ours(network, dtype)
        return step(model, optim.Adam(model.parameters(), lr=RATE), functional.cross_entropy, x, labels)

    calls = {"atrous": atrous(at.float32)}
    if network.make is lenet5:
        calls["reference"] = at.backend("reference")(atrous(at.float32))
    for name, layout, fast in variants(compiled):
        model, x, labels = theirs(network, layout)
        adam = torch().optim.Adam(model.parameters(), lr=RATE, fused=True)
        cross_entropy = torch().nn.functional.cross_entropy
        if fast:
            warm_up = partial(_forward_backward, cross_entropy=cross_entropy, x=x, labels=labels)
            model = compiled_or_none(name, model, warm_up)
        if model is not None:
            calls[name] = step(model, adam, cross_entropy, x, labels)
    return lambda: atrous(at.float64)(), calls


def step(model: Any, adam: Any, cross_entropy: Callable[..., Any], x: Any, labels: Any) -> Callable[[], Any]:
    """A training step, in the same lines for both libraries. It returns the loss and all gradients."""
    parameters = list(model.parameters())

    def call() -> list[Any]:
        adam.zero_grad()
        loss = _forward_backward(model, cross_entropy, x, labels)
        adam.step()
        return [loss.item(), *(parameter.grad for parameter in parameters)]

    return call


def _forward_backward(model: Any, cross_entropy: Callable[..., Any], x: Any, labels: Any) -> Any:
    loss = cross_entropy(model(x), labels)
    loss.backward()
    return loss


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
