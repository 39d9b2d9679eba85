"""Composed optimizers: PyTorch's trajectories, states and signatures, foreign arrays, bad input."""

import contextlib
import copy
import inspect
import re

import numpy as np
import pytest

import atrous as at
from atrous import nn, optim

SHAPES = [(3, 4), (5,), (2, 3, 3, 3), ()]
CONFIGS = [
    ("RMSprop", dict()),
    ("RMSprop", dict(lr=0.05, alpha=0.9, eps=1e-3, weight_decay=0.1, momentum=0.9)),
    ("RMSprop", dict(centered=True)),
    ("RMSprop", dict(centered=True, momentum=0.5, maximize=True)),
    ("Adagrad", dict()),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)),
    ("Adagrad", dict(maximize=True)),
    ("Adadelta", dict()),
    ("Adadelta", dict(lr=3.0, rho=0.5, eps=1e-3, weight_decay=0.1, maximize=True)),
    ("Adamax", dict()),
    ("Adamax", dict(lr=0.05, betas=(0.5, 0.8), eps=0.1, weight_decay=0.1, maximize=True)),
    ("NAdam", dict()),
    ("NAdam", dict(lr=0.05, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, momentum_decay=0.1, maximize=True)),
    ("NAdam", dict(lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)),
    ("RAdam", dict()),
    ("RAdam", dict(lr=0.05, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, maximize=True)),
    ("RAdam", dict(lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)),
    ("Rprop", dict()),
    ("Rprop", dict(lr=0.1, etas=(0.3, 1.9), step_sizes=(0.02, 0.4), maximize=True)),
    ("ASGD", dict()),
    ("ASGD", dict(lr=0.1, lambd=0.1, alpha=0.5, t0=10, weight_decay=0.1, maximize=True)),
    ("Adafactor", dict()),
    ("Adafactor", dict(lr=0.3, beta2_decay=-0.5, eps=(0.3, 0.7), d=2.0, weight_decay=0.1, maximize=True)),
]
NAMES = sorted({name for name, _ in CONFIGS})
ids = [f"{name}-{i}" for i, (name, _) in enumerate(CONFIGS)]


def gradient(step, index):
    """Of sizes that change, so that averages matter; now and then exactly 0."""
    values = np.random.default_rng([step, index]).normal(size=SHAPES[index]) * (1 + step % 7)
    return np.where(np.abs(values) < 0.1, 0.0, values)


def parameters(lib, dtype):
    return [lib.tensor(np.full(shape, 0.5), dtype=getattr(lib, dtype), requires_grad=True) for shape in SHAPES]


def advance(lib, optimizer, params, dtype, steps):
    """Steps with given gradients; the third parameter misses every other one."""
    for step in steps:
        for i, param in enumerate(params):
            skipped = i == 2 and step % 2
            param.grad = None if skipped else lib.tensor(gradient(step, i), dtype=getattr(lib, dtype))
        optimizer.step()


def run(lib, name, config, dtype, steps):
    params = parameters(lib, dtype)
    groups = [{"params": [params[0], params[2], params[3]]}, {"params": [params[1]], "lr": 0.01}]
    optimizer = getattr(lib.optim, name)(groups, **config)
    advance(lib, optimizer, params, dtype, range(steps))
    return params, optimizer


