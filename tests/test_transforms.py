"""Transforms: numbers by hand, Pillow's and PyTorch's resampling, random ones that draw the same number of words."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import atrous as at
from atrous import transforms as T
from atrous.random import using

Image = pytest.importorskip("PIL.Image")


def picture(H=6, W=8, C=3):
    pixels = at.Generator(1).integers(0, 256, (H, W, C)).astype(np.uint8)
    return Image.fromarray(pixels if C != 1 else pixels[..., 0])


def pixels(image):
    """A picture or tensor as an array (H, W, C) of 0 to 255."""
    if isinstance(image, at.Tensor):
        return image.numpy().transpose(1, 2, 0) * 255
    return np.atleast_3d(np.asarray(image)).astype(np.float64)


KINDS = {"picture": lambda image: image, "tensor": T.ToTensor()}


@pytest.fixture(params=KINDS)
def of(request):
    """of(picture): the picture itself, or as a tensor."""
    return KINDS[request.param]


def same(a, b):
    np.testing.assert_allclose(pixels(a), pixels(b), atol=1e-4)


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


def test_normalize():
    x = at.arange(8, dtype=at.float32).reshape(2, 2, 2)
    y = T.Normalize([1, 2], [2, 4])(x)
    assert y.tolist() == [[[-0.5, 0], [0.5, 1]], [[0.5, 0.75], [1, 1.25]]]
    assert T.Normalize([1], [2])(x).tolist()[1] == [[1.5, 2], [2.5, 3]]
    assert T.Normalize([1, 2], [2, 4], inplace=True)(x) is x
    assert x.tolist() == y.tolist()


def test_resize_sizes():
    cases = [
        (T.Resize(4), (6, 9), (4, 6)),
        (T.Resize(4), (9, 6), (6, 4)),
        (T.Resize([4]), (9, 7), (5, 4)),  # int(4 · 9/7), not rounded
        (T.Resize((4, 5)), (9, 6), (4, 5)),
        (T.Resize(12), (6, 9), (12, 18)),
        (T.Resize(4, max_size=5), (6, 12), (2, 5)),  # int(5 · 4/8)
    ]
    for resize, (H, W), expected in cases:
        assert resize(picture(H, W)).size[::-1] == expected
        assert resize(at.ones(3, H, W)).shape == (3, *expected)


def test_resize_of_a_picture_is_pillows():
    for mode in T.InterpolationMode:
        expected = picture().resize((5, 4), Image.Resampling[mode.name])
        assert np.array_equal(pixels(T.Resize((4, 5), interpolation=mode.value)(picture())), pixels(expected))


def test_resize_of_a_tensor_by_hand():
    x = at.tensor([[[0.0, 1.0, 2.0, 3.0]]])
    assert T.Resize((1, 2), antialias=False)(x).tolist() == [[[0.5, 2.5]]]
    expected = [(3 * 0 + 3 * 1 + 1 * 2) / 7, (1 * 1 + 3 * 2 + 3 * 3) / 7]  # triangles of width 2 pixels to each side
    assert T.Resize((1, 2))(x)[0, 0].tolist() == pytest.approx(expected)


@given(H=st.integers(1, 20), W=st.integers(1, 20), h=st.integers(1, 20), w=st.integers(1, 20), antialias=st.booleans())
def test_resize_of_a_tensor_is_pytorchs(H, W, h, w, antialias):
    torch = pytest.importorskip("torch")
    x = at.rand(2, H, W).numpy()
    y = T.Resize((h, w), antialias=antialias)(at.from_numpy(x)).numpy()
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x)[None], (h, w), mode="bilinear", antialias=antialias, align_corners=False
    )[0]
    np.testing.assert_allclose(y, expected.numpy(), atol=2e-6)  # sums of numbers in [0, 1] with weights that add to 1
    nearest = T.Resize((h, w), "nearest")(at.from_numpy(x)).numpy()
    at_floor = x[:, [i * H // h for i in range(h)]][..., [j * W // w for j in range(w)]]
    assert np.array_equal(nearest, at_floor)


def test_resize_of_a_tensor_is_close_to_pillows():
    small, large = T.Resize((7, 9)), picture(40, 30)
    assert np.abs(pixels(small(T.ToTensor()(large))) - pixels(small(large))).max() <= 1.01  # Pillow rounds twice


def test_center_crop(of):
    same(T.CenterCrop(2)(of(picture(6, 8))), picture(6, 8).crop((3, 2, 5, 4)))
    same(T.CenterCrop((3, 5))(of(picture(6, 8))), picture(6, 8).crop((2, 2, 7, 5)))  # 1.5 rounds to even: both to 2
    wide = pixels(T.CenterCrop((8, 5))(of(picture(5, 8))))
    assert wide.shape == (8, 5, 3)
    assert (wide[0] == 0).all()
    assert (wide[6:] == 0).all()
    np.testing.assert_allclose(wide[1:6], pixels(picture(5, 8))[:, 2:7], atol=1e-4)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad(of, mode):
    padded = pixels(T.Pad((1, 2, 3, 0), padding_mode=mode)(of(picture(4, 5))))
    np.testing.assert_allclose(padded, np.pad(pixels(picture(4, 5)), ((2, 0), (1, 3), (0, 0)), mode=mode), atol=1e-4)


def test_pad_fill(of):
    scale = 1 if of(picture()) is not None and isinstance(of(picture()), Image.Image) else 255
    padded = pixels(T.Pad(1, fill=tuple(v / scale for v in (10, 20, 30)))(of(picture(2, 2))))
    np.testing.assert_allclose(padded[0, 0], [10, 20, 30], atol=1e-4)
    np.testing.assert_allclose(padded[1:-1, 1:-1], pixels(picture(2, 2)), atol=1e-4)
    assert T.Pad((2, 1))(of(picture(2, 2, 1))) is not None
    assert pixels(T.Pad((2, 1))(of(picture(2, 2, 1)))).shape[:2] == (4, 6)


def test_flip(of):
    same(T.RandomHorizontalFlip(1)(of(picture())), np.asarray(picture())[:, ::-1].astype(float) / 255 * 255)
    same(T.RandomHorizontalFlip(0)(of(picture())), picture())
    at.manual_seed(0)
    flipped = sum(T.RandomHorizontalFlip()(at.tensor([[[1, 2]]])).tolist() == [[[2, 1]]] for _ in range(1000))
    assert abs(flipped - 500) < 5 * 16


def test_random_crop_comes_from_everywhere(of):
    at.manual_seed(0)
    wholes = {
        tuple(pixels(picture(4, 5).crop((j, i, j + 3, i + 2))).ravel().round()) for i in range(3) for j in range(3)
    }
    crops = {tuple(pixels(T.RandomCrop((2, 3))(of(picture(4, 5)))).ravel().round()) for _ in range(200)}
    assert crops == wholes


def test_random_crop_pads(of):
    padded = T.RandomCrop((10, 12), padding=2)(of(picture()))  # the whole: one place alone
    same(padded, T.Pad(2)(of(picture())))
    needed = pixels(T.RandomCrop(9, pad_if_needed=True, fill=0)(of(picture(9, 7))))
    assert needed.shape == (9, 9, 3)
    with pytest.raises(ValueError, match="RandomCrop: the image has 6 × 8 pixels; expected 7 × 8 or more"):
        T.RandomCrop((7, 8))(of(picture()))


def test_random_resized_crop(of):
    same(T.RandomResizedCrop((6, 8), scale=(1, 1), ratio=(4 / 3, 4 / 3))(of(picture())), picture())
    fallback = T.RandomResizedCrop((6, 6), scale=(1, 1), ratio=(1, 1))(of(picture()))  # no such part: the middle
    same(fallback, picture().crop((1, 0, 7, 6)))
    tall = T.RandomResizedCrop((8, 6), scale=(1, 1), ratio=(0.75, 0.75))(of(picture(12, 6)))
    same(tall, picture(12, 6).crop((0, 2, 6, 10)))


def test_random_resized_crop_has_the_area_and_the_shape():
    at.manual_seed(0)
    crop = T.RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(0.5, 2))
    parts = [crop._part(100, 120) for _ in range(300)]
    areas, ratios = [h * w / 12000 for _, _, h, w in parts], [w / h for _, _, h, w in parts]
    assert 0.19 < min(areas) < 0.21
    assert 0.49 < max(areas) < 0.51
    assert abs(np.mean(areas) - 0.35) < 0.02
    assert abs(np.mean(np.log(ratios))) < 0.1
    assert 0.48 < min(ratios) < 0.55
    assert 1.8 < max(ratios) < 2.1
    assert all(0 <= i <= 100 - h and 0 <= j <= 120 - w for i, j, h, w in parts)


def test_color_jitter_by_hand():
    x = at.tensor([0.2, 0.4, 0.6, 0.0, 1.0, 0.5]).reshape(3, 1, 2)  # pixels (.2, .6, 1) and (.4, 0, .5)
    grey = [0.2989 * 0.2 + 0.587 * 0.6 + 0.114 * 1.0, 0.2989 * 0.4 + 0.114 * 0.5]
    cases = [
        (T.ColorJitter(brightness=(2, 2)), [[0.4, 0.8], [1.0, 0.0], [1.0, 1.0]]),
        (T.ColorJitter(saturation=(0, 0)), [grey] * 3),
        (T.ColorJitter(contrast=(0, 0)), [[sum(grey) / 2] * 2] * 3),
        (T.ColorJitter(saturation=(0.5, 0.5)), [[(v + g) / 2 for v, g in zip(r, grey, strict=True)] for r in
                                                ([0.2, 0.4], [0.6, 0.0], [1.0, 0.5])]),
    ]  # fmt: skip
    for jitter, expected in cases:
        np.testing.assert_allclose(jitter(x).numpy()[:, 0], expected, atol=1e-6)
    assert T.ColorJitter()(x) is x


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_color_jitter_of_pictures_and_tensors_agree(name, factor):
    jitter = T.ColorJitter(**{name: (factor, factor)})
    difference = pixels(jitter(picture(20, 20))) - pixels(jitter(T.ToTensor()(picture(20, 20))))
    assert np.abs(difference).max() < 2  # Pillow rounds grey and result to whole numbers
    assert abs(difference.mean()) < 0.6


def test_color_jitter_draws_factors_and_order():
    x, seen = at.full((3, 1, 1), 0.5), []
    for seed in range(50):
        with using(at.Generator(seed)):
            seen.append(T.ColorJitter(brightness=0.4)(x)[0, 0, 0].item() * 2)
    assert 0.6 <= min(seen) < 0.65
    assert 1.35 < max(seen) <= 1.4
    clipped = at.tensor([0.9, 0.2, 0.1]).reshape(3, 1, 1)
    both = T.ColorJitter(brightness=(2, 2), contrast=(0.5, 0.5))
    orders = set()
    for seed in range(20):
        with using(at.Generator(seed)):
            orders.add(both(clipped)[0, 0, 0].item())
    grey = 0.2989 * 0.9 + 0.587 * 0.2 + 0.114 * 0.1
    after = 0.2989 + 0.587 * 0.4 + 0.114 * 0.2
    assert sorted(orders) == pytest.approx([0.5 + 0.5 * after, min(1, 2 * (0.45 + 0.5 * grey))])


RANDOM = [
    (T.RandomCrop(4, padding=1), 2),
    (T.RandomHorizontalFlip(), 1),
    (T.RandomHorizontalFlip(0), 1),
    (T.RandomResizedCrop(4), 40),
    (T.RandomResizedCrop(4, scale=(5, 6)), 40),
    (T.ColorJitter(0.1, 0.1, 0.1), 6),
    (T.ColorJitter(), 6),
]


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
    assert repr(T.ColorJitter(0.4)) == "ColorJitter(brightness=(0.6, 1.4), contrast=(1.0, 1.0), saturation=(1.0, 1.0))"
    assert repr(T.Normalize([0], [1])) == "Normalize(mean=[0.0], std=[1.0], inplace=False)"
    assert repr(T.Pad(1)) == "Pad(padding=(1, 1, 1, 1), fill=0, padding_mode=constant)"


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
        (lambda: T.ColorJitter(1)(at.ones(2, 4, 4)), ValueError, "ColorJitter: the tensor has dtype float32 and shape"),
        (lambda: T.Normalize([0, 0], [1]), ValueError, "Normalize: there are 2 means and 1 stds; expected as many"),
        (lambda: T.Normalize([0], [0]), ValueError, "Normalize: std is [0.0]; expected all above 0"),
        (lambda: T.Normalize([math.inf], [math.nan]), ValueError, "Normalize: std is [nan]; expected all above 0"),
        (lambda: T.Normalize([0] * 3, [1] * 3)(at.ones(1, 4, 4)), ValueError, "the tensor has 1 channels; expected 3"),
        (lambda: T.Normalize([0], [1])(picture()), TypeError, "Normalize: got a Image; expected a float tensor, such"),
        (lambda: T.Normalize([0], [1])(at.arange(4)), TypeError, "Normalize: got a tensor of int64; expected a float"),
        (lambda: T.ToTensor()(at.ones(3, 4, 4)), TypeError, "ToTensor: got a Tensor; expected a Pillow image or an ar"),
        (lambda: T.ToTensor()(np.ones(3)), ValueError, "ToTensor: the array has shape (3,); expected (H, W, C)"),
        (lambda: T.ToTensor()([1]), TypeError, "ToTensor: got a list; expected a Pillow image"),
        (lambda: T.Compose([3]), TypeError, "Compose: got a int; expected functions of one image"),
    ],
)
def test_misuse(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
