"""Training steps on a GPU beside PyTorch's, at both precisions of float32.

    python benchmarks/gpu_networks.py       needs a GPU, CuPy, torchvision, and a PyTorch that uses the GPU

A step is forward, backward and Adam, PyTorch's channels-last, with cudnn.benchmark and its fused Adam; the least of
three means of as many steps as take a while.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import atrous as at
from atrous import gpu, models, nn, optim

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
    "ResNet-50, 64 x 224²": (
        lambda: models.resnet50(num_classes=10), lambda: torchvision.models.resnet50(num_classes=10),
        (64, 3, 224, 224), 3,
    ),
}  # fmt: skip


def ours(make: Callable[[], Any], shape: tuple[int, ...]) -> Callable[[], None]:
    at.manual_seed(0)
    model = make().to("cuda")
    optimizer, loss_fn = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x = at.randn(*shape).to("cuda")
    y = at.tensor(np.arange(shape[0]) % 10, device="cuda")

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()

    return step


def pytorch(make: Callable[[], Any], shape: tuple[int, ...]) -> Callable[[], None]:
    torch.manual_seed(0)
    model = make().cuda().to(memory_format=torch.channels_last)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True), torch.nn.CrossEntropyLoss()
    x = torch.randn(*shape, device="cuda").to(memory_format=torch.channels_last)
    y = torch.arange(shape[0], device="cuda") % 10

    def step() -> None:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
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
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    if torch is None or not torch.cuda.is_available():
        raise SystemExit("gpu_networks: needs torchvision and a PyTorch that uses the GPU, to compare with")
    torch.backends.cudnn.benchmark = True
    print(f"{gpu.describe()}; PyTorch {torch.__version__}")
    for precision in ("highest", "high"):
        at.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "high"
        for name, (make, make_theirs, shape, count) in NETWORKS.items():
            mine, theirs = milliseconds(ours(make, shape), count), milliseconds(pytorch(make_theirs, shape), count)
            print(
                f"{precision:<8} {name:<22} {mine:8.2f} ms, PyTorch {theirs:8.2f} ms, {theirs / mine:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
