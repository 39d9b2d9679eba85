"""Predictions averaged over several views of an image."""

from __future__ import annotations

from collections.abc import Callable

from ..autograd import no_grad
from ..checks import require
from ..tensor import Tensor


def average_predictions(network: Callable[[Tensor], Tensor], views: Tensor) -> Tensor:
    """The mean of what a network answers to several views of each image, without gradients: test-time averaging.

    Give a network that returns probabilities to average these, as the papers do.

    Args:
        network: called with (N · K, C, H, W); gives (N · K, ...).
        views: K views of each image, (N, K, C, H, W), such as ``at.stack(TenCrop(24)(images), 1)``; or from a data set
            with the transform ``Compose([TenCrop(24), at.stack])``.
    Returns:
        The means, (N, ...).
    Raises:
        ValueError: the views have another shape.
    Example:
        >>> from atrous.transforms import TenCrop
        >>> images = at.rand(2, 3, 32, 32)
        >>> views = at.stack(TenCrop(24)(images), 1)
        >>> average_predictions(lambda x: x.mean((2, 3)), views).shape
        (2, 3)

    Source:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, 2012.
    """
    require(views.ndim == 5, "average_predictions", f"views have shape {views.shape}; expected (N, K, C, H, W)")
    N, K = views.shape[:2]
    with no_grad():
        answers = network(views.reshape(N * K, *views.shape[2:]))
        return answers.reshape(N, K, *answers.shape[1:]).mean(1)
