"""Training: a `Trainer` that stops and goes on bit for bit, its callbacks, evaluation, and what ``atrous train`` is made of."""

from .callbacks import Callback, EarlyStopping, TensorBoard
from .diagnosis import NonFiniteLoss
from .evaluation import evaluate
from .trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "NonFiniteLoss", "TensorBoard", "Trainer", "evaluate"]
