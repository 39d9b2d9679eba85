"""The Trainer: what it measures, where it stops, and that stops leave no trace in the bits."""

import csv
import json
import math
import os
import re
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import metrics, nn, optim
from atrous.data import DataLoader, Dataset, TensorDataset
from atrous.nn.functional import cross_entropy
from atrous.training import Callback, EarlyStopping, NonFiniteLoss, TensorBoard, Trainer, evaluate
from atrous.training.checkpoint import load_checkpoint, save_checkpoint
from atrous.training.run_folder import RunFolder
from atrous.training.saving import TIMES

# -- two clouds of points, a small network with everything that has a state -------------------------------------------


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


make_trainer = trainer


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


# -- a loss that is no number -----------------------------------------------------------------------------------------


def bad_run(model, x, labels, **options):
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), options.pop("loss_fn", cross_entropy), **options)
    loader = DataLoader(TensorDataset(at.tensor(x), at.tensor(labels)), 4, shuffle=True, generator=at.Generator(1))
    with pytest.raises(NonFiniteLoss) as caught:
        it.fit(loader, epochs=2, progress=False)
    return caught.value


def test_a_bad_input_names_its_sample():
    x = np.ones((12, 2), np.float32)
    x[7, 1] = np.nan
    error = bad_run(nn.Linear(2, 2), x, [0] * 12)
    assert re.search(
        r"the loss became nan in epoch 1, batch \d: the input of the network is not finite for sample 7 of", str(error)
    )
    assert (error.layer, error.samples) == (None, [7])


def test_an_overflow_names_the_layer_and_the_sample():
    class Exp(nn.Module):
        def forward(self, x):
            return x.exp()

    x = np.ones((12, 2), np.float32)
    x[9] = 200.0
    model = nn.Sequential(nn.Identity(), Exp(), nn.Linear(2, 2))
    error = bad_run(model, x, [0] * 12)
    assert "layer 1 (Exp) gave a value that is not finite for sample 9 of the data set" in str(error)
    assert (error.layer, error.samples) == ("1", [9])


def test_the_diagnosis_draws_the_same_dropout_and_leaves_the_buffers():
    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    at.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), Log())
    x = np.full((4, 2), 3.0, np.float32)
    before = {}

    class Keep(Callback):
        def on_fit_begin(self, trainer, epochs, batches):
            before.update({name: value.clone() for name, value in trainer.model.state_dict().items()})

    error = bad_run(model, x, [0] * 4, callbacks=[Keep()])
    assert error.layer == "2"
    assert model[0].num_batches_tracked.item() == 1  # the failed pass itself, not the second look
    assert before["0.num_batches_tracked"].item() == 0


def test_a_bad_target_is_the_loss_functions():
    error = bad_run(
        nn.Linear(2, 1), np.ones((4, 2), np.float32), np.array([[1.0], [np.inf], [1.0], [1.0]], np.float32),
        loss_fn=lambda y, t: ((y - t) ** 2).mean(),
    )  # fmt: skip
    assert "the network's output is finite, the loss function's value is not, for sample 1 of the data set" in str(
        error
    )


def test_weights_that_ran_away_are_named():
    class Spoil(Callback):
        def on_batch(self, trainer, loss):
            with at.no_grad():
                trainer.model[4].weight.fill_(float("nan"))

    with pytest.raises(
        NonFiniteLoss,
        match=r"batch 2: 4.weight is no longer finite since the step before, on samples (\d+, )+\d+ and 8 more",
    ) as e:
        fit(trainer(callbacks=[Spoil()]), 1)
    assert e.value.layer == "4"


def test_no_step_is_taken_and_a_plain_list_gives_places_in_the_batch():
    model = nn.Linear(2, 2)
    before = model.weight.tolist()
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), cross_entropy)
    with pytest.raises(NonFiniteLoss, match=r"sample 1 of the batch \(counted from 0\)"):
        it.fit([(at.tensor([[1.0, 0.0], [float("inf"), 0.0]]), at.tensor([0, 1]))], progress=False)
    assert model.weight.tolist() == before


def test_a_validation_loss_that_is_no_number_stops_too():
    it = trainer()
    bad = [(at.tensor([[float("nan"), 0.0]]), at.tensor([0]))]
    with pytest.raises(NonFiniteLoss, match="the validation loss became nan after epoch 1"):
        it.fit(clouds(), bad, 3, progress=False)


