"""Kernels of adam (Adam, SGD, RMSprop, Adagrad): by hand, PyTorch, the case table on every level, lists, bad input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrous import reference
from atrous.verify.adam import CASES, arguments
from atrous.verify.draw import Draw

ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 0.0, "weight_decay": 0.0, "decoupled": False}


@pytest.mark.parametrize("function", CASES)
def test_every_level_agrees_with_the_reference(function, check):
    check("adam", function)


def test_adam_by_hand(backend):
    """m and v of constant gradients are unbiased after correction, so that each step is lr times the sign."""
    param, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
    for step in (1, 2, 3):
        backend.adam_step([param], [np.array([4.0, -0.5])], [m], [v], None, step, **ADAM)
        assert param == pytest.approx([1 - 0.1 * step, 1 + 0.1 * step], rel=1e-12)
    assert m == pytest.approx([4 * (1 - 0.9**3), -0.5 * (1 - 0.9**3)], rel=1e-12)
    assert v == pytest.approx([16 * (1 - 0.99**3), 0.25 * (1 - 0.99**3)], rel=1e-12)


def test_adam_second_step_by_hand(backend):
    """Gradients 1 and 3: m = 0.9*0.1 + 0.1*3 = 0.39, v = 0.99*0.01 + 0.01*9 = 0.0999."""
    param, m, v = np.array([0.0]), np.zeros(1), np.zeros(1)
    for step, grad in ((1, 1.0), (2, 3.0)):
        backend.adam_step([param], [np.array([grad])], [m], [v], None, step, **ADAM)
    assert (m.item(), v.item()) == pytest.approx((0.39, 0.0999), rel=1e-12)
    assert param.item() == pytest.approx(-0.1 - 0.1 * (0.39 / 0.19) / math.sqrt(0.0999 / 0.0199), rel=1e-12)


@pytest.mark.parametrize(("decoupled", "moment"), [(False, 0.1 * 2.0), (True, 0.0)])
def test_weight_decay_by_hand(backend, decoupled, moment):
    """With no gradient, Adam takes decay * param for one; AdamW shrinks the parameter by lr * decay and no more."""
    param, m = np.array([4.0]), np.zeros(1)
    changes = {"eps": 1e-3, "weight_decay": 0.5, "decoupled": decoupled}
    backend.adam_step([param], [np.zeros(1)], [m], [np.zeros(1)], None, 1, **{**ADAM, **changes})
    assert m.item() == pytest.approx(moment, rel=1e-12)
    assert param.item() == pytest.approx(4 * (1 - 0.1 * 0.5) if decoupled else 4 - 0.1 * 2 / (2 + 1e-3), rel=1e-12)


def test_amsgrad_by_hand(backend):
    """The largest v so far stays in the denominator."""
    param, v, largest = np.zeros(1), np.array([0.01]), np.array([4.0])
    zeros = np.zeros(1)
    backend.adam_step([param], [np.ones(1)], [zeros], [v], [largest], 1, **{**ADAM, "beta2": 0.5})
    assert (v.item(), largest.item()) == (0.505, 4.0)
    assert param.item() == pytest.approx(-0.1 / math.sqrt(4 / 0.5), rel=1e-12)


def test_subnormal_moments_are_flushed(backend):
    tiny = float(np.finfo(np.float32).tiny)
    m, v = (
        np.array([tiny / 4, -tiny / 4, 4 * tiny] * 30, np.float32),
        np.array([tiny / 4, 2 * tiny, 1] * 30, np.float32),
    )
    param, grad = np.ones(90, np.float32), np.zeros(90, np.float32)
    backend.adam_step([param], [grad], [m], [v], None, 5, **{**ADAM, "eps": 1e-8})
    assert (m != 0).tolist() == [False, False, True] * 30
    assert (v != 0).tolist() == [False, True, True] * 30


def test_subnormal_averages_are_flushed(backend):
    tiny = float(np.finfo(np.float32).tiny)
    v, a, b = (np.array([tiny / 4, -tiny / 4, 4 * tiny] * 30, np.float32) for _ in range(3))
    v = abs(v)
    param, grad = np.ones(90, np.float32), np.zeros(90, np.float32)
    options = {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.9}
    alone = v.copy()
    backend.rmsprop_step([param], [grad], [v], [a], [b], **options)
    backend.rmsprop_step([param], [grad], [alone], None, None, **options)
    for average in (v, a, b, alone):
        assert (average != 0).tolist() == [False, False, True] * 30


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [-1, -3]),  # lr = 1: -g, each step
        ({"momentum": 0.5}, [-1, -3.5]),  # 1, then 0.5*1 + 2
        ({"momentum": 0.5, "dampening": 0.25}, [-1, -3]),  # 1 (undamped at first), then 0.5*1 + 0.75*2
        ({"momentum": 0.5, "nesterov": True}, [-1.5, -4.75]),  # 1 + 0.5*1, then 2 + 0.5*2.5
        ({"weight_decay": 0.5}, [-1, -2.5]),  # 1, then 2 - 0.5*1
    ],
)
def test_sgd_by_hand(backend, options, expected):
    """Two steps from 0 with the gradients 1 and 2."""
    options = {"lr": 1.0, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, **options}
    param, buffers = np.zeros(1), [np.full(1, np.nan)] if options["momentum"] else None
    seen = []
    for grad in (1.0, 2.0):
        backend.sgd_step([param], [np.array([grad])], buffers, first=grad == 1, **options)
        seen.append(param.item())
    assert seen == expected


RMSPROP = {"lr": 0.5, "alpha": 0.75, "eps": 0.0, "weight_decay": 0.0, "momentum": 0.0}


def test_rmsprop_by_hand(backend):
    """Gradients 2, then 0: v = 0.25·4 = 1, then 0.75; the steps are 2/√1 and, with momentum alone, half of it."""
    for momentum, expected in ((0.0, [-1.0, -1.0]), (0.5, [-1.0, -1.5])):
        param, v, buffers = np.zeros(1), np.zeros(1), [np.zeros(1)] if momentum else None
        seen = []
        for grad in (2.0, 0.0):
            backend.rmsprop_step([param], [np.array([grad])], [v], None, buffers, **{**RMSPROP, "momentum": momentum})
            seen.append(param.item())
        assert (seen, v.item()) == (expected, 0.75)


def test_centered_rmsprop_by_hand(backend):
    """g = 2 + 0.5·4 = 4: v = 0.25·16 + 0.75·4 = 7, a = 0.25·4 + 0.75·0 = 1, the step 0.5 · 4/(√(7 − 1) + 1)."""
    param, v, a = np.array([4.0]), np.array([4.0]), np.zeros(1)
    options = {**RMSPROP, "weight_decay": 0.5, "eps": 1.0}
    backend.rmsprop_step([param], [np.array([2.0])], [v], [a], None, **options)
    assert (v.item(), a.item()) == (7.0, 1.0)
    assert param.item() == pytest.approx(4 - 2 / (math.sqrt(6) + 1), rel=1e-12)


def test_adagrad_by_hand(backend):
    """g = 2 + 0.25·4 = 3, s = 16 + 9: the step is 0.5 · 3/(5 + 1)."""
    param, total = np.array([4.0]), np.array([16.0])
    backend.adagrad_step([param], [np.array([2.0])], [total], lr=0.5, eps=1.0, weight_decay=0.25)
    assert (param.item(), total.item()) == (4 - 0.25, 25.0)


@pytest.mark.parametrize("case", [case for case in CASES["adam_step"] if case["values"] == ""])
def test_the_reference_adam_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    param, m, v, largest = rng.standard_normal((3, 5)), *(np.zeros((3, 5)) for _ in range(3))
    leaf = torch.nn.Parameter(torch.tensor(param))
    options = {name: case[name] for name in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
    optimizer = (torch.optim.AdamW if case["decoupled"] else torch.optim.Adam)([leaf], **options)
    (beta1, beta2), amsgrad = options.pop("betas"), options.pop("amsgrad")
    rest = {"beta1": beta1, "beta2": beta2, "decoupled": case["decoupled"], **options}
    for step in range(1, 6):
        grad = rng.standard_normal((3, 5)) / step**2  # shrinking, so that amsgrad has something to remember
        leaf.grad = torch.tensor(grad)
        optimizer.step()
        reference.adam_step([param], [grad], [m], [v], [largest] if amsgrad else None, step, **rest)
        np.testing.assert_allclose(param, leaf.detach(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES["sgd_step"] if case["values"] == "" and not case["first"]])
def test_the_reference_sgd_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    options = {name: case[name] for name in ("lr", "momentum", "dampening", "weight_decay", "nesterov")}
    param = rng.standard_normal((3, 5))
    leaf, buffers = torch.nn.Parameter(torch.tensor(param)), [np.empty((3, 5))] if case["momentum"] else None
    optimizer = torch.optim.SGD([leaf], **options)
    for step in range(5):
        grad = rng.standard_normal((3, 5))
        leaf.grad = torch.tensor(grad)
        optimizer.step()
        reference.sgd_step([param], [grad], buffers, first=step == 0, **options)
        np.testing.assert_allclose(param, leaf.detach(), rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(0, 2**32), st.sampled_from(list(CASES)))
def test_a_list_is_stepped_like_its_parts(backend, sizes, seed, function):
    """Where an array is cut and what lies beside it does not change its bits."""
    rng, total, cuts = np.random.default_rng(seed), sum(sizes), np.cumsum(sizes)[:-1]
    case = good(function, seed % len(CASES[function]))
    lists = {name: [rng.random(total).astype(np.float32)] for name, value in case.items() if isinstance(value, list)}
    if case.get("grad_avgs"):
        lists["square_avgs"][0] += 1  # a mean square is at least the square of the mean
    parts = {name: [part.copy() for part in np.split(whole, cuts)] for name, (whole,) in lists.items()}
    getattr(backend, function)(**{**case, **lists})
    getattr(backend, function)(**{**case, **parts})
    for name, (whole,) in lists.items():
        np.testing.assert_array_equal(whole, np.concatenate(parts[name]))


def good(function, i=3):
    return arguments(function, CASES[function][i], Draw(np.float32))


def with_first(name, array):
    return lambda a: {**a, name: [array, *a[name][1:]]}


@pytest.mark.parametrize(
    ("function", "change", "error"),
    [
        ("adam_step", with_first("grads", np.zeros(2, np.float32)), ValueError),
        ("adam_step", with_first("grads", np.zeros(1)), TypeError),
        ("adam_step", with_first("exp_avgs", np.zeros((1, 1), np.float32)), ValueError),
        ("adam_step", with_first("exp_avg_sqs", np.zeros(3, np.float32)), ValueError),
        ("adam_step", with_first("params", np.zeros(1, np.int32)), TypeError),
        ("adam_step", with_first("params", [0.0]), TypeError),
        ("adam_step", lambda a: {**a, "grads": a["grads"][:-1]}, ValueError),
        ("adam_step", lambda a: {**a, "exp_avgs": []}, ValueError),
        ("adam_step", lambda a: {**a, "max_exp_avg_sqs": a["exp_avg_sqs"][:2]}, ValueError),
        ("adam_step", lambda a: {**a, "step": 0}, ValueError),
        ("sgd_step", with_first("grads", np.zeros(0, np.float32)), ValueError),
        ("sgd_step", lambda a: {**a, "momentum_buffers": a["momentum_buffers"][1:]}, ValueError),
        ("sgd_step", with_first("momentum_buffers", np.zeros(2, np.float32)), ValueError),
        ("rmsprop_step", with_first("square_avgs", np.zeros(2, np.float32)), ValueError),
        ("rmsprop_step", with_first("grad_avgs", np.zeros(1)), TypeError),
        ("rmsprop_step", lambda a: {**a, "momentum_buffers": a["params"][1:]}, ValueError),
        ("adagrad_step", with_first("sums", np.zeros(1)), TypeError),
        ("adagrad_step", lambda a: {**a, "sums": []}, ValueError),
    ],
)
def test_the_binding_refuses(cpu, function, change, error):
    getattr(cpu, function)(**good(function))
    with pytest.raises(error, match=function):
        getattr(cpu, function)(**change(good(function)))


@pytest.mark.parametrize("name", ["params", "exp_avgs", "exp_avg_sqs"])
def test_the_binding_refuses_to_write_to(cpu, name):
    """Arrays that are read-only, that are not dense or whose strides differ from the parameter's."""
    for spoil in (read_only, spread, np.asfortranarray):
        a = good("adam_step")
        a[name][2] = spoil(a[name][2])  # (3, 5)
        with pytest.raises(ValueError, match="adam_step"):
            cpu.adam_step(**a)


