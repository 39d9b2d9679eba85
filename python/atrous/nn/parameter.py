"""nn.Parameter: a tensor that a module registers and an optimizer trains."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor
