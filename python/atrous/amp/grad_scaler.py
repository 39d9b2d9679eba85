"""Loss scaling: float16 has no numbers below 2⁻²⁴, where many gradients lie, so that the loss is multiplied first."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from .. import capturing, gpu
from ..autograd import increment_version
from ..backend import array_module, quiet
from ..checks import require
from ..dtypes import float16
from ..optim import Optimizer
from ..tensor import Tensor

__all__ = ["GradScaler"]

KEYS = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


class GradScaler:
    """Multiplies the loss, so that gradients of 16 bits do not vanish, and divides the weights' gradients again.

    Where these overflow, the step is left out and the scale halved; after `growth_interval` steps without that it is
    doubled. float16 wants it; bfloat16, which reaches as far down as float32, does not.

    Args:
        device: where the gradients are, "cuda" or "cpu".
        init_scale: the scale at the beginning.
        growth_factor, backoff_factor: what the scale is multiplied by; above 1 and below 1.
        growth_interval: the number of steps.
        enabled: False makes it pass everything through.
    Raises:
        ValueError: a factor or the interval is out of range, or another device.
    Example:
        >>> w = at.tensor([1.0], requires_grad=True)
        >>> optimizer, scaler = optim.SGD([w], lr=0.5), at.amp.GradScaler("cpu")
        >>> scaler.scale((w * w).sum()).backward()
        >>> w.grad.item()  # 2 · 2¹⁶
        131072.0
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> w.item()
        0.0

    Source:
        Micikevicius et al., Mixed precision training, 2018 (arXiv 1710.03740), section 3.2.
    Differs from PyTorch: the scale is a number in host memory. `step`, which has to wait for the verdict on the
    gradients, is the one place that waits for a GPU.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        op, kind = "GradScaler", str(device).partition(":")[0]
        require(kind in ("cuda", "cpu"), op, f"device is {device!r}; expected 'cuda' or 'cpu'")
        if enabled and kind == "cuda" and not gpu.available():
            warnings.warn("GradScaler: there is no GPU that can be used; nothing is scaled", stacklevel=2)
            enabled = False
        require(growth_factor > 1, op, f"growth_factor is {growth_factor}; expected more than 1")
        require(0 < backoff_factor < 1, op, f"backoff_factor is {backoff_factor}; expected a number between 0 and 1")
        require(growth_interval >= 1, op, f"growth_interval is {growth_interval}; expected 1 or more")
        require(0 < init_scale < math.inf, op, f"init_scale is {init_scale}; expected a positive number")
        self._enabled, self._scale = bool(enabled), float(init_scale)
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker = growth_interval, 0
        self._found: dict[Optimizer, Any] = {}  # whether its gradients overflowed: an array until step() reads it
        self._stepped: set[Optimizer] = set()

    def scale(self, outputs: Any) -> Any:
        """The loss, or a list or tuple of such tensors, times the scale."""
        if not self._enabled:
            return outputs
        _refuse_capture("scale")
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            return type(outputs)([self.scale(output) for output in outputs])
        raise TypeError(f"GradScaler.scale: got a {type(outputs).__name__}; expected a Tensor, or several in a list")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divides the gradients of an optimizer's parameters by the scale, for those who look at them before `step`.

        Such as ``nn.utils.clip_grad_norm_``. `step` does it where it was not done.

        Raises:
            RuntimeError: done already since the last `update`.
            ValueError: a gradient is of float16: parameters are to be float32.
        """
        if not self._enabled:
            return
        _refuse_capture("unscale_")
        if optimizer in self._found:
            when = "step()" if optimizer in self._stepped else "unscale_()"
            raise RuntimeError(f"GradScaler.unscale_: {when} was called for this optimizer since the last update()")
        params = [param for group in optimizer.param_groups for param in group["params"] if param.grad is not None]
        for param in params:
            if param.grad.dtype == float16:
                raise ValueError("GradScaler.unscale_: a gradient is float16; expected float32, as its parameter")
        self._found[optimizer] = quiet.run(_divide, [param.grad for param in params], self._scale)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` on unscaled gradients, or nothing where one of them is not finite.

        Raises:
            RuntimeError: called twice without `update` in between, without any gradients, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or kwargs:
            raise RuntimeError("GradScaler.step: a closure is not supported; call backward() before")
        if optimizer in self._stepped:
            raise RuntimeError("GradScaler.step: called already for this optimizer since the last update()")
        if optimizer not in self._found:
            self.unscale_(optimizer)
        if self._found[optimizer] is None:
            raise RuntimeError("GradScaler.step: no parameter of the optimizer has a gradient")
        self._stepped.add(optimizer)
        return None if self._overflowed(optimizer) else optimizer.step()

    def update(self, new_scale: Any = None) -> None:
        """Adapts the scale, once all optimizers have stepped; or sets it to a number.

        Raises:
            RuntimeError: there was no step since the last time.
        """
        if not self._enabled:
            return
        found = [self._overflowed(optimizer) for optimizer in self._found]
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not found:
            raise RuntimeError("GradScaler.update: no step() or unscale_() since the last update()")
        elif any(found):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                grown = self._scale * self._growth_factor
                self._scale, self._growth_tracker = grown if grown < 2.0**128 else self._scale, 0  # float32 ends there
        self._found, self._stepped = {}, set()

    def _overflowed(self, optimizer: Optimizer) -> bool:
        """Whether the gradients overflowed; waits for the GPU the first time."""
        found = self._found[optimizer]
        if found is not None and not isinstance(found, bool):
            found = self._found[optimizer] = not math.isfinite(float(found))
        return bool(found)

    def get_scale(self) -> float:
        """The scale; 1 where nothing is scaled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after enough steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets it."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets it."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps without an overflow the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets it."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale and what changes it, in PyTorch's keys; empty where nothing is scaled. For after `update`."""
        return {key: getattr(self, "_" + key.lstrip("_")) for key in KEYS} if self._enabled else {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over a state, PyTorch's too.

        Raises:
            ValueError: it is empty, as of a scaler that was not enabled, or lacks a key; nothing was loaded then.
        """
        if not self._enabled:
            return
        missing = [key for key in KEYS if key not in state_dict]
        if missing:
            raise ValueError(f"GradScaler.load_state_dict: {', '.join(missing)} is missing; was the scaler enabled?")
        for key in KEYS:
            setattr(self, "_" + key.lstrip("_"), state_dict[key])


def _refuse_capture(method: str) -> None:
    """Raises a RuntimeError while a step is captured."""
    if capturing.active and capturing.current() is not None:
        raise RuntimeError(
            f"GradScaler.{method}: a captured step would keep the scale of today, and no step of it could be left out; "
            "bfloat16 needs no scaler"
        )


def _divide(grads: list[Tensor], scale: float) -> Any:
    """Divides gradients in place. Gives an array of one number, which is finite if they all are; None for no gradients.

    It is the sum of all elements: one that is Inf or NaN makes it so, and float64 has room for the sum of all others.
    """
    total: Any = None
    for grad in grads:
        array = grad.data
        array *= 1 / scale  # a power of two unless the user chose another: nothing is rounded
        part = array_module(array).add.reduce(array, None, "float64")
        total = part if total is None else total + part
    increment_version(*grads)
    return total
