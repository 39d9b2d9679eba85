"""Keeping weights small: a limit on their norms, and penalties to add to a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...autograd import no_grad
from ...backend import array_module, quiet
from ...checks import require
from ...tensor import Tensor
from .clip_grad import _at_least_0, _tensors

__all__ = ["elastic_net_penalty", "l1_penalty", "l2_penalty", "max_norm_"]


def max_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, dim: int = 0) -> None:
    """Scales the incoming weights of each unit so that their L2 norm is at most ``max_norm``; called after each step.

    ``w_i ← w_i · max_norm / (‖w_i‖ + 1e-7)`` where ``‖w_i‖ > max_norm``, with w_i the weights of unit i: a row of a
    linear layer, a filter of a convolution. Others keep their bits, and so do tensors with less than two axes: biases.

    Args:
        parameters: one tensor or several.
        max_norm: 0 or more; 3 or 4 as a rule.
        dim: the axis of the units; 1 for transposed convolutions (without groups), whose weights are (IC, OC, KH, KW).
    Raises:
        ValueError: max_norm or dim is out of range. TypeError: something is no float tensor. Nothing was changed then.
    Example:
        >>> layer = nn.Linear(2, 2)
        >>> layer.load_state_dict({"weight": np.array([[3.0, 4.0], [0.3, 0.4]]), "bias": np.array([9.0, 9.0])})
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        >>> nn.utils.max_norm_(layer.parameters(), max_norm=1.0)
        >>> layer.weight.tolist()
        [[0.6000..., 0.8000...], [0.3000..., 0.4000...]]

    Source:
        Srivastava et al., Dropout, 2014, section 5.1; as ``torch.renorm``, and Keras's ``MaxNorm``. (PyTorch has it for
        embeddings alone.)
    """
    op = "max_norm_"
    _at_least_0(op, max_norm=max_norm)
    require(dim in (0, 1), op, f"dim is {dim!r}; expected 0 or 1")
    found = _floats(op, parameters)
    with no_grad():
        for weight in found:
            if weight.ndim > 1:
                weight.mul_(Tensor(quiet.run(_shrinking, weight.data, float(max_norm), dim)))


def _shrinking(x, limit: float, dim: int):
    """What the weights of each unit are multiplied by: 1 where they are within the limit."""
    xp = array_module(x)
    axes = tuple(axis for axis in range(x.ndim) if axis != dim)
    norm = xp.sqrt(xp.square(x, dtype="float64").sum(axis=axes, keepdims=True))  # float32 squares overflow at 1e19
    return xp.where(norm > limit, limit / (norm + 1e-7), 1.0).astype(x.dtype)


def l1_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """``Σ |w|`` over all elements of all parameters, to be weighted and added to a loss; it drives weights to 0.

    Args:
        parameters: one float tensor or several; weights without the biases, as a rule.
    Raises:
        ValueError: there are none, as from an exhausted generator. TypeError: something is no float tensor.
    Example:
        >>> w = at.tensor([1.0, -2.0], requires_grad=True)
        >>> loss = 0.1 * nn.utils.l1_penalty([w])
        >>> loss.backward(); w.grad
        tensor([ 0.1000, -0.1000])

    Source:
        Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996.
    """
    return _total("l1_penalty", parameters, lambda w: w.abs().sum())


def l2_penalty(parameters: Tensor | Iterable[Tensor]) -> Tensor:
    """``Σ w²`` over all elements of all parameters, to be weighted and added to a loss; its gradient is 2w.

    A textbook's ``λ/2 · Σ w²`` is ``λ / 2 * l2_penalty(...)``, which `optim.SGD` has as ``weight_decay=λ``; one without
    the half, ``λ · Σ w²``, is ``λ * l2_penalty(...)`` and ``weight_decay=2 * λ``.

    Args:
        parameters: one float tensor or several; weights without the biases, as a rule.
    Raises:
        ValueError: there are none, as from an exhausted generator. TypeError: something is no float tensor.
    Example:
        >>> nn.utils.l2_penalty([at.tensor([1.0, -2.0]), at.tensor([[3.0]])])
        tensor(14.)

    Source:
        Krogh and Hertz, A Simple Weight Decay Can Improve Generalization, 1992.
    """
    return _total("l2_penalty", parameters, lambda w: (w * w).sum())


def elastic_net_penalty(parameters: Tensor | Iterable[Tensor], beta: float) -> Tensor:
    """``Σ (|w| + β·w²)`` over all elements of all parameters, to be weighted and added to a loss.

    Zou and Hastie's ``λ₁ Σ|w| + λ₂ Σw²`` is ``λ₁ * elastic_net_penalty(..., β=λ₂ / λ₁)``. scikit-learn's
    ``α · (ρ Σ|w| + (1 − ρ)/2 · Σw²)`` is ``α * ρ * elastic_net_penalty(..., β=(1 − ρ) / (2 * ρ))``.

    Args:
        parameters: one float tensor or several; weights without the biases, as a rule.
        beta: the weight of the squares, 0 or more.
    Raises:
        ValueError: there are none, or beta is out of range. TypeError: something is no float tensor.
    Example:
        >>> nn.utils.elastic_net_penalty([at.tensor([1.0, -2.0])], beta=0.5)
        tensor(5.5000)

    Source:
        Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005.
    """
    op = "elastic_net_penalty"
    _at_least_0(op, beta=beta)
    return _total(op, parameters, lambda w: w.abs().sum() + float(beta) * (w * w).sum())


def _total(op: str, parameters: Tensor | Iterable[Tensor], penalty: Callable[[Tensor], Tensor]) -> Tensor:
    """The penalties of all parameters, added up."""
    found = _floats(op, parameters)
    require(found, op, "parameters is empty; expected at least one tensor (an exhausted generator?)")
    total = penalty(found[0])
    for weight in found[1:]:
        total = total + penalty(weight)
    return total


def _floats(op: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    found = _tensors(op, parameters, "parameters")
    for weight in found:
        if not weight.is_floating_point():
            raise TypeError(f"{op}: got a tensor of dtype {weight.dtype}; expected floats")
    return found
