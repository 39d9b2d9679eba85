import re

import numpy as np
import pytest
from parity import assert_close, assert_parity, assert_torch_refuses, counted_kernels, draw, randomly_strided

import atrous as at
from atrous import layout, verify
from atrous.backend import backend_name
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

TABLE = [c for c in verify.batch_norm.CASES_4D if not c["special"] and np.prod(c["x"]) < 20_000]
TAME = [c for c in TABLE if 1e-3 < c["std"] < 1e3]  # gradcheck's steps mean something
SHAPES = [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 3), (3, 1, 4)]


def arguments(case):
    C = case["x"][1]
    x = draw(*case["x"]) * case["std"] + case["mean"]
    return x, draw(C, seed=1) if case["weight"] else None, draw(C, seed=2) if case["bias"] else None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", [True, False])
def test_agrees_with_pytorch(shape, dtype, training):
    def f(F, x, weight, bias, mean, var):
        return F.batch_norm(x, mean.detach(), var.detach(), weight, bias, training, 0.3, 1e-3)

    C = shape[1]
    assert_parity(f, draw(*shape), draw(C), draw(C), draw(C), draw(C, low=0.5), dtype=dtype, terms=300)


@pytest.mark.parametrize(("weight", "bias"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("training", [True, False])
def test_without_weight_or_bias(weight, bias, training):
    def f(F, x, mean, var, w, b):
        return F.batch_norm(x, mean.detach(), var.detach(), w if weight else None, b if bias else None, training)

    assert_parity(f, draw(4, 3, 2, 5), draw(3), draw(3, low=0.5), draw(3), draw(3), terms=300)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_values_over_the_case_table(case):
    torch = pytest.importorskip("torch")
    x, weight, bias = arguments(case)
    ours = F.batch_norm(
        at.tensor(x), None, None, *[None if a is None else at.tensor(a) for a in (weight, bias)], True, 0.1, case["eps"]
    )
    theirs = torch.nn.functional.batch_norm(
        torch.tensor(x),
        None,
        None,
        *[None if a is None else torch.tensor(a) for a in (weight, bias)],
        True,
        0.1,
        case["eps"],
    )
    # the mean is off by eps · |mean|, and x̂ by that over the standard deviation
    scale = 1 + np.abs(x).max() / max(x.std(), np.sqrt(case["eps"])) if x.size else 1
    assert_close(ours.numpy(), theirs.numpy(), 64 * scale, "y")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0])
def test_running_statistics_as_pytorch(shape, momentum):
    torch = pytest.importorskip("torch")
    x, C = draw(*shape) + 3, shape[1]
    ours = at.tensor(draw(C)), at.tensor(draw(C, low=0.5))
    theirs = torch.tensor(draw(C)), torch.tensor(draw(C, low=0.5))
    for _ in range(2):
        F.batch_norm(at.tensor(x), *ours, training=True, momentum=momentum)
        torch.nn.functional.batch_norm(torch.tensor(x), *theirs, training=True, momentum=momentum)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a.numpy(), b.numpy(), 64, "running statistics")


def test_running_variance_is_unbiased():
    mean, var = at.zeros(1), at.zeros(1)
    F.batch_norm(at.tensor([[1.0], [3.0]]), mean, var, training=True, momentum=1.0)
    assert mean.tolist() == [2.0]
    assert var.tolist() == [2.0]  # ((1 − 2)² + (3 − 2)²) / (2 − 1)


def test_running_statistics_in_any_memory():
    """They are written where they are, also as a column of something larger."""
    table = np.zeros((3, 4), np.float32)
    mean, var = at.from_numpy(table[:, 1]), at.from_numpy(table[:, 3])
    F.batch_norm(at.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 2.0]]), mean, var, training=True, momentum=0.5)
    assert table.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]]
    table.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        F.batch_norm(at.ones(2, 3), at.from_numpy(table[:, 1]), at.from_numpy(table[:, 3]), training=True)


def test_evaluation_leaves_the_statistics():
    mean, var = at.zeros(3), at.ones(3)
    F.batch_norm(at.ones(2, 3), mean, var)
    assert mean.tolist() == [0.0] * 3
    assert var.tolist() == [1.0] * 3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", TAME, ids=str)
