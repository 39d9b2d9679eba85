"""conv2d by Hopper's matrix units and copy engine: on such a GPU, or on the CPU that stands in for one."""

import numpy as np
import pytest
from conftest import BACKENDS

from atrous import reference, verify
from atrous.verify.conv2d import bound
from atrous.verify.draw import Draw
from atrous.verify.halves import half_dtypes
from atrous.verify.harness import compare, in_16_bits, in_float64

CUDA = BACKENDS.get("cuda")
COMPILED = getattr(getattr(CUDA, "kernels", None), "compiled", None)
EMULATED = hasattr(COMPILED, "set_capability")
DENSE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
SAME = {**DENSE, "padding": (1, 1)}
FUNCTIONS = ["conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight"]
HALVES = [np.dtype(dtype) for dtype in half_dtypes()]
DTYPES = [np.dtype(np.float32), *HALVES]


def is_hopper():
    if CUDA is None or EMULATED:
        return EMULATED
    properties = CUDA.cupy.cuda.runtime.getDeviceProperties(CUDA.cupy.cuda.runtime.getDevice())
    return (properties["major"], properties["minor"]) == (9, 0)


pytestmark = pytest.mark.skipif(not is_hopper(), reason="needs a Hopper GPU, or the build for the CPU")


@pytest.fixture(autouse=True)
def on_hopper():
    """The emulated GPU is one of compute capability 9.0 as long."""
    if EMULATED:
        COMPILED.set_capability(90)
    yield
    if EMULATED:
        COMPILED.set_capability(80)
        COMPILED.set_order(2)


@pytest.mark.slow
@pytest.mark.skipif(not EMULATED, reason="a GPU runs these cases in test_conv2d.py")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [DTYPES[0], DTYPES[-1]], ids=str)
def test_the_case_table(function, dtype):
    table, before = verify.FAMILIES["conv2d"], COMPILED.engine_copies()
    result = verify.check_function(CUDA, table, function, dtype, "cuda", "tensor_cores")
    assert result.cases > 0
    assert not result.failures, "\n".join(map(str, result.failures))
    assert COMPILED.engine_copies() > before


