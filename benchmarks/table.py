"""Measures every line of the table that says how fast the CPU backend is, and prints it.

Runs the benchmarks one after the other (about 25 minutes on two cores, and a quarter of an hour more where
torch.compile works for the first time; 3 minutes with --quick), then reads their figures. Ratio: PyTorch's time ÷
atrous's; the geometric mean over the shapes of a line, and its lowest.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from environment import LEVELS, TUNED
from report import geometric_mean

RESULTS = Path(__file__).resolve().parent / "results" / "table"


@dataclass(frozen=True)
class Line:
    """A line of the table: which rows of which benchmarks it is made of, and what it should reach."""

    title: str
    key: str  # the `line` of the cases that count
    mean: float = 0.0  # what the geometric mean should be at least
    least: float = 0.0  # and what no row should be under
    ratio: str = "pytorch"  # the competitor
    row: str = ""  # only rows whose name begins so
    share: bool = False  # of the measured peak, instead of a ratio
    micros: str = ""  # microseconds of this column, at most `mean`, instead of a ratio


LINES = [
    Line("3×3 stride 1", "3×3", 2.0, 1.3),
    Line("atrous 3×3, dilation 2 and 4", "atrous", 1.8),
    Line("other dense convolutions", "dense", 1.1, 0.95),
    Line("depthwise, grouped, transposed", "grouped", 1.5, 1.0),
    Line("GEMM / linear", "linear", 1.8),
    Line("GEMM / linear against NumPy", "linear", 1.1, ratio="numpy"),
    Line("GEMM at 1024³, share of peak", "linear", 0.9, row="square 1024", share=True),
    Line("GEMM at 2048³, share of peak", "linear", 0.9, row="square 2048", share=True),
    Line("batch-norm", "batch-norm", 1.5),
    Line("batch-norm + relu", "batch-norm + relu", 3.0),
    Line("pooling, relu, add, upsampling", "memory-bound", 1.5, 1.0),
    Line("Adam, 11 M in 62 tensors", "Adam, ResNet-18", 1.3),
    Line("Adam, LeNet's 10 tensors", "Adam, LeNet-5", 5.0),
    Line("training step", "training", 2.2, 1.5),
    Line("training step, LeNet batch 1", "training", 4.0, row="LeNet-5, batch 1"),
    Line("inference", "inference", 2.0),
    Line("inference against ONNX Runtime", "inference", 1.0, ratio="onnxruntime"),
    Line("peak memory of a training step", "memory", least=1.0),
    Line("op overhead forward, µs (at most)", "overhead", 3.0, micros="forward"),
    Line("op overhead backward, µs (at most)", "overhead", 3.0, micros="backward"),
]

# The benchmarks behind them, each with its competitors.
BENCHMARKS: dict[str, list[str]] = {
    "conv2d": ["pytorch"],
    "linear": ["numpy", "pytorch"],
    "layers": ["pytorch"],
    "pool2d": ["pytorch"],
    "activation": ["pytorch"],
    "adam": ["pytorch"],
    "training_step": ["pytorch"],
    "inference": ["pytorch", "onnxruntime"],
    "memory": [],
    "overhead": [],
}
ROUNDS = "5"  # fewer turns than a benchmark has alone
if not Path(__file__).with_name("overhead.py").exists():
    del BENCHMARKS["overhead"]


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    folder = args.results
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in BENCHMARKS if not args.only or name in args.only]
    failed = [name for name in ([] if args.report else chosen) if not run_benchmark(name, folder, args)]
    there = {name: folder / f"{name}.json" for name in BENCHMARKS if (folder / f"{name}.json").exists()}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in there.items()}
    rows = [summarise(line, results) for line in LINES]
    text = markdown(rows, results)
    print("\n" + text)
    (folder / "table.md").write_text(text, encoding="utf-8")
    summary = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "lines": rows}
    (folder / "table.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"figures: {folder / 'table.json'}, {folder / 'table.md'}")
    draw(rows, folder / "table.png")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run_benchmark(name: str, folder: Path, args: argparse.Namespace) -> bool:
    """Runs one in a process of its own, and says whether every result was right; no time makes it fail."""
    script, figures = Path(__file__).with_name(f"bench_{name}.py"), folder / f"{name}.json"
    figures.unlink(missing_ok=True)
    if name == "overhead":
        measure_overhead(figures, args)
        return True
    options = ["--json", str(figures), *(["--quick"] if args.quick else [])]
    options += ["--threads", str(args.threads)] if args.threads else []
    if peers := BENCHMARKS[name]:
        options += ["--table", "--peers", *peers, "--picture", str(folder / f"{name}.png")]
        options += [] if args.quick else ["--rounds", ROUNDS]
        options += ["--isa", args.isa] if args.isa else []
    start = time.perf_counter()
    print(f"\n=== {script.name}", flush=True)
    done = subprocess.run([sys.executable, str(script), *options], check=False)
    print(f"{script.name}: exit code {done.returncode}, {time.perf_counter() - start:.0f} s", flush=True)
    return done.returncode == 0


def measure_overhead(figures: Path, args: argparse.Namespace) -> None:
    """Runs overhead.py in this process; its figures are microseconds, which it prints as a table of its own."""
    import overhead

    rows = []
    for op in overhead.cases():
        for column, micros in zip(("forward", "backward"), overhead.measure(op), strict=True):
            rows.append({"row": op.name, "column": column, "line": "overhead", "micros": micros})
    result = {"family": "overhead", "quick": args.quick, "total": "", "results": rows}
    figures.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def summarise(line: Line, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A line's figures: geometric mean and lowest of its rows, in both environments, and whether that is enough."""
    rows = [row for result in results.values() for row in counted(result, line)]
    found: dict[str, Any] = {
        "title": line.title,
        "target_mean": line.mean or None,
        "target_least": line.least or None,
        "rows": len(rows),
        "wrong": [f"{row['row']} {row['column']}" for row in rows if "wrong" in row],
    }
    rows = [row for row in rows if "wrong" not in row]
    found["disturbed"] = sum(row.get("others", 0.0) > 0.1 for row in rows)
    if line.micros:
        return found | most(line, rows)
    for kind, name in (("default", line.ratio), ("tuned", f"{line.ratio} tuned")):
        values = {row["row"]: row["share_of_peak"] if line.share else row["ratios"].get(name) for row in rows}
        values = {row: value for row, value in values.items() if value}
        if values and not (line.share and kind == "tuned"):
            lowest = min(values, key=values.__getitem__)
            found[kind] = {"mean": geometric_mean(values.values()), "least": values[lowest], "least_row": lowest}
    if default := found.get("default"):
        enough = default["mean"] >= line.mean and default["least"] >= line.least
        found["reached"] = enough and not found["wrong"]
    return found


