"""The roofline: how fast each layer is beside what the machine could do at best.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from .layer_times import LayerTime, Roof
from .pictures import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED

KINDS = {"Conv2d": BLUE, "ConvTranspose2d": GREEN, "Linear": ORANGE}
NAMED = 6  # so many layers have their names in the picture: those that lose most time
LINE = 9  # points from one name to the next


def draw_roofline(path: Path, title: str, layers: Sequence[LayerTime], roof: Roof) -> None:
    """Draws a point a layer: operations a byte across, operations a second up, its area the time that it takes.

    Under the slope memory is the limit, under the flat part arithmetic; the distance to the roof is time that could be
    saved. Layers without multiply-adds count one operation for each number moved, and stand at 1/4 a byte. A layer
    above the roof has its data in the caches, or an algorithm that needs fewer multiply-adds, such as Winograd's.

    Args:
        path: the PNG file.
        title: what was measured.
        layers: as from `time_layers`.
        roof: as from `measure_roof`.
    """
    layers = [layer for layer in layers if layer.operations]
    x = np.array([layer.operations / layer.moved for layer in layers])
    unit, name = (1e12, "TFLOP/s") if roof.flops >= 1e13 else (1e9, "GFLOP/s")
    y = np.array([layer.rate for layer in layers]) / unit
    seconds = np.array([layer.forward + layer.backward for layer in layers])
    colours = [KINDS.get(layer.kind.split()[0], GREY) for layer in layers]
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set_xscale("log")
    axis.set_yscale("log")
    _draw_roof(axis, roof, x, y, unit, name)
    axis.scatter(x, y, s=20 + 900 * seconds / seconds.sum(), c=colours, alpha=0.65, edgecolors="white", zorder=3)
    for kind, colour in {**KINDS, "other layers": GREY}.items():
        if any((KINDS.get(layer.kind.split()[0]) or GREY) == colour for layer in layers):
            axis.scatter([], [], c=colour, label=kind)
    axis.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    axis.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axis.set_xlabel("operations a byte that has to be moved", color=INK, fontsize=9)
    axis.set_ylabel(name, color=INK, fontsize=9)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.tick_params(colors=GREY, labelsize=8, which="both", length=0)
    axis.grid(color=PALE, zorder=0)
    axis.spines[:].set_visible(False)
    _name_the_slowest(axis, layers, x, y, roof)
    figure.savefig(path, dpi=110, facecolor="white")


def _draw_roof(axis, roof: Roof, x: np.ndarray, y: np.ndarray, unit: float, name: str) -> None:
    peak, slope = roof.flops / unit, roof.bandwidth / unit
    ridge = peak / slope
    left, right = 0.6 * min(x.min(), 0.25), 2 * max(x.max(), ridge)
    axis.plot([left, ridge, right], [left * slope, peak, peak], color=INK, lw=1.5, zorder=2)
    axis.set_xlim(left, right)
    axis.set_ylim(0.5 * min(y.min(), left * slope), 2 * max(y.max(), peak))
    above = {"textcoords": "offset points", "fontsize": 8, "color": INK}
    axis.annotate(f"{peak:.0f} {name}, multiply-adds", (ridge, peak), (0, 5), **above)
    middle = (left * ridge) ** 0.5
    axis.annotate(f"{roof.bandwidth / 1e9:.0f} GB/s, copy", (middle, middle * slope), (-4, 6), ha="right", **above)


def _name_the_slowest(axis, layers: Sequence[LayerTime], x: np.ndarray, y: np.ndarray, roof: Roof) -> None:
    """Names the layers with most time between them and the roof; where points lie close, names go below each other."""
    lost = [(t.forward + t.backward) * (1 - t.rate / roof.at(t)) for t in layers]
    slowest = [i for i in sorted(range(len(layers)), key=lost.__getitem__)[-NAMED:] if lost[i] > 0]
    axis.figure.draw_without_rendering()  # only then are places on the paper known
    free = {True: np.inf, False: np.inf}  # points above the picture's lower edge, below which a side has no name yet
    for i in sorted(slowest, key=lambda i: -y[i]):
        right = bool(x[i] > 50 * axis.get_xlim()[0])  # where there may be no room on the other side
        height = axis.transData.transform((x[i], y[i]))[1] * 72 / axis.figure.dpi
        place = min(height, free[right])
        free[right] = place - LINE
        axis.annotate(
            layers[i].name,
            (x[i], y[i]),
            (-16 if right else 16, place - height),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            color=RED,
            fontsize=7,
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": RED, "lw": 0.5},
        )
