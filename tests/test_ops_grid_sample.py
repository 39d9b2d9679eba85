"""affine_grid and grid_sample beside PyTorch's, in values, gradients and at places outside the image."""

import itertools
import re

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw, randomly_strided

import atrous as at
from atrous import gpu, layout
from atrous.gradcheck import gradcheck
from atrous.nn import functional as F

NAN, INF = float("nan"), float("inf")
WAYS = list(
    itertools.product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True, None))
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:Default grid_sample and affine_grid behavior"),
    pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior"),
]


def grid_of(*shape, seed=5):
    """Places in and outside of the image; none on a pixel's edge, where slopes jump."""
    return 1.4 * draw(*shape, 2, seed=seed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 1, 1, 6), (1, 2, 3, 1)], ids=str)
def test_agrees_with_pytorch(shape, dtype):
    for way in WAYS:
        arrays = draw(*shape), grid_of(shape[0], 4, 5)
        # in float32 a place is off by some eps, and its value by that times the slope
        assert_parity(lambda F, x, g, way=way: F.grid_sample(x, g, *way), *arrays, dtype=dtype, terms=256)


def test_empty_batches_and_grids_as_pytorch():
    assert_parity(lambda F, x, g: F.grid_sample(x, g), draw(0, 3, 5, 4), grid_of(0, 2, 2))
    assert_parity(lambda F, x, g: F.grid_sample(x, g), draw(2, 3, 5, 4), grid_of(2, 0, 2))


def test_places_on_edges_and_none_as_pytorch():
    ends = [-1.0, 1.0, 0.0, -3.0, 3.0, NAN, INF, -INF, 1e30, 0.5]
    grid = np.array(list(itertools.product(ends, [0.25, -1.0, NAN]))).reshape(1, 5, 6, 2)
    for way in WAYS:
        assert_parity(lambda F, x, g, way=way: F.grid_sample(x, g, *way), draw(1, 2, 4, 4), grid, gradients=False)
    finite = np.array(list(itertools.product([-1.0, 1.0, 0.1], [0.3, -1.0, 1.0]))).reshape(1, 3, 3, 2)
    for way in WAYS:
        assert_parity(lambda F, x, g, way=way: F.grid_sample(x, g, *way), draw(1, 2, 4, 4), finite)


def test_special_values_stay_where_they_are():
    x = draw(1, 1, 6, 6)
    x[0, 0, 0, 0], x[0, 0, 3, 4] = NAN, INF
    for way in WAYS:
        assert_parity(lambda F, x, g, way=way: F.grid_sample(x, g, *way), x, grid_of(1, 5, 5), terms=256)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_gradient(mode, padding_mode):
    x, grid = at.tensor(draw(2, 2, 4, 3), requires_grad=True), at.tensor(grid_of(2, 3, 3))
    tensors = [x, grid.requires_grad_(mode != "nearest")]  # whose places have the gradient 0
    assert gradcheck(lambda x, g: F.grid_sample(x, g, mode, padding_mode), tensors, fast_mode=True)


def test_numbers_by_hand():
    x = at.arange(9.0).reshape(1, 1, 3, 3)
    corners = at.tensor([[[[-1.0, -1.0], [1.0, 1.0], [0.0, -1.0]]]])
    assert F.grid_sample(x, corners, align_corners=True).tolist() == [[[[0.0, 8.0, 1.0]]]]
    assert F.grid_sample(x, corners).tolist() == [[[[0.0, 2.0, 0.5]]]]  # at the edges: a quarter and a half of a pixel
    assert F.grid_sample(x, corners, padding_mode="border").tolist() == [[[[0.0, 8.0, 1.0]]]]
    outside = at.tensor([[[[2.0, 0.0], [-2.0, 0.0]]]])
    y = F.grid_sample(x, outside, padding_mode="reflection", align_corners=True)
    assert y.tolist() == [[[[4.0, 4.0]]]]


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identity_and_a_resized_image(align_corners):
    x, theta = at.tensor(draw(2, 3, 5, 4)), at.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]] * 2, dtype=at.float64)
    same = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners), align_corners=align_corners)
    np.testing.assert_allclose(same.numpy(), x.numpy(), rtol=1e-12, atol=1e-13)
    grid = F.affine_grid(theta, (2, 3, 9, 7), align_corners)
    for mode in ("bilinear", "bicubic"):
        y = F.grid_sample(x, grid, mode, "border", align_corners)
        expected = F.interpolate(x, (9, 7), mode=mode, align_corners=align_corners)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True, None])
