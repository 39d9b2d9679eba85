"""Measures over a whole data set, batch by batch: ``update(output, target)``, ``compute()``, ``reset()``.

Counts are exact integers, so that neither batch size nor order changes a result. What nothing was added to computes to
NaN (as torchmetrics' means; its accuracy and IoU of nothing are 0). Only values are read: no metric keeps a graph.
"""

from .calibration import ExpectedCalibrationError, fit_temperature
from .classes import Accuracy, ConfusionMatrix, MeanIoU, TopKAccuracy
from .metric import Mean, MeanSquaredError, Metric
from .precision import F1Score, Precision, Recall
from .ranking import AveragePrecision

__all__ = [
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "ExpectedCalibrationError",
    "F1Score",
    "Mean",
    "MeanIoU",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "fit_temperature",
]
