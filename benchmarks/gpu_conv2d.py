"""Convolutions on a GPU beside cuDNN: layers of ResNet-50, U-Net, DeepLab and MobileNet, every direction and algorithm.

    python benchmarks/gpu_conv2d.py [part of a layer's name]      needs a GPU, CuPy, and a PyTorch that uses the GPU

PyTorch runs channels-last with cudnn.benchmark, with TF32 beside `tensor_cores` and without it beside the others. Times
are medians between events on the stream, the competitors in turns, each behind a wait in which the host runs ahead.
Errors are those against PyTorch in float64, of the largest element. A line has, for each algorithm: milliseconds,
TFLOP/s, PyTorch's time ÷ ours, the error.
"""

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any

from atrous import gpu

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
    "depthwise 3x3 @56": (64, 144, 56, 144, 3, 1, 1, 1, 144),
    "depthwise 3x3/2 @56": (64, 144, 56, 144, 3, 2, 1, 1, 144),
    "depthwise 5x5 @28": (64, 240, 28, 240, 5, 1, 2, 1, 240),
}
DIRECTIONS = ("forward", "backward_input", "backward_weight")
ALGORITHMS = {"implicit_gemm": 2e-5, "tensor_cores": 2e-3, "depthwise": 2e-5}  # and the error that each may have
ROUNDS = 9


class Layer:
    """Its arrays, shared by both competitors, and their calls."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        N, IC, size, OC, K, s, p, d, G = sizes
        out = (size + 2 * p - d * (K - 1) - 1) // s + 1
        generator = torch.Generator(device="cuda").manual_seed(1)

        def random(*shape: int) -> Any:
            values = torch.randn(shape, generator=generator, device="cuda")
            return values.contiguous(memory_format=torch.channels_last)

        self.x, self.weight, self.grad_y = random(N, IC, size, size), random(OC, IC // G, K, K), random(N, OC, out, out)
        self.window = ((s, s), (p, p), (d, d), G)
        self.operations = 2 * N * out * out * OC * K * K * IC // G

    def ours(self, direction: str, algorithm: str) -> Callable[[], Any]:
        kernels = gpu.kernels
        x, weight, grad_y = map(gpu.cupy.from_dlpack, (self.x, self.weight, self.grad_y))
        if direction == "forward":
            return lambda: kernels.conv2d_forward(x, weight, None, *self.window, algorithm)
        if direction == "backward_input":
            return lambda: kernels.conv2d_backward_input(grad_y, weight, x.shape[2:], *self.window, algorithm)
        return lambda: kernels.conv2d_backward_weight(grad_y, x, weight.shape[2:], *self.window, algorithm)

    def pytorch(self, direction: str, dtype: Any = None) -> Callable[[], Any]:
        x, weight, grad_y = (tensor.to(dtype or tensor.dtype) for tensor in (self.x, self.weight, self.grad_y))
        if direction == "forward":
            return lambda: torch.nn.functional.conv2d(x, weight, None, *self.window)
        which = [direction == "backward_input", direction == "backward_weight", False]
        window = (*map(list, self.window[:3]), False, [0, 0], self.window[3])
        back = torch.ops.aten.convolution_backward.default
        return lambda: back(grad_y, x, weight, None, *window, which)[which.index(True)]

    def algorithms(self, direction: str) -> list[str]:
        legal = gpu.kernels.conv2d_algorithms(direction, list(self.x.shape), list(self.weight.shape), *self.window)
        return [name for name in ALGORITHMS if name in legal]


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


def medians(calls: dict[str, tuple[Callable[[], Any], bool]]) -> dict[str, float]:
    """Seconds of each call, which comes with whether cuDNN may use TF32."""
    counts, times = {}, {name: [] for name in calls}
    for name, (call, tf32) in calls.items():
        torch.backends.cudnn.allow_tf32 = tf32
        call()
        counts[name] = max(1, min(8, int(4e-4 / max(run_ahead(call, 1)(), 1e-6))))
    for _ in range(ROUNDS):
        for name, (call, tf32) in calls.items():
            torch.backends.cudnn.allow_tf32 = tf32
            times[name].append(run_ahead(call, counts[name])())
    return {name: sorted(values)[ROUNDS // 2] for name, values in times.items()}


def exact(layer: Layer, direction: str) -> Any:
    torch.backends.cudnn.benchmark = False
    result = layer.pytorch(direction, torch.float64)()
    torch.backends.cudnn.benchmark = True
    return result


def measure(name: str, layer: Layer, direction: str, ratios: dict[tuple[str, str], list[float]]) -> None:
    expected, calls, errors = exact(layer, direction), {}, {}
    for algorithm in layer.algorithms(direction):
        call = layer.ours(direction, algorithm)
        error = (torch.from_dlpack(call()).double() - expected).abs().max() / expected.abs().max()
        if not error <= ALGORITHMS[algorithm]:
            raise SystemExit(f"{name}, {direction}, {algorithm}: off by {error:.1e} of the largest element")
        calls[algorithm], errors[algorithm] = (call, False), float(error)
    times = medians({**calls, "cudnn": (layer.pytorch(direction), False), "tf32": (layer.pytorch(direction), True)})
    line = f"{name:<20} {direction:<15}"
    for algorithm, error in errors.items():
        ratio = times["tf32" if algorithm == "tensor_cores" else "cudnn"] / times[algorithm]
        ratios.setdefault((algorithm, direction), []).append(ratio)
        rate = 1e-12 * layer.operations / times[algorithm]
        line += f" | {algorithm} {1e3 * times[algorithm]:.3f} {rate:5.1f} {ratio:5.2f} {error:.0e}"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", default="", help="layers whose name holds this")
    args = parser.parse_args()
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    if torch is None or not torch.cuda.is_available():
        raise SystemExit("gpu_conv2d: needs a PyTorch that uses the GPU, to compare with")
    print(f"{gpu.describe()}; PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    ratios: dict[tuple[str, str], list[float]] = {}
    with torch.no_grad():
        for name, sizes in LAYERS.items():
            if args.only in name:
                layer = Layer(sizes)
                for direction in DIRECTIONS:
                    measure(name, layer, direction, ratios)
    for (algorithm, direction), values in sorted(ratios.items()):
        mean = math.exp(sum(map(math.log, values)) / len(values))
        print(f"{algorithm} {direction}: geometric mean {mean:.2f} of {len(values)}, least {min(values):.2f}")


if __name__ == "__main__":
    sys.exit(main())
