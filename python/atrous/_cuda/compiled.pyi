"""The compiled part of the CUDA backend: kernels named as those of ``atrous.reference``, and a few helpers."""

from typing import Any

def __getattr__(name: str) -> Any: ...
