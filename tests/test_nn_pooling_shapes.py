"""Pooling of sequences, pyramids, power means and unpooling, beside PyTorch's."""

import inspect
import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import gpu, layout, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
WINDOWS = [  # of sequences of 11
    (2,),
    (3, 2, 1),
    ((4,), (3,), (2,)),
    (3, None, 1),
]
SHAPES = [(2, 4, 11), (4, 11), (0, 4, 11)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pools_of_sequences_as_pytorch(window, ceil_mode, shape):
    x = draw(*shape)
    assert_parity(lambda F, x: F.max_pool1d(x, *window, ceil_mode=ceil_mode, return_indices=True), x)
    assert_parity(lambda F, x: F.avg_pool1d(x, *window, ceil_mode=ceil_mode), x)
    assert_parity(lambda F, x: F.avg_pool1d(x, *window, ceil_mode=ceil_mode, count_include_pad=False), x)


def test_dilated_pools_and_adaptive_ones_as_pytorch():
    for shape in SHAPES[:2]:
        x = draw(*shape)
        assert_parity(lambda F, x: F.max_pool1d(x, 3, 2, 1, 3), x)
        assert_parity(lambda F, x: F.max_pool1d(x, 12, 4, ceil_mode=True), x)  # one window, which overhangs
        for size in (1, 4, (11,), 15):
            assert_parity(lambda F, x, size=size: F.adaptive_avg_pool1d(x, size), x)
            assert_parity(lambda F, x, size=size: F.adaptive_max_pool1d(x, size, return_indices=True), x)


def test_sequences_keep_their_memory():
    x = at.Tensor(np.ascontiguousarray(draw(2, 50, 4)).transpose(0, 2, 1), requires_grad=True)
    before = layout.conversions()
    y = F.avg_pool1d(F.max_pool1d(x, 2), 2)
    assert layout.conversions() == before
    assert y.data.transpose(0, 2, 1).flags.c_contiguous
    np.testing.assert_array_equal(
        F.max_pool1d(at.tensor(np.ascontiguousarray(x.data)), 2).data, F.max_pool1d(x, 2).data
    )


BAD = [
    (lambda F, x: F.max_pool1d(x[0, 0], 2), "max_pool1d: input has shape (11,); expected (N, C, L) or (C, L)"),
    (lambda F, x: F.max_pool1d(x, 12), "max_pool1d: the window 12 with dilation 1 exceeds the input (2, 4, 11)"),
    (lambda F, x: F.max_pool1d(x, 3, padding=2), "max_pool1d: padding is 2; expected 0 to half of kernel_size 3"),
    (lambda F, x: F.avg_pool1d(x, 3, 0), "avg_pool1d: kernel_size is 3, stride 0, dilation 1; expected 1 or more"),
    (lambda F, x: F.adaptive_avg_pool1d(x, -1), "adaptive_avg_pool1d: output_size is -1; expected 0 or more"),
    (lambda F, x: F.adaptive_max_pool1d(x, (2, 2)), "adaptive_max_pool1d: output_size has 2 numbers; expected one int"),
    (lambda F, x: F.lp_pool1d(x, 0, 2), "lp_pool1d: norm_type is 0; expected another number"),
    (lambda F, x: F.lp_pool2d(x, 2, 5), "exceeds x (1, 2, 4, 11)"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_refusals(call, message):
    x = draw(2, 4, 11)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(F, at.tensor(x))
    if "norm_type" not in message:  # PyTorch's is a ZeroDivisionError
        assert_torch_refuses(call, x)


@pytest.mark.parametrize("p", [1, 2, 3.0, 0.5, -1, INF, -INF])
def test_power_means_as_pytorch(p):
    """Negative sums have no root: NaN on both sides, as have the gradients."""
    for x in (draw(2, 3, 7, 6), np.abs(draw(3, 7, 6)) + 0.1):
        assert_parity(lambda F, x: F.lp_pool2d(x, p, (3, 2)), x)
        assert_parity(lambda F, x: F.lp_pool2d(x, p, 2, 3, ceil_mode=True), x)
        assert_parity(lambda F, x: F.lp_pool1d(x[0], p, 2, (1,)), x)


def test_power_means_of_special_values_as_pytorch():
    x = np.array([[[0.0, 0.0, -0.0, NAN, 1.0, INF, 2.0, -INF, 0.0, 3.0]]])
    for p in (1, 2, 3, INF):
        assert_parity(lambda F, x, p=p: F.lp_pool1d(x, p, 2), x)
    x = at.zeros(1, 1, 2, requires_grad=True)
    F.lp_pool1d(x, 2, 2).sum().backward()
    assert x.grad.tolist() == [[[0.0, 0.0]]]


UNPOOLED = [((7, 6), (2,), {}), ((7, 6), (3, 2, 1), {"output_size": (7, 6)}), ((8, 5), ((2, 3), (3, 2)), {})]


@pytest.mark.parametrize("batch", [(2, 3), (3,), (0, 3)], ids=str)
@pytest.mark.parametrize(("size", "window", "how"), UNPOOLED)
def test_unpooling_as_pytorch(size, window, how, batch):
    def both(F, x):
        y, indices = F.max_pool2d(x, *window, return_indices=True)
        return F.max_unpool2d(y * 2, indices, *window, **how)

    def of_sequences(F, x):
        y, indices = F.max_pool1d(x, 3, 2, 1, return_indices=True)
        return F.max_unpool1d(y * 2, indices, 3, 2, 1, output_size=[size[0]])

    x = draw(*batch, *size)
    for values in (x, layout.channels_last(x) if len(batch) == 2 else randomly_strided(x)):
        assert_parity(both, values)
        assert_parity(of_sequences, values[..., 0])


def test_unpooling_by_hand():
    x, indices = at.tensor([[[1.0, 2.0]]]), at.tensor([[[3, 0]]])
    assert F.max_unpool1d(x, indices, 2).tolist() == [[[2.0, 0.0, 0.0, 1.0]]]
    assert F.max_unpool1d(x, indices, 2, output_size=(1, 1, 5)).tolist() == [[[2.0, 0.0, 0.0, 1.0, 0.0]]]
    twice = at.tensor([[[1, 1]]])
    assert F.max_unpool1d(x, twice, 2).tolist() == [[[0.0, 2.0, 0.0, 0.0]]]
    leaf = at.tensor(draw(1, 1, 2), requires_grad=True)
    assert gradcheck(lambda x: F.max_unpool1d(x, indices, 2), [leaf])
    y = F.max_unpool1d(leaf, indices, 2)
    indices.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda F, x, i: F.max_unpool2d(x, i + 4, 2), ValueError, "indices go from 4 to 24; expected 0 to 23 in an"),
        (lambda F, x, i: F.max_unpool2d(x, i - 1, 2), ValueError, "max_unpool2d: indices go from -1 to 19"),
        (lambda F, x, i: F.max_unpool2d(x, i[:, :1], 2), ValueError, "indices has shape (1, 1, 2, 3); expected (1, 2,"),
        (lambda F, x, i: F.max_unpool2d(x, i.float(), 2), TypeError, "indices is float32; expected an int64 Tensor"),
        (lambda F, x, i: F.max_unpool2d(x[0, 0], i[0, 0], 2), ValueError, "input has shape (2, 3); expected 4 axes"),
        (lambda F, x, i: F.max_unpool2d(x, i, 2, output_size=(8, 7)), ValueError, "output_size is (8, 7); expected"),
        (
            lambda F, x, i: F.max_unpool2d(x, i, 2, output_size=[7]),
            ValueError,
            "output_size is [7]; expected 2",
        ),
    ],
)
def test_unpooling_refuses(call, error, message):
    x, indices = draw(1, 2, 2, 3), np.arange(12).reshape(1, 2, 2, 3) % 2 * 20
    with pytest.raises(error, match=re.escape(message)):
        call(F, at.tensor(x), at.tensor(indices))
    assert_torch_refuses(call, x, indices)


