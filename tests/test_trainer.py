"""The Trainer: what it measures, its steps, where it stops, and how it is used wrongly."""

import re
import sys
import time

import numpy as np
import pytest
from toy_training import clouds, fit, trainer

import atrous as at
from atrous import metrics, nn, optim
from atrous.data import DataLoader, Dataset, TensorDataset
from atrous.nn.functional import cross_entropy
from atrous.training import Callback, EarlyStopping, TensorBoard, Trainer, evaluate
from atrous.training.saving import TIMES

# -- what it measures -------------------------------------------------------------------------------------------------


def test_it_learns_and_says_what_it_measured():
    it = trainer()
    history = fit(it, 5)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]
    assert list(history[0]) == [
        "epoch", "train_loss", "validation_loss", "validation_accuracy", "lr", *TIMES,
    ]  # fmt: skip
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["validation_accuracy"] > history[0]["validation_accuracy"]
    assert [row["lr"] for row in history] == [0.01, 0.01, 0.005, 0.005, 0.0025]
    assert it.best is min(history, key=lambda row: row["validation_loss"])
    assert history is it.history


def test_the_training_loss_is_the_mean_over_samples_not_over_batches():
    model = nn.Linear(1, 2)
    with at.no_grad():
        model.weight.copy_(at.tensor([[0.0], [1.0]]))
        model.bias.copy_(at.zeros(2))
    x, labels = at.tensor([[0.0], [0.0], [3.0]]), at.tensor([0, 0, 0])
    it = Trainer(model, optim.SGD(model.parameters(), lr=1e-9), cross_entropy)
    (row,) = it.fit(DataLoader(TensorDataset(x, labels), 2), progress=False)  # batches of 2 and 1
    assert row["train_loss"] == pytest.approx((2 * np.log(2) + np.log(1 + np.exp(3))) / 3, rel=1e-6)
    assert it.best is row  # without validation the training loss decides


def test_evaluate_by_hand_and_leaves_mode_and_random_numbers():
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity())
    x = at.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])  # logits, if dropout is off
    labels = at.tensor([0, 1, 0])
    model.train()
    at.manual_seed(3)
    seen = evaluate(
        model,
        cross_entropy,
        DataLoader(TensorDataset(x, labels), 2, shuffle=True),
        {"accuracy": metrics.Accuracy(), "half": lambda output, target: 0.5},
    )
    right, wrong = np.log(1 + np.exp(-2)), np.log(1 + np.exp(2))
    assert seen["loss"] == pytest.approx((2 * right + wrong) / 3, rel=1e-6)
    assert seen["accuracy"] == pytest.approx(2 / 3)
    assert seen["half"] == 0.5
    assert model.training
    assert at.get_rng_state() == {"seed": 3, "stream": 0, "offset": 0}


def test_whether_there_is_validation_does_not_change_the_training():
    weights = []
    for validation in (None, clouds(32, seed=5), DataLoader(clouds(32).dataset, 8, shuffle=True)):
        it = trainer(metrics={})
        it.fit(clouds(68), validation, 2, progress=False)
        weights.append({name: value.numpy().tobytes() for name, value in it.model.state_dict().items()})
    assert weights[0] == weights[1] == weights[2]


def test_a_monitored_metric_and_its_mode():
    it = trainer(monitor="validation_accuracy", mode="max")
    fit(it, 4)
    assert it.best["validation_accuracy"] == max(row["validation_accuracy"] for row in it.history)
    first = next(row for row in it.history if row["validation_accuracy"] == it.best["validation_accuracy"])
    assert it.best is first
    it.load_best()
    assert evaluate(it.model, cross_entropy, clouds(32, seed=5))["loss"] == pytest.approx(
        first["validation_loss"], rel=1e-5
    )


def test_batches_of_another_form():
    class Named(Trainer):
        def forward(self, batch):
            return self.model(batch["points"]), batch["classes"]

    model = nn.Linear(2, 2)
    it = Named(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy)
    history = it.fit([{"points": at.ones(4, 2), "classes": at.tensor([0, 1, 1, 1])}], epochs=2, progress=False)
    assert history[1]["train_loss"] < history[0]["train_loss"]


# -- accumulation, clipping, schedules --------------------------------------------------------------------------------


