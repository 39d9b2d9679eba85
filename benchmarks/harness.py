"""Verify, then time. What every benchmark shares.

A benchmark is a list of `Case`s. Two worker processes measure each: one in the environment as it is (but for OpenBLAS,
see environment.py), one with malloc told to keep its pages, where PyTorch pays no page faults. In each process the
competitors take turns, a few milliseconds each, so that whatever else the machine does meets all of them alike.
"""

import argparse
import copy
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import machine
import report
from atrous import _cpu, reference
from environment import LEVELS, TUNED, environments
from peers import pytorch, torch

Call = Callable[[], Any]  # one piece of work; what it returns is compared with the truth, as far as it goes
Outcome = tuple[Any, dict[str, Call]]  # what a case's setup returns: the truth, or a Call for it, and the competitors
PEERS = ["reference", "numpy", "pytorch"]  # those of the kernels
DISTURBED = 0.1  # cores at work for others; what they disturb is measured again, if it was short, and marked
ATTEMPTS = 3
ISA = "hold atrous and PyTorch (oneDNN, MKL and its own kernels) to this instruction-set level; the others keep theirs"


@dataclass(frozen=True)
class Case:
    """One thing to time, a cell of the report.

    `setup` makes the data and returns the true outputs and the competitors by name: "atrous", "reference", "numpy",
    "onnxruntime", "pytorch" or "pytorch <layout>", of which the fastest counts. An output may differ from the truth by
    `tolerance` times the largest true element; a competitor that returns None has nothing to compare (other random
    numbers). `line` names the line of the table (table.py) for which the case counts, if it does. `by_norm` compares
    Euclidean norms instead of the largest elements.
    """

    row: str
    column: str
    work: float  # of one call, in 1e9 operations or bytes, or in images
    unit: str  # "GFLOP/s", "GB/s" or "images/s"
    tolerance: float
    setup: Callable[[], Outcome]
    line: str = ""
    by_norm: bool = False


def kernel(
    name: str,
    arguments: dict[str, Any],
    torch_call: Callable[..., Any],
    torch_arrays: Sequence[Any],
    numpy_call: Call | None = None,
    truth: Any = reference,
) -> Outcome:
    """The truth and the competitors of a kernel function: atrous, the reference, PyTorch, perhaps a NumPy program.

    The truth is the reference, or the module given, on the same numbers in float64. PyTorch runs
    torch_call(torch, *tensors).
    """

    def call(module: Any, given: dict[str, Any]) -> Any:
        result = getattr(module, name)(**given)
        return given["params"] if result is None else result  # None: the optimizers, which work in place

    modules = {"atrous": _cpu, "reference": reference}
    calls: dict[str, Call] = {title: partial(call, m, copy.deepcopy(arguments)) for title, m in modules.items()}
    calls |= pytorch(torch_call, torch_arrays)
    if numpy_call is not None:
        calls["numpy"] = numpy_call
    return partial(call, truth, _in_float64(arguments)), calls


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal float32 numbers; four axes are (N, C, H, W) in channels-last memory."""
    rng = np.random.default_rng((seed, *shape))
    if len(shape) != 4:
        return rng.standard_normal(shape, np.float32)
    N, C, H, W = shape
    return rng.standard_normal((N, H, W, C), np.float32).transpose(0, 3, 1, 2)


def verify(case: Case, truth: Any, calls: dict[str, Call]) -> dict[str, float]:
    """The error of each competitor: |output - truth| over the largest |truth|. Raises ArithmeticError if too large.

    Others than atrous may be off by five tolerances: PyTorch's weight gradient over 200,000 pixels is off by 2.6e-5.
    """
    errors = {}
    truth = truth() if callable(truth) else truth
    for name, call in calls.items():
        errors[name] = 0.0
        for got, true in zip(_arrays(call()), _arrays(truth), strict=False):
            if got.shape != true.shape:
                raise ArithmeticError(f"{name} returns shape {got.shape}; expected {true.shape}: not timed")
            size = np.linalg.norm if case.by_norm else lambda values: np.abs(values).max()
            off = float(size((got.astype(np.float64) - true).ravel())) / (float(size(true.ravel())) or 1.0)
            errors[name] = math.inf if math.isnan(off) else max(errors[name], off)
        limit = case.tolerance * (1 if name == "atrous" else 5)
        if errors[name] > limit:
            raise ArithmeticError(f"{name} is off by {errors[name]:.1e}, limit {limit:.0e}: not timed")
    return errors


def interleave(calls: dict[str, Call], rounds: int, seconds: float) -> dict[str, float]:
    """Median seconds of one call of each competitor; in every round each runs for a few ms, after as many untimed.

    A call of 50 ms or more is timed at once. A competitor leaves after three rounds when it has used up its `seconds`.
    """
    samples: dict[str, list[float]] = {name: [] for name in calls}
    used = dict.fromkeys(calls, 0.0)
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            for name, call in calls.items():
                if turn >= 3 and used[name] > seconds:
                    continue
                settle()
                first = _time(call, 1)
                used[name] += first
                if first > 0.05:  # what another left in the caches does not matter here
                    samples[name].append(first)
                    continue
                wake(call)
                repeats = max(1, min(1000, int(2e-4 / first)))  # a sample lasts 0.2 ms or more
                deadline = time.perf_counter() + 5e-3
                while True:
                    samples[name].append(_time(call, repeats))
                    if time.perf_counter() > deadline:
                        break
                used[name] += 5e-3 + samples[name][-1] * repeats
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in samples.items()}


def settle() -> None:
    """Waits until this process burns no time: OpenMP's and OpenBLAS's threads spin for up to 110 ms after their work.

    The time of threads on other cores is counted at every tick of the kernel's clock, 4 ms apart: a sleep spans two.
    """
    for _ in range(50):
        before = time.process_time()
        time.sleep(1e-2)
        if time.process_time() - before < 1e-3:
            return


def wake(call: Call, seconds: float = 1e-2) -> None:
    """Calls until the cores run at their speed: after a pause the second one of a virtual machine takes up to 5 ms."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        call()


