"""Memory order: channels-last for maps, C order for the rest; copies counted, strides kept by ops and gradients."""

import numpy as np
import pytest

import atrous as at
from atrous import layout


@pytest.fixture
def image():
    return np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)


def converted(f):
    before = layout.conversions()
    f()
    return layout.conversions() - before


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (64, 16, 20, 20)], ids=["small", "from the pool"])
def test_channels_last(shape):
    x = np.random.default_rng(0).standard_normal(shape)
    _, C, H, W = shape
    y = layout.channels_last(x)
    np.testing.assert_array_equal(x, y)
    assert y.strides == (8 * C * H * W, 8, 8 * C * W, 8 * C)
    assert layout.is_channels_last(y)
    assert not layout.is_channels_last(x)
    assert layout.channels_last(y) is y
    assert converted(lambda: layout.channels_last(x)) == 1
    assert converted(lambda: layout.channels_last(y)) == 0
    z = layout.contiguous(y)
    assert z.flags.c_contiguous
    np.testing.assert_array_equal(z, x)
    assert layout.contiguous(z) is z


def test_one_channel_or_one_pixel_is_both_orders():
    for shape in ((2, 1, 4, 5), (2, 3, 1, 1)):
        x = np.zeros(shape)
        assert layout.channels_last(x) is x
        assert layout.contiguous(x) is x


def test_other_ranks_are_c_ordered(image):
    assert layout.channels_last(image[0].T).flags.c_contiguous
    assert layout.channels_last(image[0]) is not image
    assert not layout.is_channels_last(image[0])


def test_like(image):
    y = layout.channels_last(image)
    assert layout.like(image, y).strides == y.strides
    assert layout.like(y, image).strides == image.strides
    assert layout.like(y, y) is y
    swapped = image.transpose(1, 0, 2, 3)  # neither of the two orders
    assert layout.like(np.ascontiguousarray(swapped), swapped).strides == swapped.strides


def test_reshape_counts_its_copies(image):
    y = layout.channels_last(image)
    assert converted(lambda: layout.reshape(image, (2, 60))) == 0
    assert converted(lambda: layout.reshape(y, (2, 60))) == 1
    assert converted(lambda: layout.reshape(y, (2, 3, 20))) == 0  # H and W join without a copy
    np.testing.assert_array_equal(layout.reshape(y, (2, 60)), image.reshape(2, 60))


def test_empty():
    for shape in ((2, 3, 4, 5), (64, 16, 20, 20), (0, 3, 4, 5)):
        assert layout.is_channels_last(layout.empty(shape, "float64", channels_last=True))
        assert layout.empty(shape, "float32").flags.c_contiguous
        assert layout.empty_like(layout.empty(shape, "float64", channels_last=True), "int64").dtype == np.int64


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (64, 16, 20, 20)], ids=["small", "from the pool"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, row: x + x,
        lambda x, row: x * row,
        lambda x, row: row - x,
        lambda x, row: x / 2,
        lambda x, row: x.exp(),
        lambda x, row: x.clamp(0, 1),
        lambda x, row: x.clone(),
        lambda x, row: x.double().float(),
        lambda x, row: at.where(x > 0, x, row),
        lambda x, row: at.maximum(x, row),
        lambda x, row: at.zeros_like(x),
        lambda x, row: at.rand_like(x),
        lambda x, row: x.clone().abs_().add_(row),
        lambda x, row: x.sign(),
    ],
)
def test_ops_keep_channels_last(f, shape):
    x = at.Tensor(layout.channels_last(np.random.default_rng(0).standard_normal(shape).astype(np.float32)))
    row = at.ones(1, shape[1], 1, 1)
    with at.no_grad():
        assert layout.is_channels_last(f(x, row).data)
    assert converted(lambda: f(x, row)) == 0


def test_users_see_c_order(image):
    x = at.Tensor(layout.channels_last(image))
    np.testing.assert_array_equal(x.flatten(1).numpy(), image.reshape(2, -1))
    np.testing.assert_array_equal(x.view(6, 20).numpy(), image.reshape(6, 20))
    np.testing.assert_array_equal(x.numpy(), image)
    assert x.tolist() == image.tolist()
    assert not x.is_contiguous()
    assert x.contiguous().is_contiguous()
    assert x.stride() == (60, 1, 15, 3)


def test_gradients_take_the_leafs_order(image):
    x = at.Tensor(layout.channels_last(image), requires_grad=True)
    (x.contiguous() * at.Tensor(image)).sum().backward()
    assert x.grad.data.strides == x.data.strides
    np.testing.assert_array_equal(x.grad.numpy(), image)
    y = at.Tensor(image, requires_grad=True)
    y.backward(layout.channels_last(image))
    assert y.grad.data.strides == y.data.strides


def test_reductions_do_not_depend_on_the_order(image):
    x, y = at.Tensor(image.astype(np.float64)), at.Tensor(layout.channels_last(image.astype(np.float64)))
    for f in (lambda t: t.sum((0, 2, 3)), lambda t: t.max(1).values, lambda t: t.cumsum(2), lambda t: t.prod(3)):
        np.testing.assert_allclose(f(x).numpy(), f(y).numpy(), rtol=1e-14)
