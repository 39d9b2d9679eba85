"""Resizing without kernels: bicubic, area, nearest-exact, and sequences, beside PyTorch's."""

import itertools
import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import gpu, layout, nn
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
MODES = {
    4: [
        {"mode": "bicubic"},
        {"mode": "bicubic", "align_corners": True},
        {"mode": "area"},
        {"mode": "nearest-exact"},
    ],
    3: [
        {"mode": "nearest"},
        {"mode": "nearest-exact"},
        {"mode": "area"},
        {"mode": "linear"},
        {"mode": "linear", "align_corners": True},
    ],
}
TARGETS = {
    4: [
        {"size": (9, 13)},
        {"size": (3, 4)},
        {"size": (1, 1)},
        {"size": 7},
        {"scale_factor": 2},
        {"scale_factor": (0.6, 1.7)},
        {"scale_factor": 1.27, "recompute_scale_factor": True},
    ],
    3: [{"size": 13}, {"size": [3]}, {"size": 1}, {"scale_factor": 2}, {"scale_factor": (0.6,)}, {"scale_factor": 1.7}],
}
SHAPES = {4: [(2, 3, 7, 6), (1, 1, 1, 5), (0, 3, 7, 6)], 3: [(2, 3, 7), (1, 2, 2), (0, 3, 7)]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [*SHAPES[4], *SHAPES[3]], ids=str)
def test_agrees_with_pytorch(shape, dtype):
    x = draw(*shape)
    for mode, how in itertools.product(MODES[len(shape)], TARGETS[len(shape)]):
        if shape[2:] != (1, 5) or "scale_factor" not in how:  # which would leave no row
            assert_parity(lambda F, x, how=how, mode=mode: F.interpolate(x, **how, **mode), x, dtype=dtype)


@pytest.mark.parametrize("mode", ["bicubic", "area", "nearest-exact", "linear"])
def test_gradient(mode):
    x = at.tensor(draw(*((1, 2, 4) if mode == "linear" else (1, 2, 4, 3))), requires_grad=True)
    for how in ({"size": 6}, {"size": 2}, {"scale_factor": 1.6}):
        assert gradcheck(lambda x, how=how: F.interpolate(x, mode=mode, **how), [x], fast_mode=True)


def test_numbers_by_hand():
    x = at.tensor([[[0.0, 1.0, 2.0]]])
    assert F.interpolate(x, 2, mode="nearest-exact").tolist() == [[[0.0, 2.0]]]
    assert F.interpolate(x, 2, mode="nearest").tolist() == [[[0.0, 1.0]]]
    assert F.interpolate(x, 2, mode="area").tolist() == [[[0.5, 1.5]]]
    assert F.interpolate(x, 5, mode="linear", align_corners=True).tolist() == [[[0.0, 0.5, 1.0, 1.5, 2.0]]]
    step = at.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
    y = F.interpolate(step, (1, 7), mode="bicubic", align_corners=True)  # places 0, ½, 1, 1½, ...
    assert y.tolist() == [[[[0.0, -0.09375, 0.0, 0.5, 1.0, 1.09375, 1.0]]]]


def test_special_values_as_pytorch():
    x = draw(1, 1, 5, 6)
    x[0, 0, 2, 3], x[0, 0, 4, 0] = NAN, INF
    for mode in MODES[4]:
        assert_parity(lambda F, x, mode=mode: F.interpolate(x, (9, 11), **mode), x)
        assert_parity(lambda F, x, mode=mode: F.interpolate(x, (3, 4), **mode), x)


@pytest.mark.parametrize("mode", ["bicubic", "nearest-exact", "area"])
def test_layout(mode):
    x = at.Tensor(layout.channels_last(draw(2, 3, 6, 7)), requires_grad=True)
    grad_y = at.Tensor(layout.channels_last(draw(2, 3, 9, 4)))
    before = layout.conversions()
    y = F.interpolate(x, (9, 4), mode=mode)
    y.backward(grad_y)
    assert layout.conversions() == before
    assert layout.is_channels_last(y.data)
    assert layout.is_channels_last(x.grad.data)
    strided = F.interpolate(at.from_numpy(randomly_strided(x.data)), (9, 4), mode=mode)
    np.testing.assert_array_equal(strided.numpy(), y.detach().numpy())


