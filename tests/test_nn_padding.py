"""Padding layers and shuffles, beside PyTorch's."""

import inspect

import numpy as np
import pytest
from parity import assert_parity, assert_torch_refuses, draw

import atrous as at
from atrous import nn
from atrous.nn import functional as F

KINDS = ["Zero", "Reflection", "Replication", "Circular"]
LAYERS = [(f"{kind}Pad2d", (padding,)) for kind in KINDS for padding in (1, (1, 2, 0, 3), (2, -1, 1, 0))]
LAYERS += [(f"{kind}Pad1d", (padding,)) for kind in KINDS for padding in (2, (0, 3))]
LAYERS += [("ConstantPad2d", (1, 3.5)), ("ConstantPad2d", ((1, 2, -1, 3), 0.5)), ("ConstantPad1d", ((2, 1), -1.0))]
LAYERS += [("PixelShuffle", (2,)), ("PixelUnshuffle", (2,)), ("ChannelShuffle", (4,))]


@pytest.mark.parametrize(("name", "settings"), LAYERS)
def test_layers_as_pytorch(name, settings):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(*settings), getattr(torch.nn, name)(*settings)
    x = draw(2, 8, 6) if name.endswith("1d") else draw(2, 8, 6, 4)
    a, b = at.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
    weights = draw(*y.shape, seed=1)
    (y * at.tensor(weights)).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-14)
    names = [list(inspect.signature(module).parameters) for module in (getattr(nn, name), getattr(torch.nn, name))]
    assert names[0] == names[1]
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("shape", [(8, 4, 6), (3, 8, 4, 6), (2, 3, 8, 4, 6)], ids=str)
def test_shuffles_as_pytorch(shape):
    assert_parity(lambda F, x: F.pixel_shuffle(x, 2), draw(*shape))
    assert_parity(lambda F, x: F.pixel_unshuffle(x, 2), draw(*shape))
    if len(shape) > 3:
        assert_parity(lambda F, x: F.channel_shuffle(x, shape[1]), draw(*shape))
    x = at.tensor(draw(*shape))
    assert F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).tolist() == x.tolist()


def test_shuffles_of_no_images():
    """PyTorch returns these as they came, with 8 channels, and its backward then raises."""
    x = at.zeros(0, 8, 4, 6, requires_grad=True)
    y = F.pixel_shuffle(x, 2)
    assert y.shape == (0, 2, 8, 12)
    assert F.pixel_unshuffle(y, 2).shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda F, x: F.pixel_shuffle(x, 3), "pixel_shuffle: the input has 8 channels; expected a multiple of 9"),
        (lambda F, x: F.pixel_shuffle(x, 0), "pixel_shuffle: upscale_factor is 0"),
        (lambda F, x: F.pixel_shuffle(x[0, 0], 2), r"pixel_shuffle: the input has shape \(6, 4\)"),
        (lambda F, x: F.pixel_unshuffle(x, 4), "pixel_unshuffle: the input has 6 x 4 pixels; expected multiples of 4"),
        (lambda F, x: F.channel_shuffle(x, 3), "channel_shuffle: groups is 3; expected a divisor of the 8 channels"),
        (lambda F, x: F.channel_shuffle(x[0, 0], 2), "channel_shuffle: the input has shape"),
    ],
)
def test_shuffles_refuse(call, message):
    x = draw(2, 8, 6, 4)
    with pytest.raises(ValueError, match=message):
        call(F, at.tensor(x))
    assert_torch_refuses(call, x)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.ZeroPad2d((1, 2)), ValueError, "ZeroPad2d: padding has 2 numbers; expected 4"),
        (lambda: nn.ReflectionPad1d(1.5), TypeError, "ReflectionPad1d: padding is 1.5; expected an int or 2 of them"),
        (lambda: nn.ReflectionPad2d(6)(at.ones(1, 1, 4, 4)), ValueError, "mode 'reflect' takes 3 at most"),
    ],
)
def test_padding_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()