def test_affine_grid_as_pytorch(align_corners):
    for size in ((2, 3, 5, 4), (1, 1, 1, 7), (1, 1, 1, 1)):
        for dtype in ("float32", "float64"):
            theta = draw(size[0], 2, 3)
            assert_parity(lambda F, t, size=size: F.affine_grid(t, size, align_corners), theta, dtype=dtype)


def test_layouts_and_repeated_runs():
    """The same bits each time, and whatever the images' memory."""
    x, grid, bits = draw(2, 3, 6, 7).astype(np.float32), grid_of(2, 40, 40).astype(np.float32), set()
    for version in (x, layout.channels_last(x), randomly_strided(x), x):
        a = at.Tensor(version, requires_grad=True)
        b = at.tensor(grid, requires_grad=True)
        y = F.grid_sample(a, b)
        y.square().sum().backward()
        bits.add((y.detach().numpy().tobytes(), a.grad.numpy().tobytes(), b.grad.numpy().tobytes()))
        assert layout.is_channels_last(y.data)
    assert len(bits) == 1


def test_on_another_array_library(foreign):
    x, theta = draw(2, 3, 5, 4), draw(2, 2, 3)
    grid = F.affine_grid(at.tensor(theta), (2, 3, 4, 4)).numpy()
    for way in WAYS[::4]:
        there = [at.Tensor(foreign.asarray(a), True) for a in (x, grid)]
        here = [at.tensor(a, requires_grad=True) for a in (x, grid)]
        for tensors in (there, here):
            F.grid_sample(*tensors, *way).sum().backward()
        for a, b in zip(there, here, strict=True):
            assert isinstance(a.grad.data, foreign.ndarray)
            np.testing.assert_allclose(gpu.to_host(a.grad.data), b.grad.numpy(), rtol=1e-12, atol=1e-12)


X, GRID = draw(2, 3, 5, 4), grid_of(2, 4, 5)
BAD = [
    (lambda F, x, g: F.grid_sample(x, g, "cubic"), ValueError, "grid_sample: mode is 'cubic'; expected one of"),
    (lambda F, x, g: F.grid_sample(x, g, "nearest", "mirror"), ValueError, "padding_mode is 'mirror'; expected one of"),
    (lambda F, x, g: F.grid_sample(x[0], g), ValueError, "input has shape (3, 5, 4); expected (N, C, H, W)"),
    (lambda F, x, g: F.grid_sample(x[:, :, :0], g), ValueError, "input has shape (2, 3, 0, 4)"),
    (lambda F, x, g: F.grid_sample(x, g[:1]), ValueError, "grid has shape (1, 4, 5, 2); expected (2, OH, OW, 2)"),
    (lambda F, x, g: F.grid_sample(x, g[..., :1]), ValueError, "grid has shape (2, 4, 5, 1)"),
    (lambda F, x, g: F.grid_sample(x.float(), g), TypeError, "grid has dtype float64; expected float32 as input"),
    (lambda F, x, g: F.affine_grid(g[:, 0, :3], (2, 3, 4, 4)), ValueError, "theta has shape (2, 3, 2); expected (2, 2"),
    (lambda F, x, g: F.affine_grid(x[:, 0, :2, :3], (2, 3, 0, 4)), ValueError, "size is (2, 3, 0, 4); expected (N,"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_refusals(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(F, at.tensor(X), at.tensor(GRID))
    assert_torch_refuses(call, X, GRID)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_random_configurations(seed):
    rng = np.random.default_rng(seed)
    N, C, H, W, OH, OW = (int(n) for n in rng.integers(1, 9, 6))
    x, grid = draw(N, H, W, C, seed=seed).transpose(0, 3, 1, 2), grid_of(N, OH, OW, seed=seed)
    x = x if seed % 2 else np.ascontiguousarray(x)
    for way in WAYS:
        assert_parity(lambda F, x, g, way=way: F.grid_sample(x, g, *way), x, grid, terms=512)
