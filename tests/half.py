"""What tests of numbers of 16 bits share."""

import numpy as np
import pytest

import atrous as at
from atrous import gpu

DTYPES = {"float16": 2.0**-11, "bfloat16": 2.0**-8}  # and half the distance of neighbours: a rounding's relative error
BOTH = pytest.mark.parametrize("name", DTYPES)
ON = pytest.mark.parametrize("device", ["cpu", "cuda"])
FAMILIES = {  # a kernel of each that 16 bits need, and how it is called
    "activation": lambda kernels, x: kernels.relu_forward(x),
    "elementwise": lambda kernels, x: kernels.add_forward(x, x),
    "conv2d": lambda kernels, x: kernels.conv2d_forward(x, x, None, (1, 1), (0, 0), (1, 1), 1),
    "batch_norm": lambda kernels, x: kernels.batch_norm_statistics(x),
    "pool2d": lambda kernels, x: kernels.max_pool2d_forward(x, (1, 1), (1, 1), (0, 0), (1, 1), False),
    "upsample2d": lambda kernels, x: kernels.upsample_nearest2d_forward(x, (2, 2), None),
}


def missing() -> list[str]:
    """The families without kernels for 16 bits in the CUDA backend that is at hand; all where there is none."""
    if gpu.kernels is None:
        return list(FAMILIES)
    found = []
    for name, call in FAMILIES.items():
        try:
            call(gpu.kernels, gpu.cupy.ones((1, 1, 1, 1), at.bfloat16))
        except TypeError:
            found.append(name)
    return found


needs_kernels = pytest.mark.skipif(bool(missing()), reason=f"no CUDA kernels for 16 bits of {', '.join(missing())}")


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
