"""The benchmarks: each runs, finds what is wrong before it times it, and says what it measured. No timing is judged."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("bench_*.py") if path.stem != "bench_memory")  # it times nothing


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture
def hasty(load, monkeypatch):
    """The harness, waiting for no quiet machine: no timing is judged here."""
    harness = load("harness")
    monkeypatch.setattr(harness, "settle", lambda: None)
    monkeypatch.setattr(harness, "ATTEMPTS", 1)
    return harness


def smallest(script):
    """The case with the least work of the quick ones in each column."""
    cases = sorted(script.cases(True), key=lambda case: -case.work)
    return {case.column: case for case in cases}.values()


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_agrees_with_its_reference_and_is_timed(load, hasty, without_torch, name):
    script = load(name)
    for case in smallest(script):
        measured = hasty.measure(case, rounds=1, seconds=0)
        expected = {"atrous"} if name == "bench_inference" else {"atrous", "reference"}
        assert measured["seconds"].keys() >= expected
        assert all(0 < seconds < math.inf for seconds in measured["seconds"].values())
        assert measured["errors"]["atrous"] <= case.tolerance
        assert case.work > 0


@pytest.mark.parametrize("name", SCRIPTS)
def test_pytorch_computes_the_same(load, name):
    pytest.importorskip("torch")
    harness, script = load("harness"), load(name)
    for case in smallest(script):
        truth, calls = case.setup()
        theirs = {name: call for name, call in calls.items() if name.startswith("pytorch")}
        assert theirs
        harness.verify(case, truth, theirs)


def test_full_and_quick_cases_have_names_of_their_own(load):
    for name in SCRIPTS:
        for quick in (False, True):
            names = [(case.row, case.column) for case in load(name).cases(quick)]
            assert len(set(names)) == len(names) > 0


@pytest.mark.parametrize("value", [1.1, np.nan])
def test_what_is_wrong_is_not_timed(load, value):
    harness = load("harness")
    calls = []

    def wrong():
        calls.append(1)
        return np.full(3, value)

    case = harness.Case("row", "column", 1, "GB/s", 1e-6, lambda: (np.ones(3), {"atrous": wrong}))
    measured = harness.measure(case, rounds=3, seconds=1)
    assert "atrous is off by" in measured["wrong"]
    assert len(calls) == 1


def run_here(load, monkeypatch, script, *argv):
    """run() with the two measuring processes replaced by calls."""
    harness, machine = load("harness"), load("machine")

    class Worker:
        def __init__(self, path, options, environment):
            self.tuned, self.cases = "tuned" in options, [case for case in script.cases(True)][:1]

        def ask(self, number):
            peers = ["atrous", "pytorch"] if self.tuned else ["atrous", *harness.PEERS]
            return harness.measure(self.cases[number], 1, 0, peers, verified=not self.tuned)

        def close(self):
            pass

    monkeypatch.setattr(harness, "_Worker", Worker)
    peaks = {"fma_gflops": 500.0, "copy_gbs": 40.0, "core_to_core_ns": 50}
    monkeypatch.setattr(machine, "peaks", lambda threads: peaks)
    return harness.run(script.__file__, lambda quick: [*script.cases(True)][:1], ["--quick", "--threads", "1", *argv])


@pytest.mark.usefixtures("hasty")
def test_report(load, monkeypatch, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    figures, picture = tmp_path / "a" / "figures.json", tmp_path / "picture.png"
    script = load("bench_linear")
    assert run_here(load, monkeypatch, script, "--json", str(figures), "--picture", str(picture)) == 0
    result = json.loads(figures.read_text(encoding="utf-8"))
    assert result["family"] == "linear"
    assert result["threads"] == 1
    assert result["machine"]["torch"] == torch.__version__
    assert result["peaks"]["copy_gbs"] == 40
    (row,) = result["results"]
    assert row["ratios"].keys() == {"reference", "numpy", "pytorch", "pytorch tuned"}
    assert row["ratios"]["pytorch"] == pytest.approx(row["seconds"]["pytorch"] / row["seconds"]["atrous"])
    assert row["share_of_peak"] == pytest.approx(row["work"] / row["seconds"]["atrous"] / 500)
    assert result["geometric_means"]["forward"] == pytest.approx(row["ratios"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "LeNet-5 F5" in printed
    assert "geometric mean" in printed


@pytest.mark.slow  # 8 s, most of them for the machine's peaks
def test_as_a_script_without_torch(cpu, tmp_path):
    """The whole way, through the processes that measure; --only finds one case."""
    (tmp_path / "torch.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), str(Path(cpu.__file__).parents[1])])
    figures, level = tmp_path / "figures.json", cpu.isa_levels()[-1]
    if level not in ("x86-64", "x86-64-v3"):
        pytest.skip("--isa knows the levels of x86-64")
    options = [
        "--quick",
        "--threads",
        "1",
        "--isa",
        level,
        "--peers",
        "numpy",
        "--only",
        "f5 · 64×400→120 input gradient",
        "--json",
        str(figures),
    ]
    command = [sys.executable, str(FOLDER / "bench_linear.py"), *options, "--picture", str(tmp_path / "picture.png")]
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    result = json.loads(figures.read_text(encoding="utf-8"))
    (row,) = result["results"]
    assert row["column"] == "input gradient"
    assert row["ratios"].keys() == {"numpy"}
    assert 0 < row["share_of_peak"] < 2
    assert result["machine"]["isa"] == level
    assert result["isa"]["ONEDNN_MAX_CPU_ISA"] == {"x86-64": "SSE41", "x86-64-v3": "AVX2"}[level]


def test_total_adds_up_a_line_and_takes_one_layout_for_all_of_it(load):
    report = load("report")
    nchw, last = "pytorch nchw", "pytorch channels-last"
    common = {"row": "layer", "work": 6.0, "unit": "GFLOP/s", "seconds_tuned": None}
    rows = [
        {**common, "column": "forward", "seconds": {"atrous": 1.0, "reference": 9.0, nchw: 2.0, last: 4.0}},
        {**common, "column": "gradient", "seconds": {"atrous": 2.0, "reference": 9.0, nchw: 6.0, last: 1.0}},
    ]
    row = report.total(rows, "both", {"fma_gflops": 8.0})
    assert (row["row"], row["column"], row["rate"], row["share_of_peak"]) == ("layer", "both", 4, 0.5)
    assert row["pytorch_layout"] == last
    assert row["ratios"] == pytest.approx({"reference": 6, "pytorch": 5 / 3})
    assert report.total([*rows, {"row": "layer", "column": "x", "wrong": "off"}], "both", {}) is None


def test_only_the_parts_of_a_total_are_added_up(load, monkeypatch):
    harness, report = load("harness"), load("report")

    class Worker:
        def ask(self, number):
            return {"errors": {}, "seconds": {"atrous": [1.0, 2.0, 10.0][number]}}

    cases = [harness.Case("layer", name, 3, "GB/s", 0, None, "line") for name in ("forward", "backward", "other")]
    result = {"results": [], "total": "both", "peaks": {}, "peers": []}
    monkeypatch.setattr(report, "print_row", lambda row, result: None)
    harness._fill(result, cases, [Worker()], {"forward", "backward"})
    columns = {row["column"]: row["seconds"]["atrous"] for row in result["results"]}
    assert columns == {"forward": 1, "other": 10, "backward": 2, "both": 3}
    assert result["results"][-1]["line"] == "line"


def test_what_others_disturb_is_measured_again_and_marked(load, monkeypatch, capsys):
    harness, report, shares = load("harness"), load("report"), iter([0.7, 0.02, 0.7, 0.6, 0.5])

    class Others:
        def cores(self):
            return next(shares)

    monkeypatch.setattr(harness.machine, "Others", Others)
    monkeypatch.setattr(harness, "interleave", lambda *given: {"atrous": 1.0})
    case = harness.Case("row", "column", 1, "GB/s", 0, lambda: (None, {"atrous": lambda: None}))
    quiet, busy = harness.measure(case, 1, 0), harness.measure(case, 1, 0)
    assert (quiet["others"], busy["others"]) == (0.02, 0.5)
    report.print_row(report.summarise(case, [quiet], {}), {"peers": []})
    report.print_row(report.summarise(case, [quiet, busy], {}), {"peers": []})
    lines = capsys.readouterr().out.splitlines()
    assert "busy" not in lines[0]
    assert "(0.5 cores busy with other work)" in lines[1]


def test_others_are_those_beside_this_process(load, monkeypatch):
    machine, clock = load("machine"), iter([(10.0, 5.0, 100.0), (12.0, 6.0, 104.0)])
    monkeypatch.setattr(machine.Others, "_now", staticmethod(lambda: next(clock)))
    assert machine.Others().cores() == 1.5  # in 2 s the cores worked for 4, of which 1 for this process


def test_a_long_call_is_timed_at_once_and_short_ones_after_some_that_warm_up(load, monkeypatch):
    harness = load("harness")
    counts = dict.fromkeys(["long", "short"], 0)

    def call(name, seconds):
        counts[name] += 1
        clock[0] += seconds

    clock = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(harness, "settle", lambda: None)
    calls = {"long": lambda: call("long", 0.1), "short": lambda: call("short", 0.006)}
    found = harness.interleave(calls, rounds=5, seconds=0.05)
    assert found == pytest.approx({"long": 0.1, "short": 0.006})
    assert counts == {"long": 3, "short": (1 + 2 + 1) * 3}  # three rounds, and the seconds are spent


def test_geometric_mean(load):
    assert load("report").geometric_mean([2, 0.5, 8, 0.125]) == pytest.approx(1)


@pytest.mark.usefixtures("hasty")
def test_a_wrong_kernel_fails_the_run(load, monkeypatch, tmp_path, cpu, capsys):
    script = load("bench_linear")
    monkeypatch.setattr(load("harness"), "_cpu", Doubled(cpu))
    figures = tmp_path / "figures.json"
    assert run_here(load, monkeypatch, script, "--json", str(figures), "--picture", str(tmp_path / "none.png")) == 1
    assert "WRONG: atrous is off by" in capsys.readouterr().out
    assert "seconds" not in json.loads(figures.read_text(encoding="utf-8"))["results"][0]


class Doubled:
    """A backend whose results are twice too large."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        function = getattr(self.module, name)
        return (lambda **arguments: 2 * function(**arguments)) if name == "linear_forward" else function


def test_environments(load, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    default, tuned = load("environment").environments(3)
    assert not [name for name in default if name.startswith("MALLOC_")]
    assert "OPENBLAS_CORETYPE" not in default
    assert default["OPENBLAS_NUM_THREADS"] == default["OMP_NUM_THREADS"] == "3"
    assert tuned == {**default, "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
    held = load("environment").environments(3, "x86-64-v3")[1]
    assert (held["ATROUS_ISA"], held["ONEDNN_MAX_CPU_ISA"], held["ATEN_CPU_CAPABILITY"]) == (
        "x86-64-v3",
        "AVX2",
        "avx2",
    )
    assert held.items() >= tuned.items()


def test_im2col_against_the_reference(load):
    """Chunks of images, stride, padding and dilation together."""
    from atrous import reference

    peers = load("peers")
    rng = np.random.default_rng(0)
    window = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    x, weight = rng.standard_normal((5, 3, 9, 8), np.float32), rng.standard_normal((4, 3, 3, 2), np.float32)
    program = peers.Im2col(5, 3, (9, 8), (3, 2), **window)
    program.chunk = 2  # the last one holds a single image
    y = reference.conv2d_forward(x, weight, None, **window, groups=1)
    np.testing.assert_allclose(program.forward(x, weight, None), y, atol=1e-5)
    grad_x = reference.conv2d_backward_input(y, weight, (9, 8), **window, groups=1)
    np.testing.assert_allclose(program.backward_input(y, weight, (9, 8)), grad_x, atol=1e-4)
    grad_weight = reference.conv2d_backward_weight(y, x, (3, 2), **window, groups=1)
    np.testing.assert_allclose(program.backward_weight(y, x), grad_weight, rtol=1e-4, atol=1e-4)


def test_what_python_costs_is_measured(load):
    overhead = load("overhead")
    for op in overhead.cases():
        forward, backward = overhead.measure(op, rounds=1)
        assert math.isfinite(forward)
        assert math.isfinite(backward)
