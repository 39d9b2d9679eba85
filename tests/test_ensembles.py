"""Ensembles: averaged probabilities, bagging, snapshots of one training."""

import numpy as np
import pytest
import toy_training as toy

import atrous as at
from atrous import nn, optim
from atrous.nn import functional as F
from atrous.training import Ensemble, Snapshots, bagging


def test_probabilities_are_averaged():
    models = [nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)]
    ensemble, x = Ensemble(models), 5 * at.randn(6, 4)
    p = sum(F.softmax(model(x), 1) for model in models) / 3
    np.testing.assert_allclose(ensemble(x).exp().detach().numpy(), p.detach().numpy(), rtol=1e-5)
    assert len(list(ensemble.parameters())) == 6
    target = at.tensor([0, 1, 2, 0, 1, 2])
    own = p.detach().numpy()[np.arange(6), target.numpy()]
    assert F.cross_entropy(ensemble(x), target).item() == pytest.approx(-np.log(own).mean(), rel=1e-5)
    maps = Ensemble([nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 1)])(at.randn(2, 1, 4, 4))
    np.testing.assert_allclose(maps.exp().sum(1).detach().numpy(), 1, rtol=1e-5)


def test_an_average_is_no_worse_than_its_members_on_average():
    """By convexity of −log, whatever the networks say."""
    models = [nn.Linear(4, 3) for _ in range(5)]
    x, t = 3 * at.randn(50, 4), at.arange(50) % 3
    own = np.mean([F.cross_entropy(model(x), t).item() for model in models])
    assert F.cross_entropy(Ensemble(models)(x), t).item() < own


def test_sure_answers_do_not_become_nan():
    models = [nn.Identity(), nn.Identity()]
    assert Ensemble(models)(at.tensor([[1e4, 0.0]])).tolist() == [[0.0, -1e4]]


def test_bagging_draws_with_replacement():
    def train(indices):
        drawn.append((indices, at.rand(3).tolist()))
        return nn.Linear(2, 2)

    drawn = []
    before = at.get_rng_state()
    bagging(train, samples=1000, members=3, seed=1)
    assert at.get_rng_state() == before
    for indices, _ in drawn:
        assert (indices.shape, indices.dtype) == ((1000,), np.int64)
        assert indices.min() >= 0
        assert indices.max() < 1000
        assert len(np.unique(indices)) == pytest.approx(632, abs=40)
    assert (drawn[0][0] != drawn[1][0]).any()
    first, drawn = drawn, []
    bagging(train, samples=1000, members=2, seed=1)
    for (a, x), (b, y) in zip(first, drawn, strict=False):
        assert (a == b).all()
        assert x == y


def snapshot_trainer(epochs=6, folder=None, seed=0):
    at.manual_seed(seed)
    model = toy.network()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    snapshots = Snapshots(length=2)
    trainer = toy.Trainer(model, optimizer, F.cross_entropy, scheduler=schedule, callbacks=[snapshots], folder=folder)
    toy.fit(trainer, epochs, resume=folder is not None)
    return trainer, snapshots


def test_snapshots_are_the_weights_at_the_ends_of_rounds():
    trainer, snapshots = snapshot_trainer()
    assert [row["lr"] for row in trainer.history] == pytest.approx([0.5, 0.25] * 3)
    assert len(snapshots.weights) == 3
    ensemble = snapshots.ensemble(trainer.model)
    assert [snapshot_trainer(epochs)[0].model.state_dict()["0.weight"].tolist() for epochs in (2, 4)] == [
        model.state_dict()["0.weight"].tolist() for model in list(ensemble.models)[:2]
    ]
    last = snapshots.ensemble(trainer.model, last=1)
    assert len(last.models) == 1
    x = at.randn(5, 2)
    np.testing.assert_allclose(
        last.eval()(x).detach().numpy(), F.log_softmax(trainer.model.eval()(x), 1).detach().numpy(), atol=1e-6
    )
    assert last.models[0] is not trainer.model


def test_snapshots_go_through_a_checkpoint(tmp_path):
    _, whole = snapshot_trainer(4)
    snapshot_trainer(3, folder=tmp_path / "run")
    _, resumed = snapshot_trainer(4, folder=tmp_path / "run")
    assert len(resumed.weights) == 2
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        assert {k: v.tolist() for k, v in a.items()} == {k: v.tolist() for k, v in b.items()}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ensemble([]), "Ensemble: there are no models"),
        (lambda: bagging(lambda indices: nn.Identity(), 0, 3), "bagging: samples is 0, members 3; expected 1 or more"),
        (lambda: Snapshots(0), "Snapshots: length is 0; expected 1 or more epochs"),
        (lambda: Snapshots(2).ensemble(nn.Identity()), "Snapshots: there are no snapshots"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
