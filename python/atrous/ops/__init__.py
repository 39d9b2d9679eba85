"""The ops: each checks its arguments, calls the kernel of the active backend and records how to differentiate it."""

# ruff: noqa: F401

from .activation import leaky_relu, relu, sigmoid, tanh
from .adam import adagrad_step, adam_step, rmsprop_step, sgd_step
from .batch_norm import batch_norm
from .comparison import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    isclose,
    le,
    logical_and,
    logical_not,
    logical_or,
    lt,
    ne,
)
from .conv2d import conv2d, conv_transpose2d
from .conversion import contiguous, to
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .cross_entropy import cross_entropy, log_softmax, softmax
from .elementwise import (
    add,
    add_,
    div,
    div_,
    floor_divide,
    maximum,
    minimum,
    mul,
    mul_,
    pow,
    pow_,
    remainder,
    sub,
    sub_,
    where,
)
from .indexing import gather, getitem, index_select, nonzero, scatter_add, setitem
from .inplace import clone, copy_, fill_, zero_
from .joining import cat, chunk, flip, narrow, repeat, split, stack, unbind
from .linear import linear, matmul
from .loss import binary_cross_entropy_with_logits, l1_loss, mse_loss, nll_loss
from .losses import (
    cosine_embedding_loss,
    cosine_similarity,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    margin_ranking_loss,
    multi_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .order import amax, amin, argmax, argmin, argsort, max, min, sort, topk
from .pad import one_hot, pad
from .piecewise import (
    abs,
    abs_,
    ceil,
    clamp,
    clamp_,
    floor,
    isfinite,
    isinf,
    isnan,
    masked_fill,
    masked_fill_,
    round,
    sign,
)
from .pointwise import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from .pool2d import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from .random import dropout
from .reduction import all, any, count_nonzero, cumsum, logsumexp, mean, norm, prod, std, sum, var
from .sampling import bernoulli, normal_, rand, rand_like, randint, randn, randn_like, randperm, uniform_
from .shape import (
    broadcast_to,
    expand,
    flatten,
    movedim,
    permute,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
    view,
)
from .shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .unary import cos, exp, exp_, expm1, log, log1p, log2, log_, neg, neg_, reciprocal, rsqrt, sin, sqrt, sqrt_, square
from .upsample2d import interpolate
