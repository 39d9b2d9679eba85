"""Weights in files: state dicts as safetensors, the format that PyTorch's world reads and writes too.

Files hold C-ordered arrays under NCHW shapes, whatever the memory order here. `save` puts a tree of numbers, texts and
tensors into one such file: the tensors under dotted names, the tree itself as JSON in the metadata.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from .dtypes import as_dtype, is_supported, supported
from .ops import from_numpy
from .tensor import Tensor

Path_ = str | os.PathLike[str]

TREE, FORMAT = "checkpoint", 2  # where the metadata has the tree, and how it is written
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
RESERVED = "__metadata__"  # no tensor can have this name in a safetensors file


def save(obj: Any, f: Path_) -> None:
    """Writes tensors, numbers, texts and None, in dicts and lists however nested, to one safetensors file.

    Args:
        obj: such as a state dict, or a dict with those of the model, the optimizer and the schedule.
        f: the path, such as "model.pt". An existing file is replaced once the new one is complete.
    Raises:
        OSError: the file cannot be written, such as on a full disk; one that was there is as it was.
        TypeError: there is something else in it, such as a whole module; save its ``state_dict()``. Keys of dicts are
            numbers, texts or None.
    Example:
        >>> model = nn.Linear(2, 3)
        >>> at.save({"epoch": 3, "model": model.state_dict()}, "checkpoint.pt")
        >>> model.load_state_dict(at.load("checkpoint.pt")["model"])
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])

    Differs from PyTorch: the file is safetensors, not a pickle, so that reading one cannot run code. It holds data
    alone; tuples come back as lists, and tensors that share memory apart.
    """
    tensors: dict[str, Tensor] = {}
    tree = pack(obj, tensors, "")
    save_file(tensors, f, {TREE: json.dumps({"format": FORMAT, "state": tree})})


def load(f: Path_, map_location: str | None = None, *, weights_only: bool = True) -> Any:
    """Reads what `save` wrote, or any safetensors file, whose tensors come as a dict.

    Args:
        f: the path.
        map_location: the device of the tensors; None for the CPU. (PyTorch's None is where they were.)
        weights_only: without effect, for PyTorch's signature: there is never anything else.
    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no safetensors file, such as a pickle of PyTorch's, or damaged.
    Example:
        >>> at.save([at.ones(2), "note"], "x.pt")
        >>> at.load("x.pt", map_location="cpu")
        [tensor([1., 1.]), 'note']
    """
    with open(f, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise ValueError(
                f"load: {os.fspath(f)} is a zip file, as torch.save writes; expected safetensors (where PyTorch is "
                "installed, safetensors.torch.save_file(torch.load(...), path) converts a state dict)"
            )
    metadata, tensors = load_metadata(f), load_file(f)
    if map_location is not None:
        tensors = {name: value.to(device=map_location) for name, value in tensors.items()}
    if TREE not in metadata:
        return tensors
    try:
        facts = json.loads(metadata[TREE])
        if facts["format"] != FORMAT:
            raise ValueError(f"{f} has checkpoint format {facts['format']}; this version of atrous reads {FORMAT}")
        return unpack(facts["state"], tensors)
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{f} is damaged: {type(error).__name__} {error}") from error


def save_file(state_dict: Mapping[str, Any], path: Path_, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors by name to a safetensors file. An existing file is replaced once the new one is complete.

    Args:
        state_dict: what `Module.state_dict` returned, or other tensors or arrays by name.
        path: such as "model.safetensors".
        metadata: texts by name, such as class names; `load_metadata` reads them.
    Raises:
        OSError: the file cannot be written, such as on a full disk; one that was there is as it was.
        TypeError: something is not a tensor or an array, or its name or some metadata is not a text.
        ValueError: a tensor has the name "__metadata__", which the format keeps for itself.
    Example:
        >>> model = nn.Linear(2, 3)
        >>> at.save_file(model.state_dict(), "model.safetensors", {"classes": "a b c"})
        >>> model.load_state_dict(at.load_file("model.safetensors"))
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    """
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save_file: metadata holds {key!r}: {text!r}; expected texts by name (json.dumps helps)")
    if RESERVED in state_dict:
        raise ValueError(f"save_file: a tensor is named {RESERVED}, which safetensors keeps for itself; rename it")
    arrays = {name: _array(name, value) for name, value in state_dict.items()}
    content = safetensors.numpy.save(arrays, dict(metadata) if metadata else None)
    target = Path(path).resolve()  # a link stays a link
    if target.exists() and not target.is_file() and not target.is_dir():  # os.replace would take its place
        raise OSError(f"save_file: {os.fspath(path)} is a device or a pipe; expected a regular file")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_file(path: Path_) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file, such as PyTorch's users write them too.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no safetensors file, is cut short, or holds a dtype that atrous lacks.
    Example:
        >>> at.save_file({"x": at.ones(2)}, "x.safetensors")
        >>> at.load_file("x.safetensors")["x"].tolist()
        [1.0, 1.0]
    """
    content = Path(path).read_bytes()
    try:
        arrays = {name: _loaded(view) for name, view in safetensors.deserialize(content)}
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"load_file: {os.fspath(path)} cannot be read as safetensors: {error}") from error
    return {name: from_numpy(array) for name, array in arrays.items()}


def load_metadata(path: Path_) -> dict[str, str]:
    """Reads the texts that `save_file` stored beside the tensors, without reading these.

    Raises:
        OSError, ValueError: as `load_file`.
    Example:
        >>> at.save_file({"x": at.ones(2)}, "x.safetensors", {"classes": "a b"})
        >>> at.load_metadata("x.safetensors")
        {'classes': 'a b'}
    """
    with open(path, "rb"):  # safetensors has errors of its own kind for what OSError says better
        pass
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"load_metadata: {os.fspath(path)} cannot be read as safetensors: {error}") from error


def _loaded(view: dict[str, Any]) -> np.ndarray:
    """A copy of one tensor of a file. (safetensors' own function for NumPy does not know bfloat16.)"""
    dtype = as_dtype(DTYPES[view["dtype"]])
    return np.frombuffer(view["data"], dtype).reshape(view["shape"]).copy()


def _array(name: Any, value: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"save_file: the name {name!r} is a {type(name).__name__}; expected a str")
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"save_file: {name} is a {type(value).__name__}; expected a tensor or an array")
    if not is_supported(value.dtype):
        raise TypeError(f"save_file: {name} has dtype {value.dtype}; expected one of {supported()}")
    return np.ascontiguousarray(value).reshape(value.shape)  # the writer scrambles strided arrays; 0-d stays 0-d


def pack(tree: Any, tensors: dict[str, Tensor], path: str) -> Any:
    """The tree as JSON has it, with each tensor replaced by its name; the tensors go to ``tensors`` under that name."""
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, Tensor) or hasattr(tree, "__array_interface__"):
        name = path or "value"
        while name in tensors or name == RESERVED:  # as of {"a": {"b": x}, "a.b": y}
            name += "'"
        tensors[name] = tree if isinstance(tree, Tensor) else from_numpy(tree)
        return {"$tensor": name}
    if isinstance(tree, Mapping):
        for key in tree:
            if not (key is None or isinstance(key, (bool, int, float, str))):
                kind = type(key).__name__
                raise TypeError(f"save: {path or 'obj'} has the key {key!r}, a {kind}; expected numbers, texts or None")
        items = [(key, pack(value, tensors, f"{path}.{key}" if path else str(key))) for key, value in tree.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in items)
        return dict(items) if plain else {"$items": items}
    if isinstance(tree, (list, tuple)):
        return [pack(value, tensors, f"{path}.{i}") for i, value in enumerate(tree)]
    raise TypeError(
        f"save: {path or 'obj'} is a {type(tree).__name__}; expected numbers, texts, tensors, lists and dicts"
    )


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `pack` was given."""
    if isinstance(tree, list):
        return [unpack(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    items = tree["$items"] if "$items" in tree else tree.items()
    return {key: unpack(value, tensors) for key, value in items}
