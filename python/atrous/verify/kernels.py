"""Loads a user's own file of kernels: functions with names and arguments of the reference."""

import difflib
import importlib
import inspect
import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import reference

MODULE = "own_kernels"  # the file's __name__ while it runs; never "__main__", nor a name that another module has


def load_kernels(path: str | os.PathLike[str]) -> ModuleType:
    """Runs a Python file and returns a module with all kernels: the file's own, and the reference's where it has none.

    The modules beside the file can be imported from it. Only the functions whose names are kernels' are taken over.

    Args:
        path: a file such as examples/my_conv.py.
    Raises:
        OSError: the file cannot be read.
        ImportError: it is no Python, raises or exits; the message says where.
        ValueError: it is not named .py, has no kernel, or has a kernel that is no function.
    Example:
        >>> from pathlib import Path
        >>> from atrous import verify
        >>> n = Path("my_relu.py").write_text("def relu_forward(x): return x * (x > 0)")
        >>> kernels = verify.load_kernels("my_relu.py")
        >>> verify.own_kernels(kernels), kernels.relu_forward(np.array([-1.0, 2.0]))
        (['relu_forward'], array([-0.,  2.]))
    """
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"{path}: expected a Python file, whose name ends in .py")
    own = _run(path)
    kernels = ModuleType(path.stem, inspect.getdoc(own))
    kernels.__file__ = own.__file__
    for name in reference.__all__:
        kernel = getattr(own, name, getattr(reference, name))
        if not callable(kernel):
            raise ValueError(f"{path}: {name} is of type {type(kernel).__name__}; expected a function")
        setattr(kernels, name, kernel)
    kernels.hints = _near_names(own)  # type: ignore[attr-defined]
    if not own_kernels(kernels):
        hints = "; ".join(kernels.hints) or f"such as conv2d_forward{inspect.signature(reference.conv2d_forward)}"
        raise ValueError(f"{path} defines no function with a kernel's name: {hints}")
    return kernels


def own_kernels(kernels: ModuleType) -> list[str]:
    """The names of the kernels that are not the reference's own.

    Example:
        >>> from atrous import reference, verify
        >>> verify.own_kernels(reference)
        []
    """
    return [name for name in reference.__all__ if getattr(kernels, name) is not getattr(reference, name)]


def _run(path: Path) -> ModuleType:
    """The file as a module. It is compiled here: Python's cache takes two versions of one second for the same."""
    module = ModuleType(MODULE)
    module.__file__ = os.path.abspath(path)
    source = path.read_bytes()
    importlib.invalidate_caches()
    with users_code(module):
        sys.modules[MODULE] = module
        try:
            exec(compile(source, module.__file__, "exec"), vars(module))
        except (Exception, SystemExit) as error:
            raise ImportError(describe(error, module.__file__)) from error
    return module


@contextmanager
def users_code(module: ModuleType) -> Iterator[None]:
    """Around a user's code: modules beside its file can be imported, input() finds no keyboard; undone at the end."""
    folder = Path(module.__file__ or "").parent
    modules, path, stdin = set(sys.modules), list(sys.path), sys.stdin
    sys.path.insert(0, str(folder))
    sys.stdin = io.StringIO()
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        sys.path[:], sys.stdin = path, stdin
        for name in _from_folder(folder, set(sys.modules) - modules):
            del sys.modules[name]  # the next user's `import helpers` means another file


def _from_folder(folder: Path, names: set[str]) -> list[str]:
    def beside(module: ModuleType) -> bool:
        places = list(getattr(module, "__path__", ())) or [getattr(module, "__file__", None) or ""]
        return any(Path(place).parent == folder for place in places)

    packages = {name: name.partition(".")[0] for name in names}
    return [name for name, package in packages.items() if package in names and beside(sys.modules[package])]


def describe(error: BaseException, file: str) -> str:
    """An error in a user's code, in a line: `my_conv.py:7: NameError: name 'y' is not defined, in: return y`."""
    what = _message(error)
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_shown(error.filename)}:{error.lineno}: {what}, in: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).parent == Path(file).parent]
    if not inside:
        return f"{_shown(file)}: {what}"
    return f"{_shown(inside[-1].filename)}:{inside[-1].lineno}: {what}, in: {inside[-1].line}"


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"SystemExit: the code exits, with status {error.code!r}"
    if isinstance(error, EOFError):
        return "EOFError: input() has nothing to read here"
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _shown(file: str) -> str:
    """The path from here, where that is not longer."""
    try:
        return min(os.path.relpath(file), file, key=len)
    except ValueError:  # another drive
        return file


def _near_names(own: ModuleType) -> list[str]:
    """A hint for each function of the file that is nearly called like a kernel that the file lacks."""
    lacking = [name for name in reference.__all__ if not hasattr(own, name)]
    hints = []
    for name, value in vars(own).items():
        if inspect.isfunction(value) and value.__module__ == MODULE and not name.startswith("_"):
            near = difflib.get_close_matches(name.lower(), lacking, n=1, cutoff=0.9)
            hints += [f"{name}: did you mean {near[0]!r}?"] if near else []
    return hints


def wrong_signature(kernels: ModuleType, function: str) -> str:
    """Says how a user's function cannot be called as the reference is; nothing where it can be."""
    expected = [p for p in inspect.signature(getattr(reference, function)).parameters.values() if p.default is p.empty]
    try:
        signature = inspect.signature(getattr(kernels, function))
    except (TypeError, ValueError):  # a function of a compiled module need not have one
        return ""
    try:
        signature.bind(**dict.fromkeys(parameter.name for parameter in expected))
    except TypeError as error:
        wanted = ", ".join(parameter.name for parameter in expected)
        return f"{function}{_bare(signature)}: {error}; expected {function}({wanted})"
    return ""


def options_of(function: str) -> frozenset[str]:
    """The optional arguments of a kernel, but for the choice of an algorithm."""
    parameters = inspect.signature(getattr(reference, function)).parameters.values()
    return frozenset(p.name for p in parameters if p.default is not p.empty and p.name != "algorithm")


def takes_options(kernels: ModuleType, function: str) -> bool:
    """Whether a user's function has all the optional arguments of the reference, by name or as ``**options``."""
    try:
        parameters = inspect.signature(getattr(kernels, function)).parameters
    except (TypeError, ValueError):
        return False
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values()) or options_of(function) <= parameters.keys()


def _bare(signature: inspect.Signature) -> Any:
    empty = inspect.Parameter.empty
    return signature.replace(
        parameters=[parameter.replace(annotation=empty) for parameter in signature.parameters.values()],
        return_annotation=empty,
    )
