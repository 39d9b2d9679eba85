import importlib
import re
from types import SimpleNamespace

import numpy as np
import pytest
from parity import assert_close, draw

import atrous as at
from atrous import layout
from atrous.ops import adagrad_step, adam_step, rmsprop_step, sgd_step

SHAPES = [(3,), (2, 5), (4, 3, 3, 2), ()]


def parameters(dtype, seed=0):
    """Maps in channels-last memory, as a network's filters are."""
    return [at.Tensor(layout.channels_last(draw(*shape, seed=seed).astype(dtype))) for shape in SHAPES]


def run_torch(make, dtype, steps):
    torch = pytest.importorskip("torch")
    params = [torch.tensor(draw(*shape).astype(dtype), requires_grad=True) for shape in SHAPES]
    optimizer = make(torch.optim, params)
    for step in range(steps):
        for p, shape in zip(params, SHAPES, strict=True):
            p.grad = torch.tensor(draw(*shape, seed=1 + step).astype(dtype))
        optimizer.step()
    return [p.detach().numpy() for p in params]


def assert_all_close(ours, theirs, terms=64):
    for p, q in zip(ours, theirs, strict=True):
        assert_close(p.numpy(), q, terms, "parameter")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0.0, False), (0.1, False), (0.1, True)])
def test_adam_agrees_with_pytorch(weight_decay, decoupled, amsgrad, dtype):
    how = {"lr": 0.1, "weight_decay": weight_decay, "eps": 1e-3}
    theirs = run_torch(
        lambda optim, p: (optim.AdamW if decoupled else optim.Adam)(p, betas=(0.8, 0.9), amsgrad=amsgrad, **how),
        dtype,
        3,
    )
    params = parameters(dtype)
    states = [[at.zeros_like(p) for p in params] for _ in range(2 + amsgrad)]
    for step in range(3):
        adam_step(
            params,
            parameters(dtype, 1 + step),
            *states,
            step=step + 1,
            beta1=0.8,
            beta2=0.9,
            decoupled=decoupled,
            **how,
        )
    assert_all_close(params, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
        {"momentum": 0.9, "nesterov": True},
    ],
    ids=str,
)
def test_sgd_agrees_with_pytorch(how, dtype):
    theirs = run_torch(lambda optim, p: optim.SGD(p, lr=0.1, **how), dtype, 3)
    params = parameters(dtype)
    buffers = [at.zeros_like(p) for p in params] if "momentum" in how else None
    for step in range(3):
        sgd_step(params, parameters(dtype, 1 + step), buffers, lr=0.1, first=step == 0, **how)
    assert_all_close(params, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("how", [{}, {"weight_decay": 0.1, "alpha": 0.6, "eps": 1e-3}, {"momentum": 0.9}], ids=str)
def test_rmsprop_agrees_with_pytorch(how, centered, dtype):
    theirs = run_torch(lambda optim, p: optim.RMSprop(p, lr=0.1, centered=centered, **how), dtype, 3)
    params = parameters(dtype)
    squares, averages, buffers = ([at.zeros_like(p) for p in params] for _ in range(3))
    averages, buffers = averages if centered else None, buffers if "momentum" in how else None
    for step in range(3):
        rmsprop_step(params, parameters(dtype, 1 + step), squares, averages, buffers, lr=0.1, **how)
    assert_all_close(params, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", [{}, {"weight_decay": 0.1, "eps": 1e-3}], ids=str)
def test_adagrad_agrees_with_pytorch(how, dtype):
    theirs = run_torch(lambda optim, p: optim.Adagrad(p, lr=0.1, **how), dtype, 3)
    params = parameters(dtype)
    sums = [at.zeros_like(p) for p in params]
    for step in range(3):
        adagrad_step(params, parameters(dtype, 1 + step), sums, lr=0.1, **how)
    assert_all_close(params, theirs)


def test_gradients_of_another_layout(monkeypatch):
    """The kernel gets arrays that agree in strides."""
    backend = importlib.import_module("atrous.backend")
    kernels, strides = backend.kernels_for(None), []

    def spy(params, grads, buffers, *args):
        strides.extend((p.strides, g.strides, b.strides) for p, g, b in zip(params, grads, buffers, strict=True))
        kernels.sgd_step(params, grads, buffers, *args)

    monkeypatch.setattr(backend._choice, "kernels", SimpleNamespace(sgd_step=spy, __name__="spy"))
    params, buffers = parameters("float64"), parameters("float64")
    grads = [at.from_numpy(np.array(draw(*shape, seed=5), order="F")) for shape in SHAPES]
    expected = [p.numpy() - 0.1 * g.numpy() for p, g in zip(params, grads, strict=True)]
    sgd_step(params, grads, buffers, lr=0.1, momentum=0.9, first=True)
    assert_all_close(params, expected)
    assert len(strides) == len(SHAPES)
    assert all(p == g == b for p, g, b in strides)


def test_parameters_count_as_changed():
    p = at.ones(2, requires_grad=True)
    y = p * at.ones(2, requires_grad=True)
    sgd_step([p], [at.ones(2)], lr=0.1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_no_parameters():
    adam_step([], [], [], [], step=1, lr=0.1)
    sgd_step([], [], lr=0.1)
    rmsprop_step([], [], [], lr=0.1)
    adagrad_step([], [], [], lr=0.1)


def ones(*shapes, dtype="float64"):
    return [at.tensor(np.ones(shape, dtype)) for shape in shapes]


BAD = [
    (lambda: adam_step(ones(2), ones(2), ones(2), ones(2), step=0, lr=1), ValueError, "adam_step: step is 0"),
    (lambda: adam_step(ones(2), ones(2, 2), ones(2), ones(2), step=1, lr=1), ValueError, "got 1 parameters and 2"),
    (lambda: adam_step(ones(2), ones(3), ones(2), ones(2), step=1, lr=1), ValueError, "has shape (2,), but"),
    (lambda: adam_step(ones(2), ones(2), ones(2), ones(3), step=1, lr=1), ValueError, "a tensor with it (3,)"),
    (lambda: sgd_step(ones(2), ones(2, dtype="float32"), lr=1), TypeError, "sgd_step: grad has dtype float32"),
    (lambda: sgd_step(ones(2), ones(2), ones(2, dtype="float32"), lr=1), TypeError, "has dtype float32"),
    (lambda: sgd_step(ones(2), ones(2), ones(), lr=1), ValueError, "got 1 parameters and 0"),
    (lambda: rmsprop_step(ones(2), ones(2), ones(3), lr=1), ValueError, "rmsprop_step: parameter 0 has shape"),
    (lambda: rmsprop_step(ones(2), ones(2), ones(2), None, ones(), lr=1), ValueError, "got 1 parameters and 0"),
    (lambda: adagrad_step(ones(2), ones(2), ones(2, dtype="float32"), lr=1), TypeError, "adagrad_step: state has"),
    (lambda: sgd_step([np.ones(2)], ones(2), lr=1), TypeError, "is a ndarray; expected a Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "error", "message"), BAD)
def test_bad_input(f, error, message):
    with pytest.raises(error, match=re.escape(message)):
        f()


def test_state_of_another_layout():
    p = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)))
    buffer = at.Tensor(np.zeros(p.shape))
    with pytest.raises(ValueError, match=r"momentum_buffers\[0\] has .* strides .*; params\[0\] has .* strides"):
        sgd_step([p], [p.clone()], [buffer], lr=0.1, momentum=0.9)
