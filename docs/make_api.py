"""Writes docs/api.md, every public name with the first sentence of its docstring: ``python docs/make_api.py``."""

import importlib
import inspect
import re
from pathlib import Path

PAGE = Path(__file__).with_name("api.md")
MODULES = {
    "nn": "Layers and losses",
    "nn.functional": "Layers and losses as functions",
    "nn.init": "First values of parameters",
    "nn.utils": "Tools for parameters and their gradients",
    "optim": "Optimizers",
    "optim.lr_scheduler": "Schedules",
    "optim.swa_utils": "Averaged weights",
    "transforms": "Changes to images",
    "transforms.functional": "Changes to images as functions",
    "tv_tensors": "Images, masks and boxes",
    "amp": "Mixed precision",
    "data": "Data sets and batches",
    "datasets": "Data sets to be had",
    "metrics": "What is measured",
    "diagnostics": "Looking into a network and its training",
    "training": "Training, and runs over seeds and settings",
    "models": "Networks",
}
HEAD = """# The public names

{count} names, each with the first sentence of its docstring; `help(atrous.nn.Conv2d)` shows the rest: shapes, formula,
errors, an example, the source. Where PyTorch (for `transforms`: torchvision) has the name, arguments and numbers are
the same unless the docstring says so. This page is made by `python docs/make_api.py`.
"""


def public(module):
    """A module's classes and functions. Without __all__: its functions, and in functional all there."""
    functions = [name for name, value in vars(module).items() if name[0] != "_" and inspect.isfunction(value)]
    if not module.__name__.endswith(".functional"):
        functions = [name for name in functions if getattr(module, name).__module__ == module.__name__]
    names = getattr(module, "__all__", functions)
    return sorted((name for name in names if callable(getattr(module, name))), key=str.casefold)


def first_sentence(name, value):
    """What the docstring begins with, as a cell of a table."""
    text = inspect.getdoc(value) if inspect.isfunction(value) else vars(value).get("__doc__")
    if not text:
        raise SystemExit(f"{name} has no docstring")
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    sentence = re.match(r".*?(?<! al)[.!?](?=\s+[^a-z]|$)|.*", paragraph).group()
    return sentence.replace("``", "`").replace("|", r"\|")


def page():
    """The text of docs/api.md."""
    count, sections = 0, []
    for path, title in MODULES.items():
        module = importlib.import_module(f"atrous.{path}")
        names = public(module)
        count += len(names)
        rows = [f"| `{name}` | {first_sentence(f'{path}.{name}', getattr(module, name))} |" for name in names]
        sections.append("\n".join([f"## {title}: `atrous.{path}`", "", "| name | what it is |", "|---|---|", *rows]))
    return "\n\n".join([HEAD.format(count=count).strip(), *sections]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
