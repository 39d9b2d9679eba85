"""The pictures of a run: how it learned, what it confuses, what it got wrong, and what its first filters look at.

Plain arrays come in, PNG files go out. matplotlib draws without a screen and without touching pyplot's global state.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from .images import PALETTE
from .progress import percent

INK, GREY, PALE = "#1b2733", "#6b7885", "#e3e8ed"
BLUE, ORANGE, GREEN, RED = "#2166ac", "#e08214", "#1b7837", "#b2182b"
REDS = LinearSegmentedColormap.from_list("reds", ["#fde3dc", RED])
SIGNED = LinearSegmentedColormap.from_list("signed", [ORANGE, "#ffffff", BLUE])


def draw_curves(path: Path, history: Sequence[Mapping[str, float]], best_epoch: int) -> None:
    """Draws the losses and the last metric over the epochs, with the epoch whose weights were kept.

    Args:
        path: the PNG file.
        history: a row an epoch with epoch, train_loss and, as the case may be, validation_loss and validation_<metric>.
        best_epoch: the epoch to mark.
    """
    column = {key: np.array([row[key] for row in history], float) for key in history[0]}
    epochs = column["epoch"]
    best = int(np.flatnonzero(epochs == best_epoch)[0])
    metrics = [key for key in column if key.startswith("validation_") and key != "validation_loss"]
    figure = new_figure(9.6 if metrics else 4.8, 4.0)
    panels = figure.subplots(1, 2 if metrics else 1, squeeze=False)[0]
    left = panels[0]
    for key, name, color in (("train_loss", "training", GREY), ("validation_loss", "validation", BLUE)):
        if key in column:
            left.plot(epochs, column[key], color=color, lw=2, marker="o" if len(epochs) == 1 else "")
            left.plot([], [], color=color, lw=3, label=name)
    kept = column["validation_loss" if "validation_loss" in column else "train_loss"][best]
    left.plot(best_epoch, kept, "o", color=GREEN, ms=8, zorder=5, label="kept weights")
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_title("Loss", loc="left", color=INK, weight="bold")
    left.legend(frameon=False, labelcolor=INK)
    if metrics:
        draw_metric(panels[1], metrics[-1], epochs, column[metrics[-1]], best)
    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        axes.grid(color=PALE, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_metric(axes: Any, name: str, epochs: np.ndarray, values: np.ndarray, best: int) -> None:
    """A share over the epochs, with the value at index ``best`` marked and written out."""
    axes.plot(epochs, values, color=BLUE, lw=2, marker="o" if len(epochs) == 1 else "")
    axes.plot(epochs[best], values[best], "o", color=GREEN, ms=8, zorder=5, clip_on=False)
    text = f"{percent(values[best])} in epoch {epochs[best]:.0f}"
    axes.text(0.97, 0.05, text, transform=axes.transAxes, ha="right", color=GREEN, weight="bold", size=12)
    axes.set_ylim(max(0.0, min(values.min(), values[best] - 0.05) - 0.02), 1.005)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))  # whole per cent, as they are labelled
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    words = {"accuracy": "accuracy", "iou": "mean IoU"}.get(name.partition("_")[2], name.partition("_")[2])
    axes.set_title(f"Validation {words}", loc="left", color=INK, weight="bold")


def draw_confusion(path: Path, counts: np.ndarray, classes: Sequence[str], what: str = "test images") -> None:
    """Draws how often each class was taken for each other; right answers grey, mistakes red.

    Args:
        path: the PNG file.
        counts: (C, C), row = true class, column = answer.
        classes: the C names.
        what: what was counted, in words.
    """
    C = len(classes)
    wrong = counts * (1 - np.eye(C, dtype=counts.dtype))
    side = min(max(5.2, 0.5 * C + 2.2), 20)
    figure = new_figure(side + 0.4, side)
    axes = figure.subplots()
    shades = np.full((C, C, 4), (1.0, 1.0, 1.0, 1.0))
    shades[np.eye(C, dtype=bool)] = (0.89, 0.91, 0.93, 1.0)
    shades[wrong > 0] = REDS(wrong[wrong > 0] / max(wrong.max(), 3))
    axes.imshow(shades)
    many = counts.max() >= 10_000  # as of pixels: shares are easier to read
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for i, j in np.argwhere(counts > 0) if C <= 40 else ():
        strong = i == j or wrong[i, j] > 0.6 * max(wrong.max(), 3)
        color = INK if i == j else "white" if strong else INK
        text = percent(shares[i, j]) if many else f"{counts[i, j]}"
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            color=color,
            size=(10 if many else 12) if C <= 12 else 7,
            weight="bold",
        )
    names = [short(name, 14) for name in classes]
    long = max(map(len, names)) > 3
    axes.set_xticks(range(C), names, rotation=45 if long else 0, ha="left" if long else "center", size=min(10, 600 / C))
    axes.set_yticks(range(C), names, size=min(10, 600 / C))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("taken for", labelpad=8, size=12)
    axes.set_ylabel("true class", labelpad=8, size=12)
    axes.set_xticks(np.arange(C + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(C + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PALE, lw=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color(PALE)
    right, total = int(np.trace(counts)), int(counts.sum())
    title = f"{right:,} of {total:,} {what} right ({percent(right / max(total, 1))})"
    figure.suptitle(title, weight="bold", color=INK)
    save(figure, path)


def short(name: str, length: int) -> str:
    """A name of at most so many characters on one line, in which matplotlib finds no formula."""
    line = " ".join(name.split())
    return (line if len(line) <= length else line[: length - 1] + "…").replace("$", r"\$")


COLUMNS = 6  # of the picture of mistakes


def worth_showing(labels: np.ndarray, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which samples `draw_mistakes` shows: 24 wrong answers at most, surest first, and the 6 least sure right ones."""
    answers, sure = chances.argmax(1), chances.max(1)
    wrong, right = np.flatnonzero(answers != labels), np.flatnonzero(answers == labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][: 4 * COLUMNS]
    return wrong, right[np.argsort(sure[right], kind="stable")][:COLUMNS]


