"""Transforms on another array library, as on a GPU: no silent copies, the same numbers, inputs unchanged."""

import numpy as np
import pytest

import atrous as at
from atrous import transforms as T
from atrous.tensor import Tensor
from atrous.tv_tensors import BoundingBoxes, Mask

TRANSFORMS = [  # a bilinear Resize is a product of matrices, which needs kernels
    T.RandomHorizontalFlip(1),
    T.CenterCrop(4),
    T.CenterCrop(40),
    T.Pad(2, fill=[0.1, 0.2, 0.3]),
    T.RandomCrop(5, 2),
    T.Resize(4, "nearest"),
    T.RandomRotation(30, "bilinear", fill=0.5),
    T.RandomRotation(30, expand=True),
    T.RandomAffine(30, shear=10),
    T.RandomPerspective(p=1),
    T.ColorJitter(0.3, 0.3, 0.3, 0.3),
    T.Grayscale(3),
    T.RandomInvert(1),
    T.RandomSolarize(0.5, 1),
    T.RandomPosterize(2, 1),
    T.GaussianBlur(3),
    T.GaussianNoise(),
    T.RandomErasing(1),
    T.RandomErasing(1, value="random"),
    T.Normalize([0.1, 0.2, 0.3], [1, 2, 3]),
    T.Standardize(),
    T.MinMaxScale(),
    T.ToDtype(at.float64),
    T.SanitizeBoundingBoxes(labels_getter=None),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
def test_transforms_run_elsewhere(transform, foreign):
    arrays = (
        at.rand(3, 12, 14).numpy(),
        at.arange(168).reshape(12, 14).numpy(),
        np.array([[1.0, 2, 5, 6], [3, 4, 14, 12]]),
    )
    copies = [array.copy() for array in arrays]

    def run(put):
        image, mask, boxes = (Tensor(put(array)) for array in arrays)
        at.manual_seed(1)
        return transform(image, Mask(mask), BoundingBoxes(boxes, format="XYXY", canvas_size=(12, 14)))

    for expected, made in zip(run(np.asarray), run(foreign.asarray), strict=True):
        assert type(made.data) is not np.ndarray
        assert made.dtype == expected.dtype
        np.testing.assert_allclose(foreign.asnumpy(made.data), expected.numpy(), atol=1e-6)
    for array, copy in zip(arrays, copies, strict=True):
        assert np.array_equal(array, copy)
