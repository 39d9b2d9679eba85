"""nn.functional has PyTorch's names, argument order and defaults."""

import inspect

import pytest

from atrous.nn import functional as F

FAMILIES = (
    "bilinear",
    "conv1d",
    "dropouts",
    "embedding",
    "grid_sample",
    "loss",
    "losses.distributions",
    "losses.errors",
    "losses.margins",
    "losses.pairs",
    "norms",
    "pointwise",
    "pool1d",
    "response_norm",
    "shuffle",
    "unfold",
    "unpool",
)
HOMES = (F.__name__, *(f"atrous.ops.{family}" for family in FAMILIES))
NAMES = [name for name, f in vars(F).items() if inspect.isfunction(f) and f.__module__ in HOMES and name[0] != "_"]

# PyTorch's own are written in C++ and have no signature: theirs as its documentation states it.
BUILT_IN = {
    "conv1d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "conv_transpose1d": "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1",
    "conv2d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "bilinear": "input1, input2, weight, bias=None",
    "channel_shuffle": "input, groups",
    "pixel_shuffle": "input, upscale_factor",
    "pixel_unshuffle": "input, downscale_factor",
    "cosine_similarity": "x1, x2, dim=1, eps=1e-8",
    "pairwise_distance": "x1, x2, p=2.0, eps=1e-6, keepdim=False",
    "conv_transpose2d": "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1",
    "adaptive_avg_pool1d": "input, output_size",
    "avg_pool1d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True",
    "avg_pool2d": "input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, "
    "divisor_override=None",
    "gelu": "input, approximate='none'",
    "hardshrink": "input, lambd=0.5",
    "linear": "input, weight, bias=None",
    "logsigmoid": "input",
    "prelu": "input, weight",
    "softplus": "input, beta=1, threshold=20",
    "softshrink": "input, lambd=0.5",
    "one_hot": "tensor, num_classes=-1",
    "patch_dropout": "input, patch_size, p=0.5, training=True, inplace=False",  # ours alone
    "stochastic_depth": "input, p, mode, training=True",  # torchvision's
    "threshold_unit": "input, low=0.0, high=1.0",  # ours alone
}
DEPRECATED = {"size_average", "reduce", "_stacklevel"}
LATER = {"dtype", "out", "antialias"}  # arguments that we do not have


def arguments(f):
    return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]


def test_names():
    assert len(NAMES) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_signature_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    if name in BUILT_IN:
        theirs = arguments(eval(f"lambda {BUILT_IN[name]}: None"))
    elif "max_pool" in name:  # dispatched on return_indices
        theirs = arguments(getattr(torch.nn.functional, f"{name}_with_indices"))
    else:
        theirs = arguments(getattr(torch.nn.functional, name))
    theirs = [(n, d) for n, d in theirs if n not in DEPRECATED and n not in LATER]
    assert arguments(getattr(F, name)) == theirs


@pytest.mark.parametrize("name", NAMES)
def test_arguments_after_a_deprecated_one_are_by_keyword(name):
    """So that code written for PyTorch's positions fails instead of meaning something else."""
    torch = pytest.importorskip("torch")
    if name in BUILT_IN or "max_pool" in name:
        return
    parameters = inspect.signature(getattr(torch.nn.functional, name)).parameters
    theirs = list(parameters)
    missing = [theirs.index(n) for n in DEPRECATED & set(theirs)]
    for i, p in enumerate(inspect.signature(getattr(F, name)).parameters.values()):
        late = bool(missing) and theirs.index(p.name) > min(missing)
        late = late or parameters[p.name].kind is p.KEYWORD_ONLY
        assert (p.kind is p.KEYWORD_ONLY) == late, f"argument {i}: {p.name}"
