"""What tests of numbers of 16 bits share."""

import numpy as np
import pytest

import atrous as at

DTYPES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # and half the distance of neighbours: a rounding's relative error
BOTH = pytest.mark.parametrize("name", DTYPES)
ON = pytest.mark.parametrize("device", ["cpu", "cuda"])


def numbers(shape, dtype=np.float32, seed=0):
    """Normal numbers that bfloat16 holds exactly, and float16 to its last bit but for the smallest."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(at.bfloat16)
    return values.astype(dtype)


def in_torch(x, torch):
    """The same bits."""
    bits = np.ascontiguousarray(x.detach().cpu().numpy()).view(np.int16)
    return torch.from_numpy(bits.copy()).view(getattr(torch, str(x.dtype)))


def assert_close(ours, theirs, ulps=1, more=0):
    """Of one dtype and shape, and no more than so many neighbours apart, and `more`."""
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    assert ours.shape == tuple(theirs.shape)
    eps = 2 * DTYPES.get(str(ours.dtype), 2.0**-24)
    actual, expected = ours.detach().cpu().double().numpy(), theirs.detach().double().numpy()
    np.testing.assert_allclose(actual, expected, rtol=ulps * eps, atol=more)