def test_accumulated_batches_give_the_gradient_of_the_whole(monkeypatch):
    """A step on batches of 3 and 1 is the step on the batch of 4."""
    x, labels = at.tensor([[1.0, 0.5], [-1.0, 2.0], [0.3, 0.1], [2.0, -1.0]]), at.tensor([0, 1, 1, 0])
    dataset = TensorDataset(x, labels)
    weights = []
    for batch_size, accumulate in ((4, 1), (3, 2)):
        at.manual_seed(0)
        model = nn.Linear(2, 2)
        it = Trainer(model, optim.SGD(model.parameters(), lr=0.5), cross_entropy, accumulate=accumulate)
        it.fit(DataLoader(dataset, batch_size), epochs=3, progress=False)
        weights.append(model.weight.detach().numpy())
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-5)


def test_what_is_left_at_the_end_of_an_epoch_is_a_step_of_its_own():
    class Counting(optim.SGD):
        steps = 0

        def step(self, closure=None):
            self.steps += 1
            return super().step(closure)

    model = nn.Linear(2, 2)
    optimizer = Counting(model.parameters(), lr=0.1)
    Trainer(model, optimizer, cross_entropy, accumulate=3).fit(clouds(64), epochs=1, progress=False)  # 4 batches
    assert optimizer.steps == 2


def test_gradients_are_clipped_to_their_norm():
    model = nn.Linear(1, 1, bias=False)
    with at.no_grad():
        model.weight.fill_(0.0)
    it = Trainer(model, optim.SGD(model.parameters(), lr=1.0), lambda y, t: ((y - t) ** 2).mean(), clip_grad_norm=0.25)
    it.fit([(at.tensor([[1.0]]), at.tensor([[10.0]]))], epochs=1, progress=False)
    assert model.weight.item() == pytest.approx(0.25, rel=1e-5)  # the gradient was −20


def test_a_schedule_by_batches():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    it = Trainer(model, optimizer, cross_entropy, scheduler=scheduler, schedule_batches=True)
    it.fit(clouds(64), epochs=2, progress=False)  # 4 steps an epoch
    assert [row["lr"] for row in it.history] == [1 / 5, 1 / 9]


def test_reduce_on_plateau_sees_the_monitored_number():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.5)
    it = Trainer(model, optimizer, cross_entropy, scheduler=scheduler)
    it.fit(clouds(64), epochs=4, progress=False)
    assert [row["lr"] for row in it.history] == [1e-6, 1e-6, 5e-7, 2.5e-7]


# -- stopping ---------------------------------------------------------------------------------------------------------


class Scripted(Trainer):
    """Validation losses as given."""

    losses = ()

    def _measured(self, validation):
        return {"loss": self.losses[self.epoch]}


def test_early_stopping_counts_epochs_without_improvement():
    model = nn.Linear(2, 2)
    options = {"callbacks": [EarlyStopping(patience=2, min_delta=0.05)]}
    it = Scripted(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy, **options)
    it.losses = (1.0, 0.9, 0.88, 0.84, 0.83, 0.82, 0.1)  # 0.88 is no improvement by 0.05, 0.84 is, then none
    it.fit(clouds(16), clouds(16), 7, progress=False)
    assert len(it.history) == 6
    assert it.stop_reason == "no better validation loss for 2 epochs"
    it.fit(clouds(16), clouds(16), 7, progress=False)
    assert len(it.history) == 6  # a run that had stopped stays so


def test_callbacks_see_the_moments_in_order():
    seen = []

    class Note(Callback):
        def on_fit_begin(self, trainer, epochs, batches):
            seen.append(("begin", epochs, batches))

        def on_batch(self, trainer, loss):
            seen.append(("batch", trainer.epoch, trainer.batches))

        def on_epoch(self, trainer, row):
            seen.append(("epoch", row["epoch"]))
            trainer.stop("seen enough")

        def on_fit_end(self, trainer):
            seen.append(("end", trainer.stop_reason))

    fit(trainer(callbacks=[Note()]), 3, clouds(32))
    assert seen == [("begin", 3, 2), ("batch", 0, 1), ("batch", 0, 2), ("epoch", 1), ("end", "seen enough")]


