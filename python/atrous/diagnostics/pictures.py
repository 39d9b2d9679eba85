"""Pictures of what the diagnostics find: rates, layers, calibration, filters, feature maps, class activation.

Plain arrays come in, PNG files go out, as in ``training.pictures``. This module needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..training.pictures import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, SIGNED, new_figure, save, short, show
from ..training.progress import percent
from .layers import LayerStatistics
from .rates import RateTest

COLUMNS = 8  # filters or maps in a row


def draw_rates(path: Path, test: RateTest) -> None:
    """Draws the loss over the learning rate, with the suggested one."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    axes.plot(test.rates, test.losses, color=BLUE, lw=2)
    at = test.rates.index(test.suggestion)
    axes.plot(test.suggestion, test.losses[at], "o", color=GREEN, ms=8, zorder=5)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    _finish(axes, f"Loss while the rate grows; steepest at {test.suggestion:.2g}")
    save(figure, path)


def draw_layers(path: Path, rows: Sequence[LayerStatistics]) -> None:
    """Draws mean ± deviation of each layer's activations, and of the gradients there if these were looked at."""
    panels = [("Activations", BLUE, "mean", "std")]
    if not all(np.isnan(row.grad_std) for row in rows):
        panels.append(("Gradients", ORANGE, "grad_mean", "grad_std"))
    figure = new_figure(max(4.5, 0.45 * len(rows) + 1.6) * len(panels), 4.2)
    names = [short(f"{row.name} {row.kind}".strip(), 18) for row in rows]
    for axes, (title, color, mean, std) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        values = np.array([[getattr(row, key) for key in (mean, std)] for row in rows])
        axes.errorbar(range(len(rows)), values[:, 0], values[:, 1], fmt="o", color=color, capsize=4, lw=2)
        axes.axhline(0, color=GREY, lw=0.8, zorder=0)
        axes.set_xticks(range(len(rows)), names, rotation=60, ha="right", rotation_mode="anchor", size=9)
        axes.margins(y=0.2)
        _finish(axes, f"{title}: mean ± deviation")
        if color == BLUE:
            for i, row in enumerate(rows):
                shares = {"saturated": row.saturated, "dead": row.dead}
                words = ", ".join(f"{percent(share)} {word}" for word, share in shares.items() if share > 0.005)
                where = {"transform": axes.get_xaxis_transform(), "ha": "left", "va": "top"}
                axes.text(i + 0.08, 0.98, words, color=RED, size=7, rotation=90, **where)
    save(figure, path)


