"""Optimizer steps over lists of tensors, in place: ``adam_step`` (Adam, AdamW, AMSGrad), ``sgd_step``, ``rmsprop_step``
and ``adagrad_step``.

No gradient flows through a step: it counts as one made under ``no_grad``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from .. import fusion
from ..backend import kernels_for
from ..checks import floats_of_one_dtype, require
from ..dtypes import float32, float64
from ..graph import increment_version
from ..layout import like
from ..tensor import Tensor

ONE_DTYPE = ({float32}, {float64})


def adam_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor] | None = None,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """One step of Adam over a list of parameters, in one kernel call.

    ``m = β1·m + (1 − β1)·g``, ``v = β2·v + (1 − β2)·g²``,
    ``p −= lr · m/(1 − β1^step) / (sqrt(v/(1 − β2^step)) + eps)``. Weight decay adds ``weight_decay · p`` to g, or where
    decoupled (AdamW) takes ``lr · weight_decay · p`` from p directly.

    Args:
        params: written. Dense, all of one dtype.
        grads: g, one for each parameter, of its shape; as the next three are.
        exp_avgs, exp_avg_sqs: m and v, zeros before the first step; written.
        max_exp_avg_sqs: the largest v so far, which then takes v's place (AMSGrad); written. None for plain Adam.
        step: 1 at the first step.
        lr: learning rate.
        beta1, beta2: how much of m and v stays.
        eps: added to the square root.
        weight_decay: see above.
        decoupled: AdamW's weight decay.
    Raises:
        ValueError: the lists or shapes disagree, memory layouts cannot be aligned, or step is less than 1.
        TypeError: not float tensors of one dtype.
    Example:
        >>> p, m, v = at.ones(1), at.zeros(1), at.zeros(1)
        >>> adam_step([p], [at.tensor([5.0])], [m], [v], step=1, lr=0.5)  # the first step is lr times the sign
        >>> round(p.item(), 6)
        0.5

    Source:
        Kingma and Ba, Adam, 2015 (arXiv 1412.6980); Loshchilov and Hutter, Decoupled weight decay regularization, 2019
        (arXiv 1711.05101); Reddi, Kale and Kumar, On the convergence of Adam and beyond, 2018.
    """
    require(step >= 1, "adam_step", f"step is {step}; expected 1 at the first step")
    state = [exp_avgs, exp_avg_sqs] + ([] if max_exp_avg_sqs is None else [max_exp_avg_sqs])
    if not params:
        return
    arrays, grads, states = _aligned("adam_step", params, grads, state)
    largest = None if max_exp_avg_sqs is None else states[2]
    kernels_for(arrays[0]).adam_step(
        arrays, grads, states[0], states[1], largest, step, lr, beta1, beta2, eps, weight_decay, decoupled
    )
    increment_version(*params, *chain.from_iterable(state))


def sgd_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    momentum_buffers: Sequence[Tensor] | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
) -> None:
    """One step of gradient descent over a list of parameters, in one kernel call.

    ``g += weight_decay · p``, ``b = momentum·b + (1 − dampening)·g``, ``p −= lr·b``; without buffers ``p −= lr·g``.

    Args:
        params: written. Dense, all of one dtype.
        grads: g, one for each parameter, of its shape; as the buffers are.
        momentum_buffers: b, written; or None.
        lr: learning rate.
        momentum, dampening, weight_decay: see above.
        nesterov: step along ``g + momentum·b`` instead of b.
        first: this is the first step: b becomes g, undampened, whatever it held.
    Raises:
        ValueError: the lists or shapes disagree, or memory layouts cannot be aligned.
        TypeError: not float tensors of one dtype.
    Example:
        >>> p = at.tensor([1.0])
        >>> sgd_step([p], [at.tensor([2.0])], lr=0.25)
        >>> p.tolist()
        [0.5]

    Source:
        Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep learning, 2013.
        There the learning rate is inside the momentum buffer; here, as in PyTorch, it multiplies the buffer.
    """
    if not params:
        return
    state = [] if momentum_buffers is None else [momentum_buffers]
    arrays, grads, states = _aligned("sgd_step", params, grads, state)
    buffers = states[0] if states else None
    kernels_for(arrays[0]).sgd_step(arrays, grads, buffers, lr, momentum, dampening, weight_decay, nesterov, first)
    increment_version(*params, *chain.from_iterable(state))


def rmsprop_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    square_avgs: Sequence[Tensor],
    grad_avgs: Sequence[Tensor] | None = None,
    momentum_buffers: Sequence[Tensor] | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """One step of RMSprop over a list of parameters, in one kernel call.

    ``g += weight_decay · p``, ``v = α·v + (1 − α)·g²``, ``b = momentum·b + g/(sqrt(v) + eps)``, ``p −= lr·b``; centered
    with ``a = α·a + (1 − α)·g`` and ``v − a²`` in place of v; without buffers b is the quotient.

    Args:
        params: written. Dense, all of one dtype.
        grads: g, one for each parameter, of its shape; as the next three are.
        square_avgs: v, zeros before the first step; written.
        grad_avgs: a, likewise; or None.
        momentum_buffers: b, likewise; or None.
        lr: learning rate.
        alpha: how much of v and a stays.
        eps: added to the square root.
        weight_decay, momentum: see above.
    Raises:
        ValueError: the lists or shapes disagree, or memory layouts cannot be aligned.
        TypeError: not float tensors of one dtype.
    Example:
        >>> p, v = at.ones(1), at.zeros(1)
        >>> rmsprop_step([p], [at.tensor([5.0])], [v], lr=0.1, alpha=0.75)  # the first step: lr / sqrt(1 − alpha)
        >>> round(p.item(), 6)
        0.8

    Source:
        Hinton, Neural networks for machine learning, lecture 6e, 2012; Graves, Generating sequences with recurrent
        neural networks, 2013 (arXiv 1308.0850).
    """
    if not params:
        return
    state = [given for given in (square_avgs, grad_avgs, momentum_buffers) if given is not None]
    arrays, grads, (squares, *rest) = _aligned("rmsprop_step", params, grads, state)
    averages = None if grad_avgs is None else rest[0]
    buffers = None if momentum_buffers is None else rest[-1]
    kernels_for(arrays[0]).rmsprop_step(
        arrays, grads, squares, averages, buffers, lr, alpha, eps, weight_decay, momentum
    )
    increment_version(*params, *chain.from_iterable(state))


def adagrad_step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    sums: Sequence[Tensor],
    *,
    lr: float,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> None:
    """One step of Adagrad over a list of parameters, in one kernel call.

    ``g += weight_decay · p``, ``s += g²``, ``p −= lr · g/(sqrt(s) + eps)``.

    Args:
        params: written. Dense, all of one dtype.
        grads: g, one for each parameter, of its shape; as the sums are.
        sums: s, written.
        lr: learning rate.
        eps: added to the square root.
        weight_decay: see above.
    Raises:
        ValueError: the lists or shapes disagree, or memory layouts cannot be aligned.
        TypeError: not float tensors of one dtype.
    Example:
        >>> p, s = at.ones(1), at.tensor([9.0])
        >>> adagrad_step([p], [at.tensor([4.0])], [s], lr=0.5)  # 0.5 · 4/5
        >>> round(p.item(), 6)
        0.6

    Source:
        Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, 2011.
    """
    if not params:
        return
    arrays, grads, (totals,) = _aligned("adagrad_step", params, grads, [sums])
    kernels_for(arrays[0]).adagrad_step(arrays, grads, totals, lr, eps, weight_decay)
    increment_version(*params, *sums)


def _aligned(op, params, grads, state):
    """Arrays of params, grads and each list of state. Gradients take the strides of params; state must have them."""
    lists, n = (params, grads, *state), len(params)
    for other in lists:
        if len(other) != n:
            raise ValueError(f"{op}: got {n} parameters and {len(other)} tensors to go with them")
    fusion.finish()  # what waits may read the parameters
    tensors = [*chain.from_iterable(lists)]
    kinds = {*map(type, tensors)}  # a few, where the tensors may be hundreds
    if not all([issubclass(kind, Tensor) for kind in kinds]) or {t.data.dtype for t in tensors} not in ONE_DTYPE:
        names = ["parameter"] * n + ["grad"] * n + ["state"] * (n * len(state))
        floats_of_one_dtype(op, names, *tensors)
    params, grads, *state = ([t.data for t in tensors] for tensors in lists)
    shapes = [p.shape for p in params]
    for others in (grads, *state):
        if (found := [a.shape for a in others]) != shapes:
            i = [a == b for a, b in zip(found, shapes, strict=True)].index(False)
            raise ValueError(f"{op}: parameter {i} has shape {shapes[i]}, but a tensor with it {found[i]}")
    aligned = [g if g.strides == p.strides else like(g, p) for g, p in zip(grads, params, strict=True)]
    return params, aligned, state