@pytest.mark.parametrize("mode", ["bicubic", "nearest-exact"])
def test_on_another_array_library(mode, foreign):
    x = draw(2, 3, 4, 5)
    there, here = at.Tensor(foreign.asarray(x), True), at.tensor(x, requires_grad=True)
    for t in (there, here):
        y = F.interpolate(t, (7, 3), mode=mode)
        y.sum().backward()
    assert isinstance(there.grad.data, foreign.ndarray)
    np.testing.assert_array_equal(gpu.to_host(there.grad.data), here.grad.numpy())


BAD = [
    ((2, 3, 7), {"size": 2, "mode": "bilinear"}, "x has shape (2, 3, 7); mode 'bilinear' takes 4 axes"),
    ((2, 3, 7), {"size": 2, "mode": "bicubic"}, "x has shape (2, 3, 7); mode 'bicubic' takes 4 axes"),
    ((2, 3, 7, 6), {"size": 2, "mode": "linear"}, "x has shape (2, 3, 7, 6); mode 'linear' takes 3 axes"),
    ((2, 3, 7, 6), {"size": 2, "mode": "area", "align_corners": True}, "align_corners is True; mode 'area' has none"),
    ((2, 3, 7), {"size": (2, 2)}, "size is (2, 2); expected an int"),
    ((2, 3, 7), {"scale_factor": (2, 2)}, "scale_factor is (2, 2); expected a number"),
    ((2, 3, 7), {"size": 0, "mode": "linear"}, "x of 7 would become 0"),
    ((2, 3, 7, 6), {"size": 0, "mode": "bicubic"}, "x of 7×6 would become 0×0"),
]


@pytest.mark.parametrize(("shape", "how", "message"), BAD)
def test_refusals(shape, how, message):
    with pytest.raises(ValueError, match=re.escape(f"interpolate: {message}")):
        F.interpolate(at.tensor(draw(*shape)), **how)
    assert_torch_refuses(lambda F, x: F.interpolate(x, **how), draw(*shape))


def test_layers_as_pytorch():
    torch = pytest.importorskip("torch")
    cases = [
        ("Upsample", {"scale_factor": 2, "mode": "bicubic"}, (2, 3, 5, 4)),
        ("Upsample", {"size": 9, "mode": "linear", "align_corners": True}, (2, 3, 5)),
        ("Upsample", {"scale_factor": 1.5}, (2, 3, 5)),
        ("UpsamplingNearest2d", {"size": (7, 9)}, (2, 3, 5, 4)),
        ("UpsamplingBilinear2d", {"scale_factor": 2}, (2, 3, 5, 4)),
        ("UpsamplingBilinear2d", {"scale_factor": (2, 3)}, (2, 3, 5, 4)),
    ]
    for name, how, shape in cases:
        ours, theirs = getattr(nn, name)(**how), getattr(torch.nn, name)(**how)
        x = draw(*shape)
        np.testing.assert_allclose(ours(at.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-12, atol=1e-13)
        assert repr(ours) == repr(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(80))
def test_random_configurations(seed):
    rng = np.random.default_rng(seed)
    axes = 3 + seed % 2
    sizes = rng.integers(1, 40, axes - 2)
    x = draw(2, 3, *sizes, seed=seed)
    if axes == 4 and seed % 3:
        x = layout.channels_last(x)
    if seed % 4 < 2:
        how = {"size": tuple(int(s) for s in rng.integers(1, 50, axes - 2))}
    else:
        how = {"scale_factor": tuple(float(s) for s in rng.uniform(1 / sizes, 4))}
    dtype = ["float32", "float64"][seed // 40]
    for mode in MODES[axes]:  # a place is off by 20 eps, and what is there by that times the slope
        y = F.interpolate(at.tensor(x), **how, **mode)
        # PyTorch's gradient of a sequence resized by a scale to its own length is that of another function
        same = mode["mode"] != "nearest" or "size" in how or y.shape[2] not in (sizes[0], 2 * sizes[0])
        f = lambda F, x, mode=mode: F.interpolate(x, **how, **mode)  # noqa: E731
        assert_parity(f, x, dtype=dtype, terms=256, gradients=same)
