"""What Python costs: the time of a tiny differentiable op over that of its bare kernels, in microseconds.

Forward is one call that records. Backward is one node of a walk through a chain of the op, with the gradients of its
parameters added to their ``grad``. Both are medians of interleaved rounds, less the kernels' own time.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import atrous as at
from atrous import _cpu, ops

DEPTH = 50  # nodes of a chain
ROUNDS = 30
ONES = ((1, 1), (0, 0), (1, 1))  # stride, padding, dilation


class Op(NamedTuple):
    """An op on x and its parameters, and the kernel calls that it comes to."""

    name: str
    call: Callable[..., Any]
    x: np.ndarray
    parameters: list[np.ndarray]
    forward: Callable[[], Any]
    backward: list[Callable[[], Any]]


def cases() -> list[Op]:
    """The ops that a small network is made of, each on a few numbers."""
    x, image = np.ones((4, 4), np.float32), np.ones((1, 4, 4, 4), np.float32).transpose(0, 3, 1, 2)
    weight, filters, bias = x.copy(), np.ones((4, 4, 1, 1), np.float32), np.ones(4, np.float32)
    mean, var = (np.ones(4, np.float32) for _ in range(2))
    statistics_ = at.tensor(mean), at.tensor(var)
    pool = ((1, 1), (1, 1), (0, 0), (1, 1))
    taps = _cpu.max_pool2d_forward(image, *pool, False)[1]
    add = partial(np.add, x, x)
    linear = [partial(_cpu.linear_backward_input, x, weight), partial(_cpu.linear_backward_weight, x, x)]
    conv = [
        partial(_cpu.conv2d_backward_input, image, filters, (4, 4), *ONES, 1),
        partial(_cpu.conv2d_backward_weight, image, image, (1, 1), *ONES, 1),
        partial(_cpu.conv2d_backward_bias, image),
    ]
    return [
        Op("a + b", ops.add, x, [x], add, []),
        Op("relu", ops.relu, image, [], partial(_cpu.relu_forward, image), [partial(_cpu.relu_backward, image, image)]),
        Op(
            "linear",
            ops.linear,
            x,
            [weight, bias],
            partial(_cpu.linear_forward, x, weight, bias),
            [*linear, partial(_cpu.linear_backward_bias, x)],
        ),
        Op(
            "conv2d",
            ops.conv2d,
            image,
            [filters, bias],
            partial(_cpu.conv2d_forward, image, filters, bias, *ONES, 1),
            conv,
        ),
        Op(
            "batch_norm",
            lambda x, weight, bias: ops.batch_norm(x, *statistics_, weight, bias, training=True),
            image,
            [bias, bias],
            lambda: _cpu.batch_norm_forward(image, bias, bias, *_cpu.batch_norm_statistics(image), 1e-5),
            [partial(_cpu.batch_norm_backward_train, image, image, bias, None, mean, var, 1e-5)],
        ),
        Op(
            "max_pool2d",
            lambda x: ops.max_pool2d(x, 1),
            image,
            [],
            partial(_cpu.max_pool2d_forward, image, *pool, False),
            [partial(_cpu.max_pool2d_backward, image, taps, (4, 4), *pool)],
        ),
    ]


def measure(op: Op, rounds: int = ROUNDS) -> tuple[float, float]:
    """Microseconds over the kernels, of a call forward and of a node backward."""
    x = at.Tensor(op.x, requires_grad=True)
    parameters = [[at.Tensor(p.copy(order="K"), requires_grad=True) for p in op.parameters] for _ in range(DEPTH)]
    y = x
    for own in parameters:
        y = op.call(y, *own)
    seed = np.ones_like(op.x)

    def walk() -> None:
        for own in parameters:
            for parameter in own:
                parameter._grad = None
        x._grad = None
        y.backward(seed, retain_graph=True)

    def backward_kernels() -> None:
        for kernel in op.backward:
            kernel()

    calls = (partial(op.call, x, *parameters[0]), op.forward, walk, backward_kernels)
    samples = [[_time(call) for call in calls] for _ in range(rounds + 1)][1:]
    call, kernel, whole, kernels = (statistics.median(column) for column in zip(*samples, strict=True))
    return call - kernel, whole / DEPTH - kernels


def _time(call: Callable[[], Any], seconds: float = 2e-3) -> float:
    """Microseconds of a call, over as many as fit into the time."""
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        call()
        count += 1
    return 1e6 * elapsed / count


def main() -> int:
    """Prints the table."""
    add = statistics.median(_time(partial(np.add, np.ones(4), np.ones(4))) for _ in range(ROUNDS))
    print(f"np.add of four numbers takes {add:.2f} µs here. Over the kernels, in µs:")
    print(f"{'':12}{'forward':>9}{'backward':>10}")
    for op in cases():
        forward, backward = measure(op)
        print(f"{op.name:12}{forward:9.2f}{backward:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
