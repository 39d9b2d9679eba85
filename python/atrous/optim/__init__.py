"""Optimizers: change parameters along their gradients. ``from atrous import optim``."""

from . import lr_scheduler, swa_utils
from .adam import Adam
from .adamw import AdamW
from .optimizer import Optimizer
from .param_groups import no_decay_groups
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "no_decay_groups", "swa_utils"]