def show(axes: Any, image: np.ndarray) -> None:
    """Draws an image (C, H, W), 0 to 1, grey or coloured."""
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def draw_mistakes(
    path: Path, images: Mapping[int, np.ndarray], labels: np.ndarray, chances: np.ndarray, classes: Sequence[str]
) -> None:
    """Draws the images that were taken for something else, surest first, then the least sure of the right ones.

    Args:
        path: the PNG file.
        images: (C, H, W), 0 to 1, of the samples that `worth_showing` names, by their number.
        labels: (N,) true classes.
        chances: (N, C) probabilities.
        classes: the C names.
    """
    columns = COLUMNS
    answers = chances.argmax(1)
    shown, right = worth_showing(labels, chances)
    wrong = int((answers != labels).sum())
    heading = f"{wrong} of {len(labels)} wrong" + (f", the surest {len(shown)}" if len(shown) < wrong else "")
    unsure = "right, but least sure" if wrong else "nothing wrong; the least sure ones"
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
            indent = 0.0 if max(map(len, classes)) < 3 else 0.35  # room for the names beside the bars
            picture = place(figure, x, top + 0.25, 1.45, 1.45)
            bars = place(figure, x + indent, top + 1.78, 1.45 - indent, 0.48)
            show(picture, images[int(i)])
            name, truth = short(classes[answers[i]], 9), short(classes[labels[i]], 9)
            title = f"{truth} taken for {name}" if answers[i] != labels[i] else truth
            picture.set_title(title, size=12 if len(title) < 16 else 8, color=INK, pad=5)
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
    names = [short(classes[c], 8) for c in top]
    axes.set_yticks(range(len(top)), names, size=10 if max(map(len, names)) < 3 else 7)
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
        filters: (OC, IC, KH, KW) weights, of which 12 filters are shown; three channels as colours around grey.
        images: (N, C, H, W), 0 to 1.
        maps: (N, OC, OH, OW), the first layer's answers, those below zero taken as zero.
    """
    filters, maps = filters[:12], np.maximum(maps[:, :12], 0)
    OC, N = len(filters), len(images)
    figure = new_figure(1.45 * (OC + 1) + 0.3, 1.5 * (N + 1) + 0.75)
    grid = figure.subplots(N + 1, OC + 1, squeeze=False, gridspec_kw=dict(width_ratios=[1.15] + [1] * OC))
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(PALE)
    limit = float(np.abs(filters).max()) or 1.0
    colored = filters.shape[1] == 3
    words = "filter\n(grey = 0)" if colored else "filter\n(blue +, orange −)"
    grid[0, 0].set_axis_off()
    grid[0, 0].text(0.5, 0.5, words, ha="center", va="center", color=GREY, size=10)
    for c in range(OC):
        if colored:
            show(grid[0, c + 1], 0.5 + 0.5 * filters[c] / limit)
        else:
            grid[0, c + 1].imshow(filters[c].mean(0), cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
        grid[0, c + 1].set_title(f"{c + 1}", color=GREY, size=11)
    bright = float(maps.max()) or 1.0
    for n in range(N):
        show(grid[n + 1, 0], images[n])
        for c in range(OC):
            grid[n + 1, c + 1].imshow(maps[n, c], cmap="magma", vmin=0, vmax=bright, interpolation="nearest")
    size = "×".join(map(str, filters.shape[2:]))
    title = f"{OC} filters of the first layer ({size}), and where each one fires"
    figure.suptitle(title, weight="bold", color=INK)
    save(figure, path)


def draw_masks(path: Path, images: np.ndarray, masks: np.ndarray, answers: np.ndarray, classes: Sequence[str]) -> None:
    """Draws images, the true class of each pixel, and the network's answer, a column an image.

    Args:
        path: the PNG file.
        images: (N, C, H, W), 0 to 1.
        masks, answers: (N, H, W) classes.
        classes: their names.
    """
    N = len(images)
    figure = new_figure(1.9 * N + 1.2, 6.4)
    grid = figure.subplots(3, N, squeeze=False)
    colors = np.array(PALETTE[: len(classes)], float) / 255
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(PALE)
    for n in range(N):
        show(grid[0, n], images[n])
        grid[1, n].imshow(colors[masks[n]], interpolation="nearest")
        grid[2, n].imshow(colors[answers[n]], interpolation="nearest")
        share = float((masks[n] == answers[n]).mean())
        grid[2, n].set_xlabel(f"{percent(share)} of the pixels", color=GREY, size=9)
    for axes, name in zip(grid[:, 0], ("image", "true classes", "network"), strict=True):
        axes.set_ylabel(name, color=INK, size=12)
    handles = [Patch(color=color, label=short(name, 14)) for color, name in zip(colors, classes, strict=True)][:12]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 6), frameon=False, labelcolor=INK
    )
    save(figure, path)


def new_figure(width: float, height: float, arranged: bool = True) -> Figure:
    """An empty figure, in inches, that draws without a screen; ``arranged`` lets matplotlib place its axes."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08) if arranged else None
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG; the file holds no date, so that the same run gives the same bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of names in other scripts: boxes are drawn
        figure.savefig(path, dpi=140, metadata={"Software": None})
