"""Against torchvision, where it is installed: signatures, and values for images, masks and boxes of every format."""

import inspect

import numpy as np
import pytest

import atrous as at
from atrous import transforms as T
from atrous import tv_tensors
from atrous.transforms import functional as F

torch = pytest.importorskip("torch")
try:
    torchvision = pytest.importorskip("torchvision")
except RuntimeError:  # one for CUDA beside a PyTorch for the CPU lacks its own operators, which no transform needs
    operators = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
from torchvision.transforms import v2  # noqa: E402

OURS = {"MinMaxScale", "Standardize", "average_predictions", "functional"}  # that torchvision has not
CLASSES = sorted(set(T.__all__) - OURS - {"InterpolationMode", "ToTensor", "Transform"})


def parameters(function):
    plain = [
        (p.name, p.kind, getattr(p.default, "value", p.default))
        for p in inspect.signature(function).parameters.values()
    ]
    return [tuple(tuple(part) if isinstance(part, list) else part for part in p) for p in plain]


@pytest.mark.parametrize("name", CLASSES)
def test_signatures_of_classes(name):
    ours, theirs = parameters(getattr(T, name)), parameters(getattr(v2, name))
    assert ours == theirs


def test_signatures_of_functions():
    differ = {"gaussian_noise": 1, "perspective": -1, "to_dtype": 0}  # a generator more; no coefficients
    for name in F.__all__:
        if name in ("pil_to_tensor", "to_image"):
            continue
        ours, theirs = ([(n, d) for n, _, d in parameters(f)] for f in (getattr(F, name), getattr(v2.functional, name)))
        shared = min(len(ours), len(theirs))
        assert len(ours) - len(theirs) == differ.get(name, 0), name
        for (our_name, our_default), (their_name, their_default) in zip(ours[:shared], theirs[:shared], strict=True):
            assert our_name == their_name, name
            if name != "to_dtype":
                assert our_default == their_default or (our_default, their_default) == (0, None), name


def inputs(H, W, seed):
    """An image, a mask and boxes of each format, as ours and as torchvision's."""
    generator = np.random.default_rng(seed)
    image, mask = generator.random((3, H, W), dtype=np.float32), generator.integers(0, 9, (H, W))
    corners = np.sort(generator.random((5, 2, 2)) * [W, H], 1).reshape(5, 4).astype(np.float32)
    ours = [at.from_numpy(image), tv_tensors.Mask(mask)]
    theirs = [torch.from_numpy(image), torchvision.tv_tensors.Mask(torch.from_numpy(mask))]
    for name in ("XYXY", "XYWH", "CXCYWH"):
        for values in (corners, corners.astype(np.int64)):
            how = {"format": name, "canvas_size": (H, W)}
            ours.append(tv_tensors.BoundingBoxes(values, **how))
            theirs.append(torchvision.tv_tensors.BoundingBoxes(torch.from_numpy(values), **how))
    return ours, theirs


SQUARE = [[0, 0], [22, 0], [22, 16], [0, 16]]
GEOMETRIC = [
    ("horizontal_flip", {}),
    ("vertical_flip", {}),
    ("crop", {"top": -2, "left": 3, "height": 15, "width": 25}),
    ("center_crop", {"output_size": [12, 14]}),
    ("pad", {"padding": [1, 2, 3, 4], "fill": 1}),
    ("resize", {"size": [9, 31]}),
    ("resize", {"size": 10, "max_size": 12}),
    ("resized_crop", {"top": 2, "left": 3, "height": 8, "width": 9, "size": [7, 7]}),
    ("affine", {"angle": 31.0, "translate": [2, -3], "scale": 1.3, "shear": [10.0, -7.0], "fill": 0.25}),
    ("affine", {"angle": 200.0, "translate": [2, 3], "scale": 0.7, "shear": [9.0], "center": [3, 4], "smooth": True}),
    ("rotate", {"angle": 33.0, "smooth": True, "fill": [0.1, 0.2, 0.3]}),
    ("rotate", {"angle": 33.0, "smooth": True, "expand": True}),
    ("rotate", {"angle": 90.0, "expand": True}),
    ("perspective", {"startpoints": SQUARE, "endpoints": [[2, 1], [20, 3], [22, 15], [1, 12]], "fill": 0.5}),
]


