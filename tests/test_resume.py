"""Stops leave no trace in the bits: Ctrl-C, errors, damaged files, a full disk, and what others do meanwhile."""

import csv
import json
import math
import os
import re
import signal
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from toy_training import StopAt, bits, clouds, fit, make_trainer, network, trainer

import atrous as at
from atrous import metrics, nn, optim
from atrous.data import DataLoader, Dataset
from atrous.nn.functional import cross_entropy
from atrous.training import Callback, EarlyStopping, Trainer
from atrous.training.checkpoint import load_checkpoint, save_checkpoint
from atrous.training.run_folder import RunFolder

# -- going on ---------------------------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match=r"save: a\.b\.1 is a set; expected numbers"):
        save_checkpoint(tmp_path / "b.safetensors", {"a": {"b": [1, {2}]}})
    assert not (tmp_path / "b.safetensors").exists()


# -- what others do meanwhile -----------------------------------------------------------------------------------------


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


# -- wrong use --------------------------------------------------------------------------------------------------------


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