# (x, OC, kernel, window)
SIZES = [
    ((1, 64, 8, 16), 64, (1, 1), DENSE),  # one full tile
    ((1, 16, 16, 16), 128, (1, 1), DENSE),
    ((2, 36, 9, 11), 40, (3, 3), SAME),  # tails of pixels, channels and filters
    ((1, 100, 13, 7), 3, (3, 3), SAME),  # filters that are not stored 16 bytes at a time
    ((3, 20, 5, 6), 70, (2, 3), {**DENSE, "padding": (1, 0)}),
    ((2, 32, 9, 11), 17, (1, 5), {**DENSE, "padding": (0, 2)}),  # tells rows from columns
    ((2, 32, 9, 11), 16, (5, 1), {**DENSE, "padding": (2, 0)}),
    ((2, 24, 17, 14), 33, (3, 5), {**DENSE, "stride": (2, 1), "padding": (2, 1), "dilation": (1, 3)}),
    ((2, 16, 23, 19), 12, (7, 7), {**DENSE, "stride": (2, 2), "padding": (3, 3)}),
    ((1, 48, 30, 33), 20, (3, 3), {**DENSE, "stride": (8, 3), "padding": (4, 7)}),  # windows of nothing but padding
    ((1, 16, 15, 15), 24, (2, 2), {**DENSE, "stride": (5, 4)}),  # pixels that no tap reads
    ((2, 16, 12, 11), 20, (1, 1), {**DENSE, "stride": (2, 2)}),  # three of four pixels get nothing
    ((1, 16, 14, 13), 16, (3, 3), {**SAME, "stride": (2, 3), "dilation": (3, 2)}),
    ((2, 16, 7, 9), 36, (1, 1), {**DENSE, "padding": (1, 2)}),  # padding that is negative backwards
    ((1, 20, 3, 17), 16, (3, 3), {**SAME, "stride": (4, 4)}),  # fewer rows than the stride
    (
        (1, 68, 43, 18),
        16,
        (4, 3),
        {**DENSE, "stride": (3, 2), "padding": (2, 1)},
    ),  # six phases of 1 to 4 taps, in tiles
    ((2, 72, 26, 18), 20, (2, 3), {**SAME, "stride": (3, 2)}),  # two of six phases get nothing
    ((1, 72, 33, 33), 68, (3, 3), {**DENSE, "padding": (6, 6), "dilation": (6, 6)}),
    ((1, 20, 19, 17), 20, (3, 3), {**DENSE, "padding": (12, 12), "dilation": (12, 12)}),
    ((1, 16, 4, 4), 16, (3, 3), {**DENSE, "padding": (100, 60)}),  # far more padding than image
    ((1, 16, 9, 9), 16, (4, 4), {**DENSE, "padding": (6, 1), "dilation": (4, 1)}),
    ((130, 16, 1, 1), 20, (1, 1), DENSE),  # a tile of many images
    ((70, 20, 3, 2), 20, (3, 3), SAME),
    ((1, 32, 2, 150), 16, (3, 3), SAME),  # a row longer than a tile
    ((1, 16, 1, 1), 16, (1, 1), DENSE),
    ((1, 256, 12, 12), 260, (1, 1), DENSE),
    ((1, 64, 15, 17), 128, (1, 1), DENSE),
    ((1, 64, 60, 47), 100, (1, 1), DENSE),  # tiles of the weight gradient, cut into parts
    ((1, 40, 83, 64), 64, (1, 1), DENSE),  # so many that slices of a block share them
    ((2, 128, 9, 9), 64, (1, 1), DENSE),
    ((1, 40, 9, 9), 132, (2, 1), DENSE),
]
# What only a GPU is fast enough for: tiles of 128 columns and, where a sum is long, 256; more than run at a time.
LARGE = [
    ((64, 64, 28, 28), 64, (3, 3), SAME),
    ((16, 256, 33, 33), 256, (3, 3), {**DENSE, "padding": (6, 6), "dilation": (6, 6)}),
    ((64, 256, 14, 14), 260, (3, 3), SAME),
    ((32, 512, 7, 7), 512, (3, 3), SAME),
    ((16, 128, 128, 65), 128, (3, 3), SAME),
    ((64, 320, 14, 14), 256, (3, 3), SAME),
    ((32, 100, 57, 55), 250, (3, 3), {**DENSE, "stride": (2, 2), "padding": (1, 1)}),
    ((2000, 36, 9, 9), 64, (3, 3), SAME),
]


def arguments(function, x, OC, kernel, window):
    draw = Draw(np.float32, (function, x, OC, kernel))
    size = [
        (i + 2 * p - d * (k - 1) - 1) // s + 1
        for i, k, s, p, d in zip(x[2:], kernel, window["stride"], window["padding"], window["dilation"], strict=True)
    ]
    weight = draw.normal(OC, x[1], *kernel)
    if function == "conv2d_forward":
        given = {"x": draw.normal(*x), "weight": weight, "bias": draw.normal(OC)}
    elif function == "conv2d_backward_input":
        given = {"grad_y": draw.normal(x[0], OC, *size), "weight": weight, "input_size": x[2:]}
    else:
        given = {"grad_y": draw.normal(x[0], OC, *size), "x": draw.normal(*x), "kernel_size": kernel}
    return {**given, **window}


def on_device(array, offset=0):
    """Channels-last, from so many elements into a block on."""
    axes = (0, 2, 3, 1) if array.ndim == 4 else tuple(range(array.ndim))
    view = CUDA.cupy.empty(array.size + offset, array.dtype)[offset:].reshape([array.shape[axis] for axis in axes])
    view[...] = CUDA.cupy.asarray(np.ascontiguousarray(array.transpose(axes)))
    return view.transpose([axes.index(axis) for axis in range(array.ndim)])


