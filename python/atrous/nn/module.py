"""nn.Module: a tree of parameters, buffers and sub-modules with a forward method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from textwrap import indent
from typing import Any, TypeVar

from .. import fusion
from ..tensor import Tensor
from .hooks import BackwardTaps, RemovableHandle
from .parameter import Parameter
from .state import IncompatibleKeys, convert, load

M = TypeVar("M", bound="Module")


class Module:
    """Base class of all layers and networks.

    Assigning a `Parameter`, a `Module` or, through `register_buffer`, a tensor to an attribute registers it; `forward`
    says what the module computes, and calling the module runs it with the hooks around it.

    Example:
        >>> class Scale(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = nn.Parameter(at.ones(1))
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> [name for name, _ in Scale().named_parameters()]
        ['factor']
    """

    training: bool
    _kinds: dict[str, str]  # which attributes are a "parameter", a "buffer" or a "module", in order
    _non_persistent: frozenset[str]  # buffers

    def __init__(self) -> None:
        hooks: dict[str, dict] = {name: {} for name in ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks")}
        self.__dict__.update(hooks, _kinds={}, _non_persistent=frozenset(), training=True)

    # -- calling ------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        hooked = self._forward_hooks or self._forward_pre_hooks or self._backward_hooks
        call = self._call_with_hooks if hooked else self.forward
        if fusion.current.running:  # inside another module's call
            return call(*args, **kwargs)
        return fusion.forward_pass(call, args, kwargs)

    def _call_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        fusion.finish()
        for hook in list(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        taps = BackwardTaps(self, list(self._backward_hooks.values())) if self._backward_hooks else None
        if taps:
            args = taps.on_inputs(args)
        output = self.forward(*args, **kwargs)
        fusion.finish()
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return taps.on_outputs(output) if taps else output

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> RemovableHandle:
        """Calls ``hook(module, args)`` before `forward`; what it returns, unless None, replaces the arguments."""
        return RemovableHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> RemovableHandle:
        """Calls ``hook(module, args, output)`` after `forward`; what it returns, unless None, replaces the output."""
        return RemovableHandle(self._forward_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[[Module, tuple, tuple], Any]) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` once the gradients of the inputs are known.

        Both are tuples with None for what has no gradient. What it returns, unless None, replaces ``grad_input``.
        """
        return RemovableHandle(self._backward_hooks, hook)

    # -- attributes ---------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self._kind_for(name, value)
        if kind is None:
            object.__setattr__(self, name, value)
        else:
            self._register(kind, name, value)

    def _register(self, kind: str, name: str, value: Any) -> None:
        if self._kinds.get(name) != kind:  # a name that changes its kind moves to the end
            self._forget(name)
            self._kinds = {**self._kinds, name: kind}
        self.__dict__[name] = value

    def _forget(self, name: str) -> None:  # in new tables: a shallow copy of the module goes on with the old ones
        self._kinds = {held: kind for held, kind in self._kinds.items() if held != name}
        self._non_persistent = self._non_persistent - {name}

    def _kind_for(self, name: str, value: Any) -> str | None:
        """What an assignment registers: by the kind of the value, else by what the name holds already."""
        if isinstance(value, (Parameter, Module)):
            kind = "parameter" if isinstance(value, Parameter) else "module"
            if "_kinds" not in self.__dict__:
                what = f"the {kind.capitalize()} {name!r}"
                raise AttributeError(f"{type(self).__name__}: call super().__init__() before assigning {what}")
            self._check_name(name)
            return kind
        held = self.__dict__.get("_kinds", {}).get(name)
        if held is not None and value is not None and not (held == "buffer" and isinstance(value, Tensor)):
            wanted = {"parameter": "Parameter", "module": "Module", "buffer": "Tensor"}[held]
            raise TypeError(
                f"{type(self).__name__}.{name} holds a {wanted}; expected a {wanted} or None, "
                f"got {type(value).__name__}"
            )
        return held

    def _held(self, kind: str) -> list[tuple[str, Any]]:
        """Names and values of the parameters, the buffers or the modules, None among them."""
        values = self.__dict__
        return [(name, values[name]) for name, held in self._kinds.items() if held == kind]

    def __getattr__(self, name: str) -> Any:  # what is missing comes here
        if "_kinds" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: {name!r} needs super().__init__() to have been called")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._forget(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter under a name; None keeps the name free for one, as a layer without bias does."""
        self._check_free(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} is a {type(param).__name__}; expected Parameter or None")
        self._register("parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a tensor that is no parameter; `state_dict` holds it if it is persistent."""
        self._check_free(name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} is a {type(tensor).__name__}; expected Tensor or None")
        self._register("buffer", name, tensor)
        self._non_persistent = self._non_persistent - {name} if persistent else self._non_persistent | {name}

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a sub-module under a name."""
        self._check_free(name, "module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} is a {type(module).__name__}; expected Module or None")
        self._register("module", name, module)

    def _check_free(self, name: str, kind: str) -> None:
        self._check_name(name)
        if hasattr(self, name) and self._kinds.get(name) != kind:
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{type(self).__name__}: a name is a str, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"{type(self).__name__}: the name {name!r} is empty or contains a dot")

    # -- walking the tree ---------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it, parents first, with dotted names; the name of the root is the prefix."""
        seen: set[int] = set()

        def walk(module: Module, path: str) -> Iterator[tuple[str, Module]]:
            if remove_duplicate and id(module) in seen:
                return
            seen.add(id(module))
            yield path, module
            for name, child in module._held("module"):
                if child is not None:
                    yield from walk(child, _join(path, name))

        return walk(self, prefix)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct sub-modules with their names, each once."""
        seen: set[int] = set()
        for name, child in self._held("module"):
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct sub-modules, each once."""
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; one used in several places comes once, under its first name."""
        return self._named_tensors("parameter", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; what an optimizer takes."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names."""
        return self._named_tensors("buffer", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named_tensors(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple]:
        seen: set[int] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module._held(kind):
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield _join(path, name), value

    # -- state --------------------------------------------------------------------------------------------------------

    def _named_state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for path, module in self.named_modules(prefix, remove_duplicate=False):
            for name, value in (*module._held("parameter"), *module._held("buffer")):
                if value is not None and name not in module._non_persistent:
                    yield _join(path, name), value

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, in PyTorch's order and under PyTorch's names.

        The tensors share memory with the module; they are detached unless ``keep_vars`` is true.
        """
        prefix = prefix.removesuffix(".")
        return {name: value if keep_vars else value.detach() for name, value in self._named_state(prefix)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copies tensors or arrays into the parameters and buffers of the same names.

        Memory layout and dtype of the module stay. Either everything is loaded or nothing is.

        Args:
            state_dict: what `state_dict` or `load_file` returned; PyTorch's tensors work too.
            strict: missing and unexpected names are errors. If false, they are passed over and returned.
        Raises:
            ValueError: names are missing or unexpected, or shapes differ; one report lists them all.
        """
        return load(self, state_dict, strict)

    # -- changing everything at once ----------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Switches dropout and batch-norm of the whole tree to training, or with ``mode=False`` to evaluation."""
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode is {mode!r}; expected True or False")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switches the whole tree to evaluation: ``train(False)``."""
        return self.train(False)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Calls ``fn`` on every module, children first; for own initialisation."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self: M, *targets: Any, dtype: Any = None, device: Any = None) -> M:
        """Moves parameters and buffers to a device, or converts the floating-point ones to a dtype, in place.

        Args:
            targets: a dtype, a device ("cpu", "cuda") or a tensor to imitate; also by name.
        """
        return convert(self, *targets, dtype=dtype, device=device)

    def cpu(self: M) -> M:
        """Moves to host memory, as `to`."""
        return convert(self, device="cpu")

    def cuda(self: M) -> M:
        """Moves to the GPU in use, as `to`."""
        return convert(self, device="cuda")

    def float(self: M) -> M:
        """Converts to float32, as `to`."""
        return convert(self, "float32")

    def double(self: M) -> M:
        """Converts to float64, as `to`."""
        return convert(self, "float64")

    def half(self: M) -> M:
        """Converts to float16, as `to`."""
        return convert(self, "float16")

    def bfloat16(self: M) -> M:
        """Converts to bfloat16, as `to`."""
        return convert(self, "bfloat16")

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Says for every parameter whether it learns."""
        for param in self.parameters():
            param.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of every parameter."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()

    # -- printing -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What `repr` says in the parentheses besides the sub-modules."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): {child!r}" for name, child in self._held("module")]
        if not lines and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        body = "\n".join([*([extra] if extra else []), *lines])
        return f"{type(self).__name__}(\n{indent(body, '  ')}\n)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
