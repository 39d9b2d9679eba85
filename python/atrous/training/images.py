"""Pictures from files, made into what a network was trained on. Pillow reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def read_image(path: Path, preprocessing: Mapping[str, Any]) -> np.ndarray:
    """Reads a picture of any size and mode as a network's input.

    Transparency is laid on white, what is not square gets margins in the colour of its border, and where the network
    knows light ink on a dark ground, dark ink on a light ground is inverted.

    Args:
        path: the picture.
        preprocessing: what the run stored: size (H, W), mode "L", light_ink, mean and std of the pixels, 0 to 1.
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
    border = border_level(picture)
    if preprocessing["light_ink"] and border > 127:
        picture, border = ImageOps.invert(picture), 255 - border
    side = max(picture.size)
    square = Image.new("L", (side, side), border)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    H, W = preprocessing["size"]
    pixels = np.asarray(square.resize((W, H), Image.Resampling.BILINEAR), np.float32) / 255
    return ((pixels - preprocessing["mean"]) / preprocessing["std"]).astype(np.float32)[None, None]


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
