"""Unfold and fold, the layers made of convolutions, and the one without shared weights."""

import inspect
import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import gpu, layout, models, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

WINDOWS = [  # of images of 7 × 6: kernel_size, dilation, padding, stride, and how many windows there are
    ((3, 2), {}, 25),
    ((2, 3), {"stride": (2, 3)}, 6),
    (3, {"padding": 2, "dilation": 2, "stride": 2}, 12),
    ((1, 4), {"padding": (0, 3), "dilation": (1, 2)}, 42),
    (7, {"padding": 4, "stride": 3}, 9),
    (2, {"padding": 3, "dilation": 6, "stride": 5}, 4),
]


@pytest.mark.parametrize("shape", [(2, 3, 7, 6), (3, 7, 6), (0, 3, 7, 6)], ids=str)
@pytest.mark.parametrize(("kernel_size", "how", "windows"), WINDOWS)
def test_unfold_and_fold_as_pytorch(kernel_size, how, windows, shape):
    assert_parity(lambda F, x: F.unfold(x, kernel_size, **how), draw(*shape))
    taps = np.prod(np.broadcast_to(kernel_size, 2))
    columns = draw(*shape[:-3], 3 * taps, windows)
    assert_parity(lambda F, x: F.fold(x, (7, 6), kernel_size, **how), columns)


def test_convolution_is_unfold_and_a_product():
    x, w = at.tensor(draw(2, 3, 7, 6)), at.tensor(draw(4, 3, 3, 3))
    y = (w.reshape(4, -1) @ F.unfold(x, 3, padding=1)).reshape(2, 4, 7, 6)
    np.testing.assert_allclose(y.numpy(), F.conv2d(x, w, padding=1).numpy(), rtol=1e-12, atol=1e-13)


def test_strides_and_other_array_libraries(foreign):
    x = draw(2, 3, 7, 6)
    expected = F.unfold(at.tensor(x), 3, 2, 1, 2).numpy()
    for version in (layout.channels_last(x), randomly_strided(x)):
        np.testing.assert_array_equal(F.unfold(at.from_numpy(version), 3, 2, 1, 2).numpy(), expected)
    there = at.Tensor(foreign.asarray(x), True)
    y = F.fold(F.unfold(there, 3, 2, 1, 2), (7, 6), 3, 2, 1, 2)
    y.sum().backward()
    np.testing.assert_array_equal(gpu.to_host(y.data), F.fold(at.tensor(expected), (7, 6), 3, 2, 1, 2).numpy())
    assert isinstance(there.grad.data, foreign.ndarray)


