"""A GPU's kernels on arrays that begin anywhere: the same bits as on arrays that begin at 16 bytes."""

import math

import numpy as np
import pytest
from conftest import BACKENDS

from atrous import verify
from atrous.verify.draw import Draw
from atrous.verify.halves import half_dtypes
from atrous.verify.harness import in_16_bits, map_arrays, outputs_of, same_bits

CUDA = BACKENDS.get("cuda")
FUNCTIONS = [
    (family, function, dtype)
    for family in ("activation", "elementwise", "batch_norm", "conv2d", "pool2d", "upsample2d", "adam")
    for function in verify.FAMILIES[family].CASES
    for dtype in (np.float32, *half_dtypes())
    if dtype is np.float32 or function in getattr(verify.FAMILIES[family], "HALVES", {})
]


def on_device(array, offset):
    """An array of the device whose memory, channels-last or C-ordered, begins so many elements into a block."""
    axes = (0, 2, 3, 1) if array.ndim == 4 else tuple(range(array.ndim))
    block = CUDA.cupy.empty(array.size + offset, array.dtype)
    view = block[offset:].reshape([array.shape[axis] for axis in axes])
    view[...] = CUDA.cupy.asarray(np.ascontiguousarray(array.transpose(axes)))
    return view.transpose([axes.index(axis) for axis in range(array.ndim)])


@pytest.mark.skipif(CUDA is None, reason="needs a GPU, or the build for tests that runs on the CPU")
@pytest.mark.parametrize(("family", "function", "dtype"), FUNCTIONS)
@np.errstate(all="ignore")
def test_unaligned_arrays_give_the_same_bits(family, function, dtype):
    table = verify.FAMILIES[family]
    for case in table.CASES[function]:
        if family == "conv2d" and math.prod(case["x"]) > 3000:
            continue
        arguments = in_16_bits(table, function, table.arguments(function, case, Draw(dtype, case)), dtype)
        results = []
        for offset in (0, 1):
            inputs = map_arrays(arguments, lambda array, offset=offset: on_device(array, offset))
            returned = getattr(CUDA.kernels, function)(**inputs)
            results.append([CUDA.cupy.asnumpy(output) for output in outputs_of_device(returned, inputs)])
        for aligned, unaligned in zip(*results, strict=True):
            assert same_bits(aligned, unaligned), case


def outputs_of_device(returned, inputs):
    """`outputs_of` for arrays that are not NumPy's."""
    if returned is None and "total" in inputs:
        return (inputs["total"],)
    return outputs_of(returned, inputs)


@pytest.mark.skipif(CUDA is None, reason="needs a GPU, or the build for tests that runs on the CPU")
@pytest.mark.parametrize("algorithm", ["implicit_gemm", "tensor_cores"])
def test_a_bias_anywhere_gives_the_same_bits_as_large_tiles(algorithm):
    """Tiles of 128 x 64 store 16 bytes at a time; with such a bias, smaller ones do it."""
    draw = Draw(np.float32, algorithm)
    x, weight = on_device(draw.normal(1, 4, 160, 160), 0), on_device(draw.normal(64, 4, 1, 1), 0)
    bias = draw.normal(64)
    aligned, unaligned = (
        CUDA.cupy.asnumpy(CUDA.kernels.conv2d_forward(x, weight, at, (1, 1), (0, 0), (1, 1), 1, algorithm))
        for at in (on_device(bias, 0), on_device(bias, 1))
    )
    assert same_bits(aligned, unaligned)
