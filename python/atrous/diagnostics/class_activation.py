"""Where in an image a network sees what it names: class activation maps."""

from __future__ import annotations

from typing import Any

from ..autograd import enable_grad, grad
from ..checks import require
from ..nn import Module
from ..nn.functional import relu
from ..nn.observe import unchanged
from ..ops import arange
from ..tensor import Tensor


def class_activation_map(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    """``Σ_c weight[k, c] · features[:, c]``: how much each place adds to the logit of class k.

    For networks that average their last feature maps and apply one linear layer: the map's mean, plus the bias, is the
    logit itself.

    Args:
        features: (N, C, H, W), what the average takes.
        weight: (K, C), the linear layer's.
        classes: int64 (N,), the class of interest of each image.
    Returns:
        (N, H, W).
    Raises:
        ValueError: the shapes disagree.
    Example:
        >>> class_activation_map(at.ones(1, 2, 1, 2), at.tensor([[1.0, 2.0], [3.0, 4.0]]), at.tensor([1])).tolist()
        [[[7.0, 7.0]]]

    Source:
        Zhou et al., Learning deep features for discriminative localization, 2016 (arXiv 1512.04150).
    """
    op = "class_activation_map"
    require(features.ndim == 4, op, f"features has shape {features.shape}; expected (N, C, H, W)")
    N, C = features.shape[:2]
    require(weight.ndim == 2 and weight.shape[1] == C, op, f"weight has shape {weight.shape}; expected (K, {C})")
    require(classes.shape == (N,), op, f"classes has shape {classes.shape}; expected {(N,)}")
    return (features * weight[classes].unsqueeze(-1).unsqueeze(-1)).sum(1)


def grad_cam(model: Module, layer: Module, inputs: Tensor, classes: Tensor | None = None) -> Tensor:
    """``relu(Σ_c α_c · A_c)``: a layer's maps A, each weighted by the mean α_c of the logit's gradient over its places.

    For any network; of one that `class_activation_map` is for, it is that map's positive part, divided by H·W.

    Args:
        model: the network; it runs in eval mode and is left as it was.
        layer: one of its modules, whose output is (N, C, H, W), such as the last convolution.
        inputs: images.
        classes: int64 (N,), the class of interest of each; None for the answers.
    Returns:
        (N, H, W).
    Raises:
        ValueError: the layer is not called, or gives no maps.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> grad_cam(model, model[1], at.randn(3, 1, 8, 8)).shape
        (3, 6, 6)

    Source:
        Selvaraju et al., Grad-CAM, 2017 (arXiv 1610.02391).
    """
    maps: list[Tensor] = []

    def cut(module: Module, args: tuple, output: Any) -> Tensor:
        """Makes the maps a leaf, so that frozen layers before them do not matter."""
        require(
            isinstance(output, Tensor) and output.ndim == 4,
            "grad_cam",
            f"the layer's output has shape {getattr(output, 'shape', None)}; expected (N, C, H, W)",
        )
        maps[:] = [output.detach().clone().requires_grad_()]
        return maps[0].clone()

    with unchanged(model), enable_grad():
        handle = layer.register_forward_hook(cut)
        try:
            logits = model.eval()(inputs)
        finally:
            handle.remove()  # the layer may be none of the model's
        require(maps, "grad_cam", "the layer is not called by the model")
        classes = logits.argmax(1) if classes is None else classes
        (slope,) = grad(logits[arange(len(logits), device=logits.device), classes].sum(), maps[0])
    assert slope is not None
    return relu((maps[0].detach() * slope.mean((2, 3), keepdim=True)).sum(1))
