"""Activations without a kernel: values, gradients, special values and refusals beside PyTorch's, on either device."""

import inspect
import math

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous import gpu, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F
from atrous.ops.erf import erf

NAN, INF = float("nan"), float("inf")
FUNCTIONS = {
    "threshold": lambda F, x, *a: F.threshold(x, 0.1, -3.0, *a),
    "hardtanh": lambda F, x, *a: F.hardtanh(x, -0.5, 2.0, *a),
    "relu6": lambda F, x, *a: F.relu6(x, *a),
    "hardsigmoid": lambda F, x, *a: F.hardsigmoid(x, *a),
    "hardswish": lambda F, x, *a: F.hardswish(x, *a),
    "elu": lambda F, x, *a: F.elu(x, 0.7, *a),
    "selu": lambda F, x, *a: F.selu(x, *a),
    "celu": lambda F, x, *a: F.celu(x, 1.5, *a),
    "gelu": lambda F, x: F.gelu(x),
    "gelu by tanh": lambda F, x: F.gelu(x, approximate="tanh"),
    "silu": lambda F, x, *a: F.silu(x, *a),
    "mish": lambda F, x, *a: F.mish(x, *a),
    "softplus": lambda F, x: F.softplus(x),
    "softplus of 2": lambda F, x: F.softplus(x, 2.0, 4.0),
    "logsigmoid": lambda F, x: F.logsigmoid(x),
    "softsign": lambda F, x: F.softsign(x),
    "tanhshrink": lambda F, x: F.tanhshrink(x),
    "softshrink": lambda F, x: F.softshrink(x, 0.3),
    "hardshrink": lambda F, x: F.hardshrink(x, 0.3),
    "softmin": lambda F, x: F.softmin(x, 0),
}
INPLACE = ["threshold", "hardtanh", "relu6", "hardsigmoid", "hardswish", "elu", "selu", "celu", "silu", "mish"]
LAYERS = {
    "CELU": {"alpha": 1.5},
    "ELU": {"alpha": 0.7},
    "GELU": {"approximate": "tanh"},
    "GLU": {"dim": 1},
    "Hardshrink": {"lambd": 0.3},
    "Hardsigmoid": {},
    "Hardswish": {},
    "Hardtanh": {"min_val": -0.5, "max_val": 2.0},
    "LogSigmoid": {},
    "Mish": {},
    "PReLU": {"num_parameters": 4, "init": 0.1},
    "ReLU6": {},
    "SELU": {},
    "SiLU": {},
    "Softmax2d": {},
    "Softmin": {"dim": 1},
    "Softplus": {"beta": 2.0, "threshold": 4.0},
    "Softshrink": {"lambd": 0.3},
    "Softsign": {},
    "Tanhshrink": {},
    "Threshold": {"threshold": 0.1, "value": -3.0},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7,), (2, 4, 5, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_agrees_with_pytorch(name, shape, dtype):
    """PyTorch's hardsigmoid has a sixth in float32, whatever the dtype."""
    terms = 1 << 28 if (name, dtype) == ("hardsigmoid", "float64") else 16
    assert_parity(FUNCTIONS[name], 3 * draw(*shape), dtype=dtype, terms=terms)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "softmin"])
def test_special_values_as_pytorch(name):
    values = [NAN, INF, -INF, 0.0, 1e-310, -1e-310, 800.0, -800.0, 3.0, -3.0, 6.0, 0.3, -0.3, 0.1, -0.5, 2.0]
    assert_parity(FUNCTIONS[name], np.array(values), gradients=False)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "softmin"])
def test_gradients_at_the_joints_as_pytorch(name):
    joints = np.array([0.0, 3.0, -3.0, 6.0, 0.3, -0.3, 0.1, -0.5, 2.0, 30.0, -30.0])
    assert_parity(FUNCTIONS[name], joints, terms=1 << 28 if name == "hardsigmoid" else 64)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradient(name):
    x = at.tensor(np.array([[0.21, -0.37, 1.13], [-1.9, 2.7, -0.21]]), requires_grad=True)
    assert gradcheck(lambda x: FUNCTIONS[name](F, x), [x])


@pytest.mark.parametrize("name", INPLACE)
def test_in_place(name):
    leaf = at.tensor(draw(3, 4), requires_grad=True)
    x = leaf * 2
    y = FUNCTIONS[name](F, x, True)
    assert y is x
    expected = FUNCTIONS[name](F, leaf * 2)
    assert y.tolist() == expected.tolist()
    weights = at.tensor(draw(3, 4, seed=1))
    grads = [at.autograd.grad((z * weights).sum(), leaf)[0].tolist() for z in (y, expected)]
    assert grads[0] == grads[1]
    with pytest.raises(RuntimeError, match="a leaf that requires grad is written in place"):
        FUNCTIONS[name](F, leaf, True)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 4, 3), (2, 4, 3, 5)], ids=str)