def test_weights_that_are_no_numbers_do_not_replace_a_checkpoint(tmp_path):
    it = trainer(tmp_path / "run", model=nn.Linear(2, 2), scheduler=None)

    class Spoil(Callback):
        def on_epoch(self, trainer, row):
            with at.no_grad():
                trainer.model.bias.fill_(float("inf"))

    it.callbacks.append(Spoil())
    with pytest.raises(NonFiniteLoss, match="bias is no longer finite after epoch 1; nothing was saved"):
        fit(it, 2)
    assert load_checkpoint(tmp_path / "run" / "checkpoint-last.safetensors")["history"] == []


# -- going on ---------------------------------------------------------------------------------------------------------


class StopAt(Callback):
    """Ctrl-C after so many batches of the whole run."""

    def __init__(self, batch, hits=1):
        self.left, self.hits = batch, hits

    def on_batch(self, trainer, loss):
        self.left -= 1
        if self.left == 0:
            for _ in range(self.hits):
                os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("batch", [1, 3, 5, 6, 10])  # of 5 an epoch: in the middle, the last, the first
def test_ctrl_c_leaves_a_checkpoint_that_goes_on_bit_for_bit(tmp_path, batch, accumulate):
    whole = trainer(accumulate=accumulate)
    fit(whole, 4)
    expected = bits(whole)
    stopped = trainer(tmp_path / "run", callbacks=[StopAt(batch)], accumulate=accumulate)
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch"):
        fit(stopped, 4)
    resumed = trainer(tmp_path / "run", seed=99, accumulate=accumulate)  # another process knows nothing of this one's
    fit(resumed, 4, clouds(68, num_workers=2), resume=True)
    assert bits(resumed) == expected


def test_fit_again_goes_on_in_the_same_process():
    whole = trainer()
    fit(whole, 3)
    expected = bits(whole)
    it, train, validation = trainer(callbacks=[StopAt(7)]), clouds(68), clouds(32, seed=5)
    with pytest.raises(KeyboardInterrupt):
        it.fit(train, validation, 3, progress=False)
    assert (it.epoch, it.batches) == (1, 2)
    it.fit(train, validation, 3, progress=False)
    assert bits(it) == expected


def test_ctrl_c_while_it_evaluates(tmp_path):
    whole = trainer()
    fit(whole, 3)
    expected = bits(whole)
    hits = []

    class Hit:
        def update(self, output, target):
            hits.append(1)
            if len(hits) == 3:  # in the second evaluation
                os.kill(os.getpid(), signal.SIGINT)

        def reset(self): ...

        def compute(self):
            return 0.0

    measure = {"accuracy": metrics.Accuracy()}
    stopped = trainer(tmp_path / "run", metrics=measure | {"hit": Hit()})
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch 1, batch 5 of epoch 2"):
        fit(stopped, 3)
    resumed = trainer(tmp_path / "run", seed=99)
    fit(resumed, 3, resume=True)
    for row in resumed.history:
        row.pop("validation_hit", None)
    assert bits(resumed) == expected


def test_a_second_ctrl_c_stops_at_once_and_the_handler_is_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    it = trainer(tmp_path / "run", callbacks=[StopAt(3, hits=2)])
    with pytest.raises(KeyboardInterrupt):
        fit(it, 2)
    assert signal.getsignal(signal.SIGINT) is before
    assert load_checkpoint(tmp_path / "run" / "checkpoint-last.safetensors")["part"]["batches"] == 0


def test_after_ctrl_c_it_can_still_evaluate():
    it = trainer(callbacks=[StopAt(3)])
    with pytest.raises(KeyboardInterrupt):
        fit(it, 1)
    assert it.evaluate(clouds(32))["loss"] > 0


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


def test_in_another_thread_signals_are_left_alone():
    before, it = signal.getsignal(signal.SIGINT), trainer()
    thread = threading.Thread(target=fit, args=(it, 1))
    thread.start()
    thread.join()
    assert it.epoch == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_in_the_middle_of_an_epoch_change_nothing(tmp_path):
    whole = trainer()
    fit(whole, 2)
    expected = bits(whole)
    often = trainer(tmp_path / "run", save_every=0)
    fit(often, 2)
    assert bits(often) == expected


def test_other_iterables_are_passed_over_up_to_where_they_were(tmp_path):
    batches = list(clouds(64))
    whole = trainer()
    fit(whole, 2, batches)
    expected = bits(whole)
    stopped = trainer(tmp_path / "run", callbacks=[StopAt(6)])
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 2, batches)
    resumed = trainer(tmp_path / "run", seed=9)
    fit(resumed, 2, batches, resume=True)
    assert bits(resumed) == expected


