"""The pictures of a run, and pictures that come in."""

import numpy as np
import pytest

import atrous as at

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

from atrous.datasets import digits, prepare_digits  # noqa: E402
from atrous.training import pictures  # noqa: E402
from atrous.training.images import read_image, write_image  # noqa: E402

CLASSES = list("0123456789")
PLAIN = {"size": [32, 32], "mean": 0.0, "std": 1.0}


def answers(wrong, N=30, seed=0):
    """Images, labels and probabilities (N, 10) of which the first ``wrong`` are misread."""
    generator = at.Generator(seed)
    images = generator.uniform((N, 32, 32))
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
    images = answers(0)[0][:2]
    maps = np.repeat(images[:, None, 2:30, 2:30], 6, axis=1)
    yield (
        "filters",
        lambda path: pictures.draw_filters(path, images[0, :6, :25].reshape(6, 5, 5), images, maps),
    )
    dead = np.zeros((2, 6, 28, 28))
    yield "filters-dead", lambda path: pictures.draw_filters(path, np.zeros((6, 5, 5)), images, dead)


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
    write_image(tmp_path / "x.png", pixels)
    x = read_image(tmp_path / "x.png", {**PLAIN, "mean": 0.5, "std": 2.0})
    assert x.shape == (1, 1, 32, 32)
    assert x.dtype == np.float32
    assert np.abs(x[0, 0] - (pixels - 0.5) / 2).max() <= 0.5 / 255 / 2 + 1e-6


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
        write_image(tmp_path / "x.png", pixels)
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