def read_only(array):
    array.flags.writeable = False
    return array


def spread(array):
    return np.repeat(array, 2, axis=1)[:, ::2]


class Made(list):
    """A list whose items are new arrays each time: nobody else keeps them alive."""

    def __getitem__(self, i):
        return super().__getitem__(i).copy()


def test_items_that_a_list_makes_on_the_spot_are_kept_alive(cpu):
    a, expected = good("adam_step"), good("adam_step")
    cpu.adam_step(**expected)
    cpu.adam_step(**{**a, "grads": Made(a["grads"])})
    for x, y in zip(a["params"], expected["params"], strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("function", CASES)
def test_arrays_that_are_written_overlap_no_other(cpu, function):
    """They would hold what the order of the threads makes of it. Gradients may be shared: they are only read."""
    buffer = np.zeros(12, np.float32)
    state = [name for name, value in good(function).items() if isinstance(value, list)][-1]
    for name, spoilt in [
        ("params", [buffer[:8], buffer[7:11]]),
        ("params", [buffer[:4], buffer[:4]]),
        (state, [buffer[:4], buffer[2:6]]),
    ]:
        a = {key: [np.zeros_like(x) for x in spoilt] if isinstance(v, list) else v for key, v in good(function).items()}
        getattr(cpu, function)(**a)
        with pytest.raises(ValueError, match=f"{function}: an array that is written overlaps"):
            getattr(cpu, function)(**{**a, name: spoilt})
        with pytest.raises(ValueError, match=f"{function}: an array that is written overlaps"):
            getattr(cpu, function)(**{**a, "grads": a["params"]})
    x = np.zeros(3, np.float32)
    a = {key: [x.copy(), x.copy()] if isinstance(v, list) else v for key, v in good(function).items()}
    getattr(cpu, function)(**{**a, "grads": [x, x]})