def run(function, given, offset=0, **more):
    given = {k: on_device(v, offset) if isinstance(v, np.ndarray) else v for k, v in {**given, **more}.items()}
    return CUDA.cupy.asnumpy(getattr(CUDA.kernels, function)(**given, algorithm="tensor_cores"))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("sizes", SIZES + ([] if EMULATED else LARGE), ids=str)
def test_against_float64(function, sizes):
    given = arguments(function, *sizes)
    exact = in_float64(given)
    expected = getattr(reference, function)(**exact)
    allowed = np.finfo(np.float32).eps * bound(function, {**exact, "algorithm": "tensor_cores"}, np.dtype(np.float32))
    y = run(function, given)
    assert (np.abs(y - expected) <= allowed).all()
    if EMULATED:
        COMPILED.set_order(3)
    assert np.array_equal(y, run(function, given))  # the same bits again
    assert np.array_equal(y, run(function, given, offset=1))  # and from any address


def in_dtype(function, given, dtype):
    return in_16_bits(verify.FAMILIES["conv2d"], function, given, dtype)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("sizes", SIZES + ([] if EMULATED else LARGE), ids=str)
def test_16_bits_against_float64(function, sizes):
    """With twice the channels, which a step has of them; float16 and bfloat16 in turns."""
    (N, IC, H, W), OC, kernel, window = sizes
    dtype = HALVES[OC % len(HALVES)]
    given = in_dtype(function, arguments(function, (N, 2 * IC, H, W), 2 * OC, kernel, window), dtype)
    exact = in_float64(given)
    expected = getattr(reference, function)(**exact)
    y = run(function, given)
    assert y.dtype == (np.float32 if function == "conv2d_backward_weight" else dtype)
    assert compare(y, expected, bound(function, exact, dtype))[0].max() <= 1
    if EMULATED:
        COMPILED.set_order(3)
    assert np.array_equal(y, run(function, given))  # the same bits again
    assert np.array_equal(y, run(function, given, offset=1))  # and from any address


def check_whole_weight_gradient(IC, OC, kernel, image, dtype, orders=(2,)):
    """In whole numbers: every sum is exact."""
    rng = np.random.default_rng(IC)
    whole = lambda *shape: rng.integers(-2, 3, shape).astype(np.float32)  # noqa: E731
    size = [i - k + 1 for i, k in zip(image, kernel, strict=True)]
    given = {"grad_y": whole(1, OC, *size), "x": whole(1, IC, *image), "kernel_size": kernel, **DENSE}
    expected = reference.conv2d_backward_weight(**given)
    given = in_dtype("conv2d_backward_weight", given, dtype)
    for order in orders:
        if EMULATED:
            COMPILED.set_order(order)
        assert np.array_equal(run("conv2d_backward_weight", given), expected)


