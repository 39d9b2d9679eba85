"""What the transforms do, as functions of one image, mask or set of boxes: names and arguments of torchvision's v2.

Those that move pixels keep the kind: of boxes they move the corners, of masks whole pixels. Those that change colours
return masks and boxes as they are.
"""

from .color import (
    adjust_brightness,
    adjust_contrast,
    adjust_gamma,
    adjust_hue,
    adjust_saturation,
    invert,
    posterize,
    rgb_to_grayscale,
    solarize,
)
from .conversion import pil_to_tensor, to_dtype, to_image
from .geometry import (
    center_crop,
    crop,
    five_crop,
    get_size,
    horizontal_flip,
    pad,
    resize,
    resized_crop,
    ten_crop,
    vertical_flip,
)
from .pixels import erase, gaussian_blur, gaussian_noise, normalize
from .warp import affine, perspective, rotate

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "center_crop",
    "crop",
    "erase",
    "five_crop",
    "gaussian_blur",
    "gaussian_noise",
    "get_size",
    "horizontal_flip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_dtype",
    "to_image",
    "vertical_flip",
]
