"""Transforms refuse what they cannot do, with the reason."""

import math
import re

import numpy as np
import pytest
from pictures import picture

import atrous as at
from atrous import transforms as T
from atrous import tv_tensors
from atrous.tv_tensors import BoundingBoxes, Mask

pytest.importorskip("PIL.Image")


def boxes(values, format="XYXY"):
    return BoundingBoxes(values, format=format, canvas_size=(6, 8))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: T.Resize(0), ValueError, "Resize: size is 0; expected 1 or more"),
        (lambda: T.Resize(None), ValueError, "Resize: size is None; expected one int or (H, W)"),
        (lambda: T.Resize(2.5), TypeError, "Resize: size is 2.5; expected one int or two"),
        (lambda: T.Resize((4, 4), max_size=9), ValueError, "Resize: max_size is 9; expected more than size"),
        (lambda: T.Resize(4, max_size=4), ValueError, "Resize: max_size is 4; expected more than size"),
        (lambda: T.Resize(4, "cubic"), ValueError, "'cubic' is not a valid InterpolationMode"),
        (lambda: T.Resize(4, "bicubic")(at.ones(3, 8, 8)), ValueError, "Resize: tensors take nearest and bilinear"),
        (
            lambda: T.Resize(4)(at.arange(64).reshape(1, 8, 8)),
            TypeError,
            "Resize: the tensor has dtype int64; expected",
        ),
        (lambda: T.Resize(4)(np.ones((8, 8, 3))), TypeError, "Resize: got a ndarray; expected a Pillow image or a"),
        (lambda: T.CenterCrop(4)(at.ones(8, 8)), ValueError, "CenterCrop: the tensor has shape (8, 8); expected (C"),
        (lambda: T.CenterCrop((1, 2, 3)), ValueError, "CenterCrop: size has 3 numbers; expected one int or two"),
        (lambda: T.Pad(-1), ValueError, "Pad: padding is -1; expected 0 or more"),
        (lambda: T.Pad((1, 2, 3)), ValueError, "Pad: padding has 3 numbers"),
        (lambda: T.Pad(1, padding_mode="wrap"), ValueError, "Pad: padding_mode is 'wrap'; expected one of constant, e"),
        (lambda: T.Pad(2, padding_mode="reflect")(at.ones(1, 2, 9)), ValueError, "is too large to reflect an image of"),
        (lambda: T.RandomCrop(0), ValueError, "RandomCrop: size is 0; expected 1 or more"),
        (lambda: T.RandomHorizontalFlip(1.5), ValueError, "RandomHorizontalFlip: p is 1.5; expected 0 to 1"),
        (lambda: T.RandomHorizontalFlip()("x"), TypeError, "RandomHorizontalFlip: got a str; expected a Pillow image"),
        (lambda: T.RandomResizedCrop(4, (1, 0.5)), ValueError, "RandomResizedCrop: scale is (1, 0.5); expected (least"),
        (lambda: T.RandomResizedCrop(4, ratio=(0, 1)), ValueError, "RandomResizedCrop: ratio is (0, 1); expected"),
        (lambda: T.ColorJitter(-1), ValueError, "ColorJitter: brightness is -1; expected 0 or more"),
        (lambda: T.ColorJitter(contrast=(2, 1)), ValueError, "ColorJitter: contrast is (2, 1); expected (least, most)"),
        (
            lambda: T.ColorJitter(1)(at.ones(2, 4, 4)),
            ValueError,
            "adjust_brightness: the tensor has shape (2, 4, 4); exp",
        ),
        (lambda: T.Normalize([0, 0], [1]), ValueError, "Normalize: there are 2 means and 1 stds; expected as many"),
        (lambda: T.Normalize(0.5, 0.5), TypeError, "mean is 0.5; expected one number a channel, such as [0.5]"),
        (lambda: T.Normalize([0], [0]), ValueError, "Normalize: std is [0.0]; expected all above 0"),
        (lambda: T.Normalize([math.inf], [math.nan]), ValueError, "Normalize: std is [nan]; expected all above 0"),
        (lambda: T.Normalize([0] * 3, [1] * 3)(at.ones(1, 4, 4)), ValueError, "the tensor has 1 channels; expected 3"),
        (lambda: T.Normalize([0], [1])(picture()), TypeError, "Normalize: got a Image; expected a float tensor, such"),
        (
            lambda: T.Normalize([0], [1])(at.arange(4).reshape(1, 2, 2)),
            TypeError,
            "Normalize: got a tensor of int64; expected a float",
        ),
        (lambda: T.ToTensor()(at.ones(3, 4, 4)), TypeError, "ToTensor: got a Tensor; expected a Pillow image or an ar"),
        (lambda: T.ToTensor()(np.ones(3)), ValueError, "ToTensor: the array has shape (3,); expected (H, W, C)"),
        (lambda: T.ToTensor()([1]), TypeError, "ToTensor: got a list; expected a Pillow image"),
        (lambda: T.Compose([3]), TypeError, "Compose: got a int; expected functions of one image"),
        (lambda: T.Transform()(at.ones(1, 1, 1)), NotImplementedError, "Transform defines no transform(inpt, params)"),
        (
            lambda: T.Resize(4)(3, "x"),
            TypeError,
            "Resize: got nothing that can be transformed; expected a Pillow image",
        ),
        (
            lambda: T.RandomCrop(2)(at.ones(1, 4, 4), Mask(at.ones(4, 5))),
            ValueError,
            "RandomCrop: image, mask and boxes of one sample have sizes [(4, 4), (4, 5)]; expected one size",
        ),
        (
            lambda: T.FiveCrop(2)(at.ones(1, 4, 4), Mask(at.ones(4, 4))),
            TypeError,
            "FiveCrop: the sample has a Mask; exp",
        ),
        (
            lambda: T.TenCrop(5)(at.ones(1, 4, 4)),
            ValueError,
            "five_crop: the image has 4 × 4 pixels; expected 5 × 5 or",
        ),
        (lambda: T.RandomShortestSize([]), ValueError, "RandomShortestSize: min_size is []; expected one or more ints"),
        (lambda: T.RandomRotation(-1), ValueError, "RandomRotation: degrees is -1; expected 0 or more"),
        (lambda: T.RandomRotation((2, 1)), ValueError, "RandomRotation: degrees is (2, 1); expected one number or"),
        (lambda: T.RandomRotation(1, "bicubic")(at.ones(1, 2, 2)), ValueError, "rotate: interpolation is bicubic"),
        (
            lambda: T.RandomRotation(1, "bilinear")(at.ones(1, 2, 2, dtype=at.int64)),
            TypeError,
            "rotate: the tensor has dtype int64; expected a float one",
        ),
        (
            lambda: T.RandomRotation(1, center=3 * [1]),
            ValueError,
            "RandomRotation: center is [1, 1, 1]; expected (x, y)",
        ),
        (lambda: T.RandomAffine(0, (2, 0)), ValueError, "RandomAffine: translate is (2, 0); expected shares (x, y)"),
        (lambda: T.RandomAffine(0, scale=(0, 1)), ValueError, "RandomAffine: scale is (0, 1); expected (least, most)"),
        (
            lambda: T.RandomAffine(0, shear=(1, 2, 3)),
            ValueError,
            "RandomAffine: shear is (1, 2, 3); expected one number",
        ),
        (lambda: T.RandomPerspective(2), ValueError, "RandomPerspective: distortion_scale is 2; expected 0 to 1"),
        (lambda: T.ColorJitter(hue=0.6), ValueError, "ColorJitter: hue is 0.6; expected 0 to 0.5"),
        (lambda: T.Grayscale(2), ValueError, "Grayscale: num_output_channels is 2; expected 1 or 3"),
        (lambda: T.RandomPosterize(9), ValueError, "RandomPosterize: bits is 9; expected 0 to 8"),
        (
            lambda: T.RandomInvert(1)(at.arange(4).reshape(1, 2, 2)),
            TypeError,
            "invert: got a tensor of int64; expected",
        ),
        (lambda: T.GaussianBlur(4), ValueError, "GaussianBlur: kernel_size is 4; expected odd numbers above 0"),
        (lambda: T.GaussianBlur(3, 0), ValueError, "GaussianBlur: sigma is 0; expected one number or (least, most)"),
        (
            lambda: T.GaussianBlur(9)(at.ones(1, 4, 9)),
            ValueError,
            "gaussian_blur: kernel_size (9, 9) is too large to mi",
        ),
        (lambda: T.GaussianNoise(sigma=-1), ValueError, "GaussianNoise: sigma is -1; expected 0 or more"),
        (lambda: T.GaussianNoise()(picture()), TypeError, "gaussian_noise: got a Image; expected a float tensor"),
        (
            lambda: T.RandomErasing(scale=(0.5, 2)),
            ValueError,
            "RandomErasing: scale is (0.5, 2); expected (least, most)",
        ),
        (lambda: T.RandomErasing(value="x"), ValueError, "RandomErasing: value is 'x'; expected a number"),
        (
            lambda: T.RandomErasing(1, value=[1, 2])(at.ones(3, 9, 9)),
            ValueError,
            "RandomErasing: there are 2 values; expected 1 or 3",
        ),
        (lambda: T.MinMaxScale(1, 1), ValueError, "MinMaxScale: low is 1, high is 1; expected low < high"),
        (lambda: T.ToDtype("text"), TypeError, "ToDtype"),
        (lambda: T.ToDtype(at.float32)(picture()), TypeError, "to_dtype: got a Image; expected a tensor"),
        (lambda: T.Lambda(3), TypeError, "Lambda: got a int; expected a function of one image"),
        (lambda: T.RandomApply([], p=2), ValueError, "RandomApply: p is 2; expected 0 to 1"),
        (lambda: T.RandomChoice([abs], p=[0]), ValueError, "RandomChoice: p is [0]; expected 1 numbers, 0 or more"),
        (lambda: T.RandomChoice([]), ValueError, "RandomChoice: p is None; expected 0 numbers"),
        (lambda: Mask([1]), ValueError, "Mask: the data have shape (1,); expected (..., H, W)"),
        (lambda: tv_tensors.Image([[1]]), ValueError, "Image: the data have shape (1, 1); expected (..., C, H, W)"),
        (lambda: boxes([[1, 2, 3]]), ValueError, "BoundingBoxes: the data have shape (1, 3); expected (N, 4)"),
        (
            lambda: boxes([1, 2, 3, 4], "XYWHR"),
            ValueError,
            "BoundingBoxes: format is 'XYWHR'; expected one of XYXY, XYWH",
        ),
        (
            lambda: T.Pad(1, padding_mode="edge")(boxes([1, 2, 3, 4])),
            ValueError,
            "padding_mode is 'edge'; expected const",
        ),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
