"""Mask and boxes go with the image, whatever moves it."""

import numpy as np
import pytest
from pictures import around, picture, same, sample

import atrous as at
from atrous import transforms as T
from atrous.transforms import functional as F
from atrous.tv_tensors import BoundingBoxes, Mask

pytest.importorskip("PIL.Image")


def test_perspective_by_hand():
    """A trapezium's corners land where they should; the map of a square to itself is nothing."""
    start = [(0, 0), (8, 0), (8, 6), (0, 6)]
    x = T.ToTensor()(picture(6, 8))
    same(F.perspective(x, start, start, "nearest"), x)
    half = [(0, 0), (4, 0), (4, 3), (0, 3)]  # a scale alone
    boxes = BoundingBoxes([[2.0, 2.0, 8.0, 4.0]], format="XYXY", canvas_size=(6, 8))
    np.testing.assert_allclose(F.perspective(boxes, start, half).numpy(), [[1, 1, 4, 2]], atol=1e-6)
    end = [(1, 0), (7, 1), (8, 6), (0, 5)]
    whole = BoundingBoxes([[0.0, 0.0, 8.0, 6.0], [0.0, 0.0, 0.0, 0.0]], format="XYXY", canvas_size=(6, 8))
    np.testing.assert_allclose(F.perspective(whole, start, end).numpy(), [[0, 0, 8, 6], [1, 0, 1, 0]], atol=1e-5)
    with pytest.raises(ValueError, match="three of the endpoints"):
        F.perspective(x, start, [(0, 0), (1, 1), (2, 2), (0, 6)])


GEOMETRIC = [
    T.RandomHorizontalFlip(1),
    T.RandomVerticalFlip(1),
    T.CenterCrop((14, 16)),
    T.CenterCrop((40, 16)),
    T.Pad((1, 2, 3, 4)),
    T.RandomCrop((17, 19), padding=2),
    T.RandomCrop(33, pad_if_needed=True),
    T.Resize((24, 60), "nearest"),
    T.Resize(12, "nearest"),
    T.RandomResizedCrop((48, 60), interpolation="nearest"),
    T.RandomShortestSize(range(12, 48), interpolation="nearest"),
    T.RandomRotation(180),
    T.RandomRotation(180, expand=True),
    T.RandomAffine(20, (0.2, 0.2), (0.7, 1.4), (-10, 10, -10, 10)),
    T.RandomPerspective(p=1, interpolation="nearest"),
]


@pytest.mark.parametrize("transform", GEOMETRIC, ids=lambda t: type(t).__name__)
def test_image_mask_and_boxes_move_together(transform):
    """The nearest pixels of image and mask are the same numbers, and the box stays around its rectangle."""
    upright = not isinstance(transform, (T.RandomRotation, T.RandomAffine, T.RandomPerspective))
    seen = 0
    for seed in range(25):
        image, mask, boxes = sample(seed=seed)
        at.manual_seed(seed)
        moved, moved_mask, moved_boxes = transform(image, mask, boxes)
        assert np.array_equal(moved.numpy()[0], moved_mask.numpy())
        assert moved_boxes.canvas_size == moved_mask.shape == moved.shape[1:]
        assert (type(moved), type(moved_mask), type(moved_boxes)) == (at.Tensor, Mask, BoundingBoxes)
        found, box = around(moved_mask), moved_boxes.numpy()[0]
        assert (box[:2] <= box[2:]).all()
        if found is None:
            continue
        seen += 1
        outside = np.maximum(box[:2] - found[:2], found[2:] - box[2:]).max()
        slack = 0.5 if getattr(transform, "expand", False) else 0  # boxes start at the border, images are in the middle
        assert outside < 1.01 + slack  # by one pixel of the result: which was the nearest one
        if upright:
            scale = max(moved.shape[1] / 24, moved.shape[2] / 30, 1)
            assert np.abs(box - found).max() < 1.01 * scale  # by one pixel of the original
    assert seen >= 5


