"""Pictures from files, made into what a network was trained on. Pillow reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FAINT = 16  # grey levels that are nearly the ground's


def read_image(path: Path, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Reads a picture of any size and mode as a network's input.

    Transparency is laid on white, and dark ink on a light ground is inverted. A grey ground becomes black, and ink that
    is small in its frame is cut out to fill it: neither happens to the images that the network was trained on. What is
    then not square gets black margins.

    Args:
        path: the picture.
        preprocessing: what the run stored: size (H, W), and mean and std of the pixels, 0 to 1.
    Returns:
        float32 of shape (1, 1, H, W).
    Raises:
        OSError: there is no such file.
        ValueError: it is no picture, is cut short, or is too large.
    """
    try:
        with Image.open(path) as file:
            picture = to_grey(ImageOps.exif_transpose(file))
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (Image.UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        reason = "not a picture that Pillow knows" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise ValueError(f"{path}: cannot be read: {reason}") from error
    ground = border_level(picture)
    if ground > 127:
        picture, ground = ImageOps.invert(picture), 255 - ground
    if ground > FAINT:
        picture = darken(picture, ground)
    picture = cut_out(picture)
    side = max(picture.size)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    H, W = preprocessing["size"]
    pixels = np.asarray(square.resize((W, H), Image.Resampling.BILINEAR), np.float32) / 255
    return ((pixels - preprocessing["mean"]) / preprocessing["std"]).astype(np.float32)[None, None]


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


def to_grey(picture: Image.Image) -> Image.Image:
    """Any mode as 8-bit grey; what shines through is white."""
    if picture.mode in ("I", "F", "I;16", "I;16B", "I;16L"):  # Pillow would clip these at 255
        values = np.asarray(picture, np.float64)
        top = 255.0 if values.max(initial=0) <= 255 else max(65535.0, values.max())
        return Image.fromarray((values.clip(0) / top * 255).round().astype(np.uint8))
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("L")


def border_level(picture: Image.Image) -> int:
    """The middle grey level of the outermost pixels."""
    pixels = np.asarray(picture)
    return int(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Writes pixels (H, W), 0 to 1, as a grey PNG."""
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)