BAD = [
    (lambda F, x: F.unfold(x[0, 0], 3), "unfold: input has shape (7, 6); expected (N, C, H, W)"),
    (lambda F, x: F.unfold(x, 8), "unfold: kernel_size (8, 8) with dilation (1, 1) exceeds (7, 6)"),
    (lambda F, x: F.unfold(x, 3, dilation=0), "unfold: kernel_size is (3, 3), dilation (0, 0), stride (1, 1)"),
    (lambda F, x: F.unfold(x, 3, padding=-1), "unfold: padding is -1; expected 0 or more"),
    (lambda F, x: F.fold(x, (7, 6), 3), "fold: input has shape (2, 18, 7, 6); expected (N, C·KH·KW, L)"),
    (lambda F, x: F.fold(x[0], (7, 6), 3), "fold: input has 7 rows; expected a multiple of kernel_size (3, 3)"),
    (
        lambda F, x: F.fold(x[:, :, 0], (3, 5), (3, 2)),
        "fold: input has 6 columns; expected 1 × 4 from output_size (3, 5)",
    ),
    (lambda F, x: F.fold(x[:, :, 0], (0, 5), 2), "fold: output_size is (0, 5); expected 1 or more"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_refusals(call, message):
    x = draw(2, 18, 7, 6)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(F, at.tensor(x))
    assert_torch_refuses(call, x)


def test_layers_as_pytorch():
    torch = pytest.importorskip("torch")
    for name, args, shape in (
        ("Unfold", (3, 2, 1, (2, 1)), (2, 3, 7, 6)),
        ("Fold", ((7, 6), 2, 1, 0, (1, 2)), (2, 12, 18)),
    ):
        ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
        x = draw(*shape)
        np.testing.assert_allclose(ours(at.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-12)
        assert repr(ours) == repr(theirs)
        names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
        assert names[0] == names[1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "how",
    [{}, {"stride": (2, 1), "padding": (1, 2)}, {"dilation": 2, "padding": 1}],
    ids=["plain", "strided", "atrous"],
)
def test_locally_connected_as_a_loop_of_convolutions(how, bias):
    """Each output pixel is PyTorch's convolution of its window, which is the image that one filter fits."""
    torch = pytest.importorskip("torch")
    layer = nn.LocallyConnected2d(3, 4, (6, 7), (3, 2), bias=bias, **how).double()
    x = draw(2, 3, 6, 7)
    weight, inside = (
        torch.tensor(layer.weight.detach().numpy(), requires_grad=True),
        torch.tensor(x, requires_grad=True),
    )
    (KH, KW), (sh, sw), (ph, pw), (dh, dw) = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    padded = torch.nn.functional.pad(inside, (pw, pw, ph, ph))
    OH, OW = layer.output_size
    rows = []
    for oh in range(OH):
        for ow in range(OW):
            window = padded[:, :, oh * sh : oh * sh + dh * (KH - 1) + 1, ow * sw : ow * sw + dw * (KW - 1) + 1]
            rows.append(torch.nn.functional.conv2d(window, weight[oh, ow], dilation=(dh, dw)))
    expected = torch.cat(rows, 2).reshape(2, 4, OH, OW)
    if bias:
        expected = expected + torch.tensor(layer.bias.detach().numpy())
    a = at.tensor(x, requires_grad=True)
    y = layer(a)
    weights = draw(*y.shape, seed=1)
    (y * at.tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    close = {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), **close)
    np.testing.assert_allclose(a.grad.numpy(), inside.grad.numpy(), **close)
    np.testing.assert_allclose(layer.weight.grad.numpy(), weight.grad.numpy(), **close)
    if bias:
        np.testing.assert_allclose(layer.bias.grad.numpy(), weights.sum(0), **close)
    np.testing.assert_allclose(layer(at.tensor(x[1])).detach().numpy(), y[1].detach().numpy(), **close)


def test_locally_connected_with_one_filter_everywhere_is_a_convolution():
    layer, conv = nn.LocallyConnected2d(2, 3, 5, 3, padding=1, bias=False), nn.Conv2d(2, 3, 3, padding=1, bias=False)
    with at.no_grad():
        layer.weight.copy_(conv.weight.expand(5, 5, 3, 2, 3, 3))
        x = at.tensor(draw(2, 2, 5, 5).astype(np.float32))
        np.testing.assert_allclose(layer(x).numpy(), conv(x).numpy(), rtol=2e-5, atol=1e-5)
    assert layer.weight.numel() == 25 * conv.weight.numel()
    assert models.count_macs(layer, 4, 2, 5, 5) == models.count_macs(conv, 4, 2, 5, 5) == 4 * 25 * 54
    assert abs(layer.weight).max().item() <= 1 / 18**0.5
    assert gradcheck(nn.LocallyConnected2d(1, 2, (3, 4), 2).double(), [at.tensor(draw(2, 1, 3, 4), requires_grad=True)])
    assert repr(layer) == (
        "LocallyConnected2d(2, 3, input_size=(5, 5), kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)"
    )


def test_locally_connected_refuses():
    with pytest.raises(ValueError, match=r"LocallyConnected2d: input has shape \(1, 3, 5, 5\); expected \(2, 5, 5\)"):
        nn.LocallyConnected2d(2, 3, 5, 3)(at.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match="LocallyConnected2d: kernel_size 6 exceeds input_size 5 with padding 0"):
        nn.LocallyConnected2d(2, 3, 5, 6)


def test_depthwise_separable():
    torch = pytest.importorskip("torch")
    ours = nn.DepthwiseSeparableConv2d(4, 6, 3, 2, 1, depth_multiplier=2).double()
    theirs = torch.nn.ModuleDict(
        {
            "depthwise": torch.nn.Conv2d(4, 8, 3, 2, 1, groups=4, bias=False),
            "pointwise": torch.nn.Conv2d(8, 6, 1),
        }
    ).double()
    ours.load_state_dict(theirs.state_dict())
    x = draw(2, 4, 7, 6)
    expected = theirs["pointwise"](theirs["depthwise"](torch.tensor(x))).detach().numpy()
    np.testing.assert_allclose(ours(at.tensor(x)).detach().numpy(), expected, rtol=1e-11, atol=1e-12)
    assert sum(p.numel() for p in nn.DepthwiseSeparableConv2d(16, 32, 3, bias=False).parameters()) == 16 * 9 + 16 * 32


def test_a_classifier_becomes_fully_convolutional():
    """Equal outputs on the training size; on a larger image, at each place what the classifier says of the window."""
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)).double()
    first, second = nn.Linear(4 * 3 * 3, 8).double(), nn.Linear(8, 5, bias=False).double()
    dense = nn.Sequential(features, nn.Flatten(), first, nn.ReLU(), second)
    heads = nn.utils.linear_to_conv2d(first, (4, 3, 3)), nn.utils.linear_to_conv2d(second, (8, 1, 1))
    convolutional = nn.Sequential(features, heads[0], nn.ReLU(), heads[1])
    x = at.tensor(draw(2, 3, 8, 8))
    same = convolutional(x)
    assert same.shape == (2, 5, 1, 1)
    np.testing.assert_allclose(same.flatten(1).detach().numpy(), dense(x).detach().numpy(), rtol=1e-12, atol=1e-13)
    large = at.tensor(draw(2, 3, 12, 10))
    y = convolutional(large)
    assert y.shape == (2, 5, 3, 2)
    for i, j in np.ndindex(3, 2):  # the pool's stride is two pixels
        window = large[:, :, 2 * i : 2 * i + 8, 2 * j : 2 * j + 8]
        np.testing.assert_allclose(y[:, :, i, j].tolist(), dense(window).tolist(), rtol=1e-12, atol=1e-13)


def test_linear_to_conv2d_refuses():
    with pytest.raises(ValueError, match=r"linear_to_conv2d: input_size \(4, 3, 2\) has 24 elements; expected the 36"):
        nn.utils.linear_to_conv2d(nn.Linear(36, 5), (4, 3, 2))
    with pytest.raises(TypeError, match="linear_to_conv2d: linear is a Conv2d; expected a Linear"):
        nn.utils.linear_to_conv2d(nn.Conv2d(1, 1, 1), (1, 1, 1))
