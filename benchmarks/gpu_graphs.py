"""Training steps of small networks as CUDA graphs, beside PyTorch's.

    python benchmarks/gpu_graphs.py         needs a GPU, CuPy, torchvision, and a PyTorch that uses the GPU

A step is forward, backward and Adam, as in gpu_networks.py: by Python, and by at.cuda.capture, which copies the batch,
updates the learning rate and returns the loss. PyTorch's graph (torch.cuda.graph after a warm-up on a side stream, with
Adam(fused=True, capturable=True)) gets the same copies; its learning rate stays. Before it is timed, the losses of
the captured step are compared with those by Python.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import atrous as at
from atrous import capturing, gpu, models, nn, optim
from gpu_networks import lenet, milliseconds

try:
    import torch
    import torchvision
except (ImportError, RuntimeError):  # RuntimeError: a torchvision of another PyTorch
    torch = None

NETWORKS = {  # name: our network, PyTorch's, a batch's shape, steps
    "LeNet-5, 64 x 28²": (lambda: lenet(nn), lambda: lenet(torch.nn), (64, 1, 28, 28), 30),
    "ResNet-18, 64 x 64²": (
        lambda: models.resnet18(num_classes=10), lambda: torchvision.models.resnet18(num_classes=10),
        (64, 3, 64, 64), 10,
    ),
}  # fmt: skip
CHECKED = 5  # steps


def ours(make: Callable[[], Any], shape: tuple[int, ...], captured: bool) -> Callable[[], Any]:
    """A step of training; it returns the loss."""
    at.manual_seed(0)
    model = make().to("cuda")
    optimizer, loss_fn = optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    x = at.randn(*shape).to("cuda")
    y = at.tensor(np.arange(shape[0]) % 10, device="cuda")

    def step(x: at.Tensor, y: at.Tensor) -> at.Tensor:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = at.cuda.capture(step) if captured else step
    return lambda: run(x, y)


def pytorch(make: Callable[[], Any], shape: tuple[int, ...], captured: bool) -> Callable[[], Any]:
    torch.manual_seed(0)
    model = make().cuda().to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=captured)
    loss_fn = torch.nn.CrossEntropyLoss()
    x = torch.randn(*shape, device="cuda").to(memory_format=torch.channels_last)
    y = torch.arange(shape[0], device="cuda") % 10

    def step(x: Any, y: Any) -> Any:
        adam.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        adam.step()
        return loss

    return in_pytorchs_graph(step, x, y) if captured else lambda: step(x, y)


def in_pytorchs_graph(step: Callable[..., Any], x: Any, y: Any) -> Callable[[], Any]:
    """As PyTorch's manual has it: three steps on a side stream, then the capture."""
    own_x, own_y = x.clone(), y.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(own_x, own_y)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(own_x, own_y)

    def run() -> Any:
        own_x.copy_(x)
        own_y.copy_(y)
        graph.replay()
        return loss.clone()

    return run


def check(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    """Ends the run unless the captured step has the losses of the step by Python, with the same kernels, to the bit."""
    graph = ours(make, shape, captured=True)
    captured = [graph().item() for _ in range(CHECKED)]
    plain = ours(make, shape, captured=False)
    expected = []
    for _ in range(CHECKED):
        with capturing.Capture(rehearsal=True):  # whose linear layers are not cuBLAS's
            loss = plain()
        expected.append(loss.item())
    if captured != expected:
        raise SystemExit(f"gpu_graphs: the losses {captured} of the captured step are not {expected}")


def main() -> None:
    try:
        gpu.load()
    except RuntimeError as error:
        raise SystemExit(str(error)) from error
    has_torch = torch is not None and torch.cuda.is_available()
    if has_torch:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    print(f"{gpu.describe()}; PyTorch {torch.__version__ if has_torch else 'is not here, or uses no GPU'}")
    print(f"{'float32, ms':<22} {'Python':>8} {'graph':>8}   {'PyTorch':>8} {'graph':>8}   PyTorch's graph ÷ ours")
    for name, (make, make_theirs, shape, count) in NETWORKS.items():
        check(make, shape)
        plain, graph = (milliseconds(ours(make, shape, captured), count) for captured in (False, True))
        line = f"{name:<22} {plain:8.2f} {graph:8.2f}"
        if has_torch:
            theirs = [milliseconds(pytorch(make_theirs, shape, captured), count) for captured in (False, True)]
            line += f"   {theirs[0]:8.2f} {theirs[1]:8.2f}   {theirs[1] / graph:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
