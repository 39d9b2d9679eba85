"""The CUDA backend: the functions of ``atrous.reference`` on CuPy's arrays, on CuPy's current stream.

Most are compiled (csrc/kernels/cuda/, bound as the CPU's are). Products and convolutions are NVIDIA's cuBLAS, through
CuPy: ``linear.py`` and ``conv2d.py`` here. A call returns before the GPU is done; CuPy's own functions wait in line.
"""

from . import compiled
from .compiled import *  # noqa: F403

__all__ = [name for name in dir(compiled) if not name.startswith("_")]
