"""The ops: each checks its arguments, calls the kernel of the active backend and records how to differentiate it."""

# ruff: noqa: F401

from .activation import leaky_relu, relu, sigmoid, tanh
from .adam import adagrad_step, adam_step, rmsprop_step, sgd_step
from .batch_norm import batch_norm
from .bilinear import bilinear
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
from .conv1d import conv1d, conv_transpose1d
from .conv2d import conv2d, conv_transpose2d
from .conversion import contiguous, is_tensor, to
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
from .dropouts import alpha_dropout, dropout1d, dropout2d, feature_alpha_dropout, patch_dropout, stochastic_depth
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
from .embedding import embedding
from .grid_sample import affine_grid, grid_sample
from .indexing import gather, getitem, index_select, nonzero, scatter_add, setitem
from .inplace import clone, copy_, fill_, zero_
from .joining import cat, chunk, flip, narrow, repeat, split, stack, unbind
from .linear import linear, matmul
from .loss import binary_cross_entropy, binary_cross_entropy_with_logits, nll_loss
from .losses import (
    contrastive_loss,
    cosine_embedding_loss,
    cosine_similarity,
    dice_loss,
    focal_loss,
    gaussian_nll_loss,
    hardest_triplets,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    poisson_nll_loss,
    sigmoid_focal_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .norms import group_norm, instance_norm, layer_norm, rms_norm
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
    threshold_unit,
)
from .pool1d import adaptive_avg_pool1d, adaptive_max_pool1d, avg_pool1d, max_pool1d
from .pool2d import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from .random import dropout
from .reduction import all, any, count_nonzero, cumsum, logsumexp, mean, norm, prod, std, sum, var
from .response_norm import local_response_norm, normalize
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
from .unfold import fold, unfold
from .unpool import lp_pool1d, lp_pool2d, max_unpool1d, max_unpool2d
from .upsample2d import interpolate