@pytest.mark.parametrize(("name", "arguments"), GEOMETRIC)
@pytest.mark.parametrize("seed", range(3))
def test_geometry(name, arguments, seed):
    arguments = dict(arguments)
    smooth = arguments.pop("smooth", False)
    mode = [{"interpolation": m.BILINEAR} if smooth else {} for m in (T.InterpolationMode, v2.InterpolationMode)]
    for ours, theirs in zip(*inputs(17, 23, seed), strict=True):
        if isinstance(ours, tv_tensors.Mask) and isinstance(arguments.get("fill"), list):
            continue
        made = getattr(F, name)(ours, **arguments, **mode[0])
        expected = getattr(v2.functional, name)(theirs, **arguments, **mode[1])
        assert made.numpy().dtype == expected.numpy().dtype
        if isinstance(ours, tv_tensors.BoundingBoxes) and arguments.get("expand"):
            continue  # their boxes are cut off at a canvas that is a pixel off their image's
        if isinstance(ours, tv_tensors.BoundingBoxes):
            assert made.canvas_size == tuple(expected.canvas_size)
        differ = np.abs(made.numpy() - expected.numpy()) > 1e-5 * (20 if made.ndim == 2 else 1)
        if name == "perspective" and isinstance(ours, tv_tensors.BoundingBoxes) and ours.dtype == at.int64:
            assert np.abs(made.numpy() - expected.numpy()).max() <= 1  # cut off to whole pixels, after float32
            continue
        few = 0.02 if name == "perspective" and made.ndim == 2 else 0  # their nearest pixel is that of float32
        assert differ.mean() <= few


COLOURS = [
    ("adjust_brightness", (1.4,)),
    ("adjust_contrast", (0.3,)),
    ("adjust_saturation", (1.7,)),
    ("adjust_hue", (0.3,)),
    ("adjust_hue", (-0.2,)),
    ("adjust_gamma", (2.2, 1.1)),
    ("rgb_to_grayscale", (3,)),
    ("rgb_to_grayscale", (1,)),
    ("invert", ()),
    ("solarize", (0.5,)),
    ("posterize", (3,)),
    ("gaussian_blur", ([5, 3], [1.1, 0.7])),
    ("gaussian_blur", ([5, 5],)),
    ("normalize", ([0.1, 0.2, 0.3], [1, 2, 3])),
]


@pytest.mark.parametrize(("name", "arguments"), COLOURS)
def test_colours(name, arguments):
    ours, theirs = inputs(9, 12, 0)
    made, expected = getattr(F, name)(ours[0], *arguments), getattr(v2.functional, name)(theirs[0], *arguments)
    np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=2e-6)


@pytest.mark.parametrize("old", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("new", ["uint8", "int32", "float32", "float64"])
def test_to_dtype(old, new):
    x = (np.array([[[0, 0.2, 0.999, 1]]]) * (1 if old[0] == "f" else np.iinfo(old).max)).astype(old)
    try:
        expected = v2.functional.to_dtype(torch.from_numpy(x), getattr(torch, new), scale=True).numpy()
    except RuntimeError:
        with pytest.raises(RuntimeError, match="to_dtype"):
            F.to_dtype(at.from_numpy(x), getattr(at, new), scale=True)
        return
    made = F.to_dtype(at.from_numpy(x), getattr(at, new), scale=True).numpy()
    np.testing.assert_allclose(made, expected, rtol=2e-7)


def test_mixtures(monkeypatch):
    x, labels = np.random.default_rng(0).random((4, 2, 6, 8), dtype=np.float32), np.arange(4) % 3
    for name, params in (("MixUp", {"lam": 0.3}), ("CutMix", {"box": (1, 2, 6, 5), "lam_adjusted": 1 - 15 / 48})):
        ours, theirs = getattr(T, name)(num_classes=3), getattr(v2, name)(num_classes=3)
        monkeypatch.setattr(theirs, "make_params", lambda flat, params=params: params)
        mine = {"share": params.get("lam", params.get("lam_adjusted")), "rows": slice(2, 5), "columns": slice(1, 6)}
        monkeypatch.setattr(ours, "make_params", lambda flat, mine=mine: mine)
        made = ours(at.from_numpy(x), at.from_numpy(labels))
        for a, b in zip(made, theirs(torch.from_numpy(x), torch.from_numpy(labels)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
