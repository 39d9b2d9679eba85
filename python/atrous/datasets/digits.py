"""The UCI optical digits: 1,797 images of real handwriting, small enough to come with the package."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".npz")  # source and licence: digits.txt beside it
COUNT = 1797


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8), uint8 from 0 to 16, and labels (1797,), int64 from 0 to 9, of handwritten digits.

    Each pixel counts the dark ones in a 4×4 block of a 32×32 scan. E. Alpaydin and C. Kaynak, "Optical recognition of
    handwritten digits", UCI Machine Learning Repository, 1998, CC BY 4.0; scikit-learn's copy (BSD), its test part.

    Raises:
        FileNotFoundError: the file is missing from the installation.
        ValueError: the file is damaged.
    Example:
        >>> images, labels = datasets.digits()
        >>> images.shape, int(images.max()), labels[:5].tolist()
        ((1797, 8, 8), 16, [0, 1, 2, 3, 4])
    """
    damaged = f"digits: {FILE} is damaged; reinstall atrous"
    content = FILE.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(damaged) from error
    if images.shape != (COUNT, 8, 8) or labels.shape != (COUNT,) or {images.dtype, labels.dtype} != {np.dtype("uint8")}:
        raise ValueError(damaged)
    return images, labels.astype(np.int64)


def prepare_digits(images: np.ndarray, size: int = 32) -> np.ndarray:
    """Images of 0 to 16 as a network takes them: scaled to [0, 1] and enlarged, float32 of shape (N, 1, size, size).

    Bilinear: pixels are squares, output pixel i samples the input at (i + ½) · 8/size − ½, and beyond the outer pixels'
    centres their values go on. PyTorch's interpolate(mode="bilinear", align_corners=False) gives the same.

    Args:
        images: shape (N, 8, 8), or any other square or not, values from 0 to 16.
        size: height and width of the result.
    Raises:
        ValueError: images are not three-dimensional, or size is below 1.
    Example:
        >>> images, _ = datasets.digits()
        >>> x = datasets.prepare_digits(images[:5])
        >>> x.shape, float(x.min()), float(x.max())
        ((5, 1, 32, 32), 0.0, 1.0)
    """
    images = np.asarray(images)
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise ValueError(f"prepare_digits: images have shape {images.shape}; expected (N, H, W)")
    if size < 1:
        raise ValueError(f"prepare_digits: size is {size}; expected 1 or more")
    rows, columns = (_bilinear(L, size) for L in images.shape[1:])
    x = np.einsum("ih,nhw,jw->nij", rows, images / 16, columns, optimize=True)  # (N, size, size)
    return x[:, None].astype(np.float32)


def _bilinear(L: int, size: int) -> np.ndarray:
    """The matrix (size, L) that resamples L pixels in a row to `size`."""
    at = np.clip((np.arange(size) + 0.5) * L / size - 0.5, 0, L - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(L)))
