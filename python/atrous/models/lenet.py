"""LeNet-5."""

from __future__ import annotations

from ..checks import require
from ..nn import Conv2d, Linear, MaxPool2d, Module, ReLU
from ..nn.sizes import check_sizes
from ..tensor import Tensor


class LeNet5(Module):
    """The network that `lenet5` describes."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        check_sizes("lenet5", num_classes=num_classes, in_channels=in_channels)
        self.conv1 = Conv2d(in_channels, 6, 5)
        self.conv2 = Conv2d(6, 16, 5)
        self.fc1 = Linear(16 * 5 * 5, 120)
        self.fc2 = Linear(120, 84)
        self.fc3 = Linear(84, num_classes)
        self.relu = ReLU()
        self.pool = MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, 32, 32) to logits (N, num_classes)."""
        require(x.shape[2:] == (32, 32), "lenet5", f"x has shape {tuple(x.shape)}; expected (N, C, 32, 32)")
        x = self.pool(self.relu(self.conv1(x)))  # (N, 6, 14, 14)
        x = self.pool(self.relu(self.conv2(x)))  # (N, 16, 5, 5)
        x = self.relu(self.fc1(x.flatten(1)))
        return self.fc3(self.relu(self.fc2(x)))


def lenet5(num_classes: int = 10, in_channels: int = 1) -> LeNet5:
    """LeNet-5 for 32×32 images, in today's usual variant: max pooling, ReLU, full connections, logits.

    conv 5×5 (6) → relu → max-pool 2 → conv 5×5 (16) → relu → max-pool 2 → linear 120 → relu → linear 84 → relu →
    linear `num_classes`. 61,706 parameters and 416,520 multiply-adds an image at the default arguments.

    LeCun et al. 1998, "Gradient-based learning applied to document recognition", had instead: average pooling with a
    learned factor and bias per map, a scaled tanh after each layer, a C3 where each map sees only some of the six
    before (60,000 parameters in all), and outputs that measure the distance to a drawn 7×12 picture of each class.

    Args:
        num_classes: logits an image.
        in_channels: channels of an image.
    Example:
        >>> model = models.lenet5()
        >>> model(at.zeros(2, 1, 32, 32)).shape, sum(p.numel() for p in model.parameters())
        ((2, 10), 61706)
    """
    return LeNet5(num_classes, in_channels)
