"""Changes to images on their way from a file to a network: torchvision's v2 names, arguments and defaults.

They take Pillow images or float tensors (C, H, W), as each one says; of a batch (N, C, H, W) all images are changed
alike. The random ones draw from the default generator, which a `DataLoader` replaces batch by batch, and always the
same number of words, whatever comes out.

Example:
    >>> from PIL import Image
    >>> train = Compose([RandomResizedCrop(64), RandomHorizontalFlip(), ToTensor(), Normalize([0.5] * 3, [0.25] * 3)])
    >>> train(Image.new("RGB", (120, 90), "white"))[:, 0, 0]
    tensor([2., 2., 2.])
"""

from .color import ColorJitter, Normalize
from .compose import Compose
from .conversion import ToTensor
from .crop import CenterCrop, Pad, RandomCrop, RandomHorizontalFlip, RandomResizedCrop
from .resize import InterpolationMode, Resize

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "InterpolationMode",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "ToTensor",
]
