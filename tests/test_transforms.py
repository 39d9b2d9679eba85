"""Transforms: what a call takes and gives back, conversions, lists of transforms, and how many words they draw."""

import collections
import math
import re
from pathlib import Path

import numpy as np
import pytest
from pictures import picture, pixels, sample

import atrous as at
from atrous import transforms as T
from atrous import tv_tensors
from atrous.data import DataLoader
from atrous.random import using
from atrous.tv_tensors import BoundingBoxes, Mask

Image = pytest.importorskip("PIL.Image")
KINDS = {"picture": lambda image: image, "tensor": T.ToTensor()}


@pytest.fixture(params=KINDS)
def of(request):
    """of(picture): the picture itself, or as a tensor."""
    return KINDS[request.param]


def boxes(values, format="XYXY"):
    return BoundingBoxes(values, format=format, canvas_size=(6, 8))


def test_kinds_of_tensors():
    array = np.arange(4).reshape(2, 2)
    mask = Mask(array)
    mask.fill_(7)
    assert array.tolist() == [[7, 7], [7, 7]]  # memory is shared
    assert Mask([[1, 2]], dtype=at.float32).dtype == at.float32
    assert type(mask + 1) is type(mask[0]) is type(at.stack([mask, mask])) is at.Tensor
    made = boxes([1, 2, 3, 4], "cxcywh")
    assert (made.shape, made.format, made.canvas_size) == ((1, 4), tv_tensors.BoundingBoxFormat.CXCYWH, (6, 8))
    again = tv_tensors.wrap(made * 2, like=made, canvas_size=(1, 1))
    assert (type(again), again.format, again.canvas_size) == (BoundingBoxes, made.format, (1, 1))
    assert type(tv_tensors.wrap(mask, like=at.ones(1))) is Mask  # as it is


Pair = collections.namedtuple("Pair", "image target")


def test_samples_keep_their_form():
    image, mask, frame = sample(8, 9)
    flip = T.RandomHorizontalFlip(1)
    made = flip({"image": image, "targets": [mask, (frame, "name", 3)], "other": at.ones(2)})
    assert list(made) == ["image", "targets", "other"]
    assert made["targets"][1][1:] == ("name", 3)
    assert made["other"].tolist() == [1, 1]
    for a, b in ((made["image"], image), (made["targets"][0], mask)):
        assert np.array_equal(a.numpy(), b.numpy()[..., ::-1])
    left, top, right, bottom = frame.numpy()[0]
    assert made["targets"][1][0].tolist() == [[9 - right, top, 9 - left, bottom]]
    pair = flip(Pair(image, 5))
    assert type(pair) is Pair
    assert pair.target == 5
    assert type(flip([image, 5])) is list


def test_which_tensors_are_images():
    """The first plain tensor, unless something says that it is an image."""
    flip, x = T.RandomHorizontalFlip(1), at.tensor([[[1, 2]]])
    flipped = [[[2, 1]]]
    first, second = flip(x, x)
    assert (first.tolist(), second is x) == (flipped, True)
    image, plain, other = flip(tv_tensors.Image(x), x, tv_tensors.Image(x))
    assert (image.tolist(), plain is x, other.tolist()) == (flipped, True, flipped)
    shot, plain = flip(picture(), x)
    assert np.array_equal(pixels(shot), pixels(picture())[:, ::-1])
    assert plain is x
    label, image, late = flip(3, x, x)
    assert (label, image.tolist(), late is x) == (3, flipped, True)
    assert flip(Mask([[1, 2]])).tolist() == [[2, 1]]  # nothing else


def test_a_transform_of_ones_own():
    class Shift(T.Transform):
        def make_params(self, flat_inputs):
            self.seen = flat_inputs
            return {"by": 10}

        def transform(self, inpt, params):
            return inpt + params["by"]

    shift, x, mask = Shift(), at.zeros(1, 1, 1), Mask([[1]])
    made = shift(x, "a", mask)
    assert [shift.seen[0] is x, shift.seen[1] is mask, len(shift.seen)] == [True, True, 2]
    assert (made[0].tolist(), made[1], made[2].tolist()) == ([[[10]]], "a", [[11]])


def test_random_ones_draw_once_for_all():
    for seed in range(20):
        image, mask, _ = sample(8, 8, seed)
        at.manual_seed(seed)
        flip = T.Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.RandomCrop(5)])
        made, moved = flip(image, mask)
        assert np.array_equal(made.numpy()[0], moved.numpy())


