"""What the lessons in this folder share: where pictures go, and the fast settings that CI uses.

A lesson prints, last, a line with the number that shows its claim, and draws one picture, docs/images/lessons/NAME.png.
With ATROUS_FAST=1 in the environment it does as little as still runs every line.
"""

import os
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

FAST = os.environ.get("ATROUS_FAST") == "1"
PICTURES = Path(os.environ.get("ATROUS_PICTURES", Path(__file__).parents[1] / "docs" / "images" / "lessons"))


def full_or_fast(full: int, fast: int) -> int:
    """How much to do: `full` for the reader, `fast` where only the code is tried."""
    return fast if FAST else full


def save(figure: Any, name: str) -> None:
    """Writes the picture of a lesson, and says where."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    figure.savefig(path, dpi=80, bbox_inches="tight", metadata={"Software": None})
    print(f"picture: {os.path.relpath(path)}")
