"""The pictures of a run, and pictures that come in."""

import numpy as np
import pytest

import atrous as at

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from atrous.datasets import digits, prepare_digits  # noqa: E402
from atrous.training import pictures  # noqa: E402
from atrous.training.images import PALETTE, read_image, write_image, write_mask  # noqa: E402

CLASSES = list("0123456789")
PLAIN = {"size": [32, 32], "mode": "L", "fit": "ink", "mean": [0.0], "std": [1.0]}
COLOURED = {**PLAIN, "mode": "RGB", "fit": "crop", "mean": [0.0] * 3, "std": [1.0] * 3}


def answers(wrong, N=30, seed=0, C=1):
    """Images (C, 32, 32) by number, labels and probabilities (N, 10) of which the first ``wrong`` are mistaken."""
    generator = at.Generator(seed)
    images = dict(enumerate(generator.uniform((N, C, 32, 32))))
    labels = np.arange(N) % 10
    chances = generator.uniform((N, 10)) + 0.1
    chances[np.arange(N), (labels + (np.arange(N) < wrong)) % 10] += 5
    return images, labels, chances / chances.sum(1, keepdims=True)


def history(epochs):
    keys = ("train_loss", "validation_loss", "validation_accuracy")
    return [{"epoch": e, **{key: 0.9**e for key in keys}} for e in range(1, epochs + 1)]


def drawings():
    for wrong in (0, 5, 30):
        yield f"mistakes-{wrong}", lambda path, wrong=wrong: pictures.draw_mistakes(path, *answers(wrong), CLASSES)
    for epochs in (1, 2, 60):
        yield f"curves-{epochs}", lambda path, n=epochs: pictures.draw_curves(path, history(n), n)
    for counts in (np.eye(10, dtype=int) * 36, np.ones((10, 10), int), np.zeros((10, 10), int) + np.eye(10, dtype=int)):
        yield f"confusion-{counts.sum()}", lambda path, c=counts: pictures.draw_confusion(path, c, CLASSES)
    long = [f"a rather long name of class {c}" for c in range(10)]
    yield "confusion-long", lambda path: pictures.draw_confusion(path, np.ones((10, 10), int) * 12345, long, "pixels")
    yield (
        "confusion-100",
        lambda path: pictures.draw_confusion(path, np.eye(100, dtype=int) * 9, list(map(str, range(100)))),
    )
    yield "mistakes-long", lambda path: pictures.draw_mistakes(path, *answers(5, C=3), long)
    generator = at.Generator(1)
    for C in (1, 3):
        images, maps = generator.uniform((2, C, 32, 32)), generator.normal((2, 16, 28, 28))
        filters = generator.normal((16, C, 5, 5))
        yield f"filters-{C}", lambda path, a=(filters, images, maps): pictures.draw_filters(path, *a)
    dead = np.zeros((2, 6, 28, 28))
    yield "filters-dead", lambda path: pictures.draw_filters(path, np.zeros((6, 1, 5, 5)), images[:, :1], dead)
    masks = generator.integers(0, 6, (3, 32, 32))
    names = ["background", *long[:5]]
    yield "masks", lambda path: pictures.draw_masks(path, np.stack([images[0]] * 3), masks, masks[::-1], names)
    lonely = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]
    yield "curves-without-validation", lambda path: pictures.draw_curves(path, lonely, 2)


@pytest.mark.parametrize("draw", [pytest.param(draw, id=name) for name, draw in drawings()])
def test_a_picture_is_drawn_with_little_to_show_and_with_much(tmp_path, draw):
    path = tmp_path / "picture.png"
    draw(path)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 300
    assert pixels[0].min() > 240, "something is cut off at the upper edge"
    assert pixels[-1].min() > 240, "something is cut off at the lower edge"
    assert pixels.std() > 5, "the picture is empty"


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        pictures.draw_confusion(tmp_path / f"{name}.png", np.eye(10, dtype=int), CLASSES)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# -- pictures that come in --------------------------------------------------------------------------------------------


