"""What a finished run leaves to look at: four pictures, and samples to predict. Needs matplotlib and Pillow."""

from __future__ import annotations

import numpy as np

from ..grad_mode import no_grad
from ..nn.functional import softmax
from ..ops.joining import cat
from .lenet5_digits import CLASSES
from .loop import Evaluation
from .session import Session

PICTURES = ("curves.png", "confusion.png", "mistakes.png", "filters.png")


def draw_report(session: Session, seen: Evaluation) -> None:
    """Draws the pictures into the run folder and writes a test image of each class to ``samples/``.

    Args:
        session: a run whose model holds the weights to show.
        seen: its answers on the test images.
    Raises:
        ImportError: matplotlib or Pillow is missing.
        OSError: a file cannot be written.
    """
    from . import pictures
    from .images import write_image

    path, model, history = session.folder.path, session.job.model, session.progress.history
    best = session.progress.best
    assert best is not None, "a finished run has a best epoch"
    facts = session.job.preprocessing
    inputs = cat([x for x, _ in session.job.test])  # (N, 1, H, W), as the network sees them
    images = (inputs.numpy()[:, 0] * facts["std"] + facts["mean"]).clip(0, 1)
    labels = seen.labels.numpy()
    chances = softmax(seen.logits, dim=1).numpy()
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(counts, (labels, chances.argmax(1)), 1)
    firsts = [int(np.flatnonzero(labels == c)[0]) for c in range(len(CLASSES)) if (labels == c).any()]
    with no_grad():
        maps = model.relu(model.conv1(inputs[firsts[2:5]])).numpy()

    pictures.draw_curves(path / "curves.png", history, int(best["epoch"]))
    pictures.draw_confusion(path / "confusion.png", counts, CLASSES)
    pictures.draw_mistakes(path / "mistakes.png", images, labels, chances, CLASSES)
    pictures.draw_filters(path / "filters.png", model.conv1.weight.detach().numpy()[:, 0], images[firsts[2:5]], maps)
    (path / "samples").mkdir(exist_ok=True)
    for i in firsts:
        write_image(path / "samples" / f"{CLASSES[labels[i]]}.png", images[i])
