"""Convolution of sequences, as a function and as layers, and the padding modes of Conv1d and Conv2d."""

import inspect
import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import layout, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

X, ONE = (2, 4, 11), (4, 11)
FORWARD = [  # the input's shape, the weight's, and the rest
    (X, (6, 4, 3), {}),
    (ONE, (6, 4, 3), {"stride": 2, "padding": 1}),
    (X, (6, 2, 4), {"stride": (3,), "padding": (2,), "dilation": (2,), "groups": 2}),
    (X, (4, 1, 3), {"padding": "same", "groups": 4}),
    (ONE, (6, 4, 4), {"padding": "same", "dilation": 3}),
    (X, (6, 4, 2), {"padding": "valid"}),
    (X, (6, 4, 1), {}),
    ((0, 4, 11), (6, 4, 3), {}),
    ((1, 4, 1), (6, 4, 3), {"padding": 1}),
]
TRANSPOSED = [
    (X, (4, 6, 3), {}),
    (ONE, (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    (X, (4, 3, 4), {"stride": (3,), "padding": (2,), "output_padding": (2,), "dilation": (2,), "groups": 2}),
    (X, (4, 6, 2), {"dilation": 3, "output_padding": 2}),
    ((0, 4, 11), (4, 6, 3), {}),
]
FUNCTIONS = {"conv1d": FORWARD, "conv_transpose1d": TRANSPOSED}
CASES = [(name, *case) for name, cases in FUNCTIONS.items() for case in cases]


def channels(name, w, how):
    return w[0] if name == "conv1d" else w[1] * how.get("groups", 1)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "x", "w", "how"), CASES)
def test_agrees_with_pytorch(name, x, w, how, dtype):
    arrays = [draw(*x), draw(*w, seed=1), draw(channels(name, w, how), seed=2)]
    for count in (3, 2):
        assert_parity(lambda F, x, w, b=None: getattr(F, name)(x, w, b, **how), *arrays[:count], dtype=dtype)


@pytest.mark.parametrize(("name", "x", "w", "how"), [case for case in CASES if 0 not in case[1]])
def test_gradient(name, x, w, how):
    arrays = [draw(*x), draw(*w, seed=1), draw(channels(name, w, how), seed=2)]
    tensors = [at.tensor(a, requires_grad=True) for a in arrays]
    assert gradcheck(lambda *t: getattr(F, name)(*t, **how), tensors, fast_mode=True)


def test_numbers_by_hand():
    x = at.tensor([[1.0, 2.0, 4.0, 8.0]])
    assert F.conv1d(x, at.tensor([[[1.0, 10.0]]]), padding=1, stride=2).tolist() == [[10.0, 42.0, 8.0]]
    assert F.conv1d(x, at.tensor([[[1.0, 10.0]]]), padding="same").tolist() == [[21.0, 42.0, 84.0, 8.0]]
    assert F.conv_transpose1d(x, at.tensor([[[1.0, 10.0]]])).tolist() == [[1.0, 12.0, 24.0, 48.0, 80.0]]


def test_a_chain_of_layers_converts_its_input_once():
    """Besides the weights, which lie as (OC, IC, K) and are put in order at each call."""
    net = (
        nn.Sequential(nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 1), nn.Conv1d(8, 4, 1))
        .eval()
        .requires_grad_(False)
    )
    x = at.tensor(draw(2, 3, 50).astype(np.float32))
    before = layout.conversions()
    y = net(x)
    assert layout.conversions() == before + 1
    assert y.data.transpose(0, 2, 1).flags.c_contiguous
    strided = at.from_numpy(randomly_strided(x.numpy()))
    np.testing.assert_array_equal(net(strided).numpy(), y.numpy())


BAD = [  # the input's shape, the weight's, further arguments, error, message
    ((4,), (6, 4, 3), {}, ValueError, "conv1d: input has shape (4,); expected (N, C, L) or (C, L)"),
    ((2, 0, 5), (6, 4, 3), {}, ValueError, "conv1d: input has shape (2, 0, 5); expected 1 or more channels"),
    (X, (6, 4), {}, ValueError, "conv1d: weight has shape (6, 4); expected three sizes"),
    (X, (6, 3, 3), {}, ValueError, "conv1d: input has 4 channels; expected 3 from weight (6, 3, 3)"),
    (X, (5, 2, 3), {"groups": 2}, ValueError, "conv1d: weight has 5 filters; expected a multiple of groups 2"),
    (X, (6, 4, 3), {"bias": np.zeros(4)}, ValueError, "conv1d: bias has shape (4,); expected (6,)"),
    (X, (6, 4, 3), {"stride": 0}, ValueError, "conv1d: stride is 0"),
    (X, (6, 4, 3), {"padding": -1}, ValueError, "conv1d: padding is -1; expected 0 or more"),
    (X, (6, 4, 3), {"padding": "full"}, ValueError, "conv1d: padding is 'full'; expected 'same', 'valid' or a number"),
    (X, (6, 4, 3), {"padding": "same", "stride": 2}, ValueError, "conv1d: padding 'same' needs stride 1; got 2"),
    (X, (6, 4, 12), {}, ValueError, "conv1d: weight (6, 4, 12) with dilation 1 exceeds the input (2, 4, 11)"),
    (X, (6, 4, 3), {"stride": (1, 1)}, ValueError, "conv1d: stride has 2 numbers; expected one int"),
    (X, (6, 4, 3), {"dilation": 1.5}, TypeError, "conv1d: dilation is 1.5; expected one int"),
]


