"""Averaged weights: by hand, PyTorch's numbers and states, batch-norm's statistics, the schedule, bad input."""

import inspect
import json
import re

import numpy as np
import pytest
from parity import draw

import atrous as at
from atrous import nn, optim
from atrous.optim import swa_utils
from atrous.optim.swa_utils import SWALR, AveragedModel, update_bn


def network(lib):
    """A small network with batch-norm, float64, the same weights in both libraries."""
    layers = lib.nn.Conv2d(2, 3, 3), lib.nn.BatchNorm2d(3), lib.nn.ReLU(), lib.nn.Flatten(), lib.nn.Linear(12, 2)
    model = lib.nn.Sequential(*layers).double()
    with lib.no_grad():
        for i, param in enumerate(model.parameters()):
            param.copy_(lib.tensor(draw(*param.shape, seed=i)))
    return model


def wander(lib, model, step):
    """Stands for a step of training: other weights, and a batch that moves the running statistics."""
    with lib.no_grad():
        for i, param in enumerate(model.parameters()):
            param.add_(lib.tensor(draw(*param.shape, seed=10 * step + i)))
        model(lib.tensor(draw(4, 2, 4, 4, seed=step)))


def numbers(state):
    return {name: np.asarray(value.detach()) for name, value in state.items()}


AVERAGES = {
    "default": lambda U: {},
    "swa": lambda U: {"avg_fn": U.get_swa_avg_fn()},
    "ema": lambda U: {"avg_fn": U.get_ema_avg_fn(0.9)},
    "swa, multi": lambda U: {"multi_avg_fn": U.get_swa_multi_avg_fn()},
    "ema, multi": lambda U: {"multi_avg_fn": U.get_ema_multi_avg_fn(0.9)},
    "buffers": lambda U: {"use_buffers": True},
    "buffers, ema": lambda U: {"avg_fn": U.get_ema_avg_fn(), "use_buffers": True},
    "buffers, ema, multi": lambda U: {"multi_avg_fn": U.get_ema_multi_avg_fn(0.5), "use_buffers": True},
    "own": lambda U: {"avg_fn": lambda averaged, new, n: averaged * 0.5 + new * (0.5 + 0 * n)},
}


@pytest.mark.parametrize("name", AVERAGES)
def test_same_as_pytorch(name):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (at, torch):
        model = network(lib)
        averaged = lib.optim.swa_utils.AveragedModel(model, **AVERAGES[name](lib.optim.swa_utils))
        for step in range(4):
            wander(lib, model, step)
            averaged.update_parameters(model)
        averaged.eval()
        found.append({**numbers(averaged.state_dict()), "y": averaged(lib.tensor(draw(3, 2, 4, 4))).detach().numpy()})
    ours, theirs = found
    assert list(ours) == list(theirs)  # n_averaged, module.0.weight, ...
    rtol = 1e-5 if name == "swa, multi" else 1e-10  # PyTorch rounds 1 / (n + 1) to float32 there
    for key, value in theirs.items():
        np.testing.assert_allclose(ours[key], value, rtol=rtol, err_msg=key)
        assert ours[key].dtype == value.dtype


def test_states_move_from_and_to_pytorch():
    torch = pytest.importorskip("torch")
    ours, theirs = (lib.optim.swa_utils.AveragedModel(network(lib)) for lib in (at, torch))
    for lib, averaged in ((at, ours), (torch, theirs)):
        wander(lib, averaged.module, 1)
        averaged.update_parameters(averaged.module)
    other = AveragedModel(network(at))
    other.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in numbers(ours.state_dict()).items()})
    for name, value in numbers(theirs.state_dict()).items():
        np.testing.assert_allclose(numbers(other.state_dict())[name], value, rtol=1e-12)
    assert other.n_averaged.item() == 1


@pytest.mark.parametrize("name", swa_utils.__all__)
def test_same_arguments_as_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(getattr(lib.optim.swa_utils, name)).parameters.values() for lib in (at, torch))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def scalar(value):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [3.0, 2.0, 3.0]),  # the mean of 3; 3, 1; 3, 1, 5: what the copy was made with does not count
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, [3.0, 2.5, 3.125]),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.0)}, [3.0, 1.0, 5.0]),
        ({"avg_fn": swa_utils.get_ema_avg_fn(1.0)}, [3.0, 3.0, 3.0]),
    ],
)
def test_by_hand(options, expected):
    model = scalar(100.0)
    averaged, found = AveragedModel(model, **options), []
    for value in (3.0, 1.0, 5.0):
        nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
        found.append(averaged(at.ones(1, 1)).item())
    assert found == expected
    assert averaged.n_averaged.item() == 3


def test_the_copy_is_apart():
    model = network(at)
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    before = numbers(averaged.state_dict())
    before = {name: value.copy() for name, value in before.items()}
    wander(at, model, 1)
    for name, value in numbers(averaged.state_dict()).items():
        np.testing.assert_array_equal(value, before[name])
    assert all(param.requires_grad and param.is_leaf for param in averaged.parameters())
    strides = [p.data.strides for p in model.parameters()]
    averaged.update_parameters(model)
    assert [p.data.strides for p in averaged.parameters()] == strides


# -- batch-norm's statistics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("pairs", [True, False])
def test_update_bn_same_as_pytorch(batches, pairs):
    torch = pytest.importorskip("torch")
    found = []
    for lib in (at, torch):
        model = network(lib)
        wander(lib, model, 1)
        model.eval()
        model[1].momentum = 0.3
        xs = [lib.tensor(draw(2 + i, 2, 4, 4, seed=i)) for i in range(batches)]
        lib.optim.swa_utils.update_bn(iter([(x, None) for x in xs] if pairs else xs), model, device="cpu")
        assert (model.training, model[1].training, model[1].momentum) == (False, False, 0.3)
        found.append(numbers(model.state_dict()))
    for name, value in found[1].items():
        np.testing.assert_allclose(found[0][name], value, rtol=1e-10, err_msg=name)