def draw_reliability(path: Path, diagram: Mapping[str, Any], title: str = "Reliability") -> None:
    """Draws how often answers of a confidence are right, and how many there are.

    Args:
        path: the PNG file.
        diagram: what `ExpectedCalibrationError.reliability` returns, as NumPy arrays.
        title: the heading, before the error.
    """
    count, accuracy, confidence = (np.asarray(diagram[key], float) for key in ("count", "accuracy", "confidence"))
    B, seen = len(count), count > 0
    edges = np.arange(B) / B
    error = float((count[seen] * abs(accuracy - confidence)[seen]).sum() / max(count.sum(), 1))
    figure = new_figure(5.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    upper.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", zorder=3)
    low, high = np.fmin(accuracy, confidence)[seen], np.fmax(accuracy, confidence)[seen]
    upper.bar(edges[seen], accuracy[seen], 1 / B, align="edge", color=BLUE, edgecolor="white", label="right")
    upper.bar(
        edges[seen], high - low, 1 / B, low, align="edge", color=RED, alpha=0.25, edgecolor=RED, label="from confidence"
    )
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    upper.set_ylabel("share of right answers")
    upper.legend(frameon=False, labelcolor=INK, loc="upper left")
    _finish(upper, f"{title}: calibration error {percent(error)}")
    lower.bar(edges, count / max(count.sum(), 1), 1 / B, align="edge", color=GREY, edgecolor="white")
    lower.set_xlabel("confidence")
    lower.set_ylabel("samples")
    _finish(lower, "")
    save(figure, path)


def draw_filters(path: Path, weight: np.ndarray) -> None:
    """Draws the filters of a convolution: as colours where they have three channels, else a row of channels each.

    Args:
        path: the PNG file.
        weight: (OC, IC, KH, KW), of which the first 32 filters are shown, or the first 8 by 8 channels.
    """
    OC, IC, KH, KW = weight.shape
    limit = float(np.abs(weight).max()) or 1.0
    flat = IC in (1, 3)  # a filter is one tile
    starts = range(0, min(OC, 32), COLUMNS)
    tiles = [weight[o : o + COLUMNS] for o in starts] if flat else weight[:COLUMNS, :COLUMNS, None]
    pixels = mosaic(tiles)
    colors = IC == 3
    values = np.where(np.isnan(pixels), 1.0, 0.5 + 0.5 * pixels / limit) if colors else pixels[..., 0]
    figure = new_figure(max(pixels.shape[1] / 66, 4.2), pixels.shape[0] / 66 + 0.6)
    axes = figure.subplots()
    axes.imshow(values, cmap=SIGNED.with_extremes(bad=PALE), vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    count, channels = min(OC, 32 if flat else COLUMNS), min(IC, COLUMNS)
    words = f"{count} of {OC}" if count < OC else f"{OC}"
    words += f" filters of {KH}×{KW}"
    if not flat:
        words += f", {channels} of {IC} channels" if channels < IC else f", {IC} channels"
    title = f"{words} ({'grey = 0' if colors else 'blue +, orange −'})"
    figure.suptitle(title, weight="bold", color=INK, size=11)
    save(figure, path)


def draw_feature_maps(path: Path, image: np.ndarray, maps: Mapping[str, np.ndarray]) -> None:
    """Draws an image, and the first maps that each layer makes of it, a row a layer; each row has its own scale.

    Args:
        path: the PNG file.
        image: (C, H, W), 0 to 1, grey or coloured.
        maps: arrays (C, H, W) by the name of their layer, as `feature_maps` gives them.
    """
    figure = new_figure(1.05 * COLUMNS + 1.0, 1.1 * (len(maps) + 1) + 0.6)
    panels = figure.subplots(len(maps) + 1, 1, squeeze=False)[:, 0]
    show(panels[0], image)
    for axes, (name, layer) in zip(panels[1:], maps.items(), strict=True):
        limit = float(np.abs(layer).max()) or 1.0
        pixels = mosaic([layer[:COLUMNS, None]], COLUMNS)[..., 0]
        cmap, low = (SIGNED.with_extremes(bad=PALE), -limit) if layer.min() < 0 else ("magma", 0.0)
        axes.imshow(pixels, cmap=cmap, vmin=low, vmax=limit, interpolation="nearest")
        label = f"{short(name, 16)}\n{'×'.join(map(str, layer.shape))}"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", color=INK, size=9)
    for axes in panels:
        axes.set_anchor("W")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    figure.suptitle("What each layer makes of the image", weight="bold", color=INK)
    save(figure, path)


def mosaic(rows: Any, columns: int = 0) -> np.ndarray:
    """Rows of tiles (C, H, W) as one array (height, width, C) of tiles about 64 pixels high, with gaps of NaN.

    Example:
        >>> mosaic(np.zeros((2, 3, 1, 8, 8))).shape
        (136, 208, 1)
    """
    _, C, H, W = rows[0].shape
    scale, gap = max(1, 64 // H), 8
    height, width = scale * H + gap, scale * W + gap
    columns = max(columns, *(len(row) for row in rows), 1)
    pixels = np.full((height * len(rows) - gap, width * columns - gap, C), np.nan)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            large = np.kron(tile, np.ones((scale, scale))).transpose(1, 2, 0)
            pixels[r * height : r * height + scale * H, c * width : c * width + scale * W] = large
    return pixels


def draw_class_activation(
    path: Path, images: np.ndarray, maps: np.ndarray, titles: Sequence[str], what: str = "Where the answer is from"
) -> None:
    """Draws images, and below each its class activation map laid over it.

    Args:
        path: the PNG file.
        images: (N, C, H, W), 0 to 1, grey or coloured.
        maps: (N, h, w), which are stretched over the images; below 0 counts as 0.
        titles: a word for each image, such as the class.
        what: the heading.
    """
    N, (H, W) = len(images), images.shape[2:]
    figure = new_figure(max(1.05 * N + 0.3, 4.2), 2.8)
    grid = figure.subplots(2, N, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for n in range(N):
        show(grid[0, n], images[n])
        grid[0, n].set_title(short(titles[n], 14), color=INK, size=11)
        grid[1, n].imshow(images[n].mean(0), cmap="gray", vmin=0, vmax=1, extent=(0, W, H, 0))
        heat = np.maximum(maps[n], 0) / (float(maps[n].max()) if maps[n].max() > 0 else 1.0)
        grid[1, n].imshow(
            heat, cmap="inferno", alpha=0.6, vmin=0, vmax=1, interpolation="bilinear", extent=(0, W, H, 0)
        )
    figure.suptitle(what, weight="bold", color=INK)
    save(figure, path)


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", color=INK, weight="bold")
    axes.grid(color=PALE, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
