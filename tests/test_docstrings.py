"""The examples in docstrings run and show what they print; public functions have docstrings."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest

import atrous as at
from atrous import data, datasets, models, nn, optim
from atrous.nn import functional as F

SKIPPED = ("atrous._cpu", "atrous.__main__")
MODULES = ["atrous", *(m.name for m in pkgutil.walk_packages(at.__path__, "atrous.") if m.name not in SKIPPED)]
NAMES = {"at": at, "np": np, "nn": nn, "F": F, "optim": optim, "data": data, "datasets": datasets, "models": models}


def installed():
    try:
        return bool(version("atrous"))
    except PackageNotFoundError:
        return False


def load(name):
    if name == "atrous.memory" and importlib.util.find_spec("atrous._cpu") is None:
        pytest.skip("needs the compiled extension, which owns the memory")
    if name == "atrous.config" and not installed():
        pytest.skip("shows the version of the installed package, which there is not")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} needs an extra: {error}")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for examples that write files
    module = load(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    output = []
    for test in finder.find(
        module, name, module=module, extraglobs={k: v for k, v in NAMES.items() if k not in vars(module)}
    ):
        op = getattr(at.ops, test.name.rpartition(".")[2], None)
        if name == "atrous.tensor" and op is not None and test.docstring == op.__doc__:
            continue  # a method that has the docstring of its op, where it runs already
        at.manual_seed(0)
        runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)


def public_functions():
    for name in MODULES:
        if any(part.startswith("_") for part in name.split(".")) or name.startswith("atrous.verify."):
            continue
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for key in getattr(module, "__all__", [key for key in vars(module) if key[0] != "_"]):
            value = getattr(module, key)
            if name.startswith("atrous.ops.") and not hasattr(at.ops, key):
                continue  # a helper between the ops' files
            if getattr(value, "__module__", None) == name and inspect.isfunction(value):
                yield f"{name}.{key}", value


@pytest.mark.parametrize(("name", "function"), list(public_functions()))
def test_public_functions_have_docstrings(name, function):
    assert function.__doc__, name


@pytest.mark.parametrize(
    "family",
    [
        "activation",
        "adam",
        "batch_norm",
        "conv1d",
        "conv2d",
        "cross_entropy",
        "grid_sample",
        "linear",
        "loss",
        "pad",
        "pool2d",
        "random",
        "unfold",
        "upsample2d",
    ],
)
def test_ops_say_what_they_take_and_where_it_is_from(family):
    module = importlib.import_module(f"atrous.ops.{family}")
    functions = [
        f
        for n, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__ and hasattr(at.ops, n)
    ]
    assert functions
    for function in functions:
        for section in ("Args:", "Raises:", "Example:", "Source:"):
            assert section in function.__doc__, f"{function.__name__} lacks {section}"
