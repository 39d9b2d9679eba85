"""atrous trains convolutional networks: PyTorch's names, fast C++ kernels, and a NumPy twin of each that you can read.

>>> import atrous as at
>>> x = at.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

# ruff: noqa: F401

from __future__ import annotations

from typing import Any as _Any

from . import autograd, backends, cuda, memory, random
from .autocast import autocast, get_autocast_dtype, is_autocast_available, is_autocast_enabled
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .backend import backend
from .config import (
    get_float32_matmul_precision,
    get_num_threads,
    get_winograd,
    set_float32_matmul_precision,
    set_num_threads,
    set_winograd,
    show_config,
)
from .dtypes import bool_ as bool
from .dtypes import (
    double,
    float16,
    float32,
    float64,
    half,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    result_type,
    short,
    uint8,
)
from .dtypes import float32 as float
from .dtypes import int32 as int
from .gpu import device
from .gradcheck import gradcheck
from .ops import (
    abs,
    all,
    allclose,
    amax,
    amin,
    any,
    arange,
    argmax,
    argmin,
    argsort,
    as_tensor,
    bernoulli,
    broadcast_to,
    cat,
    ceil,
    chunk,
    clamp,
    clone,
    cos,
    count_nonzero,
    cumsum,
    div,
    empty,
    empty_like,
    eq,
    equal,
    exp,
    expm1,
    eye,
    flatten,
    flip,
    floor,
    floor_divide,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    gather,
    ge,
    gt,
    index_select,
    is_tensor,
    isclose,
    isfinite,
    isinf,
    isnan,
    le,
    linspace,
    log,
    log1p,
    log2,
    log_softmax,
    logical_and,
    logical_not,
    logical_or,
    logsumexp,
    lt,
    masked_fill,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    movedim,
    mul,
    narrow,
    ne,
    neg,
    nonzero,
    norm,
    ones,
    ones_like,
    permute,
    pow,
    prod,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    reciprocal,
    relu,
    remainder,
    reshape,
    round,
    rsqrt,
    scatter_add,
    sigmoid,
    sign,
    sin,
    softmax,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    sub,
    sum,
    t,
    tanh,
    tensor,
    topk,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
    var,
    where,
    zeros,
    zeros_like,
)
from .ops import add as add
from .random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from .serialization import load, load_file, load_metadata, save, save_file
from .tensor import Tensor

from . import amp, data, datasets, metrics, models, nn, optim, transforms, tv_tensors, utils  # isort: skip  (they need the names above)
from .summary import summary  # isort: skip

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations",)]


def __getattr__(name: str) -> _Any:
    if name == "bfloat16":  # loads the package ml_dtypes
        from . import dtypes

        return dtypes.bfloat16
    if name == "__version__":  # looked up when asked for: reading package metadata takes longer than all else here
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("atrous")
        except PackageNotFoundError:  # a bare source tree
            return "0+unknown"
    raise AttributeError(f"module 'atrous' has no attribute {name!r}")