def test_pil_to_tensor_and_to_image():
    x = T.PILToTensor()(picture(2, 3))
    assert (type(x), x.shape, x.dtype) == (at.Tensor, (3, 2, 3), at.uint8)
    assert x[1, 1, 2].item() == np.asarray(picture(2, 3))[1, 2, 1]
    assert T.PILToTensor()(Image.new("1", (1, 1), 1)).tolist() == [[[255]]]
    made, mask = T.ToImage()(picture(2, 3), Mask([[1]]))
    assert (type(made), made.tolist(), type(mask)) == (tv_tensors.Image, x.tolist(), Mask)
    assert type(T.ToImage()(at.ones(1, 2, 2))) is tv_tensors.Image
    assert T.functional.to_image(np.zeros((2, 3, 4), np.uint8)).shape == (4, 2, 3)


def test_to_dtype():
    x = at.tensor([[[0, 51, 255]]], dtype=at.uint8)
    assert T.ToDtype(at.float32)(x).tolist() == [[[0, 51, 255]]]
    y = T.ToDtype(at.float64, scale=True)(x)
    assert y.tolist() == [[[0, 0.2, 1]]]
    assert T.ToDtype(at.uint8, scale=True)(y).tolist() == x.tolist()
    assert T.ToDtype(at.int32, scale=True)(x).tolist() == [[[0, 51 << 23, 255 << 23]]]
    assert T.ToDtype(at.uint8, scale=True)(T.ToDtype(at.int32, scale=True)(x)).tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="to_dtype: float32 has too few digits for all of int32"):
        T.ToDtype(at.int32, scale=True)(at.ones(1, 1, 1))
    mask = Mask([[3]])
    assert T.ToDtype(at.float32)(x, mask)[1] is mask
    image, mask = T.ToDtype({at.Tensor: at.float32, Mask: at.int32, "others": None}, scale=True)(x, mask)
    assert (image.max().item(), mask.dtype, mask.tolist()) == (1, at.int32, [[3]])


def test_lambda():
    double = T.Lambda(lambda v: v * 2)
    assert double(3) == 6
    assert double((at.ones(1), "ab"))[1] == "abab"
    image, mask, label = T.Lambda(lambda v: v + 1, Mask)(at.zeros(1, 1, 1), Mask([[1]]), 5)
    assert (image.item(), mask.item(), label) == (0, 2, 5)


def test_random_apply_choice_and_order():
    add, double = (lambda v: v + 1), (lambda v: v * 2)
    at.manual_seed(0)
    made = [T.RandomApply([add, double], p=0.3)(1) for _ in range(1000)]
    assert set(made) == {1, 4}
    assert abs(made.count(4) - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)
    made = [T.RandomChoice([add, double, abs], p=[1, 3, 0])(3) for _ in range(1000)]
    assert set(made) == {4, 6}
    assert abs(made.count(6) - 750) < 5 * math.sqrt(1000 * 0.75 * 0.25)
    assert {T.RandomChoice([add, double])(3) for _ in range(50)} == {4, 6}
    assert {T.RandomOrder([add, double])(3) for _ in range(50)} == {7, 8}
    image, mask = T.RandomApply([T.RandomHorizontalFlip(1)], p=1)(at.tensor([[[1, 2]]]), Mask([[1, 2]]))
    assert (image.tolist(), mask.tolist()) == ([[[2, 1]]], [[2, 1]])


def test_to_tensor():
    x = T.ToTensor()(picture(2, 3))
    assert (x.shape, x.dtype) == ((3, 2, 3), at.float32)
    assert x[1, 1, 2].item() == np.float32(np.asarray(picture(2, 3))[1, 2, 1] / np.float32(255))
    assert x.numpy().strides == (4, 36, 12)  # channels side by side
    assert T.ToTensor()(picture(2, 3, 1)).shape == (1, 2, 3)
    assert T.ToTensor()(np.full((2, 3), 51, np.uint8)).tolist() == [[[np.float32(0.2)] * 3] * 2]
    assert T.ToTensor()(np.full((2, 3, 1), 0.5)).dtype == at.float64  # not scaled, as in torchvision
    assert T.ToTensor()(Image.new("1", (1, 1), 1)).tolist() == [[[1.0]]]
    assert T.ToTensor()(Image.fromarray(np.full((1, 1), 60000, np.uint16))).tolist() == [[[60000]]]
    array = np.ones((1, 1), np.float32)
    T.ToTensor()(array).fill_(0)
    assert array.item() == 1  # a copy


