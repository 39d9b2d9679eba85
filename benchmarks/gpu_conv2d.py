"""Convolutions on a GPU beside cuDNN: layers of ResNet-50, U-Net, DeepLab, ResNeXt and MobileNet, every direction and
precision.

    python benchmarks/gpu_conv2d.py [part of a layer's name] [--precision bfloat16] [--picture roofline.png]

needs a GPU, CuPy with ml_dtypes, and a PyTorch that uses the GPU. PyTorch runs channels-last with cudnn.benchmark, in
the same precision. Times are medians between events on the stream, the competitors in turns, each behind a wait in
which the host runs ahead. Errors are those against PyTorch in float64 on the same numbers, of the largest element. A
line has, for each precision: milliseconds, TFLOP/s, their share of what this GPU can do at best (the smaller of its
matrix rate, measured with PyTorch's product of large matrices, and of what a copy of the layer's arrays would allow),
PyTorch's time ÷ ours, the error. --picture draws the roofline of the last precision asked for.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atrous import gpu
from atrous.training.layer_times import LayerTime, Roof

try:
    import torch
except ImportError:
    torch = None

LAYERS = {  # name: N, IC, size, OC, kernel, stride, padding, dilation, groups
    "7x7/2 3>64 @224": (64, 3, 224, 64, 7, 2, 3, 1, 1),
    "1x1 64>64 @56": (64, 64, 56, 64, 1, 1, 0, 1, 1),
    "1x1 64>256 @56": (64, 64, 56, 256, 1, 1, 0, 1, 1),
    "1x1 256>64 @56": (64, 256, 56, 64, 1, 1, 0, 1, 1),
    "1x1 256>128 @56": (64, 256, 56, 128, 1, 1, 0, 1, 1),
    "3x3 64 @56": (64, 64, 56, 64, 3, 1, 1, 1, 1),
    "3x3/2 128 @56": (64, 128, 56, 128, 3, 2, 1, 1, 1),
    "3x3 128 @28": (64, 128, 28, 128, 3, 1, 1, 1, 1),
    "1x1/2 512>1024 @28": (64, 512, 28, 1024, 1, 2, 0, 1, 1),
    "3x3 256 @14": (64, 256, 14, 256, 3, 1, 1, 1, 1),
    "1x1 1024>256 @14": (64, 1024, 14, 256, 1, 1, 0, 1, 1),
    "3x3 512 @7": (64, 512, 7, 512, 3, 1, 1, 1, 1),
    "1x1 2048>512 @7": (64, 2048, 7, 512, 1, 1, 0, 1, 1),
    "U-Net 3x3 64 @256": (4, 64, 256, 64, 3, 1, 1, 1, 1),
    "U-Net 3x3 128 @128": (4, 128, 128, 128, 3, 1, 1, 1, 1),
    "DeepLab 3x3 256 @33": (8, 256, 33, 256, 3, 1, 6, 6, 1),
    "groups 3x3 64/4 @56": (32, 64, 56, 64, 3, 1, 1, 1, 4),
    "groups 3x3 128/32 @56": (64, 128, 56, 128, 3, 1, 1, 1, 32),
    "groups 3x3/2 256/32 @56": (64, 256, 56, 256, 3, 2, 1, 1, 32),
    "groups 3x3 512/32 @14": (64, 512, 14, 512, 3, 1, 1, 1, 32),
    "groups 3x3 1024/32 @7": (64, 1024, 7, 1024, 3, 1, 1, 1, 32),
    "depthwise 3x3 @56": (64, 144, 56, 144, 3, 1, 1, 1, 144),
    "depthwise 3x3/2 @56": (64, 144, 56, 144, 3, 2, 1, 1, 144),
    "depthwise 5x5 @28": (64, 240, 28, 240, 5, 1, 2, 1, 240),
}
DIRECTIONS = ("forward", "backward_input", "backward_weight")
ROUNDS = 9


@dataclass(frozen=True)
class Precision:
    """A dtype of PyTorch, our algorithm for what is not depthwise, whether TF32 is allowed, the largest error."""

    dtype: str
    algorithm: str
    tf32: bool
    error: float


PRECISIONS = {
    "float32": Precision("float32", "implicit_gemm", False, 2e-5),
    "tf32": Precision("float32", "tensor_cores", True, 2e-3),
    "bfloat16": Precision("bfloat16", "tensor_cores", False, 2**-8),
    "float16": Precision("float16", "tensor_cores", False, 2**-11),
}


class Layer:
    """Its arrays, shared by both competitors, and their calls."""

    def __init__(self, sizes: tuple[int, ...], precision: Precision) -> None:
        N, IC, size, OC, K, s, p, d, G = sizes
        out = (size + 2 * p - d * (K - 1) - 1) // s + 1
        generator = torch.Generator(device="cuda").manual_seed(1)
        dtype = getattr(torch, precision.dtype)

        def random(*shape: int) -> Any:
            values = torch.randn(shape, generator=generator, device="cuda").to(dtype)
            return values.contiguous(memory_format=torch.channels_last)

        self.x, self.weight, self.grad_y = random(N, IC, size, size), random(OC, IC // G, K, K), random(N, OC, out, out)
        self.window = ((s, s), (p, p), (d, d), G)
        self.algorithm = "depthwise" if IC == OC == G else precision.algorithm
        self.operations = 2 * N * out * out * OC * K * K * IC // G
        self.bytes = sum(tensor.nbytes for tensor in (self.x, self.weight, self.grad_y))

    def ours(self, direction: str) -> Callable[[], Any]:
        kernels, how = gpu.kernels, (*self.window, self.algorithm)
        x, weight, grad_y = map(gpu.cupy.from_dlpack, (self.x, self.weight, self.grad_y))
        if direction == "forward":
            return lambda: kernels.conv2d_forward(x, weight, None, *how)
        if direction == "backward_input":
            return lambda: kernels.conv2d_backward_input(grad_y, weight, x.shape[2:], *how)
        return lambda: kernels.conv2d_backward_weight(grad_y, x, weight.shape[2:], *how)

    def pytorch(self, direction: str, dtype: Any = None) -> Callable[[], Any]:
        x, weight, grad_y = (tensor.to(dtype or tensor.dtype) for tensor in (self.x, self.weight, self.grad_y))
        if direction == "forward":
            return lambda: torch.nn.functional.conv2d(x, weight, None, *self.window)
        which = [direction == "backward_input", direction == "backward_weight", False]
        window = (*map(list, self.window[:3]), False, [0, 0], self.window[3])
        back = torch.ops.aten.convolution_backward.default
        return lambda: back(grad_y, x, weight, None, *window, which)[which.index(True)]


def run_ahead(call: Callable[[], Any], count: int) -> Callable[[], float]:
    """Starts `count` calls; the seconds of one are known when they are done."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(300_000)  # clock cycles
    begin.record()
    for _ in range(count):
        call()
    end.record()

    def seconds() -> float:
        end.synchronize()
        return 1e-3 * begin.elapsed_time(end) / count

    return seconds


