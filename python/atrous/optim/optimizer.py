"""The part that optimizers share: parameter groups, gradients in the right layout, state dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .. import capturing
from ..autograd import enable_grad, no_grad
from ..dtypes import is_half
from ..layout import contiguous, is_dense, like
from ..ops import tensor, zeros_like
from ..tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Optimizer:
    """Base class: a subclass checks its settings in `_check` and changes one parameter group in `_update`.

    Args:
        params: tensors, or dicts with "params" and settings of their own.
        defaults: settings of groups that do not say otherwise.
    Raises:
        ValueError: there are no parameters, one is given twice, one is not a leaf, or a setting is out of range.
        TypeError: something is not a tensor.
    """

    capturable = False  # whether a step can be part of a CUDA graph (at.cuda.capture)
    _stepped = False  # a scheduler that steps first warns
    _scalars: tuple[str, ...] = ("step",)  # what the state holds as numbers

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(f"{name}: params is one {type(params).__name__}; expected a list of tensors or of groups")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        items: list[Any] = list(params)
        if not items:
            raise ValueError(f"{name}: params is empty; expected at least one tensor (an exhausted generator?)")
        for group in items if isinstance(items[0], Mapping) else [{"params": items}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Adds parameters with settings of their own, such as those of a layer that was frozen before."""
        name = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(f"{name}: a parameter group is a dict with the key 'params'")
        group = {**param_group, **{k: param_group.get(k, default) for k, default in self.defaults.items()}}
        params = group["params"]
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for param in group["params"]:
            if not isinstance(param, Tensor):
                raise TypeError(f"{name}: got a {type(param).__name__} among the parameters; expected tensors")
            if not param.is_leaf:
                raise ValueError(
                    f"{name}: a parameter of shape {tuple(param.shape)} is a result; expected leaf tensors"
                )
            if is_half(param.dtype):
                raise TypeError(
                    f"{name}: a parameter of shape {tuple(param.shape)} is {param.dtype}, which loses small steps; "
                    "keep float32 parameters, and compute in 16 bits by at.autocast"
                )
            if id(param) in known:
                raise ValueError(f"{name}: a parameter of shape {tuple(param.shape)} is given twice")
            known.add(id(param))
        self._check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew; called first, its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if capturing.active and (capture := capturing.current()) is not None:
            capture.optimizer(self)
        for group in self.param_groups:
            self._update(group)
        self._stepped = True
        return loss

    def _check(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _structure(self, group: dict[str, Any]) -> tuple:
        """The settings that choose kernels and arrays; a captured step reads the others, numbers, anew each time."""
        return tuple(bool(group.get(name)) for name in ("amsgrad", "centered", "maximize", "momentum"))

    def state_dict(self) -> dict[str, Any]:
        """Settings and state in PyTorch's structure: parameters are numbered in the order of the groups.

        The tensors share memory with the optimizer.
        """
        order = [param for group in self.param_groups for param in group["params"]]
        number = {id(param): i for i, param in enumerate(order)}
        groups = [{**group, "params": [number[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": {number[id(p)]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over settings and copies of the state; PyTorch's state dicts work too.

        Raises:
            ValueError: groups or shapes do not fit; nothing was loaded then.
        """
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(
                "load_state_dict: 'state' or 'param_groups' is missing; expected an optimizer's state_dict()"
            )
        groups = state_dict["param_groups"]
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"load_state_dict: has groups of {sizes} parameters; expected {own}")
        numbers = [i for group in groups for i in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        state = {
            param: {key: self._restored(value, param, key) for key, value in state_dict["state"][number].items()}
            for number, param in zip(numbers, params, strict=True)
            if number in state_dict["state"]
        }
        new = [{**old, **group, "params": old["params"]} for old, group in zip(self.param_groups, groups, strict=True)]
        for group in new:
            self._check(group)
        self.param_groups, self.state = new, state
        self._stepped = self._stepped or bool(state)

    def _restored(self, value: Any, param: Tensor, key: str) -> Any:
        """A state entry in the dtype and layout of its parameter; a step count as an int, other scalars as floats."""
        if key in self._scalars:
            return int(value) if key == "step" else float(value)
        if value is None:
            return None
        shape = self._state_shape(param, key)
        if tuple(value.shape) != shape:
            raise ValueError(f"load_state_dict: {key} has shape {tuple(value.shape)}; expected {shape}")
        value = tensor(value, dtype=param.dtype, device=param.device)
        return zeros_like(param.detach()).copy_(value) if shape == param.shape else value

    def _state_shape(self, param: Tensor, key: str) -> tuple[int, ...]:
        return tuple(param.shape)

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}", *(f"    {k}: {group[k]}" for k in sorted(group) if k != "params")]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


class Update:
    """One kernel call's worth of parameters: params, grads and state, lined up by index.

    Kernels want dense arrays. Parameters are so unless a user put other memory under them; such a one is worked on in a
    copy, which `finish` writes back.

    Args:
        owners: the parameters.
        maximize: negate the gradients, to climb.
    """

    def __init__(self, owners: list[Tensor], maximize: bool) -> None:
        self.owners = owners
        self.params = [param if is_dense(param.data) else Tensor(contiguous(param.data)) for param in owners]
        self.grads: list[Any] = [Tensor(-param._grad.data) if maximize else param._grad for param in owners]

    def state(self, optimizer: Optimizer, key: str, start: Callable[[Tensor], Tensor] = zeros_like) -> list[Tensor]:
        """The state tensors under a key; where there are none yet, what ``start`` makes for a parameter."""
        states = [optimizer.state.setdefault(owner, {}) for owner in self.owners]
        found: list[Any] = [state.get(key) for state in states]
        for i, (held, param) in enumerate(zip(found, self.params, strict=True)):
            if held is None:
                refuse_new_state(optimizer, key)
                found[i] = states[i][key] = start(param)
            elif type(held.data) is not type(param.data):  # the model was moved
                held.data = like(held.to(param.device).data, param.data)
            elif held.data.strides != param.data.strides:  # a user may have changed the parameter's layout
                held.data = like(held.data, param.data)
        return found

    def finish(self) -> None:
        """Writes back the parameters that were worked on in a copy."""
        for owner, param in zip(self.owners, self.params, strict=True):
            if param is not owner:
                with no_grad():
                    owner.copy_(param)


def count_step(states: dict[Tensor, dict[str, Any]], params: Iterable[Tensor]) -> None:
    """These parameters made a step."""
    for param in params:
        state = states[param]
        state["step"] = state.get("step", 0) + 1


def require_alike(counts: Iterable[Any]) -> None:
    """Raises a RuntimeError where parameters of one launch, a captured one, have made different steps by now."""
    if len(set(counts)) > 1:
        raise RuntimeError(
            "parameters that were captured together have made different numbers of steps since; capture the step again"
        )


def refuse_new_state(optimizer: Optimizer, key: str) -> None:
    """Raises a RuntimeError while a graph is captured, each of whose replays would start the state anew."""
    capture = capturing.current() if capturing.active else None
    if capture is not None and not capture.rehearsal:
        raise RuntimeError(
            f"{type(optimizer).__name__}: a parameter had no {key} before this step; make the optimizer outside of the "
            "step, and let each parameter have a gradient in the first"
        )


def batches(group: dict[str, Any], key: Callable[[Tensor], Any]) -> Iterator[tuple[Any, Update]]:
    """The parameters of a group that have a gradient; a batch for each dtype, device and value of `key`."""
    found: dict[tuple, list[Tensor]] = {}
    for param in group["params"]:
        if param._grad is not None:
            found.setdefault((param.data.dtype, type(param.data), key(param)), []).append(param)
    for (*_, value), params in found.items():
        yield value, Update(params, group.get("maximize", False))


def check_numbers(op: str, **settings: float) -> None:
    """Raises unless every setting is a number."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{op}: {name} is {value!r}; expected a number")


def check_range(op: str, **settings: float) -> None:
    """Raises unless every setting is a number of 0 or more."""
    check_numbers(op, **settings)
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"{op}: {name} is {value}; expected 0 or more")


def check_betas(op: str, betas: Any) -> None:
    """Raises unless these are two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"{op}: betas is {betas!r}; expected two numbers in [0, 1)")
