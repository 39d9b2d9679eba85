"""The compiled part of the CUDA backend: kernels with the names and arguments of ``atrous.reference``, and a few more."""

from typing import Any

def __getattr__(name: str) -> Any: ...
