"""A loss that is no number: which layer, which samples."""

import re

import numpy as np
import pytest
from toy_training import clouds, fit, trainer

import atrous as at
from atrous import nn, optim
from atrous.data import DataLoader, TensorDataset
from atrous.nn.functional import cross_entropy
from atrous.training import Callback, NonFiniteLoss, Trainer
from atrous.training.checkpoint import load_checkpoint

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


# -- what others do meanwhile -----------------------------------------------------------------------------------------


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
