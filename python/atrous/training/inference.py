"""Using a trained network: its weights and what it takes to use them come from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..models import build
from ..nn import Module
from ..nn.functional import softmax
from ..ops import from_numpy
from ..serialization import load_file
from .run_folder import RunFolder, read_facts


class Predictor:
    """The network of a run in eval mode, and the facts stored with it.

    Args:
        run: a run folder, or its checkpoint-best.safetensors.
    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, or its network cannot be built.
    """

    def __init__(self, run: Path) -> None:
        self.path = RunFolder(run).best if run.is_dir() else run
        self.facts = read_facts(self.path)
        self.classes: list[str] = self.facts["classes"]
        self.preprocessing: dict[str, Any] = self.facts["preprocessing"]
        self.segmentation = self.facts["task"] == "segmentation"
        weights = load_file(self.path)
        self.model: Module = build(
            self.facts["model"], len(self.classes), 1 if self.preprocessing["mode"] == "L" else 3
        )
        try:
            self.model.load_state_dict(weights)
        except ValueError as error:
            raise ValueError(f"{self.path} does not fit {self.facts['model']}: {error}") from error
        self.model.eval()

    def classify(self, image: np.ndarray) -> list[tuple[str, float]]:
        """The classes of an image (1, C, H, W) with their probabilities, likeliest first."""
        with no_grad():
            chances = softmax(self.model(from_numpy(image)), dim=1).tolist()[0]
        return sorted(zip(self.classes, chances, strict=True), key=lambda pair: -pair[1])

    def segment(self, image: np.ndarray) -> np.ndarray:
        """The class of each pixel (H, W) of an image (1, C, H, W)."""
        with no_grad():
            return self.model(from_numpy(image)).argmax(1).numpy()[0]
