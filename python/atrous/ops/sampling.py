"""Random tensors: ``rand``, ``randn``, ``randint``, ``randperm``, ``bernoulli``; in place, ``uniform_``, ``normal_``.

They draw from the default generator, which ``manual_seed`` seeds, or from ``generator``. Seeds give other numbers than
PyTorch's.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes, layout
from ..autograd import check_inplace, record_inplace
from ..checks import require
from ..random import Generator, default_generator
from ..tensor import Tensor
from .creation import as_shape, dtype_or, on_device
from .inplace import CloneBackward

__all__ = ["bernoulli", "normal_", "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "uniform_"]


def _float(dtype: Any, op: str) -> Any:
    found = dtype_or(dtype, op)
    if not dtypes.is_floating(found):
        raise TypeError(f"{op}: dtype is {found}; expected a floating-point one")
    return found


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers in [0, 1).

    Example:
        >>> import atrous as at
        >>> at.rand(2, 3).shape
        (2, 3)
    """
    array = (generator or default_generator).uniform(as_shape(size, "rand"), _float(dtype, "rand"))
    return Tensor(on_device(array, device, "rand"), requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal numbers of mean 0 and variance 1.

    Example:
        >>> import atrous as at
        >>> at.randn(2, 3).shape
        (2, 3)
    """
    array = (generator or default_generator).normal(as_shape(size, "randn"), _float(dtype, "randn"))
    return Tensor(on_device(array, device, "randn"), requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low (0 if left out) to high − 1, int64: ``randint(10, (3,))`` or ``randint(5, 10, (3,))``.

    Raises:
        ValueError: the range is empty.
    Example:
        >>> import atrous as at
        >>> at.randint(3, 4, (2,)).tolist()
        [3, 3]
    """
    if size is None:
        low, high, size = 0, low, high
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint: size is {size!r}; expected a tuple of ints")
    array = (generator or default_generator).integers(low, high, as_shape(tuple(size), "randint"))
    array = array.astype(dtype_or(dtype, "randint", dtypes.int64), copy=False)
    return Tensor(on_device(array, device, "randint"), requires_grad)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers 0 to n − 1 in random order, int64.

    Example:
        >>> import atrous as at
        >>> sorted(at.randperm(3).tolist())
        [0, 1, 2]
    """
    require(n >= 0, "randperm", f"n is {n}; expected 0 or more")
    array = (generator or default_generator).permutation(n)
    array = array.astype(dtype_or(dtype, "randperm", dtypes.int64), copy=False)
    return Tensor(on_device(array, device, "randperm"))


def rand_like(input: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in [0, 1), in the input's shape, dtype and memory order.

    Example:
        >>> import atrous as at
        >>> at.rand_like(at.zeros(2)).shape
        (2,)
    """
    return _like(input, rand(input.shape, dtype=dtype or input.dtype), device, requires_grad)


def randn_like(input: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers of mean 0 and variance 1, in the input's shape, dtype and memory order.

    Example:
        >>> import atrous as at
        >>> at.randn_like(at.zeros(2)).shape
        (2,)
    """
    return _like(input, randn(input.shape, dtype=dtype or input.dtype), device, requires_grad)


def _like(input: Tensor, result: Tensor, device: Any, requires_grad: bool) -> Tensor:
    array = layout.empty_like(input.data, result.dtype)
    array[...] = result.to(input.device).data
    return Tensor(on_device(array, device, "rand_like"), requires_grad)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element gives, else 0.

    Raises:
        ValueError: a probability outside [0, 1].
    Example:
        >>> import atrous as at
        >>> at.bernoulli(at.tensor([0.0, 1.0])).tolist()
        [0.0, 1.0]
    """
    x = input.data
    require(((x >= 0) & (x <= 1)).all(), "bernoulli", "a probability lies outside [0, 1]")
    drawn = (generator or default_generator).uniform(x.shape, dtypes.compute_dtype(x.dtype))
    return Tensor((drawn < dtypes.widened(x)).astype(x.dtype))


def uniform_(input: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrites the input with uniform numbers in [a, b).

    Raises:
        ValueError: a above b.
    Example:
        >>> import atrous as at
        >>> at.zeros(2).uniform_(1, 1).tolist()
        [1.0, 1.0]
    """
    require(a <= b, "uniform_", f"a is {a}, b is {b}; expected a <= b")
    check_inplace(input, "uniform_")
    drawn = (generator or default_generator).uniform(input.shape, _float(input.dtype, "uniform_"))
    input.data[...] = drawn * (b - a) + a
    return record_inplace(input, CloneBackward, (None,))


def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrites the input with normal numbers of this mean and standard deviation.

    Raises:
        ValueError: std below 0.
    Example:
        >>> import atrous as at
        >>> at.zeros(2).normal_(3, 0).tolist()
        [3.0, 3.0]
    """
    require(std >= 0, "normal_", f"std is {std}; expected 0 or more")
    check_inplace(input, "normal_")
    drawn = (generator or default_generator).normal(input.shape, _float(input.dtype, "normal_"))
    input.data[...] = drawn * std + mean
    return record_inplace(input, CloneBackward, (None,))