@contextlib.contextmanager
def scalars_of(torch, dtype):
    """PyTorch keeps a state's scalars, which are Python's floats here, in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    yield
    torch.set_default_dtype(before)


def assert_all_close(ours, theirs, tolerance):
    for p, q in zip(ours, theirs, strict=True):
        p, q = p.detach().numpy(), q.detach().numpy()
        np.testing.assert_allclose(p, q, rtol=0, atol=tolerance * np.abs(q).max())


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=ids)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_fifty_steps_as_pytorch(name, config, dtype, tolerance):
    torch = pytest.importorskip("torch")
    with scalars_of(torch, dtype):
        (ours, optimizer), (theirs, other) = run(at, name, config, dtype, 50), run(torch, name, config, dtype, 50)
    assert_all_close(ours, theirs, tolerance)
    state, expected = optimizer.state_dict(), other.state_dict()
    for group, like in zip(state["param_groups"], expected["param_groups"], strict=True):
        assert group == {key: like[key] for key in group}
    for number, entries in expected["state"].items():
        assert set(state["state"][number]) == set(entries)
        for key, value in entries.items():
            mine, value = np.asarray(state["state"][number][key]), value.numpy()
            np.testing.assert_allclose(mine, value, rtol=0, atol=tolerance * np.abs(value).max(), err_msg=key)


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=ids)
def test_state_moves_from_and_to_pytorch(name, config):
    torch = pytest.importorskip("torch")
    with scalars_of(torch, "float64"):
        (ours, first), (theirs, second) = run(at, name, config, "float64", 5), run(torch, name, config, "float64", 5)
        saved = copy.deepcopy(second.state_dict())
        second.load_state_dict(to_torch(torch, first.state_dict()))
        first.load_state_dict(saved)
        advance(at, first, ours, "float64", range(5, 8))
        advance(torch, second, theirs, "float64", range(5, 8))
    assert_all_close(ours, theirs, 1e-13)


def to_torch(torch, value):
    if isinstance(value, at.Tensor):
        return torch.from_numpy(np.array(value.numpy(), order="C"))
    if isinstance(value, dict):
        return {k: to_torch(torch, v) for k, v in value.items()}
    return [to_torch(torch, v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [*NAMES, "SGD", "Adam", "AdamW", "Muon"])
def test_signature(name):
    """PyTorch's, without the choices among its implementations."""
    torch = pytest.importorskip("torch")
    ours, theirs = (inspect.signature(getattr(lib.optim, name)).parameters.values() for lib in (at, torch))
    dropped = ("foreach", "capturable", "differentiable", "fused")
    expected = [(p.name, p.default, p.kind) for p in theirs if p.name not in dropped]
    assert [(p.name, p.default, p.kind) for p in ours] == expected


