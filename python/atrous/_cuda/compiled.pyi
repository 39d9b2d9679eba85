"""The compiled part of the CUDA backend: kernels named as those of ``atrous.reference``, and what stands around them."""

from typing import Any

def __getattr__(name: str) -> Any: ...
