"""ImageFolder: a folder of pictures, sorted into folders by class, as a data set. Pillow reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.dataset import Dataset, SkipSample

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
LAYOUT = "expected one folder a class with its images inside, such as {root}/cats/1.jpg and {root}/dogs/1.jpg"


class CorruptImage(ValueError):
    """A file that should be an image and cannot be read; the message names it and says why.

    Example:
        >>> str(CorruptImage("cats/3.jpg: cannot be read: the file is empty"))
        'cats/3.jpg: cannot be read: the file is empty'
    """


class ImageFolder(Dataset):
    """Pictures in ``root/CLASS/**/picture.jpg``; sample i is (picture, number of its class).

    Classes are numbered in the order of their names, as in torchvision. Without a transform a picture is a Pillow
    image. Hidden files and folders are passed over; GIF files count, of which the first frame is read.

    Args:
        root: the folder.
        transform: changes a picture, such as `transforms.Compose([..., transforms.ToTensor()])`.
        target_transform: changes the class's number.
        loader: makes a picture of a path; `read_rgb` unless given.
        is_valid_file: says of a path whether it belongs to the data set; by its extension unless given.
        allow_empty: accept classes without a picture.
        on_error: "raise", or "skip" to raise SkipSample for a picture that cannot be read: a `DataLoader` then leaves
            it out and warns.
    Attributes:
        classes, class_to_idx: the names, and their numbers. samples (or imgs): (path, class) pairs. targets: classes.
    Raises:
        FileNotFoundError, NotADirectoryError: there is no such folder, no class in it, or a class without pictures.
        CorruptImage: from a sample that cannot be read.
    Example:
        >>> from PIL import Image
        >>> for name in ("cats", "dogs"):
        ...     Path("pets", name).mkdir(parents=True)
        ...     Image.new("RGB", (40, 30)).save(f"pets/{name}/1.png")
        >>> pets = datasets.ImageFolder("pets")
        >>> pets.classes, len(pets), pets[1]
        (['cats', 'dogs'], 2, (<PIL.Image.Image image mode=RGB size=40x30 at ...>, 1))
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
        *,
        on_error: str = "raise",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ValueError(f"ImageFolder: on_error is {on_error!r}; expected 'raise' or 'skip'")
        self.root, self.transform, self.target_transform = os.fspath(root), transform, target_transform
        self.loader, self.on_error = loader or read_rgb, on_error
        valid = is_valid_file or (lambda path: path.lower().endswith(EXTENSIONS))
        self.classes = _classes(self.root, valid)
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}
        found = {name: [p for p in _files(os.path.join(self.root, name)) if valid(p)] for name in self.classes}
        empty = [name for name, paths in found.items() if not paths]
        if empty and not allow_empty:
            kinds = "that is_valid_file accepts" if is_valid_file else f"of {', '.join(EXTENSIONS)}"
            raise FileNotFoundError(f"ImageFolder: class {', '.join(empty)} in {self.root} has no file {kinds}")
        self.samples = [(path, self.class_to_idx[name]) for name, paths in found.items() for path in paths]
        self.imgs, self.targets = self.samples, [target for _, target in self.samples]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        try:
            image = self.loader(path)
        except (CorruptImage, OSError) as error:
            if self.on_error == "skip":
                raise SkipSample(str(error)) from error
            raise
        return (
            image if self.transform is None else self.transform(image),
            target if self.target_transform is None else self.target_transform(target),
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"ImageFolder({self.root!r}: {len(self)} images of {len(self.classes)} classes)"


def _classes(root: str, valid: Callable[[str], bool]) -> list[str]:
    layout = LAYOUT.format(root=root)
    if not os.path.exists(root):
        raise FileNotFoundError(f"ImageFolder: there is no folder {root}; {layout}")
    if not os.path.isdir(root):
        raise NotADirectoryError(f"ImageFolder: {root} is a file; {layout}")
    names = sorted(name for name in os.listdir(root) if not name.startswith("."))
    classes = [name for name in names if os.path.isdir(os.path.join(root, name))]
    if not classes:
        loose = [name for name in names if valid(os.path.join(root, name))]
        what = f"{len(loose)} images such as {loose[0]} directly inside" if loose else "no folder in it"
        raise FileNotFoundError(f"ImageFolder: {root} has {what}; {layout}")
    return classes


def _files(folder: str) -> Iterator[str]:
    """Paths of the files below a folder, in torchvision's order; links are followed, but not in circles."""
    found, seen = [], set()
    for here, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(here))
        folders[:] = [
            f for f in folders if not f.startswith(".") and os.path.realpath(os.path.join(here, f)) not in seen
        ]
        found.append((here, sorted(f for f in files if not f.startswith("."))))
    for here, files in sorted(found):
        yield from (os.path.join(here, file) for file in files)


def read_rgb(path: str | Path, at_least: tuple[int, int] | None = None) -> Image:
    """Reads a picture of any kind as a Pillow image of mode RGB.

    It is turned upright where its EXIF data say so (torchvision does not). Transparency is laid on white, 16 bits are
    scaled to 8, and of an animation the first frame is taken.

    Args:
        path: the file.
        at_least: (H, W) that the caller needs. A JPEG much larger than that is decoded at ½, ¼ or ⅛ of its size, which
            is several times faster, as long as height and width stay as large.
    Raises:
        CorruptImage: it is no image, is cut short, too large, or cannot be opened.
        ImportError: Pillow is not installed.
    Example:
        >>> from PIL import Image
        >>> Image.new("CMYK", (800, 600)).save("large.jpg")
        >>> read_rgb("large.jpg").size, read_rgb("large.jpg", at_least=(64, 64)).size
        ((800, 600), (100, 75))
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("reading pictures needs Pillow: pip install pillow") from error
    try:
        with Image.open(path) as picture:
            if at_least is not None:
                sideways = picture.getexif().get(0x0112, 1) >= 5  # orientations 5 to 8 exchange height and width
                picture.draft(None, at_least if sideways else at_least[::-1])
            ImageOps.exif_transpose(picture, in_place=True)
            return _to_rgb(picture)
    except MemoryError:
        raise
    except Exception as error:  # of broken files Pillow's decoders raise nearly anything
        raise CorruptImage(f"{path}: cannot be read: {_reason(path, error)}") from error


def _reason(path: str | Path, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow knows" if os.path.getsize(path) else "the file is empty"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # such as "Permission denied"
    return str(error) or type(error).__name__


def _to_rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits, or 32 of which 16 are in use; Pillow would clip them at 255
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8))
    if picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
