"""Several axes to one, and one to several."""

from __future__ import annotations

from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Joins the axes from `start_dim` to `end_dim` into one, in the order channel, row, column.

    Example:
        >>> nn.Flatten()(at.zeros(8, 16, 5, 5)).shape
        (8, 400)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C·H·W) by default."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Makes several axes of one, in the order that `Flatten` joins them.

    Args:
        dim: the axis.
        unflattened_size: a tuple of the extents, one of which may be −1. PyTorch's named axes are not supported.
    Raises:
        TypeError: no tuple or list of ints.
    Example:
        >>> nn.Unflatten(1, (16, 5, 5))(at.zeros(8, 400)).shape
        (8, 16, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        sizes = unflattened_size
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim is {dim!r}; expected an int")
        if not isinstance(sizes, (tuple, list)) or not all(isinstance(size, int) for size in sizes):
            raise TypeError(f"Unflatten: unflattened_size is {sizes!r}; expected a tuple of ints")
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, input: Tensor) -> Tensor:
        """(N, C·H·W) to (N, C, H, W), for example."""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and the extents."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
