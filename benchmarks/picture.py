"""The picture of a benchmark: how many times faster than its competitors atrous is, a bar a case."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

# For each ratio its label, colour, and the height of its bar or the shape of its mark.
BARS = {"pytorch": ("PyTorch", "#b9d3ee", 0.74), "pytorch tuned": ("PyTorch, page faults tuned away", "#1f5fa8", 0.40)}
MARKS = {
    "onnxruntime": ("ONNX Runtime", "#4d9221", "s"),
    "numpy": ("NumPy, written for speed", "#e08214", "D"),
    "reference": ("NumPy reference", "#8c8c8c", "o"),
}
LABELS = {name: style[0] for name, style in (BARS | MARKS).items()}
INK, SOFT, MEAN = "#222222", "#555555", "geometric mean"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws the report: a panel for each column of its table, a line for each case, a logarithmic axis around 1."""
    good = [row for row in result["results"] if "wrong" not in row]
    columns = list(dict.fromkeys(row["column"] for row in good))
    names = [*dict.fromkeys(row["row"] for row in good), MEAN]
    ratios = [value for row in good for value in row["ratios"].values()]
    limits = min(0.45, min(ratios) / 1.3), max(2.2, max(ratios) * 1.5)

    label = 0.3 + 0.068 * max(map(len, names))  # inches, as all of these
    width = label + max(3.6 * len(columns), 8.4 - label)
    top, bottom = 1.0, 0.85
    height = top + 0.30 * len(names) + 0.1 + bottom
    figure, axes = plt.subplots(1, len(columns), figsize=(width, height), sharey=True, squeeze=False)
    edges = {"left": label / width, "right": 1 - 0.8 / width, "bottom": bottom / height, "top": 1 - top / height}
    figure.subplots_adjust(**edges, wspace=0.30)

    handles: dict[str, Any] = {}
    for axis, column in zip(axes[0], columns, strict=True):
        mean = {"row": MEAN, "ratios": result["geometric_means"][column]}
        _dress(axis, column, len(names), limits)
        for row in [*(row for row in good if row["column"] == column), mean]:
            handles |= _case(axis, names.index(row["row"]), row["ratios"])
    axes[0][0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0][0].get_yticklabels()[-1].set_fontweight("bold")

    left, order = 0.12 / width, [name for name in LABELS if name in handles]
    title = f"{result['family'].replace('_', ' ')}: a competitor's time ÷ atrous's"
    figure.text(left, 1 - 0.2 / height, title, fontsize=14, fontweight="bold", color=INK, va="top")
    figure.text(left, 1 - 0.5 / height, _circumstances(result), fontsize=9, color=SOFT, va="top")
    place = {"loc": "lower left", "bbox_to_anchor": (left, 0.01), "ncols": len(order), "frameon": False}
    figure.legend([handles[name] for name in order], [LABELS[name] for name in order], fontsize=9, **place)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def _case(axis: Any, y: int, ratios: dict[str, float]) -> dict[str, Any]:
    """The bars and marks of one line, and its figures in a gutter of their own."""
    handles: dict[str, Any] = {}
    for name, (_, colour, height) in BARS.items():
        if name in ratios:
            handles[name] = axis.barh(y, ratios[name] - 1, height, left=1, color=colour, linewidth=0, zorder=2)
    for name, (_, colour, mark) in MARKS.items():
        if name in ratios:
            handles[name] = axis.scatter(ratios[name], y, s=22, c=colour, marker=mark, zorder=3, ec="white", lw=0.5)
    written = [name for name in BARS if name in ratios] or list(ratios)
    for place, name in enumerate(written):
        text = f"{ratios[name]:.2f}" if ratios[name] < 10 else f"{ratios[name]:.0f}"
        where = {"xycoords": axis.get_yaxis_transform(), "xytext": (25 + 25 * place, 0), "textcoords": "offset points"}
        colour = BARS[name][1] if name == "pytorch tuned" else SOFT
        axis.annotate(text, (1, y), **where, ha="right", va="center", fontsize=8, color=colour)
    return handles


def _dress(axis: Any, title: str, lines: int, limits: tuple[float, float]) -> None:
    axis.set_title(title, fontsize=11, color=INK, fontweight="bold", loc="left")
    axis.set_xscale("log", base=2)
    axis.set_xlim(*limits)
    axis.set_ylim(lines - 0.5, -0.5)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×" if value >= 1 else f"1/{1 / value:g}"))
    axis.tick_params(length=0, labelsize=8, colors=SOFT)
    axis.grid(axis="x", color="#e6e6e6", zorder=0)
    axis.axvline(1, color=INK, lw=1, zorder=3)
    axis.axhline(lines - 1.5, color="#bbbbbb", lw=0.8, zorder=1)
    for y in range(0, lines, 2):
        axis.axhspan(y - 0.5, y + 0.5, color="#f6f6f6", zorder=-1, lw=0)
    for text, side, gap in (("← slower", "right", -6), ("faster →", "left", 6)):
        where = {"xycoords": axis.get_xaxis_transform(), "xytext": (gap, -25), "textcoords": "offset points"}
        axis.annotate(text, (1, 0), **where, ha=side, fontsize=8, color=SOFT)
    for side in axis.spines.values():
        side.set_visible(False)


def _circumstances(result: dict[str, Any]) -> str:
    about, threads = result["machine"], result["threads"]
    where = f"{about['cpu']}, {threads} thread{'s' * (threads != 1)}, {about['isa']}, float32, {result['date'][:10]}"
    return where + ("  ·  --quick: rough figures" if result["quick"] else "")


def draw_table(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the table's lines: a bar to the geometric mean, a mark at the lowest shape, a line at what is asked for."""
    figure, axis = plt.subplots(figsize=(8.4, 1.6 + 0.32 * len(rows)), layout="constrained")
    ratios = [
        row[kind][name] for row in rows for kind in ("default", "tuned") if kind in row for name in ("mean", "least")
    ]
    ratios += [row["target_mean"] for row in rows if row["target_mean"]]
    _dress(
        axis, "PyTorch's time ÷ atrous's, by line of the table", len(rows) + 1, (min(ratios) / 1.3, max(ratios) * 1.3)
    )
    handles: dict[str, Any] = {}
    for y, row in enumerate(rows):
        for kind, name in (("default", "pytorch"), ("tuned", "pytorch tuned")):
            if found := row.get(kind):
                _, colour, height = BARS[name]
                handles[LABELS[name]] = axis.barh(y, found["mean"] - 1, height, left=1, color=colour, lw=0, zorder=2)
        mark = {"s": 24, "marker": "|", "color": INK, "zorder": 4}
        handles["lowest shape"] = axis.scatter(row["default"]["least"], y, **mark)
        if row["target_mean"]:
            handles["at least"] = axis.scatter(row["target_mean"], y, s=30, marker="D", color="#d6604d", zorder=3)
    axis.set_yticks(range(len(rows)), [row["title"] for row in rows], fontsize=9)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, facecolor="white")
    plt.close(figure)
