"""benchmarks/table.py: which rows count for which line, what is reached, and what the report says."""

import json
import subprocess
from pathlib import Path

import pytest

FIGURES = {
    "conv2d": {
        "total": "both",
        "quick": False,
        "threads": 2,
        "date": "2026-01-02T03:04:05+00:00",
        "isa": {"ATROUS_ISA": "x86-64-v3"},
        "peaks": {"fma_gflops": 100.0, "copy_gbs": 20.0},
        "machine": {"cpu": "C", "cores": 2, "isa": "x", "python": "3", "system": "L", "torch": "9.9", "commit": "abc"},
        "results": [
            {"row": "a", "column": "forward", "line": "3×3", "ratios": {"pytorch": 50.0}},
            {"row": "a", "column": "both", "line": "3×3", "ratios": {"pytorch": 1.0, "pytorch tuned": 2.0}},
            {"row": "b", "column": "both", "line": "3×3", "ratios": {"pytorch": 4.0, "pytorch tuned": 8.0}},
            {"row": "c", "column": "both", "line": "", "ratios": {"pytorch": 50.0}},
            {"row": "d", "column": "both", "line": "atrous", "ratios": {"pytorch": 2.0}},
            {"row": "e", "column": "forward", "line": "atrous", "wrong": "off"},
        ],
    },
    "linear": {
        "total": "",
        "results": [
            {
                "row": "square 1024 · x",
                "column": "f",
                "line": "linear",
                "ratios": {"pytorch": 2.0},
                "share_of_peak": 0.95,
            },
            {"row": "small", "column": "f", "line": "linear", "ratios": {"numpy": 3.0}, "share_of_peak": 0.1},
        ],
    },
    "overhead": {
        "total": "",
        "results": [
            {"row": "add", "column": "forward", "line": "overhead", "micros": 2.0},
            {"row": "conv", "column": "forward", "line": "overhead", "micros": 8.0},
            {"row": "add", "column": "backward", "line": "overhead", "micros": 1.0},
        ],
    },
}


def test_the_table_counts_totals_and_says_what_is_reached(load):
    table = load("table")
    found = {line.title: table.summarise(line, FIGURES) for line in table.LINES}
    first = found["3×3 stride 1"]
    assert first["default"] == pytest.approx({"mean": 2.0, "least": 1.0, "least_row": "a"})
    assert first["tuned"]["mean"] == pytest.approx(4)
    assert first["rows"] == 2
    assert not first["reached"]  # row a is under 1.3
    atrous = found["atrous 3×3, dilation 2 and 4"]
    assert atrous["wrong"] == ["e forward"]
    assert not atrous["reached"]
    assert found["GEMM / linear"]["reached"]
    assert found["GEMM / linear against NumPy"]["default"]["mean"] == pytest.approx(3)
    assert found["GEMM at 1024³, share of peak"]["default"]["least"] == 0.95
    assert found["op overhead forward, µs (at most)"]["default"]["least_row"] == "conv"
    assert not found["op overhead forward, µs (at most)"]["reached"]
    assert found["op overhead backward, µs (at most)"]["reached"]
    assert "default" not in found["training step"]


def test_the_table_is_written_and_drawn(load, tmp_path, capsys):
    table = load("table")
    for name, figures in FIGURES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(figures), encoding="utf-8")
    pytest.importorskip("matplotlib")
    load("table").BENCHMARKS["overhead"] = []
    assert table.main(["--report", "--results", str(tmp_path)]) == 0
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "commit abc, PyTorch 9.9" in text
    assert "Held to one level: ATROUS_ISA=x86-64-v3." in text
    assert "| 3×3 stride 1 | 2 | 2 / 1.3 | 2.00 | 1.00 | 4.00 | 2.00 | a | below |" in text
    assert "WRONG: e forward" in text
    assert "| training step | 0 | 2.2 / 1.5 | – | – | – | – |  | not measured |" in text
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert table.markdown([], {}) == "nothing was measured\n"


def test_a_benchmark_that_fails_fails_the_table(load, monkeypatch, tmp_path, capsys):
    table, commands = load("table"), []

    def run(command, check):
        commands.append(command)
        return subprocess.CompletedProcess(command, int("bench_adam" in command[1]))

    monkeypatch.setattr(table.subprocess, "run", run)
    options = ["--quick", "--isa", "x86-64", "--results", str(tmp_path), "--only", "linear", "memory"]
    assert table.main(options) == 0
    assert table.main([*options, "adam"]) == 1
    assert capsys.readouterr().err == "failed: adam\n"
    first, second = commands[:2]
    assert Path(first[1]).name == "bench_linear.py"
    assert {"--table", "--quick", "--isa"} <= set(first)
    assert "--isa" not in second


def test_every_line_of_the_table_has_cases_in_full_and_short_runs(load):
    table = load("table")
    for quick in (False, True):
        keys = {
            case.line
            for name in table.BENCHMARKS
            if name not in ("memory", "overhead")
            for case in load(f"bench_{name}").cases(quick)
        }
        missing = {line.key for line in table.LINES} - keys - {"memory", "overhead"}
        assert missing <= ({"Adam, ResNet-18"} if quick else set())


def test_only_what_counts_for_the_table_is_run(load, monkeypatch, tmp_path):
    harness, asked = load("harness"), []
    cases = [harness.Case("a", "c", 1, "GB/s", 0, None, "line"), harness.Case("b", "c", 1, "GB/s", 0, None)]
    monkeypatch.setattr(harness, "_fill", lambda result, chosen, *rest: asked.extend(case.row for case in chosen))
    monkeypatch.setattr(harness, "_Worker", lambda *given: type("W", (), {"close": lambda self: None})())
    monkeypatch.setattr(load("machine"), "peaks", lambda threads: {})
    harness.run(str(tmp_path / "bench_x.py"), lambda quick: cases, ["--table"])
    assert asked == ["a"]
