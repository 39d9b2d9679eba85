"""The picture of a benchmark: how many times faster than its competitors atrous is, a bar a case."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

# For each ratio its label, colour, and the height of its bar or the shape of its mark.
BARS = {"pytorch": ("PyTorch", "#b9d3ee", 0.74), "pytorch tuned": ("PyTorch, page faults tuned away", "#1f5fa8", 0.40)}
MARKS = {"numpy": ("NumPy, written for speed", "#e08214", "D"), "reference": ("NumPy reference", "#8c8c8c", "o")}
INK, MEAN = "#222222", "geometric mean"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draws the report as one panel a column of its table, one line a case, on a logarithmic axis around 1."""
    good = [row for row in result["results"] if "wrong" not in row]
    columns = list(dict.fromkeys(row["column"] for row in good))
    names = [*dict.fromkeys(row["row"] for row in good), MEAN]
    used = {name for row in good for name in row["ratios"]}
    ratios = [value for row in good for value in row["ratios"].values()]
    low, high = min(0.45, min(ratios) / 1.3), max(2.2, max(ratios) * 1.5)
    label_inches = 0.3 + 0.068 * max(map(len, names))
    width, body, top, foot = label_inches + 3.6 * len(columns), 0.30 * len(names) + 0.1, 1.0, 0.85
    figure, axes = plt.subplots(
        1, len(columns), figsize=(width, body + top + foot), sharey=True, squeeze=False, layout="none"
    )
    figure.subplots_adjust(
        left=label_inches / width, right=1 - 0.8 / width, bottom=foot / (body + top + foot),
        top=1 - top / (body + top + foot), wspace=0.30,
    )  # fmt: skip
    handles: dict[str, Any] = {}
    for axis, column in zip(axes[0], columns, strict=True):
        mean = {"row": MEAN, "ratios": result["geometric_means"][column]}
        handles |= _panel(axis, [*(row for row in good if row["column"] == column), mean], names, low, high)
        axis.set_title(column, fontsize=11, color=INK, fontweight="bold", loc="left")
    axes[0][0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0][0].get_yticklabels()[-1].set_fontweight("bold")
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    about, threads = result["machine"], result["threads"]
    left = 0.12 / width
    figure.text(left, 1 - 0.2 / (body + top + foot), f"{result['family']}: a competitor's time ÷ atrous's",
                fontsize=14, fontweight="bold", color=INK, va="top")  # fmt: skip
    where = f"{about['cpu']}, {threads} thread{'s' * (threads != 1)}, {about['isa']}, float32, {result['date'][:10]}"
    quick = "  ·  --quick: rough figures" if result["quick"] else ""
    figure.text(left, 1 - 0.5 / (body + top + foot), where + quick, fontsize=9, color="#555555", va="top")
    order = [name for name in (*BARS, *MARKS) if name in used]
    figure.legend([handles[name] for name in order], [(BARS | MARKS)[name][0] for name in order], loc="lower left",
                  bbox_to_anchor=(left, 0.01), ncols=len(order), frameon=False, fontsize=9)  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def _panel(axis: Any, rows: list[dict[str, Any]], names: list[str], low: float, high: float) -> dict[str, Any]:
    handles = {}
    for row in rows:
        y, ratios = names.index(row["row"]), row["ratios"]
        for name, (_, colour, height) in BARS.items():
            if name in ratios:
                handles[name] = axis.barh(y, ratios[name] - 1, height, left=1, color=colour, linewidth=0, zorder=2)
        for name, (_, colour, mark) in MARKS.items():
            if name in ratios:
                handles[name] = axis.scatter(ratios[name], y, s=22, c=colour, marker=mark, zorder=3, ec="white", lw=0.5)
        shown = [name for name in BARS if name in ratios] or [name for name in MARKS if name in ratios]
        for place, name in enumerate(shown):  # the figures, in a gutter of their own
            axis.text(1.12 + 0.12 * place, y, _figure(ratios[name]), transform=axis.get_yaxis_transform(), ha="right",
                      va="center", fontsize=8, color="#1f5fa8" if name == "pytorch tuned" else "#555555")  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xlim(low, high)
    axis.axvline(1, color=INK, lw=1, zorder=3)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×" if value >= 1 else f"1/{1 / value:g}"))
    axis.tick_params(length=0, labelsize=8, colors="#555555")
    axis.grid(axis="x", color="#e6e6e6", zorder=0)
    axis.set_axisbelow(True)
    for side in axis.spines.values():
        side.set_visible(False)
    axis.axhline(len(names) - 1.5, color="#bbbbbb", lw=0.8, zorder=1)
    for y in range(0, len(names), 2):
        axis.axhspan(y - 0.5, y + 0.5, color="#f6f6f6", zorder=-1, lw=0)
    axis.set_xlabel("← slower      faster →", fontsize=8, color="#555555")
    return handles


def _figure(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