def most(line: Line, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of overheads in microseconds: the highest counts."""
    values = {row["row"]: row["micros"] for row in rows}
    if not values:
        return {}
    highest = max(values, key=values.__getitem__)
    figures = {"mean": geometric_mean(values.values()), "least": values[highest], "least_row": highest}
    return {"default": figures, "reached": figures["least"] <= line.mean}


def counted(result: dict[str, Any], line: Line) -> list[dict[str, Any]]:
    """The rows of a benchmark that count for a line: sums over the directions where it has them, and what failed."""
    rows = [row for row in result["results"] if row.get("line") == line.key and row["row"].startswith(line.row)]
    if line.micros:
        rows = [row for row in rows if row["column"] == line.micros]
    totals = {row["row"] for row in rows if result["total"] and row["column"] == result["total"]}
    return [row for row in rows if "wrong" in row or row["row"] not in totals or row["column"] == result["total"]]


def markdown(rows: list[dict[str, Any]], results: dict[str, dict[str, Any]]) -> str:
    """The table, with where and how it was measured above it."""
    if not any("machine" in result for result in results.values()):
        return "nothing was measured\n"
    head = ["", "shapes", "at least", "PyTorch", "lowest", "PyTorch*", "lowest*", "slowest shape", ""]
    body = [cells(row) for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return f"{circumstances(rows, results)}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cells(row: dict[str, Any]) -> list[str]:
    """One line of the table as text."""
    target = " / ".join(f"{row[name]:g}" for name in ("target_mean", "target_least") if row[name])
    default, tuned = row.get("default"), row.get("tuned")
    figures = [f"{kind[name]:.2f}" if kind else "–" for kind in (default, tuned) for name in ("mean", "least")]
    slowest = default["least_row"] if default and row["rows"] > 1 else ""
    mark = f"WRONG: {', '.join(row['wrong'])}" if row["wrong"] else "not measured" if not default else ""
    return [row["title"], str(row["rows"]), target, *figures, slowest, mark or ("✓" if row["reached"] else "below")]


def circumstances(rows: list[dict[str, Any]], results: dict[str, dict[str, Any]]) -> str:
    """The machine, versions, date and environment, from the first benchmark that notes them."""
    result = next(result for result in results.values() if "machine" in result)
    about = result["machine"]
    names = {
        "atrous": "atrous",
        "commit": "commit",
        "torch": "PyTorch",
        "numpy": "NumPy",
        "onnxruntime": "ONNX Runtime",
    }
    versions = ", ".join(f"{title} {about[name]}" for name, title in names.items() if about.get(name))
    peaks = result.get("peaks", {})
    peak = f", {peaks['fma_gflops']:.0f} GFLOP/s and {peaks['copy_gbs']:.0f} GB/s measured" if peaks else ""
    text = f"{about['cpu']}, {about['cores']} cores, {result['threads']} threads, {about['isa']}{peak}; {versions}; "
    text += f"Python {about['python']}, {about['system']}; {result['date'][:10]}."
    if result.get("isa"):
        text += " Held to one level: " + " ".join(f"{name}={value}" for name, value in result["isa"].items()) + "."
    text += f" PyTorch*: {' '.join(f'{name}={value}' for name, value in TUNED.items())}."
    if disturbed := sum(row["disturbed"] for row in rows):
        text += f" {disturbed} of {sum(row['rows'] for row in rows)} rows were measured beside other work."
    return text + (" --quick: rough figures over few shapes." if result["quick"] else "")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """The picture of the table, where matplotlib is there."""
    try:
        import picture
    except ImportError as error:
        print(f"no picture: {error} (pip install 'atrous[train]' brings matplotlib)")
        return
    measured = [row for row in rows if "default" in row and "µs" not in row["title"]]
    if measured:
        picture.draw_table(measured, path)
        print(f"picture: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="table.py")
    parser.add_argument("--quick", action="store_true", help="few shapes, in 3 minutes; the figures are rough")
    parser.add_argument(
        "--only", nargs="+", choices=list(BENCHMARKS), help="run these benchmarks; the others' figures stay"
    )
    parser.add_argument(
        "--report", action="store_true", help="run nothing; print the table of the figures that are there"
    )
    parser.add_argument("--threads", type=int, help="default: the cores that this process may use")
    parser.add_argument("--isa", default="", choices=["", *LEVELS], help="hold atrous and PyTorch to this level")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for figures and pictures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