def stroke(mode="L", size=(32, 32), ink=255, ground=0):
    """A picture with an upright bar in the middle third."""
    pixels = np.full(size[::-1], ground, np.uint8)
    pixels[size[1] // 4 : -size[1] // 4, size[0] // 3 : -size[0] // 3] = ink
    return Image.fromarray(pixels).convert(mode)


def test_what_was_written_is_read_as_it_was(tmp_path):
    pixels = at.Generator(0).uniform((32, 32))
    pixels[[0, -1]] = pixels[:, [0, -1]] = 0
    write_image(tmp_path / "x.png", pixels[None])
    x = read_image(tmp_path / "x.png", {**PLAIN, "mean": [0.5], "std": [2.0]})
    assert x.shape == (1, 1, 32, 32)
    assert x.dtype == np.float32
    assert np.abs(x[0, 0] - (pixels - 0.5) / 2).max() <= 0.5 / 255 / 2 + 1e-6


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_a_coloured_picture_keeps_its_colours(tmp_path, fit):
    pixels = np.zeros((3, 32, 64), np.float32)
    pixels[0, :, :32] = pixels[1, :, 32:] = 1  # red, then green
    write_image(tmp_path / "x.png", pixels)
    mean, std = [0.25, 0.5, 0.75], [1.0, 2.0, 4.0]
    x = read_image(tmp_path / "x.png", {**COLOURED, "fit": fit, "mean": mean, "std": std})
    assert x.shape == (1, 3, 32, 32)
    red, green = (np.array(color) - mean for color in ([1, 0, 0], [0, 1, 0]))
    np.testing.assert_allclose(x[0, :, 16, 4], red / std, atol=1e-6)
    np.testing.assert_allclose(x[0, :, 16, 28], green / std, atol=1e-6)


def test_crop_takes_the_middle_and_stretch_all(tmp_path):
    pixels = np.zeros((3, 32, 96), np.float32)
    pixels[:, :, 32:64] = 1  # a white middle third
    write_image(tmp_path / "x.png", pixels)
    assert read_image(tmp_path / "x.png", COLOURED)[0, :, :, 2:-2].min() > 0.9
    assert read_image(tmp_path / "x.png", {**COLOURED, "fit": "stretch"})[0, 0, 0].mean() == pytest.approx(
        1 / 3, abs=0.02
    )


def test_a_mask_is_written_at_the_size_of_its_picture(tmp_path):
    mask = np.array([[0, 1], [2, 12]])
    write_mask(tmp_path / "m.png", mask, (8, 6))
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.size == (8, 6)
        classes, colors = np.asarray(picture), np.asarray(picture.convert("RGB"))
    assert classes[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [0, 1, 2, 12]
    assert [tuple(colors[0, -1]), tuple(colors[-1, -1])] == [PALETTE[1], PALETTE[12]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I", "F"])
@pytest.mark.parametrize("ink", ["light", "dark"])
def test_every_mode_and_both_inks_give_light_ink_on_a_dark_ground(tmp_path, mode, ink):
    picture = stroke(mode) if ink == "light" else stroke(mode, ink=0, ground=255)
    path = tmp_path / "x.tif"
    picture.save(path)
    x = read_image(path, PLAIN)[0, 0]
    assert x[16, 16] > 0.97
    assert x[:, 0].max() < 0.03


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    deep = np.zeros((32, 32), np.uint16)
    deep[8:24, 8:24] = 32768
    Image.fromarray(deep).save(tmp_path / "x.png")
    x = read_image(tmp_path / "x.png", PLAIN)[0, 0]
    assert x[16, 16] == pytest.approx(0.5, abs=0.01)


def test_what_shines_through_is_paper(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)  # black, and transparent but for the ink
    pixels[8:24, 12:20, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    x = read_image(tmp_path / "x.png", PLAIN)[0, 0]
    assert x[16, 16] == 1.0
    assert x[:, 0].max() == 0.0


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 50), (640, 200), (33, 31)])
@pytest.mark.parametrize("grey", [0, 40, 200, 255])
def test_an_empty_picture_of_any_size_and_ground_is_black(tmp_path, size, grey):
    Image.new("L", size, grey).save(tmp_path / "x.png")
    x = read_image(tmp_path / "x.png", PLAIN)
    assert x.shape == (1, 1, 32, 32)
    assert x.max() == 0


@pytest.mark.parametrize(("ink", "ground"), [(255, 0), (0, 255), (60, 200), (210, 70)])
def test_ink_small_in_its_frame_is_cut_out_without_distortion(tmp_path, ink, ground):
    stroke(size=(300, 100), ink=ink, ground=ground).save(tmp_path / "x.png")  # the bar is 100 wide and 50 high
    x = read_image(tmp_path / "x.png", PLAIN)[0, 0]
    rows, columns = (np.flatnonzero(x.max(axis) > 0.5) for axis in (1, 0))
    assert (len(rows), len(columns)) == (16, 32)
    assert x[16, 16] > 0.97
    assert x[0].max() == 0


def test_the_images_of_the_training_are_read_as_they_were_trained_on(tmp_path):
    images = prepare_digits(digits()[0][::40])[:, 0]
    for pixels in images:
        write_image(tmp_path / "x.png", pixels[None])
        assert np.abs(read_image(tmp_path / "x.png", PLAIN)[0, 0] - pixels).max() <= 0.5 / 255 + 1e-6


def test_a_turned_photograph_is_turned_back(tmp_path):
    pixels = np.zeros((30, 30), np.uint8)
    pixels[2:10, 2:28] = 255  # ink near the top
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned by 90° clockwise
    turned.save(tmp_path / "x.jpg", exif=exif, quality=95)
    x = read_image(tmp_path / "x.jpg", PLAIN)[0, 0]
    assert x[:12].mean() > 4 * x[12:].mean()


def cut_short(path):
    stroke(size=(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, FileNotFoundError, "No such file"),
        (lambda path: path.mkdir(), IsADirectoryError, "Is a directory"),
        (lambda path: path.write_text("hello"), ValueError, "not a picture that Pillow knows"),
        (lambda path: path.write_bytes(b""), ValueError, "not a picture that Pillow knows"),
        (cut_short, ValueError, "cannot be read"),
    ],
)
def test_a_file_that_is_no_picture_says_so(tmp_path, make, error, message):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(error, match=message) as caught:
        read_image(path, PLAIN)
    assert "x.png" in str(caught.value)
