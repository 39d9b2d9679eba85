"""The GPU's memory-bound kernels: share of what a device copy moves, and PyTorch on the same GPU beside them.

    python benchmarks/gpu_kernels.py            needs a GPU and CuPy; PyTorch where it is installed
    python benchmarks/gpu_kernels.py --quick    small arrays, few rounds: whether it runs

Inputs exceed the second-level cache. Times are medians between events on the stream, the competitors in turns, each
behind a copy that keeps the GPU busy until the call has launched all its kernels: the GPU's time is measured, and not
Python's. Bytes are those that must move: batch-norm in training reads x twice and writes y forward, reads x and grad_y
twice and writes grad_x backward. Every result is compared with the CPU's kernel first.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import atrous as at
from atrous import _cpu, gpu

EPS = 1e-5
TOLERANCE = 1e-5  # of the largest element
AHEAD = 1 << 30  # bytes copied before each call: half a millisecond or more, for it to launch its kernels in
Call = Callable[[], Any]


@dataclass
class Case:
    """One line: what must move, our call, the CPU's result, and PyTorch's call if there is one."""

    name: str
    bytes: int
    ours: Call
    expected: Call
    pytorch: Call | None


class Arrays:
    """The same numbers in host memory, in CuPy's arrays and, where PyTorch is, in its channels-last tensors."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.rng = torch, np.random.default_rng(0)

    def map(self, N: int, C: int, H: int, W: int) -> tuple[np.ndarray, Any, Any]:
        return self.give(self.rng.standard_normal((N, H, W, C), np.float32).transpose(0, 3, 1, 2))

    def vector(self, C: int) -> tuple[np.ndarray, Any, Any]:
        return self.give(1 + self.rng.random(C, np.float32))

    def give(self, array: np.ndarray) -> tuple[np.ndarray, Any, Any]:
        there = gpu.to_gpu(array)
        return array, there, None if self.torch is None else self.torch.from_dlpack(there)


def cases(torch: Any, quick: bool) -> Iterator[Case]:
    arrays, kernels = Arrays(torch), gpu.kernels
    N, C, size = (2, 16, 8) if quick else (64, 256, 56)
    yield from batch_norm(arrays, kernels, N, C, size)
    yield from pooling(arrays, kernels, N, C, size)
    yield from elementwise(arrays, kernels, N, C, size)
    yield from losses(arrays, kernels, *((2, 5, 8) if quick else (16, 21, 512)))
    yield from adam(arrays, kernels, 1000 if quick else 25_000_000)


def batch_norm(arrays: Arrays, kernels: Any, N: int, C: int, size: int) -> Iterator[Case]:
    torch, (x, gx, tx), (g, gg, tg) = arrays.torch, arrays.map(N, C, size, size), arrays.map(N, C, size, size)
    (w, gw, tw), (b, gb, tb) = arrays.vector(C), arrays.vector(C)
    here, there = _cpu.batch_norm_statistics(x), kernels.batch_norm_statistics(gx)
    if torch is not None:
        y, mean, rstd = torch.native_batch_norm(tx, tw, tb, None, None, True, 0.1, EPS)
        ty = torch.relu(y)
    for relu in (False, True):

        def forward(k: Any, x: Any, w: Any, b: Any, relu: bool = relu) -> Any:
            return k.batch_norm_forward(x, w, b, *k.batch_norm_statistics(x), EPS, relu)

        def backward(k: Any, g: Any, x: Any, w: Any, b: Any, s: Any, relu: bool = relu) -> Any:
            return k.batch_norm_backward_train(g, x, w, b, *s, EPS, relu)[0]

        def torch_forward(relu: bool = relu) -> Any:
            y = torch.native_batch_norm(tx, tw, tb, None, None, True, 0.1, EPS)[0]
            return torch.relu(y) if relu else y

        def torch_backward(relu: bool = relu) -> Any:
            grad = torch.ops.aten.threshold_backward.default(tg, ty, 0) if relu else tg
            how = (None, None, mean, rstd, True, EPS, [True, True, True])
            return torch.ops.aten.native_batch_norm_backward.default(grad, tx, tw, *how)[0]

        name = "batch-norm + relu" if relu else "batch-norm"
        yield Case(
            f"{name}, forward", 3 * x.nbytes, lambda f=forward: f(kernels, gx, gw, gb),
            lambda f=forward: f(_cpu, x, w, b), torch and torch_forward,
        )  # fmt: skip
        yield Case(
            f"{name}, backward", 5 * x.nbytes, lambda f=backward: f(kernels, gg, gx, gw, gb, there),
            lambda f=backward: f(_cpu, g, x, w, b, here), torch and torch_backward,
        )  # fmt: skip