@pytest.mark.parametrize("channels", [1, 4])
def test_prelu_as_pytorch(shape, channels):
    if channels == 4 and len(shape) < 2:
        assert_torch_refuses(lambda F, x, w: F.prelu(x, w), draw(*shape), draw(4))
        return
    x = draw(*shape)
    x.flat[0] = 0.0
    assert_parity(lambda F, x, w: F.prelu(x, w), x, draw(channels, seed=2))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_glu_as_pytorch(dim):
    assert_parity(lambda F, x: F.glu(x, dim), draw(4, 6))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_as_pytorch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(**LAYERS[name]), getattr(torch.nn, name)(**LAYERS[name])
    x = draw(2, 4, 3, 5).astype(np.float32)
    y = ours(at.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y, theirs(torch.tensor(x)).detach().numpy(), rtol=2e-6, atol=2e-6)
    names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
    assert names[0] == [n for n in names[1] if n not in ("args", "kwargs", "min_value", "max_value")]
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    assert all(f"{key}={value!r}" in repr(ours) for key, value in LAYERS[name].items() if key != "init")


def test_maxout():
    layer = nn.Maxout(3, 2, pieces=4)
    x = at.tensor(draw(5, 3).astype(np.float32))
    pieces = layer.linear(x).detach().numpy().reshape(5, 2, 4)
    np.testing.assert_array_equal(layer(x).detach().numpy(), pieces.max(-1))
    assert nn.Maxout(1, 1, pieces=2)(at.zeros(0, 1)).shape == (0, 1)
    with pytest.raises(ValueError, match="Maxout: pieces is 0"):
        nn.Maxout(1, 1, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, x: F.hardtanh(x, 1.0, -1.0), "hardtanh: min_val is 1.0 and max_val -1.0"),
        (lambda F, x: F.celu(x, 0.0), "celu: alpha is 0"),
        (lambda F, x: F.gelu(x, approximate="erf"), "gelu: approximate is 'erf'; expected 'none' or 'tanh'"),
        (lambda F, x: F.softshrink(x, -1.0), r"softshrink: lambd is -1\.0"),
        (lambda F, x: F.glu(x, 1), "glu: axis 1 has size 3; expected an even one"),
        (lambda F, x: F.glu(x, 2), "glu: dim is 2; expected one of 2 axes"),
        (lambda F, x: F.glu(x[0, 0]), "glu: the input has no axes"),
    ],
)
def test_refusals(call, message):
    x = draw(2, 3)
    with pytest.raises((ValueError, IndexError), match=message):
        call(F, at.tensor(x))
    assert_torch_refuses(call, x)


def test_prelu_refuses_other_weights():
    with pytest.raises(ValueError, match=r"prelu: weight has shape \(3,\); expected \(1,\) or \(4,\)"):
        F.prelu(at.ones(2, 4), at.ones(3))
    with pytest.raises(TypeError, match="prelu: weight has dtype float64; expected float32 as input"):
        F.prelu(at.ones(2, 4), at.ones(1).double())


@pytest.mark.parametrize("name", ["elu", "glu", "hardswish", "gelu", "tanhshrink"])
@pytest.mark.parametrize("bad", [[1.0], np.ones(2), at.arange(4)], ids=["list", "array", "int64"])
def test_refuses_what_is_no_float_tensor(name, bad):
    with pytest.raises(TypeError, match=f"{name}: input"):
        getattr(F, name)(bad)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"softmin", "tanhshrink"}))  # which are of kernels
def test_on_another_array_library(name, foreign):
    x = (3 * draw(4, 5)).astype(np.float32)
    there = at.Tensor(foreign.asarray(x), True)
    y = FUNCTIONS[name](F, there)
    y.sum().backward()
    here = at.tensor(x, requires_grad=True)
    expected = FUNCTIONS[name](F, here)
    expected.sum().backward()
    np.testing.assert_allclose(gpu.to_host(y.data), expected.detach().numpy(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(gpu.to_host(there.grad.data), here.grad.numpy(), rtol=1e-6, atol=1e-7)


def test_erf_beside_the_c_librarys():
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.46875, 4.0, -4.0, 1e-300, -1e-300, INF, -INF]])
    exact = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(erf(np, x), exact, rtol=1e-15, atol=0)
    np.testing.assert_allclose(erf(np, x.astype(np.float32)), exact, rtol=0, atol=2e-7)
    assert np.isnan(erf(np, np.array([NAN]))).all()
    assert np.signbit(erf(np, np.array([-0.0]))).all()
