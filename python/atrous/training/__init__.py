"""Training: a `Trainer` that stops and goes on bit for bit, callbacks, evaluation; and the runs of `atrous train`."""

from .callbacks import Callback, EarlyStopping, TensorBoard
from .diagnosis import NonFiniteLoss
from .evaluation import evaluate
from .peak_memory import predict_peak_memory
from .trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "NonFiniteLoss", "TensorBoard", "Trainer", "evaluate", "predict_peak_memory"]