def pooling(arrays: Arrays, kernels: Any, N: int, C: int, size: int) -> Iterator[Case]:
    torch, (x, gx, tx), image = arrays.torch, arrays.map(N, C, size, size), (size, size)
    for K, s, p in ((2, 2, 0), (3, 2, 1)):
        how = ((K, K), (s, s), (p, p), (1, 1))
        y, taps = _cpu.max_pool2d_forward(x, *how, False)
        (g, gg, tg), gtaps = arrays.map(*y.shape), gpu.to_gpu(taps)
        moved = x.nbytes + y.nbytes + taps.nbytes
        if torch is not None:
            _, indices = torch.ops.aten.max_pool2d_with_indices(tx, K, s, p)
        yield Case(
            f"max pool {K}×{K}, forward", moved, lambda how=how: kernels.max_pool2d_forward(gx, *how, False)[0],
            lambda y=y: y, torch and (lambda K=K, s=s, p=p: torch.nn.functional.max_pool2d(tx, K, s, p)),
        )  # fmt: skip
        yield Case(
            f"max pool {K}×{K}, backward", moved,
            lambda g=gg, t=gtaps, how=how: kernels.max_pool2d_backward(g, t, image, *how),
            lambda g=g, t=taps, how=how: _cpu.max_pool2d_backward(g, t, image, *how),
            torch and (lambda g=tg, K=K, s=s, p=p, i=indices: torch.ops.aten.max_pool2d_with_indices_backward(
                g, tx, [K, K], [s, s], [p, p], [1, 1], False, i)),
        )  # fmt: skip
    yield Case(
        "global average pool, forward", x.nbytes, lambda: kernels.adaptive_avg_pool2d_forward(gx, (1, 1)),
        lambda: _cpu.adaptive_avg_pool2d_forward(x, (1, 1)),
        torch and (lambda: torch.nn.functional.adaptive_avg_pool2d(tx, 1)),
    )  # fmt: skip


