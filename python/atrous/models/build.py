"""A network by name: one of this package, or a function of the user's own."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..checks import suggestion
from ..nn import Module

NAMES = ("lenet5", "resnet8", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "unet")


def build(name: str, num_classes: int | None = None, in_channels: int | None = None) -> Module:
    """A new network by the name of the function that makes it, as the command line's ``--model`` takes it.

    Args:
        name: one of `NAMES`, or ``module:function`` for a function of your own, whose module is looked for in the
            current folder first.
        num_classes, in_channels: passed on by these names where the function takes them; None leaves its defaults.
    Raises:
        ValueError: there is no such network, module or function, it failed, or it returned no Module.
    Example:
        >>> models.build("resnet8", num_classes=4)(at.zeros(1, 3, 32, 32)).shape
        (1, 4)
        >>> models.build("resent8")
        Traceback (most recent call last):
        ...
        ValueError: build: no model 'resent8'; did you mean 'resnet8'?
    """
    with _current_folder():
        return _built(name, num_classes, in_channels)


def _built(name: str, num_classes: int | None, in_channels: int | None) -> Module:
    function = _imported(name) if ":" in name else _own(name)
    wanted = {"num_classes": num_classes, "in_channels": in_channels}
    taken = _keywords(function)
    sizes = {key: size for key, size in wanted.items() if size is not None and (key in taken or "**" in taken)}
    try:
        model = function(**sizes)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise ValueError(f"build: {name} raised {_one_line(error)}") from error
    if not isinstance(model, Module):
        raise ValueError(f"build: {name} returned a {type(model).__name__}; expected an nn.Module")
    return model


def _own(name: str) -> Callable[..., Any]:
    if name not in NAMES:
        hint = suggestion(name, NAMES) or f"; there are {', '.join(NAMES)}, and module:function of your own"
        raise ValueError(f"build: no model {name!r}{hint}")
    return getattr(importlib.import_module(__package__), name)


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), function_name)):
        raise ValueError(f"build: {name!r} is not of the form module:function")
    module = _module(name, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(
            f"build: module {module_name!r} has no function {function_name!r}{suggestion(function_name, public)}"
        )
    return function


def _module(name: str, module_name: str) -> Any:
    importlib.invalidate_caches()  # the file may be newer than Python's list of the folder
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            here = os.getcwd()
            raise ValueError(f"build: no module {module_name!r} in {here} or among the installed ones") from error
        raise ValueError(f"build: importing {module_name!r} for {name} raised {_one_line(error)}") from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Inside, modules are looked for in the current folder first, also those that the user's function imports."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _keywords(function: Callable[..., Any]) -> set[str]:
    """The names that may be passed by keyword, and "**" where all may."""
    import inspect  # here, so that importing atrous stays quick

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have no signature
        return set()
    names = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return names | {"**" for p in parameters if p.kind is p.VAR_KEYWORD}


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
