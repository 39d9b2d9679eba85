"""The pictures of a run: how it learned, what it confuses, what it misread, and what its first filters look at.

Plain arrays come in, PNG files go out. matplotlib draws without a screen and without touching pyplot's global state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .progress import percent

INK, GREY, PALE = "#1b2733", "#6b7885", "#e3e8ed"
BLUE, ORANGE, GREEN, RED = "#2166ac", "#e08214", "#1b7837", "#b2182b"
REDS = LinearSegmentedColormap.from_list("reds", ["#fde3dc", RED])
SIGNED = LinearSegmentedColormap.from_list("signed", [ORANGE, "#ffffff", BLUE])


def draw_curves(path: Path, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draws losses and validation accuracy over the epochs, with the epoch whose weights were kept.

    Args:
        path: the PNG file.
        history: a row an epoch with epoch, train_loss, validation_loss and validation_accuracy.
        best_epoch: the epoch to mark.
    """
    column = {key: np.array([row[key] for row in history], float) for key in history[0]}
    epochs = column["epoch"]
    best = int(np.flatnonzero(epochs == best_epoch)[0])
    figure = new_figure(9.6, 4.0)
    left, right = figure.subplots(1, 2)
    for key, name, color in (("train_loss", "training", GREY), ("validation_loss", "validation", BLUE)):
        left.plot(epochs, column[key], color=color, lw=2, marker="o" if len(epochs) == 1 else "")
        left.plot([], [], color=color, lw=3, label=name)
    left.plot(best_epoch, column["validation_loss"][best], "o", color=GREEN, ms=8, zorder=5, label="kept weights")
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    left.set_title("Loss", loc="left", color=INK, weight="bold")
    left.legend(frameon=False, labelcolor=INK)
    accuracy = column["validation_accuracy"]
    right.plot(epochs, accuracy, color=BLUE, lw=2, marker="o" if len(epochs) == 1 else "")
    right.plot(best_epoch, accuracy[best], "o", color=GREEN, ms=8, zorder=5)
    text = f"{percent(accuracy[best])} in epoch {best_epoch}"
    right.text(0.97, 0.05, text, transform=right.transAxes, ha="right", color=GREEN, weight="bold", size=12)
    right.set_ylim(max(0.0, min(accuracy.min(), accuracy[best] - 0.05) - 0.02), 1.005)
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.set_title("Validation accuracy", loc="left", color=INK, weight="bold")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axes.grid(color=PALE, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_confusion(path: Path, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Draws how often each class was read as each other; right answers grey, mistakes red.

    Args:
        path: the PNG file.
        counts: (C, C), row = true class, column = answer.
        classes: the C names.
    """
    C = len(classes)
    wrong = counts * (1 - np.eye(C, dtype=counts.dtype))
    figure = new_figure(7.2, 6.8)
    axes = figure.subplots()
    shades = np.full((C, C, 4), (1.0, 1.0, 1.0, 1.0))
    shades[np.eye(C, dtype=bool)] = (0.89, 0.91, 0.93, 1.0)
    shades[wrong > 0] = REDS(wrong[wrong > 0] / max(wrong.max(), 3))
    axes.imshow(shades)
    for i, j in np.argwhere(counts > 0):
        strong = i == j or wrong[i, j] > 0.6 * max(wrong.max(), 3)
        color = INK if i == j else "white" if strong else INK
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=color, size=12, weight="bold")
    axes.set_xticks(range(C), classes)
    axes.set_yticks(range(C), classes)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("read as", labelpad=8, size=12)
    axes.set_ylabel("true class", labelpad=8, size=12)
    axes.set_xticks(np.arange(C + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(C + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PALE, lw=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(PALE)
    right, total = int(np.trace(counts)), int(counts.sum())
    figure.suptitle(f"{right} of {total} test images read right ({percent(right / total)})", weight="bold", color=INK)
    save(figure, path)


def draw_mistakes(
    path: Path, images: np.ndarray, labels: np.ndarray, chances: np.ndarray, classes: Sequence[str]
) -> None:
    """Draws the misread images, surest first, then the least sure of the right ones, with the likeliest classes.

    Args:
        path: the PNG file.
        images: (N, H, W), 0 to 1.
        labels: (N,) true classes.
        chances: (N, C) probabilities.
        classes: the C names.
    """
    columns = 6
    answers, sure = chances.argmax(1), chances.max(1)
    wrong = np.flatnonzero(answers != labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    right = np.flatnonzero(answers == labels)
    right = right[np.argsort(sure[right], kind="stable")][:columns]
    shown = wrong[: 4 * columns]
    heading = f"{len(wrong)} of {len(labels)} misread" + (
        f", the surest {len(shown)}" if len(shown) < len(wrong) else ""
    )
    unsure = "right, but least sure" if len(wrong) else "nothing misread; the least sure ones"
    blocks = [block for block in ((heading, shown, RED), (unsure, right, GREEN)) if len(block[1])]
    rows = [-(-len(chosen) // columns) for _, chosen, _ in blocks]
    width, height, heading_height = 1.75, 2.4, 0.5  # inches: a cell of the grid, and the line above a block
    total = height * sum(rows) + heading_height * len(blocks) + 0.1
    figure = new_figure(width * columns + 0.2, total, arranged=False)
    y = 0.05  # inches from the top
    for (title, chosen, color), row_count in zip(blocks, rows, strict=True):
        figure.text(0.2 / figure.get_figwidth(), 1 - (y + 0.3) / total, title, color=color, weight="bold", size=14)
        y += heading_height
        for k, i in enumerate(chosen):
            x, top = 0.25 + width * (k % columns), y + height * (k // columns)
            picture, bars = place(figure, x, top + 0.25, 1.45, 1.45), place(figure, x, top + 1.78, 1.45, 0.48)
            picture.imshow(images[i], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            name, truth = classes[answers[i]], classes[labels[i]]
            picture.set_title(f"{truth} read as {name}" if name != truth else truth, size=12, color=INK, pad=5)
            draw_chances(bars, chances[i], int(labels[i]), classes)
        y += height * row_count
    save(figure, path)


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Any:
    """Axes without frame or ticks whose upper left corner is x, y inches from the figure's."""
    W, H = figure.get_size_inches()
    axes = figure.add_axes((x / W, 1 - (y + height) / H, width / W, height / H))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return axes


def draw_chances(axes: Any, chances: np.ndarray, truth: int, classes: Sequence[str]) -> None:
    """Three bars: the likeliest classes and their probabilities; the true class green, a wrong answer red."""
    top = np.argsort(-chances, kind="stable")[:3]
    colors = [GREEN if c == truth else RED if c == top[0] else GREY for c in top]
    axes.barh(range(len(top)), chances[top], color=colors, height=0.72)
    axes.set_yticks(range(len(top)), [classes[c] for c in top], size=10)
    for k, c in enumerate(top):
        axes.text(min(chances[c], 0.62) + 0.03, k, percent(chances[c]), va="center_baseline", size=9, color=INK)
        if chances[c] > 0.62:
            axes.texts[-1].set(x=0.96 * chances[c], ha="right", color="white")
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.tick_params(length=0, pad=3)


def draw_filters(path: Path, filters: np.ndarray, images: np.ndarray, maps: np.ndarray) -> None:
    """Draws the first layer's filters and what each of them answers to a few images.

    Args:
        path: the PNG file.
        filters: (OC, KH, KW) weights.
        images: (N, H, W), 0 to 1.
        maps: (N, OC, OH, OW), the first layer's answers after its activation.
    """
    OC, N = len(filters), len(images)
    figure = new_figure(1.45 * (OC + 1) + 0.3, 1.5 * (N + 1) + 0.75)
    grid = figure.subplots(N + 1, OC + 1, squeeze=False, gridspec_kw=dict(width_ratios=[1.15] + [1] * OC))
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(PALE)
    grid[0, 0].set_axis_off()
    grid[0, 0].text(0.5, 0.5, "filter\n(blue +, orange −)", ha="center", va="center", color=GREY, size=10)
    limit = float(np.abs(filters).max()) or 1.0
    for c in range(OC):
        grid[0, c + 1].imshow(filters[c], cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
        grid[0, c + 1].set_title(f"{c + 1}", color=GREY, size=11)
    bright = float(maps.max()) or 1.0
    for n in range(N):
        grid[n + 1, 0].imshow(images[n], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for c in range(OC):
            grid[n + 1, c + 1].imshow(maps[n, c], cmap="magma", vmin=0, vmax=bright, interpolation="nearest")
    size = "×".join(map(str, filters.shape[1:]))
    figure.suptitle(f"The {OC} filters of the first layer ({size}), and where each one fires", weight="bold", color=INK)
    save(figure, path)


def new_figure(width: float, height: float, arranged: bool = True) -> Figure:
    """An empty figure, in inches, that draws without a screen; ``arranged`` lets matplotlib place its axes."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08) if arranged else None
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG; the file holds no date, so that the same run gives the same bytes."""
    figure.savefig(path, dpi=140, metadata={"Software": None})
