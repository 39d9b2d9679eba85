"""What a trainer knows, as a tree of numbers and tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..checks import require
from ..nn import Module
from ..tensor import Tensor

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass
class Part:
    """How far an epoch has come: what a checkpoint in the middle of it keeps."""

    batches: int = 0
    samples: int = 0
    loss: float = 0.0  # summed over the samples
    seconds: float = 0.0
    waiting: float = 0.0  # seconds of these in which no batch was ready
    trained: bool = False  # all batches are done; the evaluation is not


def capture(trainer: Trainer) -> dict[str, Any]:
    """The state of a trainer; its tensors share memory with the trainer's."""
    states = [[type(callback).__name__, callback.state_dict()] for callback in trainer.callbacks]
    return {
        "optimizer_class": type(trainer.optimizer).__name__,
        "scheduler_class": type(trainer.scheduler).__name__,
        "model": trainer.model.state_dict(),
        "loss_fn": trainer.loss_fn.state_dict() if isinstance(trainer.loss_fn, Module) else {},
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "callbacks": [[name, state] for name, state in states if state],
        "history": trainer.history,
        "best": trainer.best and trainer.best["epoch"],
        "best_weights": trainer.best_weights,
        "part": asdict(trainer._part),
    }


def restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Puts a trainer into a state that `capture` gave.

    Raises:
        ValueError: it is of another network, optimizer, scheduler or callback; nothing was changed then.
    """
    for name, own in (("optimizer", trainer.optimizer), ("scheduler", trainer.scheduler)):
        found, expected = state[f"{name}_class"], type(own).__name__
        require(found == expected, "Trainer", f"the checkpoint has the {name} {found}; expected {expected}")
    for name, value in trainer.model.state_dict().items():
        dtype = state["model"][name].dtype if name in state["model"] else value.dtype
        require(dtype == value.dtype, "Trainer", f"the checkpoint has {name} as {dtype}; expected {value.dtype}")
    before = copied(capture(trainer))
    try:
        take(trainer, state)
    except BaseException:
        take(trainer, before)
        raise


def take(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """As `restore`, which checks before and puts back after an error."""
    trainer.model.load_state_dict(state["model"])
    if isinstance(trainer.loss_fn, Module):
        trainer.loss_fn.load_state_dict(state["loss_fn"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(state["scheduler"])
    rest = iter(trainer.callbacks)
    for name, position in state["callbacks"]:
        callback = next((callback for callback in rest if type(callback).__name__ == name), None)
        require(callback is not None, "Trainer", f"the checkpoint has the state of a callback {name}; there is none")
        callback.load_state_dict(position)  # type: ignore[union-attr]
    trainer.history = list(state["history"])
    trainer.best = None if state["best"] is None else trainer.history[state["best"] - 1]
    trainer.best_weights = dict(state["best_weights"])
    trainer._part = Part(**state["part"])
    trainer.optimizer._stepped = bool(trainer.history or trainer._part.batches)


def copied(tree: Any) -> Any:
    """A tree of dicts and lists with copies of its tensors."""
    if isinstance(tree, Mapping):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(copied(value) for value in tree)
    return tree.detach().clone() if isinstance(tree, Tensor) else tree
