"""Transforms that change values: colours, scales, blur, noise; numbers by hand, and pictures and tensors agree."""

import colorsys
import math

import numpy as np
import pytest
from pictures import picture, pixels, sample

import atrous as at
from atrous import transforms as T
from atrous.random import using
from atrous.transforms import functional as F

Image = pytest.importorskip("PIL.Image")


def test_normalize():
    x = at.arange(8, dtype=at.float32).reshape(2, 2, 2)
    y = T.Normalize([1, 2], [2, 4])(x)
    assert y.tolist() == [[[-0.5, 0], [0.5, 1]], [[0.5, 0.75], [1, 1.25]]]
    assert T.Normalize([1], [2])(x).tolist()[1] == [[1.5, 2], [2.5, 3]]
    assert T.Normalize([1, 2], [2, 4], inplace=True)(x) is x
    assert x.tolist() == y.tolist()


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


def test_color_jitter_turns_the_hue():
    red = at.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    assert T.ColorJitter(hue=(0.5, 0.5))(red).flatten().tolist() == [0, 1, 1]
    at.manual_seed(0)
    greens = [T.ColorJitter(hue=0.1)(red).flatten().tolist() for _ in range(200)]
    assert 0.55 < max(green for _, green, _ in greens) <= 0.6 + 1e-6  # a tenth of the circle is 0.6 of a sixth
    assert 0.55 < max(blue for _, _, blue in greens) <= 0.6 + 1e-6


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.1, 0.45])
def test_hue_is_that_of_the_standard_library(turn):
    x = np.concatenate([at.rand(3, 4, 5).numpy(), np.full((3, 4, 1), 0.3), np.eye(3)[:, :1, None].repeat(4, 1)], 2)
    made = F.adjust_hue(at.from_numpy(x), turn).numpy()
    for i in range(4):
        for j in range(7):
            h, s, v = colorsys.rgb_to_hsv(*x[:, i, j])
            np.testing.assert_allclose(made[:, i, j], colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-9)


SAME = [
    ("adjust_gamma", (0.5,)),
    ("adjust_gamma", (2.2, 1.2)),
    ("rgb_to_grayscale", (3,)),
    ("rgb_to_grayscale", (1,)),
    ("invert", ()),
    ("posterize", (3,)),
    ("gaussian_blur", ((5, 3), (1.0, 2.0))),
]


@pytest.mark.parametrize(("name", "arguments"), SAME)
def test_pictures_and_tensors_agree(name, arguments):
    change = getattr(F, name)
    a, b = pixels(change(picture(20, 20), *arguments)), pixels(change(T.ToTensor()(picture(20, 20)), *arguments))
    assert a.shape == b.shape
    tolerance = 8 if name == "posterize" else 1.01  # 255 · 7/8 = 223.1 is the level 224; others round
    assert np.abs(a - b).max() <= tolerance


def test_by_hand():
    x = at.tensor([0.2, 0.6, 0.7]).reshape(3, 1, 1)
    cases = [
        (F.rgb_to_grayscale(x), [0.2989 * 0.2 + 0.587 * 0.6 + 0.114 * 0.7]),
        (F.adjust_gamma(x, 2), [0.04, 0.36, 0.49]),
        (F.adjust_gamma(x, 1, gain=1.5), [0.3, 0.9, 1.0]),
        (F.invert(x), [0.8, 0.4, 0.3]),
        (F.solarize(x, 0.6), [0.2, 0.4, 0.3]),
        (F.posterize(x, 2), [0.0, 0.5, 0.5]),
        (F.posterize(at.ones(1, 1, 1), 2), [0.75]),
        (T.RandomGrayscale(1)(x), [0.2989 * 0.2 + 0.587 * 0.6 + 0.114 * 0.7] * 3),
    ]
    for made, expected in cases:
        np.testing.assert_allclose(made.flatten().numpy(), expected, atol=1e-6)
    values = np.asarray(picture())
    assert np.array_equal(np.asarray(F.solarize(picture(), 128)), np.where(values >= 128, 255 - values, values))
    assert T.RandomGrayscale(1)(picture()).mode == "RGB"
    assert T.RandomGrayscale(1)(picture(C=1)).mode == "L"


def test_blur_by_hand():
    x = at.zeros(1, 5, 5)
    x[0, 2, 2] = 1.0
    weights = np.exp(-0.5 * np.arange(-1, 2) ** 2 / 0.8**2)
    weights /= weights.sum()
    np.testing.assert_allclose(F.gaussian_blur(x, 3, 0.8).numpy()[0, 1:4, 1:4], np.outer(weights, weights), rtol=1e-6)
    edge = F.gaussian_blur(at.tensor([[[1.0, 0.0, 0.0]]]), (3, 1), 0.8)  # mirrored: 0 1 0 0
    np.testing.assert_allclose(edge[0, 0].tolist(), [weights[1], weights[0], 0], atol=1e-7)
    at.manual_seed(0)
    sigmas = [T.GaussianBlur(3, (0.5, 1.5)).make_params([])["sigma"] for _ in range(300)]
    assert 0.5 <= min(sigmas) < 0.52 < 1.48 < max(sigmas) <= 1.5


