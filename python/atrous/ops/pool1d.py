"""Pooling over windows of a sequence: that over images, of one row each."""

from __future__ import annotations

from collections.abc import Sequence

from ..checks import floats_of_one_dtype, require, single
from ..tensor import Tensor
from .pool2d import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d

__all__ = ["adaptive_avg_pool1d", "adaptive_max_pool1d", "avg_pool1d", "max_pool1d"]

Int = int | Sequence[int]


def max_pool1d(
    input: Tensor,
    kernel_size: Int,
    stride: Int | None = None,
    padding: Int = 0,
    dilation: Int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the largest value of each window; a NaN in the window wins.

    ``y[n, c, ol] = max_k x[n, c, ol·stride − padding + k·dilation]``, over the elements inside x.

    Args:
        input: sequences of shape (N, C, L), or one sequence (C, L).
        kernel_size, stride, padding, dilation, ceil_mode: as in ``max_pool2d``; an int, alone or in a tuple.
        return_indices: also return where each maximum was, as an int64 index into its sequence.
    Returns:
        Tensor of shape (N, C, OL) or (C, OL), or (y, indices).
    Raises:
        ValueError: a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> y, indices = max_pool1d(at.tensor([[1.0, 5.0, 4.0, 2.0]]), 2, return_indices=True)
        >>> y.tolist(), indices.tolist()
        ([[5.0, 4.0]], [[1, 2]])
    """
    K, s, p, d = _window("max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode)
    how = ((1, K), (1, s), (0, p), (1, d), ceil_mode, return_indices)
    return _of_one_row(max_pool2d(input.unsqueeze(-2), *how))


def avg_pool1d(
    input: Tensor,
    kernel_size: Int,
    stride: Int | None = None,
    padding: Int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Averages each window: ``y[n, c, ol] = Σ_k x[n, c, ol·stride − padding + k] / K``.

    Args:
        input: sequences of shape (N, C, L), or one sequence (C, L).
        kernel_size, stride, padding, ceil_mode, count_include_pad: as in ``avg_pool2d``; an int, alone or in a tuple.
    Returns:
        Tensor of shape (N, C, OL) or (C, OL).
    Raises:
        ValueError: a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> avg_pool1d(at.tensor([[1.0, 5.0, 4.0, 2.0]]), 2).tolist()
        [[3.0, 3.0]]
    """
    K, s, p, _ = _window("avg_pool1d", input, kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool2d(input.unsqueeze(-2), (1, K), (1, s), (0, p), ceil_mode, count_include_pad).squeeze(-2)


def adaptive_avg_pool1d(input: Tensor, output_size: Int) -> Tensor:
    """Averages over windows chosen so that the output has the length asked for; see ``adaptive_avg_pool2d``.

    Args:
        input: sequences of shape (N, C, L), or one sequence (C, L).
        output_size: OL; an int, alone or in a tuple.
    Returns:
        Tensor of shape (N, C, OL) or (C, OL).
    Raises:
        ValueError: a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> adaptive_avg_pool1d(at.tensor([[1.0, 5.0, 3.0]]), 2).tolist()
        [[3.0, 4.0]]
    """
    OL = _length("adaptive_avg_pool1d", input, output_size)
    return adaptive_avg_pool2d(input.unsqueeze(-2), (1, OL)).squeeze(-2)


def adaptive_max_pool1d(
    input: Tensor, output_size: Int, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Takes the largest value of the windows of ``adaptive_avg_pool1d``; a NaN in the window wins.

    Args:
        input: sequences of shape (N, C, L), or one sequence (C, L).
        output_size: OL; an int, alone or in a tuple.
        return_indices: also return where each maximum was, as an int64 index into its sequence.
    Returns:
        Tensor of shape (N, C, OL) or (C, OL), or (y, indices).
    Raises:
        ValueError: a shape or value is out of range. TypeError: the input is not a float tensor.
    Example:
        >>> adaptive_max_pool1d(at.tensor([[1.0, 5.0, 3.0]]), 2).tolist()
        [[5.0, 5.0]]
    """
    OL = _length("adaptive_max_pool1d", input, output_size)
    return _of_one_row(adaptive_max_pool2d(input.unsqueeze(-2), (1, OL), return_indices))


def _of_one_row(result: Tensor | tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
    return (result[0].squeeze(-2), result[1].squeeze(-2)) if isinstance(result, tuple) else result.squeeze(-2)


def _check(op: str, input: Tensor) -> None:
    floats_of_one_dtype(op, ("input",), input)
    shape = input.shape
    good = len(shape) in (2, 3) and 0 not in shape[-2:]
    require(good, op, f"input has shape {shape}; expected (N, C, L) or (C, L), empty in N at most")


def _window(
    op: str, input: Tensor, kernel_size: Int, stride: Int | None, padding: Int, dilation: Int, ceil_mode: bool
) -> tuple[int, int, int, int]:
    """The four arguments as ints, once they are known to fit the input."""
    _check(op, input)
    K, p, d = single(kernel_size, op, "kernel_size"), single(padding, op, "padding"), single(dilation, op, "dilation")
    s = K if stride is None else single(stride, op, "stride")
    require(min(K, s, d) >= 1, op, f"kernel_size is {K}, stride {s}, dilation {d}; expected 1 or more")
    require(0 <= p <= K // 2, op, f"padding is {p}; expected 0 to half of kernel_size {K}")
    room = input.shape[-1] + 2 * p + (s - 1 if ceil_mode else 0)
    message = f"the window {K} with dilation {d} exceeds the input {input.shape} with padding {p}"
    require(room > d * (K - 1), op, message)
    return K, s, p, d


def _length(op: str, input: Tensor, output_size: Int) -> int:
    _check(op, input)
    OL = single(output_size, op, "output_size")
    require(OL >= 0, op, f"output_size is {output_size}; expected 0 or more")
    return OL