def run(
    script: str,
    cases: Callable[[bool], Iterable[Case]],
    argv: Sequence[str] | None,
    total: str = "",
    parts: Sequence[str] = (),
    peers: Sequence[str] = PEERS,
) -> int:
    """Runs a benchmark from the command line; returns 1 if a case failed its verification, and times nothing there.

    `total` names a further column that adds up those of a row that `parts` names, by default all of them.
    """
    args = _parser(script, peers).parse_args(argv)
    chosen = [case for case in cases(args.quick) if args.only.lower() in f"{case.row} {case.column}".lower()]
    if args.table:
        chosen = [case for case in chosen if case.line]
    rounds = args.rounds or (3 if args.quick else 11)
    seconds = 0.05 if args.quick else 0.045 * rounds
    if args.worker:
        peers = ["atrous", *(["pytorch"] if args.worker == "tuned" else args.peers)]
        return _work(chosen, rounds, seconds, args.threads, peers, verified=args.worker == "default")
    if not chosen:
        print(f"no case matches {args.only!r}", file=sys.stderr)
        return 1
    if args.isa:
        _cpu.set_isa(args.isa)
    result = {
        "family": Path(script).stem.removeprefix("bench_"),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "quick": args.quick,
        "threads": args.threads,
        "dtype": "float32",
        "machine": machine.describe(),
        "isa": LEVELS.get(args.isa, {}),
        "peaks": machine.peaks(args.threads),
        "unset": sorted(name for name in os.environ if name.startswith(("OPENBLAS_", "MALLOC_"))),
        "tuned": TUNED,
        "peers": args.peers,
        "total": total,
        "results": [],
    }
    report.print_header(result)
    options = ["--threads", str(args.threads), "--only", args.only, *(["--quick"] if args.quick else [])]
    options += ["--table"] if args.table else []
    options += ["--rounds", str(rounds), "--peers", *args.peers]
    default, tuned = environments(args.threads, args.isa)
    workers = [_Worker(script, [*options, "--worker", "default"], default)]
    if result["machine"]["torch"] and "pytorch" in args.peers:
        workers.append(_Worker(script, [*options, "--worker", "tuned"], tuned))
    _fill(result, chosen, workers, set(parts) or {case.column for case in chosen})
    for worker in workers:
        worker.close()
    result["peaks"]["core_to_core_ns_after"] = machine.core_to_core()
    return report.finish(result, args.json, args.picture)


def _fill(result: dict[str, Any], cases: list[Case], workers: list["_Worker"], parts: set[str]) -> None:
    rows = result["results"]
    for i, case in enumerate(cases):
        rows.append(report.summarise(case, [worker.ask(i) for worker in workers], result["peaks"]))
        report.print_row(rows[-1], result)
        found = [row for row in rows if row["row"] == case.row and row["column"] in parts]
        complete = result["total"] and case.column in parts and len(found) == len(parts) > 1
        if complete and (row := report.total(found, result["total"], result["peaks"])):
            rows.append(row)
            report.print_row(row, result)


def _parser(script: str, peers: Sequence[str]) -> argparse.ArgumentParser:
    results = Path(script).resolve().parent / "results" / Path(script).stem
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__, prog=Path(script).name)
    parser.add_argument("--quick", action="store_true", help="a few small cases, in seconds; the figures are rough")
    parser.add_argument("--threads", type=int, default=_cpu.default_num_threads(), help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--table", action="store_true", help="only cases that count for the table (table.py)")
    parser.add_argument("--peers", nargs="+", default=peers, choices=peers, help="default: all that are there")
    parser.add_argument("--rounds", type=int, help="of turns, at most (default: 11; 3 with --quick)")
    parser.add_argument("--isa", default="", choices=[name for name in LEVELS if name in _cpu.isa_levels()], help=ISA)
    parser.add_argument("--json", type=Path, default=f"{results}.json", help="where the figures go")
    parser.add_argument("--picture", type=Path, default=f"{results}.png", help="where the picture goes")
    parser.add_argument("--worker", choices=["default", "tuned"], help=argparse.SUPPRESS)
    return parser


class _Worker:
    """A process that measures the case whose number it is told, one at a time."""

    def __init__(self, script: str, options: list[str], environment: dict[str, str]):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, script, *options], env=environment, **pipes)

    def ask(self, number: int) -> dict[str, Any]:
        print(number, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a benchmark process ended with exit code {self.process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(
    case: Case, rounds: int, seconds: float, peers: Sequence[str] = ("atrous", *PEERS), verified: bool = True
) -> dict[str, Any]:
    """The errors and median seconds of a case's competitors; where one is wrong, nothing but the reason, as "wrong".

    Only those in `peers` take part. The tuned process does not verify: its calls are those of the default one.
    """
    truth, calls = case.setup()
    calls = {name: call for name, call in calls.items() if name.split()[0] in peers}
    try:
        errors = verify(case, truth, calls) if verified else {}
    except ArithmeticError as error:
        return {"wrong": str(error)}
    del truth
    for _ in range(ATTEMPTS):
        others, start = machine.Others(), time.perf_counter()
        answer = {"errors": errors, "seconds": interleave(calls, rounds, seconds), "others": others.cores()}
        if answer["others"] < DISTURBED or time.perf_counter() - start > 5:
            break
    return answer


def _work(cases: list[Case], rounds: int, seconds: float, threads: int, peers: Sequence[str], verified: bool) -> int:
    _cpu.set_num_threads(threads)
    if torch() is not None:
        torch().set_num_threads(threads)
    for line in sys.stdin:
        print(json.dumps(measure(cases[int(line)], rounds, seconds, peers, verified)), flush=True)
    return 0


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _arrays(outputs: Any) -> list[np.ndarray]:
    if outputs is None:
        return []
    return [np.asarray(item) for item in (outputs if isinstance(outputs, (tuple, list)) else [outputs])]


def _in_float64(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_float64(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_in_float64(item) for item in value)
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value