def test_noise():
    at.manual_seed(0)
    x = at.full((2, 3, 40, 50), 0.5)
    noise = (T.GaussianNoise(0.1, 0.05)(x) - x).numpy()
    assert abs(noise.mean() - 0.1) < 5 * 0.05 / math.sqrt(noise.size)
    assert abs(noise.std() - 0.05) < 5 * 0.05 / math.sqrt(2 * noise.size)
    assert (noise[0] != noise[1]).any()
    clipped, free = (T.GaussianNoise(0, 1, clip)(x).numpy() for clip in (True, False))
    assert (clipped.min(), clipped.max()) == (0, 1)
    assert free.min() < 0
    assert free.max() > 1


def test_erasing():
    at.manual_seed(0)
    erase = T.RandomErasing(p=1, scale=(0.1, 0.3), ratio=(0.5, 2), value=[1, 2, 3])
    areas, shapes = [], []
    for _ in range(200):
        y = erase(at.zeros(3, 40, 50)).numpy()
        rows, columns = np.nonzero(y[0])
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        areas.append(len(rows) / 2000)
        shapes.append(h / w)
        assert len(rows) == h * w
        assert np.array_equal(y[1], 2 * y[0])
        assert np.array_equal(y[2], 3 * y[0])
    assert 0.09 < min(areas) < 0.12
    assert 0.28 < max(areas) < 0.32
    assert 0.45 < min(shapes) < 0.6
    assert 1.7 < max(shapes) < 2.2
    noise = T.RandomErasing(1, (0.9, 0.9), (1, 1), "random")(at.zeros(1, 100, 100)).numpy()
    values = noise[noise != 0]
    assert abs(values.mean()) < 0.1
    assert abs(values.std() - 1) < 0.1
    x = at.zeros(1, 9, 9)
    assert T.RandomErasing(1, value=1.0)(x) is not x
    assert x.sum().item() == 0
    assert T.RandomErasing(1, value=1.0, inplace=True)(x) is x
    assert x.sum().item() > 0
    assert T.RandomErasing(1, scale=(1, 1), ratio=(1, 1))(at.ones(1, 9, 9)).sum().item() == 81  # no room: nothing
    assert T.RandomErasing(1, scale=(0.5, 0.5), ratio=(0.2, 0.2))(at.ones(1, 10, 4)).sum().item() == 40  # 2 × 10


def test_erased_pixels_are_as_many_as_probability_says():
    at.manual_seed(0)
    changed = sum(T.RandomErasing(0.3)(at.ones(1, 8, 8)).min().item() == 0 for _ in range(300))
    assert abs(changed - 90) < 5 * math.sqrt(300 * 0.3 * 0.7)


def test_scales_of_single_images():
    x = at.stack([at.rand(3, 5, 6) * 4 + 1, at.rand(3, 5, 6)])
    y = T.Standardize()(x).numpy()
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(y.std((1, 2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(y[1], T.Standardize()(x[1]).numpy(), atol=1e-6)
    assert T.Standardize()(at.full((1, 2, 2), 0.5)).tolist() == [[[0, 0], [0, 0]]]
    little = T.Standardize()(at.tensor([[[0.0, 0.5, 0.0, 0.5]]]))  # std ¼ is below 1/√4
    assert little.tolist() == [[[-0.5, 0.5, -0.5, 0.5]]]
    z = T.MinMaxScale(-1, 1)(x).numpy()
    assert z.min((1, 2, 3)).tolist() == [-1, -1]
    np.testing.assert_allclose(z.max((1, 2, 3)), 1, atol=1e-6)
    assert T.MinMaxScale(2, 3)(at.ones(1, 1, 2)).tolist() == [[[2, 2]]]
    assert T.Normalize([128], [128])(at.tensor([[[0.0, 128.0, 255.0]]])).tolist() == [[[-1, 0, 127 / 128]]]


@pytest.mark.parametrize(
    "transform",
    [
        T.ColorJitter(0.5, 0.5, 0.5, 0.5),
        T.Grayscale(),
        T.RandomGrayscale(1),
        T.RandomInvert(1),
        T.RandomSolarize(0.5, 1),
        T.RandomPosterize(2, 1),
        T.GaussianBlur(3),
        T.GaussianNoise(),
        T.RandomErasing(1),
        T.Normalize([0.5], [0.5]),
        T.Standardize(),
        T.MinMaxScale(),
    ],
    ids=lambda t: type(t).__name__,
)
def test_masks_and_boxes_stay(transform):
    image, mask, boxes = sample()
    given = image / 200 + 0.1
    made, same_mask, same_boxes = transform(given, mask, boxes)
    assert same_mask is mask
    assert same_boxes is boxes
    assert isinstance(made, at.Tensor)
    assert not np.array_equal(made.numpy(), given.numpy()) or isinstance(transform, (T.Grayscale, T.RandomGrayscale))
    kept = transform(at.tv_tensors.Image(given))
    assert type(kept) is at.tv_tensors.Image
