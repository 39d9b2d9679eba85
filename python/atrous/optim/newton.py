"""Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..hessian import central_differences, check_variables
from .flat import Flat, evaluated, gradients_of, values_of, write
from .optimizer import Params, check_range

SMALLEST = 1e-8  # a pivot's share of its diagonal element; differences know the matrix to some 1e-10


class Newton(Flat):
    """Newton's method for a few hundred parameters: one step to the minimum of a quadratic.

    ``p ← p − lr · (H + damping · I)⁻¹ g``, where H is the Hessian, by central differences of float64 gradients as in
    `autograd.hessian`: a step calls the closure 2n + 1 times for n parameters, and leaves the last one's gradients.
    Parameters without a gradient stay as they are. All are one group on one device. PyTorch has no such optimizer.

    Args:
        params: float64 tensors of at most 1,000 elements in all.
        lr: 1, or less to damp the step's length.
        damping: added to the diagonal, so that H need not be positive definite; the larger it is, the more a step is
            one of gradient descent with the rate lr / damping (Levenberg 1944, Marquardt 1963).
    Raises:
        TypeError: a parameter is not float64.
        ValueError: a setting is out of range, there are too many parameters, or several groups.
        RuntimeError: from a step, where H + damping · I is not positive definite; the parameters are as before then.
    Example:
        >>> w = at.tensor([5.0, -3.0], dtype=at.float64, requires_grad=True)
        >>> optimizer = optim.Newton([w])
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w[0] - 1) ** 2 + 100 * (w[0] + w[1]) ** 2
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)
        >>> [round(v, 6) for v in w.tolist()]
        [1.0, -1.0]

    Source:
        Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, sections 3.3 and 3.4.
    """

    def __init__(self, params: Params, lr: float = 1, damping: float = 0) -> None:
        super().__init__(params, dict(lr=lr, damping=damping))

    def _check(self, group: dict[str, Any]) -> None:
        check_range("Newton", lr=group["lr"], damping=group["damping"])
        check_variables("Newton", *group["params"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes one step.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss; called often.
        Returns:
            The loss before the step.
        """
        (group,) = self.param_groups
        loss = evaluated("Newton", closure)
        self._stepped = True
        params = [param for param in group["params"] if param.grad is not None]
        if not params:
            return loss
        start, grad = values_of(params), gradients_of(params)

        def gradient(values: Any) -> Any:
            write(params, values)
            evaluated("Newton", closure)
            return gradients_of(params)

        try:
            matrix = central_differences(gradient, start)
        finally:
            write(params, start)
        matrix.reshape(-1)[:: len(start) + 1] += group["damping"]
        write(params, start - group["lr"] * _solve(matrix, grad))
        return loss


def _solve(matrix: Any, vector: Any) -> Any:
    """The x with ``matrix x = vector``, by elimination in place; no pivoting, since all pivots must be positive."""
    n, diagonal = len(vector), [float(value) for value in matrix.reshape(-1)[:: len(vector) + 1]]
    for k in range(n):
        pivot = float(matrix[k, k])
        if not pivot > SMALLEST * diagonal[k]:
            raise RuntimeError(
                "Newton: the Hessian is singular, indefinite or not finite here; give damping, more than its smallest "
                "eigenvalue is below 0"
            )
        factors = matrix[k + 1 :, k] / pivot
        matrix[k + 1 :, k + 1 :] -= factors[:, None] * matrix[k, k + 1 :]
        vector[k + 1 :] -= factors * vector[k]
    for k in reversed(range(n)):
        vector[k] = (vector[k] - (matrix[k, k + 1 :] * vector[k + 1 :]).sum()) / matrix[k, k]
    return vector
