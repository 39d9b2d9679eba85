"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...autograd import no_grad
from ...checks import require
from ...ops import cat
from ...tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other, as one vector; gradients pass through.

    Args:
        parameters: tensors of any shapes; each is read in the order of its indices, the last one fastest.
    Raises:
        ValueError: there are none.
    Example:
        >>> nn.utils.parameters_to_vector([at.ones(2), at.zeros(1, 2)])
        tensor([1., 1., 0., 0.])
    """
    parts = [parameter.reshape(-1) for parameter in parameters]
    require(parts, "parameters_to_vector", "parameters is empty; expected at least one tensor")
    return cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the parts of a vector over parameters: the inverse of `parameters_to_vector`.

    Args:
        vec: as many elements as all parameters have.
        parameters: the tensors to overwrite, in the order of the vector. (PyTorch makes them views of vec and passes
            over elements that are left; here they keep their memory and dtype.)
    Raises:
        ValueError: vec is no vector, or has another length; nothing was written then.
        TypeError: vec is no tensor.
    Example:
        >>> w = at.zeros(1, 2)
        >>> nn.utils.vector_to_parameters(at.tensor([1.0, 2.0]), [w])
        >>> w
        tensor([[1., 2.]])
    """
    op = "vector_to_parameters"
    if not isinstance(vec, Tensor):
        raise TypeError(f"{op}: vec is a {type(vec).__name__}; expected a Tensor")
    found = list(parameters)
    length = sum(parameter.numel() for parameter in found)
    require(vec.shape == (length,), op, f"vec has shape {vec.shape}; expected {(length,)} from the parameters")
    start = 0
    with no_grad():
        for parameter in found:
            stop = start + parameter.numel()
            parameter.copy_(vec[start:stop].reshape(parameter.shape))
            start = stop
