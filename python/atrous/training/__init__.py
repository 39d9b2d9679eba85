"""Training: a loop that yields after each epoch, run folders, checkpoints that go on bit for bit, pictures."""

from .loop import Epoch, Evaluation, NonFiniteLoss, evaluate, fit, train_epoch

__all__ = ["Epoch", "Evaluation", "NonFiniteLoss", "evaluate", "fit", "train_epoch"]
