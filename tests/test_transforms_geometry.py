"""Transforms that move pixels: numbers by hand, Pillow's and PyTorch's resampling."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture, pixels, same

import atrous as at
from atrous import transforms as T
from atrous.transforms import functional as F
from atrous.tv_tensors import Mask

Image = pytest.importorskip("PIL.Image")
KINDS = {"picture": lambda image: image, "tensor": T.ToTensor()}


@pytest.fixture(params=KINDS)
def of(request):
    """of(picture): the picture itself, or as a tensor."""
    return KINDS[request.param]


@pytest.mark.parametrize("degrees", [90, -90])
def test_a_quarter_turn_about_a_middle_between_pixels_loses_no_row(degrees):
    image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    by_pillow = np.asarray(F.rotate(Image.fromarray(image), degrees))
    mask = F.rotate(Mask(image), degrees).numpy()
    np.testing.assert_array_equal(mask, by_pillow)
    whole = F.rotate(Mask(image), degrees, expand=True).flatten().tolist()
    assert sorted(set(whole)) == list(range(30))


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
    crop = T.RandomCrop(5, pad_if_needed=True)
    places = {tuple(crop.make_params([at.zeros(1, 3, 4)])[side] for side in ("top", "left")) for _ in range(60)}
    assert places == {(top, left) for top in range(3) for left in range(2)}  # of 3 + 2 · 2 and 4 + 2 · 1
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


def test_vertical_flip(of):
    same(T.RandomVerticalFlip(1)(of(picture())), np.asarray(picture())[::-1].astype(float))
    same(T.RandomVerticalFlip(0)(of(picture())), picture())


def test_random_shortest_size():
    at.manual_seed(0)
    crop = T.RandomShortestSize(range(10, 21))
    sizes = [crop(at.zeros(1, 30, 60)).shape[1:] for _ in range(100)]
    assert {h for h, _ in sizes} == set(range(10, 21))
    assert all(abs(w - 2 * h) <= 1 for h, w in sizes)
    assert T.RandomShortestSize(20, max_size=30)(at.zeros(1, 30, 60)).shape == (1, 15, 30)


def test_five_and_ten_crops(of):
    image = of(picture(6, 8))
    places = [(0, 0), (5, 0), (0, 4), (5, 4), (2, 2)]  # left, top; the middle's 2.5 rounds to even
    expected = [picture(6, 8).crop((x, y, x + 3, y + 2)) for x, y in places]
    for made in (T.FiveCrop((2, 3))(image), T.TenCrop((2, 3))(image)[:5]):
        for a, b in zip(made, expected, strict=True):
            same(a, b)
    for vertical, flip in ((False, F.horizontal_flip), (True, F.vertical_flip)):
        for a, b in zip(T.TenCrop((2, 3), vertical)(image)[5:], F.five_crop(flip(image), (2, 3)), strict=True):
            same(a, b)


def test_crops_outside_are_black():
    x = at.arange(1, 7).reshape(1, 2, 3)
    assert F.crop(x, -1, 2, 3, 3).tolist() == [[[0, 0, 0], [3, 0, 0], [6, 0, 0]]]
    assert F.crop(x, 5, 5, 2, 2).tolist() == [[[0, 0], [0, 0]]]


MATRICES = [
    {"angle": 30.0, "translate": (2, -1), "scale": 1.3, "shear": (10.0, -20.0)},
    {"angle": 0.0, "translate": (0, 0), "scale": 0.6, "shear": (0.0, 0.0)},
    {"angle": -100.0, "translate": (-3, 0), "scale": 1.0, "shear": (0.0, 30.0)},
]


@pytest.mark.parametrize("how", MATRICES)
@pytest.mark.parametrize("center", [None, (3.0, 11.0)])
def test_affine_of_tensors_is_pillows(how, center):
    image = picture(16, 21)
    tensor = T.ToTensor()(image)
    same(F.affine(tensor, **how, center=center), F.affine(image, **how, center=center))
    smooth = [pixels(F.affine(x, **how, interpolation="bilinear", center=center)) for x in (tensor, image)]
    full = (
        pixels(F.affine(at.ones(3, 16, 21), **how, interpolation="bilinear", center=center)) > 254.9
    )  # not the border
    assert full.mean() > 0.05
    assert np.abs(smooth[0] - smooth[1])[full].max() < 1.01  # Pillow rounds


@pytest.mark.parametrize("how", MATRICES)
def test_affine_is_pytorchs_grid_sample(how):
    """By its own formula: scale · rotation · shears around the middle, and then the move."""
    torch = pytest.importorskip("torch")
    H, W = 13, 18
    x = at.rand(2, H, W)
    a, sx, sy = (math.radians(v) for v in (how["angle"], *how["shear"]))
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    forward = how["scale"] * turn @ np.array([[1, 0], [-math.tan(sy), 1]]) @ np.array([[1, -math.tan(sx)], [0, 1]])
    back, half = np.linalg.inv(forward), np.array([W / 2, H / 2])
    rows, columns = np.mgrid[:H, :W] + 0.5
    points = np.stack([columns, rows], -1) - half - how["translate"]
    grid = torch.from_numpy(((points @ back.T) / half)[None])  # −1 to 1 from border to border
    for mode in ("bilinear", "nearest"):
        expected = torch.nn.functional.grid_sample(
            torch.from_numpy(x.numpy())[None].double(), grid, mode=mode, align_corners=False
        )[0]
        made = F.affine(x, **how, interpolation=mode).numpy()
        np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


def test_rotation_by_hand(of):
    image = of(picture(4, 6))
    quarter = np.rot90(pixels(image))
    np.testing.assert_allclose(pixels(F.rotate(image, 90, expand=True)), quarter, atol=1e-4)
    np.testing.assert_allclose(pixels(F.rotate(image, 180)), pixels(image)[::-1, ::-1], atol=1e-4)
    inside = pixels(F.rotate(image, 90))  # 4 × 4 of it stay in the picture; beside them it is black
    np.testing.assert_allclose(inside[:, 1:5], quarter[1:5], atol=1e-4)
    assert (inside[:, [0, 5]] == 0).all()
    turned = F.rotate(image, 45, expand=True)
    assert pixels(turned).shape == (8, 8, 3)  # (4 + 6) / √2 = 7.07, from −0.07 to 7.07 around the middle: 8


def test_fill():
    x = at.full((3, 4, 4), 0.5)
    away = {"degrees": 0, "translate": None, "scale": (0.5, 0.5)}
    y = T.RandomAffine(**away, fill=[0.1, 0.2, 0.3])(x)
    np.testing.assert_allclose(y[:, 0, 0].tolist(), [0.1, 0.2, 0.3], rtol=1e-6)
    fill = {Mask: 255, "others": 0.25}
    image, mask = T.RandomAffine(**away, fill=fill)(x, Mask(at.ones(4, 4, dtype=at.int64)))
    assert (image[0, 0, 0].item(), mask[0, 0].item(), mask[2, 2].item()) == (0.25, 255, 1)
    image, mask = T.Pad(1, fill=fill)(x, Mask(at.ones(4, 4, dtype=at.int64)))
    assert (image[0, 0, 0].item(), mask[0, 0].item(), mask.shape) == (0.25, 255, (6, 6))
    assert T.Pad(1, fill=[0.1, 0.2, 0.3])(x, Mask(at.ones(4, 4)))[1][0, 0].item() == 0
    assert T.RandomAffine(**away, fill=9)(picture()).getpixel((0, 0)) == (9, 9, 9)


def test_random_affine_draws_from_its_ranges():
    at.manual_seed(0)
    affine = T.RandomAffine((-10, 20), (0.1, 0.5), (0.5, 2.0), (1, 2, 3, 4))
    drawn = [affine.make_params([at.zeros(1, 20, 40)]) for _ in range(500)]
    for values, least, most in (
        ([p["angle"] for p in drawn], -10, 20),
        ([p["scale"] for p in drawn], 0.5, 2),
        ([p["shear"][0] for p in drawn], 1, 2),
        ([p["shear"][1] for p in drawn], 3, 4),
    ):
        assert least <= min(values) < least + 0.02 * (most - least)
        assert most - 0.02 * (most - least) < max(values) <= most
    assert {p["translate"][0] for p in drawn} == set(range(-4, 5))
    assert {p["translate"][1] for p in drawn} == set(range(-10, 11))
    rotations = [T.RandomRotation(15).make_params([])["angle"] for _ in range(300)]
    assert -15 <= min(rotations) < -14 < 14 < max(rotations) <= 15
