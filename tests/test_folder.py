"""ImageFolder: layout, order, pictures of every kind, and files that cannot be read."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest

import atrous as at
from atrous import data, datasets

Image = pytest.importorskip("PIL.Image")

from atrous.datasets.folder import read_rgb  # noqa: E402
from atrous.transforms import ToTensor  # noqa: E402


def picture(color="red", size=(6, 4), mode="RGB"):
    return Image.new(mode, size, color)


def save(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **options)
    return path


@pytest.fixture
def pets(tmp_path):
    for name in ("dogs/10.png", "dogs/2.png", "cats/b/1.JPG", "cats/a.jpeg", "cats/b-1.bmp", "cats/b/.hidden.png"):
        save(tmp_path / name)
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    save(tmp_path / ".cache" / "1.png")
    save(tmp_path / "loose.png")
    return tmp_path


def test_layout(pets):
    folder = datasets.ImageFolder(pets)
    assert folder.classes == ["cats", "dogs"]
    assert folder.class_to_idx == {"cats": 0, "dogs": 1}
    names = ["cats/a.jpeg", "cats/b-1.bmp", "cats/b/1.JPG", "dogs/10.png", "dogs/2.png"]
    assert folder.samples == [(str(pets / name), int(name.startswith("dogs"))) for name in names]
    assert folder.imgs is folder.samples
    assert folder.targets == [0, 0, 0, 1, 1]
    assert len(folder) == 5
    assert repr(folder) == f"ImageFolder({str(pets)!r}: 5 images of 2 classes)"
    image, label = folder[-1]
    assert (image.mode, image.size, label) == ("RGB", (6, 4), 1)


def test_order_is_that_of_the_names(tmp_path):
    names = [f"x/{a}/{b}.png" for a in "hbdagc" for b in "312"]
    for name in names:
        save(tmp_path / name)
    assert [path for path, _ in datasets.ImageFolder(tmp_path).samples] == [str(tmp_path / n) for n in sorted(names)]


def test_transforms_and_batches(pets):
    folder = datasets.ImageFolder(str(pets), ToTensor(), target_transform=lambda label: 10 + label)
    ((images, labels),) = data.DataLoader(folder, 5, num_workers=2)
    assert (images.shape, images.dtype, labels.tolist()) == ((5, 3, 4, 6), at.float32, [10, 10, 10, 11, 11])
    assert images[4, :, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_pictures_do_not_stack(pets):
    with pytest.raises(TypeError, match=re.escape("give the data set a transform that ends in atrous.transforms.ToT")):
        list(data.DataLoader(datasets.ImageFolder(pets), 2))


def test_own_loader_and_filter(pets):
    folder = datasets.ImageFolder(pets, loader=os.path.basename, is_valid_file=lambda path: path.endswith(".txt"),
                                  allow_empty=True)  # fmt: skip
    assert [folder[i] for i in range(len(folder))] == [("notes.txt", 0)]
    assert folder.classes == ["cats", "dogs"]


def test_links_in_a_circle(pets):
    (pets / "cats" / "b" / "up").symlink_to(pets / "cats")
    assert len(datasets.ImageFolder(pets)) == 5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p / "none", FileNotFoundError, "there is no folder {p}/none; expected one folder a class with"),
        (lambda p: save(p / "a.png"), NotADirectoryError, "{p}/a.png is a file; expected one folder a class"),
        (lambda p: p, FileNotFoundError, "{p} has no folder in it; expected one folder a class"),
        (lambda p: save(p / "a.png").parent, FileNotFoundError, "{p} has 1 images such as a.png directly inside; exp"),
        (lambda p: save(p / ".cache/a.png").parent.parent, FileNotFoundError, "{p} has no folder in it"),
        (lambda p: (p / "cats").mkdir() or p, FileNotFoundError, "class cats in {p} has no file of .jpg, .jpeg,"),
    ],
)
def test_no_such_layout(make, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(f"ImageFolder: {message.format(p=tmp_path)}")):
        datasets.ImageFolder(make(tmp_path))


def test_on_error_has_two_values(pets):
    with pytest.raises(ValueError, match="on_error is 'ignore'; expected 'raise' or 'skip'"):
        datasets.ImageFolder(pets, on_error="ignore")


# Pictures of every kind


def colour(path, **options):
    image = read_rgb(path, **options)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


def test_modes(tmp_path):
    palette = picture("blue").quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    cases = [
        ("grey.png", picture(100, mode="L"), (100, 100, 100)),
        ("grey-alpha.png", picture((100, 0), mode="LA"), (255, 255, 255)),
        ("alpha.png", picture((255, 0, 0, 0), mode="RGBA"), (255, 255, 255)),
        ("half.png", picture((255, 0, 0, 51), mode="RGBA"), (255, 204, 204)),
        ("palette.png", picture("blue").quantize(4), (0, 0, 255)),
        ("transparent-palette.png", palette, (255, 255, 255)),
        ("one.png", picture(1, mode="1"), (255, 255, 255)),
        ("cmyk.tif", picture((0, 255, 255, 0), mode="CMYK"), (255, 0, 0)),
        ("16.png", Image.fromarray(np.full((2, 2), 0x8080, np.uint16)), (128, 128, 128)),
        ("white-16.png", Image.fromarray(np.full((2, 2), 0xFFFF, np.uint16)), (255, 255, 255)),
        ("dark-16.png", Image.fromarray(np.full((2, 2), 257, np.uint16)), (1, 1, 1)),
        ("32.tif", Image.fromarray(np.full((2, 2), 0x8080, np.int32)), (128, 128, 128)),
    ]
    for name, image, expected in cases:
        assert colour(save(tmp_path / name, image)) == expected, name


def test_first_frame_of_an_animation(tmp_path):
    path = tmp_path / "a.gif"
    picture("red").save(path, save_all=True, append_images=[picture("blue")])
    assert colour(path) == (255, 0, 0)


def test_upright(tmp_path):
    image = picture("red", (6, 4))
    image.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright = read_rgb(save(tmp_path / "a.png", image, exif=exif))
    assert upright.size == (4, 6)
    assert upright.getpixel((3, 0)) == (0, 0, 255)


def test_at_least(tmp_path):
    path = save(tmp_path / "a.jpg", picture(size=(800, 600)))
    sizes = [read_rgb(path, at_least=s).size for s in ((75, 100), (76, 100), (75, 101), (300, 1), (301, 1), (900, 900))]
    assert sizes == [(100, 75), (200, 150), (200, 150), (400, 300), (800, 600), (800, 600)]
    assert read_rgb(save(tmp_path / "a.png", picture(size=(80, 60))), at_least=(1, 1)).size == (80, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save(tmp_path / "b.jpg", picture(size=(800, 150)), exif=exif)
    assert read_rgb(turned, at_least=(400, 70)).size == (75, 400)
    assert colour(path, at_least=(10, 10))[0] > 250


# Files that cannot be read


def jpeg(size=(60, 40)):
    stream = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


BROKEN = [
    (b"", "the file is empty"),
    (b"this is text", "not an image that Pillow knows"),
    (jpeg()[:400], "Truncated File Read"),
    (jpeg()[:-200], "truncated"),
]


@pytest.mark.parametrize(("content", "reason"), BROKEN)
def test_corrupt(content, reason, tmp_path):
    path = tmp_path / "a" / "x.jpg"
    path.parent.mkdir()
    path.write_bytes(content)
    folder = datasets.ImageFolder(tmp_path)
    with pytest.raises(datasets.CorruptImage, match=re.escape(f"{path}: cannot be read: ")) as caught:
        folder[0]
    assert reason in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_cut_at_every_place_is_an_image_or_corrupt(tmp_path):
    """Whatever Pillow's decoders raise."""
    messages = set()
    for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        stream = io.BytesIO()
        Image.effect_noise((9, 7), 50).convert("RGB").save(stream, kind)
        content = stream.getvalue()
        path = tmp_path / f"x.{kind.lower()}"
        for end in range(0, len(content), max(1, len(content) // 40)):
            path.write_bytes(content[:end])
            try:
                assert read_rgb(path).mode == "RGB"
            except datasets.CorruptImage as error:
                messages.add(str(error).partition(": cannot be read: ")[2])
    assert len(messages) > 5
    assert "" not in messages


def test_bomb(tmp_path, monkeypatch):
    path = save(tmp_path / "x.png", picture(size=(100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(datasets.CorruptImage, match="could be decompression bomb"):
        read_rgb(path)


def test_no_such_file_and_no_permission(tmp_path, monkeypatch):
    with pytest.raises(datasets.CorruptImage, match=re.escape("x.png: cannot be read: No such file or directory")):
        read_rgb(tmp_path / "x.png")
    path = save(tmp_path / "y.png")
    refused = PermissionError(13, "Permission denied")  # chmod does not stop root
    monkeypatch.setattr(Image, "open", lambda path: (_ for _ in ()).throw(refused))
    with pytest.raises(datasets.CorruptImage, match=re.escape("y.png: cannot be read: Permission denied")):
        read_rgb(path)


@pytest.mark.parametrize("workers", [0, 2])
def test_skip(pets, workers):
    (pets / "cats" / "b" / "1.JPG").write_bytes(b"")
    (pets / "dogs" / "2.png").unlink()
    (pets / "dogs" / "2.png").symlink_to(pets / "gone")
    folder = datasets.ImageFolder(pets, ToTensor(), on_error="skip")
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        labels = [batch.tolist() for _, batch in data.DataLoader(folder, 2, num_workers=workers)]
    assert labels == [[0, 0], [1]]
    assert [str(w.message).partition(": ")[2] for w in caught] == [
        f"sample 2 is left out: {pets}/cats/b/1.JPG: cannot be read: the file is empty",
        f"sample 4 is left out: {pets}/dogs/2.png: cannot be read: No such file or directory",
    ]
    with pytest.raises(datasets.CorruptImage, match="the file is empty"):
        list(data.DataLoader(datasets.ImageFolder(pets, ToTensor()), 2, num_workers=workers))


def test_an_error_in_a_transform_is_not_a_corrupt_image(pets):
    def broken(image):
        raise ValueError("my mistake")

    with pytest.raises(ValueError, match="my mistake") as caught:
        datasets.ImageFolder(pets, broken, on_error="skip")[0]
    assert caught.type is ValueError


def test_the_page_for_newcomers_runs(tmp_path, monkeypatch):
    page = Path(__file__).parent.parent / "docs" / "data.md"
    monkeypatch.chdir(tmp_path)
    for i in range(40):
        save(tmp_path / "pets" / ("cats", "dogs")[i % 2] / f"{i}.jpg", picture(size=(90, 70)))
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    assert len(blocks) == 7
    assert names["images"].shape == (8, 3, 64, 64)
