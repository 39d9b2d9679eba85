"""Images for the tests of transforms: a random picture, and pixels of pictures and tensors to compare."""

import numpy as np

import atrous as at
from atrous import tv_tensors


def picture(H=6, W=8, C=3):
    """A Pillow image of random pixels, always the same."""
    from PIL import Image

    values = at.Generator(1).integers(0, 256, (H, W, C)).astype(np.uint8)
    return Image.fromarray(values if C != 1 else values[..., 0])


def pixels(image):
    """A picture or tensor as an array (H, W, C) of 0 to 255."""
    if isinstance(image, at.Tensor):
        return image.numpy().transpose(1, 2, 0) * 255
    return np.atleast_3d(np.asarray(image)).astype(np.float64)


def same(a, b):
    """The same pixels."""
    np.testing.assert_allclose(pixels(a), pixels(b), atol=1e-4)


def sample(H=24, W=30, seed=0):
    """An image (1, H, W) of numbers, the same numbers as a mask, and the box around its rectangle of larger ones."""
    generator = at.Generator(seed)
    values = generator.integers(1, 50, (H, W))
    (left, right), (top, bottom) = (np.sort(generator.permutation(L - 4)[:2] + 2) for L in (W, H))
    values[top:bottom, left:right] += 100
    boxes = tv_tensors.BoundingBoxes([[left, top, right, bottom]], format="XYXY", canvas_size=(H, W), dtype=at.float32)
    return at.from_numpy(values[None].astype(np.float32)), tv_tensors.Mask(values), boxes


def around(mask):
    """The box around a mask's larger numbers; None where there are none."""
    rows, columns = np.nonzero(mask.numpy() >= 100)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None