@pytest.mark.parametrize("name", NAMES)
def test_special_values_as_pytorch(name):
    torch = pytest.importorskip("torch")
    seen = []
    for lib in (at, torch):
        w = lib.tensor([1.0, 2.0, 3.0, 4.0, float("nan")], requires_grad=True)
        optimizer = getattr(lib.optim, name)([w])
        for grads in ([float("nan"), float("inf"), -float("inf"), -0.0, 1.0], [1.0] * 5):
            w.grad = lib.tensor(grads)
            optimizer.step()
        seen.append(w.detach().numpy())
    np.testing.assert_allclose(*seen, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_without_elements(name):
    w = at.zeros(0, 3, requires_grad=True)
    w.grad = at.zeros(0, 3)
    optimizer = getattr(optim, name)([w])
    optimizer.step()
    assert optimizer.state[w]["step"] == 1


@pytest.mark.parametrize("name", [*NAMES, "Muon"])
def test_parameters_and_gradients_of_any_layout(name):
    expected = None
    for layout in ("plain", "transposed", "strided", "channels_last"):
        at.manual_seed(0)
        shape = (4, 6) if name == "Muon" else (4, 6, 3, 3)
        start, grad = at.randn(*shape, dtype=at.float64), at.randn(*shape, dtype=at.float64)
        if layout == "transposed":
            w, g = start, at.from_numpy(np.asfortranarray(grad.numpy()))
        elif layout == "strided":
            w, g = at.from_numpy(np.repeat(start.numpy(), 2, axis=-1)[..., ::2]), grad
        else:
            w, g = (nn.Parameter(start), grad) if layout == "channels_last" else (start, grad)
        w.requires_grad = True
        optimizer = getattr(optim, name)([w], lr=0.1)
        for step in range(3):
            if step == 2:
                w.data = np.ascontiguousarray(w.data)
            w.grad = g
            optimizer.step()
        expected = w.tolist() if expected is None else expected
        np.testing.assert_allclose(w.tolist(), expected, rtol=1e-13)  # sums may run in another order


def three_steps(name, make):
    """The parameters' arrays after steps of one optimizer; `make` makes an array one of some library."""
    shapes = [(3, 4), (4, 3)] if name == "Muon" else SHAPES
    params = [at.Tensor(make(np.full(shape, 0.5, np.float32)), requires_grad=True) for shape in shapes]
    optimizer = getattr(optim, name)(params)
    for step in range(3):
        for i, param in enumerate(params):
            grad = np.random.default_rng([step, i]).normal(size=param.shape).astype(np.float32)
            param.grad = at.Tensor(make(np.array(grad)))
        before = [param.grad.clone() for param in params]
        optimizer.step()
        assert all(at.equal(param.grad, grad) for param, grad in zip(params, before, strict=True))  # only read
    return [param.data for param in params]


@pytest.mark.parametrize("name", sorted({*NAMES, "Muon"} - {"Adagrad", "RMSprop"}))  # those two are kernels
def test_on_foreign_arrays(name, foreign):
    with at.backend("reference"):  # Muon's products: there is no kernel for the stand-in
        for mine, other in zip(three_steps(name, np.asarray), three_steps(name, foreign.wrap), strict=True):
            assert isinstance(other, foreign.ndarray)
            np.testing.assert_array_equal(mine, other._array)


@pytest.mark.parametrize("name", [*NAMES, "Muon"])
def test_on_a_gpu(name, cuda):
    for mine, other in zip(three_steps(name, np.asarray), three_steps(name, cuda.cupy.asarray), strict=True):
        assert isinstance(other, cuda.cupy.ndarray)
        np.testing.assert_allclose(cuda.cupy.asnumpy(other), mine, rtol=1e-6, atol=1e-7)


def test_a_step_counts_as_a_write_and_keeps_the_dtype():
    w = at.ones(2, requires_grad=True)
    loss = (w * w).sum()
    w.grad = at.ones(2)
    optimizer = optim.NAdam([w])
    optimizer.step()
    state = optimizer.state[w]
    assert {w.dtype, state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {at.float32}
    with pytest.raises(RuntimeError, match="mul"):
        loss.backward()


def leaf(*shape):
    return [at.ones(*(shape or (2,)), requires_grad=True)]


REFUSED = [
    (lambda o: o.RMSprop(leaf(), alpha=-1), ValueError, "RMSprop: alpha is -1; expected 0 or more"),
    (lambda o: o.RMSprop(leaf(), momentum=-1), ValueError, "RMSprop: momentum is -1"),
    (lambda o: o.Adagrad(leaf(), lr_decay=-1), ValueError, "Adagrad: lr_decay is -1"),
    (lambda o: o.Adagrad(leaf(), initial_accumulator_value=-1), ValueError, "initial_accumulator_value is -1"),
    (lambda o: o.Adadelta(leaf(), rho=1.5), ValueError, "Adadelta: rho is 1.5; expected a number in [0, 1]"),
    (lambda o: o.Adamax(leaf(), betas=(1.0, 0.9)), ValueError, "Adamax: betas is (1.0, 0.9)"),
    (lambda o: o.NAdam(leaf(), momentum_decay=-1), ValueError, "NAdam: momentum_decay is -1"),
    (lambda o: o.RAdam(leaf(), betas=(0.9, 1.0)), ValueError, "RAdam: betas is (0.9, 1.0)"),
    (lambda o: o.Rprop(leaf(), etas=(0.5, 0.9)), ValueError, "Rprop: etas is (0.5, 0.9)"),
    (lambda o: o.Rprop(leaf(), lr=-1), ValueError, "Rprop: lr is -1"),
    (lambda o: o.ASGD(leaf(), weight_decay=-1), ValueError, "ASGD: weight_decay is -1"),
    (lambda o: o.Adafactor(leaf(), beta2_decay=0.8), ValueError, "Adafactor: beta2_decay is 0.8; expected 0 or less"),
    (lambda o: o.Adafactor(leaf(), d=0.5), ValueError, "Adafactor: d is 0.5; expected 1 or more"),
    (lambda o: o.Adafactor(leaf(), eps=(-1, 1e-3)), ValueError, "Adafactor: eps1 is -1"),
    (lambda o: o.Muon(leaf()), ValueError, "Muon: a parameter has shape (2,); expected matrices"),
    (lambda o: o.Muon(leaf(2, 2), adjust_lr_fn="x"), ValueError, "Muon: adjust_lr_fn is 'x'"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refused_as_pytorch_does(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make(optim)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.ASGD(leaf(), t0="late"), TypeError, "ASGD: t0 is 'late'; expected a number"),
        (lambda: optim.Rprop(leaf(), step_sizes=(1,)), ValueError, "Rprop: step_sizes is (1,)"),
        (lambda: optim.Muon(leaf(2, 2), ns_steps=100), ValueError, "Muon: ns_steps is 100; expected less than 100"),
        (lambda: optim.Muon(leaf(2, 2), ns_coefficients=(1, 2)), ValueError, "Muon: ns_coefficients is (1, 2)"),
    ],
)
def test_misuse(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()