@pytest.mark.parametrize("transform", GEOMETRIC, ids=lambda t: type(t).__name__)
def test_boxes_of_any_format_are_the_same_boxes(transform):
    corners = BoundingBoxes([[2.0, 3.0, 12.0, 10.0], [-4.0, 0.0, 40.0, 5.0]], format="XYXY", canvas_size=(24, 30))
    others = {
        "XYWH": [[2.0, 3.0, 10.0, 7.0], [-4.0, 0.0, 44.0, 5.0]],
        "CXCYWH": [[7.0, 6.5, 10.0, 7.0], [18.0, 2.5, 44.0, 5.0]],
    }
    at.manual_seed(4)
    x1, y1, x2, y2 = transform(corners).numpy().T
    expected = {"XYWH": (x1, y1, x2 - x1, y2 - y1), "CXCYWH": ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)}
    for name, values in others.items():
        at.manual_seed(4)
        boxes = transform(BoundingBoxes(values, format=name, canvas_size=(24, 30)))
        assert boxes.format.value == name
        np.testing.assert_allclose(boxes.numpy().T, expected[name], atol=1e-5)


def test_masks_take_the_nearest_pixel_whatever_the_image_takes():
    image, mask = at.rand(1, 12, 14), Mask(at.arange(168).reshape(12, 14) % 2 * 200)
    for transform in (
        T.Resize(7),
        T.RandomResizedCrop(9),
        T.RandomRotation((9, 9), "bilinear"),
        T.RandomPerspective(p=1),
    ):
        assert set(transform(image, mask)[1].flatten().tolist()) == {0, 200}


def test_boxes_are_cut_off_and_kept():
    boxes = BoundingBoxes([[0, 0, 4, 4], [8, 8, 10, 10]], format="XYXY", canvas_size=(10, 10))
    made = F.crop(boxes, 0, 0, 6, 3)
    assert (made.tolist(), made.canvas_size, made.dtype) == ([[0, 0, 3, 4], [3, 6, 3, 6]], (6, 3), at.int64)
    whole = BoundingBoxes([[0, 0, 119, 119]], format="XYXY", canvas_size=(119, 119))
    assert F.resize(whole, (61, 61)).tolist() == [[0, 0, 61, 61]], "119 · (61 / 119) is below 61"
    none = BoundingBoxes([], format="XYXY", canvas_size=(10, 10))
    assert T.RandomRotation(30)(none).shape == T.Resize(5)(none).shape == T.RandomCrop(5)(none).shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 7)])
def test_corners_on_a_line_leave_the_image(size):
    for seed in range(100):
        at.manual_seed(seed)
        image, mask, boxes = (
            at.ones(1, *size),
            Mask(at.ones(*size)),
            BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=size),
        )
        made = T.RandomPerspective(1.0, p=1, interpolation="nearest")(image, mask, boxes)
        assert [type(part) for part in made] == [at.Tensor, Mask, BoundingBoxes]


def test_sanitized():
    values = [[0, 0, 5, 5], [9, 3, 9, 8], [2, 2, 4, 3], [-1, 0, 5, 5], [4, 4, 10, 9]]
    frames = BoundingBoxes(values, format="XYXY", canvas_size=(9, 10))
    masks, labels = Mask(at.arange(5).reshape(5, 1, 1) + at.zeros(5, 9, 10)), at.arange(5)
    sample = at.zeros(3, 9, 10), {"labels": labels, "boxes": frames, "masks": masks}
    sample[1]["mask"] = Mask(at.zeros(9, 10))
    image, target = T.SanitizeBoundingBoxes()(*sample)
    assert target["labels"].tolist() == target["masks"][:, 0, 0].tolist() == [0, 2, 4]
    assert target["boxes"].tolist() == [values[k] for k in (0, 2, 4)]
    assert (type(target["masks"]), type(target["labels"]), target["mask"].shape) == (Mask, at.Tensor, (9, 10))
    assert image is sample[0]
    assert T.SanitizeBoundingBoxes(min_size=2)(*sample)[1]["labels"].tolist() == [0, 4]
    assert T.SanitizeBoundingBoxes(min_area=30)(*sample)[1]["labels"].tolist() == [4]
    assert len(T.SanitizeBoundingBoxes(labels_getter=None)(frames)) == 3
    two = T.SanitizeBoundingBoxes(labels_getter=lambda s: s[1:])(frames, labels, at.ones(5))
    assert [len(part) for part in two] == [3, 3, 3]
    for call, message in (
        (lambda: T.SanitizeBoundingBoxes(0.5), "min_size is 0.5; expected 1 or more"),
        (lambda: T.SanitizeBoundingBoxes()(image, {"labels": labels}), "the sample has no boxes"),
        (lambda: T.SanitizeBoundingBoxes()(frames, {"labels": labels[:2]}), "expected one for each of 5"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
