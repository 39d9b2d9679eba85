"""Checks before a run, statistics of layers, class activation: by hand, on small runs, and without a trace."""

import math

import numpy as np
import pytest

import atrous as at
from atrous import data, diagnostics, nn, optim
from atrous.nn import functional as F


def clouds(N=96):
    """Three clouds of points in the plane, and a hard one: their classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    angles = 2 * np.pi * labels / 3
    points = np.stack([np.cos(angles), np.sin(angles)], 1) + 0.3 * rng.normal(size=(N, 2))
    return at.tensor(points.astype("float32")), at.tensor(labels)


def network():
    at.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def loader(shuffled_by):
    return data.DataLoader(data.TensorDataset(*clouds()), 16, shuffle=True, generator=shuffled_by)


def everything(model, optimizer, generator):
    """All that a trial must leave alone."""
    return (
        [(name, value.numpy().tobytes()) for name, value in model.state_dict().items()],
        [None if p.grad is None else p.grad.numpy().tobytes() for p in model.parameters()],
        [m.training for m in model.modules()],
        [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups],
        {i: {k: np.asarray(v).tobytes() for k, v in s.items()} for i, s in optimizer.state_dict()["state"].items()},
        optimizer._stepped,
        at.get_rng_state(),
        generator.get_state(),
        [len(m._forward_hooks) for m in model.modules()],
    )


def failing(model, optimizer, batches):
    with pytest.raises(ZeroDivisionError) as raised:
        diagnostics.find_rate(model, optimizer, lambda output, target: 1 / 0, batches)
    return raised


TRIALS = {
    "find_rate": lambda model, optimizer, batches: diagnostics.find_rate(
        model, optimizer, F.cross_entropy, batches, 1e-4, 100.0, 30
    ),
    "overfit_batch": lambda model, optimizer, batches: diagnostics.overfit_batch(
        model, optimizer, *(part[:8] for part in clouds()), steps=5
    ),
    "check_initial_loss": lambda model, optimizer, batches: diagnostics.check_initial_loss(model, *clouds()),
    "layer_statistics": lambda model, optimizer, batches: diagnostics.layer_statistics(model, *clouds()),
    "a failure": lambda model, optimizer, batches: failing(model, optimizer, batches),
}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("name", TRIALS)
def test_no_trace_is_left(name, begun):
    """Neither in a fresh model nor in the middle of a run, with moments and gradients; and the run goes on the same."""
    model, generator = network(), at.Generator(3)
    optimizer, batches = optim.Adam(model.parameters(), lr=0.01), loader(generator)
    if begun:
        F.cross_entropy(model(clouds()[0]), clouds()[1]).backward()
        optimizer.step()
        model[0].eval()
    before, groups = everything(model, optimizer, generator), list(optimizer.param_groups)
    result = TRIALS[name](model, optimizer, batches)
    assert result is not None
    assert everything(model, optimizer, generator) == before
    assert all(a is b for a, b in zip(groups, optimizer.param_groups, strict=True))


def test_a_rate_is_found_between_too_slow_and_too_fast():
    x, t = clouds()
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=123.0)
    test = diagnostics.find_rate(model, optimizer, F.cross_entropy, [(x, t)], 1e-5, 1e4, 90)
    assert test.rates[0] == 1e-5
    np.testing.assert_allclose(np.diff(np.log(test.rates)), np.log(1e9) / 89, rtol=1e-9)
    assert test.rates[-1] < 1e4, "the loss blew up, and the test ended there"
    assert 1e-3 < test.suggestion < 10

    shifted = diagnostics.find_rate(
        model, optimizer, lambda y, t: F.cross_entropy(y, t) - 100, [(x, t)], 1e-5, 1e-1, 30
    )
    assert len(shifted.rates) == 30, "below 0 a loss has not blown up either"

    def trained(lr):
        model, losses = network(), []
        optimizer = optim.SGD(model.parameters(), lr=lr)
        for _ in range(30):
            losses.append(F.cross_entropy(model(x), t))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        return losses[-1].item()

    best = trained(test.suggestion)
    assert best < 0.5 * trained(test.suggestion / 1000)
    assert best < 0.5 * trained(test.rates[-1])


def test_a_mean_is_as_if_nothing_came_before():
    """At a rate that changes nothing the smoothed losses are the loss itself."""
    x, t = clouds()
    model = nn.Linear(2, 3)
    test = diagnostics.find_rate(
        model, optim.SGD(model.parameters(), lr=1.0), F.cross_entropy, [(x, t)], 1e-12, 1e-11, 9
    )
    np.testing.assert_allclose(test.losses, F.cross_entropy(model(x), t).item(), rtol=1e-6)


def test_the_initial_loss():
    x, t = clouds()
    model = network()
    fresh = diagnostics.check_initial_loss(model, 0.1 * x, t)
    assert fresh.expected == pytest.approx(math.log(3))
    zero = nn.Linear(2, 3)
    for p in zero.parameters():
        p.detach().zero_()
    assert diagnostics.check_initial_loss(zero, x, t).loss == pytest.approx(math.log(3), rel=1e-6)
    assert diagnostics.check_initial_loss(zero, x, t).plausible
    wild = diagnostics.check_initial_loss(nn.Linear(2, 3), 100 * x, t)
    assert wild.loss > 5
    assert not wild.plausible

    def penalised(output, target):
        return F.cross_entropy(output, target) + 0.1 * sum((p * p).sum() for p in model.parameters())

    assert diagnostics.check_initial_loss(model, 0.1 * x, t, penalised).loss > fresh.loss + 0.1


def test_a_few_samples_are_learned_by_heart_unless_something_is_wrong():
    x, _ = clouds()
    x, t = x[:8], at.tensor([0, 1, 2, 0, 2, 1, 0, 0])  # labels that mean nothing
    for lr, learned in ((0.05, True), (1e-6, False)):
        at.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
        result = diagnostics.overfit_batch(model, optim.Adam(model.parameters(), lr=lr), x, t, steps=150)
        assert result.learned == learned
        assert len(result.losses) == 151
    cut = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))
    broken = diagnostics.overfit_batch(cut, optim.Adam(cut[0].parameters(), lr=0.0), x, t, steps=3)
    assert broken.losses[0] == broken.losses[-1]


def test_statistics_of_layers_by_hand():
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False), nn.Tanh())
    with at.no_grad():
        model[0].weight.copy_(at.tensor([[1.0, 0.0], [-1.0, -1.0], [0.0, 2.0]]))
        model[2].weight.copy_(at.tensor([[5.0, 0.0, 0.0], [0.0, 7.0, 0.0]]))
    x = at.tensor([[1.0, 2.0], [3.0, 0.0]])
    rows = diagnostics.layer_statistics(model, x, at.zeros(2, 2), lambda y, t: y.sum())
    assert [(row.name, row.kind) for row in rows] == [("0", "Linear"), ("1", "ReLU"), ("2", "Linear"), ("3", "Tanh")]
    first = np.array([[1.0, -3, 4], [3, -3, 0]])
    assert (rows[0].mean, rows[0].std) == pytest.approx((first.mean(), first.std()))
    assert [row.dead for row in rows] == pytest.approx([0, 1 / 3, 1 / 2, 1 / 2])
    assert rows[3].saturated == 0.5  # tanh 5 and tanh 15 are, tanh 0 is not
    assert all(math.isnan(row.saturated) for row in rows[:3])
    slopes = 1 - np.tanh([[5.0, 0], [15.0, 0]]) ** 2
    assert (rows[3].grad_mean, rows[3].grad_std) == (1.0, 0.0)
    assert (rows[2].grad_mean, rows[2].grad_std) == pytest.approx((slopes.mean(), slopes.std()), rel=1e-5)
    unasked = diagnostics.layer_statistics(model, x)
    assert [row[:6] for row in unasked[:3]] == [
        (*row[:4], pytest.approx(math.nan, nan_ok=True), row[5]) for row in rows[:3]
    ]
    assert all(math.isnan(row.grad_mean) for row in unasked)


def test_a_dead_channel_gives_nothing_anywhere():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True))
    with at.no_grad():
        model[0].bias.copy_(at.tensor([-100.0, 0.0, -100.0, 100.0]))
    rows = diagnostics.layer_statistics(model, at.randn(5, 1, 6, 6))
    assert [row.dead for row in rows] == [0.0, 0.5]
    wide = diagnostics.layer_statistics(nn.Hardtanh(-10.0, 10.0), at.tensor([[9.9, 0.0, -9.9, 9.0]]))
    assert wide[0].saturated == 0.5


def pooled():
    """A network that averages its last maps: the one that class activation maps are made for."""
    at.manual_seed(1)
    convolutions = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True))
    return nn.Sequential(convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


def test_the_mean_of_a_class_activation_map_is_the_logit():
    model, x, classes = pooled(), at.randn(5, 1, 9, 9), at.tensor([0, 2, 1, 1, 0])
    logits = model(x)
    maps = diagnostics.class_activation_map(model[0](x).detach(), model[3].weight.detach(), classes)
    assert maps.shape == (5, 5, 5)
    found = maps.mean((1, 2)) + model[3].bias.detach()[classes]
    np.testing.assert_allclose(found.numpy(), logits.detach().numpy()[np.arange(5), classes.numpy()], rtol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_grad_cam_of_such_a_network_is_the_same_map(frozen):
    model, x, classes = pooled(), at.randn(5, 1, 9, 9), at.tensor([0, 2, 1, 1, 0])
    for p in model.parameters():
        p.requires_grad = not frozen
    with at.no_grad():
        cam = diagnostics.class_activation_map(model[0](x), model[3].weight, classes).numpy()
        grad_cam = diagnostics.grad_cam(model, model[0], x, classes)
    np.testing.assert_allclose(grad_cam.numpy(), np.maximum(cam, 0) / 25, rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for p in model.parameters())
    assert not model[0]._forward_hooks
    assert model.training
    answers = model(x).argmax(1)
    np.testing.assert_array_equal(
        diagnostics.grad_cam(model, model[0][2], x).numpy(),
        diagnostics.grad_cam(model, model[0][2], x, answers).numpy(),
    )


def test_grad_cam_takes_the_mean_of_the_gradient():
    """Without an average each place has its own gradient: here the linear layer's weight."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
    x = at.randn(2, 1, 6, 6)
    maps = model[0](x).detach().numpy()
    alpha = model[2].weight.detach().numpy()[[2, 0]].reshape(2, 2, 16).mean(2)
    found = diagnostics.grad_cam(model, model[0], x, at.tensor([2, 0])).numpy()
    expected = np.maximum((maps * alpha[:, :, None, None]).sum(1), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_map_lies_where_the_object_is():
    """A network that counts bright pixels sees them where they are."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with at.no_grad():
        model[0].weight.copy_(at.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        model[4].weight.copy_(at.eye(2))
    x = at.zeros(1, 1, 6, 6)
    x[0, 0, 1, 4] = 3.0
    found = diagnostics.grad_cam(model, model[1], x).numpy()[0]
    assert np.argwhere(found > 0).tolist() == [[1, 4]]


def test_feature_maps_are_those_of_the_layers():
    model, x = pooled(), at.randn(1, 1, 9, 9)
    maps = diagnostics.feature_maps(model, x)
    assert {name: m.shape for name, m in maps.items()} == {
        "0.0": (4, 7, 7), "0.1": (4, 7, 7), "0.2": (6, 5, 5), "0.3": (6, 5, 5), "1": (6, 1, 1)
    }  # fmt: skip
    np.testing.assert_array_equal(maps["0.0"], model[0][0](x).detach().numpy()[0])
    assert maps["0.2"].min() < 0 <= maps["0.3"].min()  # not what the layer in place makes of it


def test_no_hook_stays_at_a_layer_of_another_model():
    other = nn.Conv2d(1, 4, 3)
    with pytest.raises(ValueError, match="not called"):
        diagnostics.grad_cam(nn.Conv2d(1, 4, 3), other, at.ones(1, 1, 5, 5))
    assert not other._forward_hooks


X, T = clouds()
SGD = optim.SGD([at.ones(1, requires_grad=True)], lr=0.1)
BAD = [
    (lambda m: diagnostics.find_rate(m, SGD, F.cross_entropy, [(X, T)], 1.0, 0.5), "find_rate: low is 1.0, high 0.5"),
    (lambda m: diagnostics.find_rate(m, SGD, F.cross_entropy, [(X, T)], steps=2), "find_rate: steps is 2"),
    (lambda m: diagnostics.find_rate(m, SGD, F.cross_entropy, []), "find_rate: there are no batches"),
    (lambda m: diagnostics.find_rate(m, SGD, F.cross_entropy, [(X * math.nan, T)]), "the loss is not finite"),
    (lambda m: diagnostics.overfit_batch(m, SGD, X, T, steps=0), "overfit_batch: steps is 0"),
    (lambda m: diagnostics.check_initial_loss(nn.Flatten(0), X, T, lambda y, t: y.sum()), "the output has shape"),
    (lambda m: diagnostics.grad_cam(m, m[0], X), "grad_cam: the layer's output has shape"),
    (lambda m: diagnostics.grad_cam(m, nn.ReLU(), X), "grad_cam: the layer is not called"),
    (lambda m: diagnostics.class_activation_map(X, X, T), "class_activation_map: features has shape"),
    (lambda m: diagnostics.class_activation_map(at.ones(1, 3, 2, 2), at.ones(2, 2), T), "weight has shape"),
    (lambda m: diagnostics.class_activation_map(at.ones(1, 2, 2, 2), at.ones(2, 2), T), "classes has shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(network())