def elementwise(arrays: Arrays, kernels: Any, N: int, C: int, size: int) -> Iterator[Case]:
    torch, (x, gx, tx), (g, gg, tg) = arrays.torch, arrays.map(N, C, size, size), arrays.map(N, C, size, size)
    yield Case(
        "relu, forward", 2 * x.nbytes, lambda: kernels.relu_forward(gx), lambda: _cpu.relu_forward(x),
        torch and (lambda: torch.relu(tx)),
    )  # fmt: skip
    yield Case(
        "relu, backward", 3 * x.nbytes, lambda: kernels.relu_backward(gg, gx), lambda: _cpu.relu_backward(g, x),
        torch and (lambda: torch.ops.aten.threshold_backward.default(tg, tx, 0)),
    )  # fmt: skip
    yield Case(
        "add", 3 * x.nbytes, lambda: kernels.add_forward(gx, gg), lambda: _cpu.add_forward(x, g),
        torch and (lambda: tx + tg),
    )  # fmt: skip
    half, ghalf, thalf = arrays.map(N, C, size // 2, size // 2)
    yield Case(
        "bilinear upsampling by 2, forward", x.nbytes + half.nbytes,
        lambda: kernels.upsample_bilinear2d_forward(ghalf, (size, size), False, None),
        lambda: _cpu.upsample_bilinear2d_forward(half, (size, size), False, None),
        torch and (lambda: torch.nn.functional.interpolate(thalf, scale_factor=2, mode="bilinear")),
    )  # fmt: skip
    yield Case(
        "random bits", 4 * x.size, lambda: kernels.random_bits(1, 2, 0, x.size),
        lambda: _cpu.random_bits(1, 2, 0, x.size), None,
    )  # fmt: skip


def losses(arrays: Arrays, kernels: Any, N: int, C: int, size: int) -> Iterator[Case]:
    torch, (x, gx, tx) = arrays.torch, arrays.map(N, C, size, size)
    target = arrays.rng.integers(0, C, (N, size, size))
    _, gt, tt = arrays.give(target)
    none = (None, -100, 0.0)
    yield Case(
        f"cross-entropy of {C} classes, forward", x.nbytes + target.nbytes,
        lambda: kernels.cross_entropy_forward(gx, gt, *none)[0],
        lambda: _cpu.cross_entropy_forward(x, target, *none)[0],
        torch and (lambda: torch.nn.functional.cross_entropy(tx, tt, reduction="none")),
    )  # fmt: skip


def adam(arrays: Arrays, kernels: Any, n: int) -> Iterator[Case]:
    """In 60 tensors. The steps go on while it is timed, ours and PyTorch's by as many as they take turns."""
    torch, sizes = arrays.torch, [n // 60] * 59 + [n - n // 60 * 59]
    here = [[arrays.rng.random(s, np.float32) for s in sizes] for _ in range(4)]
    there, again = ([[gpu.to_gpu(a) for a in part] for part in here] for _ in range(2))
    settings = (None, 1, 1e-3, 0.9, 0.999, 1e-8, 0.0, False)

    def step(k: Any, parts: list) -> Any:
        k.adam_step(*parts, *settings)
        return parts[0][0]

    def once() -> Any:
        """What the first step gives, on a copy."""
        return step(kernels, again)

    kernels.adam_step(*[[a.copy() for a in part] for part in there], *settings)
    params = [] if torch is None else [torch.from_dlpack(a.copy()).requires_grad_() for a in there[0]]
    for param, grad in zip(params, there[1], strict=False):
        param.grad = torch.from_dlpack(grad)
    fused = None if torch is None else torch.optim.Adam(params, fused=True)
    yield Case(f"Adam, {n / 1e6:.0f} M in 60 tensors", 7 * 4 * n, once, lambda: step(_cpu, here), fused and fused.step)


def check(case: Case) -> None:
    got, expected = gpu.to_host(case.ours()), case.expected()
    worst = np.abs(got.astype(np.float64) - expected).max() / max(float(np.abs(expected).max()), 1e-30)
    if not worst <= TOLERANCE:
        raise SystemExit(f"{case.name}: off by {worst:.1e} of the largest element; nothing was timed")


def times(calls: dict[str, Call], rounds: int, ahead: Call) -> dict[str, float]:
    """Medians in seconds, between events on the stream; the competitors take turns."""
    cuda, seconds = gpu.cupy.cuda, {name: [] for name in calls}
    for turn in range(rounds + 3):
        for name, call in calls.items():
            begin, end = cuda.Event(), cuda.Event()
            ahead()
            begin.record()
            call()
            end.record()
            end.synchronize()
            if turn >= 3:
                seconds[name].append(1e-3 * cuda.get_elapsed_time(begin, end))
    return {name: statistics.median(values) for name, values in seconds.items()}


def device_copy(nbytes: int) -> Call:
    a, b = gpu.cupy.zeros(nbytes, np.uint8), gpu.cupy.zeros(nbytes, np.uint8)
    return lambda: b.data.copy_from_device_async(a.data, nbytes)


def peer() -> Any:
    """PyTorch, on CuPy's stream, where it is installed and finds the GPU."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays and few rounds: whether it runs")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    torch, rounds = peer(), 3 if args.quick else 30
    nbytes = 1 << 12 if args.quick else AHEAD
    ahead = device_copy(nbytes)
    rate = 2 * nbytes / times({"copy": ahead}, rounds, ahead)["copy"]  # read and written
    print(f"{gpu.describe()}; PyTorch {torch.__version__ if torch else 'is not here'}; copy {1e-9 * rate:.0f} GB/s")
    print(f"{'kernel':<42}{'ms':>9}{'GB/s':>9}{'of copy':>9}{'PyTorch':>9}")
    rows = []
    for case in cases(torch, args.quick):
        check(case)
        found = times({"atrous": case.ours} | ({"pytorch": case.pytorch} if case.pytorch else {}), rounds, ahead)
        moved, ratio = case.bytes / found["atrous"], found.get("pytorch", float("nan")) / found["atrous"]
        print(
            f"{case.name:<42}{1e3 * found['atrous']:>9.3f}{1e-9 * moved:>9.0f}{moved / rate:>9.2f}{ratio:>9.2f}",
            flush=True,
        )
        rows.append({"kernel": case.name, "bytes": case.bytes, **found})
    if args.json:
        args.json.write_text(
            json.dumps({"machine": gpu.describe(), "copy": rate, "rows": rows, "version": at.__version__})
        )


if __name__ == "__main__":
    main()
