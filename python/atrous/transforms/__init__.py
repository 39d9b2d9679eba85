"""Changes to images on their way from a file to a network: torchvision's v2 names, arguments and defaults.

They take Pillow images or float tensors (C, H, W), as each one says; of a batch (N, C, H, W) all images are changed
alike. Beside the image, a call may get its mask and boxes (`atrous.tv_tensors`), which move with it. The random ones
draw from the default generator, which a `DataLoader` replaces batch by batch, and always the same number of words,
whatever comes out.

Example:
    >>> from PIL import Image
    >>> train = Compose([RandomResizedCrop(64), RandomHorizontalFlip(), ToTensor(), Normalize([0.5] * 3, [0.25] * 3)])
    >>> train(Image.new("RGB", (120, 90), "white"))[:, 0, 0]
    tensor([2., 2., 2.])
"""

from . import functional
from .affine import RandomAffine, RandomPerspective, RandomRotation
from .batch import CutMix, MixUp
from .boxes import SanitizeBoundingBoxes
from .color import ColorJitter, Grayscale, RandomGrayscale, RandomInvert, RandomPosterize, RandomSolarize
from .compose import Compose, RandomApply, RandomChoice, RandomOrder
from .conversion import Lambda, PILToTensor, ToDtype, ToImage, ToTensor
from .crop import CenterCrop, FiveCrop, Pad, RandomCrop, RandomResizedCrop, TenCrop
from .flip import RandomHorizontalFlip, RandomVerticalFlip
from .interpolation import InterpolationMode
from .noise import GaussianBlur, GaussianNoise, RandomErasing
from .normalize import MinMaxScale, Normalize, Standardize
from .resize import RandomShortestSize, Resize
from .transform import Transform
from .views import average_predictions

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "FiveCrop",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "MinMaxScale",
    "MixUp",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAffine",
    "RandomApply",
    "RandomChoice",
    "RandomCrop",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomShortestSize",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "SanitizeBoundingBoxes",
    "Standardize",
    "TenCrop",
    "ToDtype",
    "ToImage",
    "ToTensor",
    "Transform",
    "average_predictions",
    "functional",
]
