"""PyTorch's switches of the libraries below it, so that scripts which set them run. They change nothing here.

atrous chooses its algorithms by sizes alone and gives the same bits on every run. `set_float32_matmul_precision` lets a
GPU's tensor cores round.
"""

from . import cudnn, mps

__all__ = ["cudnn", "mps"]
