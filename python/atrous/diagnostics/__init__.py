"""Judging a network and its training: checks before a run, statistics within, curves after it.

`find_rate`, `check_initial_loss` and `overfit_batch` come before a long run, `layer_statistics` and `feature_maps` look
into the layers, `diagnose` reads the curves, `class_activation_map` and `grad_cam` show where in an image the answer is
from. They leave model, optimizer and random state as they were. Pictures are in ``diagnostics.pictures``, which needs
matplotlib.
"""

from .class_activation import class_activation_map, grad_cam
from .curves import diagnose
from .first_steps import check_initial_loss, overfit_batch
from .layers import LayerStatistics, feature_maps, layer_statistics
from .rates import RateTest, find_rate
from .restore import restored

__all__ = [
    "LayerStatistics",
    "RateTest",
    "check_initial_loss",
    "class_activation_map",
    "diagnose",
    "feature_maps",
    "find_rate",
    "grad_cam",
    "layer_statistics",
    "overfit_batch",
    "restored",
]
