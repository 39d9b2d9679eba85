"""Using a trained network: its weights and what it takes to use them come from one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..models import lenet5
from ..nn import Module
from ..nn.functional import softmax
from ..ops import from_numpy
from ..serialization import load_file
from .run_folder import read_facts


def load_model(path: Path) -> tuple[Module, dict[str, Any]]:
    """The network of a run in eval mode, and the facts stored with it: classes and preprocessing.

    Args:
        path: a run's model.safetensors.
    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, or of another network.
    """
    facts = read_facts(path)
    if facts.get("model") != "lenet5":
        raise ValueError(f"{path} holds the network {facts.get('model')!r}; this version of atrous builds 'lenet5'")
    model = lenet5(len(facts["classes"]))
    model.load_state_dict(load_file(path))
    return model.eval(), facts


def classify(model: Module, image: np.ndarray, classes: Sequence[str]) -> list[tuple[str, float]]:
    """The classes with their probabilities, likeliest first.

    Args:
        model: maps (1, C, H, W) to logits.
        image: (1, C, H, W), as the model was trained on.
        classes: a name a logit.
    """
    with no_grad():
        chances = softmax(model(from_numpy(image)), dim=1).tolist()[0]
    return sorted(zip(classes, chances, strict=True), key=lambda pair: -pair[1])
