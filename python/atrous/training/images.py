"""Pictures from files, made into what a network was trained on. Pillow reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..datasets.folder import read_rgb
from .sources import centre, mean_and_std

FAINT = 16  # grey levels that are nearly the ground's
PALETTE = [  # of masks: the background, then a colour a class, again and again
    (24, 24, 28), (230, 85, 65), (70, 150, 220), (90, 180, 90), (240, 190, 60), (160, 100, 200),
    (80, 200, 200), (240, 130, 180), (150, 110, 70), (190, 190, 190), (120, 140, 40),
]  # fmt: skip
PALETTE += PALETTE[1:] * 24  # 251 classes


def read_image(path: Path, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Reads a picture of any size and mode as a network's input.

    What is done depends on ``preprocessing["fit"]``. "crop": the shorter side is scaled and the middle cut out, as for
    the validation images of a folder. "stretch": scaled to the size, whatever the proportions. "ink", for handwriting:
    transparency is laid on white, dark ink on a light ground is inverted, a grey ground becomes black, ink that is
    small in its frame is cut out to fill it, and what is then not square gets black margins.

    Args:
        path: the picture.
        preprocessing: what the run stored: size (H, W), mode ("L" or "RGB"), fit, and mean and std of each channel.
    Returns:
        float32 of shape (1, C, H, W).
    Raises:
        OSError: there is no such file.
        ValueError: it is no picture, is cut short, or is too large.
    """
    H, W = preprocessing["size"]
    if preprocessing["fit"] == "ink":
        picture = with_ink(open_picture(path, to_grey)).resize((W, H), Image.Resampling.BILINEAR)
    else:
        picture = read_rgb(path, (2 * H, 2 * W))  # as `atrous.training.sources.folder` does
        if preprocessing["fit"] == "stretch":
            picture = picture.resize((W, H), Image.Resampling.BILINEAR)
        elif picture.size != (W, H):  # a sample of the run is cropped already
            for change in centre(H):
                picture = change(picture)
    pixels = np.asarray(picture.convert(preprocessing["mode"]), np.float32).reshape(H, W, -1).transpose(2, 0, 1) / 255
    mean, std = mean_and_std(preprocessing)
    return ((pixels - mean) / std).astype(np.float32)[None]  # (1, C, H, W)


def open_picture(path: Path, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The picture in a file, upright and converted; every failure is an OSError or ValueError that names the file."""
    try:
        with Image.open(path) as file:
            return convert(ImageOps.exif_transpose(file))
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (Image.UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = "not a picture that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise ValueError(f"{path}: cannot be read: {reason}") from error


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of the picture in a file, upright."""
    return open_picture(path, lambda picture: picture).size


def with_ink(picture: Image.Image) -> Image.Image:
    """A square grey picture with light ink that fills a black ground."""
    ground = border_level(picture)
    if ground > 127:
        picture, ground = ImageOps.invert(picture), 255 - ground
    if ground > FAINT:
        picture = darken(picture, ground)
    picture = cut_out(picture)
    side = max(picture.size)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def darken(picture: Image.Image, ground: int) -> Image.Image:
    """The picture with its ground black and its ink white, as on a scan; without ink all of it is black."""
    pixels = np.asarray(picture, np.float32) - ground
    return Image.fromarray((pixels / max(pixels.max(), 4 * FAINT) * 255).clip(0, 255).round().astype(np.uint8))


def cut_out(picture: Image.Image) -> Image.Image:
    """The box around the ink, where that is below three quarters of the picture in height and width."""
    pixels = np.asarray(picture)
    ink = pixels > max(FAINT, pixels.max() / 3)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return picture
    left, upper, right, lower = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    small = lower - upper < 0.75 * picture.height and right - left < 0.75 * picture.width
    return picture.crop((int(left), int(upper), int(right), int(lower))) if small else picture


def on_white(picture: Image.Image) -> Image.Image:
    """A picture without transparency."""
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def to_grey(picture: Image.Image) -> Image.Image:
    """Any mode as 8-bit grey; what shines through is white."""
    if picture.mode in ("I", "F", "I;16", "I;16B", "I;16L"):  # Pillow would clip these at 255
        values = np.asarray(picture, np.float64)
        top = 255.0 if values.max(initial=0) <= 255 else max(65535.0, values.max())
        return Image.fromarray((values.clip(0) / top * 255).round().astype(np.uint8))
    return on_white(picture).convert("L")


def border_level(picture: Image.Image) -> int:
    """The middle grey level of the outermost pixels."""
    pixels = np.asarray(picture)
    return int(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes pixels (C, H, W), 0 to 1, as a grey or coloured PNG."""
    values = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0)).save(path)


def write_mask(path: Path, mask: np.ndarray, size: tuple[int, int]) -> None:
    """Writes the class of each pixel (H, W) as a PNG with a colour a class, scaled to ``size`` (width, height)."""
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette([int(value) for color in PALETTE for value in color])
    picture.resize(size, Image.Resampling.NEAREST).save(path)
