"""Weights in files: state dicts as safetensors, the format that PyTorch's world reads and writes too.

Files hold C-ordered arrays under NCHW shapes, whatever the memory order here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from .dtypes import SUPPORTED
from .ops import from_numpy
from .tensor import Tensor

Path_ = str | os.PathLike[str]


def save_file(state_dict: Mapping[str, Any], path: Path_, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors by name to a safetensors file. An existing file is replaced once the new one is complete.

    Args:
        state_dict: what `Module.state_dict` returned, or other tensors or arrays by name.
        path: such as "model.safetensors".
        metadata: texts by name, such as class names; `load_metadata` reads them.
    Raises:
        OSError: the file cannot be written, such as on a full disk; one that was there is as it was.
        TypeError: something is not a tensor or an array, or its name or some metadata is not a text.
    Example:
        >>> model = nn.Linear(2, 3)
        >>> at.save_file(model.state_dict(), "model.safetensors", {"classes": "a b c"})
        >>> model.load_state_dict(at.load_file("model.safetensors"))
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
    """
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save_file: metadata holds {key!r}: {text!r}; expected texts by name (json.dumps helps)")
    arrays = {name: _array(name, value) for name, value in state_dict.items()}
    content = safetensors.numpy.save(arrays, dict(metadata) if metadata else None)
    target = Path(path).resolve()  # a link stays a link
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
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"load_file: {os.fspath(path)} cannot be read as safetensors: {error}") from error
    return {name: from_numpy(np.array(array)) for name, array in arrays.items()}


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


def _array(name: Any, value: Any) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"save_file: the name {name!r} is a {type(name).__name__}; expected a str")
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"save_file: {name} is a {type(value).__name__}; expected a tensor or an array")
    if value.dtype not in SUPPORTED:
        raise TypeError(f"save_file: {name} has dtype {value.dtype}; expected one of {sorted(map(str, SUPPORTED))}")
    return np.ascontiguousarray(value).reshape(value.shape)  # the writer scrambles strided arrays; 0-d stays 0-d