def medians(*calls: Callable[[], Any]) -> list[float]:
    """Seconds of each call."""
    counts, times = [], [[] for _ in calls]
    for call in calls:
        call()
        counts.append(max(1, min(8, int(4e-4 / max(run_ahead(call, 1)(), 1e-6)))))
    for _ in range(ROUNDS):
        for call, count, of_call in zip(calls, counts, times, strict=True):
            of_call.append(run_ahead(call, count)())
    return [sorted(of_call)[ROUNDS // 2] for of_call in times]


def roof(precision: Precision) -> Roof:
    """What this GPU does at best: a product of large matrices, and a copy."""
    dtype = getattr(torch, precision.dtype)
    a, b = (torch.randn(8192, 8192, device="cuda").to(dtype) for _ in range(2))
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    product, copy = medians(lambda: a @ b, lambda: target.copy_(source))
    return Roof(2 * 8192**3 / product, 2 * source.nbytes / copy)


def exact(layer: Layer, direction: str) -> Any:
    torch.backends.cudnn.benchmark = False
    result = layer.pytorch(direction, torch.float64)()
    torch.backends.cudnn.benchmark = True
    return result


def measure(name: str, sizes: tuple[int, ...], direction: str, precision: Precision, best: Roof) -> tuple[str, Any]:
    """What a line says of a precision, and (time, ratio) for the summary."""
    layer = Layer(sizes, precision)
    expected, call = exact(layer, direction), layer.ours(direction)
    error = float((torch.from_dlpack(call()).double() - expected).abs().max() / expected.abs().max())
    if not error <= precision.error:
        raise SystemExit(f"{name}, {direction}, {precision.dtype}: off by {error:.1e} of the largest element")
    ours, theirs = medians(call, layer.pytorch(direction))
    timed = LayerTime(f"{name} {direction}", "Conv2d", None, 0, ours, 0, layer.operations, layer.bytes)
    share, ratio = timed.rate / best.at(timed), theirs / ours
    return f"{1e3 * ours:.3f} {1e-12 * timed.rate:5.1f} {share:4.0%} {ratio:5.2f} {error:.0e}", (timed, ratio)


def summary(name: str, direction: str, ratios: dict[str, float]) -> None:
    """Of the layers that have kernels of their own, and then of all others; the atrous one is among both."""
    special = {kind: [layer for layer in ratios if kind in layer] for kind in ("depthwise", "groups", "DeepLab")}
    special[""] = [layer for layer in ratios if layer not in special["depthwise"] + special["groups"]]
    for kind, layers in special.items():
        values = [ratios[layer] for layer in layers]
        if values:
            mean = math.exp(sum(map(math.log, values)) / len(values))
            of = f"{name} {direction} {kind}".rstrip()
            print(f"{of}: geometric mean {mean:.2f} of {len(values)}, least {min(values):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", default="", help="layers whose name holds this")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--picture", type=Path, help="where the roofline goes, a PNG file")
    args = parser.parse_args()
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    if torch is None or not torch.cuda.is_available():
        raise SystemExit("gpu_conv2d: needs a PyTorch that uses the GPU, to compare with")
    print(f"{gpu.describe()}; PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    for name in args.precision:
        with torch.no_grad():
            timed, best = measure_precision(name, args.only)
    if args.picture:
        from atrous.training.roofline import draw_roofline

        draw_roofline(args.picture, f"Convolutions in {name}, {gpu.describe().partition(',')[0]}", timed, best)


def measure_precision(name: str, only: str) -> tuple[list[LayerTime], Roof]:
    precision, timed = PRECISIONS[name], []
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    best, ratios = roof(precision), {direction: {} for direction in DIRECTIONS}
    print(f"{name}: matrix products {1e-12 * best.flops:.0f} TFLOP/s, copies {1e-9 * best.bandwidth:.0f} GB/s")
    for layer, sizes in LAYERS.items():
        for direction in DIRECTIONS if only in layer else ():
            line, (time, ratios[direction][layer]) = measure(layer, sizes, direction, precision, best)
            timed.append(time)
            print(f"{layer:<24} {direction:<15} {name:<8} {line}", flush=True)
    for direction, of_layers in ratios.items():
        summary(name, direction, of_layers)
    return timed, best


if __name__ == "__main__":
    sys.exit(main())