@pytest.mark.parametrize(("x", "w", "how", "error", "message"), BAD)
def test_conv1d_refuses(x, w, how, error, message):
    how = dict(how)
    bias = [how.pop("bias")] if "bias" in how else []

    def call(F, *tensors):
        return F.conv1d(*tensors, **how)

    arrays = [draw(*x), draw(*w, seed=1), *bias]
    with pytest.raises(error, match=re.escape(message)):
        call(F, *map(at.tensor, arrays))
    assert_torch_refuses(call, *arrays)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"output_padding": 1}, "output_padding is 1; expected 0 or more, less than stride 1 or dilation 1"),
        ({"padding": 7}, r"the output of the input \(2, 4, 11\) with padding 7 would have length -1"),
        ({"groups": 3}, "input has 4 channels|weight has 4 filters; expected a multiple of groups 3"),
    ],
)
def test_conv_transpose1d_refuses(how, message):
    x, w = draw(*X), draw(4, 6, 3)
    with pytest.raises(ValueError, match=f"conv_transpose1d: {message}"):
        F.conv_transpose1d(at.tensor(x), at.tensor(w), **how)
    assert_torch_refuses(lambda F, x, w: F.conv_transpose1d(x, w, **how), x, w)


LAYERS = [
    ("Conv1d", (4, 6, 3), {}),
    ("Conv1d", (4, 6, 4, 2, 3, 2, 2, False), {}),
    ("Conv1d", (4, 6, 4), {"padding": "same", "padding_mode": "reflect"}),
    ("Conv1d", (4, 6, 3), {"padding": 2, "stride": 2, "padding_mode": "circular"}),
    ("Conv1d", (4, 6, 3), {"padding": 2, "padding_mode": "replicate"}),
    ("Conv1d", (4, 6, 3), {"padding": "valid", "padding_mode": "replicate"}),
    ("ConvTranspose1d", (4, 6, 3), {}),
    ("ConvTranspose1d", (4, 6, 3, 2, 1, 1, 2, False, 2), {}),
    ("Conv2d", (4, 6, 3), {"padding": (2, 1), "padding_mode": "reflect"}),
    ("Conv2d", (4, 6, (2, 4)), {"padding": "same", "dilation": (3, 1), "padding_mode": "replicate"}),
    ("Conv2d", (4, 6, 3), {"padding": 3, "stride": (2, 1), "groups": 2, "padding_mode": "circular"}),
]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(("name", "args", "how"), LAYERS)
def test_layers_as_pytorch(name, args, how, batched):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **how).double(), getattr(torch.nn, name)(*args, **how).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    values = draw(2, 4, 9) if name.endswith("1d") else draw(2, 4, 9, 7)
    values = values if batched else values[0]
    a, b = at.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, z = ours(a), theirs(b)
    weights = draw(*z.shape, seed=1)
    (y * at.tensor(weights)).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-12)
    names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
    assert names[0] == [n for n in names[1] if n not in ("device", "dtype")]


def test_output_size_chooses_the_length():
    torch = pytest.importorskip("torch")
    for kind, size in (("1d", [22]), ("1d", (2, 3, 23)), ("2d", [22, 23])):
        x = np.zeros((2, 4, 11) if kind == "1d" else (2, 4, 11, 11))
        layers = [getattr(lib.nn, f"ConvTranspose{kind}")(4, 3, 4, 2, 1).double() for lib in (at, torch)]
        shapes = [tuple(layer(lib.tensor(x), size).shape) for layer, lib in zip(layers, (at, torch), strict=True)]
        assert shapes[0] == shapes[1]
    with pytest.raises(ValueError, match=r"ConvTranspose1d: output_size is \[24\]; expected from \[22\]"):
        nn.ConvTranspose1d(4, 3, 4, 2, 1)(at.zeros(2, 4, 11), [24])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv1d(4, 6, 3, padding_mode="mirror"), "Conv1d: padding_mode is 'mirror'; expected one of"),
        (lambda: nn.Conv2d(4, 6, 3, 2, "same"), "Conv2d: padding 'same' needs stride 1"),
        (lambda: nn.ConvTranspose1d(4, 6, 3, padding_mode="reflect"), "ConvTranspose1d: padding_mode is 'reflect'"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="circular"), "ConvTranspose2d: padding_mode is 'circular'"),
        (lambda: nn.Conv1d(4, 6, (3, 3)), "Conv1d: kernel_size has 2 numbers; expected one int"),
        (lambda: nn.Conv1d(4, 6, 3, padding=4, padding_mode="reflect")(at.zeros(4, 3)), "mode 'reflect' takes 2"),
    ],
)
def test_layers_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_configurations(seed):
    rng = np.random.default_rng(seed)
    groups, K, stride, dilation = (int(rng.integers(1, top)) for top in (4, 5, 4, 4))
    IC, OC = (groups * int(rng.integers(1, 4)) for _ in range(2))
    padding = int(rng.integers(0, 4))
    L = int(rng.integers(max(1, dilation * (K - 1) + 1 - 2 * padding, padding + 1), 20))
    x = draw(int(rng.integers(1, 4)), L, IC, seed=seed).transpose(0, 2, 1)
    x = x if seed % 2 else np.ascontiguousarray(x)
    w, v = draw(OC, IC // groups, K, seed=seed), draw(IC, OC // groups, K, seed=seed)
    mode = ["constant", "reflect", "replicate", "circular"][seed % 4]

    def around(F, x, w):
        return F.conv1d(F.pad(x, (padding, padding), mode=mode), w, None, stride, 0, dilation, groups)

    assert_parity(around, x, w)
    extra = int(rng.integers(0, max(stride, dilation)))
    if (L - 1) * stride - 2 * padding + dilation * (K - 1) + extra >= 0:
        how = (stride, padding, extra, groups, dilation)
        assert_parity(lambda F, x, v: F.conv_transpose1d(x, v, None, *how), x, v)
