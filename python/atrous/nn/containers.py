"""Containers: modules in a row, in a list, in a dict; parameters in a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .module import Module
from .parameter import Parameter


def _position(index: int, length: int, name: str) -> int:
    if not -length <= index < length:
        raise IndexError(f"{name}: index {index} is out of range; it has {length} entries")
    return index % length


class _Row(Module):
    """Modules under the names "0", "1", ...: what Sequential and ModuleList share."""

    def __len__(self) -> int:
        return len(self._held("module"))

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self._held("module")])

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._rebuilt(self._held("module")[index])
        return list(self)[_position(index, len(self), type(self).__name__)]

    def __setitem__(self, index: int, module: Module) -> None:
        name, _ = self._held("module")[_position(index, len(self), type(self).__name__)]
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: entry {index} is a {type(module).__name__}; expected a Module")
        setattr(self, name, module)

    def __delitem__(self, index: int | slice) -> None:
        items = self._held("module")
        numbered = all(name.isdigit() for name, _ in items)
        if not isinstance(index, slice):
            index = slice(start := _position(index, len(items), type(self).__name__), start + 1)
        del items[index]
        self._clear()
        for i, (name, module) in enumerate(items):
            self.add_module(str(i) if numbered else name, module)

    def _clear(self) -> None:
        for name, _ in self._held("module"):
            delattr(self, name)

    def append(self, module: Module) -> Any:
        """Adds a module at the end; returns the container."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: got a {type(module).__name__}; expected a Module")
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds several modules at the end; returns the container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Puts a module before the given position; the ones behind it move up by one."""
        rest = list(self)
        rest.insert(index, module)
        self._clear()
        return self.extend(rest)

    def _rebuilt(self, items: list[tuple[str, Any]]) -> Any:
        return type(self)(module for _, module in items)  # type: ignore[call-arg]


class Sequential(_Row):
    """Runs modules one after the other: each takes what the one before returned.

    Args:
        args: modules, named "0", "1", ...; or one dict from names to modules.
    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> model(at.ones(5, 4)).shape, len(model[:2])
        ((5, 2), 2)
    """

    @overload
    def __init__(self, *args: Module) -> None: ...
    @overload
    def __init__(self, arg: Mapping[str, Module], /) -> None: ...
    def __init__(self, *args):
        super().__init__()
        items = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in items:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: entry {name} is a {type(module).__name__}; expected a Module")
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """Runs all modules in order."""
        for module in self:
            input = module(input)
        return input

    def _rebuilt(self, items: list[tuple[str, Any]]) -> Sequential:
        return Sequential(dict(items))


class ModuleList(_Row):
    """A list of modules whose parameters are registered; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)


class ModuleDict(Module):
    """A dict of modules whose parameters are registered; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules by name."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        return dict(self.items())[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"ModuleDict: {name!r} is a {type(module).__name__}; expected a Module")
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __len__(self) -> int:
        return len(self.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: str) -> bool:
        return name in self.keys()

    def keys(self) -> list[str]:
        """The names, in order."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Module]:
        """The modules, in order."""
        return [module for _, module in self.items()]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules, in order."""
        return self._held("module")

    def pop(self, name: str) -> Module:
        """Takes a module out and returns it."""
        module = self[name]
        delattr(self, name)
        return module


class ParameterList(Module):
    """A list of parameters, each registered under its position."""

    def __init__(self, values: Iterable[Parameter] | None = None) -> None:
        super().__init__()
        self.extend(() if values is None else values)

    def append(self, parameter: Parameter) -> ParameterList:
        """Adds a parameter at the end; returns the list."""
        if not isinstance(parameter, Parameter):
            raise TypeError(f"ParameterList: got a {type(parameter).__name__}; expected a Parameter")
        self.register_parameter(str(len(self)), parameter)
        return self

    def extend(self, parameters: Iterable[Parameter]) -> ParameterList:
        """Adds several parameters at the end; returns the list."""
        for parameter in list(parameters):
            self.append(parameter)
        return self

    def __getitem__(self, index: int) -> Parameter:
        return list(self)[_position(index, len(self), "ParameterList")]

    def __setitem__(self, index: int, parameter: Parameter) -> None:
        setattr(self, str(_position(index, len(self), "ParameterList")), parameter)

    def __len__(self) -> int:
        return len(self._held("parameter"))

    def __iter__(self) -> Iterator[Parameter]:
        return iter([parameter for _, parameter in self._held("parameter")])

    def extra_repr(self) -> str:
        """One line a parameter."""
        return "\n".join(f"({i}): Parameter of shape {tuple(p.shape)}, {p.dtype}" for i, p in enumerate(self))