def test_the_state_of_a_callback_is_kept(tmp_path):
    class Sum(Callback):
        total = 0.0
        weights = None

        def on_batch(self, trainer, loss):
            self.total += loss
            self.weights = trainer.model[0].weight.detach().clone()

        def state_dict(self):
            return {"total": self.total, "weights": self.weights}

        def load_state_dict(self, state):
            self.total, self.weights = state["total"], state["weights"]

    fit(trainer(tmp_path / "run", callbacks=[first := Sum()]), 1)
    fit(trainer(tmp_path / "run", callbacks=[second := Sum()], seed=4), 1, resume=True)
    assert second.total == first.total > 0
    assert second.weights.tolist() == first.weights.tolist()


# -- files ------------------------------------------------------------------------------------------------------------


def test_the_folder_holds_checkpoints_the_best_weights_and_the_numbers(tmp_path):
    it = trainer(tmp_path / "run", facts={"classes": ["a", "b"]})
    fit(it, 3)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoint-best.safetensors", "checkpoint-last.safetensors", "checkpoint-previous.safetensors",
                     "metrics.csv"]  # fmt: skip
    facts = json.loads(at.load_metadata(tmp_path / "run" / names[0])["atrous"])
    assert facts["classes"] == ["a", "b"]
    assert facts["measured"]["epoch"] == it.best["epoch"]
    best = at.load_file(tmp_path / "run" / names[0])
    assert {name: value.tolist() for name, value in best.items()} == {
        name: value.tolist() for name, value in it.best_weights.items()
    }
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [row["validation_loss"] for row in it.history]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    fit(trainer(tmp_path / "run"), 1)
    with pytest.raises(FileExistsError, match=r"holds a run already; fit\(..., resume=True\) goes on"):
        fit(trainer(tmp_path / "run"), 1)


def damage_last(run):
    run.last.write_bytes(run.last.read_bytes()[:3000])


def foreign_last(run):
    at.save_file({"x": at.ones(1)}, run.last)


def quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()


def damage_new(run):
    run.new.write_bytes(run.new.read_bytes()[:500])


def no_last(run):
    run.last.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_last, "checkpoint-last.safetensors cannot be read as safetensors"),
        (foreign_last, "checkpoint-last.safetensors is no checkpoint of atrous"),
        (no_last, "No such file or directory"),
    ],
)
def test_where_the_last_checkpoint_is_damaged_the_one_before_goes_on(tmp_path, damage, message):
    whole = trainer()
    fit(whole, 4)
    expected = bits(whole)
    stopped = trainer(tmp_path / "run")
    fit(stopped, 3)
    damage(RunFolder(tmp_path / "run"))
    resumed = trainer(tmp_path / "run", seed=7)
    with pytest.warns(UserWarning, match=f"{message}.*going on from checkpoint-previous.safetensors"):
        fit(resumed, 4, resume=True)
    assert bits(resumed) == expected


