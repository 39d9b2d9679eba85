"""Cross-entropy of class scores, forward and backward: classifiers and segmentation networks."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod

import numpy as np

from atrous import reference
from harness import Case, Outcome, kernel, normal, run
from shapes import QUICK_SCORES, SCORES

TOLERANCE = 5e-6  # of the largest output
IGNORED = -100
OPTIONS = {"weight": None, "ignore_index": IGNORED, "label_smoothing": 0.0}


def cases(quick: bool) -> Iterator[Case]:
    """Work counts the scores, and backward their gradient, once, 4 bytes each; the rest is small."""
    for name, shape in QUICK_SCORES if quick else SCORES:
        row = f"{name} · {'×'.join(map(str, shape))}"
        gigabytes = 4e-9 * prod(shape)
        yield Case(row, "forward", gigabytes, "GB/s", TOLERANCE, partial(forward, shape))
        yield Case(row, "backward", 2 * gigabytes, "GB/s", TOLERANCE, partial(backward, shape))


def forward(shape: tuple[int, ...]) -> Outcome:
    x, target = arrays(shape)

    def call(torch, x, target):
        return torch.nn.functional.cross_entropy(x, target, reduction="none").reshape(len(target), *shape[2:])

    arguments = {"x": x, "target": target, **OPTIONS}
    return kernel("cross_entropy_forward", arguments, call, [_flat(x), _flat(target)])


def backward(shape: tuple[int, ...]) -> Outcome:
    """PyTorch's two steps: the loss's gradient of the log-probabilities, which it keeps as NCHW, then theirs of x."""
    x, target = arrays(shape)
    grad_losses, lse = normal(*target.shape), reference.cross_entropy_forward(x, target, **OPTIONS)[2]
    log_p = _flat(reference.log_softmax_forward(x))
    view, flat = log_p.shape, np.ascontiguousarray(log_p).reshape(-1)

    def call(torch, grad_losses, flat, target, total):
        aten, log_p = torch.ops.aten, flat.view(view)
        nll_backward = (aten.nll_loss2d_backward if log_p.ndim == 4 else aten.nll_loss_backward).default
        grad_log_p = nll_backward(grad_losses, log_p, target, None, 0, IGNORED, total)
        return aten._log_softmax_backward_data.default(grad_log_p, log_p, 1, torch.float32).reshape(shape)

    arguments = {"grad_losses": grad_losses, "x": x, "target": target, "lse": lse, **OPTIONS}
    total = np.array(target.size, np.float32)
    return kernel("cross_entropy_backward", arguments, call, [_flat(grad_losses), flat, _flat(target), total])


def arrays(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, C, H, W) and target classes (N, H, W)."""
    N, C, H, W = shape
    return normal(*shape), np.random.default_rng(1).integers(0, C, (N, H, W))


def _flat(array: np.ndarray) -> np.ndarray:
    """As a PyTorch user has it: (N, C) and (N,) where there is one pixel."""
    return array[..., 0, 0] if array.shape[-2:] == (1, 1) else array


def main(argv: Sequence[str] | None = None) -> int:
    return run(__file__, cases, argv)


if __name__ == "__main__":
    sys.exit(main())