def test_callbacks_end_after_an_error_too():
    ended = []

    class Bad(Callback):
        def on_batch(self, trainer, loss):
            raise OSError("no such thing")

        def on_fit_end(self, trainer):
            ended.append(trainer.epoch)

    with pytest.raises(OSError, match="no such thing"):
        fit(trainer(callbacks=[Bad()]), 1)
    assert ended == [0]


# -- going on ---------------------------------------------------------------------------------------------------------


def test_waiting_for_batches_is_measured():
    class Slow(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            time.sleep(0.05)
            return at.ones(2), index % 2

    model = nn.Linear(2, 2)
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy)
    (row,) = it.fit(DataLoader(Slow(), 2), progress=False)
    assert 0.5 < row["waiting"] <= 1


# -- files ------------------------------------------------------------------------------------------------------------


def test_tensorboard_gets_each_epochs_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    fit(trainer(callbacks=[TensorBoard(tmp_path / "events")]), 2)
    (file,) = (tmp_path / "events").iterdir()
    content = file.read_bytes()
    assert all(content.count(name) == 2 for name in (b"train/loss", b"validation/loss", b"validation/accuracy"))


def test_tensorboard_is_an_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"TensorBoard needs tensorboardX .*: pip install 'atrous\[tensorboard\]'"):
        TensorBoard(tmp_path)


# -- what others do meanwhile -----------------------------------------------------------------------------------------


def test_the_monitored_number_may_change_from_fit_to_fit():
    it = trainer(metrics={})
    it.fit(clouds(64), epochs=1, progress=False)  # the training loss decides
    it.fit(clouds(64), clouds(32), 2, progress=False)  # from here on the validation loss
    assert it.best is it.history[1]
    it.fit(clouds(64), epochs=3, progress=False)
    assert [row["epoch"] for row in it.history] == [1, 2, 3]


def test_a_stream_without_a_length():
    class Stream(at.data.IterableDataset):
        def __iter__(self):
            return iter([(at.ones(2) * i, i % 2) for i in range(10)])

    history = fit(trainer(), 2, DataLoader(Stream(), 4))
    assert len(history) == 2


def test_frozen_layers_stay_in_their_mode():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    model.train()
    model[0].eval()
    evaluate(model, cross_entropy, clouds(16))
    assert [module.training for module in model.modules()] == [True, False, True]


def test_an_error_at_the_end_of_a_fit_leaves_the_callbacks_as_they_were():
    class Bad(Callback):
        def on_fit_end(self, trainer):
            raise OSError("no end")

    it = trainer(callbacks=[Bad()])
    with pytest.raises(OSError, match="no end"):
        it.fit(clouds(), epochs=1)
    assert [type(callback) for callback in it.callbacks] == [Bad]


# -- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "Trainer: accumulate is 0; expected 1 or more"),
        ({"mode": "least"}, "Trainer: mode is 'least'; expected 'min' or 'max'"),
        ({"clip_grad_norm": 0}, "Trainer: clip_grad_norm is 0; expected above 0"),
        ({"save_every": -1}, "Trainer: save_every is -1; expected 0 seconds or more"),
        ({"metrics": {"loss": metrics.Accuracy()}}, "a metric is called 'loss', which is the loss function's name"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer(**options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda it: it.fit(clouds(), epochs=1, resume=True), ValueError, "resume=True needs a Trainer with a folder"),
        (lambda it: it.fit(clouds(), epochs=-1), ValueError, "epochs is -1; expected 0 or more"),
        (lambda it: it.fit([], epochs=1, progress=False), ValueError, "the training data holds no batches"),
        (lambda it: it.fit(clouds(), [], 1, progress=False), ValueError, "evaluate: there are no batches"),
        (lambda it: it.load_best(), ValueError, "no epoch is done yet"),
        (lambda it: EarlyStopping(0), ValueError, "EarlyStopping: patience is 0"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(trainer())


def test_a_monitored_number_that_does_not_exist():
    with pytest.raises(
        ValueError, match=r"there is no 'validation_acuracy' to monitor; an epoch measures .*validation_accuracy"
    ):
        fit(trainer(monitor="validation_acuracy"), 1)


def test_a_metric_that_is_none():
    with pytest.raises(TypeError, match="a metric is a str; expected a function, or update"):
        trainer(metrics={"accuracy": "accuracy"})