def test_update_bn_takes_a_data_loader():
    model = nn.Sequential(nn.BatchNorm1d(3))
    x = draw(12, 3).astype("float32")
    update_bn(at.data.DataLoader(at.data.TensorDataset(at.tensor(x), at.zeros(12)), batch_size=4), model)
    np.testing.assert_allclose(model[0].running_mean.numpy(), x.mean(0), atol=1e-6)
    var = np.mean([part.var(0, ddof=1) for part in np.split(x, 3)], axis=0)
    np.testing.assert_allclose(model[0].running_var.numpy(), var, rtol=1e-5)
    assert model.training
    assert not model[0].running_mean.requires_grad


def test_update_bn_leaves_things_in_order_after_an_error():
    model = nn.Sequential(nn.BatchNorm1d(3)).eval()
    with pytest.raises(ValueError, match="BatchNorm1d: input has shape"):
        update_bn([at.zeros(4, 3), at.zeros(4, 5)], model)
    assert (model.training, model[0].training, model[0].momentum) == (False, False, 0.1)
    update_bn(None, nn.Linear(2, 2))  # no batch-norm: the loader is not even looked at


def test_averages_of_another_array_library(foreign):
    """The averages themselves; a whole network on a GPU is the business of tests/test_cuda.py."""
    a, b = draw(3, 2).astype("float32"), draw(3, 2, seed=1).astype("float32")
    for average in (swa_utils.get_swa_avg_fn(), swa_utils.get_ema_avg_fn(0.9)):
        got = average(at.Tensor(foreign.wrap(a)), at.Tensor(foreign.wrap(b)), 3)
        assert isinstance(got.data, foreign.ndarray)
        np.testing.assert_array_equal(got.data._array, average(at.Tensor(a), at.Tensor(b), 3).data)


# -- the schedule -----------------------------------------------------------------------------------------------------


def schedule(lib, **options):
    """Five epochs of decay, then SWALR, which starts from where the rates are."""
    params = [{"params": [lib.zeros(2, requires_grad=True)], "lr": lr} for lr in (0.1, 0.03)]
    optimizer = lib.optim.SGD(params, lr=1.0, momentum=0.9)
    swa = lib.optim.swa_utils.SWALR(optimizer, **options)
    decay = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    found = []
    for epoch in range(25):
        optimizer.step()
        (decay if epoch < 5 else swa).step()
        found.append([group["lr"] for group in optimizer.param_groups])
    return np.array(found), swa


SCHEDULES = [
    dict(swa_lr=0.05),
    dict(swa_lr=[0.05, 0.2], anneal_epochs=7, anneal_strategy="linear"),
    dict(swa_lr=0.0, anneal_epochs=1),
    dict(swa_lr=0.05, anneal_epochs=0, anneal_strategy="linear"),
]


@pytest.mark.parametrize("options", SCHEDULES)
def test_rates_same_as_pytorch(options):
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(schedule(at, **options)[0], schedule(torch, **options)[0], rtol=1e-11, atol=1e-17)


@pytest.mark.parametrize("options", SCHEDULES)
def test_schedules_go_on_from_their_states(options):
    scheduler = schedule(at, **options)[1]
    optimizer = scheduler.optimizer
    other = SWALR(optimizer, swa_lr=options["swa_lr"])
    other.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert other.state_dict() == scheduler.state_dict()
    torch = pytest.importorskip("torch")
    theirs = schedule(torch, **options)[1]
    other.load_state_dict(theirs.state_dict())
    assert (other._anneal_strategy, other.anneal_epochs) == (theirs._anneal_strategy, theirs.anneal_epochs)


OPTIMIZER = optim.SGD([at.zeros(2)], lr=0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SWALR(3, 0.1), TypeError, "SWALR: optimizer is a int; expected an Optimizer"),
        (lambda: SWALR(OPTIMIZER, -0.1), ValueError, "SWALR: swa_lr is -0.1; expected a number of 0 or more"),
        (lambda: SWALR(OPTIMIZER, [1, 2]), ValueError, "SWALR: swa_lr has 2 entries; expected 1, one for each"),
        (lambda: SWALR(OPTIMIZER, 0.1, -1), ValueError, "SWALR: anneal_epochs is -1; expected an int of 0 or more"),
        (lambda: SWALR(OPTIMIZER, 0.1, 1, "exp"), ValueError, "anneal_strategy is 'exp'; expected 'cos' or 'linear'"),
        (lambda: swa_utils.get_ema_avg_fn(1.5), ValueError, "get_ema_avg_fn: decay is 1.5; expected a number from 0"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-1), ValueError, "get_ema_multi_avg_fn: decay is -1; expected 0 or m"),
        (
            lambda: AveragedModel(scalar(1.0), avg_fn=max, multi_avg_fn=max),
            ValueError,
            "AveragedModel: both avg_fn and multi_avg_fn are given; expected one of them",
        ),
        (
            lambda: AveragedModel(scalar(1.0)).update_parameters(nn.Linear(1, 2, bias=False)),
            ValueError,
            "update_parameters: model has parameters of shapes [(2, 1)]; expected [(1, 1)]",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
    assert "swa_lr" not in OPTIMIZER.param_groups[0]