RANDOM = [
    (T.RandomCrop(4, padding=1), 2),
    (T.RandomHorizontalFlip(), 1),
    (T.RandomHorizontalFlip(0), 1),
    (T.RandomVerticalFlip(), 1),
    (T.RandomResizedCrop(4), 40),
    (T.RandomResizedCrop(4, scale=(5, 6)), 40),
    (T.RandomShortestSize([4, 5]), 1),
    (T.RandomRotation(10), 1),
    (T.RandomAffine(10), 6),
    (T.RandomAffine(10, (0.1, 0.1), (1, 2), 5), 6),
    (T.RandomPerspective(), 9),
    (T.ColorJitter(0.1, 0.1, 0.1), 8),
    (T.ColorJitter(), 8),
    (T.RandomGrayscale(), 1),
    (T.GaussianBlur(3), 1),
    (T.RandomApply([T.RandomCrop(4)]), 2),
    (T.RandomChoice([T.RandomCrop(4), T.RandomHorizontalFlip()]), 3),
    (T.RandomOrder([T.RandomCrop(4), T.RandomHorizontalFlip()]), 3),
]
TENSORS_ALONE = [(T.GaussianNoise(), 1), (T.RandomErasing(), 42), (T.RandomErasing(value="random"), 42)]


@pytest.mark.parametrize(("transform", "count"), RANDOM, ids=repr)
def test_random_ones_draw_the_same_number_of_words_whatever_comes_out(transform, count, of):
    for seed in range(5):
        at.manual_seed(seed)
        transform(of(picture()))
        assert at.get_rng_state()["offset"] == 2 * count


@pytest.mark.parametrize(("transform", "count"), RANDOM, ids=repr)
def test_random_ones_follow_the_default_generator(transform, count, of):
    at.manual_seed(3)
    expected = pixels(transform(of(picture())))
    with using(at.Generator(3)):
        assert np.array_equal(pixels(transform(of(picture()))), expected)


@pytest.mark.parametrize(("transform", "count"), TENSORS_ALONE, ids=repr)
def test_those_of_tensors_alone_do_so_too(transform, count):
    test_random_ones_draw_the_same_number_of_words_whatever_comes_out(transform, count, T.ToTensor())
    test_random_ones_follow_the_default_generator(transform, count, T.ToTensor())


def test_workers_make_the_same_augmentation():
    augment = T.Compose([T.RandomAffine(20), T.RandomApply([T.GaussianNoise()]), T.RandomErasing(), T.RandomCrop(5)])

    class Samples:
        def __len__(self):
            return 12

        def __getitem__(self, index):
            image, mask, _ = sample(8, 8, index)
            return augment(image / 200, mask)

    made = []
    for workers in (0, 3):
        at.manual_seed(1)
        loader = DataLoader(Samples(), batch_size=4, shuffle=True, num_workers=workers)
        made.append([[part.tolist() for part in batch] for batch in loader])
    assert made[0] == made[1]


def test_a_batch_is_changed_alike():
    x = at.arange(2 * 36.0).reshape(2, 1, 6, 6)
    at.manual_seed(0)
    y = T.Compose([T.RandomCrop(4), T.RandomHorizontalFlip(), T.Resize(3), T.Normalize([0], [2])])(x)
    assert y.shape == (2, 1, 3, 3)
    np.testing.assert_allclose((y[1] - y[0]).numpy(), 18, rtol=1e-6)


def test_compose_and_repr():
    both = T.Compose([T.Resize(8), T.Compose([T.ToTensor()])])
    assert both(picture()).shape == (3, 8, 10)
    assert repr(both) == (
        "Compose(\n    Resize(size=[8], interpolation=InterpolationMode.BILINEAR, antialias=True)\n"
        "    Compose(\n        ToTensor()\n    )\n)"
    )
    assert repr(T.RandomCrop(4, 1)) == (
        "RandomCrop(size=(4, 4), padding=(1, 1, 1, 1), pad_if_needed=False, fill=0, padding_mode=constant)"
    )
    assert repr(T.RandomResizedCrop(4)) == (
        "RandomResizedCrop(size=(4, 4), scale=(0.08, 1.0), ratio=(0.75, 1.3333), "
        "interpolation=InterpolationMode.BILINEAR, antialias=True)"
    )
    assert (
        repr(T.ColorJitter(0.4))
        == "ColorJitter(brightness=(0.6, 1.4), contrast=(1.0, 1.0), saturation=(1.0, 1.0), hue=(0.0, 0.0))"
    )
    assert repr(T.Normalize([0], [1])) == "Normalize(mean=[0.0], std=[1.0], inplace=False)"
    assert repr(T.Pad(1)) == "Pad(padding=(1, 1, 1, 1), fill=0, padding_mode=constant)"


@pytest.mark.slow
def test_the_page_about_augmentation_runs(tmp_path, monkeypatch):
    """And makes the picture that it shows."""
    page = Path(__file__).parent.parent / "docs" / "augmentation.md"
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, page.name, "exec"), names)
    with Image.open("augmentation.png") as made, Image.open(page.parent / "images" / "augmentation.png") as shown:
        assert made.size == shown.size
        assert np.abs(np.asarray(made, float) - np.asarray(shown, float)).mean() < 1
