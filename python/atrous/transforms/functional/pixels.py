"""Scales, blur, noise and holes: of float tensors, and blur of Pillow images, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend import array_module
from ...checks import pair, require
from ...ops import clamp
from ...random import Generator, default_generator
from ...tensor import Tensor
from ...tv_tensors import BoundingBoxes, Mask, wrap
from ..images import beside, float_image, is_picture, size_of


def normalize(inpt: Any, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Any:
    """``(image − mean) / std`` with one number a channel, or one for all.

    Example:
        >>> normalize(at.ones(1, 1, 1), [0.5], [0.25]).item()
        2.0
    """
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    x = float_image(inpt, "Normalize")
    C = x.shape[-3]
    require(len(mean) in (1, C), "Normalize", f"the tensor has {C} channels; expected {len(mean)}")
    m, s = (beside(x, values).reshape(-1, 1, 1) for values in (mean, std))
    return x.sub_(m).div_(s) if inplace else wrap((x - m) / s, like=inpt)


def gaussian_blur(inpt: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None) -> Any:
    """Averages each pixel with its neighbours, weighed by ``exp(−d² / 2σ²)``; the border is mirrored.

    Args:
        kernel_size: odd, one int or (x, y).
        sigma: in pixels, one number or (x, y); 0.15 · kernel_size + 0.35 if None.
    Example:
        >>> gaussian_blur(at.tensor([[[0.0, 0.0, 1.0, 0.0, 0.0]]]), (3, 1), 1.0)
        tensor([[[0.0000, 0.2741, 0.4519, 0.2741, 0.0000]]])
    """
    sizes = pair(kernel_size, "gaussian_blur", "kernel_size")
    odd = all(size > 0 and size % 2 for size in sizes)
    require(odd, "gaussian_blur", f"kernel_size is {kernel_size}; expected odd numbers above 0")
    numbers = [0.15 * size + 0.35 for size in sizes] if sigma is None else np.broadcast_to(sigma, (2,)).tolist()
    require(min(numbers) > 0, "gaussian_blur", f"sigma is {sigma}; expected more than 0")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    H, W = size_of(inpt, "gaussian_blur")
    fits = sizes[0] // 2 < W and sizes[1] // 2 < H
    require(fits, "gaussian_blur", f"kernel_size {sizes} is too large to mirror the border of {H} × {W} pixels")
    if is_picture(inpt):
        from PIL import Image

        pixels = np.atleast_3d(np.asarray(inpt, np.float32)).transpose(2, 0, 1)
        blurred = np.rint(_blurred(_blurred(pixels, sizes[0], numbers[0], -1), sizes[1], numbers[1], -2))
        return Image.fromarray(blurred.transpose(1, 2, 0).astype(np.uint8).reshape(np.shape(inpt)))
    x = float_image(inpt, "gaussian_blur").data
    return wrap(Tensor(_blurred(_blurred(x, sizes[0], numbers[0], -1), sizes[1], numbers[1], -2)), like=inpt)


def _blurred(x: Any, size: int, sigma: float, axis: int) -> Any:
    half = size // 2
    weights = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    widths = [(0, 0)] * x.ndim
    widths[axis] = half, half
    wide, L = array_module(x).pad(x, widths, mode="reflect"), x.shape[axis]
    parts = (wide[..., k : k + L] if axis == -1 else wide[..., k : k + L, :] for k in range(size))
    return sum(w * part for w, part in zip(weights, parts, strict=True))


def gaussian_noise(
    inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True, generator: Generator | None = None
) -> Any:
    """Adds a normal number of its own to each value.

    Args:
        mean, sigma: of the numbers.
        clip: cut off at 0 and 1.
        generator: source of the numbers, the default one if None.
    Example:
        >>> gaussian_noise(at.full((1, 2, 2), 0.5), sigma=0.0).flatten().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    require(sigma >= 0, "gaussian_noise", f"sigma is {sigma}; expected 0 or more")
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    x = float_image(inpt, "gaussian_noise")
    noise = beside(x, (generator or default_generator).normal(x.shape))
    noisy = x + (mean + sigma * noise)
    return wrap(clamp(noisy, 0, 1) if clip else noisy, like=inpt)


def erase(inpt: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """The image with a rectangle of other values: row i, column j, h × w pixels.

    Args:
        v: the values, one number, or a tensor or array that fits (C, h, w).
        inplace: write over the tensor.
    Example:
        >>> erase(at.zeros(1, 1, 3), 0, 1, 1, 2, 7.0).tolist()
        [[[0.0, 7.0, 7.0]]]
    """
    if isinstance(inpt, (Mask, BoundingBoxes)):
        return inpt
    size_of(inpt, "erase")
    if not isinstance(inpt, Tensor):
        raise TypeError(f"erase: got a {type(inpt).__name__}; expected a tensor, such as ToTensor gives")
    y = inpt if inplace else wrap(inpt.clone(), like=inpt)
    y[..., i : i + h, j : j + w] = v if isinstance(v, Tensor) else beside(inpt, v)
    return y
