"""The table, the JSON file and the picture of a benchmark."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RATIOS = ["reference", "numpy", "onnxruntime", "pytorch", "pytorch tuned"]
TITLES = dict(zip(RATIOS, ["reference", "NumPy", "ONNX RT", "PyTorch", "PyTorch*"], strict=True))


def summarise(case: Any, answers: list[dict[str, Any]], peaks: dict[str, float | None]) -> dict[str, Any]:
    """One line of the report, from what the processes measured of a case: the default one, perhaps the tuned one."""
    row = {"row": case.row, "column": case.column, "work": case.work, "unit": case.unit, "tolerance": case.tolerance}
    row["line"] = case.line
    for answer in answers:
        if "wrong" in answer:
            return row | {"wrong": answer["wrong"]}
    row |= {"errors": answers[0]["errors"], "seconds": answers[0]["seconds"], "seconds_tuned": None}
    row["others"] = max(answer.get("others", 0.0) for answer in answers)
    if len(answers) > 1:
        row["seconds_tuned"] = answers[1]["seconds"]
    return _with_ratios(row, peaks)


def total(rows: list[dict[str, Any]], title: str, peaks: dict[str, float | None]) -> dict[str, Any] | None:
    """The line `title` that adds up the times of some lines, or None if one of them is wrong."""
    if any("wrong" in row for row in rows):
        return None
    first = rows[0]
    row = {name: first.get(name) for name in ("row", "unit", "line")}
    row |= {"column": title, "work": sum(row["work"] for row in rows)}
    row["others"] = max(part.get("others", 0.0) for part in rows)
    for kind in ("seconds", "seconds_tuned"):
        row[kind] = first[kind] and {name: sum(row[kind][name] for row in rows) for name in first[kind]}
    return _with_ratios(row, peaks)


def _with_ratios(row: dict[str, Any], peaks: dict[str, float | None]) -> dict[str, Any]:
    seconds, tuned = row["seconds"], row["seconds_tuned"] or {}
    others = ("reference", "numpy", "onnxruntime")
    ratios = {name: seconds[name] / seconds["atrous"] for name in others if name in seconds}
    for name, times in (("pytorch", seconds), ("pytorch tuned", tuned)):
        if best := fastest_pytorch(times):
            ratios[name] = times[best] / times["atrous"]
    rate = row["work"] / seconds["atrous"]
    peak = peaks.get({"GFLOP/s": "fma_gflops", "GB/s": "copy_gbs"}.get(row["unit"], ""))
    share = rate / peak if peak else None
    return row | {"pytorch_layout": fastest_pytorch(seconds), "rate": rate, "share_of_peak": share, "ratios": ratios}


def fastest_pytorch(seconds: dict[str, float]) -> str | None:
    """The better of PyTorch's layouts, or None without PyTorch."""
    return min((name for name in seconds if name.startswith("pytorch")), key=seconds.get, default=None)


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm: twice as fast here and half as fast there is 1."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def print_header(result: dict[str, Any]) -> None:
    """The machine and its peaks, what was changed in the environment, and the head of the table."""
    about, peaks = result["machine"], result["peaks"]
    names = ("atrous", "commit", "numpy", "torch", "onnxruntime")
    versions = ", ".join(f"{name} {about[name]}" for name in names if about[name])
    where = f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['load']:.1f} busy"
    print(f"{result['family']} · float32 · {result['threads']} threads · {where}")
    print(f"{versions}, Python {about['python']}, {about['system']}")
    if peaks.get("fma_gflops"):
        core = f"core to core {peaks['core_to_core_ns'] or 0:.0f} ns"
        print(f"measured peaks: {peaks['fma_gflops']:.0f} GFLOP/s, copy {peaks['copy_gbs']:.0f} GB/s, {core}")
    if about["load"] > 0.5 * about["cores"]:
        print("the machine is busy with other work: these figures say little")
    if result["isa"]:
        print("held to one level:", *(f"{name}={value}" for name, value in result["isa"].items()))
    if result["unset"]:
        print(f"unset for this run: {', '.join(result['unset'])}")
    print("Times are medians of atrous; peak: the share of it reached, above 100 % where data stay in the caches;")
    print("×: a competitor's time over atrous's, more is better for atrous.")
    print(f"PyTorch in its better layout; PyTorch*: page faults tuned away ({' '.join(result['tuned'])})")
    print(
        f"\n{'':44} {'':19} {'time':>9} {'rate':>13} {'peak':>5}", *(f"{TITLES[name]:>9}" for name in _columns(result))
    )


def _columns(result: dict[str, Any]) -> list[str]:
    """The ratios that the competitors of this run have."""
    return [name for name in RATIOS if name.split()[0] in result["peers"]]


def print_row(row: dict[str, Any], result: dict[str, Any]) -> None:
    """One line of the table."""
    head = f"{row['row']:44} {row['column']:19}"
    if "wrong" in row:
        print(f"{head} WRONG: {row['wrong']}", flush=True)
        return
    share = f"{row['share_of_peak']:4.0%}" if row["share_of_peak"] else ""
    rate = f"{row['rate']:.{1 if row['rate'] < 100 else 0}f} {row['unit']}"
    figures = f"{_time(row['seconds']['atrous']):>9} {rate:>13} {share:>5}"
    mark = f"  ({row['others']:.1f} cores busy with other work)" if row["others"] > 0.1 else ""
    print(f"{head} {figures} {_ratios(row['ratios'], _columns(result))}{mark}", flush=True)


def finish(result: dict[str, Any], json_path: Path, picture_path: Path) -> int:
    """Prints the geometric means, writes the JSON and the picture; returns the exit code."""
    good = [row for row in result["results"] if "wrong" not in row]
    columns = list(dict.fromkeys(row["column"] for row in good))
    means = {column: _means([row for row in good if row["column"] == column]) for column in columns}
    if len(columns) > 1:
        means["all"] = _means([row for row in good if row["column"] != result["total"]])
    result["geometric_means"] = means
    for column, ratios in means.items():
        print(f"{'geometric mean':44} {column:49}", _ratios(ratios, _columns(result)))
    if after := result["peaks"].get("core_to_core_ns_after"):
        print(f"core to core, afterwards: {after:.0f} ns")
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"figures: {json_path}")
    if good:
        _draw(result, picture_path)
    return 0 if len(good) == len(result["results"]) else 1


def _draw(result: dict[str, Any], path: Path) -> None:
    try:
        import picture
    except ImportError as error:
        print(f"no picture: {error} (pip install 'atrous[train]' brings matplotlib)")
        return
    picture.draw(result, path)
    print(f"picture: {path}")


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    found = {name: [row["ratios"][name] for row in rows if name in row["ratios"]] for name in RATIOS}
    return {name: geometric_mean(values) for name, values in found.items() if values}


def _ratios(ratios: dict[str, float], columns: list[str]) -> str:
    return " ".join(f"{_ratio(ratios[name]):>9}" if name in ratios else f"{'–':>9}" for name in columns)


def _ratio(value: float) -> str:
    return f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def _time(seconds: float) -> str:
    scale, unit = (1e6, "µs") if seconds < 1e-3 else (1e3, "ms")
    value = seconds * scale
    return f"{value:.{0 if value >= 100 else 1}f} {unit}"