def test_gradient(case, training):
    C = case["x"][1]
    mean, var = at.tensor(draw(C)), at.tensor(draw(C, low=0.5))
    x, weight, bias = arguments(case)
    inputs = [at.tensor(a, requires_grad=True) for a in (x, weight, bias) if a is not None]

    def f(x, *parameters):
        parameters = list(parameters)
        w = parameters.pop(0) if weight is not None else None
        b = parameters.pop(0) if bias is not None else None
        statistics = (None, None) if training else (mean, var)
        return F.batch_norm(x, *statistics, w, b, training, eps=case["eps"])

    if case["mean"] > 100 or case["std"] == 0:
        return  # finite differences of such x are noise; the parity test has them
    assert gradcheck(f, inputs, fast_mode=True)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_gradient_of_other_shapes(shape, training):
    statistics = at.tensor(draw(3)), at.tensor(draw(3, low=0.5))
    inputs = [at.tensor(a, requires_grad=True) for a in (draw(*shape), draw(3), draw(3))]
    assert gradcheck(
        lambda x, w, b: F.batch_norm(x, *[s.clone() for s in statistics], w, b, training), inputs, fast_mode=True
    )


@pytest.mark.parametrize("training", [True, False])
def test_empty_batch(training):
    def f(F, x, weight, bias, mean, var):
        return F.batch_norm(x, mean.detach(), var.detach(), weight, bias, training)

    assert_parity(f, draw(0, 3, 4, 4), draw(3), draw(3), draw(3), draw(3, low=0.5))
    mean, var = at.zeros(3), at.ones(3)
    F.batch_norm(at.zeros(0, 3), mean, var, training=training)
    assert (mean.tolist(), var.tolist()) == ([0.0] * 3, [1.0] * 3)


def test_nan_stays_in_its_channel():
    x, mean, var = draw(4, 3, 2, 2), at.zeros(3), at.ones(3)
    x[0, 1, 0, 0] = float("nan")
    y = F.batch_norm(at.tensor(x), mean.to(at.float64), var.to(at.float64), training=True).numpy()
    assert np.isnan(y[:, 1]).all()
    assert not np.isnan(y[:, [0, 2]]).any()


z, one = np.zeros, np.ones
BAD = [  # x, running_mean, running_var, weight, bias, keywords, error, message
    (z((2, 3)), z(4), one(3), None, None, {}, ValueError, "running_mean has shape (4,); expected (3,) from x (2, 3)"),
    (z((2, 3)), z(3), one((1, 3)), None, None, {}, ValueError, "running_var has shape (1, 3)"),
    (z((2, 3)), z(3), one(3), z(2), None, {}, ValueError, "weight has shape (2,)"),
    (z((2, 3)), z(3), one(3), None, z(2), {}, ValueError, "bias has shape (2,)"),
    (z(3), None, None, None, None, {"training": True}, ValueError, "x has shape (3,)"),
    (z((2, 3)), None, None, None, None, {}, ValueError, "running_mean is None"),
    (z((2, 3)), z(3), None, None, None, {}, ValueError, "expected both or neither"),
    (z((2, 3)), None, z(3), None, None, {"training": True}, ValueError, "expected both or neither"),
    (z((1, 3)), None, None, None, None, {"training": True}, ValueError, "x (1, 3) has one value a channel"),
    (z((1, 3, 1, 1)), None, None, None, None, {"training": True}, ValueError, "has one value a channel"),
    (z((2, 3)), None, None, None, None, {"training": True, "eps": 0.0}, ValueError, "eps is 0.0"),
    (z((2, 3)), None, None, None, None, {"training": True, "eps": -1.0}, ValueError, "eps is -1.0"),
    (z((2, 3)), z(3, "float32"), one(3, "float32"), None, None, {}, TypeError, "running_mean has dtype float32"),
    (z((2, 3)), z(3), one(3), z(3, "float32"), None, {}, TypeError, "weight has dtype float32"),
    (z((2, 3), int), None, None, None, None, {"training": True}, TypeError, "x has dtype int64"),
    (None, None, None, None, None, {"training": True}, TypeError, "x is a NoneType"),
    (z((2, 3)), z(3), one(3), None, None, {"momentum": None, "training": True}, TypeError, "momentum is None"),
]  # fmt: skip