def test_where_both_are_damaged_the_last_ones_error_is_told(tmp_path):
    fit(trainer(tmp_path / "run"), 2)
    run = RunFolder(tmp_path / "run")
    damage_last(run)
    run.previous.write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoint-last.safetensors cannot be read as safetensors"):
        fit(trainer(tmp_path / "run"), 3, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("model", lambda it: nn.Linear(2, 2)), "does not fit this training: load_state_dict: nothing was loaded"),
        (
            ("optimizer", lambda it: optim.SGD(it.model.parameters())),
            "the checkpoint has the optimizer Adam; expected SGD",
        ),
        (("scheduler", lambda it: None), "the checkpoint has the scheduler StepLR; expected NoneType"),
        (("optimizer", lambda it: optim.Adam(it.model[0].parameters())), "has groups of"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(tmp_path, change, message):
    fit(trainer(tmp_path / "run"), 1)
    it = trainer(tmp_path / "run", seed=1)
    setattr(it, change[0], change[1](it))
    before = {name: value.tolist() for name, value in it.model.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(it, 2, resume=True)
    assert {name: value.tolist() for name, value in it.model.state_dict().items()} == before
    assert it.history == []


def test_other_data_is_refused(tmp_path):
    fit(trainer(tmp_path / "run"), 1)
    with pytest.raises(ValueError, match="the state has dataset_length 68; this loader has 64"):
        fit(trainer(tmp_path / "run"), 2, clouds(64), resume=True)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch, call):
    whole = trainer()
    fit(whole, 3)
    expected = bits(whole)
    it = trainer(tmp_path / "run")
    fit(it, 1)
    files = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(OSError, match="No space left"):
            fit(it, 2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == files
    resumed = trainer(tmp_path / "run", seed=8)
    fit(resumed, 3, resume=True)
    assert bits(resumed) == expected


def test_a_kill_between_two_renames_leaves_the_new_one(tmp_path, monkeypatch):
    """The moment when checkpoint-last is gone already and the new one has not yet got its name."""
    whole = trainer()
    fit(whole, 4)
    expected = bits(whole)
    it, train, validation = trainer(tmp_path / "run"), clouds(68), clouds(32, seed=5)
    it.fit(train, validation, 2, progress=False)
    real = os.replace

    def dies(source, target):
        if Path(target).name == "checkpoint-last.safetensors":
            raise SystemExit  # as if killed: nothing after this happens
        return real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        with pytest.raises(SystemExit):
            it.fit(train, validation, 3, progress=False)
    assert not RunFolder(tmp_path / "run").last.exists()
    resumed = trainer(tmp_path / "run", seed=8)
    fit(resumed, 4, resume=True)  # without a warning: nothing is lost
    assert bits(resumed) == expected


def test_a_kill_after_going_on_from_the_one_before_leaves_it(tmp_path, monkeypatch):
    """A damaged checkpoint-last must never take the place of the good one."""
    whole = trainer()
    fit(whole, 4)
    expected = bits(whole)
    fit(trainer(tmp_path / "run"), 2)
    run = RunFolder(tmp_path / "run")
    damage_last(run)
    real = os.replace

    def dies(source, target):
        real(source, target)
        if Path(target).name == "checkpoint-previous.safetensors":
            raise SystemExit

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(SystemExit):
        quietly(lambda: fit(trainer(tmp_path / "run", seed=3), 3, resume=True))
    monkeypatch.setattr(os, "replace", real)
    damage_new(run)
    resumed = trainer(tmp_path / "run", seed=8)
    with pytest.warns(UserWarning, match="going on from checkpoint-previous"):
        fit(resumed, 4, resume=True)
    assert bits(resumed) == expected


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    fit(trainer(tmp_path / "run"), 1)
    for name in (".checkpoint-new.safetensors", ".checkpoint-last.safetensors.77-88.part", ".metrics.csv.77.part"):
        (tmp_path / "run" / name).write_bytes(b"half")
    fit(trainer(tmp_path / "run"), 2, resume=True)
    assert not list((tmp_path / "run").glob(".*"))


def test_a_tree_of_everything_comes_back(tmp_path):
    tree = {
        "none": None, "flag": True, "whole": 2**62, "float": 0.1, "text": "ä", "list": [1, [2.5, None]], "empty": {},
        "numbers": {0: {"m": at.ones(2, 3)}, 7: "x"}, "$odd": {"$tensor": 1}, "array": np.arange(3),
        "inf": math.inf,
    }  # fmt: skip
    save_checkpoint(tmp_path / "a.safetensors", tree)
    back = load_checkpoint(tmp_path / "a.safetensors")
    assert back["numbers"][0]["m"].tolist() == [[1.0] * 3] * 2
    assert back["array"].tolist() == [0, 1, 2]
    for name in ("none", "flag", "whole", "float", "text", "list", "empty", "$odd", "inf"):
        assert back[name] == tree[name], name
    assert back["numbers"][7] == "x"
    with pytest.raises(TypeError, match=r"checkpoint: a\.b\.1 is a set; expected numbers"):
        save_checkpoint(tmp_path / "b.safetensors", {"a": {"b": [1, {2}]}})
    assert not (tmp_path / "b.safetensors").exists()


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


# -- what others do meanwhile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["train", "validation"])
@pytest.mark.parametrize("moment", ["on_batch", "on_epoch"])
def test_looking_into_a_loader_does_not_move_where_it_goes_on(tmp_path, which, moment):
    class Peek(Callback):
        def on_batch(self, trainer, loss):
            if moment == "on_batch":
                next(iter(loaders[which]))

        def on_epoch(self, trainer, row):
            if moment == "on_epoch":
                next(iter(loaders[which]))

    def run(folder, *more, **options):
        nonlocal loaders
        loaders = {"train": clouds(68), "validation": clouds(32, seed=5)}
        next(iter(loaders[which]))
        it = trainer(folder, callbacks=[Peek(), *more], **options)
        it.fit(loaders["train"], loaders["validation"], 3, progress=False, resume=True)
        return it

    loaders = {}
    expected = bits(run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", StopAt(7))
    assert bits(run(tmp_path / "run", seed=9)) == expected


def test_the_best_weights_come_back_though_no_later_epoch_is_better(tmp_path):
    it = trainer(tmp_path / "run", monitor="lr", mode="max")  # the first epoch is the best
    fit(it, 2)
    resumed = trainer(tmp_path / "run", seed=9, monitor="lr", mode="max")
    fit(resumed, 2, resume=True)
    assert resumed.best["epoch"] == 1
    assert bits(resumed) == bits(it)
    resumed.load_best()
    assert resumed.model[0].weight.tolist() == it.best_weights["0.weight"].tolist()


def test_a_state_that_does_not_fit_is_not_half_loaded():
    it = trainer()
    fit(it, 1)
    state = {**it.state_dict(), "part": {"hours": 3}}
    other = trainer(seed=4)
    before = bits_of(other)
    with pytest.raises(TypeError, match="hours"):
        other.load_state_dict(state)
    assert bits_of(other) == before


def bits_of(it):
    """Weights and moments."""
    state = it.optimizer.state_dict()["state"]
    moments = [v.numpy().tobytes() for entry in state.values() for v in entry.values() if hasattr(v, "numpy")]
    return {name: value.numpy().tobytes() for name, value in it.model.state_dict().items()}, moments, it.history


def test_a_loader_made_anew_goes_on_where_the_old_one_was():
    """As in a notebook whose cell is run again after Ctrl-C."""
    whole = trainer()
    fit(whole, 2)
    expected = bits(whole)
    it = trainer(callbacks=[StopAt(3)])
    with pytest.raises(KeyboardInterrupt):
        fit(it, 2)
    at.rand(5)  # what is drawn meanwhile does not matter either
    fit(it, 2)
    assert bits(it) == expected


def test_ctrl_c_while_a_callback_evaluates_is_heard_after_the_step(tmp_path):
    class Look(Callback):
        def on_batch(self, trainer, loss):
            if trainer.batches == 3 and trainer.epoch == 1 and not hits:
                hits.append(os.kill(os.getpid(), signal.SIGINT))
            trainer.evaluate(clouds(32))

    hits = []
    whole = trainer()
    fit(whole, 3)
    expected = bits(whole)
    with pytest.raises(KeyboardInterrupt, match="batch 3 of epoch 2"):
        fit(trainer(tmp_path / "run", callbacks=[Look()]), 3)
    resumed = trainer(tmp_path / "run", seed=4, callbacks=[Look()])
    fit(resumed, 3, resume=True)
    assert bits(resumed) == expected


def test_an_error_between_two_steps_leaves_a_state_that_goes_on():
    class Bad(Callback):
        left = 7

        def on_batch(self, trainer, loss):
            self.left -= 1
            if self.left == 0:
                raise OSError("the disk is full")

    whole = trainer()
    fit(whole, 3)
    expected = bits(whole)
    it = trainer(callbacks=[Bad()])
    with pytest.raises(OSError, match="full"):
        fit(it, 3)
    fit(it, 3)
    assert bits(it) == expected


def test_after_an_error_inside_a_step_resume_reads_the_checkpoint(tmp_path):
    class Breaks(optim.Adam):
        left = 7

        def step(self, closure=None):
            self.left -= 1
            if self.left == 0:
                super().step()
                raise RuntimeError("half of it is done")
            return super().step(closure)

    def breaking(folder=None):
        at.manual_seed(0)
        model = network()
        return Trainer(model, Breaks(model.parameters(), lr=0.01), cross_entropy, folder=folder)

    whole = breaking()
    whole.optimizer.left = 99
    fit(whole, 3)
    it = breaking(tmp_path / "run")
    with pytest.raises(RuntimeError, match="half"):
        fit(it, 3)
    assert (it.epoch, it.batches) == (1, 0)
    fit(it, 3, resume=True)
    assert bits(it) == bits(whole)


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


def test_a_nan_gradient_in_the_last_step_is_noticed_without_a_folder():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(at.ones(1))

        def forward(self, x):
            return (x * self.weight).abs().sqrt()  # at 0 the slope is infinite, times 0

    model = Root()
    it = Trainer(model, optim.SGD(model.parameters(), lr=0.1), lambda y, t: y.mean())
    with pytest.raises(NonFiniteLoss, match="weight is no longer finite after epoch 1"):
        it.fit([(at.tensor([1.0, 0.0]), at.zeros(2))], progress=False)
    assert it.history == []


def test_a_functional_step_between_layers_is_told_apart():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Identity(), nn.Linear(2, 2)

        def forward(self, x):
            return self.second(self.first(x).log())

    x = np.ones((8, 2), np.float32)
    x[5] = -1
    error = bad_run(Net(), x, [0] * 8)
    assert "what comes between layer first (Identity) and layer second (Linear) gave a value" in str(error)
    assert (error.layer, error.samples) == (None, [5])


def test_several_rows_of_a_layer_may_be_one_sample():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x):
            return self.layer(x.reshape(-1, 1)).reshape(len(x), -1)

    x = np.ones((8, 2), np.float32)
    x[6, 1] = np.nan
    assert bad_run(Patches(), x, [0] * 8).samples == [6]


def test_a_validation_loss_that_is_no_number_names_the_sample():
    x = at.ones(8, 2)
    x[5, 0] = float("nan")
    with pytest.raises(
        NonFiniteLoss, match=r"validation loss became nan after epoch 1: the input .* sample 5 of the data set"
    ):
        trainer().fit(clouds(), DataLoader(TensorDataset(x, at.zeros(8, dtype=at.int64)), 4), 1, progress=False)


def test_the_state_of_the_loss_function_is_kept(tmp_path):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(at.ones(1))

        def forward(self, output, target):
            return cross_entropy(output, target) * self.scale.square().sum()

    def make(folder, seed=0):
        at.manual_seed(seed)
        model, loss = network(), Weighted()
        return Trainer(model, optim.Adam([*model.parameters(), *loss.parameters()], lr=0.01), loss, folder=folder)

    whole = make(tmp_path / "whole")
    fit(whole, 2)
    fit(make(tmp_path / "run"), 1)
    resumed = make(tmp_path / "run", seed=5)
    fit(resumed, 2, resume=True)
    assert resumed.loss_fn.scale.item() == whole.loss_fn.scale.item() != 1


def test_frozen_layers_stay_in_their_mode():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    model.train()
    model[0].eval()
    evaluate(model, cross_entropy, clouds(16))
    assert [module.training for module in model.modules()] == [True, False, True]


def test_another_dtype_is_refused(tmp_path):
    fit(trainer(tmp_path / "run"), 1)
    it = trainer(tmp_path / "run", model=network().double())
    with pytest.raises(ValueError, match=r"the checkpoint has 0.weight as float32; expected float64"):
        fit(it, 2, resume=True)


def test_a_refused_resume_changes_nothing_and_is_refused_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(trainer(tmp_path / "run", callbacks=[StopAt(3)]), 1)
    it = trainer(tmp_path / "run", seed=1)
    before = {name: value.tolist() for name, value in it.model.state_dict().items()}
    for _ in range(2):
        with pytest.raises(ValueError, match="this loader has 64"):
            fit(it, 1, clouds(64), resume=True)
        assert (it.epoch, it.batches) == (0, 0)
        assert {name: value.tolist() for name, value in it.model.state_dict().items()} == before


def test_a_callback_whose_state_is_kept_must_be_there(tmp_path):
    class Keeps(Callback):
        def state_dict(self):
            return {"a": 1}

    fit(trainer(tmp_path / "run", callbacks=[Keeps()]), 1)
    with pytest.raises(ValueError, match="the checkpoint has the state of a callback Keeps; there is none"):
        fit(trainer(tmp_path / "run", callbacks=[EarlyStopping(3)]), 2, resume=True)


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


class Sometimes(Dataset):
    """Every third sample cannot be read."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index % 3 == 0:
            raise at.data.SkipSample(f"sample {index} is damaged")
        return at.ones(2) * index, index % 2


def test_samples_left_out_do_not_change_where_it_goes_on(tmp_path):
    def loader():
        return DataLoader(Sometimes(), 3, shuffle=True, generator=at.Generator(2))

    def trainer(*arguments, **options):  # a batch of one has no variance
        at.manual_seed(0)
        return make_trainer(
            *arguments, model=nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2)), **options
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = trainer()
        fit(whole, 2, loader())
        expected = bits(whole)
        with pytest.raises(KeyboardInterrupt):
            fit(trainer(tmp_path / "run", callbacks=[StopAt(3)]), 2, loader())
        resumed = trainer(tmp_path / "run", seed=3)
        fit(resumed, 2, loader(), resume=True)
    assert bits(resumed) == expected