def test_unpooling_on_another_array_library(foreign):
    x, indices = draw(2, 3, 2, 2), np.arange(24).reshape(2, 3, 2, 2) % 16
    there = at.Tensor(foreign.asarray(x), True)
    y = F.max_unpool2d(there, at.Tensor(foreign.asarray(indices)), 2)
    y.sum().backward()
    np.testing.assert_array_equal(gpu.to_host(y.data), F.max_unpool2d(at.tensor(x), at.tensor(indices), 2).numpy())
    np.testing.assert_array_equal(gpu.to_host(there.grad.data), np.ones(x.shape))


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_spatial_pyramid(mode):
    """The windows of level n, row i: from ⌊i·H/n⌋ to ⌈(i + 1)·H/n⌉."""
    pool = nn.SpatialPyramidPooling(mode=mode)
    for H, W in ((13, 13), (4, 9), (3, 5)):
        x = draw(2, 3, H, W)
        y = pool(at.tensor(x)).numpy().reshape(2, 3, 21)
        expected = []
        for n in (4, 2, 1):
            for i, j in np.ndindex(n, n):
                window = x[:, :, i * H // n : -(-(i + 1) * H // n), j * W // n : -(-(j + 1) * W // n)]
                expected.append(window.max((2, 3)) if mode == "max" else window.mean((2, 3)))
        np.testing.assert_allclose(y, np.stack(expected, -1), rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(pool(at.tensor(x[0])).numpy(), y[0].reshape(-1))
    with pytest.raises(ValueError, match="SpatialPyramidPooling: mode is 'sum'; expected 'max' or 'avg'"):
        nn.SpatialPyramidPooling(mode="sum")
    with pytest.raises(ValueError, match=r"SpatialPyramidPooling: levels\[1\] is 0; expected 1 or more"):
        nn.SpatialPyramidPooling((2, 0))
    assert gradcheck(nn.SpatialPyramidPooling((2, 1), mode), [at.tensor(draw(1, 2, 3, 3), requires_grad=True)])


LAYERS = [
    ("MaxPool1d", (3, 2, 1, 1), {"ceil_mode": True}),
    ("MaxPool1d", (3,), {}),
    ("AvgPool1d", (3, 2, 1, True, False), {}),
    ("AvgPool1d", (2,), {}),
    ("AdaptiveAvgPool1d", (3,), {}),
    ("AdaptiveMaxPool1d", (3,), {}),
    ("LPPool1d", (2, 3), {"stride": 2}),
    ("LPPool2d", (2, 3), {"ceil_mode": True}),
    ("LPPool2d", (1.5, (2, 1)), {}),
]


@pytest.mark.parametrize(("name", "args", "how"), LAYERS)
def test_layers_as_pytorch(name, args, how):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*args, **how), getattr(torch.nn, name)(*args, **how)
    x = np.abs(draw(2, 3, 9) if name.endswith("1d") else draw(2, 3, 9, 7))
    for values in (x, x[0]):
        np.testing.assert_allclose(ours(at.tensor(values)).numpy(), theirs(torch.tensor(values)).numpy(), rtol=1e-12)
    assert repr(ours) == repr(theirs)


def test_unpooling_layers_as_pytorch():
    torch = pytest.importorskip("torch")
    for kind, shape in (("1d", (2, 3, 9)), ("2d", (2, 3, 9, 9))):
        layers = [getattr(lib.nn, f"MaxUnpool{kind}")(3, 2, 1) for lib in (at, torch)]
        pools = [getattr(lib.nn, f"MaxPool{kind}")(3, 2, 1, return_indices=True) for lib in (at, torch)]
        x = draw(*shape)
        y, z = (f(*p(lib.tensor(x))).numpy() for f, p, lib in zip(layers, pools, (at, torch), strict=True))
        np.testing.assert_array_equal(y, z)
        assert repr(layers[0]) == repr(layers[1])


@pytest.mark.parametrize("name", sorted({name for name, *_ in LAYERS} | {"MaxUnpool1d", "MaxUnpool2d"}))
def test_arguments_as_pytorch(name):
    torch = pytest.importorskip("torch")
    names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
    assert names[0] == names[1]


def test_layers_refuse():
    with pytest.raises(ValueError, match="MaxPool1d: padding 2 is more than half of kernel_size 3"):
        nn.MaxPool1d(3, padding=2)
    with pytest.raises(ValueError, match=r"AvgPool1d: stride is \(0,\); expected 1 or more"):
        nn.AvgPool1d(3, 0)
    with pytest.raises(ValueError, match="AdaptiveAvgPool1d: output_size is 0; expected 1 or more"):
        nn.AdaptiveAvgPool1d(0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_configurations(seed):
    rng = np.random.default_rng(seed)
    K, s, d = (int(rng.integers(1, top)) for top in (5, 5, 3))
    p, ceil_mode = int(rng.integers(0, K // 2 + 1)), bool(seed % 2)
    L = int(rng.integers(d * (K - 1) + 1, 20))
    x = draw(2, L, 3, seed=seed).transpose(0, 2, 1)
    x = x if seed % 3 else np.ascontiguousarray(x)
    assert_parity(lambda F, x: F.max_pool1d(x, K, s, p, d, ceil_mode, return_indices=True), x)
    assert_parity(lambda F, x: F.avg_pool1d(x, K, s, p, ceil_mode, bool(seed % 5)), x)
    assert_parity(lambda F, x: F.lp_pool1d(x, 2, K, s, ceil_mode), x)
