"""Training steps on a GPU beside PyTorch's: at both precisions of float32, and under autocast to bfloat16.

    python benchmarks/gpu_networks.py [--precision bfloat16]    needs a GPU, CuPy with ml_dtypes, torchvision, and a
                                                                PyTorch that uses the GPU

A step is forward, backward and Adam, PyTorch's channels-last, with cudnn.benchmark and its fused Adam; the least of
three means of as many steps as take a while. Beside them stands the share of the limit (`limit`): what the step would
take if each convolution ran at the rate of this GPU's matrix products or moved its arrays as fast as a copy does,
whichever takes longer, and every other layer moved its own so.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import atrous as at
from atrous import gpu, models, nn, optim
from atrous.models.macs import macs_of
from atrous.training.layer_times import Roof
from gpu_conv2d import PRECISIONS, roof

try:
    import torch
    import torchvision
except (ImportError, RuntimeError):  # RuntimeError: a torchvision of another PyTorch
    torch = None


def lenet(nn: Any) -> Any:
    features = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    classes = [nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*features, nn.MaxPool2d(2), nn.Flatten(), *classes)


NETWORKS = {  # name: our network, PyTorch's, a batch's shape, steps
    "LeNet-5, 64 x 28²": (lambda: lenet(nn), lambda: lenet(torch.nn), (64, 1, 28, 28), 30),
    "ResNet-18, 64 x 64²": (
        lambda: models.resnet18(num_classes=10), lambda: torchvision.models.resnet18(num_classes=10),
        (64, 3, 64, 64), 10,
    ),
    "ResNet-50, 128 x 224²": (
        lambda: models.resnet50(num_classes=10), lambda: torchvision.models.resnet50(num_classes=10),
        (128, 3, 224, 224), 3,
    ),
}  # fmt: skip

# How often each layer passes over a map of its output's size, both ways. Batch-norm in training reads x twice and
# writes y, then reads x and grad_y twice and writes grad_x, with the relu after it. A sum and its relu read two maps
# and write one, then read y and grad_y and write grad_x. A pool reads its input, 4 times as large, and writes its
# gradient.
PASSES = {"BatchNorm2d": 8, "BasicBlock": 6, "Bottleneck": 6, "MaxPool2d": 10}
ADAM = 28  # bytes of a parameter: it, its gradient and both moments read, all but the gradient written


def limit(make: Callable[[], Any], shape: tuple[int, ...], itemsize: int, best: Roof) -> float:
    """Seconds of a step if nothing but `best` limited it."""
    model, seconds = make().to("cuda"), []

    def note(layer: Any, args: tuple, y: Any) -> None:
        kind, macs, out = type(layer).__name__, macs_of(layer, args, y), y.numel() * itemsize
        if macs:
            moved = out + itemsize * (args[0].numel() + layer.weight.numel())
            directions = 3 if seconds else 2  # nobody asks for the gradient of the images
            seconds.append(directions * max(2 * macs / best.flops, moved / best.bandwidth))
        seconds.append(PASSES.get(kind, 0) * out / best.bandwidth)

    for module in model.modules():
        module.register_forward_hook(note)
    with at.no_grad():
        model(at.zeros(*shape, device="cuda"))
    return sum(seconds) + ADAM * sum(p.numel() for p in model.parameters()) / best.bandwidth


def autocast(library: Any, precision: str) -> Any:
    lower = precision in ("bfloat16", "float16")
    return library.autocast("cuda", getattr(library, precision)) if lower else contextlib.nullcontext()


def ours(make: Callable[[], Any], shape: tuple[int, ...], precision: str) -> Callable[[], None]:
    at.manual_seed(0)
    model = make().to("cuda")
    optimizer, loss_fn = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x = at.randn(*shape).to("cuda")
    y = at.tensor(np.arange(shape[0]) % 10, device="cuda")

    def step() -> None:
        optimizer.zero_grad()
        with autocast(at, precision):
            loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def pytorch(make: Callable[[], Any], shape: tuple[int, ...], precision: str) -> Callable[[], None]:
    torch.manual_seed(0)
    model = make().cuda().to(memory_format=torch.channels_last)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True), torch.nn.CrossEntropyLoss()
    x = torch.randn(*shape, device="cuda").to(memory_format=torch.channels_last)
    y = torch.arange(shape[0], device="cuda") % 10

    def step() -> None:
        optimizer.zero_grad()
        with autocast(torch, precision):
            loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def milliseconds(step: Callable[[], None], count: int) -> float:
    means = []
    for run in range(4):  # the first is to warm up
        begin = time.perf_counter()
        for _ in range(count):
            step()
        gpu.cupy.cuda.runtime.deviceSynchronize()
        if run > 0:
            means.append(1e3 * (time.perf_counter() - begin) / count)
    return min(means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ("float32", "tf32", "bfloat16")
    parser.add_argument("--precision", nargs="+", choices=kinds, default=kinds)
    args = parser.parse_args()
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    if torch is None or not torch.cuda.is_available():
        raise SystemExit("gpu_networks: needs torchvision and a PyTorch that uses the GPU, to compare with")
    torch.backends.cudnn.benchmark = True
    print(f"{gpu.describe()}; PyTorch {torch.__version__}")
    for precision in args.precision:
        tf32 = PRECISIONS[precision].tf32
        at.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        best = roof(PRECISIONS[precision])
        for name, (make, make_theirs, shape, count) in NETWORKS.items():
            mine = milliseconds(ours(make, shape, precision), count)
            theirs = milliseconds(pytorch(make_theirs, shape, precision), count)
            share = 1e3 * limit(make, shape, 2 if precision == "bfloat16" else 4, best) / mine
            line = f"{precision:<8} {name:<22} {mine:8.2f} ms, PyTorch {theirs:8.2f} ms"
            print(f"{line}, {theirs / mine:.2f}; {share:.0%} of the limit", flush=True)


if __name__ == "__main__":
    main()
