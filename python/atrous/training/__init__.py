"""Training: a `Trainer` that stops and goes on bit for bit, callbacks, evaluation; and the runs of `atrous train`."""

from .callbacks import Callback, EarlyStopping, TensorBoard
from .comparison import over_seeds, paired_t_test
from .diagnosis import NonFiniteLoss
from .ensembles import Ensemble, Snapshots, bagging
from .evaluation import evaluate
from .peak_memory import predict_peak_memory
from .search import LogUniform, Uniform, grid_search, random_search
from .trainer import Trainer

__all__ = [
    "Callback",
    "EarlyStopping",
    "Ensemble",
    "LogUniform",
    "NonFiniteLoss",
    "Snapshots",
    "TensorBoard",
    "Trainer",
    "Uniform",
    "bagging",
    "evaluate",
    "grid_search",
    "over_seeds",
    "paired_t_test",
    "predict_peak_memory",
    "random_search",
]
