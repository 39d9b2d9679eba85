"""The diagnosis of learning curves, each name on a real run that was made to fail in that way."""

import functools

import numpy as np
import pytest

import atrous as at
from atrous import datasets, nn, optim
from atrous.diagnostics import diagnose
from atrous.diagnostics.curves import NAMES
from atrous.nn import functional as F


@functools.cache
def digits():
    images, labels = datasets.digits()
    x = (images.reshape(len(images), 64) / 8 - 1).astype(np.float32)
    return at.from_numpy(x), at.from_numpy(labels)


def network(hidden=32):
    at.manual_seed(0)
    return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def run(
    epochs=12,
    samples=600,
    model=None,
    lr=0.1,
    rate_of=lambda epoch: 1.0,
    target=lambda labels: labels,
    loss_fn=lambda model, output, target: F.cross_entropy(output, target),
):
    """A training by SGD with momentum, in batches of 50; its history in the form of `Trainer.history`."""
    x, labels = digits()
    model = model or network()
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    train_target, history = target(labels[:samples]), []
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr * rate_of(epoch)
        total = 0.0
        for start in range(0, samples, 50):
            batch = slice(start, start + 50)
            loss = loss_fn(model, model(x[batch]), train_target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * 50 / samples
        with at.no_grad():
            output = model(x[1000:])
            row = {
                "train_loss": total,
                "validation_loss": loss_fn(model, output, labels[1000:]).item(),
                "validation_accuracy": (output.argmax(1) == labels[1000:]).float().mean().item(),
            }
        history.append({"epoch": epoch + 1, **row})
    return history


def zeros():
    """All weights alike, so that all hidden units stay alike: and 0, so that nothing passes."""
    model = network()
    for p in model.parameters():
        p.detach().zero_()
    return model


def noisy(labels):
    """Every third label is another digit's."""
    wrong = at.arange(len(labels)) % 3 == 0
    return at.where(wrong, (labels + 3) % 10, labels)


def trained():
    model = network()
    run(6, model=model)
    return model


def penalised(model, output, target):
    """With a penalty so large that in the end the weights matter and the answers do not."""
    return F.cross_entropy(output, target) + 0.22 * sum((p * p).sum() for p in model.parameters())


RUNS = {  # what is to be found: how to train
    (): lambda: run(),
    ("no better than random",): lambda: run(model=zeros()),
    ("diverging",): lambda: run(rate_of=lambda epoch: 2.0**epoch),
    ("sudden spike",): lambda: run(rate_of=lambda epoch: 6.0 if epoch == 5 else 1.0),
    ("under-fitting",): lambda: run(8, lr=1e-3),
    ("plateau", "under-fitting"): lambda: run(lr=0.05, rate_of=lambda epoch: 1.0 if epoch < 1 else 0.0),
    ("over-fitting",): lambda: run(30, samples=150, target=noisy),
    ("under-fitting", "loss and accuracy both falling"): lambda: run(lr=0.005, model=trained(), loss_fn=penalised),
}


@pytest.mark.parametrize("names", RUNS, ids=" and ".join)
def test_a_run_that_fails_this_way(names):
    found = diagnose(RUNS[names](), num_classes=10)
    assert tuple(found) == names, found
    assert all(found.values())


def test_every_name_has_its_run():
    assert {name for names in RUNS for name in names} == set(NAMES)


def test_a_rate_that_is_absurd_from_the_start():
    assert tuple(diagnose(run(6, lr=1e6), num_classes=10)) == ("diverging",)


def rows(train, validation=None, accuracy=None):
    columns = {"train_loss": train, "validation_loss": validation, "validation_accuracy": accuracy}
    return [{k: v[i] for k, v in columns.items() if v is not None} for i in range(len(train))]


def test_the_training_loss_alone_is_enough():
    assert diagnose(rows([2.0, 1.0, 0.5, 0.2]), 10) == {}
    assert tuple(diagnose(rows([2.0, 1.0, float("nan"), float("nan")]), 10)) == ("diverging",)
    assert "nan in row 3" in diagnose(rows([2.0, 1.0, float("nan"), 1.0]), 10)["diverging"]
    assert tuple(diagnose(rows([2.3] * 6), 10)) == ("no better than random",)
    assert tuple(diagnose(rows([0.69] * 6), 2)) == ("no better than random",)
    assert "no better than random" not in diagnose(rows([0.69] * 6), 10)


def test_a_plateau_that_ends():
    """A saddle: nothing for a while, then the loss falls after all."""
    train = [2.3, 2.0, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9, 0.8, 0.3, 0.1, 0.05]
    assert tuple(diagnose(rows(train), 10)) == ("plateau",)


def test_noise_around_a_low_loss_is_no_finding():
    train = 0.02 + 0.01 * np.abs(np.sin(np.arange(30)))
    train[:4] = [2.0, 1.0, 0.3, 0.1]
    assert diagnose(rows(train, train + 0.1, 1 - train / 2), 10) == {}


@pytest.mark.parametrize(
    ("history", "num_classes", "message"),
    [
        (rows([1.0, 1.0, 1.0]), 10, "history has 3 rows; expected 4 or more"),
        (rows([1.0] * 4), 1, "num_classes is 1; expected 2 or more"),
        ([{"loss": 1.0}] * 4, 10, "history has rows without 'train_loss'"),
    ],
)
def test_bad_input(history, num_classes, message):
    with pytest.raises(ValueError, match=message):
        diagnose(history, num_classes)
