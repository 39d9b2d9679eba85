"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import tensor
from ..tensor import Tensor
from .flat import Flat, dot, evaluated, gradients_of, values_of, write
from .line_search import Point, strong_wolfe
from .optimizer import Params, check_range

VECTORS = ("d", "prev_flat_grad")
HISTORIES = ("old_dirs", "old_stps")


class LBFGS(Flat):
    """A quasi-Newton method: the inverse Hessian is estimated from the last steps and changes of the gradient.

    For losses that do not change from call to call, of full batches. A step makes up to max_iter iterations
    ``p ← p − t · H g``, where H comes from the last history_size pairs ``s = p′ − p``, ``y = g′ − g``, and t is lr, or
    found by a line search. All parameters are one group on one device.

    Args:
        params: tensors.
        lr: the step length t (in the first iteration at most lr / Σ|g|); a line search begins there.
        max_iter: iterations of a step.
        max_eval: evaluations of the loss in a step (None: 1.25 max_iter).
        tolerance_grad: stop where the largest gradient is no larger.
        tolerance_change: stop where parameters or loss change by less.
        history_size: pairs to keep.
        line_search_fn: None or "strong_wolfe".
    Raises:
        ValueError: a setting is out of range, or there are several groups.
    Example:
        >>> w = at.tensor([-1.0, 1.0], dtype=at.float64, requires_grad=True)
        >>> optimizer = optim.LBFGS([w], max_iter=50, line_search_fn="strong_wolfe")
        >>> def closure():  # Rosenbrock's function
        ...     optimizer.zero_grad()
        ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        4.0
        >>> [round(v, 3) for v in w.tolist()]
        [1.0, 1.0]

    Source:
        Nocedal and Wright, Numerical Optimization, 2nd edition, 2006, algorithms 7.4 and 7.5.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = dict(
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        names = ("lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size")
        check_range("LBFGS", **{name: group[name] for name in names})
        if group["history_size"] < 1:
            raise ValueError(f"LBFGS: history_size is {group['history_size']}; expected 1 or more")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"LBFGS: line_search_fn is {group['line_search_fn']!r}; expected None or 'strong_wolfe'")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Makes up to max_iter iterations.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss; called often.
        Returns:
            The loss before the step.
        """
        (group,) = self.param_groups
        params = group["params"]
        state = self.state.setdefault(params[0], {"func_evals": 0, "n_iter": 0})
        first_loss = evaluated("LBFGS", closure)
        loss, grad, calls = float(first_loss), gradients_of(params), 1
        state["func_evals"] += 1
        self._stepped = True
        for iteration in range(1, group["max_iter"] + 1):
            if float(abs(grad).max()) <= group["tolerance_grad"] or (iteration > 1 and calls >= group["max_eval"]):
                break
            state["n_iter"] += 1
            direction = _direction(state, grad, group["history_size"])
            before = Point(0.0, loss, grad, dot(grad, direction))
            t = float(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(abs(grad).sum()))
            state.update(d=Tensor(direction), t=t, prev_flat_grad=Tensor(grad), prev_loss=loss)
            if before.slope > -group["tolerance_change"]:
                break
            last = iteration == group["max_iter"]
            point, more = self._move(closure, before, t, direction, group["max_eval"] - calls, last)
            state["t"], loss, grad, calls = point.t, point.loss, point.grad, calls + more
            state["func_evals"] += more
            largest_change = float(abs(direction).max()) * point.t
            if largest_change <= group["tolerance_change"] or abs(loss - before.loss) < group["tolerance_change"]:
                break
        return first_loss

    def _move(
        self, closure: Any, before: Point, t: float, direction: Any, calls_left: int, last: bool
    ) -> tuple[Point, int]:
        """Takes the parameters along the direction; the point they come to, and how often the loss was computed."""
        (group,) = self.param_groups
        params, start = group["params"], values_of(group["params"])

        def evaluate(t: float) -> Point:
            write(params, start + t * direction)
            loss, grad = float(evaluated("LBFGS", closure)), gradients_of(params)
            return Point(t, loss, grad, dot(grad, direction))

        if group["line_search_fn"] is not None:
            point, calls = strong_wolfe(evaluate, before, t, float(abs(direction).max()), calls_left)
            write(params, start + point.t * direction)
            return point, calls
        if last:  # nobody would use the loss there
            write(params, start + t * direction)
            return Point(t, before.loss, before.grad, before.slope), 0
        return evaluate(t), 1

    def _restored(self, value: Any, param: Tensor, key: str) -> Any:
        if key in VECTORS:
            return tensor(value, dtype=param.dtype, device=param.device)
        if key in HISTORIES:
            return [tensor(v, dtype=param.dtype, device=param.device) for v in value]
        if key == "ro":
            return [float(v) for v in value]
        if key == "al":  # scratch of PyTorch's
            return [None] * len(value)
        return int(value) if key in ("func_evals", "n_iter") else float(value)


def _direction(state: dict[str, Any], grad: Any, history_size: int) -> Any:
    """``−H g`` by the two-loop recursion, once the last step is in the history."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
        return -grad
    y, s = grad - state["prev_flat_grad"].data, state["d"].data * state["t"]
    ys = dot(y, s)
    histories = state["old_dirs"], state["old_stps"], state["ro"]
    if ys > 1e-10:
        for history, value in zip(histories, (Tensor(y), Tensor(s), 1 / ys), strict=True):
            if len(history) == history_size:
                history.pop(0)
            history.append(value)
        state["H_diag"] = ys / dot(y, y)
    pairs = [(y.data, s.data, ro) for y, s, ro in zip(*histories, strict=True)]
    result, alphas = -grad, []
    for y, s, ro in reversed(pairs):
        alphas.append(dot(s, result) * ro)
        result -= alphas[-1] * y
    result *= state["H_diag"]
    for y, s, ro in pairs:
        result += (alphas.pop() - dot(y, result) * ro) * s
    return result
