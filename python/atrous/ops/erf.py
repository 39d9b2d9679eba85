"""The error function, which neither NumPy has nor, as ``xp``, CuPy."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["erf"]

# Numerators and denominators of three rational approximations, highest powers last; but the first number of a
# numerator is that of its highest power.
NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02,
     3.20937758913846947e03),
    (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03),
)  # fmt: skip
MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e00, 6.61191906371416295e01,
     2.98635138197400131e02, 8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03,
     1.23033935479799725e03),
    (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
     3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03),
)  # fmt: skip
FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (2.56852019228982242e00, 1.87295284992346047e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


def erf(xp: Any, x: Any) -> Any:
    """``2/√π · ∫₀ˣ exp(−t²) dt`` of each element, to a few units in the last place.

    Args:
        xp: the array library.
        x: an array of floats.
    Returns:
        An array of x's shape and dtype.
    Example:
        >>> float(erf(np, np.array(0.0)))
        0.0

    Source:
        Cody, Rational Chebyshev approximations for the error function, 1969.
    """
    y = xp.abs(x)
    near = x * _ratio(NEAR, xp.minimum(y, 0.5) ** 2)
    middle = _ratio(MIDDLE, xp.minimum(y, 4.0))
    inverse = 1 / xp.maximum(y, 4.0) ** 2
    far = (1 / math.sqrt(math.pi) - inverse * _ratio(FAR, inverse)) / xp.maximum(y, 4.0)
    tail = 1 - xp.exp(-y * y) * xp.where(y <= 4, middle, far)
    return xp.where(y <= 0.46875, near, xp.copysign(tail, x)).astype(x.dtype)


def _ratio(fraction: tuple[tuple[float, ...], tuple[float, ...]], z: Any) -> Any:
    (first, *numerators), denominators = fraction
    above, below = first * z, z
    for a, b in zip(numerators[:-1], denominators[:-1], strict=True):
        above, below = (above + a) * z, (below + b) * z
    return (above + numerators[-1]) / (below + denominators[-1])