@pytest.mark.parametrize(("x", "mean", "var", "weight", "bias", "how", "error", "message"), BAD)
def test_bad_input(x, mean, var, weight, bias, how, error, message):
    args = [x, mean, var, weight, bias]
    with pytest.raises(error, match=re.escape(message)) as raised:
        F.batch_norm(*[at.tensor(a) if isinstance(a, np.ndarray) else a for a in args], **how)
    assert str(raised.value).startswith("batch_norm: ")
    assert_torch_refuses(lambda F, *a: F.batch_norm(*a, **how), *args)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_must_not_require_grad(training):
    with pytest.raises(RuntimeError, match="batch_norm: the running statistics require grad"):
        F.batch_norm(at.ones(2, 3), at.zeros(3, requires_grad=True), at.ones(3), training=training)


def test_bad_input_leaves_the_statistics():
    mean, var = at.zeros(3), at.ones(3)
    with pytest.raises(ValueError, match="weight has shape"):
        F.batch_norm(at.ones(2, 3), mean, var, at.ones(2), training=True)
    assert mean.tolist() == [0.0] * 3


def test_batches_are_counted_in_training():
    mean, var, batches = at.zeros(3), at.ones(3), at.tensor(0)
    for training in (True, False, True):
        at.ops.batch_norm(at.ones(2, 3), mean, var, training=training, num_batches_tracked=batches)
    at.ops.batch_norm(at.ones(0, 3), mean, var, training=True, num_batches_tracked=batches)  # without statistics
    assert batches.item() == 3
    assert batches._version[0] == 3


@pytest.mark.parametrize("training", [True, False])
def test_no_backward_unless_wanted(training, monkeypatch):
    with counted_kernels(monkeypatch) as calls:
        y = F.batch_norm(at.ones(2, 3), at.zeros(3), at.ones(3), training=training)
        assert not y.requires_grad
    before = ["batch_norm_statistics"] if training else []
    assert calls == [*before, "batch_norm_forward"]


def test_no_conversion_of_channels_last_maps():
    x = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)), requires_grad=True)
    vectors = at.tensor(draw(4, 3), requires_grad=True)
    grad_y = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)))
    grad_z = at.tensor(draw(4, 3))
    before = layout.conversions()
    y, z = F.batch_norm(x, None, None, training=True), F.batch_norm(vectors, None, None, training=True)
    assert layout.conversions() == before
    y.backward(grad_y)
    z.backward(grad_z)
    # the reference returns gradients in any order, and leaves take theirs in their own
    assert backend_name() == "reference" or layout.conversions() == before


def test_strided_input():
    x = randomly_strided(draw(2, 3, 4, 5))
    expected = F.batch_norm(at.tensor(np.ascontiguousarray(x)), None, None, training=True)
    np.testing.assert_allclose(
        F.batch_norm(at.from_numpy(x), None, None, training=True).numpy(), expected.numpy(), rtol=1e-12
    )


def test_change_in_place_is_noticed():
    x = at.Tensor(layout.channels_last(draw(2, 3, 4, 5)))
    weight = at.ones(3, dtype=at.float64, requires_grad=True)
    y = F.batch_norm(x, None, None, weight, training=True)
    x += 1
    with pytest.raises(RuntimeError, match=r"batch_norm.*changed in place"):
        y.sum().backward()


def test_running_statistics_that_move_before_backward():
    """In training nothing needs the old ones; in evaluation the gradient does."""
    mean, var = at.zeros(3), at.ones(3)
    x = at.tensor(draw(4, 3).astype("float32"), requires_grad=True)
    y, z = F.batch_norm(x, mean, var, training=True), F.batch_norm(x, mean, var)
    F.batch_norm(x, mean, var, training=True)
    y.sum().backward()
    with pytest.raises(RuntimeError, match=r"batch_norm.*changed in place"):
        z.sum().backward()