@pytest.mark.parametrize("dtype", [DTYPES[0], DTYPES[-1]], ids=str)
@pytest.mark.parametrize(
    ("IC", "OC", "kernel", "image"),
    [
        (32, 32, (1, 1), (33, 32)),  # a cluster of two in 16 bits, of four in TF32
        (64, 128, (1, 1), (59, 47)),  # of four
        (36, 72, (1, 1), (83, 64)),  # parts
        (64, 200, (1, 2), (150, 60)),  # parts, of clusters
    ],
)
def test_the_cuts_of_the_weight_gradient(IC, OC, kernel, image, dtype):
    check_whole_weight_gradient(IC, OC, kernel, image, dtype, orders=(1, 2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [DTYPES[0], DTYPES[-1]], ids=str)
@pytest.mark.parametrize(
    ("IC", "OC", "kernel", "image"),
    [
        (96, 512, (3, 3), (4, 16)),  # 64 x 192 in 16 bits
        (384, 512, (3, 3), (4, 16)),  # 128 x 128
        (512, 512, (3, 3), (4, 16)),  # 128 x 192
        (512, 192, (2, 2), (40, 64)),  # 64 x 256, clusters of four
        (384, 192, (3, 3), (40, 64)),  # 128 x 256
        (1024, 512, (1, 1), (34, 63)),  # 128 x 192; of TF32, shares of more than 32 steps
    ],
)
def test_the_tiles_of_the_weight_gradient(IC, OC, kernel, image, dtype):
    check_whole_weight_gradient(IC, OC, kernel, image, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("OC", [32, 33, 70])
@pytest.mark.parametrize("then", ["", "scale", "relu", "residual", "scale relu", "scale relu residual relu_last"])
def test_the_epilogue(OC, then, dtype):
    """Small whole numbers: every sum is exact, however the numbers are rounded; in 16 bits the result is not."""
    rng = np.random.default_rng(OC)
    whole = lambda *shape: rng.integers(-4, 5, shape).astype(np.float32)  # noqa: E731
    IC = 36 if dtype == np.float32 else 40
    given = {"x": whole(2, IC, 9, 10), "weight": whole(OC, IC, 3, 3), "bias": whole(OC) if then else None, **SAME}
    values = {"relu": True, "relu_last": True, "scale": whole(OC), "residual": whole(2, OC, 9, 10)}
    given |= {name: values[name] for name in then.split()}
    expected = reference.conv2d_forward(**given).astype(dtype)
    given = in_dtype("conv2d_forward", given, dtype)
    for offset in (0, 1, 2):
        assert np.array_equal(run("conv2d_forward", given, offset), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("stride", "kernel"), [((2, 2), (3, 3)), ((3, 2), (4, 3)), ((3, 2), (2, 3)), ((4, 4), (3, 5))])
def test_phases_of_whole_numbers(stride, kernel, dtype):
    """Up to 4 taps of 64 products, of at most 16 each: sums are exact, and in 16 bits rounded once."""
    rng = np.random.default_rng(kernel)
    window = {**SAME, "stride": stride, "input_size": (26, 31)}
    size = [(i + 2 - k) // s + 1 for i, k, s in zip((26, 31), kernel, stride, strict=True)]
    given = {"grad_y": rng.integers(-4, 5, (2, 64, *size)), "weight": rng.integers(-4, 5, (64, 72, *kernel))}
    given = {name: array.astype(np.float32) for name, array in given.items()} | window
    expected = reference.conv2d_backward_input(**given).astype(dtype)
    assert np.array_equal(run("conv2d_backward_input", in_dtype("conv2d_backward_input", given, dtype)), expected)


@pytest.mark.skipif(not EMULATED, reason="a GPU does not tell which kernel ran")
@pytest.mark.parametrize(
    ("function", "x", "OC", "kernel", "window", "takes"),
    [
        ("conv2d_forward", (1, 16, 5, 5), 4, (3, 3), SAME, True),
        ("conv2d_forward", (1, 12, 5, 5), 4, (3, 3), SAME, False),  # mostly zeros
        ("conv2d_forward", (1, 18, 5, 5), 4, (3, 3), SAME, False),  # no packs of 16 bytes
        ("conv2d_forward", (1, 32, 5, 5), 4, (3, 3), {**SAME, "groups": 2}, False),
        ("conv2d_forward", (1, 16, 20, 5), 4, (2, 1), {**DENSE, "stride": (9, 1)}, False),
        ("conv2d_forward", (1, 16, 20, 5), 4, (2, 1), {**DENSE, "stride": (8, 1)}, True),
        ("conv2d_forward", (1, 16, 3, 3), 4, (1, 1), {**DENSE, "padding": (129, 0)}, False),
        ("conv2d_forward", (1, 16, 3, 3), 4, (1, 1), {**DENSE, "padding": (127, 0)}, True),
        ("conv2d_forward", (1, 16, 258, 1), 4, (2, 1), {**DENSE, "dilation": (256, 1), "padding": (128, 0)}, False),
        ("conv2d_forward", (1, 16, 258, 1), 4, (2, 1), {**DENSE, "dilation": (255, 1), "padding": (128, 0)}, True),
        ("conv2d_backward_input", (1, 4, 5, 5), 16, (3, 3), SAME, True),
        ("conv2d_backward_input", (1, 16, 5, 5), 10, (3, 3), SAME, False),
        ("conv2d_backward_input", (1, 16, 5, 5), 16, (3, 3), {**SAME, "stride": (2, 1)}, True),
        ("conv2d_backward_input", (1, 16, 9, 9), 16, (3, 3), {**SAME, "stride": (4, 4)}, True),
        ("conv2d_backward_input", (1, 16, 9, 9), 16, (3, 3), {**SAME, "stride": (4, 5)}, False),  # too many launches
        ("conv2d_backward_input", (1, 16, 5, 5), 16, (1, 1), SAME, True),  # padding that is negative backwards
        ("conv2d_backward_weight", (1, 16, 5, 5), 16, (1, 1), {**SAME, "stride": (2, 3)}, True),
        ("conv2d_backward_weight", (1, 12, 5, 5), 16, (3, 3), SAME, False),
        ("conv2d_backward_weight", (1, 16, 5, 5), 12, (3, 3), SAME, False),
        ("conv2d_backward_weight", (1, 16, 5, 5), 18, (3, 3), SAME, False),
    ],
)
def test_which_sizes_it_takes(function, x, OC, kernel, window, takes):
    given = arguments(function, x, OC, kernel, window)
    if "weight" in given:
        given["weight"] = given["weight"][:, : x[1] // window["groups"]]
    before = COMPILED.engine_copies()
    run(function, given)
    assert (COMPILED.engine_copies() > before) == takes


@pytest.mark.skipif(not EMULATED, reason="a GPU does not tell which kernel ran")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("x", "OC", "groups", "takes"),
    [
        ((1, 32, 5, 5), 32, 1, FUNCTIONS),
        ((1, 25, 5, 5), 25, 1, FUNCTIONS),  # padded to 32
        ((1, 24, 5, 5), 32, 1, FUNCTIONS[1:2]),  # mostly zeros
        ((1, 32, 5, 5), 24, 1, FUNCTIONS[:1]),
        ((1, 64, 5, 5), 64, 2, []),
    ],
)
def test_which_sizes_it_takes_in_16_bits(function, x, OC, groups, takes):
    given = arguments(function, x, OC, (3, 3), {**SAME, "groups": groups})
    if "weight" in given:
        given["weight"] = given["weight"][:, : x[1] // groups]
    before = COMPILED.engine_copies()
    run(function, in_dtype(function, given, HALVES[0]))
    assert (COMPILED.engine_copies() > before) == (function in takes)


@pytest.mark.skipif(not EMULATED, reason="is about the emulated GPU")
def test_other_gpus_keep_the_other_kernel():
    given, before = arguments("conv2d_forward", (1, 32, 6, 6), 8, (3, 3), SAME), COMPILED.engine_copies()
    for capability in (80, 89, 100, 120):
        COMPILED.set_capability(capability)
        run("conv2d_forward", given)
    assert COMPILED.engine_copies() == before


def test_what_is_not_finite_stays_with_its_pixels():
    given = arguments("conv2d_forward", (1, 36, 9, 9), 20, (3, 3), SAME)
    given["x"][0, 5, 4, 4] = np.inf
    given["x"][0, 7, 0, 0] = np.nan
    y = run("conv2d_forward", given)
    reached = np.zeros((9, 9), bool)
    reached[3:6, 3:6] = reached[:2, :2] = True
    assert np.isfinite(y[0, :, ~reached]).all()
    assert not np.isfinite(y[0, :, reached]).any()
    assert np.isnan(y[0, :, :2, :2]).all()
